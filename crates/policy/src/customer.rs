use serde_json::{Map, Value};
use types::{Body, CustomerId, CustomerRequest, Digest, Instruction, InstructionId, Payment};

use crate::charter::Charter;
use crate::http_signature::{self, Parts};

/// The path of the request by which a customer asks for a withdrawal.
pub const WITHDRAWALS_PATH: &str = "/v1/withdrawals";

/// Why a customer's request does not speak for an instruction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CustomerRefusal {
    /// The instruction is not a customer's withdrawal.
    #[error("only a customer's withdrawal rests on a customer's request")]
    Kind,
    /// The charter knows no such customer, or no key of theirs.
    #[error("the charter knows no key of this customer")]
    UnknownCustomer,
    /// No key of the customer made the signature.
    #[error("none of the customer's keys signed this request")]
    Signature,
    /// The request asks for something else than a withdrawal.
    #[error("the request is not POST {WITHDRAWALS_PATH}")]
    Target,
    /// The body cannot be read.
    #[error("the request's body is not a JSON object of strings")]
    Body,
    /// The instruction says something else than the customer.
    #[error("the instruction's \"{0}\" is not what the customer asked for")]
    Differs(&'static str),
    /// The instruction was not made while the request was valid.
    #[error("the instruction was not made while the customer's request was valid")]
    Time,
}

/// The identifier of the withdrawal that a customer asks for under an idempotency key: one key, one instruction, for ever.
pub fn withdrawal_id(customer: &CustomerId, idempotency_key: &str) -> Option<InstructionId> {
    let digest =
        Digest::of(&[b"claviger-withdrawal-id-v1\n", customer.as_str().as_bytes(), b"\n", idempotency_key.as_bytes()]);
    let hex = digest.to_string();
    format!("wd-{}", hex.get(..32)?).parse().ok()
}

/// Checks that the customer asked for exactly this instruction, with a key that the charter names.
///
/// The same request leads to the same identifier always, so that it cannot be spent twice; and to an instruction made
/// within its time only, so that an old one cannot be revived.
pub fn verify_customer_request(
    charter: &Charter,
    instruction: &Instruction,
    request: &CustomerRequest,
) -> Result<(), CustomerRefusal> {
    let Body::CustomerWithdrawal(payment) = &instruction.body else { return Err(CustomerRefusal::Kind) };
    let customer = charter.customer(&payment.customer).ok_or(CustomerRefusal::UnknownCustomer)?;
    if request.method != "POST" || request.path != WITHDRAWALS_PATH {
        return Err(CustomerRefusal::Target);
    }
    let parts = Parts {
        method: &request.method,
        path: &request.path,
        content_digest: &request.content_digest,
        idempotency_key: &request.idempotency_key,
    };
    let verified = customer.keys.iter().find_map(|key| {
        http_signature::verify(&parts, request.body.as_bytes(), &request.signature_input, &request.signature, key).ok()
    });
    let parameters = verified.ok_or(CustomerRefusal::Signature)?;
    if instruction.created < parameters.created || instruction.created >= parameters.expires {
        return Err(CustomerRefusal::Time);
    }
    if withdrawal_id(&payment.customer, &request.idempotency_key).as_ref() != Some(&instruction.id) {
        return Err(CustomerRefusal::Differs("id"));
    }
    same(payment, &request.body)
}

fn same(payment: &Payment, body: &str) -> Result<(), CustomerRefusal> {
    let fields: Map<String, Value> = serde_json::from_str(body).map_err(|_| CustomerRefusal::Body)?;
    let asked = |name: &'static str, expected: String| match fields.get(name).and_then(Value::as_str) {
        Some(text) if text == expected => Ok(()),
        _ => Err(CustomerRefusal::Differs(name)),
    };
    asked("asset", payment.asset.to_string())?;
    asked("destination", payment.destination.clone())?;
    asked("amount", payment.amount.to_string())
}
