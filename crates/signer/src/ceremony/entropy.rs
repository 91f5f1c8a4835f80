//! Entropy from several sources: commit, reveal, mix.
//!
//! Each party draws 32 bytes, publishes a commitment to them, and reveals them once everybody's commitment is there. All reveals go
//! into every party's seed, beside the party's own system randomness and dice, which nobody else ever sees:
//!
//! ```text
//! seed = HKDF-SHA-512 (RFC 5869)
//!   salt  SHA-256("claviger-entropy-salt-v1\n" || ceremony "\n" network "\n" signer "\n")
//!   input length || system randomness, length || dice, then for each party in order of name: length || name, length || contribution
//!   info  "claviger-seed-v1\n" || ceremony "\n" network "\n" signer
//! ```
//!
//! What that gives, precisely. Whoever does not know the system randomness of a signer, or does not know its dice, does not know its
//! seed, whatever is known of everything else: HMAC extracts from either alone (256 bits or more of each). The reveals are public once
//! they are made, so against somebody who knows both system randomness and dice of a signer they hide nothing. What they do is
//! this: the contributions were fixed by commitments before any was known, so that whoever made a signer's randomness predictable
//! or fixed beforehand (a manipulated machine, prepared dice) could not choose it to hit a seed known in advance, as long as one party
//! was honest; the seed is unpredictable until that party reveals. Keep reveals away from others where that costs nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use hkdf::Hkdf;
use sha2::Sha512;
use types::{CanonicalObject, Digest, Network, SignerId};
use zeroize::Zeroizing;

use super::dice::Dice;
use super::{Random, file_error, replace};
use crate::keys::write_secret;
use crate::refusal::{Code, Refused};
use crate::seed::SEED_BYTES;

/// Bytes of a contribution.
pub const CONTRIBUTION_BYTES: usize = 32;
/// Bytes of system randomness: twice the seed's.
pub const SYSTEM_BYTES: usize = 64;
/// Longest file of a commitment or reveal.
const FILE_BYTES_MAX: u64 = 4_096;

/// Who takes part in what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The ceremony's name: one word that all parties agree on.
    pub ceremony: String,
    /// The network.
    pub network: Network,
    /// The party: the signer's name.
    pub signer: SignerId,
}

impl Part {
    fn object(&self) -> CanonicalObject {
        let mut object = CanonicalObject::default();
        object.insert("ceremony", &self.ceremony);
        object.insert("network", self.network);
        object.insert("signer", &self.signer);
        object
    }

    fn read(object: &mut CanonicalObject, wrong: &impl Fn(&str) -> Refused) -> Result<Part, Refused> {
        let mut take = |field| object.take(field).map_err(|error| wrong(&error.to_string()));
        let ceremony = take("ceremony")?;
        let network = take("network")?.parse().map_err(|_| wrong("it names no known network"))?;
        let signer = take("signer")?.parse().map_err(|_| wrong("it names no signer"))?;
        Ok(Part { ceremony, network, signer })
    }

    /// The commitment to a contribution.
    fn commit(&self, contribution: &[u8]) -> Digest {
        Digest::of(&[b"claviger-entropy-commitment-v1\n", &self.object().to_bytes(), b"\n", contribution])
    }
}

/// A party's commitment. Public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commitment {
    /// Whose.
    pub part: Part,
    /// `SHA-256("claviger-entropy-commitment-v1\n" || part || "\n" || contribution)`.
    pub digest: Digest,
}

/// A party's contribution. Public once it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reveal {
    /// Whose.
    pub part: Part,
    /// The bytes.
    pub contribution: [u8; CONTRIBUTION_BYTES],
    /// The digest of all commitments that were there when it was made.
    pub commitments: Digest,
}

impl Commitment {
    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut object = self.part.object();
        object.insert("commitment", self.digest);
        object.to_bytes()
    }

    /// Reads a file.
    ///
    /// # Errors
    /// `entropy-form`.
    pub fn read(path: &Path) -> Result<Commitment, Refused> {
        let wrong = wrong(path);
        let mut object = object(path)?;
        let part = Part::read(&mut object, &wrong)?;
        let digest = object.take("commitment").ok().and_then(|text| text.parse().ok());
        object.finish().map_err(|error| wrong(&error.to_string()))?;
        Ok(Commitment { part, digest: digest.ok_or_else(|| wrong("it is no commitment"))? })
    }
}

impl Reveal {
    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut object = self.part.object();
        object.insert("commitments", self.commitments);
        object.insert("contribution", hex::encode(self.contribution));
        object.to_bytes()
    }

    /// Reads a file.
    ///
    /// # Errors
    /// `entropy-form`.
    pub fn read(path: &Path) -> Result<Reveal, Refused> {
        let wrong = wrong(path);
        let mut object = object(path)?;
        let part = Part::read(&mut object, &wrong)?;
        let commitments = object.take("commitments").ok().and_then(|text| text.parse().ok());
        let text = object.take("contribution").map_err(|error| wrong(&error.to_string()))?;
        object.finish().map_err(|error| wrong(&error.to_string()))?;
        let mut contribution = [0; CONTRIBUTION_BYTES];
        hex::decode_to_slice(text, &mut contribution).map_err(|_| wrong("the contribution has not 32 bytes"))?;
        Ok(Reveal { part, contribution, commitments: commitments.ok_or_else(|| wrong("it is no reveal"))? })
    }
}

fn wrong(path: &Path) -> impl Fn(&str) -> Refused + '_ {
    move |reason| Refused::new(Code::EntropyForm, format!("{}: {reason}", path.display()))
}

fn object(path: &Path) -> Result<CanonicalObject, Refused> {
    if fs::metadata(path).map_err(file_error(path))?.len() > FILE_BYTES_MAX {
        return Err(wrong(path)("it is too long"));
    }
    let bytes = fs::read(path).map_err(file_error(path))?;
    CanonicalObject::from_bytes(bytes.trim_ascii_end()).map_err(|error| wrong(path)(&error.to_string()))
}

/// Draws a contribution, keeps it in `keep` until it is revealed, and writes the commitment to `out`. Called again it commits to the
/// same contribution.
///
/// # Errors
/// `random`, `file`, `entropy-form`.
pub fn commit(part: &Part, keep: &Path, out: &Path, random: &mut Random<'_>) -> Result<Commitment, Refused> {
    let contribution = match fs::read(keep) {
        Ok(bytes) => bytes.try_into().map_err(|_| wrong(keep)("it is no contribution; name another file"))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut bytes = [0; CONTRIBUTION_BYTES];
            random(&mut bytes).map_err(|error| Refused::new(Code::Random, error.to_string()))?;
            // A crash after this leaves a contribution that the next try takes up.
            write_secret(keep, &bytes).map_err(file_error(keep))?;
            bytes
        }
        Err(error) => return Err(file_error(keep)(error)),
    };
    let contribution: [u8; CONTRIBUTION_BYTES] = contribution;
    let commitment = Commitment { part: part.clone(), digest: part.commit(&contribution) };
    replace(out, &commitment.to_bytes()).map_err(file_error(out))?;
    Ok(commitment)
}

/// Every party's commitment, once.
///
/// # Errors
/// `entropy-parties` for fewer than two parties, one twice, or parties of different ceremonies.
pub fn all(commitments: &[Commitment]) -> Result<(BTreeMap<SignerId, Commitment>, Digest), Refused> {
    let mut parties = BTreeMap::new();
    for commitment in commitments {
        let first = commitments.first().map_or(&commitment.part, |first| &first.part);
        if (&commitment.part.ceremony, commitment.part.network) != (&first.ceremony, first.network) {
            return Err(Refused::new(Code::EntropyParties, "the commitments are of different ceremonies or networks"));
        }
        if parties.insert(commitment.part.signer.clone(), commitment.clone()).is_some() {
            return Err(Refused::new(Code::EntropyParties, format!("{} committed twice", commitment.part.signer)));
        }
    }
    if parties.len() < 2 {
        return Err(Refused::new(Code::EntropyParties, "commitments of two parties are needed at least"));
    }
    let texts: Vec<Vec<u8>> = parties.values().map(Commitment::to_bytes).collect();
    let mut parts: Vec<&[u8]> = vec![b"claviger-entropy-commitments-v1\n"];
    for text in &texts {
        parts.extend([text.as_slice(), b"\n"]);
    }
    let digest = Digest::of(&parts);
    Ok((parties, digest))
}

/// Reveals the contribution in `keep`, once everybody's commitment is there. Only ever for one set of commitments: a party that saw a
/// reveal must not commit again.
///
/// # Errors
/// `entropy-parties`; `entropy-missing` when the own commitment is not among them; `entropy-revealed` when it was revealed for others.
pub fn reveal(part: &Part, keep: &Path, commitments: &[Commitment], out: &Path) -> Result<Reveal, Refused> {
    let (parties, digest) = all(commitments)?;
    let bytes = fs::read(keep).map_err(file_error(keep))?;
    let contribution: [u8; CONTRIBUTION_BYTES] = bytes.try_into().map_err(|_| wrong(keep)("it is no contribution"))?;
    let own = parties.get(&part.signer).filter(|own| own.part == *part && own.digest == part.commit(&contribution));
    if own.is_none() {
        let reason = "your own commitment is not among them, or is not to the contribution that you keep";
        return Err(Refused::new(Code::EntropyMissing, reason));
    }
    let mark = keep.with_extension("revealed");
    match fs::read_to_string(&mark) {
        Ok(before) if before == digest.to_string() => {}
        Ok(_) => {
            let reason = "this contribution was revealed already, for other commitments; begin the ceremony anew";
            return Err(Refused::new(Code::EntropyRevealed, reason));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            write_secret(&mark, digest.to_string().as_bytes()).map_err(file_error(&mark))?;
        }
        Err(error) => return Err(file_error(&mark)(error)),
    }
    let reveal = Reveal { part: part.clone(), contribution, commitments: digest };
    // A crash before this leaves the mark; the next try reveals the same.
    replace(out, &reveal.to_bytes()).map_err(file_error(out))?;
    Ok(reveal)
}

/// Everybody's contributions, held against everybody's commitments.
///
/// # Errors
/// `entropy-parties`; `entropy-missing` names who did not reveal; `entropy-lie` who revealed something else; `entropy-order` who revealed
/// before all commitments were there.
pub fn open(
    commitments: &[Commitment],
    reveals: &[Reveal],
) -> Result<BTreeMap<SignerId, [u8; CONTRIBUTION_BYTES]>, Refused> {
    let (parties, digest) = all(commitments)?;
    let mut contributions = BTreeMap::new();
    for reveal in reveals {
        let signer = &reveal.part.signer;
        let Some(commitment) = parties.get(signer) else {
            return Err(Refused::new(Code::EntropyMissing, format!("{signer} revealed without a commitment")));
        };
        if commitment.part != reveal.part || commitment.digest != reveal.part.commit(&reveal.contribution) {
            return Err(Refused::new(
                Code::EntropyLie,
                format!("{signer} revealed something else than it committed to"),
            ));
        }
        if reveal.commitments != digest {
            return Err(Refused::new(
                Code::EntropyOrder,
                format!("{signer} revealed for other commitments than these"),
            ));
        }
        contributions.insert(signer.clone(), reveal.contribution);
    }
    match parties.keys().find(|signer| !contributions.contains_key(*signer)) {
        Some(signer) => Err(Refused::new(Code::EntropyMissing, format!("{signer} has not revealed"))),
        None => Ok(contributions),
    }
}

/// Mixes everything into a seed, as the head of this file says.
///
/// # Errors
/// None that can come: 32 bytes are far below the most that HKDF gives.
pub fn mix(
    part: &Part,
    system: &[u8; SYSTEM_BYTES],
    dice: Option<&Dice>,
    contributions: &BTreeMap<SignerId, [u8; CONTRIBUTION_BYTES]>,
) -> Result<Zeroizing<[u8; SEED_BYTES]>, Refused> {
    let name = format!("{}\n{}\n{}\n", part.ceremony, part.network, part.signer);
    let salt = Digest::of(&[b"claviger-entropy-salt-v1\n", name.as_bytes()]);
    let dice = dice.map_or(&[][..], Dice::expose);
    // Has its full length from the start: no copy stays behind.
    let room = 16 + SYSTEM_BYTES + dice.len() + contributions.len() * (16 + 64 + CONTRIBUTION_BYTES);
    let mut input = Zeroizing::new(Vec::with_capacity(room));
    let mut push = |bytes: &[u8]| {
        input.extend_from_slice(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        input.extend_from_slice(bytes);
    };
    push(system);
    push(dice);
    for (signer, contribution) in contributions {
        push(signer.as_str().as_bytes());
        push(contribution);
    }
    let mut seed = Zeroizing::new([0; SEED_BYTES]);
    let info = format!("claviger-seed-v1\n{}\n{}\n{}", part.ceremony, part.network, part.signer);
    let expanded = Hkdf::<Sha512>::new(Some(salt.as_bytes()), &input).expand(info.as_bytes(), seed.as_mut_slice());
    expanded.map(|()| seed).map_err(|error| Refused::new(Code::Seed, error.to_string()))
}
