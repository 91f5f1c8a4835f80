//! What the writer has in memory: the book, what of it is not stored yet, and the ends of both chains.

use std::collections::{HashMap, HashSet, VecDeque};

use ledger::{Account, AccountId, Book, Hold, Record, SEAL_GENESIS, TransferId, seal};
use types::Digest;

use crate::engine::Connection;
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
    /// Ends of batches with their seals, from the one before the oldest record that is not stored behind.
    behind: VecDeque<(u64, Digest)>,
    /// Records that a restart may have to replay.
    replay_max: u64,
}

/// The row that says where the books end.
pub(crate) struct Fence {
    pub(crate) seq: u64,
    pub(crate) seal: Digest,
    replay_from: u64,
    replay_seal: Digest,
}

impl Fence {
    pub(crate) async fn load(connection: &mut Connection) -> Result<Fence, StoreError> {
        let mut rows = connection.fetch("SELECT seq, seal, replay_from, replay_seal FROM fence", &[]).await?;
        let row = rows.first_mut().ok_or_else(|| StoreError::Corrupt("the fence is missing".to_owned()))?;
        Ok(Fence { seq: row.count()?, seal: row.parse()?, replay_from: row.count()?, replay_seal: row.parse()? })
    }
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
    pub(crate) async fn load(connection: &mut Connection, replay_max: u64) -> Result<State, StoreError> {
        let fence = Fence::load(connection).await?;
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
            book: Book::restore(accounts, holds),
            names,
            assets,
            seal: SEAL_GENESIS,
            audit_seq: 0,
            audit_head: audit_log::GENESIS,
            outbox_seq: 0,
            dirty: VecDeque::new(),
            waiting: HashSet::new(),
            stored_holds,
            behind: VecDeque::new(),
            replay_max,
        };
        state.replay(connection, &fence).await?;
        state.ends(connection).await?;
        Ok(state)
    }

    async fn replay(&mut self, connection: &mut Connection, fence: &Fence) -> Result<(), StoreError> {
        self.seal = fence.replay_seal;
        self.behind.push_back((fence.replay_from.saturating_sub(1), fence.replay_seal));
        let mut next = fence.replay_from;
        while next <= fence.seq {
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
                self.touch(&record);
                next += 1;
            }
        }
        if self.seal != fence.seal {
            return Err(StoreError::Seal(fence.seq));
        }
        let mut rows = connection.fetch("SELECT id FROM journal ORDER BY id DESC LIMIT 1", &[]).await?;
        let highest = match rows.first_mut() {
            Some(row) => {
                let bytes = <[u8; 16]>::try_from(row.bytes()?.as_slice());
                bytes.map(u128::from_be_bytes).map_err(|_| StoreError::Corrupt("a name has 16 bytes".to_owned()))?
            }
            None => 0,
        };
        self.book.resume(fence.seq, TransferId(highest));
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
            && let Some((seq, what)) = self.dirty.front().copied()
            && seq.saturating_add(self.replay_max) < self.book.seq()
        {
            self.dirty.pop_front();
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

    /// Notes the end of a batch; from where a restart has to replay now, and the seal before it.
    pub(crate) fn end_batch(&mut self) -> (u64, Digest) {
        let seq = self.book.seq();
        if self.behind.back().is_none_or(|(last, _)| *last < seq) {
            self.behind.push_back((seq, self.seal));
        }
        let oldest = self.dirty.front().map_or(seq + 1, |(seq, _)| *seq);
        // The newest end of a batch before that record.
        while self.behind.get(1).is_some_and(|(end, _)| *end < oldest) {
            self.behind.pop_front();
        }
        self.behind.front().map_or((1, SEAL_GENESIS), |(end, seal)| (end + 1, *seal))
    }
}
