//! Checks 9 and 10: the signature itself, made only for an intent that peers remember.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::{Transaction, ecdsa};
use chains::bitcoin::{Effects, PartialSignature, WalletDescriptor, sign, sign_digest};
use signer_wire::{ReplyBody, Signature, Statement};
use types::{Digest, Instruction, Moment, WalletId};

use super::{CUSTOMER, Core};
use crate::record::Event;
use crate::refusal::Refused;

/// A transaction that was checked and written down, and not signed yet.
pub(crate) struct Pending {
    pub(crate) seq: u64,
    pub(crate) wallet: WalletId,
    pub(crate) transaction: Transaction,
    pub(crate) effects: Effects,
    pub(crate) instructions: Vec<Instruction>,
}

/// Transactions that were prepared, until one of their instructions expires: later none can be released any more. One that was released
/// stays as long, for a caller who never got the answer.
#[derive(Default)]
pub(crate) struct Waiting {
    by_ticket: BTreeMap<String, Pending>,
    by_end: BTreeSet<(Moment, String)>,
}

impl Waiting {
    /// Takes one in, and forgets what has expired.
    pub(crate) fn insert(&mut self, ticket: String, pending: Pending, now: Moment) {
        while let Some((_, ticket)) = self.by_end.first().filter(|(end, _)| *end <= now).cloned() {
            self.by_end.pop_first();
            self.by_ticket.remove(&ticket);
        }
        let end = pending.instructions.iter().map(|instruction| instruction.expires).min();
        self.by_end.extend(end.map(|end| (end, ticket.clone())));
        self.by_ticket.insert(ticket, pending);
    }

    fn get(&self, ticket: &str) -> Option<&Pending> {
        self.by_ticket.get(ticket)
    }

    pub(crate) fn clear(&mut self) {
        *self = Waiting::default();
    }
}

/// A journal that nothing was written to for so long gets a beat, so that honest idleness is no jump of the clock.
const BEAT_SECONDS: i64 = 60;
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
        let pending = self.pending.get(ticket);
        let pending = pending.ok_or_else(|| Refused::for_now("unknown-ticket", "prepare the transaction again"))?;
        self.check_latches(&pending.wallet, pending.instructions.iter())?;
        if pending.instructions.iter().any(|instruction| now >= instruction.expires) {
            return Err(Refused::new("expired", "an instruction expired since it was prepared"));
        }
        let wallet = pending.wallet.clone();
        let nonce = pending.instructions.first().map(|one| one.digest().to_string()).unwrap_or_default();
        self.check_key(&wallet, now)?;
        if self.offline() {
            self.check_recalled(&nonce, statements, now)?;
        }
        let pending = self.pending.get(ticket).ok_or_else(|| Refused::for_now("unknown-ticket", "prepare it again"))?;
        let descriptor = self.wallets.get(&wallet).ok_or_else(|| Refused::new("wallet", "no such wallet"))?;
        // m signers sign together, so the m - 1 others can remember; with 2 of 3 that is one.
        if !self.offline() {
            self.check_witnessed(pending.seq, statements, descriptor.threshold().saturating_sub(1))?;
        }
        self.check_left(&wallet, pending.effects.inputs.len())?;
        let parts = self.sign_pending(pending, descriptor)?;
        let signatures = self.check_nonces(pending, &parts)?;
        let intent = pending.seq;
        self.remember(now, Event::Released { intent, wallet: wallet.to_string(), signatures })?;
        self.tick(now)?;
        let wire = |part: PartialSignature| Signature {
            input: part.input,
            public_key: hex::encode(part.public_key),
            signature: hex::encode(part.signature),
        };
        Ok(ReplyBody::Signatures(parts.into_iter().map(wire).collect()))
    }

    fn sign_pending(&self, pending: &Pending, wallet: &WalletDescriptor) -> Result<Vec<PartialSignature>, Refused> {
        let account = self.own.get(&pending.wallet).and_then(|account| self.keys.account(*account));
        let account = account.ok_or_else(|| Refused::for_now("key-inactive", "the key was closed just now"))?;
        sign(&pending.transaction, &pending.effects, wallet, &account, self.keys.secp())
            .map_err(|error| Refused::new("signing", error.to_string()))
    }

    /// Refuses to hand out a signature whose nonce point has signed something else before: both together would tell the key.
    /// Returns what the journal keeps of each.
    fn check_nonces(&self, pending: &Pending, parts: &[PartialSignature]) -> Result<Vec<(String, String)>, Refused> {
        let mut kept = Vec::with_capacity(parts.len());
        let mut here = BTreeMap::new();
        for part in parts {
            let wrong = || Refused::new("signing", "a signature has no form");
            let signature = ecdsa::Signature::from_slice(&part.signature).map_err(|_| wrong())?;
            let (nonce, _) = signature
                .signature
                .serialize_compact()
                .split_first_chunk()
                .map(|(r, s)| (*r, s.len()))
                .ok_or_else(wrong)?;
            let input = u64::try_from(part.input).unwrap_or(u64::MAX).to_be_bytes();
            let message = Digest::of(&[&pending.effects.txid.to_byte_array(), &input, &part.public_key]);
            let message: [u8; 16] = message.as_bytes().first_chunk().copied().ok_or_else(wrong)?;
            let twice = here.insert(nonce, message).is_some_and(|before| before != message);
            if twice || self.state.life.repeats(&nonce, &message) {
                let reason = "the nonce of a signature was used before; this machine must not sign any more";
                return Err(Refused::new("nonce-repeated", reason));
            }
            kept.push((hex::encode(nonce), hex::encode(message)));
        }
        Ok(kept)
    }

    pub(super) fn canary(&mut self, challenge: &str, now: Moment) -> Result<ReplyBody, Refused> {
        self.check_clock(now)?;
        if challenge.len() > CHALLENGE_BYTES_MAX {
            return Err(Refused::new("challenge", format!("a challenge has at most {CHALLENGE_BYTES_MAX} bytes")));
        }
        // Signing goes on for everyone else while one customer is frozen.
        if let Some(latch) = self.latches().iter().find(|latch| !latch.starts_with(CUSTOMER)) {
            return Err(Refused::for_now("frozen", format!("the latch \"{latch}\" is closed")));
        }
        if self.state.last.is_none_or(|last| now >= last.plus_seconds(BEAT_SECONDS)) {
            self.remember(now, Event::Beat)?;
        }
        self.tick(now)?;
        let Some(mut key) = self.keys.canary() else {
            let reason = "no key of this signer is open; a key quorum lets them be opened";
            return Err(Refused::for_now("key-inactive", reason));
        };
        let text = format!("claviger-canary-v1\n{challenge}");
        let digest = sha256::Hash::hash(text.as_bytes()).to_byte_array();
        let public = key.public_key(self.keys.secp());
        let signature = sign_digest(&digest, &key, &public, self.keys.secp());
        key.non_secure_erase();
        let signature = signature.map_err(|error| Refused::new("signing", error.to_string()))?;
        Ok(ReplyBody::Canary {
            public_key: hex::encode(public.serialize()),
            signature: hex::encode(signature.serialize_der()),
        })
    }
}
