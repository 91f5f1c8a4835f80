use std::sync::Arc;

use audit_log::Draft;
use ledger::{Account, AccountId, Refusal, Rules, Transfer};
use tokio::sync::{mpsc, oneshot};
use types::Moment;

use crate::engine::{Location, Pool, Row, Value};
use crate::error::{CommitError, StoreError};
use crate::schema;
use crate::writer::{self, Work};

/// One statement of a move, with `$n` parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    pub(crate) sql: &'static str,
    pub(crate) values: Vec<Value>,
    pub(crate) rows: Option<u64>,
}

impl Statement {
    /// A statement without parameters as yet.
    pub const fn new(sql: &'static str) -> Statement {
        Statement { sql, values: Vec::new(), rows: None }
    }

    /// Gives the next parameter.
    #[must_use]
    pub fn bind(mut self, value: impl Into<Value>) -> Statement {
        self.values.push(value.into());
        self
    }

    /// Says how many rows must change; with another number the whole move is [`CommitError::Stale`].
    #[must_use]
    pub const fn expect(mut self, rows: u64) -> Statement {
        self.rows = Some(rows);
        self
    }
}

/// A transfer with what caused it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posting {
    /// The transfer.
    pub transfer: Transfer,
    /// An instruction's identifier or an outpoint.
    pub cause: String,
}

/// Something that others want to hear of. Delivered from the outbox, at least once, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// A stable word, such as `deposit.credited`.
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// JSON.
    pub body: String,
}

/// One step: everything of it becomes durable at once, or nothing.
#[derive(Clone, Debug)]
pub struct Move {
    /// When.
    pub at: Moment,
    /// Rows.
    pub statements: Vec<Statement>,
    /// Transfers, all or none.
    pub postings: Vec<Posting>,
    /// What the audit log is to say.
    pub audit: Vec<Draft>,
    /// What others are to hear.
    pub events: Vec<Event>,
}

impl Move {
    /// A step in which nothing happens as yet.
    pub const fn new(at: Moment) -> Move {
        Move { at, statements: vec![], postings: vec![], audit: vec![], events: vec![] }
    }

    /// Adds a statement.
    #[must_use]
    pub fn run(mut self, statement: Statement) -> Move {
        self.statements.push(statement);
        self
    }

    /// Adds an audit entry.
    #[must_use]
    pub fn audit(mut self, actor: &str, action: &str, subject: &str, detail: impl Into<String>) -> Move {
        self.note(actor, action, subject, detail);
        self
    }

    /// Adds an audit entry to a step that is being put together.
    pub fn note(&mut self, actor: &str, action: &str, subject: &str, detail: impl Into<String>) {
        self.audit.push(Draft {
            at: self.at,
            actor: actor.to_owned(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            detail: detail.into(),
        });
    }
}

/// An account with its balance, as of the last commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// Its number.
    pub id: AccountId,
    /// Name.
    pub name: String,
    /// Asset.
    pub asset: String,
    /// Rules and counters.
    pub account: Account,
}

/// The database. Cheap to clone; all clones share one writer.
#[derive(Clone, Debug)]
pub struct Store {
    location: Arc<Location>,
    pool: Pool,
    writer: mpsc::Sender<Work>,
}

/// Records that a restart may have to replay: what is touched again within them is written once, and most holds never.
const REPLAY_MAX: u64 = 100_000;
/// Requests that wait for the writer before others have to wait to be let in.
const QUEUE: usize = 16_384;

impl Store {
    /// Opens the database, brings its schema up to date, takes over its writing from whoever had it, and loads the books.
    /// Must be called within a tokio runtime.
    pub async fn open(location: &str) -> Result<Store, StoreError> {
        Store::open_with(location, REPLAY_MAX).await
    }

    /// The same with another number of records that a restart may have to replay.
    pub async fn open_with(location: &str, replay_max: u64) -> Result<Store, StoreError> {
        let location = Arc::new(Location::parse(location)?);
        let mut connection = location.connect().await?;
        schema::migrate(&mut connection, &location).await?;
        let pool = location.pool().await?;
        let (writer, requests) = mpsc::channel(QUEUE);
        writer::start(Arc::clone(&location), connection, requests, replay_max).await?;
        Ok(Store { location, pool, writer })
    }

    /// Makes one step durable; the number of the last record of the books afterwards.
    pub async fn commit(&self, step: Move) -> Result<u64, CommitError> {
        self.ask(|reply| Work::Move(step, reply)).await?
    }

    /// Writes transfers that do not depend on each other; each has an answer of its own, and all are durable at once.
    pub async fn post(&self, at: Moment, postings: Vec<Posting>) -> Result<Vec<Result<u64, Refusal>>, CommitError> {
        self.ask(|reply| Work::Post(at, postings, reply)).await?
    }

    /// The account of that name and asset; opened with these rules if there is none.
    pub async fn account(&self, name: &str, asset: &str, rules: Rules) -> Result<AccountId, CommitError> {
        let (name, asset) = (name.to_owned(), asset.to_owned());
        self.ask(|reply| Work::Open { name, asset, rules, reply }).await?
    }

    /// Every account with its balance, as of the last commit.
    pub async fn balances(&self) -> Result<Vec<Balance>, CommitError> {
        self.ask(Work::Balances).await?
    }

    async fn ask<T>(&self, work: impl FnOnce(oneshot::Sender<T>) -> Work) -> Result<T, CommitError> {
        let (reply, answer) = oneshot::channel();
        let gone = || CommitError::Storage("the writer has ended".to_owned());
        self.writer.send(work(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())
    }

    /// Reads rows. What is read may be older than the next commit, never newer than the last.
    pub async fn fetch(&self, sql: &'static str, values: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        self.pool.fetch(sql, &values).await
    }

    /// Reads the whole journal, and checks every seal, every rule, and that the balances in memory are what it adds up to;
    /// how many records there are.
    pub async fn verify_books(&self) -> Result<u64, StoreError> {
        let now = self.balances().await.map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let mut connection = self.location.connect().await?;
        let outcome = crate::verify::books(&mut connection, &now).await;
        connection.close().await;
        outcome
    }
}
