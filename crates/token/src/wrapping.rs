//! Encrypting a signer's secrets with a key that never leaves the device.

use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::Attribute;
use zeroize::Zeroizing;

use crate::error::TokenError;
use crate::gcm::{self, NONCE, TAG};
use crate::keys::{Export, KeyId, KeyKind};
use crate::token::Token;

/// Bytes of a secret.
const SECRET: usize = 32;
/// Bytes of a wrapped secret: the nonce, the encrypted secret, the tag.
pub const WRAPPED_BYTES: usize = NONCE + SECRET + TAG;
/// Stands before every purpose, so that what was encrypted for something else is never taken for a wrapped secret. A
/// device may also fail over a purpose of no bytes at all.
const DOMAIN: &[u8] = b"claviger-token-wrap-v1\n";

impl Token {
    /// Makes an AES-256 key in the token that encrypts secrets, is never readable and can never leave. Two devices that
    /// are to open the same secret each wrap it with their own key.
    pub fn create_wrapping_key(&self, id: &KeyId) -> Result<(), TokenError> {
        self.prepare(id, KeyKind::Wrapping)?;
        let name = id.as_bytes().to_vec();
        let template = [
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Modifiable(false),
            Attribute::Id(name.clone()),
            Attribute::Label(name),
            Attribute::ValueLen(32.into()),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Encrypt(true),
            Attribute::Decrypt(true),
            // Devices permit by themselves what is not denied.
            Attribute::Wrap(false),
            Attribute::Unwrap(false),
            Attribute::Sign(false),
            Attribute::Verify(false),
            Attribute::Derive(false),
        ];
        let made = self.session.generate_key(&Mechanism::AesKeyGen, &template);
        let key = made.map_err(|error| self.failed("making an AES key", error))?;
        self.check_new(id, KeyKind::Wrapping, &[key], |facts| facts.unfit_when_new(KeyKind::Wrapping, Export::Never))
    }

    /// Encrypts a secret of 32 bytes for a purpose, which has to be named again to open it (AES-256-GCM, additional
    /// data `claviger-token-wrap-v1\n` and the purpose). The answer is [`WRAPPED_BYTES`] long: nonce, ciphertext, tag.
    ///
    /// Nonces are 96 random bits of the system, which bounds a key to 2^32 wrappings (NIST SP 800-38D, section 8.3).
    pub fn wrap(&self, id: &KeyId, secret: &[u8; SECRET], purpose: &[u8]) -> Result<Vec<u8>, TokenError> {
        let key = self.key(id, KeyKind::Wrapping)?.handle;
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|_| TokenError::Random)?;
        let data = [DOMAIN, purpose].concat();
        let sealed = gcm::encrypt(&self.session, key, &mut nonce, &data, secret)
            .map_err(|error| self.failed_with(id, KeyKind::Wrapping, "encrypting with AES-GCM", error))?;
        let wrapped = [&nonce, sealed.as_slice()].concat();
        // What cannot be opened again is lost: better found out while the secret is still here.
        match self.unwrap(id, &wrapped, purpose) {
            Ok(opened) if *opened == *secret => Ok(wrapped),
            Ok(_) | Err(TokenError::NotAuthentic(_)) => Err(TokenError::WrongWrapping(id.clone())),
            Err(error) => Err(error),
        }
    }

    /// Decrypts what [`Token::wrap`] made with this key for this purpose, and nothing else.
    pub fn unwrap(&self, id: &KeyId, wrapped: &[u8], purpose: &[u8]) -> Result<Zeroizing<[u8; SECRET]>, TokenError> {
        let key = self.key(id, KeyKind::Wrapping)?.handle;
        let foreign = || TokenError::NotAuthentic(id.clone());
        let (nonce, sealed) = wrapped.split_first_chunk::<NONCE>().ok_or_else(foreign)?;
        if wrapped.len() != WRAPPED_BYTES {
            return Err(foreign());
        }
        let data = [DOMAIN, purpose].concat();
        let opened = gcm::decrypt(&self.session, key, nonce, &data, sealed).map_err(|error| match error {
            // No device says plainly that the tag is wrong: SoftHSM, for one, speaks of a general error.
            Error::Pkcs11(
                RvError::GeneralError
                | RvError::FunctionFailed
                | RvError::EncryptedDataInvalid
                | RvError::EncryptedDataLenRange
                | RvError::SignatureInvalid,
                _,
            ) => self.check_present().err().unwrap_or_else(foreign),
            error => self.failed_with(id, KeyKind::Wrapping, "decrypting with AES-GCM", error),
        })?;
        let secret = <&[u8; SECRET]>::try_from(opened.as_slice()).map_err(|_| foreign())?;
        Ok(Zeroizing::new(*secret))
    }
}
