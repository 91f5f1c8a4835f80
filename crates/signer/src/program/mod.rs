//! The command line: what people do at a signer's machine.

mod keys;
mod nonces;
mod opening;
mod people;
mod setup;

use std::error::Error;

use clap::{Parser, Subcommand};

/// How a command ends.
type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Checks every instruction and transaction itself, and signs what a quorum and the limits allow.
#[derive(Parser)]
#[command(version)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a new signer: seed, keys and certificate, all sealed. Prints its public enrolment as JSON.
    Init(setup::Init),
    /// Take the first charter and pin the online system's certificate. Compare the digest that it prints.
    Adopt(setup::Adopt),
    /// Listen and answer. Prints `listening ADDRESS` once it does.
    Run(setup::Run),
    /// Open the keys that a key quorum lets be opened, at the signer that runs on this directory.
    Open(keys::Open),
    /// Close keys now.
    Close(keys::Close),
    /// Show every key that this signer ever had.
    Board(keys::Board),
    /// Test this machine before a ceremony: many signatures with a key that is thrown away, and an audit of their nonces.
    Nonces(nonces::Nonces),
}

/// Does what the command line says.
pub fn run(arguments: Arguments) -> Outcome {
    match arguments.command {
        Command::Init(init) => init.run(),
        Command::Adopt(adopt) => adopt.run(),
        Command::Run(run) => run.run(),
        Command::Open(open) => open.run(),
        Command::Close(close) => close.run(),
        Command::Board(board) => board.run(),
        Command::Nonces(nonces) => nonces.run(),
    }
}
