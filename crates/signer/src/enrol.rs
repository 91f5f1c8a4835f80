//! Setting a signer up: making its secrets, saying what the charter needs to know of it, and pinning whom it listens to.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use types::{Network, SignerId};
use zeroize::Zeroizing;

use crate::keys::{Keys, KeysError, write_secret};

/// What people need of a new signer to write a charter. Public.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    /// Identifier.
    pub signer: String,
    /// Network.
    pub network: String,
    /// Ed25519 public key that signs heads of the journal, hexadecimal.
    pub journal_key: String,
    /// One key expression for each account, in order: `[fingerprint/path]xpub/<0;1>/*`.
    pub accounts: Vec<String>,
    /// The certificate of its listener (PEM).
    pub certificate: String,
}

/// Why a signer was not set up or cannot be found.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The secrets.
    #[error("the secrets cannot be made or read")]
    Keys(#[from] KeysError),
    /// The certificate.
    #[error("the certificate cannot be made")]
    Certificate(#[from] rcgen::Error),
    /// A file.
    #[error("the file {0} cannot be read or written")]
    File(PathBuf, #[source] io::Error),
    /// A file's content.
    #[error("the file {0} is damaged")]
    Damaged(PathBuf),
}

/// The name in a signer's certificate. Certificates are pinned, so one name serves all.
pub const SERVER_NAME: &str = "claviger-signer";

/// Names of the files in a signer's directory.
pub mod files {
    /// Who it is, public.
    pub const ENROLMENT: &str = "enrolment.json";
    /// The listener's private key (PEM).
    pub const TLS_KEY: &str = "tls-key.pem";
    /// The only certificate from which connections are taken (PEM).
    pub const CLIENT: &str = "client.pem";
    /// The journal.
    pub const JOURNAL: &str = "journal";
}

/// Makes a new signer in `directory` with `accounts` account keys. Refuses a directory that holds one.
pub fn create(directory: &Path, id: &SignerId, network: Network, accounts: u32) -> Result<Enrolment, EnrolError> {
    let keys = Keys::create(directory, network)?;
    let pair = rcgen::KeyPair::generate()?;
    let certificate = rcgen::CertificateParams::new(vec![SERVER_NAME.to_owned()])?.self_signed(&pair)?;
    let enrolment = Enrolment {
        signer: id.to_string(),
        network: network.to_string(),
        journal_key: hex::encode(keys.journal().verifying_key().to_bytes()),
        accounts: (0..accounts).map(|account| keys.account_descriptor(account)).collect::<Result<_, _>>()?,
        certificate: certificate.pem(),
    };
    let private = Zeroizing::new(pair.serialize_pem());
    let json = serde_json::to_vec_pretty(&enrolment).unwrap_or_default();
    for (name, content) in [(files::TLS_KEY, private.as_bytes()), (files::ENROLMENT, &json)] {
        let path = directory.join(name);
        write_secret(&path, content).map_err(|error| EnrolError::File(path, error))?;
    }
    Ok(enrolment)
}

/// Reads who the signer in `directory` is.
pub fn load(directory: &Path) -> Result<(SignerId, Keys, Enrolment), EnrolError> {
    let path = directory.join(files::ENROLMENT);
    let bytes = fs::read(&path).map_err(|error| EnrolError::File(path.clone(), error))?;
    let enrolment: Enrolment = serde_json::from_slice(&bytes).map_err(|_| EnrolError::Damaged(path.clone()))?;
    let id = enrolment.signer.parse().map_err(|_| EnrolError::Damaged(path.clone()))?;
    let network = enrolment.network.parse().map_err(|_| EnrolError::Damaged(path))?;
    Ok((id, Keys::load(directory, network)?, enrolment))
}
