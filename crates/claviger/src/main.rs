//! `claviger`: the online system's command line.

mod dev;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use types::Network;

/// What went wrong, in words.
type Outcome<T = ()> = Result<T, String>;

/// A custodian whose signers check everything themselves.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A house of one's own on a private chain: bitcoind, three signers, two operators, one customer. NOT for production.
    Dev {
        /// Play the story of coins that arrive, are withdrawn, are attacked and are moved to the cold wallet; then stop.
        #[arg(long)]
        tour: bool,
        /// Where to keep the house; a new directory, kept afterwards. Without it, a temporary one that vanishes.
        #[arg(long)]
        data: Option<PathBuf>,
        /// The network; only regtest is accepted here.
        #[arg(long, default_value_t = Network::Regtest)]
        network: Network,
    },
}

fn main() -> ExitCode {
    let Command::Dev { tour, data, network } = Arguments::parse().command;
    match dev::run(tour, data, network) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("claviger: {text}");
            ExitCode::FAILURE
        }
    }
}
