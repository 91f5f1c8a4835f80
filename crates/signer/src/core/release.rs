//! Checks 9 and 10: the signature itself, made only for an intent that peers remember.

use std::collections::BTreeMap;

use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::{Transaction, ecdsa};
use chains::bitcoin::{Effects, PartialSignature, WalletDescriptor, sign, sign_digest};
use signer_wire::{ReplyBody, Signature, Statement};
use types::{Digest, Evidence, Instruction, Latch, Moment, WalletId};

use super::Core;
use crate::record::{Event, Paid};
use crate::refusal::{Code, Refused};
use crate::spending::Reserved;

/// A transaction that was checked and written down, and not signed yet.
pub(crate) struct Pending {
    pub(crate) seq: u64,
    pub(crate) wallet: WalletId,
    pub(crate) transaction: Transaction,
    pub(crate) effects: Effects,
    pub(crate) asked: Vec<(Instruction, Evidence)>,
    /// What it counts towards limits while it waits.
    pub(crate) reserved: Vec<Reserved>,
    /// From then on its ticket is worth nothing.
    pub(crate) until: Moment,
}

/// How long a ticket may be released, in seconds: what is kept back longer is looked at anew.
pub(crate) const TICKET_SECONDS: i64 = 60;

impl Pending {
    /// See [`signer_wire::recall_nonce`].
    fn recall_nonce(&self) -> String {
        let digests: Vec<Digest> = self.asked.iter().map(|(instruction, _)| instruction.digest()).collect();
        signer_wire::recall_nonce(&self.effects.txid.to_string(), digests.iter())
    }

    /// When the first of its instructions expires: from then on it cannot be released.
    fn end(&self) -> Option<Moment> {
        self.asked.iter().map(|(instruction, _)| instruction.expires).min()
    }

    fn paid(&self) -> Vec<Paid> {
        let pairs = self.asked.iter().zip(&self.reserved);
        let paid = pairs.map(|((instruction, _), reserved)| Paid {
            canonical: String::from_utf8(instruction.canonical()).unwrap_or_default(),
            tier: reserved.tier.clone(),
            amount: reserved.amount.to_string(),
        });
        paid.collect()
    }

    fn lives(&self, now: Moment) -> bool {
        now < self.until && self.end().is_some_and(|end| now < end)
    }
}

/// The most transactions that are prepared and not released; the oldest gives way, and is prepared again when it is wanted.
const PENDING_MAX: usize = 64;

/// Transactions that were prepared and not released, by ticket, until the ticket ends or one of their instructions expires.
#[derive(Default)]
pub(crate) struct Waiting(BTreeMap<String, Pending>);

impl Waiting {
    /// Takes one in, forgets what has expired, and if there are still too many, the oldest.
    pub(crate) fn insert(&mut self, ticket: String, pending: Pending, now: Moment) {
        self.0.retain(|_, one| one.lives(now));
        while self.0.len() >= PENDING_MAX {
            let oldest = self.0.iter().min_by_key(|(_, one)| one.seq).map(|(ticket, _)| ticket.clone());
            let Some(oldest) = oldest else { break };
            self.0.remove(&oldest);
        }
        self.0.insert(ticket, pending);
    }

    fn take(&mut self, ticket: &str) -> Option<Pending> {
        self.0.remove(ticket)
    }

    /// What waits counts as if it were signed now.
    pub(crate) fn reserved(&self, now: Moment) -> Vec<Reserved> {
        self.0.values().filter(|one| one.lives(now)).flat_map(|one| one.reserved.clone()).collect()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// A journal that nothing was written to for so long gets a beat, so that honest idleness is no jump of the clock.
const BEAT_SECONDS: i64 = 60;

fn repeated() -> Refused {
    let reason = "the nonce of a signature was used before; this machine must not sign any more";
    Refused::new(Code::NonceRepeated, reason)
}

/// Longest challenge of a canary, in bytes.
const CHALLENGE_BYTES_MAX: usize = 128;

impl Core {
    pub(super) fn release(
        &mut self,
        ticket: &str,
        statements: &[Statement],
        now: Moment,
    ) -> Result<ReplyBody, Refused> {
        self.check_clock(now)?;
        let unknown = || Refused::new(Code::UnknownTicket, "prepare the transaction again");
        let pending = self.pending.take(ticket).ok_or_else(unknown)?;
        if pending.end().is_some_and(|end| now < end) && now >= pending.until {
            return Err(unknown());
        }
        // Asked again after its release, it is prepared again: the same transaction, and no other.
        let outcome = self.release_pending(&pending, statements, now);
        // A refusal that stands, such as one that froze this signer, leaves no ticket behind.
        if outcome.as_ref().is_err_and(|refused| refused.retry()) {
            self.pending.insert(ticket.to_owned(), pending, now);
        }
        outcome
    }

    fn release_pending(
        &mut self,
        pending: &Pending,
        statements: &[Statement],
        now: Moment,
    ) -> Result<ReplyBody, Refused> {
        let wallet = pending.wallet.clone();
        self.check_latches(&wallet, pending.asked.iter().map(|(instruction, _)| instruction))?;
        if pending.end().is_none_or(|end| now >= end) {
            return Err(Refused::new(Code::Expired, "an instruction expired since it was prepared"));
        }
        self.check_key(&wallet, false, now)?;
        if self.offline() {
            self.check_recalled(&pending.recall_nonce(), statements, now)?;
        }
        let descriptor = self.wallets.get(&wallet).ok_or_else(|| Refused::new(Code::Wallet, "no such wallet"))?.clone();
        // m signers sign together, so the m - 1 others can remember; with 2 of 3 that is one.
        let others = descriptor.threshold().saturating_sub(1);
        if !self.offline() {
            self.check_witnessed(pending.seq, statements, others)?;
        }
        self.check_left(&wallet, pending.effects.inputs.len(), false, now)?;
        // Windows, hours, delays and grants are looked at again: time has passed since it was prepared.
        if self.reserve(&pending.asked, &wallet, pending.effects.fee_sats, now)? != pending.reserved {
            return Err(Refused::new(Code::TierChanged, "it counts in another tier by now; prepare it again"));
        }
        let parts = match self.sign_pending(pending, &descriptor) {
            Ok(parts) => parts,
            Err(refused) => return Err(self.after_failure(&wallet, refused, now)),
        };
        let signatures = match self.check_nonces(pending, &parts) {
            Ok(signatures) => signatures,
            Err(refused) => return Err(self.after_repetition(refused, now)),
        };
        let (intent, txid) = (pending.seq, pending.effects.txid.to_string());
        // Signers without a network hear nothing of each other: what they let out ages from here, and ARCHITECTURE.md says what that costs.
        let (paid, left) = (pending.paid(), others == 0 || self.offline());
        self.remember(now, Event::Released { intent, wallet: wallet.to_string(), txid, paid, left, signatures })?;
        self.count_signatures(&wallet, parts.len());
        self.tick(now)?;
        let wire = |part: PartialSignature| Signature {
            input: part.input,
            public_key: hex::encode(part.public_key),
            signature: hex::encode(part.signature),
        };
        Ok(ReplyBody::Signatures(parts.into_iter().map(wire).collect()))
    }

    fn sign_pending(&self, pending: &Pending, wallet: &WalletDescriptor) -> Result<Vec<PartialSignature>, Refused> {
        if let Some(parts) = self.sign_in_device(pending) {
            return parts;
        }
        let account = self.own.get(&pending.wallet).and_then(|account| self.keys.account(*account));
        let account = account.ok_or_else(|| Refused::new(Code::KeyInactive, "the key was closed just now"))?;
        let parts = sign(&pending.transaction, &pending.effects, wallet, &account, self.keys.secp())
            .map_err(|error| Refused::new(Code::Signing, error.to_string()));
        drop(account);
        // Keys derived on the way were on the stack.
        walls::scrub_stack();
        parts
    }

    /// Refuses to hand out a signature whose nonce point has signed something else before: both together would tell the key.
    /// Returns what the journal keeps of each.
    fn check_nonces(&self, pending: &Pending, parts: &[PartialSignature]) -> Result<Vec<(String, String)>, Refused> {
        let mut kept = Vec::with_capacity(parts.len());
        let mut here = BTreeMap::new();
        for part in parts {
            let wrong = || Refused::new(Code::Signing, "a signature has no form");
            let signature = ecdsa::Signature::from_slice(&part.signature).map_err(|_| wrong())?;
            let input = u64::try_from(part.input).unwrap_or(u64::MAX).to_be_bytes();
            let message = Digest::of(&[&pending.effects.txid.to_byte_array(), &input, &part.public_key]);
            let one = self.check_nonce(&signature.signature.serialize_compact(), &message)?;
            if here.insert(one.0.clone(), one.1.clone()).is_some_and(|before| before != one.1) {
                return Err(repeated());
            }
            kept.push(one);
        }
        Ok(kept)
    }

    /// Whatever makes this machine's nonces cannot be trusted any more once one came twice: every key is closed, and everything frozen.
    pub(super) fn after_repetition(&mut self, refused: Refused, now: Moment) -> Refused {
        if refused.code != Code::NonceRepeated {
            return refused;
        }
        match self.close_and_freeze(&Latch::All, &refused.reason, now) {
            Ok(()) => refused,
            Err(unwritable) => unwritable,
        }
    }

    /// Refuses a nonce point that has signed something else before. A device draws its own nonces, and is not believed to draw them
    /// well. Returns what the journal keeps: the beginnings of both.
    pub(super) fn check_nonce(&self, signature: &[u8; 64], message: &Digest) -> Result<(String, String), Refused> {
        let wrong = || Refused::new(Code::Signing, "a signature has no form");
        let nonce: [u8; 16] = signature.first_chunk().copied().ok_or_else(wrong)?;
        let message: [u8; 16] = message.as_bytes().first_chunk().copied().ok_or_else(wrong)?;
        if self.state.life.repeats(&nonce, &message) {
            return Err(repeated());
        }
        Ok((hex::encode(nonce), hex::encode(message)))
    }

    pub(super) fn canary(&mut self, challenge: &str, now: Moment) -> Result<ReplyBody, Refused> {
        self.check_clock(now)?;
        if challenge.len() > CHALLENGE_BYTES_MAX {
            return Err(Refused::new(Code::Challenge, format!("a challenge has at most {CHALLENGE_BYTES_MAX} bytes")));
        }
        // Signing goes on for everyone else while one customer is frozen.
        if let Some(latch) = self.latches().iter().find(|latch| !matches!(latch, Latch::Customer(_))) {
            return Err(Refused::new(Code::Frozen, format!("the latch \"{latch}\" is closed")));
        }
        if self.state.last.is_none_or(|last| now >= last.plus_seconds(BEAT_SECONDS)) {
            self.remember(now, Event::Beat)?;
        }
        self.tick(now)?;
        let text = format!("claviger-canary-v1\n{challenge}");
        let Some(mut key) = self.keys.canary() else { return self.device_canary(&text, now) };
        let digest = sha256::Hash::hash(text.as_bytes()).to_byte_array();
        let public = key.public_key(self.keys.secp());
        let signature = sign_digest(&digest, &key, &public, self.keys.secp());
        key.non_secure_erase();
        let signature = signature.map_err(|error| Refused::new(Code::Signing, error.to_string()))?;
        Ok(ReplyBody::Canary {
            public_key: hex::encode(public.serialize()),
            signature: hex::encode(signature.serialize_der()),
        })
    }
}
