//! SSH signatures over a digest (OpenSSH's PROTOCOL.sshsig), as stock `ssh-keygen -Y sign` makes them.

use ssh_key::{Algorithm, EcdsaCurve, PublicKey, SshSig};
use types::Digest;

/// Why an armoured signature does not speak for any of the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SshRefusal {
    /// Not an SSH signature, or of an algorithm that is not accepted.
    Form,
    /// Made with a key that is not among those given.
    UnknownKey,
    /// Wrong namespace, other text, or forged.
    Invalid,
    /// A security key signed without somebody touching it.
    NoPresence,
}

/// Flag of a security key's signature: somebody touched it (PROTOCOL.u2f).
const USER_PRESENT: u8 = 0x01;
/// A security key's signature ends with one byte of flags and four of a counter.
const SECURITY_KEY_TAIL: usize = 5;

/// The text that is signed: what `Digest` displays and a line feed.
pub(crate) fn text_to_sign(digest: &Digest) -> String {
    format!("{digest}\n")
}

/// Verifies `armoured` over `digest` in `namespace` by one of `keys` (OpenSSH's one-line form), as stock `ssh-keygen -Y sign` makes it
/// over the digest's text and a line feed.
///
/// # Errors
/// Another key, namespace, text or algorithm, or a security key that nobody touched.
pub fn verify_ssh(
    armoured: &str,
    namespace: &str,
    digest: &Digest,
    keys: &[String],
) -> Result<(), crate::ApprovalRefusal> {
    verify(armoured, namespace, digest, keys).map(|_| ()).map_err(crate::ApprovalRefusal::from)
}

/// Verifies `armoured` over `digest` in `namespace` by one of `keys` (OpenSSH's one-line form); returns the position of that key.
pub(crate) fn verify(armoured: &str, namespace: &str, digest: &Digest, keys: &[String]) -> Result<usize, SshRefusal> {
    let signature = SshSig::from_pem(armoured.trim()).map_err(|_| SshRefusal::Form)?;
    let position = keys
        .iter()
        .position(|line| PublicKey::from_openssh(line).is_ok_and(|key| key.key_data() == signature.public_key()))
        .ok_or(SshRefusal::UnknownKey)?;
    let security_key = match signature.algorithm() {
        Algorithm::Ed25519 | Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 } => false,
        Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256 => true,
        _ => return Err(SshRefusal::Form),
    };
    let key = PublicKey::from(signature.public_key().clone());
    key.verify(namespace, text_to_sign(digest).as_bytes(), &signature).map_err(|_| SshRefusal::Invalid)?;
    if security_key {
        let bytes = signature.signature_bytes();
        let flags = bytes.len().checked_sub(SECURITY_KEY_TAIL).and_then(|at| bytes.get(at)).copied().unwrap_or(0);
        if flags & USER_PRESENT == 0 {
            return Err(SshRefusal::NoPresence);
        }
    }
    Ok(position)
}
