//! `claviger-verify`: what an approver or auditor runs on their own machine. It asks no server; it reads what it is given.

mod address;
mod approvals;
mod audit;
mod charter;
mod decision;
mod instruction;
mod report;
mod transaction;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use report::Report;

/// Reads instructions, transactions and approvals by itself, so that no screen has to be believed.
///
/// Ends with 0 when everything holds, with 1 when something does not, with 2 when it was called wrongly.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Print JSON for programs instead of text for people.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show what an instruction says: its sentence, its six words, its digest.
    Instruction {
        /// The instruction in its canonical form.
        file: PathBuf,
        /// Write the text to sign (the digest and a line feed) to this file.
        #[arg(long)]
        text_to_sign: Option<PathBuf>,
    },
    /// Count the approvals of an instruction by the charter.
    Approvals {
        /// The charter.
        #[arg(long)]
        charter: PathBuf,
        /// The instruction.
        #[arg(long)]
        instruction: PathBuf,
        /// A signature, as OPERATOR=FILE; once for each.
        #[arg(long = "approval", value_name = "OPERATOR=FILE")]
        approvals: Vec<String>,
    },
    /// Show all that an approver's page shows about a payment, read again here: sentence, words, how used the address is, what the
    /// charter says and who is missing, and the transaction once there is one.
    Decision {
        /// The charter.
        #[arg(long)]
        charter: PathBuf,
        /// The instruction.
        #[arg(long)]
        instruction: PathBuf,
        /// A signature, as OPERATOR=FILE; once for each.
        #[arg(long = "approval", value_name = "OPERATOR=FILE")]
        approvals: Vec<String>,
        /// An export of the audit log, which says how often the address was paid before and since when it is in the address book.
        #[arg(long)]
        audit: Option<PathBuf>,
        /// Hash of the export's last entry, noted elsewhere.
        #[arg(long)]
        head: Option<String>,
        /// The transaction as a PSBT, in hexadecimal digits, once there is one.
        #[arg(long)]
        psbt: Option<PathBuf>,
        /// Another instruction that the transaction carries out as well; once for each.
        #[arg(long)]
        also: Vec<PathBuf>,
    },
    /// Show what a transaction really does, and whether that is what the instructions say.
    Transaction {
        /// The charter.
        #[arg(long)]
        charter: PathBuf,
        /// The transaction as a PSBT, in hexadecimal digits.
        #[arg(long)]
        psbt: PathBuf,
        /// An instruction; once for each that the transaction carries out.
        #[arg(long = "instruction", required = true)]
        instructions: Vec<PathBuf>,
    },
    /// Show what a charter says, and what it changes.
    Charter {
        /// The charter.
        file: PathBuf,
        /// The charter in force, which it has to follow.
        #[arg(long)]
        current: Option<PathBuf>,
        /// Write the text to sign (the digest and a line feed) to this file.
        #[arg(long)]
        text_to_sign: Option<PathBuf>,
    },
    /// Check an export of the audit log, and name the first entry that does not hold.
    Audit {
        /// The export: one JSON line for each entry, as `claviger audit` writes it.
        file: PathBuf,
        /// Hash of the last entry, noted elsewhere: without it, a log that was written anew as a whole looks intact.
        #[arg(long)]
        head: Option<String>,
    },
    /// Check that an address belongs to a wallet.
    Address {
        /// The charter.
        #[arg(long)]
        charter: PathBuf,
        /// The wallet's name.
        #[arg(long)]
        wallet: String,
        /// Index of the address in the receiving branch.
        #[arg(long)]
        index: u32,
        /// The address.
        address: String,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Command::Instruction { file, text_to_sign } => instruction::run(&file, text_to_sign.as_deref()),
        Command::Approvals { charter, instruction, approvals } => approvals::run(&charter, &instruction, &approvals),
        Command::Decision { charter, instruction, approvals, audit, head, psbt, also } => {
            let given = decision::Given {
                approvals: &approvals,
                audit: audit.as_deref(),
                head: head.as_deref(),
                psbt: psbt.as_deref(),
                also: &also,
            };
            decision::run(&charter, &instruction, &given)
        }
        Command::Transaction { charter, psbt, instructions } => transaction::run(&charter, &psbt, &instructions),
        Command::Charter { file, current, text_to_sign } => {
            charter::run(&file, current.as_deref(), text_to_sign.as_deref())
        }
        Command::Audit { file, head } => audit::run(&file, head.as_deref()),
        Command::Address { charter, wallet, index, address } => address::run(&charter, &wallet, index, &address),
    };
    let report = outcome.unwrap_or_else(Report::refused);
    if arguments.json {
        println!("{}", report.json())
    } else {
        println!("{}", report.text())
    }
    if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
