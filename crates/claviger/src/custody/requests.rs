//! What customers and operators ask for: checked at the door, stored with its hold in one commit, answered the same way when
//! it is asked again.

use chains::bitcoin::parse_address;
use ledger::{Kind, Transfer as Posted};
use orders::PaymentState;
use policy::{Action, Outcome, count_approvals, verify_customer_request, withdrawal_id};
use serde::Deserialize;
use store::{ApprovalRow, CommitError, Event, Move, PaymentRow, Posting};
use types::{
    Amount, Approval, Asset, Body, CustomerId, CustomerRequest, Digest, Instruction, InstructionId, Moment, OperatorId,
    Payment, Transfer, WalletId,
};

use super::approvals::worth;
use super::{Custody, StepError, transfer_id};
use crate::problem::Problem;

/// What a customer's request says.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WithdrawalBody {
    /// CAIP-19 identifier.
    pub asset: String,
    /// Base units, digits only.
    pub amount: String,
    /// Address in the chain's notation.
    pub destination: String,
}

/// What an operator's request for a transfer says.
#[derive(Clone, Debug, Deserialize, serde::Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TransferBody {
    /// CAIP-19 identifier.
    pub asset: String,
    /// Base units, digits only.
    pub amount: String,
    /// Our wallet that pays.
    pub wallet: String,
    /// Our wallet that is paid.
    pub destination_wallet: String,
}

/// A payment that was asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its row.
    pub payment: PaymentRow,
    /// Whether it was asked for before, under the same key.
    pub again: bool,
}

/// The longest idempotency key.
const KEY_MAX: usize = 100;

fn check_key(key: &str) -> Result<(), Problem> {
    let fits = !key.is_empty() && key.len() <= KEY_MAX && key.bytes().all(|byte| byte.is_ascii_graphic());
    if fits {
        return Ok(());
    }
    Err(Problem::new(
        400,
        "idempotency-key",
        format!("send an Idempotency-Key of 1 to {KEY_MAX} visible ASCII characters, a new one for each new payment"),
    ))
}

/// Prefix of the names of operators' transfers.
fn transfer_instruction_id(operator: &OperatorId, key: &str) -> Option<InstructionId> {
    let digest = Digest::of(&[b"claviger-transfer-id-v1\n", operator.as_str().as_bytes(), b"\n", key.as_bytes()]);
    format!("tr-{}", digest.to_string().get(..32)?).parse().ok()
}

impl Custody {
    fn parse_asset(&self, text: &str) -> Result<Asset, Problem> {
        match text.parse::<Asset>() {
            Ok(asset) if asset == self.asset => Ok(asset),
            Ok(_) => Err(Problem::invalid("unknown-asset", format!("this system keeps {}", self.asset))),
            Err(error) => Err(Problem::invalid("unknown-asset", error.to_string())),
        }
    }

    fn parse_amount(&self, text: &str, dust_sats: u64) -> Result<Amount, Problem> {
        let amount: Amount =
            text.parse().map_err(|error: types::AmountError| Problem::invalid("amount", error.to_string()))?;
        if amount.is_zero() {
            return Err(Problem::invalid("amount", "the amount must be more than zero"));
        }
        if amount < Amount::from_sats(dust_sats) {
            return Err(Problem::invalid(
                "amount-dust",
                format!("the network relays no output below {dust_sats} satoshis"),
            ));
        }
        // All coins that will ever be.
        if amount > Amount::from_sats(2_100_000_000_000_000) {
            return Err(Problem::invalid("amount", "there are not that many coins"));
        }
        Ok(amount)
    }

    /// A customer's withdrawal. The request is kept as it came: it is what signers check.
    pub async fn request_withdrawal(
        &self,
        customer: &CustomerId,
        request: CustomerRequest,
        now: Moment,
    ) -> Result<Asked, Problem> {
        check_key(&request.idempotency_key)?;
        let id = withdrawal_id(customer, &request.idempotency_key);
        let id = id.ok_or_else(|| Problem::new(500, "identifier", "no identifier can be made"))?;
        let body_digest = Digest::of(&[request.body.as_bytes()]);
        if let Some(asked) = self.asked_before(&id, body_digest).await? {
            return Ok(asked);
        }
        let body: WithdrawalBody =
            serde_json::from_str(&request.body).map_err(|error| Problem::new(400, "body", error.to_string()))?;
        let asset = self.parse_asset(&body.asset)?;
        let script = parse_address(&body.destination, self.charter.network)
            .map_err(|error| Problem::invalid("destination", error.to_string()))?;
        let amount = self.parse_amount(&body.amount, script.minimal_non_dust().to_sat())?;
        let instruction = Instruction {
            id,
            created: now.whole_seconds(),
            expires: self.expiry(now),
            charter: self.charter.version,
            body: Body::CustomerWithdrawal(Payment {
                customer: customer.clone(),
                asset,
                wallet: self.hot_wallet()?,
                destination: body.destination,
                amount,
                fee_max: Amount::from_sats(self.config.withdrawals.fee_sats_max),
            }),
        };
        verify_customer_request(&self.charter, &instruction, &request).map_err(|error| {
            Problem::new(403, "request-signature", format!("signers would refuse this request: {error}"))
        })?;
        let accounts = [format!("customer:{customer}"), format!("wallet:{}", self.hot_wallet()?)];
        let kept = serde_json::to_string(&signer_wire::Customer::from(&request));
        let kept = kept.map_err(|error| Problem::new(500, "request", error.to_string()))?;
        self.store_payment(&instruction, accounts, kept, body_digest, now).await
    }

    /// An operator's transfer between our wallets, to a fresh address of the receiving one.
    pub async fn request_transfer(
        &self,
        operator: &OperatorId,
        key: &str,
        body: &TransferBody,
        now: Moment,
    ) -> Result<Asked, Problem> {
        check_key(key)?;
        let id = transfer_instruction_id(operator, key);
        let id = id.ok_or_else(|| Problem::new(500, "identifier", "no identifier can be made"))?;
        let spelled = serde_json::to_vec(body).map_err(|error| Problem::new(500, "body", error.to_string()))?;
        let body_digest = Digest::of(&[&spelled]);
        if let Some(asked) = self.asked_before(&id, body_digest).await? {
            return Ok(asked);
        }
        let asset = self.parse_asset(&body.asset)?;
        // The dust limit of our own kind of output, P2WSH.
        let amount = self.parse_amount(&body.amount, 330)?;
        let wallet = |text: &str| {
            let id: Option<WalletId> = text.parse().ok();
            let known = id.filter(|id| self.charter.wallet(id).is_some());
            known.ok_or_else(|| Problem::invalid("unknown-wallet", format!("the charter has no wallet \"{text}\"")))
        };
        let (from, to) = (wallet(&body.wallet)?, wallet(&body.destination_wallet)?);
        if from == to {
            return Err(Problem::invalid("same-wallet", "a transfer goes to another wallet"));
        }
        let owner = format!("wallet:{to}");
        let address = self.new_address(&to, &owner, "transfer", |_| None).await?;
        let instruction = Instruction {
            id,
            created: now.whole_seconds(),
            expires: self.expiry(now),
            charter: self.charter.version,
            body: Body::OperatorTransfer(Transfer {
                requester: operator.clone(),
                asset,
                wallet: from.clone(),
                destination_wallet: to,
                destination_index: address.index,
                destination: address.address,
                amount,
                fee_max: Amount::from_sats(self.config.withdrawals.fee_sats_max),
            }),
        };
        self.store_payment(&instruction, [owner, format!("wallet:{from}")], String::new(), body_digest, now).await
    }

    async fn asked_before(&self, id: &InstructionId, body_digest: Digest) -> Result<Option<Asked>, Problem> {
        let Some(payment) = self.store.payment(id.as_str()).await? else { return Ok(None) };
        if payment.body_digest != body_digest {
            return Err(Problem::new(
                409,
                "idempotency-conflict",
                "this Idempotency-Key stands for another payment; use a new key for a new payment",
            ));
        }
        Ok(Some(Asked { payment, again: true }))
    }

    fn hot_wallet(&self) -> Result<WalletId, Problem> {
        let id = self.config.withdrawals.wallet.parse();
        id.map_err(|_| Problem::new(500, "wallet", "the configuration names no hot wallet"))
    }

    fn expiry(&self, now: Moment) -> Moment {
        let seconds = i64::try_from(self.config.withdrawals.lifetime_seconds).unwrap_or(i64::MAX);
        now.whole_seconds().plus_seconds(seconds)
    }

    /// Stores a payment with its hold: both or none.
    async fn store_payment(
        &self,
        instruction: &Instruction,
        [debit, credit]: [String; 2],
        request: String,
        body_digest: Digest,
        now: Moment,
    ) -> Result<Asked, Problem> {
        let broken = || Problem::new(500, "instruction", "the instruction has no form");
        let id = instruction.id.to_string();
        let hold = transfer_id(now, &[&id, "hold"]);
        let amount = instruction.amount().ok_or_else(broken)?;
        let destination_wallet = match &instruction.body {
            Body::OperatorTransfer(transfer) => transfer.destination_wallet.to_string(),
            _ => String::new(),
        };
        let payment = PaymentRow {
            id: id.clone(),
            kind: instruction.kind().to_owned(),
            state: PaymentState::Held,
            requester: instruction.requester().to_string(),
            asset: self.asset.to_string(),
            wallet: instruction.wallet().ok_or_else(broken)?.clone(),
            destination: instruction.destination().ok_or_else(broken)?.to_owned(),
            destination_wallet,
            amount,
            canonical: String::from_utf8(instruction.canonical()).map_err(|_| broken())?,
            request,
            body_digest,
            hold: hold.0.to_be_bytes().to_vec(),
            expires: instruction.expires,
            tier: String::new(),
            reason: String::new(),
            group: String::new(),
            solo: false,
            created: now,
            updated: now,
        };
        // What the charter can never let through is refused at the door, with its reasoning.
        let decision = self.explain_payment(&payment, now).await;
        let decision = decision.map_err(|error| Problem::unavailable("storage", error.to_string()))?;
        if let Outcome::Refused { rule, reason } = decision.outcome {
            let problem = Problem::invalid("policy", format!("the charter does not allow this ({rule}): {reason}"));
            return Err(Problem { explanation: decision.trace, ..problem });
        }
        let held = Posted {
            id: hold,
            debit: self.account(&debit).await?,
            credit: self.account(&credit).await?,
            amount,
            kind: Kind::Pending,
        };
        let mut step = Move::new(now)
            .run(payment.insert())
            .audit(&payment.requester, "payment.requested", &id, types::sentence(instruction))
            .audit("system", "payment.held", &id, amount.to_string());
        step.postings.push(Posting { transfer: held, cause: id.clone() });
        match self.store.commit(step).await {
            Ok(_) => {
                self.wake();
                Ok(Asked { payment, again: false })
            }
            // The same request at the same time: the other one was first.
            Err(
                CommitError::Constraint | CommitError::Ledger(ledger::Refusal::Repeated | ledger::Refusal::IdTaken),
            ) => self.asked_before(&instruction.id, body_digest).await?.ok_or_else(|| CommitError::Stale.into()),
            Err(error) => {
                // The hold of the request that was first may be what leaves too little for this one.
                match self.asked_before(&instruction.id, body_digest).await? {
                    Some(asked) => Ok(asked),
                    None => Err(error.into()),
                }
            }
        }
    }

    /// Takes an operator's approval, after checking it as signers will.
    pub async fn approve(
        &self,
        id: &str,
        operator: &OperatorId,
        signature: &str,
        now: Moment,
    ) -> Result<PaymentRow, Problem> {
        self.allow(operator, Action::Approve, now).await?;
        let payment = self.store.payment(id).await?.ok_or_else(|| Problem::not_found("payment"))?;
        self.check_revoked(signature).await?;
        let open = [PaymentState::Held, PaymentState::Screened, PaymentState::AwaitingApproval, PaymentState::Approved];
        if !open.contains(&payment.state) {
            return Err(Problem::new(
                409,
                "not-waiting",
                format!("this payment is {} and takes no approvals", payment.state),
            ));
        }
        let instruction = Instruction::from_canonical(payment.canonical.as_bytes())
            .map_err(|error| Problem::new(500, "instruction", error.to_string()))?;
        let approval = Approval { operator: operator.clone(), signature: signature.to_owned() };
        let counted = count_approvals(&self.charter, &instruction, &[approval], now);
        if let Some((_, refusal)) = counted.refused.first() {
            return Err(Problem::new(403, "approval-refused", refusal.to_string()));
        }
        let row = ApprovalRow { operator: operator.to_string(), signature: signature.to_owned(), created: now };
        let mut step = Move::new(now).audit(&format!("operator:{operator}"), "payment.approved-by", id, "");
        step.events.push(Event {
            kind: "payment.approval".to_owned(),
            subject: id.to_owned(),
            body: serde_json::json!({"operator": operator.to_string()}).to_string(),
        });
        let worth = |signature: &str| {
            let approval = Approval { operator: operator.clone(), signature: signature.to_owned() };
            worth(&self.charter, &instruction, approval, now)
        };
        self.keep_approval(id, &row, worth, step).await?;
        self.looked().remove(id);
        self.wake();
        Ok(payment)
    }

    /// Takes a payment back that is not being signed yet.
    pub async fn cancel(&self, mut payment: PaymentRow, actor: &str, now: Moment) -> Result<PaymentRow, Problem> {
        // The pipelines may move it on while we look: then we look again, a few states at most.
        for _ in 0..8 {
            if payment.state == PaymentState::Cancelled {
                return Ok(payment);
            }
            if !payment.state.may_become(PaymentState::Cancelled) {
                let detail = format!("this payment is {} and cannot be taken back", payment.state);
                return Err(Problem::new(409, "too-late", detail));
            }
            let id = payment.id.clone();
            let own = payment.requester == actor;
            let reason = if own { "taken back".to_owned() } else { format!("stopped by {actor}") };
            match self.end_payment(payment, PaymentState::Cancelled, &reason, actor, now).await {
                Ok(payment) => return Ok(payment),
                Err(StepError::Commit(CommitError::Stale | CommitError::Ledger(_))) => {}
                Err(StepError::Commit(error)) => return Err(error.into()),
                Err(error) => return Err(Problem::new(500, "storage", error.to_string())),
            }
            payment = self.store.payment(&id).await?.ok_or_else(|| Problem::not_found("payment"))?;
        }
        Err(CommitError::Stale.into())
    }
}
