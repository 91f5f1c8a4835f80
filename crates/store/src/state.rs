//! What the writer has in memory: the book, what of it is not stored yet, and the ends of both chains.

use std::collections::{HashMap, HashSet, VecDeque};

use ledger::{Account, AccountId, Book, Hold, Record, SEAL_GENESIS, TransferId, seal};
use types::Digest;

use crate::engine::{Connection, Value};
use crate::error::StoreError;
use crate::journal;

/// Something whose stored row is older than memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Dirty {
    Account(AccountId),
    Hold(TransferId),
}

pub(crate) struct State {
    pub(crate) book: Book,
    pub(crate) names: HashMap<(String, u32), AccountId>,
    pub(crate) assets: HashMap<String, u32>,
    pub(crate) seal: Digest,
    pub(crate) audit_seq: u64,
    pub(crate) audit_head: Digest,
    pub(crate) outbox_seq: u64,
    /// In the order in which they became dirty, with the record that made them so.
    dirty: VecDeque<(u64, Dirty)>,
    waiting: HashSet<Dirty>,
    /// Holds that have a row.
    stored_holds: HashSet<TransferId>,
}

/// What one commit writes behind.
pub(crate) struct Flush {
    pub(crate) accounts: Vec<(AccountId, Account)>,
    pub(crate) opened: Vec<(TransferId, Hold)>,
    pub(crate) ended: Vec<TransferId>,
    items: usize,
}

/// Most rows that one commit writes behind: more at once would make others wait.
const FLUSH_MAX: usize = 2_000;

impl State {
    /// Loads balances, replays what is newer, and checks the seal on the way.
    pub(crate) async fn load(connection: &mut Connection) -> Result<State, StoreError> {
        let mut rows = connection.fetch("SELECT seq, replay_from FROM fence", &[]).await?;
        let fence = rows.first_mut().ok_or_else(|| StoreError::Corrupt("no fence".to_owned()))?;
        let (seq, replay_from): (u64, u64) = (fence.count()?, fence.count()?);
        let stored = journal::load_accounts(connection).await?;
        let holds = journal::load_holds(connection).await?;
        let stored_holds = holds.keys().copied().collect();
        let names =
            stored.iter().zip(0u32..).map(|((name, account), id)| ((name.clone(), account.asset), AccountId(id)));
        let names = names.collect();
        let accounts = stored.iter().map(|(_, account)| *account).collect();
        let mut assets = HashMap::new();
        for mut row in connection.fetch("SELECT id, name FROM assets", &[]).await? {
            let id = row.count()?;
            assets.insert(row.text()?, id);
        }
        let mut state = State {
            book: Book::restore(accounts, holds, 0, TransferId(0)),
            names,
            assets,
            seal: SEAL_GENESIS,
            audit_seq: 0,
            audit_head: audit_log::GENESIS,
            outbox_seq: 0,
            dirty: VecDeque::new(),
            waiting: HashSet::new(),
            stored_holds,
        };
        state.replay(connection, replay_from, seq).await?;
        state.ends(connection).await?;
        Ok(state)
    }

    async fn replay(&mut self, connection: &mut Connection, replay_from: u64, end: u64) -> Result<(), StoreError> {
        // The newest seal before the records that are replayed is where the chain is taken up.
        let sql = "SELECT seq, hash FROM seals WHERE seq < $1 ORDER BY seq DESC LIMIT 1";
        let from = Value::Int(i64::try_from(replay_from).unwrap_or(i64::MAX));
        let mut next = 1;
        if let Some(row) = connection.fetch(sql, &[from]).await?.first_mut() {
            next = row.count::<u64>()? + 1;
            self.seal = row.digest()?;
        }
        while next <= end {
            let records = journal::load_records(connection, next).await?;
            if records.is_empty() {
                return Err(StoreError::Corrupt(format!("record {next} is missing")));
            }
            for record in records {
                if record.seq != next {
                    return Err(StoreError::Corrupt(format!("record {next} is missing")));
                }
                self.seal = seal(&self.seal, &record);
                self.book.replay(&record).map_err(|error| StoreError::Corrupt(format!("record {next}: {error}")))?;
                if record.seq >= replay_from {
                    self.touch(&record);
                }
                next += 1;
            }
        }
        let mut rows = connection.fetch("SELECT seq, hash FROM seals ORDER BY seq DESC LIMIT 1", &[]).await?;
        let newest =
            rows.first_mut().map(|row| Ok::<_, StoreError>((row.count::<u64>()?, row.digest()?))).transpose()?;
        if newest.unwrap_or((0, SEAL_GENESIS)) != (end, self.seal) {
            return Err(StoreError::Seal(end));
        }
        let mut rows = connection.fetch("SELECT id FROM journal ORDER BY id DESC LIMIT 1", &[]).await?;
        if let Some(row) = rows.first_mut() {
            let bytes = <[u8; 16]>::try_from(row.bytes()?.as_slice());
            let highest = bytes.map_err(|_| StoreError::Corrupt("a transfer's name has 16 bytes".to_owned()))?;
            self.book.resume(end, TransferId(u128::from_be_bytes(highest)));
        }
        Ok(())
    }

    async fn ends(&mut self, connection: &mut Connection) -> Result<(), StoreError> {
        let mut rows = connection.fetch("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1", &[]).await?;
        if let Some(row) = rows.first_mut() {
            self.audit_seq = row.count()?;
            self.audit_head = row.digest()?;
        }
        let mut rows = connection.fetch("SELECT CAST(COALESCE(MAX(seq), 0) AS BIGINT) FROM outbox", &[]).await?;
        self.outbox_seq = rows.first_mut().map_or(Ok(0), |row| row.count())?;
        Ok(())
    }

    /// Notes that rows behind a record are older than it.
    pub(crate) fn touch(&mut self, record: &Record) {
        let ids: [AccountId; 2] = record.into();
        for id in ids {
            self.mark(record.seq, Dirty::Account(id));
        }
        match record.transfer.kind {
            ledger::Kind::Plain => {}
            ledger::Kind::Pending => self.mark(record.seq, Dirty::Hold(record.transfer.id)),
            ledger::Kind::Post(id) | ledger::Kind::Void(id) | ledger::Kind::Expire(id) => {
                self.mark(record.seq, Dirty::Hold(id));
            }
        }
    }

    fn mark(&mut self, seq: u64, what: Dirty) {
        if self.waiting.insert(what) {
            self.dirty.push_back((seq, what));
        }
    }

    /// Takes what is to be written behind now, oldest first.
    pub(crate) fn take_flush(&mut self) -> Flush {
        let mut flush = Flush { accounts: vec![], opened: vec![], ended: vec![], items: 0 };
        while flush.items < FLUSH_MAX
            && let Some((_, what)) = self.dirty.pop_front()
        {
            self.waiting.remove(&what);
            flush.items += 1;
            match what {
                Dirty::Account(id) => flush.accounts.extend(self.book.account(id).map(|account| (id, *account))),
                Dirty::Hold(id) => match self.book.hold(id) {
                    Some(hold) => {
                        self.stored_holds.insert(id);
                        flush.opened.push((id, *hold));
                    }
                    // Most holds end before their row would be written: they never have one.
                    None if self.stored_holds.remove(&id) => flush.ended.push(id),
                    None => {}
                },
            }
        }
        flush
    }

    /// The first record that a restart has to replay.
    pub(crate) fn replay_from(&self) -> u64 {
        self.dirty.front().map_or(self.book.seq() + 1, |(seq, _)| *seq)
    }
}
