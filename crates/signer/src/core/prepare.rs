//! Checks 1 to 8 of a signature, and the intent that is written down before any signature exists.

use std::collections::BTreeSet;

use bitcoin::psbt::Psbt;
use bitcoin::{OutPoint, ScriptBuf, Transaction};
use chains::bitcoin::{Branch, Caps, Effects, Payment, inspect, parse_address};
use policy::{Outcome, Question, Waits, count_approvals, decide, verify_customer_request};
use signer_wire::{Instruction as WireInstruction, ReplyBody};
use types::{Amount, Approval, Body, CustomerRequest, Evidence, Instruction, Moment, WalletId};

use super::Core;
use super::release::{Pending, TICKET_SECONDS};
use crate::record::{Event, Intended};
use crate::refusal::{Code, Refused};
use crate::spending::Reserved;

/// The most approvals of one instruction that are looked at.
const APPROVALS_MAX: usize = 64;
/// The most instructions in one transaction.
const INSTRUCTIONS_MAX: usize = 100;

/// What the key must be for an examination to end well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Openness {
    /// Open: it is about to sign.
    Open,
    /// Open, or such that whoever holds its sealing could open it now.
    Openable,
    /// As it may be: nothing is signed.
    Any,
}

/// A transaction that may be signed.
pub struct Examined {
    /// From which wallet.
    pub wallet: WalletId,
    pub(super) transaction: Transaction,
    /// What it does.
    pub effects: Effects,
    /// What it pays for.
    pub instructions: Vec<Instruction>,
    evidence: Vec<Evidence>,
    pub(super) intended: Vec<Intended>,
    reserved: Vec<Reserved>,
}

impl Examined {
    /// The tier in which each instruction counts, in order.
    pub fn tiers(&self) -> impl Iterator<Item = &str> {
        self.intended.iter().map(|intended| intended.tier.as_str())
    }
}

/// Reads an instruction and its evidence from the wire.
pub(crate) fn read(wire: &WireInstruction) -> Result<(Instruction, Evidence), Refused> {
    let instruction = Instruction::from_canonical(wire.canonical.as_bytes())
        .map_err(|error| Refused::new(Code::Instruction, error.to_string()))?;
    if wire.evidence.approvals.len() > APPROVALS_MAX {
        return Err(Refused::new(
            Code::ApprovalCount,
            format!("an instruction comes with at most {APPROVALS_MAX} approvals"),
        ));
    }
    let customer_request = wire.evidence.customer_request.clone().map(CustomerRequest::from);
    let approvals = wire.evidence.approvals.iter().map(read_approval).collect::<Result<_, _>>()?;
    Ok((instruction, Evidence { customer_request, approvals }))
}

/// Reads an approval from the wire.
pub(crate) fn read_approval(wire: &signer_wire::Approval) -> Result<Approval, Refused> {
    let operator = wire.operator.parse().map_err(|_| Refused::new(Code::Approval, "an approval names no operator"))?;
    Ok(Approval { operator, signature: wire.signature.clone() })
}

fn read_psbt(text: &str) -> Result<Psbt, Refused> {
    let bytes = hex::decode(text).map_err(|_| Refused::new(Code::Psbt, "the PSBT is not hexadecimal"))?;
    chains::bitcoin::read_psbt(&bytes).map_err(|error| Refused::new(Code::Psbt, error.to_string()))
}

impl Core {
    pub(super) fn prepare(&mut self, wire: &[WireInstruction], psbt: &str, now: Moment) -> Result<ReplyBody, Refused> {
        self.check_clock(now)?;
        let examined = self.examine(wire, psbt, Openness::Open, now)?;
        let event = Event::Intent {
            instructions: examined.intended,
            txid: examined.effects.txid.to_string(),
            change_index: examined.effects.change.map(|change| change.index),
        };
        let seq = self.remember(now, event)?;
        let head = self.head();
        let ticket = head.hash.clone();
        let Examined { wallet, transaction, effects, instructions, evidence, reserved, .. } = examined;
        let asked: Vec<_> = instructions.into_iter().zip(evidence).collect();
        let until = now.plus_seconds(TICKET_SECONDS);
        let pending = Pending { seq, wallet, transaction, effects, asked, reserved, until };
        self.pending.insert(ticket.clone(), pending, now);
        Ok(ReplyBody::Prepared { ticket, head })
    }

    /// Everything that is checked before an intent is written down.
    pub(super) fn examine(
        &mut self,
        wire: &[WireInstruction],
        psbt: &str,
        key: Openness,
        now: Moment,
    ) -> Result<Examined, Refused> {
        if wire.is_empty() || wire.len() > INSTRUCTIONS_MAX {
            return Err(Refused::new(
                Code::InstructionCount,
                format!("a transaction pays 1 to {INSTRUCTIONS_MAX} instructions"),
            ));
        }
        let instructions = wire.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let wallet_id = same_wallet(&instructions)?;
        self.check_latches(&wallet_id, instructions.iter().map(|(instruction, _)| instruction))?;
        if key != Openness::Any {
            self.check_key(&wallet_id, key == Openness::Openable, now)?;
        }
        let plain: Vec<&Instruction> = instructions.iter().map(|(instruction, _)| instruction).collect();
        let (psbt, effects) = self.effects(&wallet_id, &plain, psbt)?;
        if key != Openness::Any {
            self.check_left(&wallet_id, effects.inputs.len(), key == Openness::Openable, now)?;
        }
        let first = effects.inputs.first().map(|input| input.outpoint);
        let first = first.ok_or_else(|| Refused::new(Code::InputCount, "the transaction has no inputs"))?;
        let anchors = instructions
            .iter()
            .map(|(instruction, _)| self.anchor(instruction, &effects, first))
            .collect::<Result<Vec<_>, _>>()?;
        let reserved = self.reserve(&instructions, &wallet_id, effects.fee_sats, now)?;
        let intended =
            instructions.iter().zip(&reserved).zip(anchors).map(|(((instruction, _), one), anchor)| Intended {
                id: instruction.id.to_string(),
                digest: instruction.digest().to_string(),
                anchor: anchor.to_string(),
                wallet: wallet_id.to_string(),
                tier: one.tier.clone(),
                amount: one.amount.to_string(),
            });
        let intended = intended.collect();
        let (instructions, evidence) = instructions.into_iter().unzip();
        let (wallet, transaction) = (wallet_id, psbt.unsigned_tx);
        Ok(Examined { wallet, transaction, effects, instructions, evidence, intended, reserved })
    }

    /// In which tier each instruction of a transaction may be signed now, and what it counts there: beside all that others have used,
    /// have reserved, and use in the same transaction.
    pub(super) fn reserve(
        &mut self,
        asked: &[(Instruction, Evidence)],
        wallet: &WalletId,
        fee_sats: u64,
        now: Moment,
    ) -> Result<Vec<Reserved>, Refused> {
        let share = Amount::from_sats(fee_sats.div_ceil(u64::try_from(asked.len()).unwrap_or(1)));
        let waiting = self.pending.reserved(now);
        let mut reserved: Vec<Reserved> = Vec::with_capacity(asked.len());
        for (instruction, evidence) in asked {
            let amount = instruction.amount().unwrap_or(Amount::MAX);
            let amount = amount.checked_add(share).map_err(|error| Refused::new(Code::Amount, error.to_string()))?;
            let others: Vec<Reserved> = waiting.iter().chain(&reserved).cloned().collect();
            let tier = self.tier(instruction, evidence, share, &others, now)?;
            reserved.push(Reserved { id: instruction.id.clone(), wallet: wallet.clone(), tier, amount });
        }
        Ok(reserved)
    }

    /// Whether it would be signed if its key were open, which nobody has opened yet. Writes down that a tier's wait begins.
    pub(crate) fn examine_closed(&mut self, wire: &[WireInstruction], psbt: &str, now: Moment) -> Result<(), Refused> {
        self.check_clock(now)?;
        self.examine(wire, psbt, Openness::Any, now).map(|_| ())
    }

    /// What a transaction really does, if that is exactly what the instructions say.
    pub(super) fn effects(
        &self,
        wallet: &WalletId,
        instructions: &[&Instruction],
        psbt: &str,
    ) -> Result<(Psbt, Effects), Refused> {
        let charter = self.charter()?;
        let descriptor =
            self.wallets.get(wallet).ok_or_else(|| Refused::new(Code::Wallet, "the charter knows no such wallet"))?;
        let gap = charter.wallet(wallet).map_or(0, |wallet| wallet.gap_limit);
        let psbt = read_psbt(psbt)?;
        let payments =
            instructions.iter().map(|instruction| self.payment(instruction)).collect::<Result<Vec<_>, _>>()?;
        let caps = Caps {
            fee_sats_max: charter.fee.sats_max,
            sats_per_kvb_max: charter.fee.sats_per_kvb_max,
            change_index_max: self.state.change_index.get(wallet).copied().unwrap_or(0).saturating_add(gap),
        };
        let effects = inspect(&psbt, descriptor, &payments, &caps)
            .map_err(|refusal| Refused::new(refusal.code(), refusal.to_string()))?;
        Ok((psbt, effects))
    }

    /// Writes down in which tiers everything is there for an instruction but time: their waits begin now, and only once.
    fn begin_waits(&mut self, instruction: &Instruction, tiers: Vec<String>, now: Moment) -> Result<(), Refused> {
        for tier in tiers {
            self.remember(now, Event::Complete { digest: instruction.digest().to_string(), tier })?;
        }
        Ok(())
    }

    /// The output that an instruction asks for; for a transfer, derived here from our own descriptor.
    fn payment(&self, instruction: &Instruction) -> Result<Payment, Refused> {
        let destination = instruction.destination().unwrap_or_default();
        let network = self.keys.network();
        let script: ScriptBuf =
            parse_address(destination, network).map_err(|error| Refused::new(Code::Destination, error.to_string()))?;
        if let Body::OperatorTransfer(transfer) = &instruction.body {
            let unknown = || Refused::new(Code::Destination, "the destination is not that address of our own wallet");
            let descriptor = self.wallets.get(&transfer.destination_wallet).ok_or_else(unknown)?;
            let derived = descriptor.derive(Branch::Receive, transfer.destination_index).map_err(|_| unknown())?;
            if derived.script_pubkey != script {
                return Err(unknown());
            }
        }
        let amount = instruction.amount().unwrap_or(Amount::ZERO);
        let sats = amount.to_sats().map_err(|error| Refused::new(Code::Amount, error.to_string()))?;
        Ok(Payment { script, sats })
    }

    /// Signed once: the first transaction's first coin is spent by every later one for this instruction.
    fn anchor(&self, instruction: &Instruction, effects: &Effects, first: OutPoint) -> Result<OutPoint, Refused> {
        let Some(pinned) = self.state.pinned.get(&instruction.id) else { return Ok(first) };
        if pinned.digest != instruction.digest() {
            return Err(Refused::new(Code::SignedOnce, "this identifier was used for another instruction before"));
        }
        match pinned.anchor {
            None => Ok(first),
            Some(anchor) if effects.inputs.iter().any(|input| input.outpoint == anchor) => Ok(anchor),
            Some(anchor) => {
                Err(Refused::new(Code::SignedOnce, format!("a transaction for {} must spend {anchor}", instruction.id)))
            }
        }
    }

    fn tier(
        &mut self,
        instruction: &Instruction,
        evidence: &Evidence,
        fee_share: Amount,
        reserved: &[Reserved],
        now: Moment,
    ) -> Result<String, Refused> {
        let charter = self.charter()?;
        let counted = count_approvals(charter, instruction, &evidence.approvals, now);
        let request = evidence.customer_request.as_ref();
        let asked = request.map(|request| verify_customer_request(charter, instruction, request));
        let wallet = instruction.wallet().ok_or_else(|| Refused::new(Code::Kind, "it moves no coins"))?;
        let spent = self.state.spending.by_others(&instruction.id, wallet, charter, reserved, now);
        let book = match &instruction.body {
            Body::CustomerWithdrawal(payment) => self.state.book.get(&payment.customer),
            _ => None,
        };
        let waits = self.state.complete.get(&instruction.digest()).cloned().unwrap_or_default();
        let question = Question {
            charter,
            instruction,
            counted: &counted,
            customer_signed: matches!(asked, Some(Ok(()))),
            spent: &spent,
            book: book.map_or(&[], Vec::as_slice),
            waits: Waits::Since(&waits),
            fee_share,
            now,
        };
        let decision = decide(&question);
        // A transfer's or withdrawal's wait may begin although another tier's rule is what stands in its way today.
        let begin = if matches!(decision.outcome, Outcome::Allowed { .. }) { Vec::new() } else { decision.begin };
        let outcome = match decision.outcome {
            Outcome::Allowed { tier } => Ok(tier),
            Outcome::Waiting { missing } => {
                let refused = counted.refused.iter().map(|(who, why)| format!("; {who}: {why}")).collect::<String>();
                Err(Refused::new(Code::ApprovalsMissing, format!("{}{refused}", missing.join("; or "))))
            }
            Outcome::Later { rule, reason } => Err(Refused::new(rule, reason)),
            Outcome::Refused { rule, reason } => match asked {
                Some(Err(error)) => Err(Refused::new(rule, format!("{reason}: {error}"))),
                _ => Err(Refused::new(rule, reason)),
            },
        };
        self.begin_waits(instruction, begin, now)?;
        outcome
    }
}

fn same_wallet(instructions: &[(Instruction, Evidence)]) -> Result<WalletId, Refused> {
    let ids: BTreeSet<_> = instructions.iter().map(|(instruction, _)| &instruction.id).collect();
    if ids.len() != instructions.len() {
        return Err(Refused::new(Code::InstructionTwice, "an instruction stands in the batch twice"));
    }
    let wallets: BTreeSet<_> = instructions.iter().map(|(instruction, _)| instruction.wallet()).collect();
    match (wallets.len(), wallets.first()) {
        (1, Some(Some(wallet))) => Ok((*wallet).clone()),
        _ => Err(Refused::new(Code::Wallet, "a transaction carries out payments of one wallet")),
    }
}
