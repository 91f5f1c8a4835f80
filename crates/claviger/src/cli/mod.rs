//! The command line: everything that the interfaces do, with tables for people and JSON for programs.

mod client;
mod commands;
mod show;

pub use client::{Answer, ApiKey, Client};
pub use commands::{Connection, Request, run};
