//! The command line: everything that the interfaces do, with tables for people and JSON for programs.

mod actions;
mod carried;
mod client;
mod commands;
mod people;
mod printer;
mod show;

pub use carried::collect;
pub use client::{Answer, ApiKey, Client};
pub use commands::{Connection, Request, run};
