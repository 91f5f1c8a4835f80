//! The two keys of an envelope, neither ever shown, and the randomness that makes them.

use std::fmt;

use types::Digest;
use zeroize::Zeroizing;

/// Bytes of either key: 256 bits.
pub const KEY_BYTES: usize = 32;
/// Bytes of a K3's identifier.
const K3_ID_BYTES: usize = 16;

/// The system gives no randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no randomness; nothing was sealed")]
pub struct NoRandomness;

/// Fills bytes from a cryptographic source, passed in by the caller: `&mut |bytes| getrandom::fill(bytes).map_err(|_| NoRandomness)`.
pub type Random<'a> = dyn FnMut(&mut [u8]) -> Result<(), NoRandomness> + 'a;

/// A key behind a pointer, so that moving its owner leaves no copy on the stack.
struct Secret(Box<Zeroizing<[u8; KEY_BYTES]>>);

impl Secret {
    fn zero() -> Secret {
        Secret(Box::new(Zeroizing::new([0; KEY_BYTES])))
    }

    fn random(random: &mut Random<'_>) -> Result<Secret, NoRandomness> {
        let mut secret = Secret::zero();
        random(secret.0.as_mut_slice())?;
        Ok(secret)
    }

    fn copied(bytes: &[u8; KEY_BYTES]) -> Secret {
        let mut secret = Secret::zero();
        secret.0.copy_from_slice(bytes);
        secret
    }
}

/// A key-encryption key: what a slot's holders put together, and what wraps the data key in that slot.
pub struct Kek(Secret);

impl Kek {
    /// A new one, for the caller to split among people, to wrap in a token or to encrypt with `age`.
    pub fn random(random: &mut Random<'_>) -> Result<Kek, NoRandomness> {
        Secret::random(random).map(Kek)
    }

    /// One that holders have put together again. Copies; the caller wipes its own.
    pub fn from_bytes(bytes: &[u8; KEY_BYTES]) -> Kek {
        Kek(Secret::copied(bytes))
    }

    /// The bytes, for splitting or wrapping them elsewhere. Never write them down.
    pub fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.0.0
    }

    /// Fills a new one in place.
    pub(crate) fn fill_with<E>(fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<Kek, E> {
        let mut secret = Secret::zero();
        fill(secret.0.as_mut_slice())?;
        Ok(Kek(secret))
    }
}

impl fmt::Debug for Kek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kek(..)")
    }
}

/// The key under which an envelope's items are sealed (K3). Exists in memory only; a slot holds it wrapped.
pub struct DataKey(Secret);

impl DataKey {
    pub(crate) fn random(random: &mut Random<'_>) -> Result<DataKey, NoRandomness> {
        Secret::random(random).map(DataKey)
    }

    pub(crate) fn from_slice(bytes: &[u8]) -> Option<DataKey> {
        bytes.try_into().ok().map(|bytes| DataKey(Secret::copied(bytes)))
    }

    pub(crate) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0.0
    }

    /// The identifier that follows from this key.
    pub fn id(&self) -> K3Id {
        let digest = Digest::of(&[b"claviger-k3-v1\n", self.bytes()]);
        let mut id = [0; K3_ID_BYTES];
        id.iter_mut().zip(digest.as_bytes()).for_each(|(to, from)| *to = *from);
        K3Id(id)
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey(of {})", self.id())
    }
}

/// Identifies a data key: the first 16 bytes of `SHA-256("claviger-k3-v1\n" || data key)`.
///
/// Public: the data key is 256 random bits, of which a digest tells nothing. Whoever has noted the identifier (a signer's journal)
/// has noted the key: nobody can make another one of the same identifier.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct K3Id([u8; K3_ID_BYTES]);

impl K3Id {
    pub(crate) const fn from_bytes(bytes: [u8; K3_ID_BYTES]) -> K3Id {
        K3Id(bytes)
    }
}

impl fmt::Display for K3Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for K3Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
