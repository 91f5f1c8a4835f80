//! Passkeys' assertions (Web Authentication Level 2, ES256), verified without a session: the challenge is the digest itself, so
//! that what was approved is what was signed, whatever page asked for it.
//!
//! Trusts the charter's credentials and its one origin. Refuses everything else by name. That a page shows one thing and asks to
//! sign another is found out here: the digest differs.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use serde_json::{Map, Value};
use types::Digest;

use crate::charter::{Passkey, RelyingParty};

/// Why an assertion does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasskeyRefusal {
    /// Not an assertion.
    #[error("it cannot be read")]
    Form,
    /// Not one of the person's credentials.
    #[error("the charter does not name this credential for this person")]
    UnknownCredential,
    /// Made to register a credential, or for payment.
    #[error("it was not made by signing in")]
    Type,
    /// Another instruction, or the same one with a changed field.
    #[error("it was made over another instruction")]
    Challenge,
    /// Another site asked for it.
    #[error("another site asked for it")]
    Origin,
    /// Another relying party.
    #[error("it was made for another relying party")]
    RelyingParty,
    /// Nobody was there.
    #[error("nobody touched the authenticator")]
    NoPresence,
    /// The authenticator did not ask who was there.
    #[error("the authenticator did not verify the person")]
    NoVerification,
    /// The key may leave the device.
    #[error("the charter asks for a key that cannot leave its device, and this one can")]
    NotDeviceBound,
    /// Forged.
    #[error("the signature is not this credential's")]
    Signature,
}

/// Flags of authenticator data: user present, user verified, backup eligible, attested credential data.
const PRESENT: u8 = 0x01;
const VERIFIED: u8 = 0x04;
const BACKUP_ELIGIBLE: u8 = 0x08;
const ATTESTED: u8 = 0x40;
/// Longest part of an assertion, in bytes.
const PART_MAX: usize = 4_096;

struct Assertion {
    authenticator_data: Vec<u8>,
    client_data_json: Vec<u8>,
    credential: String,
    signature: Vec<u8>,
}

impl Assertion {
    fn read(text: &str) -> Option<Assertion> {
        let mut fields: Map<String, Value> = serde_json::from_str(text).ok()?;
        let mut take = |name: &str| match fields.remove(name) {
            Some(Value::String(text)) if text.len() <= PART_MAX => Some(text),
            _ => None,
        };
        let bytes = |text: String| Base64UrlUnpadded::decode_vec(&text).ok();
        let assertion = Assertion {
            authenticator_data: bytes(take("authenticator_data")?)?,
            client_data_json: bytes(take("client_data_json")?)?,
            credential: take("credential")?,
            signature: bytes(take("signature")?)?,
        };
        fields.is_empty().then_some(assertion)
    }
}

/// Verifies an assertion over `digest` by one of a person's passkeys: an approval, or a sign-in whose challenge is a fresh digest.
pub fn verify(
    text: &str,
    digest: &Digest,
    relying_party: &RelyingParty,
    passkeys: &[Passkey],
) -> Result<(), PasskeyRefusal> {
    let assertion = Assertion::read(text).ok_or(PasskeyRefusal::Form)?;
    let passkey = passkeys.iter().find(|passkey| passkey.credential == assertion.credential);
    let passkey = passkey.ok_or(PasskeyRefusal::UnknownCredential)?;
    check_client(&assertion.client_data_json, digest, relying_party)?;
    check_authenticator(&assertion.authenticator_data, relying_party, passkey)?;
    let mut signed = assertion.authenticator_data;
    signed.extend_from_slice(Digest::of(&[&assertion.client_data_json]).as_bytes());
    let key = VerifyingKey::from_sec1_bytes(&passkey.public_key).map_err(|_| PasskeyRefusal::Signature)?;
    let signature = Signature::from_der(&assertion.signature).map_err(|_| PasskeyRefusal::Signature)?;
    key.verify(&signed, &signature).map_err(|_| PasskeyRefusal::Signature)
}

/// What the browser says: section 5.8.1 of the standard.
fn check_client(json: &[u8], digest: &Digest, relying_party: &RelyingParty) -> Result<(), PasskeyRefusal> {
    let fields: Map<String, Value> = serde_json::from_slice(json).map_err(|_| PasskeyRefusal::Form)?;
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    if text("type") != "webauthn.get" {
        return Err(PasskeyRefusal::Type);
    }
    if text("challenge") != Base64UrlUnpadded::encode_string(digest.as_bytes()) {
        return Err(PasskeyRefusal::Challenge);
    }
    // A page of ours inside a page of others is theirs.
    let framed = fields.get("crossOrigin").is_some_and(|crossed| *crossed != Value::Bool(false));
    if relying_party.origin.is_empty() || text("origin") != relying_party.origin || framed {
        return Err(PasskeyRefusal::Origin);
    }
    Ok(())
}

/// What the authenticator says: section 6.1 of the standard.
fn check_authenticator(data: &[u8], relying_party: &RelyingParty, passkey: &Passkey) -> Result<(), PasskeyRefusal> {
    // Hash of the relying party's identifier, flags, counter; extensions may follow.
    let (Some(hash), Some(flags), true) = (data.get(..32), data.get(32), data.len() >= 37) else {
        return Err(PasskeyRefusal::Form);
    };
    if hash != Digest::of(&[relying_party.id.as_bytes()]).as_bytes() {
        return Err(PasskeyRefusal::RelyingParty);
    }
    if flags & ATTESTED != 0 {
        return Err(PasskeyRefusal::Form);
    }
    if flags & PRESENT == 0 {
        return Err(PasskeyRefusal::NoPresence);
    }
    if flags & VERIFIED == 0 {
        return Err(PasskeyRefusal::NoVerification);
    }
    if passkey.device_bound && flags & BACKUP_ELIGIBLE != 0 {
        return Err(PasskeyRefusal::NotDeviceBound);
    }
    Ok(())
}
