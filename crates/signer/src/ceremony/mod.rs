//! Ceremonies: what people do with a signer's seed and sealing at its own machine, while it does not run. The journal's lock keeps
//! two of them, or one and a running signer, apart.
//!
//! Each takes a key quorum's instruction, and can be called again with the same one after a crash at any point: it finishes what was
//! begun, or says what came of it. What a crash leaves is said at each step, and [`Watch`] lets tests stop right there.
//!
//! What came of it is never said from memory alone: shares, files and places are looked at again in that very call, and where they are
//! not those of the record, the answer is `held-before`. See [`Done`].
//!
//! | ceremony | secret that is in memory | what it leaves on the signer's disk |
//! |---|---|---|
//! | [`generate`](mod@generate) | the new seed | ciphertext, a public report |
//! | [`backup`] | the seed, its shares | a record without any word; the shares go to their holders' media |
//! | [`rehearse`] | the seed | a record |
//! | [`reseal`] | both data keys | ciphertext under a new sealing key, a record |
//! | [`restore`] | the seed, on a new machine | a new signer's directory |
//! | [`account`] | the seed, one account's key | one more sealed key, a record |

pub mod account;
pub mod backup;
pub mod chain;
pub mod dice;
pub mod entropy;
pub mod generate;
pub mod health;
pub mod medium;
pub mod rehearse;
pub mod reseal;
pub mod restore;
pub mod sheet;
pub mod transcript;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use chains::bitcoin::{AccountKey, AccountPublic};
use sealing::{DataKey, Envelope, Kek, NewSlot, SlotName};
use types::{Instruction, InstructionId, KeyStep, Moment, OperatorId, Step};

use crate::core::Core;
use crate::life::{Actor, Ceremony};
use crate::refusal::{Code, Refused};
use crate::seed::Seed;
use crate::vault::{Opener, Vault};

/// Told of each step of a ceremony once it is done, by name; an error stops right there, as a crash would.
pub type Watch<'a> = dyn FnMut(&'static str) -> io::Result<()> + 'a;

/// Fills bytes from a cryptographic source.
pub type Random<'a> = sealing::Random<'a>;

/// Puts a slot's key together: who holds it, which slot, and the key. Called only once everything else was checked.
pub type Unlock<'a> = dyn FnMut(Vault, &Envelope) -> Result<(OperatorId, SlotName, Kek), Refused> + 'a;

/// Makes new slots for a sealed file. Called only once everything else was checked.
pub type Slots<'a> = dyn FnMut(Vault) -> Result<Vec<NewSlot>, Refused> + 'a;

/// What every ceremony at a signer needs.
pub struct Bench<'a> {
    /// The signer, which does not run.
    pub core: &'a mut Core,
    /// Its directory.
    pub directory: &'a Path,
    /// The key quorum's instruction with its approvals.
    pub instruction: &'a signer_wire::Instruction,
    /// Who leads it.
    pub person: &'a str,
    /// Where.
    pub terminal: &'a str,
    /// When.
    pub now: Moment,
    /// Told of each step.
    pub watch: &'a mut Watch<'a>,
}

/// What came of a ceremony.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// What the journal says of it.
    pub detail: String,
    /// For one that was held before under this very instruction: what was found when it was looked at again, just now.
    pub again: Option<String>,
}

impl Done {
    /// What was done just now.
    pub(crate) const fn now(detail: String) -> Done {
        Done { detail, again: None }
    }

    /// What was done before, and looked at just now.
    pub(crate) fn before(held: Ceremony, found: impl Into<String>) -> Done {
        Done { detail: held.detail, again: Some(found.into()) }
    }
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.detail)?;
        match &self.again {
            Some(found) => {
                write!(f, " (recorded before under this very instruction; looked at again just now: {found})")
            }
            None => Ok(()),
        }
    }
}

/// The instruction stands for another ceremony than what is found now.
pub(crate) fn held_before(held: &str, found: &str) -> Refused {
    let reason = format!(
        "this instruction was used before, for another ceremony ({held}); {found}; a further one needs a further instruction"
    );
    Refused::new(crate::refusal::Code::HeldBefore, reason)
}

/// How a ceremony stands.
pub enum Begun {
    /// The quorum allows it, and nothing was done yet.
    Now(InstructionId, KeyStep),
    /// It was held before under this very instruction; this was recorded of it. What is there now has to be looked at.
    Before(Ceremony),
}

impl Bench<'_> {
    /// Counts the quorum, or finds what came of the ceremony before.
    pub fn begin(&mut self, step: Step) -> Result<Begun, Refused> {
        if let Ok(instruction) = Instruction::from_canonical(self.instruction.canonical.as_bytes())
            && let Some(held) = held(self.core, step.as_str(), instruction.id.as_str())
        {
            return Ok(Begun::Before(held));
        }
        self.core.begin_step(self.instruction, step, self.now).map(|(id, step)| Begun::Now(id, step))
    }

    /// Who did it, by which instruction.
    pub fn actor(&self, instruction: &InstructionId) -> Actor {
        Actor { person: self.person.to_owned(), terminal: self.terminal.to_owned(), cause: instruction.to_string() }
    }

    /// Opens a sealed file.
    pub fn open(&self, vault: Vault, unlock: &mut Unlock<'_>) -> Result<(Envelope, DataKey), Refused> {
        let envelope = vault.read(self.directory).map_err(refused)?;
        self.core.check_holders(&envelope)?;
        let (person, slot, kek) = unlock(vault, &envelope)?;
        let opener = Opener { person: &person, terminal: self.terminal, slot: &slot, kek: &kek };
        let key = self.core.unseal(vault, &envelope, &opener)?;
        Ok((envelope, key))
    }

    /// Says that a step is done.
    pub fn done(&mut self, step: &'static str) -> Result<(), Refused> {
        stop((self.watch)(step))
    }
}

/// What came of a ceremony, if it was held.
pub(crate) fn held(core: &Core, step: &str, instruction: &str) -> Option<Ceremony> {
    core.ceremonies().iter().find(|one| one.step == step && one.by.cause == instruction).cloned()
}

/// A seed's name, and whether it is this signer's: the journal's fingerprint, and every account's public key.
pub(crate) fn same_seed(core: &Core, seed: &Seed) -> Result<(String, bool), Refused> {
    let secp = bitcoin::secp256k1::Secp256k1::new();
    let broken = |error: crate::seed::SeedError| Refused::new(Code::Seed, error.to_string());
    let fingerprint = seed.fingerprint(&secp).map_err(broken)?.to_string();
    let mut same = core.seed_name().is_some_and(|name| name.name == fingerprint);
    // A key inside a device comes from no seed.
    let ranged = |public: &&AccountKey| matches!(public.public, AccountPublic::Ranged(_));
    for (account, public) in (0..).zip(core.accounts()).filter(|(_, public)| ranged(public)) {
        let (_, expression) = seed.account(account, &secp).map_err(broken)?;
        same &= AccountKey::parse(&expression, core.network()).is_ok_and(|derived| derived == *public);
    }
    Ok((fingerprint, same))
}

pub(crate) fn stop(outcome: io::Result<()>) -> Result<(), Refused> {
    outcome.map_err(|error| Refused::new(Code::Stopped, error.to_string()))
}

/// An error with its causes, as a refusal by the name of its room.
pub(crate) fn refused(error: impl std::error::Error) -> Refused {
    Refused::new(Code::Sealing, causes(&error))
}

/// An error with its causes.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

pub(crate) fn file_error(path: &Path) -> impl Fn(io::Error) -> Refused {
    move |error| Refused::new(Code::File, format!("{}: {error}", path.display()))
}

/// Replaces a public file of the signer's directory durably: the old one or the new one is there after a crash.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    sync_directory(path)
}

/// Returns when the disk has the name of this file.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}
