use std::collections::BTreeSet;

use types::{Approval, Digest, OperatorId};

use crate::approvals::{is_apart, verify_signature};
use crate::charter::{Charter, Quorum};
use crate::roles::Role;

/// The namespace of signatures on charters.
const NAMESPACE: &str = "claviger-charter";

/// Why a charter does not follow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SuccessionError {
    /// Not the next version.
    #[error("charter version {found} does not follow version {current}; only {current} plus one can")]
    Version {
        /// The version that is held.
        current: u64,
        /// The version that was offered.
        found: u64,
    },
    /// It names another predecessor.
    #[error("the charter names {found} as its predecessor, not the digest of the charter that is held")]
    Previous {
        /// What it names.
        found: Digest,
    },
    /// It is for another network.
    #[error("a charter cannot move to another network")]
    Network,
    /// Nobody, or too few, signed it on a machine of their own.
    #[error("the charter needs {needed} who sign with an SSH key, on a machine of their own; {counted} did")]
    OwnReading {
        /// How many.
        needed: u32,
        /// How many did.
        counted: usize,
    },
    /// Too few signed it.
    #[error("the charter needs {people} people of {organisations} organisations, {counted} signed validly")]
    Quorum {
        /// People needed.
        people: u32,
        /// Organisations needed.
        organisations: u32,
        /// People counted.
        counted: usize,
    },
}

/// Checks the first charter: signed by the quorum that it names itself. Whoever adopts it compares its digest by hand.
pub fn verify_genesis(charter: &Charter, approvals: &[Approval]) -> Result<(), SuccessionError> {
    if charter.version != 1 {
        return Err(SuccessionError::Version { current: 0, found: charter.version });
    }
    enough(charter, &charter.digest(), charter.charter_quorum, approvals)
}

/// Checks that `next` follows `current`: the very next version, linked by digest, signed by a quorum of `current`.
pub fn verify_succession(current: &Charter, next: &Charter, approvals: &[Approval]) -> Result<(), SuccessionError> {
    if current.version.checked_add(1) != Some(next.version) {
        return Err(SuccessionError::Version { current: current.version, found: next.version });
    }
    if next.previous != Some(current.digest()) {
        return Err(SuccessionError::Previous { found: next.previous.unwrap_or(Digest::from_bytes([0; 32])) });
    }
    if next.network != current.network {
        return Err(SuccessionError::Network);
    }
    enough(current, &next.digest(), current.charter_quorum, approvals)
}

fn enough(by: &Charter, digest: &Digest, quorum: Quorum, approvals: &[Approval]) -> Result<(), SuccessionError> {
    let mut people: BTreeSet<&OperatorId> = BTreeSet::new();
    let mut organisations: BTreeSet<&str> = BTreeSet::new();
    let mut apart: BTreeSet<&OperatorId> = BTreeSet::new();
    for approval in approvals {
        let Some(operator) = by.operator(&approval.operator).filter(|operator| operator.is(Role::Approver)) else {
            continue;
        };
        // A grant's end is not looked at: people whose grants have all ended could otherwise never renew them.
        if verify_signature(by, operator, &approval.signature, NAMESPACE, digest).is_ok() {
            people.insert(&operator.id);
            organisations.insert(&operator.organisation);
            if is_apart(&approval.signature) {
                apart.insert(&operator.id);
            }
        }
    }
    let met = people.len() >= quorum.people as usize && organisations.len() >= quorum.organisations as usize;
    let needed = by.own_reading.min(quorum.people);
    if met && apart.len() < needed as usize {
        return Err(SuccessionError::OwnReading { needed, counted: apart.len() });
    }
    if met {
        return Ok(());
    }
    Err(SuccessionError::Quorum { people: quorum.people, organisations: quorum.organisations, counted: people.len() })
}
