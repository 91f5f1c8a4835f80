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

use crate::approvals::KeyPlace;
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
    /// A new key of another kind.
    #[error("the new key is not of ES256 (ECDSA over P-256 with SHA-256)")]
    Algorithm,
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
/// Returns where the key lives, as the authenticator says: a credential is eligible for backup for ever or never.
pub fn verify(
    text: &str,
    digest: &Digest,
    relying_party: &RelyingParty,
    passkeys: &[Passkey],
) -> Result<KeyPlace, PasskeyRefusal> {
    let assertion = Assertion::read(text).ok_or(PasskeyRefusal::Form)?;
    let passkey = passkeys.iter().find(|passkey| passkey.credential == assertion.credential);
    let passkey = passkey.ok_or(PasskeyRefusal::UnknownCredential)?;
    check_client(&assertion.client_data_json, "webauthn.get", digest, relying_party)?;
    let flags = check_authenticator(&assertion.authenticator_data, relying_party)?;
    if flags & ATTESTED != 0 {
        return Err(PasskeyRefusal::Form);
    }
    let place = if flags & BACKUP_ELIGIBLE == 0 { KeyPlace::Device } else { KeyPlace::Anywhere };
    if passkey.device_bound && place == KeyPlace::Anywhere {
        return Err(PasskeyRefusal::NotDeviceBound);
    }
    let mut signed = assertion.authenticator_data;
    signed.extend_from_slice(Digest::of(&[&assertion.client_data_json]).as_bytes());
    let key = VerifyingKey::from_sec1_bytes(&passkey.public_key).map_err(|_| PasskeyRefusal::Signature)?;
    let signature = Signature::from_der(&assertion.signature).map_err(|_| PasskeyRefusal::Signature)?;
    key.verify(&signed, &signature).map_err(|_| PasskeyRefusal::Signature)?;
    Ok(place)
}

/// What the browser says: section 5.8.1 of the standard.
fn check_client(json: &[u8], kind: &str, digest: &Digest, relying_party: &RelyingParty) -> Result<(), PasskeyRefusal> {
    let fields: Map<String, Value> = serde_json::from_slice(json).map_err(|_| PasskeyRefusal::Form)?;
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    if text("type") != kind {
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

/// What the authenticator says: section 6.1 of the standard. Returns its flags.
fn check_authenticator(data: &[u8], relying_party: &RelyingParty) -> Result<u8, PasskeyRefusal> {
    // Hash of the relying party's identifier, flags, counter; extensions may follow.
    let (Some(hash), Some(flags), true) = (data.get(..32), data.get(32).copied(), data.len() >= 37) else {
        return Err(PasskeyRefusal::Form);
    };
    if hash != Digest::of(&[relying_party.id.as_bytes()]).as_bytes() {
        return Err(PasskeyRefusal::RelyingParty);
    }
    if flags & PRESENT == 0 {
        return Err(PasskeyRefusal::NoPresence);
    }
    if flags & VERIFIED == 0 {
        return Err(PasskeyRefusal::NoVerification);
    }
    Ok(flags)
}

/// An ES256 key as CTAP2 spells it (RFC 9053, one canonical form): what stands before x, and between x and y.
const COSE_HEAD: [u8; 10] = [0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20];
const COSE_BETWEEN: [u8; 3] = [0x22, 0x58, 0x20];

/// Reads a new credential: section 7.1 of the standard, without attestation, since who may hold a key is for the charter to say.
///
/// `text` is a JSON object with `authenticator_data` and `client_data_json`, both base64url.
pub fn verify_registration(
    text: &str,
    digest: &Digest,
    relying_party: &RelyingParty,
) -> Result<Passkey, PasskeyRefusal> {
    let fields: Map<String, Value> = serde_json::from_str(text).map_err(|_| PasskeyRefusal::Form)?;
    let bytes = |name: &str| {
        let text = fields.get(name).and_then(Value::as_str).filter(|text| text.len() <= PART_MAX);
        text.and_then(|text| Base64UrlUnpadded::decode_vec(text).ok()).ok_or(PasskeyRefusal::Form)
    };
    let data = bytes("authenticator_data")?;
    check_client(&bytes("client_data_json")?, "webauthn.create", digest, relying_party)?;
    let flags = check_authenticator(&data, relying_party)?;
    if flags & ATTESTED == 0 {
        return Err(PasskeyRefusal::Form);
    }
    // After 37 bytes: the model (16), the length of the identifier (2), the identifier, the key.
    let part = |from: usize, length: usize| data.get(from..from.saturating_add(length)).ok_or(PasskeyRefusal::Form);
    let length = part(53, 2)?.iter().fold(0, |length, byte| length * 256 + usize::from(*byte));
    let credential = part(55, length)?;
    let key = 55 + length;
    let (x, y) = (part(key + 10, 32)?, part(key + 45, 32)?);
    if length == 0 || part(key, 10)? != COSE_HEAD || part(key + 42, 3)? != COSE_BETWEEN {
        return Err(PasskeyRefusal::Algorithm);
    }
    let point = [&[0x04], x, y].concat();
    let key = VerifyingKey::from_sec1_bytes(&point).map_err(|_| PasskeyRefusal::Algorithm)?;
    let public_key =
        <[u8; 33]>::try_from(key.to_encoded_point(true).as_bytes()).map_err(|_| PasskeyRefusal::Algorithm)?;
    Ok(Passkey {
        credential: Base64UrlUnpadded::encode_string(credential),
        public_key,
        device_bound: flags & BACKUP_ELIGIBLE == 0,
    })
}
