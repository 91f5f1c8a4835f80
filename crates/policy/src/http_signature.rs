//! A narrow profile of RFC 9421 (HTTP Message Signatures): one signature, label `sig1`, Ed25519, over the method, the
//! path, the body's digest (RFC 9530) and the idempotency key.
//!
//! Anything else that RFC 9421 allows (other components, parameters, labels, algorithms, orders) is refused, so that one
//! request has one signature base.

use base64ct::{Base64, Encoding as _};
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha256};
use types::Moment;

/// What a signature says about itself: the parameters of `Signature-Input`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// From when on it is valid (whole seconds).
    pub created: Moment,
    /// From when on it is not any more (whole seconds).
    pub expires: Moment,
    /// Names the key.
    pub key_id: String,
    /// Makes two equal requests distinguishable.
    pub nonce: String,
}

/// The signed parts of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    /// HTTP method in capitals.
    pub method: &'a str,
    /// Path, with the query if there is one.
    pub path: &'a str,
    /// The `Content-Digest` header.
    pub content_digest: &'a str,
    /// The `Idempotency-Key` header; empty when the request has none.
    pub idempotency_key: &'a str,
}

/// Why a signature does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpSignatureError {
    /// `Signature-Input` is not of this profile.
    #[error(
        "Signature-Input is not: sig1=(\"@method\" \"@path\" \"content-digest\" \"idempotency-key\");created=…;expires=…;keyid=\"…\";nonce=\"…\";alg=\"ed25519\""
    )]
    Input,
    /// `Signature` is not `sig1=:BASE64:` of 64 bytes.
    #[error("Signature is not sig1=:BASE64: of 64 bytes")]
    Signature,
    /// `Content-Digest` is not the body's.
    #[error("Content-Digest is not the sha-256 of the body")]
    ContentDigest,
    /// A header holds characters that cannot be signed unambiguously.
    #[error("a signed part holds a control character or a character outside ASCII")]
    Characters,
    /// The signature was made by another key or over another request.
    #[error("the signature is not this key's over this request")]
    Invalid,
}

const COMPONENTS: &str = r#"("@method" "@path" "content-digest" "idempotency-key")"#;

impl Parameters {
    /// The value of `Signature-Input` after `sig1=`.
    fn serialized(&self) -> String {
        format!(
            r#"{COMPONENTS};created={};expires={};keyid="{}";nonce="{}";alg="ed25519""#,
            self.created.seconds(),
            self.expires.seconds(),
            self.key_id,
            self.nonce
        )
    }

    /// The header `Signature-Input`.
    pub fn header(&self) -> String {
        format!("sig1={}", self.serialized())
    }

    /// Reads the header `Signature-Input`.
    pub fn from_header(header: &str) -> Result<Parameters, HttpSignatureError> {
        let wrong = HttpSignatureError::Input;
        let rest = header.strip_prefix("sig1=").and_then(|rest| rest.strip_prefix(COMPONENTS)).ok_or(wrong)?;
        let mut fields = rest.split(';').skip(1);
        let mut field = |name: &str| {
            fields
                .next()
                .and_then(|field| field.split_once('='))
                .filter(|(key, _)| *key == name)
                .map(|(_, value)| value)
                .ok_or(wrong)
        };
        let number = |text: &str| text.parse().map(Moment::from_seconds).map_err(|_| wrong);
        let quoted =
            |text: &str| text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).map(str::to_owned).ok_or(wrong);
        let parameters = Parameters {
            created: number(field("created")?)?,
            expires: number(field("expires")?)?,
            key_id: quoted(field("keyid")?)?,
            nonce: quoted(field("nonce")?)?,
        };
        // One spelling: what is written again must be what was read, so quotes inside names or spare fields are refused.
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":-_.".contains(&byte));
        if parameters.header() == header && plain(&parameters.key_id) && plain(&parameters.nonce) {
            Ok(parameters)
        } else {
            Err(wrong)
        }
    }
}

/// The header `Content-Digest` of a body (RFC 9530).
pub fn content_digest(body: &[u8]) -> String {
    format!("sha-256=:{}:", Base64::encode_string(&Sha256::digest(body)))
}

/// The signature base (RFC 9421 section 2.5): what the key signs.
pub fn signature_base(parts: &Parts<'_>, parameters: &Parameters) -> Result<String, HttpSignatureError> {
    let values = [parts.method, parts.path, parts.content_digest, parts.idempotency_key];
    if values.iter().any(|value| !value.bytes().all(|byte| (0x20..0x7f).contains(&byte))) {
        return Err(HttpSignatureError::Characters);
    }
    Ok(format!(
        "\"@method\": {}\n\"@path\": {}\n\"content-digest\": {}\n\"idempotency-key\": {}\n\"@signature-params\": {}",
        parts.method,
        parts.path,
        parts.content_digest,
        parts.idempotency_key,
        parameters.serialized()
    ))
}

/// The header `Signature` for the signature's 64 bytes.
pub fn signature_header(signature: &[u8; 64]) -> String {
    format!("sig1=:{}:", Base64::encode_string(signature))
}

/// Verifies a request against a key. Whether the time is right and the nonce fresh is for the caller to say.
pub fn verify(
    parts: &Parts<'_>,
    body: &[u8],
    signature_input: &str,
    signature: &str,
    key: &[u8; 32],
) -> Result<Parameters, HttpSignatureError> {
    let parameters = Parameters::from_header(signature_input)?;
    if parts.content_digest != content_digest(body) {
        return Err(HttpSignatureError::ContentDigest);
    }
    let encoded = signature
        .strip_prefix("sig1=:")
        .and_then(|rest| rest.strip_suffix(':'))
        .ok_or(HttpSignatureError::Signature)?;
    let bytes = Base64::decode_vec(encoded).map_err(|_| HttpSignatureError::Signature)?;
    let signature = Signature::from_slice(&bytes).map_err(|_| HttpSignatureError::Signature)?;
    let key = VerifyingKey::from_bytes(key).map_err(|_| HttpSignatureError::Invalid)?;
    let base = signature_base(parts, &parameters)?;
    // Strict: no small-order keys, which would let one signature hold for many messages.
    key.verify_strict(base.as_bytes(), &signature).map_err(|_| HttpSignatureError::Invalid)?;
    Ok(parameters)
}
