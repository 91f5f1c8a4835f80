//! Sealed files: a signer's seed, and its signature keys apart from it, so that opening one for signing never opens the other.
//!
//! Trusted with both files: the signer's host, which holds ciphertext. What opens them (K3) is held by people who do not administer
//! that host; the journal notes which sealing key is in use, so a file exchanged for an older one is found when it is opened.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sealing::{Context, DataKey, Envelope, ItemName, Kek, NewSlot, Purpose, SealingError, SlotKind, SlotName};
use signer_wire::SlotLine;
use types::{KeyKind, KeyState, Moment, Network, OperatorId, SignerId, WalletId};
use zeroize::Zeroizing;

use crate::core::Core;
use crate::keys::Secret;
use crate::life::{Actor, KeyName, Life};
use crate::refusal::{Code, Refused};
use crate::seed::{Seed, SeedError};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vault {
    /// The master seed.
    Seed,
    /// The signature keys of accounts, and the key of canaries.
    Accounts,
}

/// Why a sealed file is not there.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The file.
    #[error("the sealed file {0} cannot be read or written")]
    File(&'static str, #[source] io::Error),
    /// Its content.
    #[error("the sealed file {0} cannot be used")]
    Sealing(&'static str, #[source] SealingError),
    /// It was written, but not so that it stays.
    #[error("the sealed file {0} cannot be stored")]
    Store(&'static str, #[source] sealing::store::StoreError),
}

impl Vault {
    /// The file's name in the signer's directory.
    pub const fn file(self) -> &'static str {
        match self {
            Vault::Seed => "seed.sealed",
            Vault::Accounts => "accounts.sealed",
        }
    }

    /// Where a re-keying puts the file before the journal knows of it.
    pub fn staged(self, directory: &Path) -> PathBuf {
        directory.join(format!("{}.next", self.file()))
    }

    /// The word that the envelope is bound to.
    pub const fn purpose(self) -> &'static str {
        match self {
            Vault::Seed => "seed",
            Vault::Accounts => "accounts",
        }
    }

    /// Whose secrets are in it, and what for.
    pub fn context(self, signer: &SignerId, network: Network) -> Result<Context, Refused> {
        let purpose: Purpose = self.purpose().parse().map_err(|_| Refused::new(Code::Sealing, "no such purpose"))?;
        Ok(Context { signer: signer.clone(), network, purpose })
    }

    /// Reads the sealed file.
    pub fn read(self, directory: &Path) -> Result<Envelope, VaultError> {
        let bytes = fs::read(directory.join(self.file())).map_err(|error| VaultError::File(self.file(), error))?;
        Envelope::from_bytes(&bytes).map_err(|error| VaultError::Sealing(self.file(), error))
    }

    /// Replaces the sealed file durably.
    pub fn write(self, directory: &Path, envelope: &Envelope) -> Result<(), VaultError> {
        sealing::store::store(&directory.join(self.file()), envelope)
            .map_err(|error| VaultError::Store(self.file(), error))
    }
}

/// Puts right what a crash left of a re-keying: a new file beside the old one takes its name if the journal says that its sealing
/// key is in use, and is removed if the journal does not know it. Called while the journal's lock is held.
pub fn settle(directory: &Path, life: &Life) -> Result<(), VaultError> {
    for vault in [Vault::Seed, Vault::Accounts] {
        let failed = |error| VaultError::File(vault.file(), error);
        let staged = vault.staged(directory);
        if !staged.exists() {
            continue;
        }
        let state =
            |envelope: &Envelope| life.state(&KeyName { kind: KeyKind::Sealing, name: envelope.k3().to_string() });
        let new = sealing::store::load(&staged).ok().and_then(|envelope| state(&envelope));
        match new {
            Some(KeyState::InUse) => fs::rename(&staged, directory.join(vault.file())).map_err(failed)?,
            // Only where the file in use is sound: otherwise both stay for people to look at.
            _ if state(&vault.read(directory)?) == Some(KeyState::InUse) => fs::remove_file(&staged).map_err(failed)?,
            _ => continue,
        }
        fs::File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)?;
    }
    Ok(())
}

/// The system's randomness, for sealing.
pub fn random(bytes: &mut [u8]) -> Result<(), sealing::NoRandomness> {
    getrandom::fill(bytes).map_err(|_| sealing::NoRandomness)
}

fn refused(error: impl std::error::Error) -> Refused {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    Refused::new(Code::Sealing, text)
}

fn item(name: &str) -> Result<ItemName, Refused> {
    name.parse().map_err(refused)
}

fn account_item(account: Option<u32>) -> Result<ItemName, Refused> {
    item(&account.map_or_else(|| "canary".to_owned(), |account| format!("account-{account}")))
}

/// Who can open the sealed files of a directory, and with what.
pub fn slot_lines(directory: &Path) -> Result<Vec<SlotLine>, VaultError> {
    let mut lines = Vec::new();
    for vault in [Vault::Seed, Vault::Accounts] {
        let envelope = vault.read(directory)?;
        lines.extend(envelope.slots().map(|slot| SlotLine {
            vault: vault.purpose().to_owned(),
            slot: slot.name().to_string(),
            kind: match slot.kind() {
                SlotKind::Passphrase(_) => "passphrase".to_owned(),
                SlotKind::Shares { threshold, .. } => format!("shares {threshold} of {}", slot.holders().len()),
                SlotKind::Token(token) => format!("token {}", token.label),
                SlotKind::Age { .. } => "age".to_owned(),
            },
            holders: slot.holders().iter().map(ToString::to_string).collect(),
            sealing_key: envelope.k3().to_string(),
        }));
    }
    Ok(lines)
}

/// Refuses a sealing that a custodian of the machine holds, and a charter that does not say who its custodians are.
pub fn check_apart(custodians: &[OperatorId], envelope: &Envelope) -> Result<(), Refused> {
    if custodians.is_empty() {
        let reason = "the charter does not say who administers this machine; name its custodians";
        return Err(Refused::new(Code::K3Holder, reason));
    }
    match envelope.holders().into_iter().find(|holder| custodians.contains(holder)) {
        Some(both) => {
            let reason = format!(
                "{both} administers this machine and holds what opens its keys; seal them anew for other holders, or name another custodian"
            );
            Err(Refused::new(Code::K3Holder, reason))
        }
        None => Ok(()),
    }
}

/// Everything that a seed gives its signer, sealed.
pub struct Sealed {
    /// The seed's file.
    pub seed: Envelope,
    /// The accounts' file.
    pub accounts: Envelope,
    /// A key expression for each account, in order.
    pub expressions: Vec<String>,
}

/// Derives `count` accounts from a seed and seals both, each under its own new data key.
pub fn seal(
    signer: &SignerId,
    network: Network,
    seed: &Seed,
    count: u32,
    seed_slots: Vec<NewSlot>,
    account_slots: Vec<NewSlot>,
) -> Result<Sealed, Refused> {
    let secp = bitcoin::secp256k1::Secp256k1::new();
    let broken = |error: SeedError| Refused::new(Code::Seed, error.to_string());
    let mut expressions = Vec::new();
    let mut items = BTreeMap::new();
    for account in 0..count {
        let (secret, expression) = seed.account(account, &secp).map_err(broken)?;
        items.insert(account_item(Some(account))?, Zeroizing::new(secret.expose().to_vec()));
        expressions.push(expression);
    }
    let canary = seed.canary(&secp).map_err(broken)?;
    items.insert(account_item(None)?, Zeroizing::new(canary.expose().to_vec()));
    let context = Vault::Accounts.context(signer, network)?;
    let (accounts, _) = Envelope::create(context, &items, account_slots, &mut random).map_err(refused)?;
    let items = BTreeMap::from([(item("seed")?, Zeroizing::new(seed.expose().to_vec()))]);
    let (seed, _) =
        Envelope::create(Vault::Seed.context(signer, network)?, &items, seed_slots, &mut random).map_err(refused)?;
    Ok(Sealed { seed, accounts, expressions })
}

/// Opens the seed.
pub fn open_seed(envelope: &Envelope, key: &DataKey, network: Network) -> Result<Seed, Refused> {
    let bytes = envelope.open_item(key, &item("seed")?).map_err(refused)?;
    Seed::from_bytes(&bytes, network).map_err(refused)
}

/// Opens one account's key, or, for none, the key of canaries.
pub fn open_account(envelope: &Envelope, key: &DataKey, account: Option<u32>) -> Result<Secret, Refused> {
    let bytes = envelope.open_item(key, &account_item(account)?).map_err(refused)?;
    Secret::from_bytes(&bytes).ok_or_else(|| Refused::new(Code::Sealing, "what was sealed is no key"))
}

/// Seals a further account's key.
pub fn add_account(envelope: &mut Envelope, key: &DataKey, account: u32, secret: &Secret) -> Result<(), Refused> {
    envelope.put_item(key, account_item(Some(account))?, secret.expose(), &mut random).map_err(refused)
}

/// Who wants to open something, with what.
pub struct Opener<'a> {
    /// The person, who must be among the slot's holders.
    pub person: &'a OperatorId,
    /// Where the person is.
    pub terminal: &'a str,
    /// The slot.
    pub slot: &'a SlotName,
    /// What its holders put together.
    pub kek: &'a Kek,
}

impl Core {
    /// Opens a sealed file's data key for somebody who may: a holder of the slot who is no custodian of this machine, with the sealing key
    /// that the journal says is in use.
    ///
    /// # Errors
    /// `k3-holder`, `sealing`, `sealing-key`.
    pub fn unseal(&self, vault: Vault, envelope: &Envelope, opener: &Opener<'_>) -> Result<DataKey, Refused> {
        let slot = envelope.slot(opener.slot).map_err(refused)?;
        self.check_holders(envelope)?;
        if !slot.holders().contains(opener.person) {
            let reason = format!("{} does not hold \"{}\"", opener.person, opener.slot);
            return Err(Refused::new(Code::K3Holder, reason));
        }
        let key = KeyName { kind: KeyKind::Sealing, name: envelope.k3().to_string() };
        match self.key_state(&key) {
            Some(KeyState::InUse) => {}
            Some(state) => {
                let reason = format!("the file {} is sealed with a key that is {state}: an older copy", vault.file());
                return Err(Refused::new(Code::SealingKey, reason));
            }
            None => {
                let reason = format!("the file {} is sealed with a key that this signer never had", vault.file());
                return Err(Refused::new(Code::SealingKey, reason));
            }
        }
        let context = vault.context(self.id(), self.network())?;
        envelope.open_slot(&context, opener.slot, opener.kek).map_err(refused)
    }

    /// Refuses a sealing that a custodian of this machine holds: who has the sealed keys must not have what opens them.
    pub fn check_holders(&self, envelope: &Envelope) -> Result<(), Refused> {
        // Before there is a charter nobody is named, and no key can be opened.
        if self.charter_version() == 0 { Ok(()) } else { check_apart(self.custodians(), envelope) }
    }

    /// Opens every key that a quorum lets be opened, from the sealed file in `directory`.
    pub fn open_sealed(
        &mut self,
        directory: &Path,
        opener: &Opener<'_>,
        now: Moment,
    ) -> Result<Vec<WalletId>, Refused> {
        let envelope = Vault::Accounts.read(directory).map_err(refused)?;
        let key = self.unseal(Vault::Accounts, &envelope, opener)?;
        let by = Actor {
            person: opener.person.to_string(),
            terminal: opener.terminal.to_owned(),
            cause: format!("opened with \"{}\"", opener.slot),
        };
        self.open_keys(&mut |account| open_account(&envelope, &key, account), &by, now)
    }
}
