//! A chain of charters, from the first one on, each signed by a quorum of the one before.

use policy::Charter;
use types::Approval;

use crate::refusal::{Code, Refused};

/// Verifies a chain and gives its newest charter. Signatures of all versions may be given together: each counts where it belongs.
/// Asks no clock: an approver's grant may have ended since, and the chain is as good as it was.
///
/// # Errors
/// `charter-missing`; `charter-quorum` for the first; `charter-succession` for a later one, with its version.
pub fn verify<'a>(charters: &'a [Charter], approvals: &[Approval]) -> Result<&'a Charter, Refused> {
    let (first, rest) = charters
        .split_first()
        .ok_or_else(|| Refused::new(Code::CharterMissing, "name the charters from the first one on: --charter FILE"))?;
    policy::verify_genesis(first, approvals).map_err(|error| Refused::new(Code::CharterQuorum, error.to_string()))?;
    let mut newest = first;
    for next in rest {
        policy::verify_past_succession(newest, next, approvals).map_err(|error| {
            Refused::new(Code::CharterSuccession, format!("charter version {}: {error}", next.version))
        })?;
        newest = next;
    }
    Ok(newest)
}
