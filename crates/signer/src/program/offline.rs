//! What people do at a signer without a network.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use signer::core::{Core, Trial};
use signer::enrol::{self, files};
use signer::offline::{Session, read};
use signer::server::now;
use signer::vault::{Opener, Vault};
use signer_wire::{Answer, Bundle};
use types::words;
use walls::{LandlockRule, MemoryRule, Walls};

use super::Outcome;
use super::carry::{self, Input, Qr};
use super::opening::Opening;
use super::people::Person;

/// `offline`.
#[derive(Subcommand)]
pub enum Offline {
    /// Show what a bundle says, as this signer reads it, and what would come of it. Changes nothing.
    Show(Show),
    /// Show a bundle, ask, sign it and write the answer. The same bundle again gives the same signatures.
    Sign(Box<Sign>),
    /// Write the answer to a bundle that was signed before once more.
    Answer(Again),
    /// Show every key that this signer ever had.
    Board(Board),
    /// Show a bundle or an answer as QR codes in this terminal, or write it to pages.
    Qr(Qr),
}

impl Offline {
    /// Does it.
    pub fn run(self) -> Outcome {
        match self {
            Offline::Show(show) => show.run(),
            Offline::Sign(sign) => sign.run(),
            Offline::Answer(again) => again.run(),
            Offline::Board(board) => board.run(),
            Offline::Qr(qr) => qr.run(),
        }
    }
}

/// `offline show`.
#[derive(Args)]
pub struct Show {
    /// The signer's directory.
    #[arg(long)]
    data: PathBuf,
    #[command(flatten)]
    input: Input,
}

impl Show {
    fn run(self) -> Outcome {
        let bundle = Bundle::from_bytes(&self.input.read(Bundle::KIND)?)?;
        let reading = read(&self.data, &bundle, now())?;
        print(&reading.lines());
        match reading.refused {
            Some(refused) => Err(Box::new(refused)),
            None => Ok(()),
        }
    }
}

/// `offline sign`.
#[derive(Args)]
pub struct Sign {
    /// The signer's directory.
    #[arg(long)]
    data: PathBuf,
    #[command(flatten)]
    input: Input,
    /// Where the answer goes; a new file.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The first of the bundle's six words, or several, from the other screen; without it, it is asked for.
    #[arg(long, value_name = "WORDS")]
    confirm: Option<String>,
    /// Let memory go to the swap: for machines without one, or with an encrypted one, that do not let memory be locked.
    #[arg(long)]
    may_swap: bool,
    /// Sign on a kernel without Landlock, too.
    #[arg(long)]
    landlock_if_there: bool,
    #[command(flatten)]
    opening: Opening,
    #[command(flatten)]
    person: Person,
}

impl Sign {
    /// From here on nothing is reached but the signer's directory and the answer's, and no network, whatever the machine has.
    fn raise_walls(&self) -> Outcome {
        let out = self.out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        let walls = Walls {
            read_write: vec![self.data.clone(), out.to_owned()],
            read_only: vec![],
            listen_port: None,
            memory: if self.may_swap { MemoryRule::MaySwap } else { MemoryRule::Locked },
            landlock: if self.landlock_if_there { LandlockRule::IfThere } else { LandlockRule::Required },
        };
        eprintln!("walls: {}", walls.raise()?);
        Ok(())
    }

    fn run(self) -> Outcome {
        let bundle = Bundle::from_bytes(&self.input.read(Bundle::KIND)?)?;
        if self.out.exists() {
            return Err(format!("{} is there already; name a new file for the answer", self.out.display()).into());
        }
        let (id, keys, _) = enrol::load(&self.data)?;
        let mut core = Core::open(id, keys, &self.data.join(files::JOURNAL))?;
        let mut session = Session::begin(&mut core, &self.data, bundle, now())?;
        print(&session.reading().lines());
        if let Some(answer) = session.earlier()? {
            println!("signed before; these are the same signatures");
            return hand_out(&answer, &self.out);
        }
        if let Some(refused) = session.reading().refused.clone() {
            hand_out(&session.refusal(refused.clone())?, &self.out)?;
            return Err(Box::new(refused));
        }
        session.confirm(&typed(self.confirm.as_deref())?)?;
        if !session.moves_coins() {
            let answer = session.carry_out_only(&now)?;
            return hand_out(&answer, &self.out);
        }
        let (slot, kek) = self.opening.kek(&Vault::Accounts.read(&self.data)?)?;
        self.raise_walls()?;
        let terminal = self.person.terminal();
        let opener = Opener { person: &self.person.person, terminal: &terminal, slot: &slot, kek: &kek };
        match session.sign(&opener, &now) {
            Ok(answer) => hand_out(&answer, &self.out),
            Err(refused) => {
                hand_out(&session.refusal(refused.clone())?, &self.out)?;
                Err(Box::new(refused))
            }
        }
    }
}

/// `offline answer`.
#[derive(Args)]
pub struct Again {
    /// The signer's directory.
    #[arg(long)]
    data: PathBuf,
    #[command(flatten)]
    input: Input,
    /// Where the answer goes; a new file.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Again {
    fn run(self) -> Outcome {
        let bundle = Bundle::from_bytes(&self.input.read(Bundle::KIND)?)?;
        let (id, keys, _) = enrol::load(&self.data)?;
        let mut core = Core::open(id, keys, &self.data.join(files::JOURNAL))?;
        let mut session = Session::begin(&mut core, &self.data, bundle, now())?;
        let answer = session.earlier()?.ok_or("this bundle was not signed here; use `offline sign`")?;
        hand_out(&answer, &self.out)
    }
}

/// `offline board`.
#[derive(Args)]
pub struct Board {
    /// The signer's directory.
    #[arg(long)]
    data: PathBuf,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Board {
    fn run(self) -> Outcome {
        let (id, keys, _) = enrol::load(&self.data)?;
        let trial = Trial::open(id, keys, &self.data.join(files::JOURNAL))?;
        super::keys::show(&trial.board(now()), self.json)
    }
}

/// Asks for the first word: whoever types it has looked at the words, and has compared them.
fn typed(given: Option<&str>) -> Outcome<String> {
    if let Some(words) = given {
        return Ok(words.to_owned());
    }
    println!("\nRead every line, and compare the six words with those on the other screen.");
    print!("To sign, type the first of the six words: ");
    io::stdout().flush()?;
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    Ok(line)
}

/// Writes the answer where its carrier takes it from.
fn hand_out(answer: &Answer, out: &Path) -> Outcome {
    carry::write(out, &answer.to_bytes())?;
    let digest = answer.digest();
    print(&[
        ("signatures".to_owned(), answer.signatures.len().to_string()),
        ("answer".to_owned(), digest.to_string()),
        ("six words".to_owned(), words(&digest).join(" ")),
        ("written to".to_owned(), out.display().to_string()),
    ]);
    Ok(())
}

fn print(lines: &[(String, String)]) {
    let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, value) in lines {
        println!("{name:width$}  {value}");
    }
}
