//! `derive-account`: one more account.

use std::path::PathBuf;

use clap::Args;
use signer::ceremony::account;

use super::Outcome;
use super::opening::Opening;
use super::people::Person;
use super::step::{Allowed, SeedOpening, hold, unlock};

/// `derive-account`.
#[derive(Args)]
pub struct DeriveAccount {
    /// The signer's directory.
    #[arg(long)]
    data: PathBuf,
    #[command(flatten)]
    opening: Opening,
    #[command(flatten)]
    seed: SeedOpening,
    #[command(flatten)]
    allowed: Allowed,
    #[command(flatten)]
    person: Person,
}

impl DeriveAccount {
    /// Derives the next account and prints the enrolment as it is then.
    pub fn run(self) -> Outcome {
        let mut unlock = unlock(&self.opening, Some(&self.seed), &self.person.person);
        let (enrolment, done) =
            hold(&self.data, &self.allowed, &self.person, |bench| account::derive(bench, &mut unlock))?;
        eprintln!("{} {done}", if done.again.is_some() { "nothing was derived now:" } else { "derived" });
        println!("{}", serde_json::to_string_pretty(&enrolment)?);
        Ok(())
    }
}
