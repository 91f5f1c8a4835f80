use std::collections::BTreeSet;

use types::{Approval, Digest, Instruction, Moment, OperatorId, Party};

use crate::charter::{Charter, Operator, Quorum, Tier};
use crate::passkey::{self, PasskeyRefusal};
use crate::roles::Role;
use crate::sshsig::{self, SshRefusal};

/// The namespace of approvals: a signature for anything else, or for a charter, does not count here.
pub(crate) const NAMESPACE: &str = "claviger-approval";

/// Where the key of a signature lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyPlace {
    /// Wherever it was copied to: a file, or a passkey that its maker keeps in step between devices.
    Anywhere,
    /// In one device, which never gives it out.
    Device,
}

/// The approvals that count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Distinct people, sorted.
    pub people: Vec<OperatorId>,
    /// Their distinct organisations.
    pub organisations: BTreeSet<String>,
    /// Those of them who approved with a key that cannot leave its device.
    pub device_bound: BTreeSet<OperatorId>,
    /// What was handed in and does not count, with the reason.
    pub refused: Vec<(OperatorId, ApprovalRefusal)>,
}

/// Why an approval does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApprovalRefusal {
    /// The charter knows no such operator.
    #[error("the charter knows no such operator")]
    UnknownOperator,
    /// The charter does not let this person approve.
    #[error("the charter does not let this person approve")]
    NotApprover,
    /// The person's grant has ended.
    #[error("this person's grant has expired; the next charter can renew it")]
    Expired,
    /// The person asked for it.
    #[error("who asks for something does not count among those who approve it")]
    Requester,
    /// The same person was counted already, with whatever key.
    #[error("this person was counted already")]
    CountedTwice,
    /// Not an SSH signature of an accepted algorithm.
    #[error("not an SSH signature by an Ed25519 or ECDSA P-256 key")]
    Form,
    /// Not one of the person's keys.
    #[error("signed with a key that the charter does not name for this person")]
    UnknownKey,
    /// Another text, another namespace, or forged.
    #[error("the signature is not over this instruction in the namespace claviger-approval")]
    Invalid,
    /// A security key that nobody touched.
    #[error("the security key was not touched")]
    NoPresence,
    /// A passkey's assertion that does not hold.
    #[error("the passkey's assertion does not count: {0}")]
    Passkey(PasskeyRefusal),
}

impl Counted {
    /// Whether enough people of enough organisations are counted.
    pub fn meets(&self, quorum: Quorum) -> bool {
        let people = u32::try_from(self.people.len()).unwrap_or(u32::MAX);
        let organisations = u32::try_from(self.organisations.len()).unwrap_or(u32::MAX);
        people >= quorum.people && organisations >= quorum.organisations
    }

    /// Of these, those who count in a tier: where it asks for that, only those whose key cannot leave its device.
    pub fn in_tier(&self, charter: &Charter, tier: &Tier) -> Counted {
        if !tier.device_bound {
            return self.clone();
        }
        let people: Vec<_> = self.people.iter().filter(|person| self.device_bound.contains(*person)).cloned().collect();
        let organisations = people.iter().filter_map(|person| charter.operator(person));
        let organisations = organisations.map(|operator| operator.organisation.clone()).collect();
        Counted { people, organisations, ..self.clone() }
    }
}

/// Counts the approvals of an instruction.
///
/// Ways to cheat a count, each tried by a test: one person with two keys; one approval handed in twice; one key under two
/// names (the charter refuses it); the requester approving; an approval of another instruction, or of the same one
/// with a changed field; a signature in another namespace; a person who left the charter or may not approve; a passkey's assertion
/// for another challenge, origin or relying party, without the person being verified, or by a credential of somebody else; a key
/// that was copied where the tier asks for one that cannot be.
pub fn count_approvals(charter: &Charter, instruction: &Instruction, approvals: &[Approval], now: Moment) -> Counted {
    let mut counted = Counted::default();
    for approval in approvals {
        match check(charter, instruction, approval, now) {
            Ok((operator, place)) => {
                let better = place == KeyPlace::Device && counted.device_bound.insert(operator.id.clone());
                if !counted.people.contains(&operator.id) {
                    counted.people.push(operator.id.clone());
                    counted.organisations.insert(operator.organisation.clone());
                } else if !better {
                    counted.refused.push((operator.id.clone(), ApprovalRefusal::CountedTwice));
                }
            }
            Err(refusal) => counted.refused.push((approval.operator.clone(), refusal)),
        }
    }
    counted.people.sort();
    counted
}

fn check<'a>(
    charter: &'a Charter,
    instruction: &Instruction,
    approval: &Approval,
    now: Moment,
) -> Result<(&'a Operator, KeyPlace), ApprovalRefusal> {
    let operator = charter.operator(&approval.operator).ok_or(ApprovalRefusal::UnknownOperator)?;
    if !operator.is(Role::Approver) {
        return Err(ApprovalRefusal::NotApprover);
    }
    if !operator.holds(now) {
        return Err(ApprovalRefusal::Expired);
    }
    if instruction.requester() == Party::Operator(operator.id.clone()) {
        return Err(ApprovalRefusal::Requester);
    }
    let place = verify_signature(charter, operator, &approval.signature, NAMESPACE, &instruction.digest())?;
    Ok((operator, place))
}

/// Verifies an operator's signature over a digest, by whichever kind of key it was made.
pub(crate) fn verify_signature(
    charter: &Charter,
    operator: &Operator,
    signature: &str,
    namespace: &str,
    digest: &Digest,
) -> Result<KeyPlace, ApprovalRefusal> {
    Ok(if signature.starts_with('{') {
        passkey::verify(signature, digest, &charter.relying_party, &operator.passkeys)?
    } else {
        sshsig::verify(signature, namespace, digest, &operator.keys)?
    })
}

impl From<PasskeyRefusal> for ApprovalRefusal {
    fn from(refusal: PasskeyRefusal) -> ApprovalRefusal {
        ApprovalRefusal::Passkey(refusal)
    }
}

impl From<SshRefusal> for ApprovalRefusal {
    fn from(refusal: SshRefusal) -> ApprovalRefusal {
        match refusal {
            SshRefusal::Form => ApprovalRefusal::Form,
            SshRefusal::UnknownKey => ApprovalRefusal::UnknownKey,
            SshRefusal::Invalid => ApprovalRefusal::Invalid,
            SshRefusal::NoPresence => ApprovalRefusal::NoPresence,
        }
    }
}
