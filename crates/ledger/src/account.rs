use types::Amount;

use crate::transfer::Refusal;

/// Names an account within its book, from 0 without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(pub u32);

/// What has gone through an account, in base units. Counters of posted transfers never shrink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Debits that are held.
    pub debits_pending: Amount,
    /// Debits that are final.
    pub debits_posted: Amount,
    /// Credits that are held.
    pub credits_pending: Amount,
    /// Credits that are final.
    pub credits_posted: Amount,
}

/// Rules of one account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// What left and what is held to leave never exceeds what came: `debits_pending + debits_posted <= credits_posted`.
    /// For those whose coins we hold.
    pub debits_bounded: bool,
    /// The mirror image: `credits_pending + credits_posted <= debits_posted`. For what we have, such as wallets.
    pub credits_bounded: bool,
    /// Takes no new transfers or holds; existing holds can still end.
    pub frozen: bool,
    /// Takes nothing at all any more.
    pub closed: bool,
}

impl Rules {
    /// The rules as bits, for storage.
    pub const fn to_bits(self) -> i64 {
        self.debits_bounded as i64
            | (self.credits_bounded as i64) << 1
            | (self.frozen as i64) << 2
            | (self.closed as i64) << 3
    }

    /// The inverse of [`Rules::to_bits`]; nothing for bits that mean nothing.
    pub const fn from_bits(bits: i64) -> Option<Rules> {
        if bits < 0 || bits > 15 {
            return None;
        }
        Some(Rules {
            debits_bounded: bits & 1 != 0,
            credits_bounded: bits & 2 != 0,
            frozen: bits & 4 != 0,
            closed: bits & 8 != 0,
        })
    }
}

/// An account as the writer knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Which asset, as a number of the book's own; transfers never cross assets.
    pub asset: u32,
    /// Its rules.
    pub rules: Rules,
    /// Its counters.
    pub counters: Counters,
    /// Number of the newest record that touched it; 0 for none. Records carry it, so that an account's history can be
    /// walked backwards without an index.
    pub last: u64,
}

impl Account {
    /// What is there for whoever has this account as a claim: credits less debits, holds taken off.
    pub fn available(&self) -> Option<Amount> {
        let counters = &self.counters;
        let taken = counters.debits_posted.checked_add(counters.debits_pending).ok()?;
        counters.credits_posted.checked_sub(taken).ok()
    }

    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let Counters { debits_pending, debits_posted, credits_pending, credits_posted } = self.counters;
        let debits = debits_pending.checked_add(debits_posted).map_err(|_| Refusal::Overflow)?;
        let credits = credits_pending.checked_add(credits_posted).map_err(|_| Refusal::Overflow)?;
        if self.rules.debits_bounded && debits > credits_posted {
            return Err(Refusal::InsufficientFunds);
        }
        if self.rules.credits_bounded && credits > debits_posted {
            return Err(Refusal::InsufficientFunds);
        }
        Ok(())
    }
}
