//! What counts towards limits, kept so that the sum of a window costs a search and no walk through history. Nothing is forgotten: a
//! later charter may look further back than the one in force.

use std::collections::BTreeMap;

use policy::{Charter, Spent, Window};
use types::{Amount, InstructionId, Moment, WalletId};

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

    /// What came after `from`, up to `until` and with it.
    fn between(&self, from: Moment, until: Moment) -> Amount {
        match self.all_until(until) {
            Amount::MAX => Amount::MAX,
            all => all.checked_sub(self.all_until(from)).unwrap_or(Amount::ZERO),
        }
    }
}

/// One charge of an instruction.
#[derive(Clone, Copy, Debug)]
struct Charge {
    line: usize,
    at: Moment,
    amount: Amount,
}

/// Everything that was ever counted towards limits.
#[derive(Debug, Default)]
pub struct Spending {
    /// One for each wallet and tier: a handful.
    lines: Vec<Line>,
    charges: BTreeMap<InstructionId, Vec<Charge>>,
}

impl Spending {
    /// Counts a charge. Charges come in the order of time, as the journal's records do.
    pub fn add(&mut self, id: InstructionId, spent: Spent) {
        let same = |line: &Line| line.wallet == spent.wallet && line.tier == spent.tier;
        let place = self.lines.iter().position(same).unwrap_or(self.lines.len());
        if place == self.lines.len() {
            self.lines.push(Line { wallet: spent.wallet, tier: spent.tier, sums: Vec::new() });
        }
        let Some(line) = self.lines.get_mut(place) else { return };
        let (newest, sum) = line.sums.last().copied().unwrap_or((spent.at, Amount::ZERO));
        // A search needs order: what came out of it would count as long as what it came behind.
        let at = spent.at.max(newest);
        line.sums.push((at, sum.checked_add(spent.amount).unwrap_or(Amount::MAX)));
        self.charges.entry(id).or_default().push(Charge { line: place, at, amount: spent.amount });
    }

    /// What was counted for an instruction so far.
    pub fn charged(&self, id: &InstructionId) -> Amount {
        let own = self.charges.get(id).into_iter().flatten().map(|charge| charge.amount);
        // A sum that overflows can only make the next charge larger, so it counts as nothing.
        Amount::checked_sum(own).unwrap_or(Amount::ZERO)
    }

    /// What a wallet, or one of its tiers, used within a window that ends now.
    pub fn used(&self, wallet: &WalletId, tier: Option<&str>, window: Window, now: Moment) -> Amount {
        let lines =
            self.lines.iter().filter(|line| line.wallet == *wallet && tier.is_none_or(|tier| line.tier == tier));
        let sums = lines.map(|line| line.between(cut(window, now), line.sums.last().map_or(now, |(at, _)| *at)));
        Amount::checked_sum(sums).unwrap_or(Amount::MAX)
    }

    /// What others than this instruction used of a wallet, in as few parts as the charter's windows tell apart: all that happened between
    /// the beginnings of two windows is one part, and what no window sees any more is left out. For every rule of this charter the
    /// parts say the same as all payments one by one.
    pub fn by_others(&self, id: &InstructionId, wallet: &WalletId, charter: &Charter, now: Moment) -> Vec<Spent> {
        let ours = windows(charter).filter(|(whose, ..)| *whose == wallet);
        let mut cuts: Vec<Moment> = ours.map(|(_, _, window)| cut(window, now)).collect();
        cuts.sort_unstable();
        cuts.dedup();
        let own: &[Charge] = self.charges.get(id).map_or(&[], Vec::as_slice);
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
        parts
    }
}
