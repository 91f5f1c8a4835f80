//! Between the domain's types and what goes over the wire to signers.

use types::{Approval, CustomerRequest, Evidence, Instruction};

/// A customer's request for the wire.
pub fn customer(request: &CustomerRequest) -> signer_wire::Customer {
    signer_wire::Customer {
        method: request.method.clone(),
        path: request.path.clone(),
        idempotency_key: request.idempotency_key.clone(),
        content_digest: request.content_digest.clone(),
        signature_input: request.signature_input.clone(),
        signature: request.signature.clone(),
        body: request.body.clone(),
    }
}

/// A customer's request from the wire.
pub fn customer_from(request: signer_wire::Customer) -> CustomerRequest {
    CustomerRequest {
        method: request.method,
        path: request.path,
        idempotency_key: request.idempotency_key,
        content_digest: request.content_digest,
        signature_input: request.signature_input,
        signature: request.signature,
        body: request.body,
    }
}

/// An instruction with its evidence for the wire.
pub fn instruction(instruction: &Instruction, evidence: &Evidence) -> signer_wire::Instruction {
    signer_wire::Instruction {
        canonical: String::from_utf8_lossy(&instruction.canonical()).into_owned(),
        evidence: signer_wire::Evidence {
            customer_request: evidence.customer_request.as_ref().map(customer),
            approvals: evidence.approvals.iter().map(approval).collect(),
        },
    }
}

/// An approval for the wire.
pub fn approval(approval: &Approval) -> signer_wire::Approval {
    signer_wire::Approval { operator: approval.operator.to_string(), signature: approval.signature.clone() }
}
