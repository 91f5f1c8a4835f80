//! The pipelines: deposits in, payments out, and what keeps both honest. Wires rules, rows, nodes and signers together.
//!
//! Everything here can be repeated after a crash: a step reads what is stored, acts, and stores the next state in one
//! commit. Nothing here is trusted by signers.

mod access;
mod addresses;
mod alarms;
mod approvals;
mod blocks;
mod broadcast;
mod carried;
mod chain_check;
mod charter;
mod decide;
mod deposits;
mod draft;
mod explain;
mod further_nodes;
mod generate;
mod keys;
mod mempool;
mod proposals;
mod readiness;
mod reconcile;
mod requests;
mod sessions;
mod settle;
mod sign;
mod supervise;
mod watch;
mod webhooks;
mod worker;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chains::bitcoin::WalletDescriptor;
use ledger::{AccountId, Rules, TransferId};
use orders::AddressIndex;
use policy::Charter;
use signer_client::{ClientIdentity, SignerClient};
use store::{CommitError, Move, Statement, Store, StoreError};
use tokio::sync::Notify;
use types::{Asset, Digest, Moment, WalletId};

use crate::Outcome;
use crate::config::Config;

pub use access::{Invitation, Visitor, answering};
pub use carried::{Carriage, Waiting};
pub use charter::Adoption;
pub use explain::{Explanation, WhatIf};
pub use proposals::{Proposal, Standing};
pub use readiness::{AGE_SECONDS_MAX as READINESS_AGE_SECONDS_MAX, Readiness};
pub use reconcile::WalletPosition;
pub use requests::{TransferBody, WithdrawalBody};
pub use sessions::session_name;
pub use supervise::{Pipeline, PipelineHealth, Running, supervise};
pub use watch::{for_people, freeze_signers};

/// Everything that drives this system.
pub fn pipelines() -> Vec<Pipeline> {
    vec![
        Pipeline::new(worker::PAYMENTS, worker::work),
        Pipeline::new(watch::WATCH, watch::watch),
        Pipeline::new(further_nodes::FURTHER_NODES, further_nodes::look_after),
        Pipeline::new(readiness::READINESS, readiness::look),
        Pipeline::new(webhooks::WEBHOOKS, webhooks::tell),
    ]
}

/// Why a step of a pipeline could not be made now. It is made again at the next round.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The node.
    #[error("{0}")]
    Node(#[from] node::NodeError),
    /// The database, reading.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The database, writing.
    #[error("{0}")]
    Commit(#[from] CommitError),
    /// Signers, a wallet without coins, or anything else with its own words.
    #[error("{message}")]
    Waiting {
        /// The alarm's code.
        code: &'static str,
        /// What it is about.
        subject: String,
        /// In words.
        message: String,
    },
    /// What is stored contradicts itself.
    #[error("what is stored contradicts itself: {0}")]
    Corrupt(String),
}

/// How long a further node may take for each answer. Payments wait behind the question, so a node that takes longer pauses crediting
/// and delays them by no more than this in a round.
const WITNESS_PATIENCE: Duration = Duration::from_secs(5);

/// The online system.
pub struct Custody {
    /// Rows and books.
    pub store: Store,
    /// The charter that signers hold.
    pub charter: Charter,
    /// Settings.
    pub config: Config,
    /// The one asset of this charter's network.
    pub asset: Asset,
    wallets: BTreeMap<WalletId, WalletDescriptor>,
    node: node::Client,
    witnesses: Vec<node::Client>,
    signers: Mutex<Vec<SignerClient>>,
    index: Mutex<AddressIndex>,
    /// When signers are asked again about a transaction, and how often they were in vain. Forgotten by a restart.
    patience: Mutex<HashMap<String, (Instant, u32)>>,
    /// When payments that wait for people were looked at last; an approval takes its payment out.
    looked: Mutex<HashMap<String, Instant>>,
    /// Challenges that were given out for signing in. Forgotten by a restart.
    challenges: Mutex<sessions::Challenges>,
    /// People whom nobody knows and who were turned away. Forgotten by a restart.
    strangers: Mutex<access::Strangers>,
    wake: Notify,
    /// Something was noticed for which signers are to be frozen.
    alarmed: Notify,
    reload: Notify,
    ending: AtomicBool,
    /// How the pipelines are.
    pub pulse: supervise::Pulse,
    readiness: Mutex<Option<Readiness>>,
}

/// The alarm that stands while one node alone is believed.
const ONE_NODE: &str = "one-node";
/// Accounts of the house.
pub const FLOAT: &str = "house:float";
/// What reversals cost the house when the owner has spent the coins already.
pub const SHORTFALL: &str = "house:shortfall";

/// The time. The one place of the online system that reads the clock.
pub fn now() -> Moment {
    let micros = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_micros());
    Moment::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

/// A transfer's name: the time, and 64 bits of a hash of what it is for.
pub fn transfer_id(at: Moment, parts: &[&str]) -> TransferId {
    let bytes: Vec<&[u8]> = parts.iter().flat_map(|part| [part.as_bytes(), b"\n".as_slice()]).collect();
    let mut first = [0; 8];
    first.iter_mut().zip(Digest::of(&bytes).as_bytes()).for_each(|(to, from)| *to = *from);
    TransferId::new(at, u64::from_be_bytes(first))
}

/// Runs what waits for the network or another process without holding up other tasks.
pub fn blocking<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

impl Custody {
    /// Opens everything that the configuration names. Signers and nodes may still be away.
    pub async fn open(config: Config) -> Outcome<Custody> {
        let charter =
            Charter::from_bytes(read(&config.charter)?.as_bytes()).map_err(|error| format!("the charter: {error}"))?;
        let mut wallets = BTreeMap::new();
        for wallet in &charter.wallets {
            let descriptor = WalletDescriptor::parse(&wallet.descriptor, charter.network);
            wallets.insert(wallet.id.clone(), descriptor.map_err(|error| format!("wallet {}: {error}", wallet.id))?);
        }
        config.check_nodes(charter.network)?;
        access::check_restrictions(&config.console.restrictions)?;
        webhooks::check(&config)?;
        let signers = connect_signers(&config)?;
        let store = Store::open(&config.database).await.map_err(explain)?;
        // Whoever wrote into the books while nobody looked is found out before anything is paid by them.
        store.verify_books().await.map_err(explain)?;
        let custody = Custody {
            witnesses: config
                .witness_nodes
                .iter()
                .map(|node| node::Client::with_patience(&node.url, node.cookie.clone(), WITNESS_PATIENCE))
                .collect(),
            node: node::Client::new(&config.node.url, config.node.cookie.clone()),
            asset: Asset::Bitcoin(charter.network),
            store,
            charter,
            config,
            wallets,
            signers: Mutex::new(signers),
            index: Mutex::default(),
            patience: Mutex::default(),
            looked: Mutex::default(),
            challenges: Mutex::default(),
            strangers: Mutex::default(),
            wake: Notify::new(),
            alarmed: Notify::new(),
            reload: Notify::new(),
            ending: AtomicBool::new(false),
            pulse: supervise::Pulse::default(),
            readiness: Mutex::default(),
        };
        custody.prepare().await.map_err(explain)?;
        custody.load_index().await.map_err(explain)?;
        custody.close_overtaken(now()).await.map_err(explain)?;
        custody.say_one_node().await.map_err(explain)?;
        Ok(custody)
    }

    /// Says loudly, as long as it is so, that this system believes one node alone because somebody accepted it.
    async fn say_one_node(&self) -> Result<(), CommitError> {
        let at = now();
        let step = match self.one_node() {
            Some(words) => {
                eprintln!("claviger: WARNING: {words}");
                let step = Move::new(at).run(Statement::raise_alarm(ONE_NODE, "node", words, at));
                step.audit("system", &format!("alarm.{ONE_NODE}"), "node", words)
            }
            None => Move::new(at).run(Statement::clear_alarm(ONE_NODE, "node", at)),
        };
        self.store.commit(step).await.map(|_| ())
    }

    /// What an attacker gets for our only node, if it is the only one and its coins are worth something.
    pub fn one_node(&self) -> Option<&'static str> {
        self.config.believes_one_node(self.charter.network).then_some(crate::config::ONE_NODE_BUYS)
    }

    /// Rows that must be there before anything else: wallets, accounts, customers' keys.
    async fn prepare(&self) -> Result<(), StepError> {
        // Keys that charter and configuration do not name any more open nothing.
        let mut step = Move::new(now()).run(Statement::forget_api_keys());
        for wallet in self.wallets.keys() {
            step = step.run(Statement::ensure_wallet(wallet));
            self.account(&format!("wallet:{wallet}")).await?;
        }
        for customer in &self.charter.customers {
            let party = format!("customer:{}", customer.id);
            self.account(&party).await?;
            for key in &customer.keys {
                step.statements.push(Statement::add_api_key(&hex::encode(key), &party, step.at));
            }
        }
        for operator in &self.config.operators {
            let party = format!("operator:{}", operator.operator);
            step.statements.push(Statement::add_api_key(&operator.key, &party, step.at));
        }
        self.account(FLOAT).await?;
        self.account(SHORTFALL).await?;
        self.store.commit(step).await?;
        Ok(())
    }

    /// The account of that name in the books, with the rules that its name implies.
    pub async fn account(&self, name: &str) -> Result<AccountId, CommitError> {
        let rules = match name.split_once(':') {
            // What we have is not bounded: when a block leaves the chain under open holds, the books must be able to say that
            // more is promised than is there. Reconciliation then stops withdrawals.
            Some(("wallet", _)) => Rules::default(),
            _ if name == SHORTFALL => Rules::default(),
            // What we owe, and the house's own: nobody spends more than they have.
            _ => Rules { debits_bounded: true, ..Rules::default() },
        };
        self.store.account(name, &self.asset.to_string(), rules).await
    }

    /// The descriptor of a wallet.
    pub fn wallet(&self, id: &WalletId) -> Result<&WalletDescriptor, StepError> {
        self.wallets.get(id).ok_or_else(|| StepError::Corrupt(format!("the charter has no wallet {id}")))
    }

    /// All wallets.
    pub fn wallets(&self) -> impl Iterator<Item = (&WalletId, &WalletDescriptor)> {
        self.wallets.iter()
    }

    /// Something new is to be done.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// The system ends: whoever keeps a connection open lets go of it.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Whether the system ends.
    pub fn ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    /// Returns when another charter was adopted, and everything has to begin anew with it.
    pub async fn reloading(&self) {
        self.reload.notified().await;
    }

    /// The signers, one caller at a time.
    pub fn signers(&self) -> std::sync::MutexGuard<'_, Vec<SignerClient>> {
        self.signers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The node.
    pub const fn node(&self) -> &node::Client {
        &self.node
    }

    fn patience(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Instant, u32)>> {
        self.patience.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn looked(&self) -> std::sync::MutexGuard<'_, HashMap<String, Instant>> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn strangers(&self) -> std::sync::MutexGuard<'_, access::Strangers> {
        self.strangers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn challenges(&self) -> std::sync::MutexGuard<'_, sessions::Challenges> {
        self.challenges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn index(&self) -> std::sync::MutexGuard<'_, AddressIndex> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Clients of the signers that a configuration names; nothing is connected yet.
pub fn connect_signers(config: &Config) -> Outcome<Vec<SignerClient>> {
    let identity = ClientIdentity { certificate: read(&config.client_certificate)?, key: read(&config.client_key)? };
    let signer = |signer: &crate::config::SignerConfig| {
        let client = SignerClient::new(signer.address, &read(&signer.certificate)?, &identity);
        client.map_err(|error| format!("signer {}: {error}", signer.id))
    };
    config.signers.iter().map(signer).collect()
}

fn read(path: &Path) -> Outcome<String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// An error with its causes, once, at the edge.
pub fn explain(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let next = cause.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        source = cause.source();
    }
    text
}
