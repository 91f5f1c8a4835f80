//! Latches, anchors and charters: what changes a signer without moving a coin.

use bitcoin::OutPoint;
use chains::bitcoin::parse_address;
use policy::{Charter, count_approvals, validity};
use signer_wire::{Approval as WireApproval, Instruction as WireInstruction, ReplyBody};
use types::{Body, Instruction, Latch, Moment};

use super::Core;
use super::prepare::{read, read_approval};
use crate::record::Event;
use crate::refusal::{Code, Refused};

/// Longest reason of a freeze, in bytes.
const REASON_BYTES_MAX: usize = 512;

/// How long a repeated freeze is the same one, in seconds: who repeats it all the time does not fill the disk.
const FREEZE_AGAIN_SECONDS: i64 = 10;

impl Core {
    /// Closes a latch. Whoever is connected may: stopping is cheap, going on needs a quorum.
    pub(super) fn freeze(&mut self, latch: &str, reason: &str, now: Moment) -> Result<ReplyBody, Refused> {
        let charter = self.charter()?;
        let known = |latch: &Latch| match latch {
            Latch::All => true,
            Latch::Wallet(wallet) => charter.wallet(wallet).is_some(),
            Latch::Asset(asset) => charter.wallets.iter().any(|wallet| wallet.asset == *asset),
            Latch::Customer(customer) => charter.customer(customer).is_some(),
            // These close by themselves.
            Latch::AwaitingPeers | Latch::Clock | Latch::JournalBehind => false,
        };
        let Some(latch) = latch.parse().ok().filter(known) else {
            let reason =
                "a latch is \"all\", \"wallet:NAME\", \"asset:NAME\" or \"customer:NAME\" with a name of the charter";
            return Err(Refused::new(Code::Latch, reason));
        };
        if reason.len() > REASON_BYTES_MAX {
            return Err(Refused::new(Code::Reason, format!("a reason has at most {REASON_BYTES_MAX} bytes")));
        }
        // A later freeze is a freeze of its own: what people agreed on before it opens nothing, whoever kept it back.
        let since = self.state.latches.get(&latch).map(|(_, since)| *since);
        if since.is_none_or(|since| self.stamp(now) >= since.plus_seconds(FREEZE_AGAIN_SECONDS)) {
            let event = Event::Frozen { latch: latch.to_string(), reason: reason.to_owned() };
            self.remember(self.stamp(now), event)?;
        }
        Ok(ReplyBody::Done)
    }

    /// Carries out an instruction of a quorum, once.
    pub(super) fn execute(&mut self, wire: &WireInstruction, now: Moment) -> Result<ReplyBody, Refused> {
        let instruction = self.counted(wire, now)?;
        match &instruction.body {
            Body::Unfreeze(freeze) => {
                if freeze.signer != self.id && freeze.signer.as_str() != types::EVERY_SIGNER {
                    return Err(Refused::new(Code::Signer, "the instruction is for another signer"));
                }
                let not_closed = || Refused::new(Code::Latch, format!("the latch \"{}\" is not closed", freeze.latch));
                let latch: Latch = freeze.latch.parse().map_err(|_| not_closed())?;
                // An instruction that was made before the latch closed speaks of another freeze, whoever kept it back.
                let since = self.state.latches.get(&latch).map(|(_, since)| since.whole_seconds());
                if since.is_some_and(|since| instruction.created < since) {
                    let reason = format!(
                        "the latch \"{}\" closed after this instruction was made; propose another",
                        freeze.latch
                    );
                    return Err(Refused::new(Code::LatchLater, reason));
                }
                if !self.latches().contains(&latch) {
                    return Err(not_closed());
                }
                let at = if latch == Latch::Clock { self.after_jump(now)? } else { self.stamp(now) };
                let event = Event::Opened { latch: freeze.latch.clone(), instruction: instruction.id.to_string() };
                self.remember(at, event)?;
                if latch == Latch::AwaitingPeers {
                    self.nonce = None;
                }
            }
            Body::AnchorRelease { instruction: payment, anchor, .. } => {
                let anchor: OutPoint =
                    anchor.parse().map_err(|_| Refused::new(Code::Anchor, "an anchor is TXID:VOUT"))?;
                let held = self.state.pinned.get(payment).and_then(|pinned| pinned.anchor);
                if held != Some(anchor) {
                    return Err(Refused::new(Code::Anchor, "this is not the anchor of that instruction"));
                }
                self.check_clock(now)?;
                self.check_all_open()?;
                let event =
                    Event::AnchorReleased { payment: payment.to_string(), instruction: instruction.id.to_string() };
                self.remember(self.stamp(now), event)?;
            }
            Body::AddressEntry { customer, address, .. } => {
                if self.charter()?.customer(customer).is_none() {
                    return Err(Refused::new(Code::Customer, "the charter knows no such customer"));
                }
                parse_address(address, self.keys.network())
                    .map_err(|error| Refused::new(Code::Destination, error.to_string()))?;
                self.check_clock(now)?;
                self.check_all_open()?;
                let event = Event::Entered {
                    customer: customer.to_string(),
                    address: address.clone(),
                    instruction: instruction.id.to_string(),
                };
                self.remember(self.stamp(now), event)?;
            }
            Body::KeyStep(step) => {
                return self.key_step(&instruction, step, now);
            }
            Body::CustomerWithdrawal(_) | Body::OperatorTransfer(_) => {
                return Err(Refused::new(Code::Kind, "an instruction that moves coins is prepared and released"));
            }
        }
        Ok(ReplyBody::Done)
    }

    /// Reads an instruction that moves no coins, if it was not carried out before and its quorum agrees.
    pub(super) fn counted(&self, wire: &WireInstruction, now: Moment) -> Result<Instruction, Refused> {
        let (instruction, evidence) = read(wire)?;
        if self.state.executed.contains(&instruction.id) {
            return Err(Refused::new(Code::Executed, "this instruction was carried out before"));
        }
        check_quorum(self.charter()?, &instruction, &evidence.approvals, now)?;
        Ok(instruction)
    }

    /// For a signer that is seldom switched on, whose clock therefore jumps and can be asked of nobody: as many people as open the
    /// clock's latch have agreed that this instruction may be signed between two moments, and so that both are near. A clock that
    /// shows a moment between them is believed.
    pub fn hear_time(&mut self, wire: &WireInstruction, now: Moment) -> Result<(), Refused> {
        let (instruction, evidence) = read(wire)?;
        let charter = self.charter()?;
        let believed = self.offline()
            && validity(charter, &instruction, now).is_ok()
            && instruction.created <= now
            && charter
                .is_enough(&count_approvals(charter, &instruction, &evidence.approvals, now), charter.release_quorum);
        match self.state.last {
            Some(last) if believed && self.jumped(last, now) => self.remember(now, Event::Beat).map(|_| ()),
            _ => Ok(()),
        }
    }

    fn check_all_open(&self) -> Result<(), Refused> {
        match self.latches().first() {
            Some(latch) => Err(Refused::new(Code::Frozen, format!("the latch \"{latch}\" is closed"))),
            None => Ok(()),
        }
    }

    fn after_jump(&self, now: Moment) -> Result<Moment, Refused> {
        match self.state.last {
            Some(last) if now < last => {
                Err(Refused::new(Code::ClockBehind, format!("the clock says {now}, the journal has {last}")))
            }
            _ => Ok(now),
        }
    }

    /// Takes the next charter, signed by a quorum of the one that is held.
    pub(super) fn adopt_next(
        &mut self,
        text: &str,
        approvals: &[WireApproval],
        now: Moment,
    ) -> Result<ReplyBody, Refused> {
        let next =
            Charter::from_bytes(text.as_bytes()).map_err(|error| Refused::new(Code::Charter, error.to_string()))?;
        let approvals = approvals.iter().map(read_approval).collect::<Result<Vec<_>, _>>()?;
        policy::verify_succession(self.charter()?, &next, &approvals, now)
            .map_err(|error| Refused::new(Code::CharterSuccession, error.to_string()))?;
        if !self.offline() {
            self.check_clock(now)?;
        }
        self.take_charter(&next, self.stamp(now))?;
        Ok(ReplyBody::Done)
    }
}

/// Refuses an instruction that no quorum of this charter stands behind now.
pub(crate) fn check_quorum(
    charter: &Charter,
    instruction: &Instruction,
    approvals: &[types::Approval],
    now: Moment,
) -> Result<(), Refused> {
    validity(charter, instruction, now).map_err(|invalid| Refused::new(invalid.code, invalid.reason))?;
    let counted = count_approvals(charter, instruction, approvals, now);
    let quorum = charter.quorum_for(&instruction.body);
    if charter.is_enough(&counted, quorum) {
        return Ok(());
    }
    let refused = counted.refused.iter().map(|(who, why)| format!("; {who}: {why}")).collect::<String>();
    let reason = format!(
        "needs {} people of {} organisations, counted are {}{refused}",
        quorum.people,
        quorum.organisations,
        counted.people.len()
    );
    Err(Refused::new(Code::ApprovalsMissing, reason))
}
