//! Who is at the keyboard, and what they approve.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use policy::Charter;
use signer::life::Actor;
use types::{Approval, OperatorId};

use super::Outcome;

/// The person at this terminal.
#[derive(Args, Clone)]
pub struct Person {
    /// Your name as an operator; it stands in the journal.
    #[arg(long)]
    pub person: OperatorId,
    /// Where you are; by default the terminal or connection that this is typed at.
    #[arg(long)]
    pub terminal: Option<String>,
}

impl Person {
    /// Where the person is.
    pub fn terminal(&self) -> String {
        let connection = || std::env::var("SSH_CONNECTION").ok();
        let device = || fs::read_link("/proc/self/fd/0").ok().map(|path| path.display().to_string());
        self.terminal.clone().or_else(connection).or_else(device).unwrap_or_else(|| "unknown".to_owned())
    }

    /// The person as the cause of something.
    pub fn actor(&self, cause: &str) -> Actor {
        Actor { person: self.person.to_string(), terminal: self.terminal(), cause: cause.to_owned() }
    }
}

/// Reads charters, in order.
pub fn charters(files: &[PathBuf]) -> Outcome<Vec<Charter>> {
    let read = |file: &PathBuf| {
        let bytes = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(Charter::from_bytes(&bytes).map_err(|error| format!("{}: {error}", file.display()))?)
    };
    files.iter().map(read).collect()
}

/// Reads `OPERATOR=FILE` arguments.
pub fn approvals(texts: &[String]) -> Outcome<Vec<Approval>> {
    let read = |text: &String| {
        let (operator, file) = text.split_once('=').ok_or("an approval is written OPERATOR=FILE")?;
        let signature = fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
        Ok(Approval { operator: operator.parse()?, signature })
    };
    texts.iter().map(read).collect()
}
