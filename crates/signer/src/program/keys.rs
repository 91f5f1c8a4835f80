//! Opening and closing keys at a signer that runs, and looking at its board.

use std::path::PathBuf;

use clap::Args;
use signer::control::{Answer, Question, ask, ask_with};
use signer::device::PIN_BYTES_MAX;
use signer::vault::Vault;
use signer_wire::{KeyLine, ReplyBody};
use types::WalletId;

use super::Outcome;
use super::opening::Opening;
use super::people::Person;
use super::token;

/// `open`.
#[derive(Args)]
pub struct Open {
    /// The signer's directory.
    #[arg(long)]
    data: PathBuf,
    #[command(flatten)]
    opening: Opening,
    /// Open the key inside the device, with its PIN, instead of the sealed keys.
    #[arg(long)]
    device: bool,
    /// The token and key, where they are not those of last time: `LABEL:KEY`, or `LABEL#SERIAL:KEY`.
    #[arg(long, requires = "device")]
    token: Option<String>,
    #[command(flatten)]
    person: Person,
}

impl Open {
    /// Hands the slot's key, or the PIN, to the signer.
    pub fn run(self) -> Outcome {
        if self.device {
            return self.open_device();
        }
        let envelope = Vault::Accounts.read(&self.data)?;
        let (slot, kek) = self.opening.kek(&envelope)?;
        let question = Question::Open {
            slot: slot.to_string(),
            person: self.person.person.to_string(),
            terminal: self.person.terminal(),
        };
        if let Answer::Wallets(wallets) = ask(&self.data, &question, Some(&kek))? {
            println!("open: {}", wallets.join(", "));
        }
        Ok(())
    }
}

impl Open {
    fn open_device(&self) -> Outcome {
        let (label, serial, key) = match &self.token {
            None => (None, None, None),
            Some(text) => {
                let (token, key) = text.rsplit_once(':').ok_or("a token and key are written LABEL[#SERIAL]:KEY")?;
                let (label, serial) = match token.rsplit_once('#') {
                    Some((label, serial)) => (label, Some(serial.to_owned())),
                    None => (token, None),
                };
                (Some(label.to_owned()), serial, Some(key.to_owned()))
            }
        };
        let pin = token::pin(self.opening.pin_file.as_deref(), label.as_deref().unwrap_or("of the signer's key"))?;
        if pin.len() > PIN_BYTES_MAX {
            return Err(format!("a PIN has at most {PIN_BYTES_MAX} bytes").into());
        }
        let (person, terminal) = (self.person.person.to_string(), self.person.terminal());
        let question = Question::OpenDevice { label, serial, key, pin_bytes: pin.len(), person, terminal };
        if let Answer::Wallets(wallets) = ask_with(&self.data, &question, &pin)? {
            println!("open: {}", wallets.join(", "));
        }
        Ok(())
    }
}

/// `close`.
#[derive(Args)]
pub struct Close {
    /// The signer's directory.
    #[arg(long)]
    data: PathBuf,
    /// The wallet whose key is closed; all of them when none is named.
    #[arg(long)]
    wallet: Option<WalletId>,
    /// Why.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    person: Person,
}

impl Close {
    /// Has the signer wipe keys.
    pub fn run(self) -> Outcome {
        let question = Question::Close {
            wallet: self.wallet.map(|wallet| wallet.to_string()),
            person: self.person.person.to_string(),
            terminal: self.person.terminal(),
            reason: self.reason,
        };
        if let Answer::Wallets(wallets) = ask(&self.data, &question, None)? {
            let none = if wallets.is_empty() { "none was open".to_owned() } else { wallets.join(", ") };
            println!("closed: {none}");
        }
        Ok(())
    }
}

/// `board`.
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
    /// Prints the board.
    pub fn run(self) -> Outcome {
        let Answer::Board(board) = ask(&self.data, &Question::Board, None)? else { return Err("no board".into()) };
        if self.json {
            println!("{}", serde_json::to_string_pretty(&board)?);
            return Ok(());
        }
        let ReplyBody::Board { keys, ceremonies, slots, custodians } = *board else { return Err("no board".into()) };
        for key in &keys {
            println!("{}", line(key));
        }
        for slot in &slots {
            println!("{:<9} {:<20} {:<16} {}", slot.vault, slot.slot, slot.kind, slot.holders.join(", "));
        }
        println!("custodians: {}", custodians.join(", "));
        for held in &ceremonies {
            println!("{}  {:<14} {} ({}, {})", held.at, held.step, held.detail, held.person, held.terminal);
        }
        Ok(())
    }
}

fn line(key: &KeyLine) -> String {
    let name = format!("{}:{}", key.kind, key.name);
    let mut text = format!("{name:<46} {:<10} since {}", key.state, key.since);
    if !key.wallet.is_empty() {
        text.push_str(&format!("  wallet {}", key.wallet));
    }
    if key.open {
        text.push_str(&format!("  open until {}, {} signatures left", key.until, key.signatures_left));
    } else if !key.until.is_empty() {
        text.push_str(&format!("  may be opened until {}, {} signatures left", key.until, key.signatures_left));
    }
    if !key.device.is_empty() {
        text.push_str(&format!("  in a device {}", key.device));
    }
    if key.kind == "signature" {
        text.push_str(&format!("  {} s open in all", key.active_seconds));
    }
    text
}
