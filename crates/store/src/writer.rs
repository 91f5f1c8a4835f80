//! The one writer. Whatever waits when a commit returns goes into the next one, so the batch follows the load.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use audit_log::Draft;
use ledger::{Account, AccountId, Record, Refusal, Rules, Transfer, TransferId, seal};
use tokio::sync::{Notify, mpsc, oneshot};
use types::Moment;

use crate::engine::{Connection, Location, Value};
use crate::error::{CommitError, StoreError};
use crate::journal;
use crate::state::State;
use crate::store::{Balance, Event, Move, Posting, Statement};

type Posted = Vec<Result<u64, Refusal>>;

/// What the writer is asked for.
pub(crate) enum Work {
    Move(Move, oneshot::Sender<Result<u64, CommitError>>),
    Post(Moment, Vec<Posting>, oneshot::Sender<Result<Posted, CommitError>>),
    Open { name: String, asset: String, rules: Rules, reply: oneshot::Sender<Result<AccountId, CommitError>> },
    Balances(oneshot::Sender<Result<Vec<Balance>, CommitError>>),
}

/// An answer that is given once the batch is durable.
enum Answer {
    Move(oneshot::Sender<Result<u64, CommitError>>, u64),
    Post(oneshot::Sender<Result<Posted, CommitError>>, Posted),
    Open(oneshot::Sender<Result<AccountId, CommitError>>, AccountId),
    Balances(oneshot::Sender<Result<Vec<Balance>, CommitError>>, Vec<Balance>),
}

/// Most transfers in one commit.
const BATCH_MAX: usize = 8_192;

pub(crate) async fn start(
    location: Arc<Location>,
    mut connection: Connection,
    requests: mpsc::Receiver<Work>,
    replay_max: u64,
) -> Result<(), StoreError> {
    // Whoever wrote before finds another epoch at the next commit, and stops.
    connection.run("UPDATE fence SET epoch = epoch + 1", &[]).await?;
    let epoch = epoch(&mut connection).await?;
    let state = State::load(&mut connection, replay_max).await?;
    let checkpoint = Arc::new(Checkpoint::default());
    if matches!(*location, Location::Sqlite(_)) {
        tokio::spawn(checkpoints(Arc::clone(&location), Arc::downgrade(&checkpoint)));
    }
    let writer = Writer {
        location,
        epoch,
        connection: Some(connection),
        state: Some(state),
        fenced: false,
        checkpoint,
        behind: 0,
        replay_max,
    };
    tokio::spawn(writer.serve(requests));
    Ok(())
}

struct Writer {
    location: Arc<Location>,
    epoch: i64,
    connection: Option<Connection>,
    /// Dropped whenever it is not certain that it is what the database holds.
    state: Option<State>,
    fenced: bool,
    checkpoint: Arc<Checkpoint>,
    /// Rows since the last checkpoint was asked for.
    behind: usize,
    replay_max: u64,
}

/// Everything that one commit writes.
#[derive(Default)]
struct Batch {
    records: Vec<Record>,
    known: HashMap<TransferId, Transfer>,
    indexed: usize,
    audit: Vec<Draft>,
    events: Vec<(Moment, Event)>,
    answers: Vec<Answer>,
    wrote: bool,
}

impl Writer {
    async fn serve(mut self, mut requests: mpsc::Receiver<Work>) {
        let mut waiting = Vec::new();
        while requests.recv_many(&mut waiting, BATCH_MAX).await > 0 {
            let mut work = waiting.drain(..).peekable();
            while work.peek().is_some() {
                let mut part = Vec::new();
                let mut size = 0;
                while size < BATCH_MAX
                    && let Some(next) = work.next()
                {
                    size += match &next {
                        Work::Post(_, postings, _) => postings.len(),
                        Work::Move(step, _) => 1 + step.postings.len(),
                        _ => 1,
                    };
                    part.push(next);
                }
                self.batch(part).await;
            }
        }
        if let Some(connection) = self.connection.take() {
            connection.close().await;
        }
    }

    async fn batch(&mut self, part: Vec<Work>) {
        if self.fenced {
            return refuse(part, || CommitError::Fenced);
        }
        let (mut connection, mut state) = match self.ready().await {
            Ok(ready) => ready,
            Err(error) => return refuse(part, || CommitError::Storage(describe(&error))),
        };
        let mut batch = Batch::default();
        let mut part = part.into_iter();
        let outcome = match connection.begin().await {
            Ok(()) => {
                let written = batch.fill(&mut part, &mut connection, &mut state).await;
                match written {
                    Ok(()) => self.finish(&mut batch, &mut connection, &mut state).await,
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        };
        match outcome {
            Ok(()) => {
                state.book.settle();
                self.behind += batch.records.len() + 20;
                self.connection = Some(connection);
                self.state = Some(state);
                batch.answers.into_iter().for_each(Answer::give);
            }
            Err(error) => {
                // Whether it became durable may be unknown: memory is dropped, and what is stored decides.
                connection.close().await;
                self.fenced = matches!(error, StoreError::Fenced) || self.overtaken().await;
                let (fenced, text) = (self.fenced, describe(&error));
                let failed = || if fenced { CommitError::Fenced } else { CommitError::Storage(text.clone()) };
                batch.answers.into_iter().for_each(|answer| answer.fail(failed()));
                refuse(part, failed);
            }
        }
    }

    /// Whether another process has raised the epoch: its rows then stand where ours should have gone. A database that
    /// cannot be asked now is asked again at the next commit.
    async fn overtaken(&self) -> bool {
        let asked = async {
            let mut connection = self.location.connect().await?;
            let epoch = epoch(&mut connection).await;
            connection.close().await;
            epoch
        };
        asked.await.is_ok_and(|epoch| epoch != self.epoch)
    }

    async fn ready(&mut self) -> Result<(Connection, State), StoreError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.location.connect().await?,
        };
        if self.checkpoint.restart.swap(false, Ordering::Relaxed) {
            connection.fetch("PRAGMA wal_checkpoint(RESTART)", &[]).await?;
        }
        let state = match self.state.take() {
            Some(state) => state,
            None => State::load(&mut connection, self.replay_max).await?,
        };
        Ok((connection, state))
    }

    /// Everything that does not depend on single steps, then the commit. A crash before it leaves nothing of the batch; a
    /// crash after it leaves all, and those who did not hear of it find their step done.
    async fn finish(
        &mut self,
        batch: &mut Batch,
        connection: &mut Connection,
        state: &mut State,
    ) -> Result<(), StoreError> {
        if !batch.wrote {
            return connection.run("ROLLBACK", &[]).await.map(|_| ());
        }
        let before = state.book.seq() - u64::try_from(batch.records.len()).unwrap_or_default();
        if let (Some(first), Some(last)) = (batch.records.first(), batch.records.last()) {
            for record in &batch.records {
                state.seal = seal(&state.seal, record);
                state.touch(record);
            }
            journal::insert(connection, &batch.records).await?;
            batch.audit.push(Draft {
                at: last.at,
                actor: "system".to_owned(),
                action: "books.sealed".to_owned(),
                subject: format!("{}-{}", first.seq, last.seq),
                detail: state.seal.to_string(),
            });
            let flush = state.take_flush();
            journal::flush(connection, &flush.accounts, &flush.opened, &flush.ended).await?;
        }
        if !batch.audit.is_empty() {
            let entries = audit_log::chain(state.audit_seq, state.audit_head, batch.audit.drain(..));
            journal::insert_audit(connection, &entries).await?;
            if let Some(last) = entries.last() {
                state.audit_seq = last.seq;
                state.audit_head = last.hash;
            }
        }
        for (at, event) in batch.events.drain(..) {
            state.outbox_seq += 1;
            let sql = "INSERT INTO outbox (seq, at, kind, subject, body) VALUES ($1, $2, $3, $4, $5)";
            let values = [int(state.outbox_seq), at.into(), event.kind.into(), event.subject.into(), event.body.into()];
            connection.run(sql, &values).await?;
        }
        let (replay_from, replay_seal) = state.end_batch();
        let sql =
            "UPDATE fence SET seq = $1, seal = $2, replay_from = $3, replay_seal = $4 WHERE epoch = $5 AND seq = $6";
        let values = [
            int(state.book.seq()),
            Value::Text(state.seal.to_string()),
            int(replay_from),
            Value::Text(replay_seal.to_string()),
            Value::Int(self.epoch),
            int(before),
        ];
        if connection.run(sql, &values).await? != 1 {
            return Err(StoreError::Fenced);
        }
        connection.run("COMMIT", &[]).await?;
        if self.behind > 2_000 {
            self.behind = 0;
            self.checkpoint.wanted.notify_one();
        }
        Ok(())
    }
}

async fn epoch(connection: &mut Connection) -> Result<i64, StoreError> {
    let mut rows = connection.fetch("SELECT epoch FROM fence", &[]).await?;
    rows.first_mut().map_or(Ok(0), |row| row.int())
}

fn int(value: u64) -> Value {
    Value::Int(i64::try_from(value).unwrap_or(i64::MAX))
}

fn describe(error: &StoreError) -> String {
    use std::error::Error as _;
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

impl Batch {
    async fn fill(
        &mut self,
        part: &mut std::vec::IntoIter<Work>,
        connection: &mut Connection,
        state: &mut State,
    ) -> Result<(), StoreError> {
        // A step whose answer is already decided against is answered at once; it left nothing behind.
        for work in part.by_ref() {
            match work {
                Work::Move(step, reply) => match self.step(step, connection, state).await {
                    Ok(Ok(())) => self.answers.push(Answer::Move(reply, state.book.seq())),
                    Ok(Err(error)) => drop(reply.send(Err(error))),
                    Err(error) => {
                        drop(reply.send(Err(CommitError::Storage(describe(&error)))));
                        return Err(error);
                    }
                },
                Work::Post(at, postings, reply) => {
                    let mut posted = Vec::with_capacity(postings.len());
                    for posting in &postings {
                        posted.push(self.posting(posting, at, connection, state).await?);
                    }
                    self.wrote |= posted.iter().any(Result::is_ok);
                    self.answers.push(Answer::Post(reply, posted));
                }
                Work::Open { name, asset, rules, reply } => {
                    let id = self.open(&name, &asset, rules, connection, state).await?;
                    self.answers.push(Answer::Open(reply, id));
                }
                Work::Balances(reply) => self.answers.push(Answer::Balances(reply, balances(state))),
            }
        }
        Ok(())
    }

    /// One step, all or nothing; the outer error ends the batch.
    async fn step(
        &mut self,
        step: Move,
        connection: &mut Connection,
        state: &mut State,
    ) -> Result<Result<(), CommitError>, StoreError> {
        let mark = state.book.mark();
        let records = self.records.len();
        for posting in &step.postings {
            if let Err(refusal) = self.posting(posting, step.at, connection, state).await? {
                state.book.undo_to(mark);
                self.forget(records);
                return Ok(Err(refusal.into()));
            }
        }
        if !step.statements.is_empty()
            && let Err(error) = statements(&step.statements, connection).await?
        {
            state.book.undo_to(mark);
            self.forget(records);
            return Ok(Err(error));
        }
        self.wrote = true;
        self.audit.extend(step.audit);
        self.events.extend(step.events.into_iter().map(|event| (step.at, event)));
        Ok(Ok(()))
    }

    fn forget(&mut self, records: usize) {
        self.records.truncate(records);
        if self.indexed > records {
            self.known.clear();
            self.indexed = 0;
        }
    }

    async fn posting(
        &mut self,
        posting: &Posting,
        at: Moment,
        connection: &mut Connection,
        state: &mut State,
    ) -> Result<Result<u64, Refusal>, StoreError> {
        let known = if state.book.may_be_known(posting.transfer.id) {
            self.known(posting.transfer.id, connection).await?
        } else {
            None
        };
        Ok(state.book.apply(&posting.transfer, known.as_ref(), at, &posting.cause).map(|record| {
            let seq = record.seq;
            self.records.push(record);
            seq
        }))
    }

    async fn known(&mut self, id: TransferId, connection: &mut Connection) -> Result<Option<Transfer>, StoreError> {
        let fresh = self.records.iter().skip(self.indexed).map(|record| (record.transfer.id, record.transfer));
        self.known.extend(fresh);
        self.indexed = self.records.len();
        match self.known.get(&id) {
            Some(transfer) => Ok(Some(*transfer)),
            None => journal::find(connection, id).await,
        }
    }

    async fn open(
        &mut self,
        name: &str,
        asset: &str,
        rules: Rules,
        connection: &mut Connection,
        state: &mut State,
    ) -> Result<AccountId, StoreError> {
        let number = match state.assets.get(asset) {
            Some(number) => *number,
            None => {
                let number = u32::try_from(state.assets.len()).unwrap_or(u32::MAX);
                let values = [Value::Int(number.into()), asset.into()];
                connection.run("INSERT INTO assets (id, name) VALUES ($1, $2)", &values).await?;
                state.assets.insert(asset.to_owned(), number);
                self.wrote = true;
                number
            }
        };
        if let Some(id) = state.names.get(&(name.to_owned(), number)) {
            return Ok(*id);
        }
        let account = Account { asset: number, rules, ..Account::default() };
        let id = state.book.open(account).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let values = [Value::Int(id.0.into()), name.into(), Value::Int(number.into()), Value::Int(rules.to_bits())];
        connection.run("INSERT INTO accounts (id, name, asset, rules) VALUES ($1, $2, $3, $4)", &values).await?;
        state.names.insert((name.to_owned(), number), id);
        self.wrote = true;
        Ok(id)
    }
}

async fn statements(
    statements: &[Statement],
    connection: &mut Connection,
) -> Result<Result<(), CommitError>, StoreError> {
    connection.run("SAVEPOINT step", &[]).await?;
    for statement in statements {
        let error = match connection.run(statement.sql, &statement.values).await {
            Ok(rows) if statement.rows.is_none_or(|expected| expected == rows) => continue,
            Ok(_) => CommitError::Stale,
            Err(error) if error.is_constraint() => CommitError::Constraint,
            Err(error) => return Err(error),
        };
        connection.run("ROLLBACK TO SAVEPOINT step", &[]).await?;
        connection.run("RELEASE SAVEPOINT step", &[]).await?;
        return Ok(Err(error));
    }
    connection.run("RELEASE SAVEPOINT step", &[]).await?;
    Ok(Ok(()))
}

fn balances(state: &State) -> Vec<Balance> {
    let assets: HashMap<u32, &String> = state.assets.iter().map(|(name, id)| (*id, name)).collect();
    let mut balances: Vec<_> = state
        .names
        .iter()
        .filter_map(|((name, asset), id)| {
            let account = *state.book.account(*id)?;
            let asset = (*assets.get(asset)?).clone();
            Some(Balance { id: *id, name: name.clone(), asset, account })
        })
        .collect();
    balances.sort_by_key(|balance| balance.id);
    balances
}

impl Answer {
    // One who does not wait for the answer any more finds it in the database.
    fn give(self) {
        match self {
            Answer::Move(reply, seq) => drop(reply.send(Ok(seq))),
            Answer::Post(reply, posted) => drop(reply.send(Ok(posted))),
            Answer::Open(reply, id) => drop(reply.send(Ok(id))),
            Answer::Balances(reply, balances) => drop(reply.send(Ok(balances))),
        }
    }

    fn fail(self, error: CommitError) {
        match self {
            Answer::Move(reply, _) => drop(reply.send(Err(error))),
            Answer::Post(reply, _) => drop(reply.send(Err(error))),
            Answer::Open(reply, _) => drop(reply.send(Err(error))),
            Answer::Balances(reply, _) => drop(reply.send(Err(error))),
        }
    }
}

fn refuse(part: impl IntoIterator<Item = Work>, error: impl Fn() -> CommitError) {
    for work in part {
        match work {
            Work::Move(_, reply) => drop(reply.send(Err(error()))),
            Work::Post(_, _, reply) => drop(reply.send(Err(error()))),
            Work::Open { reply, .. } => drop(reply.send(Err(error()))),
            Work::Balances(reply) => drop(reply.send(Err(error()))),
        }
    }
}

/// Moves SQLite's write-ahead log into the database beside the writer.
#[derive(Default)]
struct Checkpoint {
    wanted: Notify,
    /// The log has grown so long that the writer itself has to begin it anew.
    restart: AtomicBool,
}

/// Length of the log, in pages of 4 KiB, from which on it is begun anew.
const LOG_PAGES_MAX: i64 = 100_000;

async fn checkpoints(location: Arc<Location>, checkpoint: std::sync::Weak<Checkpoint>) {
    let mut connection = None;
    while let Some(shared) = checkpoint.upgrade() {
        // The wait ends now and then, so that this task ends with the writer.
        let wait = tokio::time::timeout(std::time::Duration::from_secs(1), shared.wanted.notified()).await;
        if wait.is_err() {
            continue;
        }
        if connection.is_none() {
            connection = location.connect().await.ok();
        }
        let Some(open) = &mut connection else { continue };
        match open.fetch("PRAGMA wal_checkpoint(PASSIVE)", &[]).await {
            Ok(mut rows) => {
                let pages = rows.first_mut().and_then(|row| row.int().and_then(|_| row.int()).ok()).unwrap_or(0);
                if pages > LOG_PAGES_MAX {
                    shared.restart.store(true, Ordering::Relaxed);
                }
            }
            // A full disk, for instance: the log stays, and the next round tries again.
            Err(_) => connection = None,
        }
    }
}
