use std::collections::BTreeSet;

use bitcoin::OutPoint;

/// A coin that may be spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coin {
    /// Which.
    pub outpoint: OutPoint,
    /// Satoshis.
    pub sats: u64,
}

/// What the transaction must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Sum of the payments, in satoshis.
    pub sats: u64,
    /// Weight of the transaction without inputs and change, witness header included.
    pub base_weight: u64,
    /// Weight of one signed input: [`super::WalletDescriptor::input_weight`].
    pub input_weight: u64,
    /// Weight of the change output.
    pub change_weight: u64,
    /// Fee rate now, in satoshis per 1,000 virtual bytes.
    pub sats_per_kvb: u64,
    /// Fee rate that is expected when change is spent one day.
    pub sats_per_kvb_later: u64,
    /// The smallest change worth having, in satoshis: at least the dust limit.
    pub change_sats_min: u64,
    /// Coins that must be spent, in this order and first: anchors of earlier tries.
    pub must_spend: Vec<OutPoint>,
}

/// What is spent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The coins; those that must be spent stand first.
    pub coins: Vec<Coin>,
    /// Satoshis that come back; none when there is no change output.
    pub change_sats: Option<u64>,
    /// Satoshis for the miner.
    pub fee_sats: u64,
}

/// Why nothing was selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// Too little.
    #[error("the wallet's coins bring {available} satoshis after fees, {needed} are needed; refill the wallet")]
    Insufficient {
        /// What all coins bring after paying for themselves.
        available: u64,
        /// What is needed.
        needed: u64,
    },
    /// Too many small coins.
    #[error("more than {INPUTS_MAX} coins would be needed; consolidate the wallet first")]
    TooManyInputs,
    /// An anchor is not among the coins.
    #[error("the coin {0} must be spent and is not there")]
    AnchorMissing(OutPoint),
    /// Sums that do not fit.
    #[error("the sums do not fit 64 bits")]
    Overflow,
}

/// The most inputs of one transaction; signers refuse more.
pub const INPUTS_MAX: usize = 500;
/// How many branches the search for a changeless answer looks at, at most. This bounds its time whatever the pool.
const TRIES_MAX: u32 = 100_000;

/// Chooses coins. Looks for a set that needs no change (branch and bound, bounded), compares it with the largest coins first
/// by the waste that each causes, and always answers when the coins suffice.
pub fn select(coins: &[Coin], target: &Target) -> Result<Selection, SelectError> {
    let pool = Pool::new(coins, target)?;
    let largest = pool.largest_first();
    let changeless = pool.without_change();
    match (largest, changeless) {
        (Ok(one), Some(two)) => Ok(if pool.waste(&two) <= pool.waste(&one) { two } else { one }),
        (Err(_), Some(two)) => Ok(two),
        (one, None) => one,
    }
}

struct Pool<'a> {
    target: &'a Target,
    must: Vec<Coin>,
    /// Coins that bring more than they cost, largest first.
    others: Vec<Coin>,
}

impl<'a> Pool<'a> {
    fn new(coins: &[Coin], target: &'a Target) -> Result<Pool<'a>, SelectError> {
        let wanted: BTreeSet<_> = target.must_spend.iter().copied().collect();
        let mut must = Vec::with_capacity(wanted.len());
        for outpoint in &target.must_spend {
            let coin =
                coins.iter().find(|coin| coin.outpoint == *outpoint).ok_or(SelectError::AnchorMissing(*outpoint))?;
            if !must.contains(coin) {
                must.push(*coin);
            }
        }
        let cost = fee(target.input_weight, target.sats_per_kvb);
        let mut others: Vec<_> =
            coins.iter().filter(|coin| coin.sats > cost && !wanted.contains(&coin.outpoint)).copied().collect();
        // Equal coins in a fixed order: the same question has the same answer.
        others.sort_unstable_by(|a, b| b.sats.cmp(&a.sats).then(a.outpoint.cmp(&b.outpoint)));
        Ok(Pool { target, must, others })
    }

    fn fee(&self, inputs: usize, change: bool) -> u64 {
        let inputs = u64::try_from(inputs).unwrap_or(u64::MAX).saturating_mul(self.target.input_weight);
        let change = if change { self.target.change_weight } else { 0 };
        fee(self.target.base_weight.saturating_add(inputs).saturating_add(change), self.target.sats_per_kvb)
    }

    /// Turns chosen coins into a selection, with change where it is worth having; nothing when they do not suffice.
    fn settle(&self, coins: Vec<Coin>) -> Result<Option<Selection>, SelectError> {
        let sum = coins.iter().try_fold(0u64, |sum, coin| sum.checked_add(coin.sats)).ok_or(SelectError::Overflow)?;
        let without = self.target.sats.checked_add(self.fee(coins.len(), false)).ok_or(SelectError::Overflow)?;
        let with = self.target.sats.checked_add(self.fee(coins.len(), true)).ok_or(SelectError::Overflow)?;
        if let Some(change) = sum.checked_sub(with).filter(|change| *change >= self.target.change_sats_min.max(1)) {
            return Ok(Some(Selection { fee_sats: sum - self.target.sats - change, coins, change_sats: Some(change) }));
        }
        // What is too little to come back goes to the miner.
        let enough = sum >= without;
        Ok(enough.then(|| Selection { fee_sats: sum - self.target.sats, coins, change_sats: None }))
    }

    fn largest_first(&self) -> Result<Selection, SelectError> {
        let mut coins = self.must.clone();
        let mut rest = self.others.iter();
        let mut sum =
            coins.iter().try_fold(0u64, |sum, coin| sum.checked_add(coin.sats)).ok_or(SelectError::Overflow)?;
        loop {
            let needed = self.target.sats.checked_add(self.fee(coins.len(), false)).ok_or(SelectError::Overflow)?;
            if !coins.is_empty()
                && sum >= needed
                && let Some(selection) = self.settle(coins.clone())?
            {
                return if selection.coins.len() > INPUTS_MAX {
                    Err(SelectError::TooManyInputs)
                } else {
                    Ok(selection)
                };
            }
            let Some(next) = rest.next() else {
                return Err(SelectError::Insufficient {
                    available: sum.saturating_sub(self.fee(coins.len(), false)),
                    needed: self.target.sats,
                });
            };
            if coins.len() >= INPUTS_MAX {
                return Err(SelectError::TooManyInputs);
            }
            coins.push(*next);
            sum = sum.checked_add(next.sats).ok_or(SelectError::Overflow)?;
        }
    }

    /// Waste, in satoshis: what spending now costs more than later, and the change's cost or what goes to the miner for nothing.
    fn waste(&self, selection: &Selection) -> i128 {
        let weight = u64::try_from(selection.coins.len()).unwrap_or(u64::MAX).saturating_mul(self.target.input_weight);
        let timing =
            i128::from(fee(weight, self.target.sats_per_kvb)) - i128::from(fee(weight, self.target.sats_per_kvb_later));
        let rest = match selection.change_sats {
            Some(_) => self.cost_of_change(),
            None => selection.fee_sats.saturating_sub(self.fee(selection.coins.len(), false)),
        };
        timing + i128::from(rest)
    }

    /// Making the change output now and spending it later, in satoshis.
    fn cost_of_change(&self) -> u64 {
        fee(self.target.change_weight, self.target.sats_per_kvb)
            .saturating_add(fee(self.target.input_weight, self.target.sats_per_kvb_later))
    }

    /// Depth-first search for coins whose value after their own fee meets the target within the cost of change.
    fn without_change(&self) -> Option<Selection> {
        let own = fee(self.target.input_weight, self.target.sats_per_kvb);
        let have: u64 = self.must.iter().try_fold(0u64, |sum, coin| sum.checked_add(coin.sats.saturating_sub(own)))?;
        let low =
            self.target.sats.checked_add(fee(self.target.base_weight, self.target.sats_per_kvb))?.saturating_sub(have);
        let high = low.checked_add(self.cost_of_change())?;
        if low == 0 {
            return None;
        }
        let values: Vec<u64> = self.others.iter().map(|coin| coin.sats - own).collect();
        // What is left from each position on: a branch that cannot reach the target any more is cut.
        let mut left: Vec<u64> = values
            .iter()
            .rev()
            .scan(0u64, |sum, value| {
                *sum = sum.saturating_add(*value);
                Some(*sum)
            })
            .collect();
        left.reverse();
        let mut search = Search { values: &values, left: &left, low, high, tries: 0, best: None };
        search.run(INPUTS_MAX.saturating_sub(self.must.len()));
        let (_, chosen) = search.best?;
        let mut coins = self.must.clone();
        coins.extend(chosen.iter().filter_map(|position| self.others.get(*position)).copied());
        self.settle(coins).ok().flatten().filter(|selection| selection.change_sats.is_none())
    }
}

struct Search<'a> {
    values: &'a [u64],
    left: &'a [u64],
    low: u64,
    high: u64,
    tries: u32,
    best: Option<(u64, Vec<usize>)>,
}

impl Search<'_> {
    /// Without recursion, so that a pool of any size needs no deep stack.
    fn run(&mut self, inputs_max: usize) {
        let mut chosen: Vec<usize> = Vec::new();
        let mut sum = 0u64;
        let mut position = 0usize;
        while self.tries < TRIES_MAX {
            self.tries += 1;
            let reachable = self.left.get(position).is_some_and(|left| sum.saturating_add(*left) >= self.low);
            if sum >= self.low && sum <= self.high {
                if self.best.as_ref().is_none_or(|(best, _)| sum < *best) {
                    self.best = Some((sum, chosen.clone()));
                }
                if sum == self.low {
                    return;
                }
            }
            if sum < self.low && reachable && chosen.len() < inputs_max {
                chosen.push(position);
                sum = sum.saturating_add(self.values.get(position).copied().unwrap_or(0));
                position += 1;
                continue;
            }
            // Too much, or out of reach: leave out the coin taken last and go on behind it, and behind its equals.
            let Some(last) = chosen.pop() else { return };
            let value = self.values.get(last).copied().unwrap_or(0);
            sum -= value;
            position = last + 1;
            while self.values.get(position) == Some(&value) {
                position += 1;
            }
        }
    }
}

/// Satoshis for a weight at a rate, rounded up.
pub fn fee(weight: u64, sats_per_kvb: u64) -> u64 {
    let vbytes = u128::from(weight.div_ceil(4));
    u64::try_from((vbytes * u128::from(sats_per_kvb)).div_ceil(1000)).unwrap_or(u64::MAX)
}
