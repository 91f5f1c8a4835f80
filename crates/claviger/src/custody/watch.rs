//! The watch: coins of ours that move without a record of ours stop everything, at once and without asking anyone.

use signer_wire::RequestBody;
use store::{Move, Statement};
use types::Moment;

use super::{Custody, StepError, blocking, now};
use crate::problem::Problem;

/// Raised by the follower when our coins are spent by nobody that we know.
const SPENT: &str = "unknown-spend";
/// Stands after the signers were frozen for it, until people say that they have seen to it.
const FROZEN: &str = "frozen-for-spend";
/// Alarms that people put away; all others clear themselves.
const FOR_PEOPLE: [&str; 2] = [FROZEN, "settled-left-chain"];

/// Who has closed a latch, and what the others said.
#[derive(Clone, Debug, Default)]
pub struct Frozen {
    /// Signers that have closed it.
    pub at: Vec<String>,
    /// What the others said.
    pub failed: Vec<String>,
}

impl Custody {
    /// Closes a latch at every signer that answers.
    pub fn freeze(&self, latch: &str, reason: &str) -> Frozen {
        let mut frozen = Frozen::default();
        for (client, config) in self.signers().iter_mut().zip(&self.config.signers) {
            match client.call(RequestBody::Freeze { latch: latch.to_owned(), reason: reason.to_owned() }) {
                Ok(_) => frozen.at.push(config.id.clone()),
                Err(error) => frozen.failed.push(format!("{}: {}", config.id, super::explain(error))),
            }
        }
        frozen
    }

    /// Freezes every signer for each spend that no record explains. Repeated until all of them have closed the latch; done once,
    /// so that a quorum's unfreezing holds.
    pub(super) async fn watch_spends(&self) -> Result<(), StepError> {
        for alarm in self.store.alarms().await?.into_iter().filter(|alarm| alarm.code == SPENT) {
            let frozen = blocking(|| self.freeze("all", &alarm.message));
            if !frozen.failed.is_empty() {
                let message = format!("not every signer is frozen for {}: {}", alarm.subject, frozen.failed.join("; "));
                return Err(StepError::Waiting { code: "freeze-incomplete", subject: alarm.subject, message });
            }
            let at = now();
            let message = format!(
                "{}; all signers are frozen. Move what is left to keys that nobody else can have, then unfreeze by quorum",
                alarm.message
            );
            let step = Move::new(at)
                .run(Statement::clear_alarm(SPENT, &alarm.subject, at))
                .run(Statement::raise_alarm(FROZEN, &alarm.subject, &message, at))
                .audit("system", "signers.frozen", "all", message);
            self.store.commit(step).await?;
        }
        Ok(())
    }

    /// Puts an alarm away that people have seen to.
    pub async fn put_away(&self, code: &str, subject: &str, actor: &str, now: Moment) -> Result<(), Problem> {
        if !FOR_PEOPLE.contains(&code) {
            let detail = format!(
                "only {} are put away by people; others clear when their cause is gone",
                FOR_PEOPLE.join(" and ")
            );
            return Err(Problem::invalid("alarm", detail));
        }
        if !self.store.alarms().await?.iter().any(|alarm| alarm.code == code && alarm.subject == subject) {
            return Err(Problem::not_found("alarm"));
        }
        let step = Move::new(now).run(Statement::clear_alarm(code, subject, now)).audit(
            actor,
            "alarm.put-away",
            subject,
            code,
        );
        self.store.commit(step).await?;
        Ok(())
    }
}
