//! `medium`: movements of backup media.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use signer::ceremony::medium::{Movement, record};
use signer::control::{Answer, ControlError, Question, ask};
use signer::server;
use types::OperatorId;

use super::Outcome;
use super::people::Person;
use super::step::open;

/// `medium`.
#[derive(Subcommand)]
pub enum Medium {
    /// Write a movement down.
    Record(Record),
}

/// `medium record`.
#[derive(Args)]
pub struct Record {
    /// The signer's directory.
    #[arg(long)]
    data: PathBuf,
    /// The medium, such as `set-12345-share-2`.
    #[arg(long)]
    medium: String,
    /// Where it was.
    #[arg(long)]
    from: String,
    /// Where it is now.
    #[arg(long)]
    to: String,
    /// The number of its seal.
    #[arg(long)]
    seal: String,
    /// Who was there besides you.
    #[arg(long)]
    second: OperatorId,
    #[command(flatten)]
    person: Person,
}

impl Medium {
    /// Does it.
    pub fn run(self) -> Outcome {
        let Medium::Record(Record { data, medium, from, to, seal, second, person }) = self;
        let question = Question::Medium {
            medium: medium.clone(),
            from: from.clone(),
            to: to.clone(),
            seal: seal.clone(),
            person: person.person.to_string(),
            second: second.to_string(),
            terminal: person.terminal(),
        };
        let detail = match ask(&data, &question, None) {
            Ok(Answer::Recorded(detail)) => detail,
            Ok(_) => return Err("the signer answered something else".into()),
            // It does not run: the journal's lock says so for certain.
            Err(ControlError::Socket(..)) => {
                let (person, second, terminal) = (&person.person, &second, person.terminal());
                let movement = Movement { medium: &medium, from: &from, to: &to, seal: &seal, person, second };
                record(&mut open(&data)?, &movement, &terminal, server::now())?
            }
            Err(error) => return Err(error.into()),
        };
        println!("recorded: {detail}");
        Ok(())
    }
}
