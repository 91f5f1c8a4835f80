use std::collections::BTreeMap;
use std::fmt;

use bitcoin::bip32::{ChildNumber, DerivationPath, Fingerprint, KeySource, Xpriv, Xpub};
use bitcoin::hashes::{Hash as _, hash160};
use bitcoin::secp256k1::{PublicKey, Secp256k1, VerifyOnly};
use bitcoin::{Address, ScriptBuf};
use miniscript::descriptor::{Descriptor, DescriptorPublicKey, SinglePub, SinglePubKey, Wildcard, Wsh, WshInner};
use types::Network;

use super::address::human_part;

/// The two branches of a multipath descriptor (BIP-389 `<0;1>`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Branch {
    /// Addresses given to others.
    Receive,
    /// Change to ourselves.
    Change,
}

impl Branch {
    /// The branch's number in a derivation path.
    pub const fn number(self) -> u32 {
        match self {
            Branch::Receive => 0,
            Branch::Change => 1,
        }
    }

    /// The step to it from an account (BIP-32).
    pub(crate) const fn step(self) -> ChildNumber {
        ChildNumber::Normal { index: self.number() }
    }

    /// Its key among those of both branches.
    const fn of(self, [receive, change]: &[Xpub; 2]) -> &Xpub {
        match self {
            Branch::Receive => receive,
            Branch::Change => change,
        }
    }
}

/// One signer's account key in a wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountKey {
    /// Fingerprint of the master key, or of a device's key itself.
    pub fingerprint: Fingerprint,
    /// Path from the master key to the account (BIP-48: `48'/coin'/account'/2'`); empty for a device's key.
    pub path: DerivationPath,
    /// What is public of it.
    pub public: AccountPublic,
}

/// What is public of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountPublic {
    /// An extended key (BIP-32), of which each address has a child.
    Ranged(Xpub),
    /// One key inside a device, the same in every address: PKCS #11 knows no BIP-32.
    Device(PublicKey),
}

impl AccountKey {
    /// Reads a key expression for `network`: `[fingerprint/48'/coin'/account'/2']xpub/<0;1>/*`, or `[fingerprint]02…` for a
    /// device's key.
    pub fn parse(text: &str, network: Network) -> Result<AccountKey, DescriptorError> {
        let key: DescriptorPublicKey =
            text.parse().map_err(|error: miniscript::descriptor::DescriptorKeyParseError| {
                DescriptorError::Form(error.to_string())
            })?;
        account_key(&key, network)
    }

    /// A key inside a device.
    pub fn of_device(key: PublicKey) -> AccountKey {
        let public = AccountPublic::Device(key);
        AccountKey { fingerprint: fingerprint(&key), path: DerivationPath::master(), public }
    }

    /// The account's own key, compressed when written (SEC 1). Two accounts with the same one are one signer twice.
    pub const fn public_key(&self) -> PublicKey {
        match &self.public {
            AccountPublic::Ranged(xpub) => xpub.public_key,
            AccountPublic::Device(key) => *key,
        }
    }

    /// The keys of both branches; none for a device's key, which has no child.
    fn branches(&self, secp: &Secp256k1<VerifyOnly>) -> Result<Option<[Xpub; 2]>, DescriptorError> {
        let AccountPublic::Ranged(xpub) = &self.public else { return Ok(None) };
        let of = |branch: Branch| {
            xpub.ckd_pub(secp, branch.step()).map_err(|error| DescriptorError::Form(error.to_string()))
        };
        Ok(Some([of(Branch::Receive)?, of(Branch::Change)?]))
    }
}

impl fmt::Display for AccountKey {
    /// The key expression.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.public {
            AccountPublic::Ranged(xpub) => write!(f, "[{}/{}]{xpub}/<0;1>/*", self.fingerprint, self.path),
            AccountPublic::Device(key) => write!(f, "[{}]{key}", self.fingerprint),
        }
    }
}

/// The first four bytes of a key's HASH160, as BIP-32 identifies keys.
fn fingerprint(key: &PublicKey) -> Fingerprint {
    let hash = hash160::Hash::hash(&key.serialize()).to_byte_array();
    Fingerprint::from([hash[0], hash[1], hash[2], hash[3]])
}

/// A wallet: P2WSH `sortedmulti(m, …)` over account keys, with a receiving and a change branch. Keys of devices are the same in each
/// address; a ranged key at least makes the addresses differ.
#[derive(Clone, Debug)]
pub struct WalletDescriptor {
    network: Network,
    threshold: usize,
    keys: Vec<AccountKey>,
    /// Of each ranged key, the receiving and the change branch, derived once: each address then takes one step for each of them. None for
    /// the key of a device, which is the same in each address.
    branches: Vec<Option<[Xpub; 2]>>,
    secp: Secp256k1<VerifyOnly>,
    /// The two branches' own descriptors, with their checksums.
    singles: [String; 2],
}

/// Everything about one address of a wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Derived {
    /// What a payment's output must carry.
    pub script_pubkey: ScriptBuf,
    /// The script behind it.
    pub witness_script: ScriptBuf,
    /// The address.
    pub address: String,
    /// Its public keys with their paths.
    pub keys: BTreeMap<PublicKey, KeySource>,
}

/// Why a text is not a wallet of ours, or an address of it cannot be derived.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DescriptorError {
    /// Not a descriptor, or its checksum is wrong.
    #[error("the descriptor cannot be read: {0}")]
    Form(String),
    /// Another kind of descriptor.
    #[error(
        "only wsh(sortedmulti(m,[fingerprint/48'/coin'/account'/2']xpub/<0;1>/*,…)) is accepted, with [fingerprint]02… for the key of a device: {0}"
    )]
    Shape(&'static str),
    /// Fewer signatures than a majority.
    #[error("{threshold} of {count} is not a majority: two quorums could sign without a signer in common")]
    Minority {
        /// Signatures needed.
        threshold: usize,
        /// Keys.
        count: usize,
    },
    /// A key occurs twice.
    #[error("a key occurs twice")]
    SameKey,
    /// Every key is a device's.
    #[error(
        "every key is the key of a device, so that all addresses would be the same: one signer at least needs a ranged key"
    )]
    NoRangedKey,
    /// A device's key under another fingerprint.
    #[error("the fingerprint {0} is not that of the device's key that stands behind it")]
    Fingerprint(Fingerprint),
    /// A key belongs to another network.
    #[error("a key or its path belongs to another network than {0}")]
    WrongNetwork(Network),
    /// The index cannot be derived.
    #[error("the index {0} is hardened or out of range")]
    Index(u32),
}

impl WalletDescriptor {
    /// Reads a multipath descriptor (BIP-380, BIP-383, BIP-389) for `network`.
    pub fn parse(text: &str, network: Network) -> Result<WalletDescriptor, DescriptorError> {
        let multipath: Descriptor<DescriptorPublicKey> =
            text.parse().map_err(|error: miniscript::Error| DescriptorError::Form(error.to_string()))?;
        let Descriptor::Wsh(wsh) = &multipath else { return Err(DescriptorError::Shape("not wsh")) };
        let WshInner::SortedMulti(multi) = wsh.as_inner() else {
            return Err(DescriptorError::Shape("not sortedmulti"));
        };
        let threshold = multi.k();
        let keys = multi.pks().iter().map(|key| account_key(key, network)).collect::<Result<Vec<_>, _>>()?;
        if threshold * 2 <= keys.len() {
            return Err(DescriptorError::Minority { threshold, count: keys.len() });
        }
        // Same key material under two origins would be one signer counted twice.
        let distinct: std::collections::BTreeSet<_> = keys.iter().map(AccountKey::public_key).collect();
        if distinct.len() != keys.len() {
            return Err(DescriptorError::SameKey);
        }
        if !keys.iter().any(|key| matches!(key.public, AccountPublic::Ranged(_))) {
            return Err(DescriptorError::NoRangedKey);
        }
        let secp = Secp256k1::verification_only();
        let branches = keys.iter().map(|key| key.branches(&secp)).collect::<Result<_, _>>()?;
        let singles = multipath.into_single_descriptors().map_err(|error| DescriptorError::Form(error.to_string()))?;
        let singles: Vec<String> = singles.iter().map(ToString::to_string).collect();
        let singles = singles.try_into().map_err(|_| DescriptorError::Shape("needs exactly the two branches <0;1>"))?;
        Ok(WalletDescriptor { network, threshold, keys, branches, singles, secp })
    }

    /// Signatures needed.
    pub const fn threshold(&self) -> usize {
        self.threshold
    }

    /// Weight of the witness of one input at most: count of elements, the empty one that CHECKMULTISIG takes, signatures of 72
    /// bytes with length and hash type, and the script behind its length.
    pub fn witness_weight(&self) -> u64 {
        let [signatures, keys] =
            [self.threshold, self.keys.len()].map(|count| u64::try_from(count).unwrap_or(u64::MAX));
        let script = 3 + keys.saturating_mul(34);
        1 + 1 + signatures.saturating_mul(74) + 3 + script
    }

    /// Weight of one signed input at most: outpoint, empty script, sequence, and the witness.
    pub fn input_weight(&self) -> u64 {
        4 * (36 + 1 + 4) + self.witness_weight()
    }

    /// The account keys, in the descriptor's order.
    pub fn keys(&self) -> &[AccountKey] {
        &self.keys
    }

    /// One branch's own descriptor, with its checksum (BIP-380): public keys only.
    pub fn single(&self, branch: Branch) -> String {
        let [receive, change] = &self.singles;
        if branch == Branch::Receive { receive.clone() } else { change.clone() }
    }

    /// Derives the address at `index` of `branch`.
    pub fn derive(&self, branch: Branch, index: u32) -> Result<Derived, DescriptorError> {
        let child = ChildNumber::from_normal_idx(index).map_err(|_| DescriptorError::Index(index))?;
        let mut keys = BTreeMap::new();
        let mut points = Vec::with_capacity(self.keys.len());
        for (key, branches) in self.keys.iter().zip(&self.branches) {
            let (public, path) = match branches {
                Some(branches) => {
                    let derived = branch.of(branches).ckd_pub(&self.secp, child);
                    let derived = derived.map_err(|_| DescriptorError::Index(index))?;
                    (derived.public_key, key.path.extend([branch.step(), child]))
                }
                None => (key.public_key(), key.path.clone()),
            };
            // A device's key that is a child of another signer's account would let that signer sign twice.
            if keys.insert(public, (key.fingerprint, path)).is_some() {
                return Err(DescriptorError::SameKey);
            }
            points.push(bitcoin::PublicKey::new(public));
        }
        let wsh = Wsh::new_sortedmulti(self.threshold, points);
        let wsh = wsh.map_err(|error| DescriptorError::Form(error.to_string()))?;
        let (script_pubkey, witness_script) = (wsh.script_pubkey(), wsh.inner_script());
        let address = Address::p2wsh(&witness_script, human_part(self.network)).to_string();
        Ok(Derived { script_pubkey, witness_script, address, keys })
    }

    /// Whose ranged key `account` is in this wallet: its chain code tells, without computing anything. Whether the private key is the right
    /// one shows by what it signs.
    pub(crate) fn place(&self, account: &Xpriv) -> Option<AccountPlace<'_>> {
        self.keys.iter().zip(&self.branches).find_map(|(key, branches)| match (&key.public, branches) {
            (AccountPublic::Ranged(xpub), Some(branches)) if xpub.chain_code == account.chain_code => {
                Some(AccountPlace { account: key, xpub, branches })
            }
            _ => None,
        })
    }

    /// Reads branch and index from a key's path, if the key is a ranged one of this wallet's.
    pub(crate) fn locate(&self, source: &KeySource) -> Option<(Branch, u32)> {
        let (_, path) = source;
        let steps: Vec<ChildNumber> = path.into_iter().copied().collect();
        self.ranged(source).find_map(|key| {
            let account: Vec<ChildNumber> = key.path.into_iter().copied().collect();
            match steps.strip_prefix(account.as_slice())? {
                [ChildNumber::Normal { index: 0 }, ChildNumber::Normal { index }] => Some((Branch::Receive, *index)),
                [ChildNumber::Normal { index: 1 }, ChildNumber::Normal { index }] => Some((Branch::Change, *index)),
                _ => None,
            }
        })
    }

    /// The ranged keys that have a source's fingerprint.
    pub(crate) fn ranged<'a>(&'a self, source: &'a KeySource) -> impl Iterator<Item = &'a AccountKey> {
        let ranged = |key: &&AccountKey| matches!(key.public, AccountPublic::Ranged(_));
        self.keys.iter().filter(ranged).filter(|key| key.fingerprint == source.0)
    }
}

/// One signer's ranged account in a wallet, with its two branches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AccountPlace<'a> {
    account: &'a AccountKey,
    pub(crate) xpub: &'a Xpub,
    branches: &'a [Xpub; 2],
}

impl<'a> AccountPlace<'a> {
    /// The public key of a branch.
    pub(crate) const fn branch(&self, branch: Branch) -> &'a Xpub {
        branch.of(self.branches)
    }

    /// Whether a key that an input's address has is said to be this account's.
    pub(crate) fn leads_to(&self, source: &KeySource, branch: Branch, index: u32) -> bool {
        let (fingerprint, path) = source;
        let steps: &[ChildNumber] = path.as_ref();
        let account: &[ChildNumber] = self.account.path.as_ref();
        *fingerprint == self.account.fingerprint
            && steps.strip_prefix(account) == Some(&[branch.step(), ChildNumber::Normal { index }])
    }
}

fn account_key(key: &DescriptorPublicKey, network: Network) -> Result<AccountKey, DescriptorError> {
    let key = match key {
        DescriptorPublicKey::MultiXPub(key) => key,
        DescriptorPublicKey::Single(key) => return device_key(key),
        DescriptorPublicKey::XPub(_) => {
            return Err(DescriptorError::Shape("every extended key must have <0;1>"));
        }
    };
    let (fingerprint, path) = key.origin.clone().ok_or(DescriptorError::Shape("every key must name its origin"))?;
    let branch = |number| DerivationPath::from(vec![ChildNumber::Normal { index: number }]);
    if key.derivation_paths.paths() != &vec![branch(0), branch(1)] || key.wildcard != Wildcard::Unhardened {
        return Err(DescriptorError::Shape("every key must end in /<0;1>/*"));
    }
    let steps: Vec<ChildNumber> = path.into_iter().copied().collect();
    match steps.as_slice() {
        [
            ChildNumber::Hardened { index: 48 },
            ChildNumber::Hardened { index: coin },
            ChildNumber::Hardened { index: _ },
            ChildNumber::Hardened { index: 2 },
        ] if *coin == network.coin_type() => {}
        [ChildNumber::Hardened { index: 48 }, _, _, ChildNumber::Hardened { index: 2 }] => {
            return Err(DescriptorError::WrongNetwork(network));
        }
        _ => return Err(DescriptorError::Shape("every origin must be a BIP-48 path of script type 2'")),
    }
    let main = key.xkey.network == bitcoin::NetworkKind::Main;
    if main != (network == Network::Bitcoin) {
        return Err(DescriptorError::WrongNetwork(network));
    }
    Ok(AccountKey { fingerprint, path, public: AccountPublic::Ranged(key.xkey) })
}

fn device_key(key: &SinglePub) -> Result<AccountKey, DescriptorError> {
    let SinglePubKey::FullKey(bitcoin::PublicKey { compressed: true, inner }) = key.key else {
        return Err(DescriptorError::Shape("a device's key must be a compressed public key"));
    };
    let (stated, path) = key.origin.clone().ok_or(DescriptorError::Shape("every key must name its origin"))?;
    let account = AccountKey::of_device(inner);
    if path != account.path {
        return Err(DescriptorError::Shape("a device's key has no path: it is derived from nothing"));
    }
    if stated != account.fingerprint {
        return Err(DescriptorError::Fingerprint(stated));
    }
    Ok(account)
}
