//! The rooms of `claviger-signer`: journal, keys, the rules' core, and the listener.
//!
//! Trusts its own key, journal and charter. Trusts nothing that a caller says: instructions, evidence, transactions and
//! peers' statements are verified here. Opens no connection outward, speaks no HTTP, knows no database.

pub mod ceremony;
pub mod control;
pub mod core;
pub mod device;
pub mod enrol;
pub mod journal;
pub mod keys;
pub mod life;
pub mod offline;
pub mod record;
pub mod refusal;
pub mod seed;
pub mod server;
pub mod spending;
pub mod state;
pub mod vault;
