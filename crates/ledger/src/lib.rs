//! Double-entry book-keeping as pure rules: accounts, transfers, holds, and what must always be true of them.
//!
//! A [`Book`] is what the one writer keeps in memory. It believes nothing that it does not check, changes nothing when it
//! refuses, and can take back what was not made durable. It touches no storage and reads no clock.

mod account;
mod book;
mod record;
mod transfer;

pub use account::{Account, AccountId, Counters, Rules};
pub use book::{Book, Hold, Mark};
pub use record::{Record, SEAL_GENESIS, seal};
pub use transfer::{Kind, Refusal, Transfer, TransferId};
