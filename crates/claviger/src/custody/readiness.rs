//! Whether this system could do its work now: found out by a pipeline, and shown to whoever asks. Asking drives nobody: a canary
//! is a record on the disk of a signer whose key is in a device.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use bitcoin::secp256k1::{Message, PublicKey, Secp256k1, ecdsa::Signature};
use chains::bitcoin::AccountPublic;
use signer_client::{CallError, SignerClient};
use signer_wire::{ReplyBody, RequestBody};
use store::{Move, Statement};
use tokio::sync::watch;
use types::{Digest, Moment, SignerId};

use super::watch::CANARY_KEY;
use super::{Custody, StepError, blocking, explain, now};

/// What this pipeline is called.
pub const READINESS: &str = "readiness";
/// How often it looks.
const LOOK: Duration = Duration::from_secs(2);
/// How long it waits for each answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a canary holds, unless something changes at its signer.
const CANARY: Duration = Duration::from_secs(60);
/// After how long a signer that refused is asked for another: a refusal writes nothing.
const AGAIN: Duration = Duration::from_secs(4);
/// What is older than this, in seconds, says nothing any more.
pub const AGE_SECONDS_MAX: i64 = 30;

/// What was found.
#[derive(Clone, Debug)]
pub struct Readiness {
    /// Whether books and node answer, and a quorum's canaries hold.
    pub ready: bool,
    /// When it was found.
    pub checked: Moment,
    /// What is wrong with the database.
    pub database: Option<String>,
    /// What is wrong with the node.
    pub node: Option<String>,
    /// Signers whose canary holds.
    pub signers: Vec<String>,
    /// What the others said.
    pub signers_failed: Vec<String>,
}

/// What one signer said of itself: its latches, its charter, and what it would need to be admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said(Vec<String>, u64, bool);

/// A canary: by which key, or what came instead.
#[derive(Clone, Debug)]
enum Canary {
    By(String),
    Wrong,
    Refused(String),
}

/// One signer.
struct Seen {
    client: SignerClient,
    said: Option<Said>,
    canary: Option<(Instant, Canary)>,
}

/// Looks until `stop` says so.
pub async fn look(custody: Arc<Custody>, mut stop: watch::Receiver<bool>) {
    let connected = super::connect_signers(&custody.config).unwrap_or_default();
    let fresh = |client: SignerClient| Seen { client: client.with_patience(PATIENCE), said: None, canary: None };
    let mut seen: Vec<Seen> = connected.into_iter().map(fresh).collect();
    let node = node::Client::with_patience(&custody.config.node.url, custody.config.node.cookie.clone(), PATIENCE);
    while !*stop.borrow() {
        custody.pulse.beat(READINESS);
        let found = custody.look_once(&mut seen, &node).await;
        *custody.readiness.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        tokio::select! {
            _ = stop.changed() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

impl Custody {
    /// What was found last, if anything was yet.
    pub fn readiness(&self) -> Option<Readiness> {
        self.readiness.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn look_once(&self, seen: &mut [Seen], node: &node::Client) -> Readiness {
        let database = self.store.balances().await.err().map(explain);
        let (node, told) = blocking(|| {
            let node = node.chain_info().err().map(explain);
            let told: Vec<Result<Canary, String>> = std::thread::scope(|scope| {
                let asked: Vec<_> = seen.iter_mut().map(|one| scope.spawn(move || one.look())).collect();
                let gone = |_| Err("the question was not asked".to_owned());
                asked.into_iter().map(|answer| answer.join().unwrap_or_else(gone)).collect()
            });
            (node, told)
        });
        let (mut signers, mut signers_failed) = (vec![], vec![]);
        for (config, told) in self.config.signers.iter().zip(told) {
            let shown = match told {
                Ok(Canary::By(key)) => self.own_canary(&config.id, &key).await.map_err(explain),
                Ok(Canary::Wrong) => Err("its canary signature does not verify".to_owned()),
                Ok(Canary::Refused(words)) | Err(words) => Err(words),
            };
            match shown {
                Ok(()) => signers.push(config.id.clone()),
                Err(words) => signers_failed.push(format!("{}: {words}", config.id)),
            }
        }
        let threshold = self.wallets().map(|(_, wallet)| wallet.threshold()).max().unwrap_or(1);
        let ready = database.is_none() && node.is_none() && signers.len() >= threshold;
        Readiness { ready, checked: now(), database, node, signers, signers_failed }
    }

    /// Whether a canary's key is the signer's: one that the charter's descriptors name (a key inside a device), or the one that was seen
    /// first. Another one is shown to people, who put the alarm away if that signer has new keys.
    async fn own_canary(&self, signer: &str, key: &str) -> Result<(), StepError> {
        let named = self.wallets().flat_map(|(_, wallet)| wallet.keys());
        let devices: BTreeSet<String> = named
            .filter_map(|account| match &account.public {
                AccountPublic::Device(key) => Some(hex::encode(key.serialize())),
                AccountPublic::Ranged(_) => None,
            })
            .collect();
        if devices.contains(key) {
            return Ok(());
        }
        let id: SignerId = signer.parse().map_err(|_| StepError::Corrupt(format!("the signer's name {signer}")))?;
        let pinned = self.store.watched(&id).await?.canary;
        if pinned == key {
            return Ok(());
        }
        let at = now();
        if pinned.is_empty() {
            let step = Move::new(at).run(Statement::pin_canary(signer, key));
            self.store.commit(step.audit("system", "signer.canary-pinned", signer, key)).await?;
            return Ok(());
        }
        let message = format!(
            "{signer} signs its canaries with the key {key}, and did with {pinned} before; if it has new keys, put this away"
        );
        let stands = self.store.alarms().await?.into_iter();
        if !stands.into_iter().any(|alarm| alarm.code == CANARY_KEY && alarm.subject == signer) {
            let step = Move::new(at).run(Statement::raise_alarm(CANARY_KEY, signer, &message, at));
            self.store.commit(step.audit("system", "alarm.canary-key", signer, message.clone())).await?;
        }
        Err(StepError::Waiting { code: CANARY_KEY, subject: signer.to_owned(), message })
    }
}

impl Seen {
    /// Asks how the signer is, and for a canary when something has changed there or the last one is old.
    fn look(&mut self) -> Result<Canary, String> {
        let said = match self.client.call(RequestBody::Hello) {
            Ok(ReplyBody::Hello { latches, charter, nonce, .. }) => Said(latches, charter, nonce.is_empty()),
            answer => {
                (self.said, self.canary) = (None, None);
                return Err(answer.err().map_or_else(|| CallError::Unexpected.to_string(), explain));
            }
        };
        let holds = self.canary.as_ref().is_some_and(|(asked, canary)| {
            let longest = if matches!(canary, Canary::Refused(_)) { AGAIN } else { CANARY };
            asked.elapsed() < longest
        });
        if holds
            && self.said.as_ref() == Some(&said)
            && let Some((_, canary)) = &self.canary
        {
            return Ok(canary.clone());
        }
        let canary = self.ask()?;
        (self.said, self.canary) = (Some(said), Some((Instant::now(), canary.clone())));
        Ok(canary)
    }

    fn ask(&mut self) -> Result<Canary, String> {
        let mut challenge = [0; 16];
        getrandom::fill(&mut challenge).map_err(|_| "this machine gives no randomness now".to_owned())?;
        let challenge = hex::encode(challenge);
        Ok(match self.client.call(RequestBody::Canary { challenge: challenge.clone() }) {
            Ok(ReplyBody::Canary { public_key, signature }) if verified(&challenge, &public_key, &signature) => {
                Canary::By(public_key)
            }
            Ok(_) => Canary::Wrong,
            Err(error) => Canary::Refused(explain(error)),
        })
    }
}

fn verified(challenge: &str, public_key: &str, signature: &str) -> bool {
    let digest = Digest::of(&[b"claviger-canary-v1\n", challenge.as_bytes()]);
    let key = hex::decode(public_key).ok().and_then(|bytes| PublicKey::from_slice(&bytes).ok());
    let signature = hex::decode(signature).ok().and_then(|bytes| Signature::from_der(&bytes).ok());
    let (Some(key), Some(signature)) = (key, signature) else { return false };
    // One spelling of a key: it is compared as text.
    hex::encode(key.serialize()) == public_key
        && Secp256k1::verification_only()
            .verify_ecdsa(&Message::from_digest(*digest.as_bytes()), &signature, &key)
            .is_ok()
}
