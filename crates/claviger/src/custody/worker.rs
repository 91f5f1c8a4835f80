//! The loop that drives the pipelines: every step in turn, again and again, until nothing is left to do; then it waits.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::Txid;
use signer_client::{admit_all, settle_all};
use tokio::sync::watch;

use super::alarms::Alarms;
use super::chain_check::ChainCheck;
use super::{Custody, StepError, blocking, now};

/// How long the loop waits when nothing is to be done. A hint, such as a new request, ends the wait.
const REST: Duration = Duration::from_millis(200);
/// How often signers are asked about their keys.
const KEYS: Duration = Duration::from_secs(2);
/// Alarms that a step raises by itself and clears when it succeeds again: codes by step.
const STEPS: [(&str, &[&str]); 5] = [
    ("follow", &["node", "reorganization-too-deep", "wrong-network", "address-differs"]),
    ("mempool", &["node", "address-differs", "transaction-differs"]),
    ("deposits", &["nodes-disagree"]),
    ("generate", &["wallet-low", "float-low", "fee-too-high", "withdrawals-stopped"]),
    ("tend", &["no-bump"]),
];

/// What this pipeline is called.
pub const PAYMENTS: &str = "payments";

/// Drives the pipelines until `stop` says so.
pub async fn work(custody: Arc<Custody>, mut stop: watch::Receiver<bool>) {
    let alarms = Alarms::inherit(Arc::clone(&custody)).await;
    let chain = ChainCheck::default();
    let mut worker = Worker { custody, alarms, looked: HashSet::new(), chain, tip: None, asked: None };
    while !*stop.borrow() {
        worker.custody.pulse.beat(PAYMENTS);
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
    alarms: Alarms,
    looked: HashSet<Txid>,
    chain: ChainCheck,
    /// The newest block at which everything was compared.
    tip: Option<(u32, String)>,
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
        let tip = custody.store.blocks().await.ok().and_then(|mut blocks| blocks.pop());
        if let Some((height, _)) = &tip {
            self.report("settle", custody.settle_transactions(*height).await).await;
        }
        if tip != self.tip {
            if let Some((height, _)) = &tip {
                self.report("tend", custody.tend_transactions(*height).await).await;
            }
            let begun = self.chain.begin(&custody).await;
            if begun.is_ok() {
                self.tip = tip;
            }
            self.report("reconcile", begun).await;
        }
        if self.chain.is_under_way() {
            let checked = self.chain.go_on(&custody).await;
            self.report("reconcile", checked).await;
        }
        false
    }

    async fn report(&mut self, step: &str, outcome: Result<(), StepError>) {
        let codes = STEPS.iter().find(|(name, _)| *name == step).map_or(&[][..], |(_, codes)| codes);
        self.alarms.report(step, codes, outcome).await;
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
            self.alarms.alarm("signer", &signer.id, message).await;
        }
    }

    /// Tells people of keys that are closed, or close soon.
    async fn keys(&mut self) {
        if self.asked.is_some_and(|asked| asked.elapsed() < KEYS) {
            return;
        }
        self.asked = Some(Instant::now());
        for notice in self.custody.watch_keys(now()) {
            self.alarms.alarm("key", &notice.subject, notice.message).await;
        }
    }
}
