//! What came of a transaction that was released: signers tell each other, under their signatures, through whoever asks.
//!
//! Trusted: a peer's journal key, of fewer peers than sign together. Refused: any word that no peer signed; and to say anything while this
//! journal may have forgotten something. Withholding these words costs only the caller: what was released goes on counting in full. A
//! peer that lies gains nothing by "released", since its part of a signature is at hand anyway, and by "never" no more than that the
//! charge begins to age. Tried by `tests/bound.rs` and `tests/leaving.rs`.

use std::collections::BTreeSet;
use std::ops::Bound;

use chains::bitcoin::WalletDescriptor;
use ed25519_dalek::Signer as _;
use policy::FUTURE_SECONDS_MAX;
use signer_wire::{Attestation, Fate, ReplyBody};
use types::{Digest, Instruction, InstructionId, Latch, Moment, SignerId, WalletId};

use super::Core;
use super::peers::verified;
use crate::record::Event;
use crate::refusal::{Code, Refused};

/// The most instructions that are asked about at once.
const INSTRUCTIONS_MAX: usize = 100;
/// The most attestations that are looked at: about one transaction of as many instructions as there can be, by a dozen peers.
const ATTESTATIONS_MAX: usize = 1_500;
/// The most standing transactions in one answer.
const STANDING_MAX: usize = 16;
/// The most releases in one answer.
const RELEASES_MAX: usize = 200;

fn attestation_text(attestation: &Attestation) -> String {
    let Attestation { witness, fate, of, .. } = attestation;
    format!("claviger-attestation-v1\n{witness}\n{}\n{of}", fate.as_str())
}

fn read_txid(text: &str) -> Result<Digest, Refused> {
    text.parse().map_err(|_| Refused::new(Code::Txid, "a transaction's identifier has 64 hexadecimal digits"))
}

/// What is said to have this fate.
fn said_of(attestations: &[Attestation], fate: Fate) -> BTreeSet<Digest> {
    attestations.iter().filter(|one| one.fate == fate).filter_map(|one| one.of.parse().ok()).collect()
}

impl Core {
    pub(super) fn standing(&self, after: &str) -> Result<ReplyBody, Refused> {
        let from = match after {
            "" => Bound::Unbounded,
            txid => Bound::Excluded(read_txid(txid)?),
        };
        let following = self.state.standing.range((from, Bound::Unbounded));
        let standing = following.take(STANDING_MAX).map(|(txid, one)| signer_wire::Standing {
            txid: txid.to_string(),
            instructions: one.instructions.iter().map(|(.., canonical)| canonical.clone()).collect(),
        });
        Ok(ReplyBody::Standing(standing.collect()))
    }

    /// What was released, from a number on. Answered whatever latch is closed: it is when people look.
    pub(super) fn releases(&self, from: u64) -> ReplyBody {
        let skipped = usize::try_from(from.saturating_sub(1)).unwrap_or(usize::MAX);
        let following = self.state.releases.iter().skip(skipped).take(RELEASES_MAX);
        ReplyBody::Releases(following.map(ToString::to_string).collect())
    }

    /// Says whether this signer has released a transaction, and which of its instructions it never will.
    pub(super) fn attest(&mut self, txid: &str, instructions: &[String], now: Moment) -> Result<ReplyBody, Refused> {
        let transaction = read_txid(txid)?;
        self.check_memory()?;
        if instructions.len() > INSTRUCTIONS_MAX {
            let reason = format!("at most {INSTRUCTIONS_MAX} instructions are asked about at once");
            return Err(Refused::new(Code::InstructionCount, reason));
        }
        let mut said = Vec::new();
        if self.state.released.contains(&transaction) {
            said.push(self.attestation(Fate::Released, transaction.to_string()));
        }
        for canonical in instructions {
            let instruction = Instruction::from_canonical(canonical.as_bytes())
                .map_err(|error| Refused::new(Code::Instruction, error.to_string()))?;
            if self.never_releases(&instruction, now)? {
                said.push(self.attestation(Fate::Never, instruction.digest().to_string()));
            }
        }
        Ok(ReplyBody::Attested(said))
    }

    /// Refuses while this journal may be an older one than peers remember: whoever put it back would have it deny what it has signed.
    fn check_memory(&self) -> Result<(), Refused> {
        if self.awaits_peers() {
            let reason = "started anew; every peer must first say what it remembers of this signer";
            return Err(Refused::new(Code::AwaitingPeers, reason));
        }
        if self.state.latches.contains_key(&Latch::JournalBehind) {
            return Err(Refused::new(Code::Frozen, "the journal is older than what a peer remembers"));
        }
        Ok(())
    }

    /// Whether an instruction has expired without a signature of this signer's. Time that was vouched for is written down, so that no
    /// clock that is put back makes it untrue.
    fn never_releases(&mut self, instruction: &Instruction, now: Moment) -> Result<bool, Refused> {
        let remembered = self.state.whole_since.is_none_or(|since| {
            // It may have been made ahead of this signer's time, and been signed at once.
            instruction.created > since.plus_seconds(FUTURE_SECONDS_MAX)
        });
        if now < instruction.expires || !remembered || self.state.spending.ever_released(&instruction.id) {
            return Ok(false);
        }
        self.check_clock(now)?;
        // A clock that jumped knows of no expiry.
        if self.state.latches.contains_key(&Latch::Clock) {
            return Ok(false);
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
            return Err(Refused::new(Code::AttestationCount, reason));
        }
        let peers = self.peers()?;
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
        // Work follows what is brought, whatever else stands.
        for txid in said_of(attestations, Fate::Released) {
            let Some(standing) = self.state.standing.get(&txid) else { continue };
            let Some((others, _)) = self.needed(&standing.wallet) else { continue };
            if say(Fate::Released, &txid.to_string()) >= others {
                left.push(txid);
            }
        }
        let denied = said_of(attestations, Fate::Never);
        let standing = self.state.standing.values().flat_map(|one| one.instructions.iter().map(move |of| (one, of)));
        for (one, (id, digest, _)) in standing.filter(|(_, (_, digest, _))| denied.contains(digest)) {
            let Some((_, enough)) = self.needed(&one.wallet) else { continue };
            if say(Fate::Never, &digest.to_string()) >= enough {
                never.push(id.clone());
            }
        }
        if !left.is_empty() || !never.is_empty() {
            self.check_clock(now)?;
            // While the clock is stopped the journal's time is an old one: what leaves now would seem to have left long ago.
            if self.state.latches.contains_key(&Latch::Clock) {
                return Err(Refused::new(Code::Frozen, "the clock jumped; a quorum can open its latch"));
            }
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
