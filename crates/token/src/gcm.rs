//! AES-GCM in the device (NIST SP 800-38D), 96-bit nonce, 128-bit tag.

use cryptoki::error::Result;
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;
use zeroize::Zeroizing;

/// Bytes of a nonce.
pub const NONCE: usize = 12;
/// Bytes of a tag.
pub const TAG: usize = 16;

/// Encrypts; returns ciphertext and tag. A device that insists on a nonce of its own writes it over `nonce`.
///
/// `aad` must not be empty: `SoftHSM` crashes over nothing.
pub fn encrypt(
    session: &Session,
    key: ObjectHandle,
    nonce: &mut [u8; NONCE],
    aad: &[u8],
    plain: &[u8],
) -> Result<Vec<u8>> {
    let parameters = GcmParams::new(nonce, aad, 128.into())?;
    session.encrypt(&Mechanism::AesGcm(parameters), key, plain)
}

/// Decrypts ciphertext and tag.
pub fn decrypt(
    session: &Session,
    key: ObjectHandle,
    nonce: &[u8; NONCE],
    aad: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>> {
    let mut nonce = *nonce;
    let parameters = GcmParams::new(&mut nonce, aad, 128.into())?;
    session.decrypt(&Mechanism::AesGcm(parameters), key, sealed).map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use cryptoki::object::{Attribute, KeyType, ObjectClass};
    use testkit::SoftHsm;

    use super::*;
    use crate::{Token, TokenError};

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    /// Test case 16 of "The Galois/Counter Mode of Operation (GCM)" by McGrew and Viega, appendix B.
    #[test]
    fn the_device_speaks_gcm_as_published() {
        let body = |hsm: &SoftHsm| {
            hsm.make_token("alpha", "a pin of tests").unwrap();
            let pin = Zeroizing::new(b"a pin of tests".to_vec());
            let token = Token::open(&SoftHsm::module().unwrap(), "alpha", None, pin).unwrap();
            let key = token.session.create_object(&[
                Attribute::Class(ObjectClass::SECRET_KEY),
                Attribute::KeyType(KeyType::AES),
                Attribute::Encrypt(true),
                Attribute::Decrypt(true),
                Attribute::Value(bytes("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308")),
            ]);
            let key = key.unwrap();
            let mut nonce = <[u8; NONCE]>::try_from(bytes("cafebabefacedbaddecaf888")).unwrap();
            let aad = bytes("feedfacedeadbeeffeedfacedeadbeefabaddad2");
            let plain = bytes(concat!(
                "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525",
                "b16aedf5aa0de657ba637b39"
            ));
            let sealed = encrypt(&token.session, key, &mut nonce, &aad, &plain).unwrap();
            let expected = bytes(concat!(
                "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838",
                "c5f61e6393ba7a0abcc9f662",
                "76fc6ece0f4e1768cddf8853bb2d551b"
            ));
            assert_eq!(sealed, expected);
            assert_eq!(*decrypt(&token.session, key, &nonce, &aad, &sealed).unwrap(), plain);
            assert!(decrypt(&token.session, key, &nonce, &aad[1..], &sealed).is_err());
            // Such a key is not one of ours.
            let error = token.wrap(&"key".parse().unwrap(), &[7; 32], b"seed");
            assert!(matches!(error, Err(TokenError::KeyMissing { .. })));
        };
        SoftHsm::run("gcm::tests::the_device_speaks_gcm_as_published", body).unwrap();
    }
}
