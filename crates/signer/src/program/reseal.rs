//! `reseal`: seed and keys under new sealing keys.

use std::path::PathBuf;

use clap::Args;
use signer::ceremony::reseal;

use super::Outcome;
use super::opening::Opening;
use super::people::Person;
use super::step::{Allowed, SeedOpening, hold, new_slots, unlock};

/// `reseal`.
#[derive(Args)]
pub struct Reseal {
    /// The signer's directory.
    #[arg(long)]
    data: PathBuf,
    /// What opens the keys from now on, once for each way, in the forms of `init`.
    #[arg(long = "seal", value_name = "SLOT", required = true)]
    seal: Vec<String>,
    /// What opens the seed from now on, where that is not what opens the keys.
    #[arg(long = "seal-seed", value_name = "SLOT")]
    seal_seed: Vec<String>,
    #[command(flatten)]
    opening: Opening,
    #[command(flatten)]
    seed: SeedOpening,
    #[command(flatten)]
    allowed: Allowed,
    #[command(flatten)]
    person: Person,
}

impl Reseal {
    /// Seals anew.
    pub fn run(self) -> Outcome {
        let mut unlock = unlock(&self.opening, Some(&self.seed), &self.person.person);
        let (id, _, enrolment) = signer::enrol::load(&self.data)?;
        let network = enrolment.network.parse()?;
        let mut slots = new_slots(&self.seal, &self.seal_seed, &id, network);
        let done = hold(&self.data, &self.allowed, &self.person, |bench| reseal::hold(bench, &mut unlock, &mut slots))?;
        println!("{}: {done}", if done.again.is_some() { "nothing was sealed now" } else { "sealed anew" });
        Ok(())
    }
}
