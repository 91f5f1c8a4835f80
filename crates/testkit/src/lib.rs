//! Real parts for tests, each started by the test that needs it and stopped with it.

mod postgres;

pub use postgres::Postgres;
