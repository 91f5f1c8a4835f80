//! `backup`: the seed as shares.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use signer::ceremony::backup::{self, Destination, Holder, Plan};
use signer::refusal::{Code, Refused};
use signer::vault::random;
use types::OperatorId;

use super::Outcome;
use super::opening::Opening;
use super::people::Person;
use super::step::{Allowed, hold, unlock};

/// `backup`.
#[derive(Args)]
pub struct Backup {
    /// The signer's directory.
    #[arg(long)]
    data: PathBuf,
    /// How many shares bring the seed back.
    #[arg(long)]
    threshold: u8,
    /// Somebody who keeps a share, and the file for it on that person's own medium: words, or a page to print if it ends in `.pdf`.
    /// With `--print` there is no file.
    #[arg(long = "holder", value_name = "NAME=FILE", required = true)]
    holders: Vec<String>,
    /// Where a holder keeps the share.
    #[arg(long = "place", value_name = "NAME=PLACE")]
    places: Vec<String>,
    /// The number of the seal of a holder's envelope.
    #[arg(long = "seal-number", value_name = "NAME=NUMBER")]
    seals: Vec<String>,
    /// A command of the shell that prints the page (PDF) that it reads, such as `lp -d safe`; the page never touches the disk.
    #[arg(long, value_name = "COMMAND")]
    print: Option<String>,
    #[command(flatten)]
    opening: Opening,
    #[command(flatten)]
    allowed: Allowed,
    #[command(flatten)]
    person: Person,
}

impl Backup {
    /// Makes the shares.
    pub fn run(self) -> Outcome {
        let holders = self.holders()?;
        let command = self.print.unwrap_or_default();
        let mut print = |holder: &OperatorId, page: &[u8]| {
            eprintln!("printing the share of {holder}");
            send(&command, page).map_err(|reason| Refused::new(Code::Print, format!("{holder}: {reason}")))
        };
        let mut plan = Plan {
            threshold: self.threshold,
            holders: &holders,
            page: &mut signer::ceremony::sheet::page,
            print: &mut print,
            random: &mut random,
        };
        let mut unlock = unlock(&self.opening, None, &self.person.person);
        let done = hold(&self.data, &self.allowed, &self.person, |bench| backup::hold(bench, &mut plan, &mut unlock))?;
        println!("{}: {done}", if done.again.is_some() { "no share was made now" } else { "backed up" });
        Ok(())
    }

    fn holders(&self) -> Outcome<Vec<Holder>> {
        let (mut places, mut seals) = (pairs(&self.places)?, pairs(&self.seals)?);
        let mut holders = Vec::new();
        for text in &self.holders {
            let (name, file) = match (text.split_once('='), &self.print) {
                (Some((name, file)), None) => (name, Some(Path::new(file))),
                (None, Some(_)) => (text.as_str(), None),
                (None, None) => return Err(format!("\"{text}\" is written NAME=FILE").into()),
                (Some(_), Some(_)) => return Err("with --print a holder has no file".into()),
            };
            let to = match file {
                None => Destination::Printer,
                Some(file) if file.extension().is_some_and(|end| end == "pdf") => Destination::Page(file.to_owned()),
                Some(file) => Destination::Words(file.to_owned()),
            };
            let (place, seal) = (places.remove(name).unwrap_or_default(), seals.remove(name).unwrap_or_default());
            holders.push(Holder { name: name.parse()?, to, place, seal });
        }
        match places.keys().chain(seals.keys()).next() {
            Some(stranger) => Err(format!("{stranger} keeps no share of this backup").into()),
            None => Ok(holders),
        }
    }
}

fn pairs(texts: &[String]) -> Outcome<BTreeMap<String, String>> {
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').ok_or_else(|| format!("\"{text}\" is written NAME=TEXT"))?;
        Ok((name.to_owned(), value.to_owned()))
    };
    texts.iter().map(pair).collect()
}

/// Hands a page to a command through a pipe.
fn send(command: &str, page: &[u8]) -> Result<(), String> {
    let mut child = Command::new("/bin/sh")
        .args(["-c", command])
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|error| format!("the printing command does not start: {error}"))?;
    let written = child.stdin.take().map_or(Ok(()), |mut pipe| pipe.write_all(page));
    let status = child.wait().map_err(|error| error.to_string())?;
    match written {
        Ok(()) if status.success() => Ok(()),
        Ok(()) => Err(format!("the printing command ended with {status}; destroy what it printed")),
        Err(error) => Err(format!("the printing command did not take the page: {error}")),
    }
}
