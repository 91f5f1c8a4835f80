//! What came of a transaction that was released: signers tell each other, under their signatures, through whoever asks.
//!
//! Trusted: a peer's journal key. Refused: any word that no peer signed. Withholding these words costs only the caller: what was released
//! goes on counting in full. A peer that lies is one that the attacker owns, whose part of a signature is at hand anyway. Tried by
//! `tests/bound.rs`.

use std::collections::BTreeSet;

use chains::bitcoin::WalletDescriptor;
use ed25519_dalek::Signer as _;
use signer_wire::{Attestation, Fate, ReplyBody};
use types::{Digest, Instruction, InstructionId, Moment, SignerId, WalletId};

use super::Core;
use super::peers::verified;
use crate::record::Event;
use crate::refusal::Refused;

/// The most instructions that are asked about at once.
const INSTRUCTIONS_MAX: usize = 100;
/// The most attestations that are looked at.
const ATTESTATIONS_MAX: usize = 4_096;
/// The most standing transactions in one answer: the others follow once these have ended.
const STANDING_MAX: usize = 64;

fn attestation_text(attestation: &Attestation) -> String {
    let Attestation { witness, fate, of, .. } = attestation;
    format!("claviger-attestation-v1\n{witness}\n{}\n{of}", fate.as_str())
}

impl Core {
    pub(super) fn standing(&self) -> ReplyBody {
        let standing = self.state.standing.iter().take(STANDING_MAX).map(|(txid, one)| signer_wire::Standing {
            txid: txid.to_string(),
            instructions: one.instructions.iter().map(|(_, canonical)| canonical.clone()).collect(),
        });
        ReplyBody::Standing(standing.collect())
    }

    /// Says whether this signer has released a transaction, and which of its instructions it never will.
    pub(super) fn attest(&mut self, txid: &str, instructions: &[String], now: Moment) -> Result<ReplyBody, Refused> {
        let transaction: Digest =
            txid.parse().map_err(|_| Refused::new("txid", "a transaction's identifier has 64 hexadecimal digits"))?;
        if instructions.len() > INSTRUCTIONS_MAX {
            let reason = format!("at most {INSTRUCTIONS_MAX} instructions are asked about at once");
            return Err(Refused::new("instruction-count", reason));
        }
        let mut said = Vec::new();
        if self.state.released.contains(&transaction) {
            said.push(self.attestation(Fate::Released, transaction.to_string()));
        }
        for canonical in instructions {
            let instruction = Instruction::from_canonical(canonical.as_bytes())
                .map_err(|error| Refused::new("instruction", error.to_string()))?;
            if self.never_releases(&instruction, now)? {
                said.push(self.attestation(Fate::Never, instruction.digest().to_string()));
            }
        }
        Ok(ReplyBody::Attested(said))
    }

    /// Whether an instruction has expired without a signature of this signer's. Time that was vouched for is written down, so that no
    /// clock that is put back makes it untrue.
    fn never_releases(&mut self, instruction: &Instruction, now: Moment) -> Result<bool, Refused> {
        if now < instruction.expires || self.state.spending.ever_released(&instruction.id) {
            return Ok(false);
        }
        self.check_clock(now)?;
        if self.state.latches.contains_key(super::CLOCK) {
            return Err(Refused::for_now("frozen", "the clock jumped, so that this signer knows of no expiry"));
        }
        if self.state.last.is_none_or(|last| last < instruction.expires) {
            self.remember(now, Event::Beat)?;
        }
        Ok(true)
    }

    fn attestation(&self, fate: Fate, of: String) -> Attestation {
        let mut said = Attestation { witness: self.id.to_string(), fate, of, signature: String::new() };
        said.signature = hex::encode(self.keys.journal().sign(attestation_text(&said).as_bytes()).to_bytes());
        said
    }

    /// Hears what peers say about transactions that were released here.
    pub(super) fn settle(&mut self, attestations: &[Attestation], now: Moment) -> Result<ReplyBody, Refused> {
        if attestations.len() > ATTESTATIONS_MAX {
            let reason = format!("at most {ATTESTATIONS_MAX} attestations come at once");
            return Err(Refused::new("attestation-count", reason));
        }
        let peers = self.peers()?;
        // Only what concerns a standing transaction costs a verification.
        let say = |fate: Fate, of: &str| -> usize {
            let true_word = |peer: &&policy::SignerIdentity| {
                attestations.iter().any(|one| {
                    one.fate == fate
                        && one.of == of
                        && one.witness == peer.id.as_str()
                        && verified(&peer.journal_key, &attestation_text(one), &one.signature)
                })
            };
            peers.iter().filter(true_word).map(|peer| &peer.id).collect::<BTreeSet<&SignerId>>().len()
        };
        let (mut left, mut never): (Vec<Digest>, Vec<InstructionId>) = (Vec::new(), Vec::new());
        for (txid, standing) in &self.state.standing {
            let Some((others, enough)) = self.needed(&standing.wallet) else { continue };
            if say(Fate::Released, &txid.to_string()) >= others {
                left.push(*txid);
                continue;
            }
            for (id, canonical) in &standing.instructions {
                let digest = Instruction::from_canonical(canonical.as_bytes()).map(|one| one.digest().to_string());
                if digest.is_ok_and(|digest| say(Fate::Never, &digest) >= enough) {
                    never.push(id.clone());
                }
            }
        }
        if !left.is_empty() || !never.is_empty() {
            self.check_clock(now)?;
        }
        for txid in left {
            self.remember(self.stamp(now), Event::Left { txid: txid.to_string() })?;
        }
        for instruction in never {
            self.remember(self.stamp(now), Event::Never { instruction: instruction.to_string() })?;
        }
        Ok(ReplyBody::Done)
    }

    /// How many peers' releases, beside this signer's, make a transaction of this wallet whole; and how many who never release keep it
    /// from ever being whole: n - m + 1.
    fn needed(&self, wallet: &WalletId) -> Option<(usize, usize)> {
        let descriptor: &WalletDescriptor = self.wallets.get(wallet)?;
        let (all, threshold) = (descriptor.keys().len(), descriptor.threshold());
        Some((threshold.checked_sub(1)?, all.checked_sub(threshold)?.checked_add(1)?))
    }
}
