//! Master seeds (K4): made, derived from, and forgotten again. A seed is in memory only while people hold a ceremony.

use std::fmt;

use bitcoin::NetworkKind;
use bitcoin::bip32::{ChildNumber, DerivationPath, Fingerprint, Xpriv, Xpub};
use bitcoin::secp256k1::{All, Secp256k1};
use types::Network;
use zeroize::Zeroizing;

use crate::keys::Secret;

/// Bytes of a seed: 256 bits (BIP-32 recommends it).
pub const SEED_BYTES: usize = 32;

/// A master seed, wiped when dropped, never shown.
pub struct Seed {
    bytes: Zeroizing<[u8; SEED_BYTES]>,
    network: Network,
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seed").field("network", &self.network).finish_non_exhaustive()
    }
}

/// What came of a seed is no seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeedError {
    /// Another length than 32 bytes.
    #[error("a seed has {SEED_BYTES} bytes, this one has {0}")]
    Length(usize),
    /// One in 2^127 seeds has no master key (BIP-32).
    #[error("no key can be derived from this seed; make another one")]
    Unusable,
}

impl Seed {
    /// Takes a seed for a network.
    pub fn from_bytes(bytes: &[u8], network: Network) -> Result<Seed, SeedError> {
        let bytes = <[u8; SEED_BYTES]>::try_from(bytes).map_err(|_| SeedError::Length(bytes.len()))?;
        Ok(Seed { bytes: Zeroizing::new(bytes), network })
    }

    /// The bytes, to be sealed or shared.
    pub fn expose(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    fn derive(&self, path: &DerivationPath, secp: &Secp256k1<All>) -> Result<Xpriv, SeedError> {
        let kind = if self.network == Network::Bitcoin { NetworkKind::Main } else { NetworkKind::Test };
        let mut master = Xpriv::new_master(kind, self.expose()).map_err(|_| SeedError::Unusable)?;
        let derived = master.derive_priv(secp, path).map_err(|_| SeedError::Unusable);
        master.private_key.non_secure_erase();
        derived
    }

    /// Names the seed in public: the fingerprint of its master key (BIP-32).
    pub fn fingerprint(&self, secp: &Secp256k1<All>) -> Result<Fingerprint, SeedError> {
        let mut master = self.derive(&DerivationPath::master(), secp)?;
        let fingerprint = master.fingerprint(secp);
        master.private_key.non_secure_erase();
        Ok(fingerprint)
    }

    /// An account's private key, and what a descriptor needs of it: `[fingerprint/48'/coin'/account'/2']xpub/<0;1>/*` (BIP-48, P2WSH).
    pub fn account(&self, account: u32, secp: &Secp256k1<All>) -> Result<(Secret, String), SeedError> {
        let hardened = |index| ChildNumber::Hardened { index };
        let path = vec![hardened(48), hardened(self.network.coin_type()), hardened(account), hardened(2)];
        let path = DerivationPath::from(path);
        let key = self.derive(&path, secp)?;
        let expression = format!("[{}/{path}]{}/<0;1>/*", self.fingerprint(secp)?, Xpub::from_priv(secp, &key));
        Ok((Secret::of(key), expression))
    }

    /// The key that signs canaries, in a branch of its own that no wallet reaches.
    pub fn canary(&self, secp: &Secp256k1<All>) -> Result<Secret, SeedError> {
        // The path is BIP-43's purpose field with the letters "can" as a number, far from every registered purpose.
        self.derive(&DerivationPath::from(vec![ChildNumber::Hardened { index: 0x0063_616e }]), secp).map(Secret::of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_vector_of_bip_32_gives_its_fingerprint_and_lengths_are_checked() {
        // BIP-32, test vector 1 has 16 bytes, so its seed is refused here; vector 4 has 32.
        assert_eq!(Seed::from_bytes(&[0; 16], Network::Bitcoin).unwrap_err(), SeedError::Length(16));
        let bytes = hex::decode("3ddd5602285899a946114506157c7997e5444528f3003f6134712147db19b678").unwrap();
        let seed = Seed::from_bytes(&bytes, Network::Bitcoin).unwrap();
        let secp = Secp256k1::new();
        let master = seed.derive(&DerivationPath::master(), &secp).unwrap();
        assert_eq!(
            Xpub::from_priv(&secp, &master).to_string(),
            "xpub661MyMwAqRbcGczjuMoRm6dXaLDEhW1u34gKenbeYqAix21mdUKJyuyu5F1rzYGVxyL6tmgBUAEPrEz92mBXjByMRiJdba9wpnN37RLLAXa"
        );
        assert_eq!(seed.fingerprint(&secp).unwrap(), master.fingerprint(&secp));
        assert!(!format!("{seed:?}").contains("3ddd"));
    }
}
