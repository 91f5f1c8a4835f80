//! The command line: what people do at a signer's machine.

mod backup;
mod carry;
mod derive_account;
mod device;
mod entropy;
mod keys;
mod medium;
mod nonces;
mod offline;
mod opening;
mod people;
mod rehearse;
mod reseal;
mod restore;
mod setup;
mod step;
mod token;
mod transcript;

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
    /// Look at a device that holds keys, and clone a key to a second one.
    Device(device::Device),
    /// Show every key that this signer ever had.
    Board(keys::Board),
    /// At a signer without a network: read bundles, sign them, and hand answers out.
    #[command(subcommand)]
    Offline(offline::Offline),
    /// Test this machine before a ceremony: many signatures with a key that is thrown away, and an audit of their nonces.
    Nonces(nonces::Nonces),
    /// Write the seed to shares, one for each holder. The signer does not run meanwhile; so for the ceremonies below.
    Backup(backup::Backup),
    /// Try shares of a backup, and learn nothing but whether they are good.
    Rehearse(rehearse::Rehearse),
    /// Seal seed and keys anew, for other holders; addresses stay.
    Reseal(reseal::Reseal),
    /// Make a new signer from the shares of one that is lost.
    Restore(restore::Restore),
    /// Derive the key of a further account.
    DeriveAccount(derive_account::DeriveAccount),
    /// Commit to a public contribution to everybody's seeds, and reveal it.
    #[command(subcommand)]
    Entropy(entropy::Entropy),
    /// The transcript of a generation: put it together, sign it, verify it.
    #[command(subcommand)]
    Transcript(transcript::Transcript),
    /// Write down how backup media move.
    #[command(subcommand)]
    Medium(medium::Medium),
}

/// Does what the command line says.
pub fn run(arguments: Arguments) -> Outcome {
    // Every command may come to have secrets in memory, if only for a moment.
    walls::guard_memory()?;
    match arguments.command {
        Command::Init(init) => init.run(),
        Command::Adopt(adopt) => adopt.run(),
        Command::Run(run) => run.run(),
        Command::Open(open) => open.run(),
        Command::Close(close) => close.run(),
        Command::Device(device) => device.run(),
        Command::Board(board) => board.run(),
        Command::Offline(offline) => offline.run(),
        Command::Nonces(nonces) => nonces.run(),
        Command::Backup(backup) => backup.run(),
        Command::Rehearse(rehearse) => rehearse.run(),
        Command::Reseal(reseal) => reseal.run(),
        Command::Restore(restore) => restore.run(),
        Command::DeriveAccount(derive) => derive.run(),
        Command::Entropy(entropy) => entropy.run(),
        Command::Transcript(transcript) => transcript.run(),
        Command::Medium(medium) => medium.run(),
    }
}
