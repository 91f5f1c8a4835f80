//! Public keys as their verifiers read them: a key that no verifier takes decides nothing, and one key is one key however it is spelled.

use ed25519_dalek::VerifyingKey as Ed25519Key;
use p256::ecdsa::VerifyingKey as P256Key;
use ssh_key::PublicKey;
use ssh_key::public::{EcdsaPublicKey, KeyData};

/// Why a charter's key could never verify anything, or would verify too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// Not a line of OpenSSH.
    #[error("it is not a public key in OpenSSH's one-line form; copy the line of the .pub file as it stands")]
    Form,
    /// Another kind than the verifier takes.
    #[error(
        "keys of its kind are not accepted; make one with ssh-keygen -t ed25519, ecdsa (256 bits), ed25519-sk or ecdsa-sk"
    )]
    Algorithm,
    /// Not on its curve.
    #[error("it is no point of its curve; copy the public key again from where it was made")]
    Point,
    /// A second spelling of a point.
    #[error("its point is not in the one spelling that is accepted; copy the public key again from where it was made")]
    Spelling,
    /// Of small or mixed order.
    #[error("it is weak: others can sign under it, or one secret under several such keys; make a new key")]
    Weak,
}

/// What makes two keys the same: the point, in its one spelling. Whether it is held by a file, a security key or a passkey, and under
/// which application or comment, makes no second key of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Material {
    Ed25519([u8; 32]),
    P256([u8; 33]),
}

/// Reads a line as [`crate::verify_ssh`] does, and takes the algorithms that it takes.
pub(crate) fn ssh(line: &str) -> Result<Material, KeyFault> {
    // The line's first word says elsewhere whether the key is a security key's.
    if line.starts_with(char::is_whitespace) {
        return Err(KeyFault::Form);
    }
    let key = PublicKey::from_openssh(line).map_err(|_| KeyFault::Form)?;
    match key.key_data() {
        KeyData::Ed25519(key) => ed25519(&key.0),
        KeyData::SkEd25519(key) => ed25519(&key.public_key().0),
        KeyData::Ecdsa(EcdsaPublicKey::NistP256(point)) => p256(point.as_bytes()),
        KeyData::SkEcdsaSha2NistP256(key) => p256(key.ec_point().as_bytes()),
        _ => Err(KeyFault::Algorithm),
    }
}

/// Reads a passkey's point, which stands compressed in a charter.
pub(crate) fn passkey(point: &[u8; 33]) -> Result<Material, KeyFault> {
    let material = p256(point)?;
    if material == Material::P256(*point) { Ok(material) } else { Err(KeyFault::Spelling) }
}

/// Reads an Ed25519 key: of an operator, a customer or a signer's journal.
pub(crate) fn ed25519(bytes: &[u8; 32]) -> Result<Material, KeyFault> {
    let key = Ed25519Key::from_bytes(bytes).map_err(|_| KeyFault::Point)?;
    if key.is_weak() || !key.to_edwards().is_torsion_free() {
        return Err(KeyFault::Weak);
    }
    if key.to_edwards().compress().as_bytes() != bytes {
        return Err(KeyFault::Spelling);
    }
    Ok(Material::Ed25519(*bytes))
}

fn p256(bytes: &[u8]) -> Result<Material, KeyFault> {
    let key = P256Key::from_sec1_bytes(bytes).map_err(|_| KeyFault::Point)?;
    let point = <[u8; 33]>::try_from(key.to_encoded_point(true).as_bytes()).map_err(|_| KeyFault::Point)?;
    Ok(Material::P256(point))
}
