use std::collections::{HashMap, HashSet};

use types::{Amount, Moment};

use crate::account::{Account, AccountId};
use crate::record::Record;
use crate::transfer::{Kind, Refusal, Transfer, TransferId};

/// A hold that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The account that will be debited.
    pub debit: AccountId,
    /// The account that will be credited.
    pub credit: AccountId,
    /// Base units.
    pub amount: Amount,
    /// Number of its record.
    pub seq: u64,
}

/// A point to which the book can be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(usize);

/// One change, with what was there before.
#[derive(Debug)]
enum Undo {
    Applied(TransferId),
    Account { id: AccountId, before: Account },
    HoldOpened(TransferId),
    HoldEnded(TransferId, Hold),
    Opened,
}

/// Every account, every open hold, and the number of the last record.
#[derive(Debug, Default)]
pub struct Book {
    accounts: Vec<Account>,
    holds: HashMap<TransferId, Hold>,
    seq: u64,
    names: Names,
    undo: Vec<Undo>,
}

/// Which names are certainly new. Names grow with time, if not strictly: above the floor, every name that was used is here.
#[derive(Debug, Default)]
struct Names {
    floor: TransferId,
    highest: TransferId,
    older: HashSet<TransferId>,
    newer: HashSet<TransferId>,
    /// The highest name when `newer` was begun.
    begun: TransferId,
}

/// Names in one generation; two are kept.
const NAMES_MAX: usize = 500_000;

impl Names {
    fn above(floor: TransferId) -> Names {
        Names { floor, highest: floor, begun: floor, ..Names::default() }
    }

    fn may_be_known(&self, id: TransferId) -> bool {
        id <= self.floor || self.newer.contains(&id) || self.older.contains(&id)
    }

    fn add(&mut self, id: TransferId) {
        if self.newer.len() >= NAMES_MAX {
            self.floor = self.begun;
            self.begun = self.highest;
            self.older = std::mem::take(&mut self.newer);
        }
        self.highest = self.highest.max(id);
        self.newer.insert(id);
    }

    fn forget(&mut self, id: TransferId) {
        self.newer.remove(&id);
        self.older.remove(&id);
    }
}

impl Book {
    /// A book as it was stored; records that are newer than its accounts are to be replayed, then [`Book::resume`] says where
    /// the journal ends.
    pub fn restore(accounts: Vec<Account>, holds: HashMap<TransferId, Hold>) -> Book {
        Book { accounts, holds, ..Book::default() }
    }

    /// Opens an account; its name is the next number.
    pub fn open(&mut self, account: Account) -> Result<AccountId, Refusal> {
        let id = AccountId(u32::try_from(self.accounts.len()).map_err(|_| Refusal::Overflow)?);
        self.accounts.push(account);
        self.undo.push(Undo::Opened);
        Ok(id)
    }

    /// Changes an account's rules. What the account holds already must fit the new rules.
    pub fn set_rules(&mut self, id: AccountId, rules: crate::Rules) -> Result<(), Refusal> {
        let before = *self.account(id).ok_or(Refusal::UnknownAccount)?;
        let after = Account { rules, ..before };
        after.check()?;
        self.write(id, before, after);
        Ok(())
    }

    /// An account.
    pub fn account(&self, id: AccountId) -> Option<&Account> {
        self.accounts.get(usize::try_from(id.0).ok()?)
    }

    /// How many accounts there are.
    pub fn accounts(&self) -> usize {
        self.accounts.len()
    }

    /// An open hold.
    pub fn hold(&self, id: TransferId) -> Option<&Hold> {
        self.holds.get(&id)
    }

    /// Number of the last record.
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// Whether a name may have been used before: the caller then looks it up in the journal. Names grow with time, so this is
    /// rare.
    pub fn may_be_known(&self, id: TransferId) -> bool {
        self.names.may_be_known(id)
    }

    /// Writes one transfer, or refuses and changes nothing. `known` is what the journal has under this name, asked for
    /// when [`Book::may_be_known`] says so.
    pub fn apply(
        &mut self,
        transfer: &Transfer,
        known: Option<&Transfer>,
        at: Moment,
        cause: &str,
    ) -> Result<Record, Refusal> {
        if let Some(known) = known {
            return Err(if known == transfer { Refusal::Repeated } else { Refusal::IdTaken });
        }
        let debit = *self.account(transfer.debit).ok_or(Refusal::UnknownAccount)?;
        let credit = *self.account(transfer.credit).ok_or(Refusal::UnknownAccount)?;
        if transfer.debit == transfer.credit {
            return Err(Refusal::SameAccount);
        }
        if debit.asset != credit.asset {
            return Err(Refusal::AssetsDiffer);
        }
        let hold = self.hold_of(transfer)?;
        let taken_back = matches!(transfer.kind, Kind::Void(_) | Kind::Expire(_));
        if transfer.amount.is_zero() != taken_back {
            return Err(Refusal::Amount);
        }
        if debit.rules.closed || credit.rules.closed {
            return Err(Refusal::Closed);
        }
        if hold.is_none() && (debit.rules.frozen || credit.rules.frozen) {
            return Err(Refusal::Frozen);
        }
        let held = hold.map_or(Amount::ZERO, |(_, hold)| hold.amount);
        let mut after = [debit, credit];
        count(&mut after, transfer, held)?;
        // The end of a hold only lowers what is bounded; everything else is held against the bounds.
        if hold.is_none() {
            after.iter().try_for_each(Account::check)?;
        }
        let seq = self.seq.checked_add(1).ok_or(Refusal::Overflow)?;
        let [debit_after, credit_after] = after;
        let posted = |account: &Account| [account.counters.debits_posted, account.counters.credits_posted];
        let record = Record {
            seq,
            transfer: *transfer,
            at,
            cause: cause.into(),
            held,
            debit_previous: debit.last,
            credit_previous: credit.last,
            debit_after: posted(&debit_after),
            credit_after: posted(&credit_after),
        };
        self.undo.push(Undo::Applied(transfer.id));
        self.seq = seq;
        self.names.add(transfer.id);
        self.write(transfer.debit, debit, Account { last: seq, ..debit_after });
        self.write(transfer.credit, credit, Account { last: seq, ..credit_after });
        if let Some((id, hold)) = hold {
            self.holds.remove(&id);
            self.undo.push(Undo::HoldEnded(id, hold));
        }
        if transfer.kind == Kind::Pending {
            let hold = Hold { debit: transfer.debit, credit: transfer.credit, amount: transfer.amount, seq };
            self.holds.insert(transfer.id, hold);
            self.undo.push(Undo::HoldOpened(transfer.id));
        }
        Ok(record)
    }

    fn hold_of(&self, transfer: &Transfer) -> Result<Option<(TransferId, Hold)>, Refusal> {
        let Some(id) = transfer.kind.hold() else { return Ok(None) };
        let hold = *self.holds.get(&id).ok_or(Refusal::NoSuchHold)?;
        if (hold.debit, hold.credit) != (transfer.debit, transfer.credit) {
            return Err(Refusal::HoldDiffers);
        }
        if transfer.amount > hold.amount {
            return Err(Refusal::MoreThanHeld);
        }
        Ok(Some((id, hold)))
    }

    fn write(&mut self, id: AccountId, before: Account, after: Account) {
        if let Some(slot) = usize::try_from(id.0).ok().and_then(|place| self.accounts.get_mut(place)) {
            *slot = after;
            self.undo.push(Undo::Account { id, before });
        }
    }

    /// Takes a record of the journal into a book that was stored before it was written: accounts that include it already
    /// are left alone.
    pub fn replay(&mut self, record: &Record) -> Result<(), Refusal> {
        let transfer = &record.transfer;
        let ids: [AccountId; 2] = record.into();
        let accounts = ids.map(|id| self.account(id).copied());
        let [Some(debit), Some(credit)] = accounts else { return Err(Refusal::UnknownAccount) };
        let mut after = [debit, credit];
        // An account whose stored balance includes this record may not have room for it again; each side counts alone.
        for (side, (id, before)) in ids.into_iter().zip([debit, credit]).enumerate() {
            if before.last >= record.seq {
                continue;
            }
            count_side(&mut after, side, transfer, record.held)?;
            if let Some(account) = after.get(side) {
                self.write(id, before, Account { last: record.seq, ..*account });
            }
        }
        match transfer.kind {
            Kind::Plain => {}
            Kind::Pending => {
                let hold =
                    Hold { debit: transfer.debit, credit: transfer.credit, amount: transfer.amount, seq: record.seq };
                self.holds.insert(transfer.id, hold);
            }
            Kind::Post(id) | Kind::Void(id) | Kind::Expire(id) => {
                self.holds.remove(&id);
            }
        }
        self.seq = self.seq.max(record.seq);
        self.names.add(transfer.id);
        self.undo.clear();
        Ok(())
    }

    /// Says where the journal ends, and the highest name in it, after the newest records were replayed.
    pub fn resume(&mut self, seq: u64, highest: TransferId) {
        self.seq = self.seq.max(seq);
        self.names = Names::above(highest);
    }

    /// The point at which the book is now.
    pub fn mark(&self) -> Mark {
        Mark(self.undo.len())
    }

    /// Takes back everything since the mark.
    pub fn undo_to(&mut self, mark: Mark) {
        while self.undo.len() > mark.0 {
            match self.undo.pop() {
                Some(Undo::Applied(id)) => {
                    self.seq -= 1;
                    self.names.forget(id);
                }
                Some(Undo::Account { id, before }) => {
                    if let Some(slot) = usize::try_from(id.0).ok().and_then(|place| self.accounts.get_mut(place)) {
                        *slot = before;
                    }
                }
                Some(Undo::HoldOpened(id)) => {
                    self.holds.remove(&id);
                }
                Some(Undo::HoldEnded(id, hold)) => {
                    self.holds.insert(id, hold);
                }
                Some(Undo::Opened) => {
                    self.accounts.pop();
                }
                None => {}
            }
        }
    }

    /// Says that everything up to now is durable: it cannot be taken back any more.
    pub fn settle(&mut self) {
        self.undo.clear();
    }

    /// Sums of posted debits and of posted credits of one asset; they are equal, always.
    pub fn sums(&self, asset: u32) -> Result<[Amount; 2], types::AmountError> {
        let of_asset = || self.accounts.iter().filter(move |account| account.asset == asset);
        Ok([
            Amount::checked_sum(of_asset().map(|account| account.counters.debits_posted))?,
            Amount::checked_sum(of_asset().map(|account| account.counters.credits_posted))?,
        ])
    }
}

fn count(accounts: &mut [Account; 2], transfer: &Transfer, held: Amount) -> Result<(), Refusal> {
    count_side(accounts, 0, transfer, held)?;
    count_side(accounts, 1, transfer, held)
}

/// Counts a transfer on one side: 0 debits, 1 credits.
fn count_side(accounts: &mut [Account; 2], side: usize, transfer: &Transfer, held: Amount) -> Result<(), Refusal> {
    let [debit, credit] = accounts;
    let (pending, posted) = if side == 0 {
        (&mut debit.counters.debits_pending, &mut debit.counters.debits_posted)
    } else {
        (&mut credit.counters.credits_pending, &mut credit.counters.credits_posted)
    };
    let overflow = |_| Refusal::Overflow;
    match transfer.kind {
        Kind::Plain => *posted = posted.checked_add(transfer.amount).map_err(overflow)?,
        Kind::Pending => *pending = pending.checked_add(transfer.amount).map_err(overflow)?,
        Kind::Post(_) => {
            *pending = pending.checked_sub(held).map_err(overflow)?;
            *posted = posted.checked_add(transfer.amount).map_err(overflow)?;
        }
        Kind::Void(_) | Kind::Expire(_) => *pending = pending.checked_sub(held).map_err(overflow)?,
    }
    Ok(())
}
