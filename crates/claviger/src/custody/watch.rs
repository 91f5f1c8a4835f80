//! The watch: coins of ours that move without a record of ours stop everything, at once and without asking anyone. A pipeline of its own,
//! over connections of its own: nothing that payments wait for holds it up.
//!
//! A transaction that no record of ours has is found three times: where it is signed, since every signer tells what it has ever released
//! and each is looked up in our transactions; where it waits for a block; and in its block. It is stopped for once, so that a quorum's
//! unfreezing holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use policy::Action;
use signer_client::{CallError, SignerClient};
use signer_wire::{ReplyBody, RequestBody};
use store::{Event, Move, Statement, WatchedRow};
use tokio::sync::watch;
use types::{Moment, OperatorId, SignerId};

use super::alarms::Alarms;
use super::{Custody, StepError, blocking, now};
use crate::config::Config;
use crate::problem::Problem;

/// Beginning of what freezes everything at one signer.
const SIGNER: &str = "signer:";
/// Raised when our coins are spent by nobody that we know.
const SPENT: &str = "unknown-spend";
/// The entry that is written when that is noticed.
const NOTICED: &str = "alarm.unknown-spend";
/// Stands after the signers were frozen for it, until people say that they have seen to it.
const FROZEN: &str = "frozen-for-spend";
/// Alarms that people put away; all others clear themselves.
const FOR_PEOPLE: [&str; 5] = [FROZEN, "settled-left-chain", "payment-differs", CANARY_KEY, PIPELINE];
/// A signer shows another canary key than before. Put away, the next one that it shows is taken for its own.
pub const CANARY_KEY: &str = "canary-key";
/// A pipeline of this system ended by itself.
pub const PIPELINE: &str = "pipeline";

/// Whether an alarm stands until people put it away.
pub fn for_people(code: &str) -> bool {
    FOR_PEOPLE.contains(&code)
}

/// How long somebody who freezes waits to hear that a signer hangs. The others are frozen at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the watch waits for each signer: the others are compared meanwhile.
const WATCH_PATIENCE: Duration = Duration::from_secs(5);
/// How often signers are asked what they have released.
const REST: Duration = Duration::from_millis(500);
/// What this pipeline is called.
pub const WATCH: &str = "watch";

/// Watches until `stop` says so.
pub async fn watch(custody: Arc<Custody>, mut stop: watch::Receiver<bool>) {
    let mut alarms = Alarms::inherit(Arc::clone(&custody)).await;
    let mut clients = Vec::new();
    let mut closed = Closed::new();
    while !*stop.borrow() {
        custody.pulse.beat(WATCH);
        let compared = custody.compare_releases(&mut clients).await;
        let more = matches!(compared, Ok(true));
        alarms.report("releases", &[], compared.map(|_| ())).await;
        alarms.report("watch", &["freeze-incomplete"], custody.watch_spends(&mut closed).await).await;
        if more {
            continue;
        }
        tokio::select! {
            _ = stop.changed() => {}
            () = custody.alarmed.notified() => {}
            () = tokio::time::sleep(REST) => {}
        }
    }
}

/// Signers that have closed their latch for a spend, by the spend's alarm: each is asked once, so that a quorum's unfreezing of it holds
/// while another one is still away.
type Closed = BTreeMap<String, BTreeSet<String>>;

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
    if only.is_some_and(|only| !config.signers.iter().any(|signer| signer.id == only)) {
        return Frozen { at: vec![], failed: vec![format!("the configuration names no {latch}")] };
    }
    freeze_some(
        config,
        |signer| only.is_none_or(|only| signer == only),
        if only.is_some() { "all" } else { latch },
        reason,
    )
}

fn freeze_some(config: &Config, concerned: impl Fn(&str) -> bool, latch: &str, reason: &str) -> Frozen {
    let mut clients: Vec<SignerClient> = match super::connect_signers(config) {
        Ok(clients) => clients.into_iter().map(|client| client.with_patience(PATIENCE)).collect(),
        Err(error) => return Frozen { at: vec![], failed: vec![error] },
    };
    let question = RequestBody::Freeze { latch: latch.to_owned(), reason: reason.to_owned() };
    let ask = |client: &mut SignerClient| client.call(question.clone()).map(|_| ()).map_err(super::explain);
    let asked: Vec<(&str, Result<(), String>)> = std::thread::scope(|scope| {
        let ask = &ask;
        let concerned = clients.iter_mut().zip(&config.signers).filter(|(_, one)| concerned(&one.id));
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

    /// Compares what every signer says that it has released with our own transactions, from where it was left. Each row is written before
    /// any signer is asked, and none is ever taken out: what a signer kept for an attempt that failed, what is tried again, paid more for
    /// or was given up is there, after a crash as well. A database that was put back to an older state is not, and is found out here.
    /// Returns whether there is more to compare at once.
    async fn compare_releases(&self, clients: &mut Vec<SignerClient>) -> Result<bool, StepError> {
        if clients.is_empty() {
            let connected = super::connect_signers(&self.config).map_err(|message| StepError::Waiting {
                code: "signers",
                subject: "watch".to_owned(),
                message,
            })?;
            clients.extend(connected.into_iter().map(|client| client.with_patience(WATCH_PATIENCE)));
        }
        let mut known = Vec::with_capacity(clients.len());
        for signer in &self.config.signers {
            let id: SignerId =
                signer.id.parse().map_err(|_| StepError::Corrupt(format!("the signer's name {}", signer.id)))?;
            let row = self.store.watched(&id).await?;
            known.push((id, row));
        }
        let ask = |client: &mut SignerClient, known: &WatchedRow| {
            // The newest that is known is asked for once more: another one in its place is another journal.
            client.call(RequestBody::Releases { from: known.releases.max(1) })
        };
        let answers: Vec<Result<ReplyBody, CallError>> = blocking(|| {
            std::thread::scope(|scope| {
                let pairs = clients.iter_mut().zip(&known);
                let asked: Vec<_> = pairs.map(|(client, (_, row))| scope.spawn(move || ask(client, row))).collect();
                asked.into_iter().map(|answer| answer.join().unwrap_or(Err(CallError::Unexpected))).collect()
            })
        });
        let mut more = false;
        for ((signer, row), answer) in known.iter().zip(answers) {
            // One that is away has an alarm of its own, and is compared when it is back.
            if let Ok(ReplyBody::Releases(told)) = answer {
                more |= self.compare(signer, row, &told).await?;
            }
        }
        Ok(more)
    }

    /// Whether there is more to compare at once.
    async fn compare(&self, signer: &SignerId, known: &WatchedRow, told: &[String]) -> Result<bool, StepError> {
        let fresh = match told.split_first() {
            _ if known.releases == 0 => told,
            Some((first, rest)) if *first == known.newest => rest,
            // Restored, or put back to an old state: all of it is compared anew.
            _ => {
                self.store.commit(Move::new(now()).run(WatchedRow::default().compared(signer))).await?;
                return Ok(false);
            }
        };
        let Some(newest) = fresh.last() else { return Ok(false) };
        let mut strange = Vec::new();
        for txid in fresh {
            if self.store.transaction(txid).await?.is_none() && !self.was_noticed(txid).await? {
                strange.push(txid);
            }
        }
        let releases = known.releases.saturating_add(u64::try_from(fresh.len()).unwrap_or(u64::MAX));
        let next = WatchedRow { releases, newest: newest.clone(), canary: String::new() };
        let mut step = Move::new(now()).run(next.compared(signer));
        if let Some(txid) = strange.first() {
            // One entry for all of them, so that a signer that invents some fills no log.
            let more = strange.len() - 1;
            let also = if more == 0 { String::new() } else { format!(", and for {more} more") };
            self.unexplained(txid, &format!("signer {signer} has signed it{also}"), &mut step).await?;
        }
        self.store.commit(step).await?;
        Ok(strange.is_empty())
    }

    /// Adds to a step that a transaction spends our coins and that no record of ours has it, unless that was noticed before.
    pub(super) async fn unexplained(&self, txid: &str, found: &str, step: &mut Move) -> Result<(), StepError> {
        if !self.was_noticed(txid).await? {
            let message = format!(
                "transaction {txid} spends our coins, and no signing record has it: {found}; freeze the signers"
            );
            step.statements.push(Statement::raise_alarm(SPENT, txid, &message, step.at));
            step.note("system", NOTICED, txid, message);
        }
        Ok(())
    }

    async fn was_noticed(&self, txid: &str) -> Result<bool, StepError> {
        Ok(self.store.audit_about(txid, NOTICED).await?.is_some())
    }

    /// Freezes every signer for each spend that no record explains. Repeated until all of them have closed the latch; each does once,
    /// so that a quorum's unfreezing holds.
    async fn watch_spends(&self, closed: &mut Closed) -> Result<(), StepError> {
        let alarms: Vec<_> = self.store.alarms().await?.into_iter().filter(|alarm| alarm.code == SPENT).collect();
        closed.retain(|subject, _| alarms.iter().any(|alarm| alarm.subject == *subject));
        for alarm in alarms {
            let done = closed.entry(alarm.subject.clone()).or_default();
            let open = |signer: &str| !done.contains(signer);
            let frozen = blocking(|| freeze_some(&self.config, open, "all", &alarm.message));
            done.extend(frozen.at);
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
            let detail =
                format!("only {} are put away by people; others clear when their cause is gone", FOR_PEOPLE.join(", "));
            return Err(Problem::invalid("alarm", detail));
        }
        if !self.store.alarms().await?.iter().any(|alarm| alarm.code == code && alarm.subject == subject) {
            return Err(Problem::not_found("alarm"));
        }
        let mut step = Move::new(now).run(Statement::clear_alarm(code, subject, now)).audit(
            actor,
            "alarm.put-away",
            subject,
            code,
        );
        if code == CANARY_KEY {
            step = step.run(Statement::pin_canary(subject, ""));
        }
        self.store.commit(step).await?;
        Ok(())
    }
}
