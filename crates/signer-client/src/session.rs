use std::collections::{BTreeMap, BTreeSet};

use signer_wire::{Attestation, Fate, Head, Instruction, ReplyBody, RequestBody, Signature, Statement};

use crate::connection::{CallError, SignerClient};

/// Why a session brought no quorum of signatures.
#[derive(Debug, thiserror::Error)]
#[error("too few signers signed: {}", .refusals.iter().map(|(signer, error)| format!("{signer}: {error}")).collect::<Vec<_>>().join("; "))]
pub struct SessionError {
    /// What each signer said, by position.
    pub refusals: Vec<(usize, CallError)>,
}

/// Signatures by one signer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Position among the signers asked.
    pub signer: usize,
    /// One for each input.
    pub signatures: Vec<Signature>,
}

/// Relays between signers what they remember of each other, after starts. Returns how many are open for signing.
pub fn admit_all(signers: &mut [SignerClient]) -> (usize, Vec<(usize, CallError)>) {
    let mut admitted = 0;
    let mut errors = Vec::new();
    for position in 0..signers.len() {
        match admit(signers, position) {
            Ok(()) => admitted += 1,
            Err(error) => errors.push((position, error)),
        }
    }
    (admitted, errors)
}

fn admit(signers: &mut [SignerClient], position: usize) -> Result<(), CallError> {
    let asked = signers.get_mut(position).ok_or(CallError::Unexpected)?;
    let ReplyBody::Hello { signer, nonce, .. } = asked.call(RequestBody::Hello)? else {
        return Err(CallError::Unexpected);
    };
    if nonce.is_empty() {
        return Ok(());
    }
    let mut statements = Vec::new();
    for (other, peer) in signers.iter_mut().enumerate() {
        let question = RequestBody::Recall { signer: signer.clone(), nonce: nonce.clone() };
        // A peer that is silent is missing in the list; the signer itself decides what that means.
        if other != position
            && let Ok(ReplyBody::Statement(statement)) = peer.call(question)
        {
            statements.push(statement);
        }
    }
    let asked = signers.get_mut(position).ok_or(CallError::Unexpected)?;
    asked.call(RequestBody::Admit { statements }).map(|_| ())
}

/// Has `needed` of the signers sign a transaction: all prepare, each one's intent is remembered by the others, then each releases.
///
/// Can be repeated after a crash at any point: signers sign the same transaction again, and no other.
pub fn sign(
    signers: &mut [SignerClient],
    needed: usize,
    instructions: &[Instruction],
    psbt: &str,
) -> Result<Vec<Signed>, SessionError> {
    let mut refusals = Vec::new();
    let mut prepared: Vec<(usize, String, Head)> = Vec::new();
    for (position, signer) in signers.iter_mut().enumerate() {
        if prepared.len() == needed {
            break;
        }
        let question = RequestBody::Prepare { instructions: instructions.to_vec(), psbt: psbt.to_owned() };
        match signer.call(question) {
            Ok(ReplyBody::Prepared { ticket, head }) => prepared.push((position, ticket, head)),
            Ok(_) => refusals.push((position, CallError::Unexpected)),
            Err(error) => refusals.push((position, error)),
        }
    }
    if prepared.len() < needed {
        return Err(SessionError { refusals });
    }
    let mut signed = Vec::new();
    for (position, ticket, head) in &prepared {
        let statements = witness(signers, &prepared, *position, head, &mut refusals);
        let question = RequestBody::Release { ticket: ticket.clone(), statements };
        match signers.get_mut(*position).map(|signer| signer.call(question)) {
            Some(Ok(ReplyBody::Signatures(signatures))) => signed.push(Signed { signer: *position, signatures }),
            Some(Err(error)) => refusals.push((*position, error)),
            _ => refusals.push((*position, CallError::Unexpected)),
        }
    }
    // What fails here is made up for by the next `settle_all`.
    let _ = settle_all(signers);
    if signed.len() < needed { Err(SessionError { refusals }) } else { Ok(signed) }
}

/// How many signers say, for each of these instructions, that it has expired and that they have never signed for it and never will. With
/// n - m + 1 of them, no transaction for it can ever be whole.
pub fn never_signed(signers: &mut [SignerClient], txid: &str, instructions: &[String]) -> BTreeMap<String, usize> {
    let mut counted: BTreeMap<String, usize> = BTreeMap::new();
    for signer in signers {
        let question = RequestBody::Attest { txid: txid.to_owned(), instructions: instructions.to_vec() };
        // Each connection is to one signer by its pinned certificate; one that is away says nothing.
        if let Ok(ReplyBody::Attested(said)) = signer.call(question) {
            let never = said.into_iter().filter(|one| one.fate == Fate::Never).map(|one| one.of);
            for digest in never.collect::<BTreeSet<_>>() {
                *counted.entry(digest).or_default() += 1;
            }
        }
    }
    counted
}

/// Tells signers what came of the transactions that they have released, by what their peers say under their signatures: until they
/// hear of it, these count in full towards their limits. Returns how many are still standing at some signer.
///
/// Keeps no memory of its own, so that it makes up for every crash.
pub fn settle_all(signers: &mut [SignerClient]) -> (usize, Vec<(usize, CallError)>) {
    let mut errors = Vec::new();
    let mut standing: BTreeMap<String, (Vec<String>, Vec<usize>)> = BTreeMap::new();
    for (position, signer) in signers.iter_mut().enumerate() {
        if let Err(error) = standing_at(signer, position, &mut standing) {
            errors.push((position, error));
        }
    }
    let count = standing.len();
    for (txid, (instructions, concerned)) in standing {
        let mut attestations: Vec<Attestation> = Vec::new();
        for (position, signer) in signers.iter_mut().enumerate() {
            // One that hangs is waited for once, and not for each transaction.
            if errors.iter().any(|(away, _)| *away == position) {
                continue;
            }
            let question = RequestBody::Attest { txid: txid.clone(), instructions: instructions.clone() };
            match signer.call(question) {
                Ok(ReplyBody::Attested(said)) => attestations.extend(said),
                Ok(_) => errors.push((position, CallError::Unexpected)),
                Err(error) => errors.push((position, error)),
            }
        }
        for position in concerned {
            let question = RequestBody::Settle { attestations: attestations.clone() };
            if let Some(Err(error)) = signers.get_mut(position).map(|signer| signer.call(question)) {
                errors.push((position, error));
            }
        }
    }
    (count, errors)
}

/// Adds all that stands at one signer: the instructions of each transaction, and at whom it stands.
fn standing_at(
    signer: &mut SignerClient,
    position: usize,
    standing: &mut BTreeMap<String, (Vec<String>, Vec<usize>)>,
) -> Result<(), CallError> {
    let mut after = String::new();
    loop {
        let ReplyBody::Standing(found) = signer.call(RequestBody::Standing { after: after.clone() })? else {
            return Err(CallError::Unexpected);
        };
        // Identifiers go up; a signer that says otherwise is asked no more.
        let Some(last) = found.last().map(|one| one.txid.clone()).filter(|last| *last > after) else { return Ok(()) };
        for one in found {
            standing.entry(one.txid).or_insert_with(|| (one.instructions, Vec::new())).1.push(position);
        }
        after = last;
    }
}

/// Has the others of the session remember one signer's intent.
fn witness(
    signers: &mut [SignerClient],
    prepared: &[(usize, String, Head)],
    position: usize,
    head: &Head,
    refusals: &mut Vec<(usize, CallError)>,
) -> Vec<Statement> {
    let mut statements = Vec::new();
    for (other, _, _) in prepared.iter().filter(|(other, _, _)| *other != position) {
        match signers.get_mut(*other).map(|peer| peer.call(RequestBody::Witness { head: head.clone() })) {
            Some(Ok(ReplyBody::Statement(statement))) => statements.push(statement),
            Some(Err(error)) => refusals.push((*other, error)),
            _ => refusals.push((*other, CallError::Unexpected)),
        }
    }
    statements
}
