//! `claviger`: the online system and its command line, as a library so that tests start the same parts as the program.

pub mod api;
pub mod cli;
pub mod config;
mod console;
pub mod custody;
pub mod dev;
mod freeze;
pub mod problem;
pub mod serve;
pub mod wire;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use types::Network;

/// What went wrong, in words.
pub type Outcome<T = ()> = Result<T, String>;

/// A custodian whose signers check everything themselves.
#[derive(Parser)]
#[command(name = "claviger", version)]
struct Arguments {
    #[command(flatten)]
    connection: cli::Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A house of one's own on a private chain: bitcoind, three signers, operators, customers. NOT for production.
    Dev {
        /// Play the story of coins that arrive, are withdrawn, are attacked and are moved to the cold wallet; then stop.
        #[arg(long)]
        tour: bool,
        /// Where to keep the house; a new directory, kept afterwards. Without it, a temporary one that vanishes.
        #[arg(long)]
        data: Option<PathBuf>,
        /// Keep the books in this database instead of SQLite: `postgres://USER@HOST/DATABASE`.
        #[arg(long)]
        database: Option<String>,
        /// The network; only regtest is accepted here.
        #[arg(long, default_value_t = Network::Regtest)]
        network: Network,
    },
    /// Run the online system.
    Serve {
        /// The configuration file.
        #[arg(long, default_value = "claviger.json")]
        config: PathBuf,
    },
    /// Stop signing at once, asking every signer itself: also while the online system is down.
    FreezeDirect {
        /// The configuration file, for the signers' addresses and our certificate.
        #[arg(long, default_value = "claviger.json")]
        config: PathBuf,
        /// `all`, `wallet:NAME`, `asset:NAME`, `customer:NAME`, or `signer:NAME` for one signer alone.
        latch: String,
        /// Why.
        reason: String,
    },
    /// Keys that sign requests.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    #[command(flatten)]
    Request(cli::Request),
}

#[derive(Subcommand)]
enum KeyCommand {
    /// Make a key file, and print the public key that the charter or the configuration is to name.
    New {
        /// The file; it must not exist.
        file: PathBuf,
    },
    /// Print a key file's public key.
    Show {
        /// The file.
        file: PathBuf,
    },
}

fn run(arguments: Arguments) -> Outcome {
    match arguments.command {
        Command::Dev { tour, data, database, network } => dev::run(tour, data, database, network),
        Command::Serve { config } => serve::run(&config),
        Command::FreezeDirect { config, latch, reason } => freeze::run(&config, &latch, &reason),
        Command::Key(KeyCommand::New { file }) => {
            let key = cli::ApiKey::generate()?;
            key.write(&file)?;
            println!("{}", hex::encode(key.public()));
            Ok(())
        }
        Command::Key(KeyCommand::Show { file }) => {
            println!("{}", hex::encode(cli::ApiKey::read(&file)?.public()));
            Ok(())
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "claviger", &mut std::io::stdout());
            Ok(())
        }
        Command::Request(request) => cli::run(&arguments.connection, request),
    }
}

/// Runs the command line.
pub fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("claviger: {text}");
            ExitCode::FAILURE
        }
    }
}
