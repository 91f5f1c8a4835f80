//! Between the domain's types and what goes over the wire to signers.

use types::{Approval, Evidence, Instruction};

/// An instruction with its evidence for the wire.
pub fn instruction(instruction: &Instruction, evidence: &Evidence) -> signer_wire::Instruction {
    signer_wire::Instruction {
        canonical: String::from_utf8_lossy(&instruction.canonical()).into_owned(),
        evidence: signer_wire::Evidence {
            customer_request: evidence.customer_request.as_ref().map(Into::into),
            approvals: evidence.approvals.iter().map(approval).collect(),
        },
    }
}

/// An approval for the wire.
pub fn approval(approval: &Approval) -> signer_wire::Approval {
    signer_wire::Approval { operator: approval.operator.to_string(), signature: approval.signature.clone() }
}
