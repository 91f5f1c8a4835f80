use std::collections::BTreeSet;

use types::{Approval, Digest, Moment, OperatorId};

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
    #[error("the charter needs {people} people of {organisations} organisations, {counted} signed validly{}", ended_words(.ended))]
    Quorum {
        /// People needed.
        people: u32,
        /// Organisations needed.
        organisations: u32,
        /// People counted.
        counted: usize,
        /// People who signed validly, and whose grants have ended.
        ended: Vec<OperatorId>,
    },
}

fn ended_words(ended: &[OperatorId]) -> String {
    let names = ended.iter().map(OperatorId::as_str).collect::<Vec<_>>().join(", ");
    if names.is_empty() {
        return String::new();
    }
    format!("; grants that have ended decide nothing: {names}; somebody whose grant holds has to sign in their place")
}

/// Checks the first charter: signed by the quorum that it names itself. Whoever adopts it compares its digest by hand, which
/// says more than any clock: the ends of grants are not looked at.
pub fn verify_genesis(charter: &Charter, approvals: &[Approval]) -> Result<(), SuccessionError> {
    if charter.version != 1 {
        return Err(SuccessionError::Version { current: 0, found: charter.version });
    }
    enough(charter, &charter.digest(), charter.charter_quorum, approvals, None)
}

/// Checks that `next` follows `current` now: the very next version, linked by digest, signed by a quorum of those whom `current`
/// lets approve and whose grants hold. [`Charter::check`] sees to it that enough of them have a grant without an end.
pub fn verify_succession(
    current: &Charter,
    next: &Charter,
    approvals: &[Approval],
    now: Moment,
) -> Result<(), SuccessionError> {
    follows(current, next)?;
    enough(current, &next.digest(), current.charter_quorum, approvals, Some(now))
}

/// Checks that `next` once followed `current`, for whoever reads a chain of charters again and was not there.
///
/// No signature says when it was made, so that grants which have ended since are believed to have held. Never enough to put a charter
/// in force: for that, a clock is asked, or people compare the digest of the newest charter by hand.
pub fn verify_past_succession(
    current: &Charter,
    next: &Charter,
    approvals: &[Approval],
) -> Result<(), SuccessionError> {
    follows(current, next)?;
    enough(current, &next.digest(), current.charter_quorum, approvals, None)
}

fn follows(current: &Charter, next: &Charter) -> Result<(), SuccessionError> {
    if current.version.checked_add(1) != Some(next.version) {
        return Err(SuccessionError::Version { current: current.version, found: next.version });
    }
    if next.previous != Some(current.digest()) {
        return Err(SuccessionError::Previous { found: next.previous.unwrap_or(Digest::from_bytes([0; 32])) });
    }
    if next.network != current.network {
        return Err(SuccessionError::Network);
    }
    Ok(())
}

fn enough(
    by: &Charter,
    digest: &Digest,
    quorum: Quorum,
    approvals: &[Approval],
    now: Option<Moment>,
) -> Result<(), SuccessionError> {
    let mut people: BTreeSet<&OperatorId> = BTreeSet::new();
    let mut organisations: BTreeSet<&str> = BTreeSet::new();
    let mut apart: BTreeSet<&OperatorId> = BTreeSet::new();
    let mut ended: BTreeSet<&OperatorId> = BTreeSet::new();
    for approval in approvals {
        let Some(operator) = by.operator(&approval.operator).filter(|operator| operator.is(Role::Approver)) else {
            continue;
        };
        if verify_signature(by, operator, &approval.signature, NAMESPACE, digest).is_err() {
            continue;
        }
        if now.is_some_and(|now| !operator.holds(now)) {
            ended.insert(&operator.id);
        } else {
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
    Err(SuccessionError::Quorum {
        people: quorum.people,
        organisations: quorum.organisations,
        counted: people.len(),
        ended: ended.into_iter().cloned().collect(),
    })
}
