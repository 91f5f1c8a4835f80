use types::{Amount, Moment};

use crate::account::AccountId;

/// Names a transfer for ever. Begins with a time, so that new names come after old ones: storage likes that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransferId(pub u128);

impl TransferId {
    /// A name from a time and 64 bits that make it distinct, such as the beginning of a hash of the cause.
    pub const fn new(at: Moment, distinct: u64) -> TransferId {
        // Times before 1970 do not occur; the cast keeps the bits.
        TransferId(((at.micros() as u128) << 64) | distinct as u128)
    }
}

/// What a transfer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Moves at once.
    Plain,
    /// Holds: moves nothing yet, but what is held cannot be used twice.
    Pending,
    /// Makes a hold final, with at most what was held; the rest is free again.
    Post(TransferId),
    /// Takes a hold back.
    Void(TransferId),
    /// Takes a hold back whose time is over.
    Expire(TransferId),
}

/// What is to be written into the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Its name.
    pub id: TransferId,
    /// The account that is debited; for the end of a hold, the same as in the hold.
    pub debit: AccountId,
    /// The account that is credited.
    pub credit: AccountId,
    /// Base units, more than zero; of a void or an expiry, zero.
    pub amount: Amount,
    /// What it does.
    pub kind: Kind,
}

/// Why a transfer is refused. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// This very transfer is in the book already: it is done. Not a failure for one who repeats a step.
    #[error("this transfer is in the book already")]
    Repeated,
    /// Another transfer has this name.
    #[error("another transfer has this name")]
    IdTaken,
    /// An account does not exist.
    #[error("there is no such account")]
    UnknownAccount,
    /// Debit and credit are one account.
    #[error("debit and credit are the same account")]
    SameAccount,
    /// The accounts keep different assets.
    #[error("the accounts keep different assets")]
    AssetsDiffer,
    /// Nothing is moved, or a void carries an amount.
    #[error("the amount must be more than zero, and zero where a hold is taken back")]
    Amount,
    /// An account would pass its bound.
    #[error("the account's balance is too small")]
    InsufficientFunds,
    /// An account is frozen.
    #[error("the account is frozen")]
    Frozen,
    /// An account is closed.
    #[error("the account is closed")]
    Closed,
    /// No open hold has that name: it never was, or it was posted, voided or expired before.
    #[error("no open hold has this name")]
    NoSuchHold,
    /// The hold is between other accounts.
    #[error("the hold is between other accounts")]
    HoldDiffers,
    /// More would be posted than was held.
    #[error("more would be posted than was held")]
    MoreThanHeld,
    /// A sum does not fit.
    #[error("a sum does not fit 128 bits")]
    Overflow,
}
