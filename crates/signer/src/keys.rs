//! What a signer has of its keys while it runs: the key that signs its journal's heads, what everyone may know of its accounts, and
//! those signature keys (K1) that people have opened for a time. Seeds are never here.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::ops::Deref;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use bitcoin::bip32::{ChainCode, Xpriv, Xpub};
use bitcoin::secp256k1::{All, PublicKey, Secp256k1, SecretKey};
use chains::bitcoin::{AccountKey, AccountPublic};
use ed25519_dalek::SigningKey;
use types::Network;
use zeroize::{Zeroize as _, Zeroizing};

use crate::device::DeviceKey;

/// Bytes of the key that signs heads: an Ed25519 seed (RFC 8032).
pub(crate) const JOURNAL_KEY_BYTES: usize = 32;
/// Bytes of a sealed account: private key and chain code (BIP-32).
pub(crate) const ACCOUNT_BYTES: usize = 64;

/// A private key and chain code (BIP-32), behind a pointer so that moving it leaves no copy; wiped when dropped, never shown.
pub struct Secret(Box<Zeroizing<[u8; ACCOUNT_BYTES]>>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// Takes a key apart, and wipes it.
    pub fn of(mut key: Xpriv) -> Secret {
        let mut bytes = Box::new(Zeroizing::new([0; ACCOUNT_BYTES]));
        let (private, chain) = bytes.split_at_mut(32);
        private.copy_from_slice(key.private_key.as_ref());
        chain.copy_from_slice(key.chain_code.as_bytes());
        key.private_key.non_secure_erase();
        Secret(bytes)
    }

    /// Reads what was sealed.
    pub fn from_bytes(bytes: &[u8]) -> Option<Secret> {
        let mut secret = Secret(Box::new(Zeroizing::new([0; ACCOUNT_BYTES])));
        (bytes.len() == ACCOUNT_BYTES).then(|| {
            secret.0.copy_from_slice(bytes);
            secret
        })
    }

    /// What is sealed.
    pub fn expose(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// The key, with everything public about it taken from `public`.
    fn key(&self, public: &Xpub) -> Option<Transient> {
        let (private, chain) = self.0.split_at(32);
        Some(Transient(Xpriv {
            network: public.network,
            depth: public.depth,
            parent_fingerprint: public.parent_fingerprint,
            child_number: public.child_number,
            private_key: SecretKey::from_slice(private).ok()?,
            chain_code: ChainCode::from(<[u8; 32]>::try_from(chain).ok()?),
        }))
    }
}

/// A key for the time of one use; wiped when dropped.
pub struct Transient(Xpriv);

impl Deref for Transient {
    type Target = Xpriv;

    fn deref(&self) -> &Xpriv {
        &self.0
    }
}

impl Drop for Transient {
    fn drop(&mut self) {
        self.0.private_key.non_secure_erase();
        self.0.chain_code = ChainCode::from([0; 32]);
    }
}

/// The keys of a running signer.
pub struct Keys {
    journal: SigningKey,
    network: Network,
    accounts: Vec<AccountKey>,
    open: BTreeMap<u32, Secret>,
    devices: BTreeMap<u32, DeviceKey>,
    canary: Option<Secret>,
    secp: Secp256k1<All>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, devices) = (self.open.keys(), &self.devices);
        f.debug_struct("Keys").field("open", &open).field("devices", devices).finish_non_exhaustive()
    }
}

/// Why keys are not there.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A file cannot be read or written.
    #[error("the key file {0} cannot be read or written")]
    File(&'static str, #[source] io::Error),
    /// A file is not what was written.
    #[error("the key file {0} is damaged; set this signer up anew from its backup")]
    Damaged(&'static str),
    /// What was opened is another key than the one that the enrolment names.
    #[error(
        "the sealed key of account {0} is not the one that the enrolment names: the files of two signers were mixed"
    )]
    Differs(u32),
    /// The private key is not ours to hold.
    #[error("the key of account {0} is inside a device; open it with the device's PIN")]
    InDevice(u32),
    /// No such account.
    #[error("this signer has no account {0}; derive it first")]
    NoAccount(u32),
}

/// The name of the file with the key that signs heads.
pub(crate) const JOURNAL_KEY: &str = "journal-key";

impl Keys {
    /// Reads the key that signs heads. `accounts` are public, in order.
    pub fn load(directory: &Path, network: Network, accounts: Vec<AccountKey>) -> Result<Keys, KeysError> {
        let bytes =
            Zeroizing::new(fs::read(directory.join(JOURNAL_KEY)).map_err(|error| KeysError::File(JOURNAL_KEY, error))?);
        let secret = <[u8; JOURNAL_KEY_BYTES]>::try_from(bytes.as_slice());
        let mut secret = secret.map_err(|_| KeysError::Damaged(JOURNAL_KEY))?;
        let journal = SigningKey::from_bytes(&secret);
        secret.zeroize();
        let (open, devices) = (BTreeMap::new(), BTreeMap::new());
        Ok(Keys { journal, network, accounts, open, devices, canary: None, secp: Secp256k1::new() })
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

    /// What everyone may know of the accounts.
    pub fn accounts(&self) -> &[AccountKey] {
        &self.accounts
    }

    /// The account that has this key.
    pub fn account_of(&self, key: &AccountKey) -> Option<u32> {
        let position =
            self.accounts.iter().position(|account| account.public == key.public && account.path == key.path)?;
        u32::try_from(position).ok()
    }

    fn public(&self, account: u32) -> Result<&AccountKey, KeysError> {
        let position = usize::try_from(account).unwrap_or(usize::MAX);
        self.accounts.get(position).ok_or(KeysError::NoAccount(account))
    }

    /// The extended key of an account that was derived from the seed.
    fn extended(&self, account: u32) -> Result<Xpub, KeysError> {
        match self.public(account)?.public {
            AccountPublic::Ranged(xpub) => Ok(xpub),
            AccountPublic::Device(_) => Err(KeysError::InDevice(account)),
        }
    }

    /// The public half of an account whose private key is inside a device; none for one that was derived from the seed.
    pub fn in_device(&self, account: u32) -> Option<PublicKey> {
        match self.public(account).ok()?.public {
            AccountPublic::Ranged(_) => None,
            AccountPublic::Device(key) => Some(key),
        }
    }

    /// Takes a device's key into use.
    pub fn open_device(&mut self, account: u32, key: DeviceKey) {
        self.devices.insert(account, key);
    }

    /// An account's key inside a device, if it is open.
    pub fn device(&self, account: u32) -> Option<&DeviceKey> {
        self.devices.get(&account)
    }

    /// Takes an account's private key into use, if it is the one that the enrolment names.
    pub fn open(&mut self, account: u32, secret: Secret) -> Result<(), KeysError> {
        let public = self.extended(account)?;
        let key = secret.key(&public).ok_or(KeysError::Differs(account))?;
        if Xpub::from_priv(&self.secp, &key) != public {
            return Err(KeysError::Differs(account));
        }
        drop(key);
        self.open.insert(account, secret);
        Ok(())
    }

    /// Takes the key of canaries into use.
    pub fn open_canary(&mut self, secret: Secret) {
        self.canary = Some(secret);
    }

    /// Wipes an account's private key, or logs out of its device; with the last one, the key of canaries goes too.
    pub fn close(&mut self, account: u32) {
        self.open.remove(&account);
        self.devices.remove(&account);
        if self.open.is_empty() {
            self.canary = None;
        }
    }

    /// An account's private key for one use, if it is open.
    pub fn account(&self, account: u32) -> Option<Transient> {
        self.open.get(&account)?.key(&self.extended(account).ok()?)
    }

    /// The key that signs canaries, if any key is open.
    pub fn canary(&self) -> Option<SecretKey> {
        let secret = self.canary.as_ref()?;
        SecretKey::from_slice(secret.expose().get(..32)?).ok()
    }
}

/// Writes a file that only its owner can read, and returns when the disk has it; refuses to overwrite.
pub fn write_secret(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()?;
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}
