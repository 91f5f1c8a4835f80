//! The watch: coins of ours that move without a record of ours stop everything, at once and without asking anyone.

use std::time::Duration;

use policy::Action;
use signer_client::SignerClient;
use signer_wire::RequestBody;
use store::{Event, Move, Statement};
use types::{Moment, OperatorId};

use super::{Custody, StepError, blocking, now};
use crate::config::Config;
use crate::problem::Problem;

/// Beginning of what freezes everything at one signer.
const SIGNER: &str = "signer:";
/// Raised by the follower when our coins are spent by nobody that we know.
const SPENT: &str = "unknown-spend";
/// Stands after the signers were frozen for it, until people say that they have seen to it.
const FROZEN: &str = "frozen-for-spend";
/// Alarms that people put away; all others clear themselves.
const FOR_PEOPLE: [&str; 2] = [FROZEN, "settled-left-chain"];

/// Whether an alarm stands until people put it away.
pub fn for_people(code: &str) -> bool {
    FOR_PEOPLE.contains(&code)
}

/// How long somebody who freezes waits to hear that a signer hangs. The others are frozen at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who has closed a latch, and what the others said.
#[derive(Clone, Debug, Default)]
pub struct Frozen {
    /// Signers that have closed it.
    pub at: Vec<String>,
    /// What the others said.
    pub failed: Vec<String>,
}

/// Closes a latch at every signer that answers, or everything at one of them (`signer:NAME`): all at once, over connections of
/// their own, so that neither a signing under way nor a signer that is away holds it up.
pub fn freeze_signers(config: &Config, latch: &str, reason: &str) -> Frozen {
    let only = latch.strip_prefix(SIGNER);
    let known = only.is_none_or(|only| config.signers.iter().any(|signer| signer.id == only));
    let mut clients: Vec<SignerClient> = match super::connect_signers(config) {
        Ok(clients) if known => clients.into_iter().map(|client| client.with_patience(PATIENCE)).collect(),
        Ok(_) => return Frozen { at: vec![], failed: vec![format!("the configuration names no {latch}")] },
        Err(error) => return Frozen { at: vec![], failed: vec![error] },
    };
    let latch = if only.is_some() { "all" } else { latch };
    let question = RequestBody::Freeze { latch: latch.to_owned(), reason: reason.to_owned() };
    let ask = |client: &mut SignerClient| client.call(question.clone()).map(|_| ()).map_err(super::explain);
    let asked: Vec<(&str, Result<(), String>)> = std::thread::scope(|scope| {
        let ask = &ask;
        let concerned =
            clients.iter_mut().zip(&config.signers).filter(|(_, one)| only.is_none_or(|only| one.id == only));
        let asked: Vec<_> =
            concerned.map(|(client, one)| (one.id.as_str(), scope.spawn(move || ask(client)))).collect();
        let gone = |_| Err("the question was not asked".to_owned());
        asked.into_iter().map(|(name, answer)| (name, answer.join().unwrap_or_else(gone))).collect()
    });
    let mut frozen = Frozen::default();
    for (name, answer) in asked {
        match answer {
            Ok(()) => frozen.at.push(name.to_owned()),
            Err(error) => frozen.failed.push(format!("{name}: {error}")),
        }
    }
    frozen
}

impl Custody {
    /// Closes a latch at every signer that answers.
    pub fn freeze(&self, latch: &str, reason: &str) -> Frozen {
        freeze_signers(&self.config, latch, reason)
    }

    /// One person freezes; it is written down with their name.
    pub async fn freeze_by(
        &self,
        operator: &OperatorId,
        latch: &str,
        reason: &str,
        now: Moment,
    ) -> Result<Frozen, Problem> {
        self.allow(operator, Action::Freeze, now).await?;
        let frozen = blocking(|| self.freeze(latch, reason));
        let actor = format!("operator:{operator}");
        let detail = format!("{reason}; at {}; not at: {}", frozen.at.join(", "), frozen.failed.join("; "));
        // The latches are closed, whether or not it can be written down here: signers' own journals have it.
        let mut step = Move::new(now).audit(&actor, "signers.frozen", latch, detail);
        step.events.push(Event {
            kind: "signers.frozen".to_owned(),
            subject: latch.to_owned(),
            body: serde_json::json!({"at": frozen.at, "reason": reason, "by": actor}).to_string(),
        });
        let _ = self.store.commit(step).await;
        if frozen.at.is_empty() {
            let words = frozen.failed.join("; ");
            return Err(Problem::unavailable("signers", format!("no signer has closed the latch: {words}")));
        }
        Ok(frozen)
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
