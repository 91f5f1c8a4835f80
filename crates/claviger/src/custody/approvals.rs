//! Approvals as they are kept: one of each person, whatever keys they have.

use policy::{Charter, KeyPlace, count_approvals};
use store::{ApprovalRow, CommitError, Move};
use types::{Approval, Instruction, Moment};

use super::Custody;
use crate::problem::Problem;

impl Custody {
    /// Keeps somebody's approval of a payment or proposal, together with the rest of the step.
    ///
    /// The same one again is no error. Another one of the same person takes its place when it counts for more by `worth`: an
    /// approval that does not count at all was written by somebody else, and one by a key that can be copied does not count in
    /// every tier.
    pub(super) async fn keep_approval(
        &self,
        about: &str,
        approval: &ApprovalRow,
        worth: impl Fn(&str) -> Option<KeyPlace>,
        step: Move,
    ) -> Result<(), Problem> {
        let there = async || {
            let rows = self.store.approvals(about).await?;
            Ok::<_, Problem>(rows.into_iter().find(|row| row.operator == approval.operator))
        };
        let statement = match there().await? {
            None => approval.insert(about),
            Some(before) if before.signature == approval.signature => return Ok(()),
            Some(before) if worth(&approval.signature) > worth(&before.signature) => approval.replace(about, &before),
            Some(_) => return Err(approved_before(&approval.operator)),
        };
        match self.store.commit(step.run(statement)).await {
            Ok(_) => Ok(()),
            // The same person, at the same time.
            Err(CommitError::Constraint | CommitError::Stale) => match there().await? {
                Some(before) if before.signature == approval.signature => Ok(()),
                _ => Err(approved_before(&approval.operator)),
            },
            Err(error) => Err(error.into()),
        }
    }
}

fn approved_before(operator: &str) -> Problem {
    let detail = format!("{operator} has approved this already; one person counts once, with whatever keys");
    Problem::new(409, "approved-before", detail)
}

/// What an approval counts for: nothing, or by which kind of key.
pub(super) fn worth(charter: &Charter, instruction: &Instruction, approval: Approval, now: Moment) -> Option<KeyPlace> {
    let counted = count_approvals(charter, instruction, &[approval], now);
    let person = counted.people.first()?;
    Some(if counted.device_bound.contains(person) { KeyPlace::Device } else { KeyPlace::Anywhere })
}
