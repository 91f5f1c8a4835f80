//! The audit log: what was decided and what moved, each entry bound to all before it by a hash.
//!
//! Whoever holds one later hash can tell that nothing before it was changed, left out or put in. This crate holds the
//! form, the chain and the check; it opens no file. It never promises that an entry was true when it was written.

mod entry;
mod export;

pub use entry::{Draft, Entry, GENESIS, chain};
pub use export::{ExportError, Verdict, Verifier, to_line};
