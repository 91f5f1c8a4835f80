//! The loop that drives the pipelines: every step in turn, again and again, until nothing is left to do; then it waits.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::Txid;
use signer_client::{admit_all, settle_all};
use store::{CommitError, Move, Statement};
use tokio::sync::watch;

use super::{Custody, StepError, blocking, now};

/// How long the loop waits when nothing is to be done. A hint, such as a new request, ends the wait.
const REST: Duration = Duration::from_millis(200);
/// How often signers are asked about their keys.
const KEYS: Duration = Duration::from_secs(2);
/// Alarms that a step raises by itself and clears when it succeeds again: codes by step.
const STEPS: [(&str, &[&str]); 6] = [
    ("follow", &["node", "reorganization-too-deep", "wrong-network", "address-differs"]),
    ("mempool", &["node", "address-differs", "transaction-differs"]),
    ("watch", &["freeze-incomplete"]),
    ("deposits", &["nodes-disagree"]),
    ("generate", &["wallet-low", "float-low", "fee-too-high", "withdrawals-stopped"]),
    ("tend", &["no-bump"]),
];

/// Drives the pipelines until `stop` says so.
pub async fn work(custody: Arc<Custody>, mut stop: watch::Receiver<bool>) {
    // Alarms of the process before this one are ours to clear.
    let raised = match custody.store.alarms().await {
        Ok(alarms) => alarms.into_iter().map(|alarm| ((alarm.code, alarm.subject), alarm.message)).collect(),
        Err(_) => HashMap::new(),
    };
    let mut worker = Worker { custody, looked: HashSet::new(), raised, tip: None, asked: None };
    while !*stop.borrow() {
        let more = worker.round().await;
        if more {
            continue;
        }
        tokio::select! {
            _ = stop.changed() => {}
            () = worker.custody.wake.notified() => {}
            () = tokio::time::sleep(REST) => {}
        }
    }
}

struct Worker {
    custody: Arc<Custody>,
    looked: HashSet<Txid>,
    /// Alarms that stand: code and subject, with their words.
    raised: HashMap<(String, String), String>,
    tip: Option<u32>,
    /// When signers were last asked about their keys.
    asked: Option<Instant>,
}

impl Worker {
    /// Every step once. Returns whether there is more to do at once.
    async fn round(&mut self) -> bool {
        let custody = Arc::clone(&self.custody);
        let followed = custody.follow().await;
        let more = matches!(followed, Ok(true));
        let caught_up = matches!(followed, Ok(false));
        self.report("follow", followed.map(|_| ())).await;
        self.report("watch", custody.watch_spends().await).await;
        if !caught_up {
            return more;
        }
        let outcome = custody.watch_mempool(&mut self.looked).await;
        self.report("mempool", outcome).await;
        self.report("deposits", custody.credit_deposits().await).await;
        self.admit().await;
        self.keys().await;
        self.report("decide", custody.decide_payments().await).await;
        self.report("generate", custody.generate_transactions().await).await;
        self.report("sign", custody.sign_transactions().await).await;
        self.report("broadcast", custody.broadcast_transactions().await).await;
        let tip = match custody.store.blocks().await {
            Ok(blocks) => blocks.last().map(|(height, _)| *height),
            Err(_) => None,
        };
        if let Some(height) = tip {
            self.report("settle", custody.settle_transactions(height).await).await;
        }
        if tip != self.tip {
            if let Some(height) = tip {
                self.report("tend", custody.tend_transactions(height).await).await;
            }
            self.report("reconcile", custody.watch_books(false).await).await;
            self.tip = tip;
        }
        false
    }

    /// Relays between signers that have started anew what they remember of each other.
    async fn admit(&mut self) {
        let custody = Arc::clone(&self.custody);
        let (_, errors) = blocking(|| {
            let mut signers = custody.signers();
            let outcome = admit_all(&mut signers);
            // What a crash kept from them. A signer that cannot be reached is in the list of the others' errors already.
            let _ = settle_all(&mut signers);
            outcome
        });
        for (place, signer) in custody.config.signers.iter().enumerate() {
            let error = errors.iter().find(|(position, _)| *position == place);
            let message = error.map(|(_, error)| super::explain(error));
            self.alarm("signer", &signer.id, message).await;
        }
    }

    /// Tells people of keys that are closed, or close soon.
    async fn keys(&mut self) {
        if self.asked.is_some_and(|asked| asked.elapsed() < KEYS) {
            return;
        }
        self.asked = Some(Instant::now());
        for notice in self.custody.watch_keys(now()) {
            self.alarm("key", &notice.subject, notice.message).await;
        }
    }

    /// Raises an alarm with the words of an error, or clears those that the step had raised.
    async fn report(&mut self, step: &str, outcome: Result<(), StepError>) {
        match outcome {
            Ok(()) => {
                let codes = STEPS.iter().find(|(name, _)| *name == step).map_or(&[][..], |(_, codes)| codes);
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

    async fn alarm(&mut self, code: &str, subject: &str, message: Option<String>) {
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
