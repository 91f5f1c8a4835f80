//! Alarms that a pipeline raises and clears by itself: once in the log for each time, with the newest words in the row.

use std::collections::HashMap;
use std::sync::Arc;

use store::{CommitError, Move, Statement};

use super::{Custody, StepError, now};

/// The alarms of one pipeline.
pub struct Alarms {
    custody: Arc<Custody>,
    /// Alarms that stand: code and subject, with their words.
    raised: HashMap<(String, String), String>,
}

impl Alarms {
    /// Alarms of the process before this one are ours to clear.
    pub async fn inherit(custody: Arc<Custody>) -> Alarms {
        let raised = match custody.store.alarms().await {
            Ok(alarms) => alarms.into_iter().map(|alarm| ((alarm.code, alarm.subject), alarm.message)).collect(),
            Err(_) => HashMap::new(),
        };
        Alarms { custody, raised }
    }

    /// Raises an alarm with the words of an error, or clears those with these codes that the step had raised.
    pub async fn report(&mut self, step: &str, codes: &[&str], outcome: Result<(), StepError>) {
        match outcome {
            Ok(()) => {
                let done: Vec<_> = self
                    .raised
                    .keys()
                    .filter(|(code, subject)| codes.contains(&code.as_str()) || (code == "step" && subject == step))
                    .cloned()
                    .collect();
                for (code, subject) in done {
                    self.alarm(&code, &subject, None).await;
                }
            }
            Err(StepError::Waiting { code, subject, message }) => self.alarm(code, &subject, Some(message)).await,
            Err(StepError::Node(error)) => self.alarm("node", "node", Some(super::explain(error))).await,
            // Another did the step meanwhile; the next round sees what is there now.
            Err(StepError::Commit(CommitError::Stale | CommitError::Constraint)) => {}
            Err(error) => self.alarm("step", step, Some(super::explain(error))).await,
        }
    }

    /// What alarms with this code stand about.
    pub fn subjects(&self, code: &str) -> Vec<String> {
        self.raised.keys().filter(|(one, _)| one == code).map(|(_, subject)| subject.clone()).collect()
    }

    /// Raises an alarm with these words, or clears it.
    pub async fn alarm(&mut self, code: &str, subject: &str, message: Option<String>) {
        let key = (code.to_owned(), subject.to_owned());
        let at = now();
        let before = match &message {
            Some(message) => self.raised.insert(key.clone(), message.clone()),
            None => self.raised.remove(&key),
        };
        let step = match (&message, &before) {
            (Some(message), Some(words)) if message == words => return,
            // The same alarm for another reason: the words change, and one entry in the log is enough.
            (Some(message), Some(_)) => Move::new(at).run(Statement::raise_alarm(code, subject, message, at)),
            (Some(message), None) => {
                eprintln!("claviger: {code} {subject}: {message}");
                Move::new(at).run(Statement::raise_alarm(code, subject, message, at)).audit(
                    "system",
                    &format!("alarm.{code}"),
                    subject,
                    &**message,
                )
            }
            (None, Some(_)) => Move::new(at).run(Statement::clear_alarm(code, subject, at)).audit(
                "system",
                "alarm.cleared",
                subject,
                code,
            ),
            (None, None) => return,
        };
        if self.custody.store.commit(step).await.is_err() {
            // A full disk, for instance: said on standard error above, written down once there is room.
            match before {
                Some(words) => self.raised.insert(key, words),
                None => self.raised.remove(&key),
            };
        }
    }
}
