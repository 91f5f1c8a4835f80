//! `rehearse`: shares are tried.

use std::path::PathBuf;

use clap::Args;
use signer::ceremony::rehearse;
use signer::ceremony::sheet::Sheets;
use types::Network;

use super::Outcome;
use super::people::Person;
use super::step::{Allowed, hold};

/// `rehearse`.
#[derive(Args)]
pub struct Rehearse {
    /// The signer's directory.
    #[arg(long)]
    data: PathBuf,
    /// A file with a share, or with its words typed from paper; once for each.
    #[arg(long = "share", value_name = "FILE", required = true)]
    shares: Vec<PathBuf>,
    /// The network that stands on the paper.
    #[arg(long, value_name = "NETWORK")]
    made_for: Option<Network>,
    #[command(flatten)]
    allowed: Allowed,
    #[command(flatten)]
    person: Person,
}

impl Rehearse {
    /// Tries the shares.
    pub fn run(self) -> Outcome {
        let sheets = Sheets::read(&self.shares)?;
        let done =
            hold(&self.data, &self.allowed, &self.person, |bench| rehearse::hold(bench, &sheets, self.made_for))?;
        println!("the backup is good: {done}");
        Ok(())
    }
}
