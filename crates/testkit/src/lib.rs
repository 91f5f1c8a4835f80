//! Real parts for tests, each started by the test that needs it and stopped with it.

mod passkey;
mod postgres;

pub use passkey::{Ceremony, Passkey};
pub use postgres::Postgres;
