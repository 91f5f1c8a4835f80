//! `claviger-signer`: one party of the transaction signing function.

use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use policy::Charter;
use signer::core::Core;
use signer::enrol::{self, files};
use signer::{keys, server};
use types::{Approval, Network, SignerId};

/// Checks every instruction and transaction itself, and signs what a quorum and the limits allow.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a new signer: seed, journal key and certificate. Prints its public enrolment as JSON.
    Init {
        /// An empty or new directory.
        #[arg(long)]
        data: PathBuf,
        /// Name of the signer.
        #[arg(long)]
        id: SignerId,
        /// bitcoin, testnet4, signet or regtest.
        #[arg(long)]
        network: Network,
        /// How many account keys to show, one for each wallet.
        #[arg(long, default_value_t = 2)]
        accounts: u32,
    },
    /// Take the first charter and pin the online system's certificate. Compare the digest that it prints.
    Adopt {
        /// The signer's directory.
        #[arg(long)]
        data: PathBuf,
        /// The charter's canonical bytes.
        #[arg(long)]
        charter: PathBuf,
        /// A signature over its digest, as OPERATOR=FILE; once for each operator who signed.
        #[arg(long = "approval", value_name = "OPERATOR=FILE")]
        approvals: Vec<String>,
        /// The online system's certificate (PEM).
        #[arg(long)]
        client_certificate: PathBuf,
    },
    /// Listen and answer. Prints `listening ADDRESS` once it does.
    Run {
        /// The signer's directory.
        #[arg(long)]
        data: PathBuf,
        /// Address and port; port 0 takes a free one.
        #[arg(long)]
        listen: SocketAddr,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut line = format!("claviger-signer: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                line.push_str(": ");
                line.push_str(&error.to_string());
                cause = error.source();
            }
            eprintln!("{line}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Init { data, id, network, accounts } => {
            let enrolment = enrol::create(&data, &id, network, accounts)?;
            println!("{}", serde_json::to_string_pretty(&enrolment)?);
        }
        Command::Adopt { data, charter, approvals, client_certificate } => {
            let (id, keys, _) = enrol::load(&data)?;
            let charter = Charter::from_bytes(&fs::read(charter)?)?;
            let approvals = approvals.iter().map(|text| approval(text)).collect::<Result<Vec<_>, _>>()?;
            let certificate = fs::read(client_certificate)?;
            let mut core = Core::open(id, keys, &data.join(files::JOURNAL))?;
            core.adopt_first(&charter, &approvals, server::now())?;
            keys::write_secret(&data.join(files::CLIENT), &certificate)?;
            println!("adopted charter version {} with digest {}", charter.version, charter.digest());
        }
        Command::Run { data, listen } => {
            let (id, keys, enrolment) = enrol::load(&data)?;
            let config = server::tls(&data, &enrolment)?;
            let core = Core::open(id, keys, &data.join(files::JOURNAL))?;
            let listener = TcpListener::bind(listen)?;
            println!("listening {}", listener.local_addr()?);
            std::io::stdout().flush()?;
            server::serve(&listener, &config, core)?;
        }
    }
    Ok(())
}

fn approval(text: &str) -> Result<Approval, Box<dyn Error>> {
    let (operator, file) = text.split_once('=').ok_or("an approval is written OPERATOR=FILE")?;
    Ok(Approval { operator: operator.parse()?, signature: fs::read_to_string(file)? })
}
