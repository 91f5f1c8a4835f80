//! Whether a payment may go: by the same rules as at the signers, with what is known here. Signers decide anew.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use ledger::{Kind, Refusal, Transfer, TransferId};
use orders::PaymentState;
use policy::{Decision, Outcome, Question, Waits, count_approvals, decide, verify_customer_request};
use store::{CommitError, Event, Move, PaymentRow, Posting, Statement};
use types::{Amount, Approval, Evidence, Instruction, Moment};

use super::{Custody, StepError, now, transfer_id};

/// How long a payment that waits for people is left alone while nobody approves it.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

impl Custody {
    /// Moves on every payment that is not being signed yet.
    pub(super) async fn decide_payments(&self) -> Result<(), StepError> {
        for payment in self.store.payments_in(PaymentState::Held).await? {
            self.move_payment(payment, PaymentState::Screened, "", "").await?;
        }
        for payment in self.store.payments_in(PaymentState::Screened).await? {
            self.decide_payment(payment).await?;
        }
        let waiting = self.store.payments_in(PaymentState::AwaitingApproval).await?;
        let due: Vec<PaymentRow> = {
            let mut looked = self.looked();
            let ids: HashSet<&str> = waiting.iter().map(|payment| payment.id.as_str()).collect();
            looked.retain(|id, _| ids.contains(id.as_str()));
            let due = |payment: &PaymentRow| looked.get(&payment.id).is_none_or(|at| at.elapsed() >= LOOK_AGAIN);
            waiting.into_iter().filter(due).collect()
        };
        for payment in due {
            // Noted before: an approval that comes meanwhile takes the note away, and is not overlooked.
            self.looked().insert(payment.id.clone(), Instant::now());
            self.decide_payment(payment).await?;
        }
        for payment in self.store.payments_in(PaymentState::Approved).await? {
            if now() >= payment.expires {
                self.end_payment(payment, PaymentState::Expired, "it was not signed in time", "system", now()).await?;
            }
        }
        Ok(())
    }

    /// Puts payments back where they were that have ended, and whose row says that they may be paid: only somebody who writes into
    /// the database makes such rows. Their holds are free, and signers may have no reason of their own to refuse.
    /// Returns which they were.
    pub(super) async fn put_back_ended(&self) -> Result<HashSet<String>, StepError> {
        let mut found = HashSet::new();
        for (payment, action) in self.store.payments_ended_before(PaymentState::Approved).await? {
            let word = action.strip_prefix("payment.").unwrap_or_default();
            let corrupt = |_| StepError::Corrupt(format!("the audit entry {action} of {}", payment.id));
            let state: PaymentState = word.parse().map_err(corrupt)?;
            let reason = format!("its row said {}, the audit log says that it was {state} before", payment.state);
            let row = PaymentRow { state, reason, ..payment.clone() };
            let at = now();
            let step = Move::new(at).run(row.update(payment.state)).run(contradiction(&row, at)).audit(
                "system",
                "payment.put-back",
                &row.id,
                &*row.reason,
            );
            self.store.commit(step).await?;
            found.insert(row.id);
        }
        Ok(found)
    }

    async fn decide_payment(&self, payment: PaymentRow) -> Result<(), StepError> {
        if now() >= payment.expires {
            self.end_payment(payment, PaymentState::Expired, "it was not approved in time", "system", now()).await?;
            return Ok(());
        }
        let outcome = self.explain_payment(&payment, now()).await?.outcome;
        match outcome {
            Outcome::Allowed { tier } => self.move_payment(payment, PaymentState::Approved, &tier, "").await,
            Outcome::Waiting { .. } | Outcome::Later { .. } => {
                let reason = match outcome {
                    Outcome::Waiting { missing } => missing.join("; or "),
                    Outcome::Later { reason, .. } => reason,
                    _ => String::new(),
                };
                if payment.state == PaymentState::AwaitingApproval && payment.reason == reason {
                    return Ok(());
                }
                if payment.state == PaymentState::AwaitingApproval {
                    let row = PaymentRow { reason, updated: now(), ..payment };
                    self.store.commit(Move::new(row.updated).run(row.update(row.state))).await?;
                    return Ok(());
                }
                self.move_payment(payment, PaymentState::AwaitingApproval, "", &reason).await
            }
            Outcome::Refused { rule, reason } => {
                let reason = format!("{rule}: {reason}");
                self.end_payment(payment, PaymentState::Refused, &reason, "system", now()).await.map(|_| ())
            }
        }
    }

    /// The charter's decision about a payment with the approvals that it has.
    pub async fn explain_payment(&self, payment: &PaymentRow, now: Moment) -> Result<Decision, StepError> {
        let (instruction, evidence) = self.with_evidence(payment).await?;
        let counted = count_approvals(&self.charter, &instruction, &evidence.approvals, now);
        let customer_signed = evidence
            .customer_request
            .as_ref()
            .is_some_and(|request| verify_customer_request(&self.charter, &instruction, request).is_ok());
        let fee = instruction.fee_max().unwrap_or(Amount::ZERO);
        let spent = self.spent(&payment.wallet, &payment.id, fee, now).await?;
        Ok(decide(&Question {
            charter: &self.charter,
            instruction: &instruction,
            counted: &counted,
            customer_signed,
            spent: &spent,
            book: &self.store.address_book().await?,
            // Each signer measures the delay by its own journal.
            waits: Waits::Elsewhere,
            fee_share: fee,
            now,
        }))
    }

    /// A payment's instruction and everything that proves that people want it.
    pub async fn with_evidence(&self, payment: &PaymentRow) -> Result<(Instruction, Evidence), StepError> {
        let corrupt = |what: &str| StepError::Corrupt(format!("{what} of {}", payment.id));
        let instruction =
            Instruction::from_canonical(payment.canonical.as_bytes()).map_err(|_| corrupt("the instruction"))?;
        let customer_request = if payment.request.is_empty() {
            None
        } else {
            let request: signer_wire::Customer =
                serde_json::from_str(&payment.request).map_err(|_| corrupt("the customer's request"))?;
            Some(request.into())
        };
        let mut approvals = Vec::new();
        for row in self.store.approvals(&payment.id).await? {
            let operator = row.operator.parse().map_err(|_| corrupt("an approval"))?;
            approvals.push(Approval { operator, signature: row.signature });
        }
        Ok((instruction, Evidence { customer_request, approvals }))
    }

    pub(super) async fn move_payment(
        &self,
        payment: PaymentRow,
        state: PaymentState,
        tier: &str,
        reason: &str,
    ) -> Result<(), StepError> {
        let from = payment.state;
        let row = PaymentRow { state, tier: tier.to_owned(), reason: reason.to_owned(), updated: now(), ..payment };
        let detail = if tier.is_empty() { reason.to_owned() } else { format!("tier {tier}") };
        let mut step =
            Move::new(row.updated).run(row.update(from)).audit("system", &format!("payment.{state}"), &row.id, detail);
        step.events.push(payment_event(&row));
        self.store.commit(step).await?;
        Ok(())
    }

    /// Ends a payment that is not done, and frees what was held.
    pub(super) async fn end_payment(
        &self,
        payment: PaymentRow,
        state: PaymentState,
        reason: &str,
        actor: &str,
        now: Moment,
    ) -> Result<PaymentRow, StepError> {
        let from = payment.state;
        let row = PaymentRow { state, reason: reason.to_owned(), updated: now, ..payment };
        let kind = if state == PaymentState::Expired { Kind::Expire } else { Kind::Void };
        let mut step = Move::new(now).run(row.update(from)).audit(actor, &format!("payment.{state}"), &row.id, reason);
        step.postings.push(self.end_hold(&row, kind, Amount::ZERO, now, "void").await?);
        step.events.push(payment_event(&row));
        let unpaid = Move { postings: vec![], ..step.clone() };
        match self.store.commit(step).await {
            // Somebody wrote into the row: it ends all the same, or it would be tried for ever, and nothing of the books moves.
            Err(CommitError::Ledger(Refusal::NoSuchHold | Refusal::HoldDiffers)) => {
                let reason = format!("{}; the books have no open hold for it", row.reason);
                let alarm = contradiction(&PaymentRow { reason, ..row.clone() }, now);
                self.store.commit(unpaid.run(alarm)).await?;
            }
            done => drop(done?),
        }
        Ok(row)
    }

    /// The transfer that ends a payment's hold.
    pub(super) async fn end_hold(
        &self,
        payment: &PaymentRow,
        kind: impl Fn(TransferId) -> Kind,
        amount: Amount,
        now: Moment,
        what: &str,
    ) -> Result<Posting, StepError> {
        let debit = if payment.destination_wallet.is_empty() {
            payment.requester.clone()
        } else {
            format!("wallet:{}", payment.destination_wallet)
        };
        let hold = <[u8; 16]>::try_from(payment.hold.as_slice());
        let hold = hold.map_err(|_| StepError::Corrupt(format!("the hold of {}", payment.id)))?;
        let transfer = Transfer {
            id: transfer_id(now, &[&payment.id, what]),
            debit: self.account(&debit).await?,
            credit: self.account(&format!("wallet:{}", payment.wallet)).await?,
            amount,
            kind: kind(TransferId(u128::from_be_bytes(hold))),
        };
        Ok(Posting { transfer, cause: payment.id.clone() })
    }
}

/// The alarm that a payment's row contradicts the audit log or the books. Only people can judge how that came about.
fn contradiction(payment: &PaymentRow, at: Moment) -> Statement {
    let message = format!("{}: somebody wrote into the database; look at the audit log", payment.reason);
    Statement::raise_alarm("payment-differs", &payment.id, &message, at)
}

pub(super) fn payment_event(payment: &PaymentRow) -> Event {
    let body = serde_json::json!({
        "state": payment.state.as_str(), "requester": payment.requester, "asset": payment.asset,
        "amount": payment.amount.to_string(), "reason": payment.reason,
    });
    Event { kind: format!("payment.{}", payment.state), subject: payment.id.clone(), body: body.to_string() }
}
