//! `restore`: a new signer from shares.

use std::path::PathBuf;

use clap::Args;
use signer::ceremony::restore::{self, Restoration};
use signer::ceremony::sheet::Sheets;
use signer::server;
use types::{Network, SignerId};

use super::Outcome;
use super::people::{Person, approvals, charters};
use super::step::{Allowed, new_slots};

/// `restore`.
#[derive(Args)]
pub struct Restore {
    /// An empty or new directory.
    #[arg(long)]
    data: PathBuf,
    /// The new signer's name: never that of the lost one.
    #[arg(long)]
    id: SignerId,
    /// How many account keys to make at least; those that the charter knows are made in any case.
    #[arg(long, default_value_t = 2)]
    accounts: u32,
    /// A file with a share, or with its words typed from paper; once for each.
    #[arg(long = "share", value_name = "FILE", required = true)]
    shares: Vec<PathBuf>,
    /// The network that stands on the paper.
    #[arg(long, value_name = "NETWORK")]
    made_for: Option<Network>,
    /// Every charter from the first one on, in order.
    #[arg(long = "charter", value_name = "FILE", required = true)]
    charters: Vec<PathBuf>,
    /// A signature over a charter's digest, as OPERATOR=FILE, those of all versions together.
    #[arg(long = "charter-approval", value_name = "OPERATOR=FILE")]
    charter_approvals: Vec<String>,
    /// What opens the keys, in the forms of `init`.
    #[arg(long = "seal", value_name = "SLOT", required = true)]
    seal: Vec<String>,
    /// What opens the seed, where that is not what opens the keys.
    #[arg(long = "seal-seed", value_name = "SLOT")]
    seal_seed: Vec<String>,
    #[command(flatten)]
    allowed: Allowed,
    #[command(flatten)]
    person: Person,
}

impl Restore {
    /// Restores, and prints the enrolment for the next charter.
    pub fn run(self) -> Outcome {
        let sheets = Sheets::read(&self.shares)?;
        let charters = charters(&self.charters)?;
        let instruction = self.allowed.read()?;
        let restoration = Restoration {
            directory: &self.data,
            id: &self.id,
            accounts: self.accounts,
            charters: &charters,
            chain_approvals: &approvals(&self.charter_approvals)?,
            instruction: &instruction,
            sheets: &sheets,
            made_for: self.made_for,
            person: self.person.person.as_str(),
            terminal: &self.person.terminal(),
            now: server::now(),
        };
        if let Some(newest) = charters.last() {
            eprintln!(
                "the newest charter here is version {} with digest {}: compare it with what the others hold",
                newest.version,
                newest.digest()
            );
        }
        let network = charters.last().ok_or("name the charter: --charter FILE")?.network;
        let mut slots = new_slots(&self.seal, &self.seal_seed, &self.id, network);
        let enrolment = restore::hold(&restoration, &mut slots, &mut |_| Ok(()))?;
        println!("{}", serde_json::to_string_pretty(&enrolment)?);
        Ok(())
    }
}
