//! The signer's secrets: the seed, the key that signs its journal's heads, and the certificate's key.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use bitcoin::NetworkKind;
use bitcoin::bip32::{ChildNumber, DerivationPath, Xpriv, Xpub};
use bitcoin::secp256k1::{All, Secp256k1};
use ed25519_dalek::SigningKey;
use types::Network;
use zeroize::Zeroizing;

/// Bytes of a seed: 256 bits (BIP-32 recommends it).
const SEED_BYTES: usize = 32;

/// The secrets, never shown.
pub struct Keys {
    master: Xpriv,
    journal: SigningKey,
    secp: Secp256k1<All>,
    network: Network,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("network", &self.network).finish_non_exhaustive()
    }
}

/// Why keys are not there.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A file cannot be read or written.
    #[error("the key file {0} cannot be read or written")]
    File(&'static str, #[source] io::Error),
    /// A file is not what was written.
    #[error("the key file {0} is damaged; restore it from its backup")]
    Damaged(&'static str),
    /// No randomness.
    #[error("the system gives no randomness")]
    Random,
}

impl Keys {
    /// Makes new secrets in `directory`, which is created for the owner alone; refuses to overwrite.
    pub fn create(directory: &Path, network: Network) -> Result<Keys, KeysError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|error| KeysError::File("directory", error))?;
        for name in ["seed", "journal-key"] {
            let mut secret = Zeroizing::new([0; SEED_BYTES]);
            getrandom::fill(secret.as_mut()).map_err(|_| KeysError::Random)?;
            write_secret(&directory.join(name), secret.as_ref()).map_err(|error| KeysError::File(name, error))?;
        }
        Keys::load(directory, network)
    }

    /// Reads the secrets.
    pub fn load(directory: &Path, network: Network) -> Result<Keys, KeysError> {
        let kind = if network == Network::Bitcoin { NetworkKind::Main } else { NetworkKind::Test };
        let seed = read_secret(directory, "seed")?;
        let master = Xpriv::new_master(kind, seed.as_ref()).map_err(|_| KeysError::Damaged("seed"))?;
        let journal = SigningKey::from_bytes(&*read_secret(directory, "journal-key")?);
        Ok(Keys { master, journal, secp: Secp256k1::new(), network })
    }

    /// The curve's context.
    pub const fn secp(&self) -> &Secp256k1<All> {
        &self.secp
    }

    /// The network for which the keys were made.
    pub const fn network(&self) -> Network {
        self.network
    }

    /// The key that signs heads and statements.
    pub const fn journal(&self) -> &SigningKey {
        &self.journal
    }

    /// The account's path (BIP-48, script type P2WSH).
    pub fn account_path(&self, account: u32) -> DerivationPath {
        let hardened = |index| ChildNumber::Hardened { index };
        DerivationPath::from(vec![hardened(48), hardened(self.network.coin_type()), hardened(account), hardened(2)])
    }

    /// The key at a path.
    pub fn derive(&self, path: &DerivationPath) -> Result<Xpriv, KeysError> {
        self.master.derive_priv(&self.secp, path).map_err(|_| KeysError::Damaged("seed"))
    }

    /// What a descriptor needs of an account: `[fingerprint/path]xpub/<0;1>/*`.
    pub fn account_descriptor(&self, account: u32) -> Result<String, KeysError> {
        let path = self.account_path(account);
        let xpub = Xpub::from_priv(&self.secp, &self.derive(&path)?);
        Ok(format!("[{}/{path}]{xpub}/<0;1>/*", self.master.fingerprint(&self.secp)))
    }

    /// The key that signs canaries, in a branch of its own that no wallet reaches.
    pub fn canary(&self) -> Result<Xpriv, KeysError> {
        // The path is BIP-43's purpose field with the letters "can" as a number, far from every registered purpose.
        self.derive(&DerivationPath::from(vec![ChildNumber::Hardened { index: 0x0063_616e }]))
    }
}

/// Writes a file that only its owner can read, and returns when the disk has it; refuses to overwrite.
pub fn write_secret(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()?;
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

fn read_secret(directory: &Path, name: &'static str) -> Result<Zeroizing<[u8; SEED_BYTES]>, KeysError> {
    let bytes = Zeroizing::new(fs::read(directory.join(name)).map_err(|error| KeysError::File(name, error))?);
    let secret = <[u8; SEED_BYTES]>::try_from(bytes.as_slice()).map_err(|_| KeysError::Damaged(name))?;
    Ok(Zeroizing::new(secret))
}
