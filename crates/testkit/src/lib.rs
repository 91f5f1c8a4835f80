//! Real parts for tests, each started by the test that needs it and stopped with it.

mod chromium;
mod passkey;
mod postgres;
mod scan;
mod softhsm;

pub use chromium::{Chromium, Window};
pub use passkey::{Ceremony, Passkey};
pub use postgres::Postgres;
pub use scan::{FileFinding, Finding, files_contain, memory_contains};
pub use softhsm::{SoftHsm, SoftToken};
