//! What is carried to a signer without a network, and what is carried back.
//!
//! Both have one spelling: JSON without spaces, fields in the order below, so that a digest of the bytes names them and people can
//! compare its words on both sides. Neither is trusted: a bundle's parts are checked one by one by the signer, an answer's signatures
//! and head by whoever takes it.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use types::Digest;

use crate::frame::FRAME_BYTES_MAX;
use crate::message::{Approval, Head, Instruction, Refusal, Signature, Statement};

/// The version that this crate reads and writes; another is refused.
pub const CARRIED_VERSION: u32 = 1;
/// Longest bundle or answer, in bytes. What goes over a screen has to be shorter still.
pub const CARRIED_BYTES_MAX: usize = FRAME_BYTES_MAX;
/// The most charters, steps, payments or statements in a bundle, and signatures in an answer.
pub const CARRIED_ITEMS_MAX: usize = 500;

/// Why carried bytes are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CarriedError {
    /// Longer than [`CARRIED_BYTES_MAX`].
    #[error("{0} bytes are more than {CARRIED_BYTES_MAX}: this is no bundle and no answer of ours")]
    TooLong(usize),
    /// Not JSON of the expected shape.
    #[error("it cannot be read: {0}")]
    Form(String),
    /// Another spelling than the one that digests are made of.
    #[error("it is not in its one spelling (no spaces, fields in order): it was edited, or another program wrote it")]
    Spelling,
    /// Another version.
    #[error("it has version {0}, and this program reads version {CARRIED_VERSION}")]
    Version(u32),
    /// Too many of something.
    #[error("it holds more than {CARRIED_ITEMS_MAX} {0}")]
    TooMany(&'static str),
}

/// A charter that the signer may not have yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NextCharter {
    /// Its canonical bytes, as text.
    pub charter: String,
    /// Signatures over its digest, by the charter before.
    pub approvals: Vec<Approval>,
}

/// Everything that a signer without a network needs to sign one transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// [`CARRIED_VERSION`].
    pub version: u32,
    /// For which signer.
    pub signer: String,
    /// Charters after the one that it is thought to hold, in order. Those that it has are passed over.
    pub charters: Vec<NextCharter>,
    /// Instructions that move no coins and come first, such as the activation of the wallet's key. Those carried out are passed over.
    pub steps: Vec<Instruction>,
    /// What the transaction pays for.
    pub payments: Vec<Instruction>,
    /// The transaction as a PSBT (BIP-174) with whole previous transactions, hexadecimal.
    pub psbt: String,
    /// What connected signers remember of this one's journal, over the digest of the first payment.
    pub statements: Vec<Statement>,
}

/// What the signer made of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// [`CARRIED_VERSION`].
    pub version: u32,
    /// Digest of the bundle.
    pub bundle: String,
    /// Who answers.
    pub signer: String,
    /// The newest record of its journal: connected signers are to remember it.
    pub head: Head,
    /// Its signatures; none when it refused.
    pub signatures: Vec<Signature>,
    /// Why it did not sign.
    pub refusal: Option<Refusal>,
}

fn write<T: Serialize>(value: &T) -> Vec<u8> {
    // Texts, numbers and lists always have a JSON form.
    serde_json::to_vec(value).unwrap_or_default()
}

fn read<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, CarriedError> {
    if bytes.len() > CARRIED_BYTES_MAX {
        return Err(CarriedError::TooLong(bytes.len()));
    }
    let value: T = serde_json::from_slice(bytes).map_err(|error| CarriedError::Form(error.to_string()))?;
    if write(&value) == bytes { Ok(value) } else { Err(CarriedError::Spelling) }
}

fn check(version: u32, counts: &[(&'static str, usize)]) -> Result<(), CarriedError> {
    if version != CARRIED_VERSION {
        return Err(CarriedError::Version(version));
    }
    match counts.iter().find(|(_, count)| *count > CARRIED_ITEMS_MAX) {
        Some((name, _)) => Err(CarriedError::TooMany(name)),
        None => Ok(()),
    }
}

impl Bundle {
    /// The name of its kind in QR codes (a UR type).
    pub const KIND: &'static str = "claviger-bundle";

    /// Reads a bundle from its one spelling.
    pub fn from_bytes(bytes: &[u8]) -> Result<Bundle, CarriedError> {
        let bundle: Bundle = read(bytes)?;
        check(
            bundle.version,
            &[
                ("charters", bundle.charters.len()),
                ("steps", bundle.steps.len()),
                ("payments", bundle.payments.len()),
                ("statements", bundle.statements.len()),
            ],
        )?;
        Ok(bundle)
    }

    /// Its one spelling.
    pub fn to_bytes(&self) -> Vec<u8> {
        write(self)
    }

    /// `SHA-256("claviger-bundle-v1\n" || bytes)`: what is compared on both sides.
    pub fn digest(&self) -> Digest {
        Digest::of(&[b"claviger-bundle-v1\n", &self.to_bytes()])
    }
}

impl Answer {
    /// The name of its kind in QR codes (a UR type).
    pub const KIND: &'static str = "claviger-answer";

    /// Reads an answer from its one spelling.
    pub fn from_bytes(bytes: &[u8]) -> Result<Answer, CarriedError> {
        let answer: Answer = read(bytes)?;
        check(answer.version, &[("signatures", answer.signatures.len())])?;
        Ok(answer)
    }

    /// Its one spelling.
    pub fn to_bytes(&self) -> Vec<u8> {
        write(self)
    }

    /// `SHA-256("claviger-answer-v1\n" || bytes)`: what is compared on both sides.
    pub fn digest(&self) -> Digest {
        Digest::of(&[b"claviger-answer-v1\n", &self.to_bytes()])
    }
}

/// What connected signers say over, when they are asked what they remember of a signer without a network: the digests of all that the
/// transaction pays, and the transaction's identifier, so that what they said can be used for this transaction alone, and was said after the
/// youngest of its instructions was made. `SHA-256("claviger-recall-v1\n" || txid || digests)`, hexadecimal.
pub fn recall_nonce<'a>(txid: &str, digests: impl Iterator<Item = &'a Digest>) -> String {
    let mut text = txid.to_owned();
    for digest in digests {
        text.push('\n');
        text.push_str(&digest.to_string());
    }
    Digest::of(&[b"claviger-recall-v1\n", text.as_bytes()]).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle() -> Bundle {
        Bundle {
            version: CARRIED_VERSION,
            signer: "c1".to_owned(),
            charters: vec![],
            steps: vec![],
            payments: vec![],
            psbt: "70736274ff".to_owned(),
            statements: vec![],
        }
    }

    #[test]
    fn one_spelling_is_read_and_every_other_refused() {
        let bytes = bundle().to_bytes();
        assert_eq!(Bundle::from_bytes(&bytes), Ok(bundle()));
        let text = String::from_utf8(bytes).unwrap();
        let spaced = text.replace(':', ": ");
        assert_eq!(Bundle::from_bytes(spaced.as_bytes()), Err(CarriedError::Spelling));
        let line = format!("{text}\n");
        assert_eq!(Bundle::from_bytes(line.as_bytes()), Err(CarriedError::Spelling));
        let more = text.replacen('{', "{\"note\":\"\",", 1);
        assert!(matches!(Bundle::from_bytes(more.as_bytes()), Err(CarriedError::Form(_))));
        let newer = text.replace("\"version\":1", "\"version\":2");
        assert_eq!(Bundle::from_bytes(newer.as_bytes()), Err(CarriedError::Version(2)));
        let long = vec![b' '; CARRIED_BYTES_MAX + 1];
        assert_eq!(Bundle::from_bytes(&long), Err(CarriedError::TooLong(CARRIED_BYTES_MAX + 1)));
        let one = NextCharter { charter: String::new(), approvals: vec![] };
        let many = Bundle { charters: vec![one; CARRIED_ITEMS_MAX + 1], ..bundle() };
        assert_eq!(Bundle::from_bytes(&many.to_bytes()), Err(CarriedError::TooMany("charters")));
    }

    #[test]
    fn digests_tell_bundles_and_answers_apart() {
        let other = Bundle { psbt: "70736274fe".to_owned(), ..bundle() };
        assert_ne!(bundle().digest(), other.digest());
        let head = Head { signer: "c1".to_owned(), seq: 1, hash: String::new(), signature: String::new() };
        let answer = Answer {
            version: CARRIED_VERSION,
            bundle: bundle().digest().to_string(),
            signer: "c1".to_owned(),
            head,
            signatures: vec![],
            refusal: None,
        };
        assert_eq!(Answer::from_bytes(&answer.to_bytes()), Ok(answer.clone()));
        assert!(Bundle::from_bytes(&answer.to_bytes()).is_err());
        let refused = Refusal::new(types::RefusalCode::Expired, "");
        assert_ne!(answer.digest(), Answer { refusal: Some(refused), ..answer.clone() }.digest());
    }
}
