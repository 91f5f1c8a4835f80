//! What opens sealed files: made when something is sealed, and put together again by its holders when it is opened. All of it happens in
//! the person's own short-lived program; the running signer is given 32 bytes and learns neither passphrases nor shares.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use sealing::program::Age;
use sealing::{Context, Envelope, KEY_BYTES, Kek, NewSlot, Slot, SlotKind, SlotName};
use shares::{RandomError, Share, combine, split_one_group};
use signer::keys::write_secret;
use signer::vault::random;
use types::OperatorId;
use zeroize::Zeroizing;

use super::Outcome;
use super::token;

/// The iteration exponent of shares (SLIP-39): they carry no passphrase, so there is nothing to slow down.
const EXPONENT: u8 = 0;

/// What the person at this terminal has.
#[derive(Args, Clone)]
pub struct Opening {
    /// The slot to open; may be left out when there is one only.
    #[arg(long)]
    slot: Option<SlotName>,
    /// A file with the passphrase; without it, it is asked for.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// A file with the words of a share; once for each.
    #[arg(long = "share", value_name = "FILE")]
    shares: Vec<PathBuf>,
    /// A file with an identity for age; plugins for hardware work too.
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// The library of the token that holds the slot's key (PKCS #11).
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    /// A file with the token's PIN; without it, it is asked for.
    #[arg(long, value_name = "FILE")]
    pub pin_file: Option<PathBuf>,
}

impl Opening {
    /// Puts a slot's key together.
    pub fn kek(&self, envelope: &Envelope) -> Outcome<(SlotName, Kek)> {
        let slot = self.chosen(envelope)?;
        let kek = match slot.kind() {
            SlotKind::Passphrase(_) => {
                let passphrase = passphrase(self.passphrase_file.as_deref(), slot.name(), false)?;
                envelope.passphrase_kek(slot.name(), &passphrase)?
            }
            SlotKind::Shares { set, .. } => from_shares(&self.shares, set)?,
            SlotKind::Age { ciphertext, .. } => {
                let identity = self.identity.as_deref().ok_or("name the identity for age: --identity FILE")?;
                Age::default().decrypt(identity, ciphertext)?
            }
            SlotKind::Token(key) => {
                let (module, pin_file) = (self.module.as_deref(), self.pin_file.as_deref());
                token::unseal(envelope.context(), slot.name(), key, module, pin_file)?
            }
        };
        Ok((slot.name().clone(), kek))
    }

    /// The same person's other means: another slot and passphrase, the same shares and identity.
    pub fn for_seed(&self, slot: Option<SlotName>, passphrase_file: Option<PathBuf>) -> Opening {
        let slot = slot.or_else(|| self.slot.clone());
        let passphrase_file = passphrase_file.or_else(|| self.passphrase_file.clone());
        Opening { slot, passphrase_file, ..self.clone() }
    }

    fn chosen<'a>(&self, envelope: &'a Envelope) -> Outcome<&'a Slot> {
        if let Some(name) = &self.slot {
            return Ok(envelope.slot(name)?);
        }
        let mut slots = envelope.slots();
        match (slots.next(), slots.next()) {
            (Some(only), None) => Ok(only),
            _ => {
                let names: Vec<_> = envelope.slots().map(|slot| slot.name().to_string()).collect();
                Err(format!("there are several ways to open this; name one with --slot: {}", names.join(", ")).into())
            }
        }
    }
}

/// Reads a passphrase from a file's first line, or asks for it, twice when it is new.
fn passphrase(file: Option<&Path>, name: &SlotName, new: bool) -> Outcome<Zeroizing<String>> {
    if let Some(file) = file {
        let text = Zeroizing::new(fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?);
        return Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()));
    }
    let ask = |what: &str| {
        rpassword::prompt_password(format!("{what} for \"{name}\": "))
            .map(Zeroizing::new)
            .map_err(|error| format!("there is no terminal to ask for the passphrase of \"{name}\": {error}"))
    };
    let first = ask(if new { "New passphrase" } else { "Passphrase" })?;
    if new && *ask("The same again")? != *first {
        return Err("the two passphrases differ; nothing was done".into());
    }
    Ok(first)
}

/// Reads shares and puts the secret of 32 bytes together that those of one set were made of. Shares of another set may be among
/// them: they open another file.
fn from_shares(files: &[PathBuf], set: &str) -> Outcome<Kek> {
    let mut shares = read_shares(files)?;
    shares.retain(|share| share.identifier().to_string() == set);
    if shares.is_empty() {
        return Err(format!("none of these shares is of the set {set}, which opens this").into());
    }
    let bytes = combine(&shares, b"")?;
    let bytes: &[u8; KEY_BYTES] = bytes.as_slice().try_into().map_err(|_| "the shares are not those of a key")?;
    Ok(Kek::from_bytes(bytes))
}

/// Reads the words of shares, one in each file.
fn read_shares(files: &[PathBuf]) -> Outcome<Vec<Share>> {
    if files.is_empty() {
        return Err("name the files with the words of the shares: --share FILE, once for each".into());
    }
    let read = |file: &PathBuf| {
        let text = Zeroizing::new(fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?);
        text.trim().parse::<Share>().map_err(|error| format!("{}: {error}", file.display()).into())
    };
    files.iter().map(read).collect()
}

/// Splits 32 bytes among people, `threshold` of whom bring them back.
pub fn shares_of(secret: &[u8], threshold: u8, people: usize) -> Outcome<Vec<Share>> {
    let count = u8::try_from(people).map_err(|_| "too many people for one set of shares")?;
    let mut source = |bytes: &mut [u8]| getrandom::fill(bytes).map_err(|_| RandomError);
    Ok(split_one_group(secret, b"", EXPONENT, true, threshold, count, &mut source)?)
}

/// Reads `--seal` arguments and makes what opens them: asks for passphrases and PINs, and writes shares to files. `context` says
/// what for: a token unwraps a key for nothing else.
pub fn slots(texts: &[String], context: &Context) -> Outcome<Vec<NewSlot>> {
    texts.iter().map(|text| slot(text, context)).collect()
}

fn slot(text: &str, context: &Context) -> Outcome<NewSlot> {
    let wrong = || {
        format!(
            "\"{text}\" is not written NAME=passphrase:HOLDER[:FILE], NAME=shares:M:HOLDER,…:DIRECTORY, NAME=age:HOLDER,…:RECIPIENT,… or NAME=token:HOLDER,…:MODULE:LABEL:KEY[:PINFILE]"
        )
    };
    let (name, rest) = text.split_once('=').ok_or_else(wrong)?;
    let name: SlotName = name.parse()?;
    if let Some((people, place)) = rest.strip_prefix("token:").and_then(|rest| rest.split_once(':')) {
        return token::seal(name, holders(people)?, &place.parse()?, context);
    }
    let parts: Vec<&str> = rest.splitn(4, ':').collect();
    match parts.as_slice() {
        ["passphrase", holder, file @ ..] => {
            let file = file.first().map(PathBuf::from);
            let passphrase = passphrase(file.as_deref(), &name, true)?;
            Ok(NewSlot::passphrase(name, holders(holder)?, &passphrase, &mut random)?)
        }
        ["shares", threshold, people, directory] => {
            let threshold: u8 = threshold.parse().map_err(|_| wrong())?;
            let names: Vec<&str> = people.split(',').collect();
            let kek = Kek::random(&mut random)?;
            let shares = shares_of(kek.expose(), threshold, names.len())?;
            let set = shares.first().map(|share| share.identifier().to_string()).unwrap_or_default();
            for (holder, share) in names.iter().zip(&shares) {
                let path = Path::new(directory).join(format!("{holder}.{name}.{set}.share"));
                write_secret(&path, share.to_words().as_bytes())
                    .map_err(|error| format!("{}: {error}", path.display()))?;
            }
            Ok(NewSlot::shares(name, holders(people)?, set, threshold, kek)?)
        }
        ["age", people, recipients] => {
            let kek = Kek::random(&mut random)?;
            let recipients: Vec<String> = recipients.split(',').map(str::to_owned).collect();
            let ciphertext = Age::default().encrypt(&recipients, &kek)?;
            Ok(NewSlot::age(name, holders(people)?, recipients, ciphertext, kek)?)
        }
        _ => Err(wrong().into()),
    }
}

/// Reads people's names.
pub fn holders(text: &str) -> Outcome<BTreeSet<OperatorId>> {
    text.split(',').map(|name| name.parse().map_err(|error| format!("{name}: {error}").into())).collect()
}
