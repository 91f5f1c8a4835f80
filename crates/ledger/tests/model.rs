//! The book against a model that knows nothing but a list of what happened, and adds it all up anew for every question.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test, failing here is the test failing")]

use std::collections::HashMap;

use ledger::{Account, AccountId, Book, Kind, Record, Refusal, Rules, SEAL_GENESIS, Transfer, TransferId, seal};
use proptest::prelude::*;
use types::{Amount, Moment};

/// Accounts 0..2 are claims, 3 and 4 are assets, 5 is of another asset, 6 is frozen.
const RULES: [(u32, Rules); 7] = {
    let free = Rules { debits_bounded: false, credits_bounded: false, frozen: false, closed: false };
    let claim = Rules { debits_bounded: true, ..free };
    let asset = Rules { credits_bounded: true, ..free };
    [(0, claim), (0, claim), (0, free), (0, asset), (0, free), (1, free), (0, Rules { frozen: true, ..free })]
};

fn book() -> Book {
    let mut book = Book::default();
    for (asset, rules) in RULES {
        book.open(Account { asset, rules, ..Account::default() }).unwrap();
    }
    book.settle();
    book
}

/// The model: accepted transfers in order. Amounts are small, so that i128 is plenty.
#[derive(Default)]
struct Model(Vec<Transfer>);

impl Model {
    fn open_hold(&self, id: TransferId) -> Option<&Transfer> {
        let ended = self.0.iter().any(|done| done.kind.hold() == Some(id));
        self.0.iter().find(|done| done.id == id && done.kind == Kind::Pending && !ended)
    }

    /// What an account has on both sides: posted debits, posted credits, held debits, held credits.
    fn sums(&self, account: u32) -> [i128; 4] {
        let mut sums = [0; 4];
        for done in &self.0 {
            let amount = i128::try_from(done.amount.units()).unwrap();
            let held = done.kind == Kind::Pending;
            if held && self.open_hold(done.id).is_none() {
                continue;
            }
            if done.debit.0 == account {
                sums[if held { 2 } else { 0 }] += amount;
            }
            if done.credit.0 == account {
                sums[if held { 3 } else { 1 }] += amount;
            }
        }
        sums
    }

    fn expects(&self, transfer: &Transfer) -> bool {
        let (debit, credit) = (transfer.debit.0, transfer.credit.0);
        if self.0.iter().any(|done| done.id == transfer.id) || debit == credit || debit > 6 || credit > 6 {
            return false;
        }
        if (debit == 5) != (credit == 5) {
            return false;
        }
        let amount = i128::try_from(transfer.amount.units()).unwrap();
        if let Some(id) = transfer.kind.hold() {
            let Some(hold) = self.open_hold(id) else { return false };
            let same = hold.debit == transfer.debit && hold.credit == transfer.credit;
            let post = matches!(transfer.kind, Kind::Post(_));
            return same && (if post { amount > 0 && transfer.amount <= hold.amount } else { amount == 0 });
        }
        let [posted_out, posted_in, held_out, _] = self.sums(debit);
        let claim_fits = debit > 1 || posted_out + held_out + amount <= posted_in;
        let [asset_in, asset_out, _, held] = self.sums(credit);
        let asset_fits = credit != 3 || asset_out + held + amount <= asset_in;
        amount > 0 && debit != 6 && credit != 6 && claim_fits && asset_fits
    }
}

fn transfer() -> impl Strategy<Value = Transfer> {
    let kind = prop_oneof![
        3 => Just(Kind::Plain),
        3 => Just(Kind::Pending),
        2 => (0u128..40).prop_map(|id| Kind::Post(TransferId(id))),
        1 => (0u128..40).prop_map(|id| Kind::Void(TransferId(id))),
        1 => (0u128..40).prop_map(|id| Kind::Expire(TransferId(id))),
    ];
    (0u128..40, 0u32..8, 0u32..8, 0u128..50, kind).prop_map(|(id, debit, credit, amount, kind)| Transfer {
        id: TransferId(id),
        debit: AccountId(debit),
        credit: AccountId(credit),
        amount: Amount::from_units(amount),
        kind,
    })
}

/// Ends of holds rarely fit by chance: half of them are made to fit the hold that they name.
fn fitted(mut transfer: Transfer, model: &Model, fit: bool) -> Transfer {
    if let (true, Some(hold)) = (fit, transfer.kind.hold().and_then(|id| model.open_hold(id))) {
        transfer.debit = hold.debit;
        transfer.credit = hold.credit;
        if !matches!(transfer.kind, Kind::Post(_)) {
            transfer.amount = Amount::ZERO;
        }
    }
    transfer
}

fn compare(book: &Book, model: &Model) {
    for account in 0..7u32 {
        let counters = book.account(AccountId(account)).unwrap().counters;
        let have = [counters.debits_posted, counters.credits_posted, counters.debits_pending, counters.credits_pending];
        assert_eq!(have.map(|amount| i128::try_from(amount.units()).unwrap()), model.sums(account), "{account}");
    }
    for asset in [0, 1] {
        let [debits, credits] = book.sums(asset).unwrap();
        assert_eq!(debits, credits);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_book_answers_as_the_model_does(
        steps in prop::collection::vec((transfer(), any::<bool>(), any::<bool>()), 1..120),
    ) {
        let mut book = book();
        let mut model = Model::default();
        let mut records: Vec<Record> = Vec::new();
        for (number, (step, fit, keep)) in steps.into_iter().enumerate() {
            let step = fitted(step, &model, fit);
            let at = Moment::from_micros(i64::try_from(number).unwrap());
            let known = records.iter().map(|record| &record.transfer).find(|known| known.id == step.id).copied();
            prop_assert!(known.is_none() || book.may_be_known(step.id));
            let mark = book.mark();
            let outcome = book.apply(&step, known.as_ref(), at, "cause");
            prop_assert_eq!(outcome.is_ok(), model.expects(&step), "{:?} {:?}", step, outcome);
            match outcome {
                // What is taken back leaves no trace.
                Ok(_) if !keep => book.undo_to(mark),
                Ok(record) => {
                    model.0.push(step);
                    records.push(record);
                }
                Err(refusal) => prop_assert_eq!(refusal == Refusal::Repeated, known == Some(step)),
            }
            compare(&book, &model);
        }
        walk_back(&book, &records);
        replay(&records, &book);
    }
}

/// Every account's history can be walked from its newest record to its first, and balances after match.
fn walk_back(book: &Book, records: &[Record]) {
    for number in 0..7u32 {
        let account = book.account(AccountId(number)).unwrap();
        let mut seq = account.last;
        let mut steps = 0;
        while seq > 0 {
            let record = &records[usize::try_from(seq - 1).unwrap()];
            let debited = record.transfer.debit.0 == number;
            if steps == 0 {
                let after = if debited { record.debit_after } else { record.credit_after };
                assert_eq!(after, [account.counters.debits_posted, account.counters.credits_posted]);
            }
            seq = if debited { record.debit_previous } else { record.credit_previous };
            steps += 1;
        }
        let touched = |record: &&Record| record.transfer.debit.0 == number || record.transfer.credit.0 == number;
        assert_eq!(steps, records.iter().filter(touched).count());
    }
}

/// A book that was stored somewhere on the way, each account at its own time, arrives where the first one is.
fn replay(records: &[Record], end: &Book) {
    let mut stored: HashMap<AccountId, Account> = HashMap::new();
    let mut running = book();
    for record in records {
        running.replay(record).unwrap();
        let id = AccountId(u32::try_from(record.seq % 7).unwrap());
        stored.insert(id, *running.account(id).unwrap());
    }
    let fresh = book();
    let account = |number| {
        let id = AccountId(number);
        stored.get(&id).copied().unwrap_or(*fresh.account(id).unwrap())
    };
    let mut late = Book::restore((0..7).map(account).collect(), HashMap::new());
    for record in records {
        late.replay(record).unwrap();
    }
    for number in 0..7 {
        assert_eq!(late.account(AccountId(number)), end.account(AccountId(number)));
        assert_eq!(running.account(AccountId(number)), end.account(AccountId(number)));
    }
    for record in records {
        assert_eq!(late.hold(record.transfer.id), end.hold(record.transfer.id));
    }
    assert_eq!(late.seq(), end.seq());
}

#[test]
fn every_refusal_has_its_name() {
    let mut book = book();
    let at = Moment::from_micros(1);
    let mut number = 0;
    let mut make = |debit, credit, amount, kind| {
        number += 1;
        Transfer {
            id: TransferId(number),
            debit: AccountId(debit),
            credit: AccountId(credit),
            amount: Amount::from_units(amount),
            kind,
        }
    };
    let fund = make(3, 0, 100, Kind::Plain);
    book.apply(&fund, None, at, "deposit").unwrap();
    let hold = make(0, 3, 60, Kind::Pending);
    book.apply(&hold, None, at, "withdrawal").unwrap();
    let id = hold.id;
    for (transfer, known, refusal) in [
        (fund, Some(fund), Refusal::Repeated),
        (Transfer { amount: Amount::from_units(101), ..fund }, Some(fund), Refusal::IdTaken),
        (make(9, 0, 1, Kind::Plain), None, Refusal::UnknownAccount),
        (make(0, 0, 1, Kind::Plain), None, Refusal::SameAccount),
        (make(0, 5, 1, Kind::Plain), None, Refusal::AssetsDiffer),
        (make(3, 0, 0, Kind::Plain), None, Refusal::Amount),
        (make(0, 3, 1, Kind::Void(id)), None, Refusal::Amount),
        (make(0, 2, 41, Kind::Plain), None, Refusal::InsufficientFunds),
        (make(4, 3, 41, Kind::Plain), None, Refusal::InsufficientFunds),
        (make(4, 6, 1, Kind::Plain), None, Refusal::Frozen),
        (make(0, 3, 1, Kind::Post(TransferId(99))), None, Refusal::NoSuchHold),
        (make(1, 3, 1, Kind::Post(id)), None, Refusal::HoldDiffers),
        (make(0, 3, 61, Kind::Post(id)), None, Refusal::MoreThanHeld),
        (make(4, 2, u128::MAX, Kind::Plain), None, Refusal::Overflow),
    ] {
        if refusal == Refusal::Overflow {
            let fill = Transfer { id: TransferId(1000), amount: Amount::from_units(u128::MAX), ..transfer };
            book.apply(&fill, None, at, "much").unwrap();
        }
        assert_eq!(book.apply(&transfer, known.as_ref(), at, "try"), Err(refusal), "{transfer:?}");
    }
    let closed = Rules { closed: true, ..Rules::default() };
    book.set_rules(AccountId(4), closed).unwrap();
    assert_eq!(book.apply(&make(4, 0, 1, Kind::Plain), None, at, "try"), Err(Refusal::Closed));
    // A frozen account's holds can still end: that is how people get out.
    book.set_rules(AccountId(0), Rules { frozen: true, ..RULES[0].1 }).unwrap();
    book.apply(&make(0, 3, 0, Kind::Void(id)), None, at, "cancelled").unwrap();
    assert_eq!(book.account(AccountId(0)).unwrap().available(), Some(Amount::from_units(100)));
}

#[test]
fn a_seal_covers_every_field() {
    let mut book = book();
    let transfer = Transfer {
        id: TransferId(1),
        debit: AccountId(3),
        credit: AccountId(0),
        amount: Amount::from_units(5),
        kind: Kind::Plain,
    };
    let record = book.apply(&transfer, None, Moment::from_micros(7), "cause").unwrap();
    let sealed = seal(&SEAL_GENESIS, &record);
    let changes: [fn(&mut Record); 12] = [
        |record| record.seq += 1,
        |record| record.transfer.id.0 += 1,
        |record| record.transfer.debit.0 += 1,
        |record| record.transfer.credit.0 += 1,
        |record| record.transfer.amount = Amount::from_units(6),
        |record| record.transfer.kind = Kind::Pending,
        |record| record.held = Amount::from_units(1),
        |record| record.at = Moment::from_micros(8),
        |record| record.cause = "other".into(),
        |record| record.debit_previous += 1,
        |record| record.credit_previous += 1,
        |record| record.credit_after[1] = Amount::ZERO,
    ];
    for change in changes {
        let mut changed = record.clone();
        change(&mut changed);
        assert_ne!(seal(&SEAL_GENESIS, &changed), sealed);
    }
    assert_ne!(seal(&sealed, &record), sealed);
}
