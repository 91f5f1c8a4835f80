//! The transcript of a generation: who took part, what was committed, revealed and enrolled, what the health tests saw. No secret is
//! in it. Every signer signs its digest with its journal key, people with stock ssh-keygen (namespace `claviger-ceremony`).
//!
//! One spelling: JSON with keys in order and without spaces (RFC 8785), all values texts, parties in order of their names.

use std::collections::BTreeMap;

use chains::bitcoin::AccountKey;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use policy::Charter;
use serde::{Deserialize, Serialize};
use types::{Digest, Network, OperatorId, SignerId};

use super::entropy::{Commitment, Reveal, all, open};
use super::generate::Report;
use crate::core::Core;
use crate::enrol::Enrolment;
use crate::life::Actor;
use crate::refusal::{Code, Refused};

/// The word in the journal.
pub const STEP: &str = "transcript";
/// The namespace in which people sign.
pub const NAMESPACE: &str = "claviger-ceremony";
/// Longest transcript, in bytes.
pub const BYTES_MAX: usize = 1 << 20;
const DOMAIN: &[u8] = b"claviger-transcript-v1\n";

/// What a transcript says of one party.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Party {
    /// The commitment.
    pub commitment: String,
    /// The contribution, hexadecimal.
    pub contribution: String,
    /// The public enrolment.
    pub enrolment: Public,
    /// What was published about the generation.
    pub report: Report,
}

/// An enrolment in the transcript's order of keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Public {
    /// Key expressions.
    pub accounts: Vec<String>,
    /// The listener's certificate.
    pub certificate: String,
    /// The key that signs heads and the transcript.
    pub journal_key: String,
    /// The network.
    pub network: String,
    /// The signer.
    pub signer: String,
}

impl From<Enrolment> for Public {
    fn from(enrolment: Enrolment) -> Public {
        let Enrolment { signer, network, journal_key, accounts, certificate, .. } = enrolment;
        Public { accounts, certificate, journal_key, network, signer }
    }
}

/// A transcript.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transcript {
    /// The ceremony's name.
    pub ceremony: String,
    /// The network.
    pub network: String,
    /// The parties, by name.
    pub parties: Vec<Party>,
}

fn wrong(reason: impl Into<String>) -> Refused {
    Refused::new(Code::Transcript, reason)
}

impl Transcript {
    /// Puts a transcript together from what every party published.
    ///
    /// # Errors
    /// `transcript` and those of [`open`].
    pub fn assemble(
        commitments: &[Commitment],
        reveals: &[Reveal],
        signers: Vec<(Enrolment, Report)>,
    ) -> Result<Transcript, Refused> {
        let (parties, _) = all(commitments)?;
        let contributions = open(commitments, reveals)?;
        let mut signers: BTreeMap<String, (Enrolment, Report)> =
            signers.into_iter().map(|(enrolment, report)| (enrolment.signer.clone(), (enrolment, report))).collect();
        let mut transcript = Transcript { ceremony: String::new(), network: String::new(), parties: Vec::new() };
        for (signer, commitment) in &parties {
            let (enrolment, report) = signers
                .remove(signer.as_str())
                .ok_or_else(|| wrong(format!("the enrolment of {signer} is missing")))?;
            transcript.ceremony.clone_from(&commitment.part.ceremony);
            transcript.network = commitment.part.network.to_string();
            transcript.parties.push(Party {
                commitment: commitment.digest.to_string(),
                contribution: contributions.get(signer).map(hex::encode).unwrap_or_default(),
                enrolment: enrolment.into(),
                report,
            });
        }
        if let Some(other) = signers.keys().next() {
            return Err(wrong(format!("{other} took no part in this ceremony")));
        }
        transcript.check()?;
        Ok(transcript)
    }

    /// The bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a transcript in its one spelling, and holds everything in it against everything else.
    ///
    /// # Errors
    /// `transcript`, and those of [`open`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Transcript, Refused> {
        if bytes.len() > BYTES_MAX {
            return Err(wrong("it is too long"));
        }
        let transcript: Transcript = serde_json::from_slice(bytes).map_err(|_| wrong("it is no transcript"))?;
        if transcript.to_bytes() != bytes {
            return Err(wrong("it is not in its one spelling: somebody edited it"));
        }
        transcript.check()?;
        Ok(transcript)
    }

    /// What is signed: `SHA-256("claviger-transcript-v1\n" || bytes)`.
    pub fn digest(&self) -> Digest {
        Digest::of(&[DOMAIN, &self.to_bytes()])
    }

    /// The party of a name.
    pub fn party(&self, signer: &SignerId) -> Option<&Party> {
        self.parties.iter().find(|party| party.enrolment.signer == signer.as_str())
    }

    fn check(&self) -> Result<(), Refused> {
        let network: Network = self.network.parse().map_err(|_| wrong("it names no known network"))?;
        let (mut commitments, mut reveals) = (Vec::new(), Vec::new());
        let (mut fingerprints, mut keys) = (BTreeMap::new(), BTreeMap::new());
        let digest_of = |text: &str| text.parse::<Digest>().map_err(|_| wrong("a digest has no form"));
        for party in &self.parties {
            let signer: SignerId = party.enrolment.signer.parse().map_err(|_| wrong("a signer's name has no form"))?;
            let named = (&self.ceremony, &self.network, &party.enrolment.signer);
            if (&party.report.ceremony, &party.report.network, &party.report.signer) != named
                || party.enrolment.network != self.network
            {
                return Err(wrong(format!("what {signer} published is of another ceremony, network or signer")));
            }
            let part = super::entropy::Part { ceremony: self.ceremony.clone(), network, signer: signer.clone() };
            let mut contribution = [0; super::entropy::CONTRIBUTION_BYTES];
            hex::decode_to_slice(&party.contribution, &mut contribution)
                .map_err(|_| wrong(format!("the contribution of {signer} has no form")))?;
            let named = digest_of(&party.report.commitments)?;
            commitments.push(Commitment { part: part.clone(), digest: digest_of(&party.commitment)? });
            reveals.push(Reveal { part, contribution, commitments: named });
            for text in &party.enrolment.accounts {
                let key = AccountKey::parse(text, network).map_err(|error| wrong(format!("{signer}: {error}")))?;
                if let Some(other) =
                    fingerprints.insert(key.fingerprint, signer.clone()).filter(|other| *other != signer)
                {
                    return Err(Refused::new(Code::SeedShared, format!("{signer} and {other} have the same seed")));
                }
            }
            if keys.insert(party.enrolment.journal_key.clone(), ()).is_some() {
                return Err(wrong(format!("{signer} has the journal key of another party")));
            }
        }
        open(&commitments, &reveals)?;
        let sorted = self.parties.windows(2).all(|pair| match pair {
            [one, next] => one.enrolment.signer < next.enrolment.signer,
            _ => true,
        });
        if sorted { Ok(()) } else { Err(wrong("the parties are not in order")) }
    }
}

/// A signer's signature over a transcript.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// The transcript's digest.
    pub digest: String,
    /// Ed25519 over `"claviger-transcript-v1\n" || digest`, hexadecimal.
    pub signature: String,
    /// Whose.
    pub signer: String,
}

fn message(digest: &Digest) -> Vec<u8> {
    [DOMAIN, digest.as_bytes()].concat()
}

/// Signs a transcript, if what it says of this signer is so, and writes its digest into the journal, once.
///
/// # Errors
/// `transcript` when this signer is not in it as it is.
pub fn sign(
    core: &mut Core,
    transcript: &Transcript,
    own: (&Enrolment, &SigningKey),
    by: &Actor,
    now: types::Moment,
) -> Result<Signed, Refused> {
    let (enrolment, key) = own;
    let party = transcript.party(core.id()).ok_or_else(|| wrong("this signer took no part in it"))?;
    if party.enrolment != Public::from(enrolment.clone()) {
        return Err(wrong("it enrols this signer with other keys than it has"));
    }
    let generated =
        core.ceremonies().iter().any(|one| one.step == super::generate::STEP && one.detail == party.report.detail());
    if !generated {
        return Err(wrong("it says something else of this signer's generation than the journal does"));
    }
    let digest = transcript.digest();
    let detail = format!("ceremony {}, digest {digest}", transcript.ceremony);
    if !core.ceremonies().iter().any(|one| one.step == STEP && one.detail == detail) {
        core.ceremony(STEP, &detail, Vec::new(), by, "", now)?;
    }
    let signature = hex::encode(key.sign(&message(&digest)).to_bytes());
    Ok(Signed { digest: digest.to_string(), signature, signer: core.id().to_string() })
}

/// Checks that every signer of a transcript signed it.
///
/// # Errors
/// `transcript-unsigned` names who did not, or whose signature is not valid.
pub fn verify_signers(transcript: &Transcript, signed: &[Signed]) -> Result<(), Refused> {
    let digest = transcript.digest();
    for party in &transcript.parties {
        let name = &party.enrolment.signer;
        let unsigned = |reason: &str| Refused::new(Code::TranscriptUnsigned, format!("{name}: {reason}"));
        let own =
            signed.iter().find(|one| one.signer == *name).ok_or_else(|| unsigned("no signature of it was given"))?;
        let key = party.enrolment.journal_key.parse::<Digest>().ok();
        let key = key.and_then(|key| VerifyingKey::from_bytes(key.as_bytes()).ok());
        let key = key.ok_or_else(|| unsigned("its journal key has no form"))?;
        let bytes = hex::decode(&own.signature).ok().and_then(|bytes| bytes.try_into().ok());
        let signature = Signature::from_bytes(&bytes.ok_or_else(|| unsigned("its signature has no form"))?);
        if own.digest != digest.to_string() || key.verify_strict(&message(&digest), &signature).is_err() {
            return Err(unsigned("its signature is not over this transcript"));
        }
    }
    Ok(())
}

/// Checks that a charter names the keys that were generated: every party with its journal key, and with an account in some
/// wallet.
///
/// # Errors
/// `transcript-charter` names the signer.
pub fn verify_charter(transcript: &Transcript, charter: &Charter) -> Result<(), Refused> {
    let descriptors: String = charter.wallets.iter().map(|wallet| wallet.descriptor.as_str()).collect();
    for party in &transcript.parties {
        let name = &party.enrolment.signer;
        let differs = |what: &str| Refused::new(Code::TranscriptCharter, format!("{name}: {what}"));
        let signer = charter.signers.iter().find(|signer| signer.id.as_str() == name);
        let signer = signer.ok_or_else(|| differs("the charter does not name it"))?;
        if hex::encode(signer.journal_key) != party.enrolment.journal_key {
            return Err(differs("the charter gives it another journal key than it generated"));
        }
        if !party.enrolment.accounts.iter().any(|account| descriptors.contains(account.as_str())) {
            return Err(differs("no wallet of the charter has a key that it generated"));
        }
    }
    Ok(())
}

/// Checks that a person signed a transcript with one of these keys (OpenSSH's one-line form).
///
/// # Errors
/// `transcript-unsigned` names the person.
pub fn verify_person(
    transcript: &Transcript,
    person: &OperatorId,
    keys: &[String],
    armoured: &str,
) -> Result<(), Refused> {
    policy::verify_ssh(armoured, NAMESPACE, &transcript.digest(), keys).map_err(|_| {
        let reason = format!("the signature is not {person}'s over this transcript in the namespace {NAMESPACE}");
        Refused::new(Code::TranscriptUnsigned, reason)
    })
}
