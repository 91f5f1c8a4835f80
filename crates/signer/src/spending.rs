//! What counts towards limits: signatures that leave.
//!
//! A transaction's charge has three states here. **Reserved**: it was prepared, and its ticket may still be released; it counts in full,
//! now. **Released**: this signer's signatures were handed out, and nobody has proved that the others' were too; it counts in full,
//! now, however long ago that was, since whoever keeps it back can have it completed at any time. **Left**: as many signers as the
//! wallet asks for have released it; from the moment when this signer learned so, the charge ages out of windows. What was prepared and
//! whose ticket has ended (*intended*) counts nothing: it cannot leave without being prepared, and counted, again.
//!
//! So whatever leaves within a window counts at each signer that released it, from that release until the window is over; and with a
//! limit of L at each of n signers, of whom m release, all that leaves within any window is at most n * L / m, or
//! (n - f) * L / (m - f) when f of them belong to an attacker. `tests/bound.rs` tries to break that.
//!
//! Sums are kept so that a window costs a search and no walk through history. Nothing is forgotten: a later charter may look further
//! back than the one in force.

use std::collections::{BTreeMap, BTreeSet};

use policy::{Charter, Spent, Window};
use types::{Amount, Digest, InstructionId, Moment, WalletId};

/// Every limit over time that a charter has: wallet, tier (none for all of the wallet's together), window.
pub fn windows(charter: &Charter) -> impl Iterator<Item = (&WalletId, Option<&str>, Window)> {
    let of_tiers = charter
        .tiers
        .iter()
        .flat_map(|tier| tier.windows.iter().map(|window| (&tier.wallet, Some(tier.name.as_str()), *window)));
    of_tiers.chain(charter.totals.iter().map(|total| (&total.wallet, None, total.window)))
}

/// The newest moment that a window which ends now no longer sees.
fn cut(window: Window, now: Moment) -> Moment {
    now.plus_seconds(i64::try_from(window.seconds).unwrap_or(i64::MAX).saturating_neg())
}

/// What one tier of one wallet let through.
#[derive(Debug)]
struct Line {
    wallet: WalletId,
    tier: String,
    /// In the order of time: when, and how much it was in all by then. An amount that is too large for a sum stays the largest there is,
    /// which no limit lets through.
    sums: Vec<(Moment, Amount)>,
}

impl Line {
    fn all_until(&self, moment: Moment) -> Amount {
        let newer = self.sums.partition_point(|(at, _)| *at <= moment);
        let last = newer.checked_sub(1).and_then(|place| self.sums.get(place));
        last.map_or(Amount::ZERO, |(_, sum)| *sum)
    }

    /// Counts an amount. Returns the moment under which it counts: a search needs order, so what came out of it counts as long as what it
    /// came behind.
    fn add(&mut self, amount: Amount, at: Moment) -> Moment {
        let (newest, sum) = self.sums.last().copied().unwrap_or((at, Amount::ZERO));
        let at = at.max(newest);
        self.sums.push((at, sum.checked_add(amount).unwrap_or(Amount::MAX)));
        at
    }

    /// What came after `from`, up to `until` and with it.
    fn between(&self, from: Moment, until: Moment) -> Amount {
        match self.all_until(until) {
            Amount::MAX => Amount::MAX,
            all => all.checked_sub(self.all_until(from)).unwrap_or(Amount::ZERO),
        }
    }
}

/// One charge of an instruction that has left.
#[derive(Clone, Copy, Debug)]
struct Charge {
    line: usize,
    at: Moment,
    amount: Amount,
}

/// What one instruction adds to the use of one tier by one transaction: its payout and its share of the fee, in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// The instruction.
    pub id: InstructionId,
    /// The wallet.
    pub wallet: WalletId,
    /// The tier.
    pub tier: String,
    /// In base units.
    pub amount: Amount,
}

/// What one instruction used so far.
#[derive(Debug, Default)]
struct Own {
    /// What has left.
    charges: Vec<Charge>,
    /// All of it together.
    left: Amount,
    /// Released here, and not known to have left: the transaction, the place of its line, and the amount in full.
    open: Vec<(Digest, usize, Amount)>,
    /// Whether anything was ever released for it.
    released: bool,
}

/// Everything that was ever counted towards limits.
#[derive(Debug, Default)]
pub struct Spending {
    /// One for each wallet and tier: a handful.
    lines: Vec<Line>,
    own: BTreeMap<InstructionId, Own>,
    /// The instructions of transactions that were released here and are not known to have left.
    open: BTreeMap<Digest, BTreeSet<InstructionId>>,
}

impl Spending {
    fn line(&mut self, wallet: &WalletId, tier: &str) -> usize {
        let same = |line: &Line| line.wallet == *wallet && line.tier == tier;
        self.lines.iter().position(same).unwrap_or_else(|| {
            self.lines.push(Line { wallet: wallet.clone(), tier: tier.to_owned(), sums: Vec::new() });
            self.lines.len() - 1
        })
    }

    /// Signatures of a transaction (named by its identifier) are handed out: it counts in full until it is known what came
    /// of it. The same transaction released again changes nothing.
    pub fn released(&mut self, transaction: Digest, reserved: &Reserved) {
        let line = self.line(&reserved.wallet, &reserved.tier);
        let own = self.own.entry(reserved.id.clone()).or_default();
        own.released = true;
        // What has left may be signed again: the increment, if there is one, is the only thing that can leave anew.
        if !own.open.iter().any(|(other, ..)| *other == transaction) && reserved.amount > own.left {
            own.open.push((transaction, line, reserved.amount));
            self.open.entry(transaction).or_default().insert(reserved.id.clone());
        }
    }

    /// Enough signers have released this transaction: what it adds to what its instructions used before ages from now on. Moments come
    /// in order, as the journal's records do.
    pub fn left(&mut self, transaction: &Digest, now: Moment) {
        for id in self.open.get(transaction).cloned().unwrap_or_default() {
            let Some(own) = self.own.get(&id) else { continue };
            let found = own.open.iter().find(|(other, ..)| other == transaction);
            if let Some((_, line, amount)) = found.copied() {
                self.leave(&id, line, amount, now);
            }
        }
    }

    /// So many say that they never sign for this instruction that nothing more leaves for it, or that it was whole before they said so:
    /// some of them may be the attacker's. Either way what counts for it ages from now on.
    pub fn never(&mut self, id: &InstructionId, now: Moment) {
        while let Some((_, line, amount)) =
            self.own.get(id).and_then(|own| own.open.iter().min_by_key(|(_, _, amount)| *amount)).copied()
        {
            self.leave(id, line, amount, now);
        }
    }

    /// What an instruction used is so much from now on; transactions of no more than that add nothing any more, and are forgotten.
    fn leave(&mut self, id: &InstructionId, line: usize, amount: Amount, now: Moment) {
        let Some(own) = self.own.get_mut(id) else { return };
        let more = amount.checked_sub(own.left).unwrap_or(Amount::ZERO);
        own.left = own.left.max(amount);
        if let (false, Some(line_of)) = (more.is_zero(), self.lines.get_mut(line)) {
            let at = line_of.add(more, now);
            own.charges.push(Charge { line, at, amount: more });
        }
        let left = own.left;
        let (over, open) = std::mem::take(&mut own.open).into_iter().partition(|(_, _, amount)| *amount <= left);
        own.open = open;
        let over: Vec<(Digest, usize, Amount)> = over;
        for (transaction, ..) in over {
            if let Some(ids) = self.open.get_mut(&transaction) {
                ids.remove(id);
                if ids.is_empty() {
                    self.open.remove(&transaction);
                }
            }
        }
    }

    /// Whether signatures for this instruction were ever handed out.
    pub fn ever_released(&self, id: &InstructionId) -> bool {
        self.own.get(id).is_some_and(|own| own.released)
    }

    /// Whether this transaction counts in full because nobody has proved what came of it.
    pub fn is_open(&self, transaction: &Digest) -> bool {
        self.open.contains_key(transaction)
    }

    /// What counts now whatever its age, by instruction and line: the most that any of its transactions that may still leave adds to
    /// what has left of it.
    fn standing(&self, reserved: &[Reserved]) -> BTreeMap<(InstructionId, WalletId, String), Amount> {
        let mut most: BTreeMap<(InstructionId, WalletId, String), Amount> = BTreeMap::new();
        let mut add = |id: &InstructionId, wallet: &WalletId, tier: &str, amount: Amount| {
            let left = self.own.get(id).map_or(Amount::ZERO, |own| own.left);
            let more = amount.checked_sub(left).unwrap_or(Amount::ZERO);
            let entry = most.entry((id.clone(), wallet.clone(), tier.to_owned())).or_insert(Amount::ZERO);
            *entry = (*entry).max(more);
        };
        for id in self.open.values().flatten() {
            for (_, line, amount) in self.own.get(id).into_iter().flat_map(|own| &own.open) {
                if let Some(line) = self.lines.get(*line) {
                    add(id, &line.wallet, &line.tier, *amount);
                }
            }
        }
        for one in reserved {
            add(&one.id, &one.wallet, &one.tier, one.amount);
        }
        most
    }

    /// What a wallet, or one of its tiers, used within a window that ends now, with what is reserved.
    pub fn used(
        &self,
        charter: &Charter,
        wallet: &WalletId,
        tier: Option<&str>,
        window: Window,
        reserved: &[Reserved],
        now: Moment,
    ) -> Amount {
        // What was used under a name that the charter has no more counts in every tier, as the policy has it.
        let known = |name: &str| charter.tiers.iter().any(|tier| tier.name == name && tier.wallet == *wallet);
        let counts =
            |whose: &WalletId, name: &str| whose == wallet && tier.is_none_or(|tier| name == tier || !known(name));
        let lines = self.lines.iter().filter(|line| counts(&line.wallet, &line.tier));
        let aged = lines.map(|line| line.between(cut(window, now), line.sums.last().map_or(now, |(at, _)| *at)));
        let standing = self.standing(reserved);
        let standing = standing.iter().filter(|((_, whose, name), _)| counts(whose, name)).map(|(_, amount)| *amount);
        Amount::checked_sum(aged.chain(standing)).unwrap_or(Amount::MAX)
    }

    /// What others than this instruction used of a wallet, in as few parts as the charter's windows tell apart: all that happened between
    /// the beginnings of two windows is one part, what no window sees any more is left out, and what is reserved or released and not
    /// known to have left happens now. For every rule of this charter the parts say the same as all payments one by one.
    pub fn by_others(
        &self,
        id: &InstructionId,
        wallet: &WalletId,
        charter: &Charter,
        reserved: &[Reserved],
        now: Moment,
    ) -> Vec<Spent> {
        let ours = windows(charter).filter(|(whose, ..)| *whose == wallet);
        let mut cuts: Vec<Moment> = ours.map(|(_, _, window)| cut(window, now)).collect();
        cuts.sort_unstable();
        cuts.dedup();
        let own: &[Charge] = self.own.get(id).map_or(&[], |own| &own.charges);
        let mut parts = Vec::new();
        for (place, line) in self.lines.iter().enumerate().filter(|(_, line)| line.wallet == *wallet) {
            let Some((newest, _)) = line.sums.last() else { continue };
            for (position, from) in cuts.iter().enumerate() {
                let until = cuts.get(position + 1).unwrap_or(newest).min(newest);
                if until <= from {
                    continue;
                }
                let of_own = own.iter().filter(|one| one.line == place && one.at > *from && one.at <= *until);
                let of_own = Amount::checked_sum(of_own.map(|charge| charge.amount)).unwrap_or(Amount::ZERO);
                let amount = match line.between(*from, *until) {
                    Amount::MAX => Amount::MAX,
                    all => all.checked_sub(of_own).unwrap_or(Amount::ZERO),
                };
                if !amount.is_zero() {
                    parts.push(Spent { at: *until, wallet: wallet.clone(), tier: line.tier.clone(), amount });
                }
            }
        }
        let standing = self.standing(reserved).into_iter();
        let others = standing.filter(|((other, whose, _), amount)| other != id && whose == wallet && !amount.is_zero());
        parts.extend(others.map(|((_, wallet, tier), amount)| Spent { at: now, wallet, tier, amount }));
        parts
    }
}
