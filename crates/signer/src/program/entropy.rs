//! `entropy`: public contributions to everybody's seeds. Everything that parties exchange lies in one directory, by their names:
//! `s1.commitment`, `s1.reveal`, then `s1.enrolment` and `s1.generation`.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use signer::ceremony::entropy::{self, Commitment, Part, Reveal};
use signer::ceremony::generate::{Others, REPORT, Report};
use signer::enrol::{self, Enrolment};
use signer::vault::random;
use types::{Network, SignerId};

use super::Outcome;

/// `entropy`.
#[derive(Subcommand)]
pub enum Entropy {
    /// Draw a contribution, keep it, and publish a commitment to it.
    Commit(Own),
    /// Reveal the contribution, once everybody's commitment is there.
    Reveal(Own),
}

/// What both take.
#[derive(Args)]
pub struct Own {
    /// The ceremony's name, the same for all parties.
    #[arg(long)]
    ceremony: String,
    /// Name of the signer that is going to be made.
    #[arg(long)]
    id: SignerId,
    /// bitcoin, testnet4, signet or regtest.
    #[arg(long)]
    network: Network,
    /// A file that keeps the contribution until it is revealed, on this machine.
    #[arg(long, value_name = "FILE")]
    keep: PathBuf,
    /// The directory with what the parties exchange.
    #[arg(long, value_name = "DIRECTORY")]
    exchange: PathBuf,
}

impl Entropy {
    /// Does it.
    pub fn run(self) -> Outcome {
        match self {
            Entropy::Commit(own) => {
                let (part, out) = own.part("commitment");
                let commitment = entropy::commit(&part, &own.keep, &out, &mut random)?;
                println!("committed: {}", commitment.digest);
            }
            Entropy::Reveal(own) => {
                let (part, out) = own.part("reveal");
                let table = Table::read(&own.exchange)?;
                let reveal = entropy::reveal(&part, &own.keep, &table.commitments, &out)?;
                println!("revealed for {} commitments: {}", table.commitments.len(), reveal.commitments);
            }
        }
        Ok(())
    }
}

impl Own {
    fn part(&self, end: &str) -> (Part, PathBuf) {
        let part = Part { ceremony: self.ceremony.clone(), network: self.network, signer: self.id.clone() };
        (part, self.exchange.join(format!("{}.{end}", self.id)))
    }
}

/// What lies in the directory of a ceremony.
pub struct Table {
    directory: PathBuf,
    /// Everybody's commitments.
    pub commitments: Vec<Commitment>,
    /// Everybody's reveals.
    pub reveals: Vec<Reveal>,
}

impl Table {
    /// Reads the directory.
    pub fn read(directory: &Path) -> Outcome<Table> {
        let mut table = Table { directory: directory.to_owned(), commitments: Vec::new(), reveals: Vec::new() };
        for path in listed(directory, "commitment")? {
            table.commitments.push(Commitment::read(&path)?);
        }
        for path in listed(directory, "reveal")? {
            table.reveals.push(Reveal::read(&path)?);
        }
        Ok(table)
    }

    /// The ceremony's name.
    pub fn ceremony(&self) -> &str {
        self.commitments.first().map_or("", |one| &one.part.ceremony)
    }

    /// Holds reveals against commitments.
    pub fn open(&self) -> Outcome<Others> {
        let contributions = entropy::open(&self.commitments, &self.reveals)?;
        let (_, digest) = entropy::all(&self.commitments)?;
        Ok(Others { contributions, commitments: Some(digest) })
    }

    /// Puts what is public of a signer into the directory.
    pub fn publish(&self, data: &Path, signer: &SignerId) -> Outcome {
        for (name, end) in [(enrol::files::ENROLMENT, "enrolment"), (REPORT, "generation")] {
            fs::copy(data.join(name), self.directory.join(format!("{signer}.{end}")))?;
        }
        Ok(())
    }

    /// What every signer published.
    pub fn published(&self) -> Outcome<Vec<(Enrolment, Report)>> {
        let one = |path: PathBuf| {
            let enrolment = serde_json::from_slice(&fs::read(&path)?)?;
            let report = serde_json::from_slice(&fs::read(path.with_extension("generation"))?)?;
            Ok((enrolment, report))
        };
        listed(&self.directory, "enrolment")?.into_iter().map(one).collect()
    }
}

fn listed(directory: &Path, end: &str) -> Outcome<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, std::io::Error>>()?;
    paths.retain(|path| path.extension().is_some_and(|one| one == end));
    paths.sort();
    Ok(paths)
}
