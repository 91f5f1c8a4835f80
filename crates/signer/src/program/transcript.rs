//! `transcript`: what a generation leaves for everybody to check.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use signer::ceremony::transcript::{self, NAMESPACE, Signed};
use signer::core::Core;
use signer::enrol::{self, files};
use signer::{keys, server};

use super::Outcome;
use super::entropy::Table;
use super::people::{Person, approvals, charters};

/// `transcript`.
#[derive(Subcommand)]
pub enum Transcript {
    /// Put it together from the directory of the ceremony.
    Assemble(Assemble),
    /// Have this signer sign it, and note its digest in the journal.
    Sign(Sign),
    /// Check everything in it, every signer's signature, and people's.
    Verify(Verify),
}

/// `transcript assemble`.
#[derive(Args)]
pub struct Assemble {
    /// The directory with what the parties exchanged.
    #[arg(long, value_name = "DIRECTORY")]
    exchange: PathBuf,
    /// The transcript's file.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// `transcript sign`.
#[derive(Args)]
pub struct Sign {
    /// The signer's directory.
    #[arg(long)]
    data: PathBuf,
    /// The transcript.
    #[arg(long, value_name = "FILE")]
    transcript: PathBuf,
    #[command(flatten)]
    person: Person,
}

/// `transcript verify`.
#[derive(Args)]
pub struct Verify {
    /// The transcript.
    #[arg(long, value_name = "FILE")]
    transcript: PathBuf,
    /// A file with a signer's signature, as `sign` prints it; once for each signer.
    #[arg(long = "signed", value_name = "FILE")]
    signed: Vec<PathBuf>,
    /// A person's signature by `ssh-keygen -Y sign -n claviger-ceremony`, as OPERATOR=FILE.
    #[arg(long = "signature", value_name = "OPERATOR=FILE")]
    signatures: Vec<String>,
    /// The first charter: it names people's keys, and must name the keys that were generated.
    #[arg(long, value_name = "FILE")]
    charter: Option<PathBuf>,
}

impl Transcript {
    /// Does it.
    pub fn run(self) -> Outcome {
        match self {
            Transcript::Assemble(assemble) => assemble.run(),
            Transcript::Sign(sign) => sign.run(),
            Transcript::Verify(verify) => verify.run(),
        }
    }
}

fn read(path: &Path) -> Outcome<transcript::Transcript> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(transcript::Transcript::from_bytes(&bytes)?)
}

impl Assemble {
    fn run(self) -> Outcome {
        let table = Table::read(&self.exchange)?;
        let made = transcript::Transcript::assemble(&table.commitments, &table.reveals, table.published()?)?;
        let bytes = made.to_bytes();
        // The same again is no harm; another one of that name is.
        if fs::read(&self.out).ok().as_deref() != Some(&bytes) {
            keys::write_secret(&self.out, &bytes).map_err(|error| format!("{}: {error}", self.out.display()))?;
        }
        println!("transcript of {} parties with digest {}", made.parties.len(), made.digest());
        Ok(())
    }
}

impl Sign {
    fn run(self) -> Outcome {
        let transcript = read(&self.transcript)?;
        let (id, keys, enrolment) = enrol::load(&self.data)?;
        let key = keys.journal().clone();
        let mut core = Core::open(id, keys, &self.data.join(files::JOURNAL))?;
        let by = self.person.actor(&transcript.ceremony);
        let signed = transcript::sign(&mut core, &transcript, (&enrolment, &key), &by, server::now())?;
        println!("{}", serde_json::to_string(&signed)?);
        Ok(())
    }
}

impl Verify {
    fn run(self) -> Outcome {
        let transcript = read(&self.transcript)?;
        let signed = self.signed.iter().map(|path| {
            let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
            Ok(serde_json::from_slice::<Signed>(&bytes).map_err(|error| format!("{}: {error}", path.display()))?)
        });
        transcript::verify_signers(&transcript, &signed.collect::<Outcome<Vec<_>>>()?)?;
        let people = approvals(&self.signatures)?;
        let charter = charters(self.charter.as_slice())?.pop();
        if let Some(charter) = &charter {
            transcript::verify_charter(&transcript, charter)?;
        }
        for one in &people {
            let charter = charter.as_ref().ok_or("name the charter that has people's keys: --charter FILE")?;
            let keys = charter.operator(&one.operator).map(|operator| operator.keys.clone());
            let keys = keys.ok_or_else(|| format!("the charter knows no operator {}", one.operator))?;
            transcript::verify_person(&transcript, &one.operator, &keys, &one.signature)?;
        }
        println!("the transcript {} holds; signed by", transcript.digest());
        for party in &transcript.parties {
            println!("  signer {}", party.enrolment.signer);
        }
        for one in &people {
            println!("  {} ({NAMESPACE})", one.operator);
        }
        Ok(())
    }
}
