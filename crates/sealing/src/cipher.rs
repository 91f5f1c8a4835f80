//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03) with nonces of 24 random bytes, so that chance never repeats one.

use std::fmt;

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use crate::error::SealingError;
use crate::keys::{KEY_BYTES, Random};

pub(crate) const NONCE_BYTES: usize = 24;
pub(crate) const TAG_BYTES: usize = 16;

/// A nonce and a ciphertext that ends with its tag.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) nonce: [u8; NONCE_BYTES],
    pub(crate) ciphertext: Vec<u8>,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.ciphertext.len())
    }
}

/// Seals under a fresh nonce, bound to `aad`.
pub(crate) fn seal(
    key: &[u8; KEY_BYTES],
    aad: &[u8],
    plaintext: &[u8],
    random: &mut Random<'_>,
) -> Result<Sealed, SealingError> {
    let mut nonce = [0; NONCE_BYTES];
    random(&mut nonce)?;
    // It fails for messages beyond 256 GiB only.
    let ciphertext = cipher(key)
        .encrypt(XNonce::from_slice(&nonce), Payload { msg: plaintext, aad })
        .map_err(|_| SealingError::TooLong { what: "a secret", bytes: plaintext.len(), bytes_max: 0 })?;
    Ok(Sealed { nonce, ciphertext })
}

/// Opens; none when key, binding or ciphertext are not those of the sealing.
pub(crate) fn open(key: &[u8; KEY_BYTES], aad: &[u8], sealed: &Sealed) -> Option<Zeroizing<Vec<u8>>> {
    let payload = Payload { msg: &sealed.ciphertext, aad };
    cipher(key).decrypt(XNonce::from_slice(&sealed.nonce), payload).ok().map(Zeroizing::new)
}

fn cipher(key: &[u8; KEY_BYTES]) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(Key::from_slice(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// draft-irtf-cfrg-xchacha-03, appendix A.3.1.
    #[test]
    fn matches_the_published_vector() {
        let key: [u8; KEY_BYTES] = std::array::from_fn(|index| 0x80 + u8::try_from(index).unwrap());
        let aad = hex::decode("50515253c0c1c2c3c4c5c6c7").unwrap();
        let plaintext = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
                          sunscreen would be it.";
        let ciphertext = hex::decode(concat!(
            "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb",
            "731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452",
            "2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9",
            "21f9664c97637da9768812f615c68b13b52e",
            "c0875924c1c7987947deafd8780acf49",
        ))
        .unwrap();
        let mut nonce = |bytes: &mut [u8]| {
            bytes.iter_mut().zip(0x40..).for_each(|(byte, value)| *byte = value);
            Ok(())
        };
        let sealed = seal(&key, &aad, plaintext, &mut nonce).unwrap();
        assert_eq!((hex::encode(&sealed.ciphertext), sealed.nonce[23]), (hex::encode(ciphertext), 0x57));
        assert_eq!(open(&key, &aad, &sealed).unwrap().as_slice(), plaintext);
        assert!(open(&key, b"", &sealed).is_none());
        assert!(open(&[0; KEY_BYTES], &aad, &sealed).is_none());
    }
}
