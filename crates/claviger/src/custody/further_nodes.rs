//! Further nodes are looked after by a pipeline of its own, whether or not a deposit waits for them: one that is away, silent, behind or on
//! another chain is known within seconds. What is asked of them before a coin is credited does not depend on this, and never falls.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::alarms::Alarms;
use super::{Custody, StepError, WITNESS_PATIENCE, blocking, explain};

/// What this pipeline is called.
pub const FURTHER_NODES: &str = "further-nodes";
/// How often they are asked.
const LOOK: Duration = Duration::from_secs(2);
/// A node may be so many blocks behind: the newest may still be on their way.
const BEHIND_MAX: u32 = 3;
/// The alarm of one that is not as it should be.
const ALARM: &str = "further-node";

/// Looks after them until `stop` says so.
pub async fn look_after(custody: Arc<Custody>, mut stop: watch::Receiver<bool>) {
    let mut alarms = Alarms::inherit(Arc::clone(&custody)).await;
    // Those that the configuration names no more stand for nobody.
    let gone = |subject: &str| !custody.witnesses.iter().any(|node| node.url() == subject);
    for subject in alarms.subjects(ALARM).into_iter().filter(|subject| gone(subject)) {
        alarms.alarm(ALARM, &subject, None).await;
    }
    while !*stop.borrow() {
        custody.pulse.beat(FURTHER_NODES);
        match custody.ask_further_nodes().await {
            Ok(found) => {
                for (url, message) in found {
                    alarms.alarm(ALARM, &url, message).await;
                }
                alarms.report(FURTHER_NODES, &[], Ok(())).await;
            }
            Err(error) => alarms.report(FURTHER_NODES, &[], Err(error)).await,
        }
        tokio::select! {
            _ = stop.changed() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

impl Custody {
    /// What is wrong with each of them: all asked at once, and none waited for longer than it was given.
    async fn ask_further_nodes(&self) -> Result<Vec<(String, Option<String>)>, StepError> {
        if self.witnesses.is_empty() {
            return Ok(vec![]);
        }
        let blocks = self.store.blocks().await?;
        Ok(blocking(|| {
            std::thread::scope(|scope| {
                let blocks = &blocks;
                let asked: Vec<_> = self
                    .witnesses
                    .iter()
                    .map(|node| (node.url(), scope.spawn(move || wrong_with(node, blocks))))
                    .collect();
                let answer = |(url, asked): (&str, std::thread::ScopedJoinHandle<'_, Option<String>>)| {
                    let gone = |_| Some("it was not asked".to_owned());
                    (url.to_owned(), asked.join().unwrap_or_else(gone))
                };
                asked.into_iter().map(answer).collect()
            })
        }))
    }
}

/// What is wrong with one node, seen from our newest blocks.
fn wrong_with(node: &node::Client, blocks: &[(u32, String)]) -> Option<String> {
    let seconds = WITNESS_PATIENCE.as_secs();
    let away = |error: node::NodeError| {
        Some(format!("{} (it is given {seconds} seconds); nothing is credited until it answers", explain(error)))
    };
    let info = match node.chain_info() {
        Ok(info) => info,
        Err(error) => return away(error),
    };
    let (tip, _) = blocks.last()?;
    if info.height.saturating_add(BEHIND_MAX) < *tip {
        return Some(format!(
            "it is at height {} and we are at {tip}; nothing is credited until it is there",
            info.height
        ));
    }
    // Below the newest block, on which nodes may differ for a while.
    let height = info.height.min(*tip).saturating_sub(1);
    let (_, ours) = blocks.iter().find(|(one, _)| *one == height)?;
    match node.block_hash(height) {
        Ok(theirs) if theirs.to_string() == *ours => None,
        Ok(theirs) => {
            Some(format!("it has block {theirs} at height {height}, ours has {ours}; find out which is right"))
        }
        Err(error) => away(error),
    }
}
