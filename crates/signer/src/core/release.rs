//! Checks 9 and 10: the signature itself, made only for an intent that peers remember.

use bitcoin::Transaction;
use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::secp256k1::Message;
use chains::bitcoin::{Effects, sign};
use signer_wire::{ReplyBody, Signature, Statement};
use types::{Instruction, Moment, WalletId};

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
        let own = self.wallets.get(&pending.wallet).ok_or_else(|| Refused::new("wallet", "no such wallet"))?;
        // m signers sign together, so the m - 1 others can remember; with 2 of 3 that is one.
        self.check_witnessed(pending.seq, statements, own.descriptor.threshold().saturating_sub(1))?;
        let parts = sign(&pending.transaction, &pending.effects, &own.account, self.keys.secp())
            .map_err(|error| Refused::new("signing", error.to_string()))?;
        let intent = pending.seq;
        self.remember(now, Event::Released { intent })?;
        let wire = |part: chains::bitcoin::PartialSignature| Signature {
            input: part.input,
            public_key: hex::encode(part.public_key),
            signature: hex::encode(part.signature),
        };
        Ok(ReplyBody::Signatures(parts.into_iter().map(wire).collect()))
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
        let key = self.keys.canary().map_err(|error| Refused::new("keys", error.to_string()))?.private_key;
        let text = format!("claviger-canary-v1\n{challenge}");
        let message = Message::from_digest(sha256::Hash::hash(text.as_bytes()).to_byte_array());
        let public = key.public_key(self.keys.secp());
        let signature = self.keys.secp().sign_ecdsa(&message, &key);
        self.keys
            .secp()
            .verify_ecdsa(&message, &signature, &public)
            .map_err(|error| Refused::new("signing", error.to_string()))?;
        Ok(ReplyBody::Canary {
            public_key: hex::encode(public.serialize()),
            signature: hex::encode(signature.serialize_der()),
        })
    }
}
