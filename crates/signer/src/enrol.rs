//! Setting a signer up: sealing its secrets, saying what the charter needs to know of it, and pinning whom it listens to.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use chains::bitcoin::AccountKey;
use ed25519_dalek::SigningKey;
use sealing::NewSlot;
use serde::{Deserialize, Serialize};
use types::{Digest, KeyKind, KeyState, Moment, Network, SignerId};
use zeroize::Zeroizing;

use crate::ceremony::Watch;
use crate::core::{key_move, path};
use crate::device::{DeviceFacts, NewDevice};
use crate::journal::{Journal, JournalError};
use crate::keys::{JOURNAL_KEY, JOURNAL_KEY_BYTES, Keys, KeysError, write_secret};
use crate::life::{Actor, KeyName};
use crate::record::{Event, Record};
use crate::refusal::{Code, Refused};
use crate::seed::Seed;
use crate::vault::{Sealed, Vault, VaultError, seal};

/// What people need of a new signer to write a charter. Public.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    /// Identifier.
    pub signer: String,
    /// Network.
    pub network: String,
    /// Ed25519 public key that signs heads of the journal, hexadecimal.
    pub journal_key: String,
    /// One key expression for each account, in order: `[fingerprint/path]xpub/<0;1>/*`; the last may be the key of a device,
    /// `[fingerprint]02…`.
    pub accounts: Vec<String>,
    /// The certificate of its listener (PEM).
    pub certificate: String,
    /// The device that holds the last account's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceFacts>,
}

/// Why a signer was not set up or cannot be found.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The secrets.
    #[error("the secrets cannot be read")]
    Keys(#[from] KeysError),
    /// Sealing.
    #[error("the secrets were not sealed")]
    Sealing(#[source] Refused),
    /// A sealed file.
    #[error("the sealed files were not written")]
    Vault(#[from] VaultError),
    /// The certificate.
    #[error("the certificate cannot be made")]
    Certificate(#[from] rcgen::Error),
    /// A file.
    #[error("the file {0} cannot be read or written")]
    File(PathBuf, #[source] io::Error),
    /// A file's content.
    #[error("the file {0} is damaged")]
    Damaged(PathBuf),
    /// The journal.
    #[error("the journal cannot be begun")]
    Journal(#[from] JournalError),
    /// There is something already.
    #[error("{0} is not empty; a signer's directory is never overwritten: name a new one")]
    Taken(PathBuf),
    /// No randomness.
    #[error("the system gives no randomness")]
    Random,
}

/// The name in a signer's certificate. Certificates are pinned, so one name serves all.
pub const SERVER_NAME: &str = "claviger-signer";

/// Names of the files in a signer's directory.
pub mod files {
    /// Who it is, public.
    pub const ENROLMENT: &str = "enrolment.json";
    /// The listener's private key (PEM).
    pub const TLS_KEY: &str = "tls-key.pem";
    /// The only certificate from which every question is answered (PEM).
    pub const CLIENT: &str = "client.pem";
    /// A second certificate, where people want one, from which connections may only freeze and look (PEM).
    pub const FREEZER: &str = "freeze.crt";
    /// The journal.
    pub const JOURNAL: &str = "journal";
    /// Where people at this machine open and close keys.
    pub const CONTROL: &str = "control.sock";
    /// Answers of a signer without a network, by the digests of their bundles.
    pub const ANSWERS: &str = "answers";
}

/// A signer that is about to be.
pub struct Birth {
    /// Identifier.
    pub id: SignerId,
    /// Network.
    pub network: Network,
    /// How many accounts, one for each wallet.
    pub accounts: u32,
    /// A key inside a device, which becomes the account after those of the seed.
    pub device: Option<NewDevice>,
    /// The seed.
    pub seed: Seed,
    /// What opens the seed.
    pub seed_slots: Vec<NewSlot>,
    /// What opens the accounts' keys.
    pub account_slots: Vec<NewSlot>,
    /// Who makes it, where, and why.
    pub by: Actor,
    /// When.
    pub now: Moment,
    /// The ceremony that makes it; none for a signer that is just set up.
    pub ceremony: Option<Origin>,
}

/// The ceremony by which a signer comes to be.
pub struct Origin {
    /// Its step.
    pub step: String,
    /// What came of it, in words; nothing secret.
    pub detail: String,
    /// The instruction's identifier; empty for one that needs none.
    pub instruction: String,
    /// The charter under which it was held: none that does not come from it is adopted.
    pub base: Option<Digest>,
    /// Further files, public, by name.
    pub public: Vec<(&'static str, Vec<u8>)>,
}

/// Makes a new signer in `directory`, which must be new or empty.
///
/// Everything is written beside it and then takes its name in one step: a crash before leaves a directory of another name, whose
/// secrets nobody was told of and which the next try removes; a crash after leaves a whole signer.
pub fn create(directory: &Path, birth: Birth) -> Result<Enrolment, EnrolError> {
    create_watched(directory, birth, &mut |_| Ok(()))
}

/// As [`create`], and tells `watch` of each step; an error stops right there, as a crash would.
pub fn create_watched(directory: &Path, birth: Birth, watch: &mut Watch<'_>) -> Result<Enrolment, EnrolError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| EnrolError::File(path, error)
    };
    if fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(EnrolError::Taken(directory.to_owned()));
    }
    let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let new = directory.with_file_name(format!("{name}.new"));
    if new.exists() {
        fs::remove_dir_all(&new).map_err(failed(&new))?;
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&new).map_err(failed(&new))?;
    watch("directory").map_err(failed(&new))?;
    let enrolment = write_all(&new, birth, watch)?;
    File::open(&new).and_then(|directory| directory.sync_all()).map_err(failed(&new))?;
    watch("written").map_err(failed(&new))?;
    fs::rename(&new, directory).map_err(failed(directory))?;
    watch("named").map_err(failed(directory))?;
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed(parent))?;
    Ok(enrolment)
}

fn write_all(directory: &Path, birth: Birth, watch: &mut Watch<'_>) -> Result<Enrolment, EnrolError> {
    let fingerprint = birth.seed.fingerprint(&bitcoin::secp256k1::Secp256k1::new());
    let fingerprint = fingerprint.map_err(|error| EnrolError::Sealing(Refused::new(Code::Seed, error.to_string())))?;
    let sealed = seal(&birth.id, birth.network, &birth.seed, birth.accounts, birth.seed_slots, birth.account_slots)
        .map_err(EnrolError::Sealing)?;
    // The seed is not needed any more.
    drop(birth.seed);
    Vault::Seed.write(directory, &sealed.seed)?;
    Vault::Accounts.write(directory, &sealed.accounts)?;
    let failed = |error| EnrolError::File(directory.to_owned(), error);
    watch("sealed").map_err(failed)?;
    let mut journal_key = Zeroizing::new([0; JOURNAL_KEY_BYTES]);
    getrandom::fill(journal_key.as_mut()).map_err(|_| EnrolError::Random)?;
    let pair = rcgen::KeyPair::generate()?;
    let certificate = rcgen::CertificateParams::new(vec![SERVER_NAME.to_owned()])?.self_signed(&pair)?;
    let mut accounts = sealed.expressions.clone();
    accounts.extend(birth.device.iter().map(|device| AccountKey::of_device(device.public_key).to_string()));
    let count = u32::try_from(accounts.len()).unwrap_or(u32::MAX);
    let enrolment = Enrolment {
        signer: birth.id.to_string(),
        network: birth.network.to_string(),
        journal_key: hex::encode(SigningKey::from_bytes(&journal_key).verifying_key().to_bytes()),
        accounts,
        certificate: certificate.pem(),
        device: birth.device.as_ref().map(|device| device.facts.clone()),
    };
    let private = Zeroizing::new(pair.serialize_pem());
    let json = serde_json::to_vec_pretty(&enrolment).unwrap_or_default();
    let contents =
        [(JOURNAL_KEY, journal_key.as_slice()), (files::TLS_KEY, private.as_bytes()), (files::ENROLMENT, &json)];
    for (name, content) in contents {
        let path = directory.join(name);
        write_secret(&path, content).map_err(|error| EnrolError::File(path, error))?;
    }
    for (name, content) in birth.ceremony.iter().flat_map(|origin| &origin.public) {
        let path = directory.join(name);
        write_secret(&path, content).map_err(|error| EnrolError::File(path, error))?;
    }
    watch("secrets").map_err(failed)?;
    let (mut journal, _) = Journal::open(&directory.join(files::JOURNAL))?;
    let by = (&birth.by).into();
    let base = birth.ceremony.as_ref().and_then(|origin| origin.base);
    let moves = first_moves(&sealed, &fingerprint.to_string(), count);
    let event = match birth.ceremony {
        Some(Origin { step, detail, instruction, .. }) => Event::Ceremony { step, detail, moves, by, instruction },
        None => Event::Keys { moves, by },
    };
    journal.append(&Record { at: birth.now.micros(), event })?;
    if let Some(charter) = base {
        journal.append(&Record { at: birth.now.micros(), event: Event::Base { charter: charter.to_string() } })?;
    }
    if let Some(NewDevice { facts, holders, certificate, .. }) = birth.device {
        let (account, moves, by) = (birth.accounts, vec![], (&birth.by).into());
        let holders = holders.iter().map(ToString::to_string).collect();
        let event = Event::Device { account, facts, holders, certificate, moves, by };
        journal.append(&Record { at: birth.now.micros(), event })?;
    }
    watch("journal").map_err(failed)?;
    Ok(enrolment)
}

fn first_moves(sealed: &Sealed, fingerprint: &str, accounts: u32) -> Vec<crate::record::KeyMove> {
    let begin = |kind, name: String, to| {
        let key = KeyName { kind, name };
        let mut moves = vec![key_move(&key, None, KeyState::Generated)];
        moves.extend(path(&key, &[KeyState::Generated, to]));
        moves
    };
    let mut moves = begin(KeyKind::Seed, fingerprint.to_owned(), KeyState::InUse);
    for envelope in [&sealed.seed, &sealed.accounts] {
        moves.extend(begin(KeyKind::Sealing, envelope.k3().to_string(), KeyState::InUse));
    }
    for account in 0..accounts {
        moves.extend(begin(KeyKind::Signature, account.to_string(), KeyState::Inactive));
    }
    moves
}

/// Reads the public enrolment.
pub fn read_enrolment(directory: &Path) -> Result<Enrolment, EnrolError> {
    let path = directory.join(files::ENROLMENT);
    let bytes = fs::read(&path).map_err(|error| EnrolError::File(path.clone(), error))?;
    serde_json::from_slice(&bytes).map_err(|_| EnrolError::Damaged(path))
}

/// Reads who the signer in `directory` is.
pub fn load(directory: &Path) -> Result<(SignerId, Keys, Enrolment), EnrolError> {
    let path = directory.join(files::ENROLMENT);
    let enrolment = read_enrolment(directory)?;
    let id = enrolment.signer.parse().map_err(|_| EnrolError::Damaged(path.clone()))?;
    let network = enrolment.network.parse().map_err(|_| EnrolError::Damaged(path.clone()))?;
    let accounts = enrolment.accounts.iter().map(|text| AccountKey::parse(text, network)).collect::<Result<_, _>>();
    let accounts = accounts.map_err(|_| EnrolError::Damaged(path))?;
    Ok((id, Keys::load(directory, network, accounts)?, enrolment))
}
