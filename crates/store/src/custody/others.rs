use audit_log::{Draft, Entry};
use types::{Digest, Moment};

use crate::engine::Row;
use crate::error::StoreError;
use crate::store::{Statement, Store};

/// Something that people should look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmRow {
    /// A stable word for what is wrong, such as `signers-refuse`.
    pub code: String,
    /// What it is about.
    pub subject: String,
    /// In words, with what to do.
    pub message: String,
    /// Since when.
    pub raised: Moment,
}

/// An entry of the audit log.
pub type AuditRow = Entry;

/// An event of the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// Its number, from 1.
    pub seq: u64,
    /// When.
    pub at: Moment,
    /// A stable word.
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// JSON.
    pub body: String,
}

/// Statements about alarms, and about requests that were answered.
impl Statement {
    /// Raises an alarm; one that is raised already stays as it is, with the newest words.
    pub fn raise_alarm(code: &str, subject: &str, message: &str, now: Moment) -> Statement {
        Statement::new(
            "INSERT INTO alarms (id, code, subject, message, raised, cleared) VALUES ($1, $2, $3, $4, $5, 0)
             ON CONFLICT (id) DO UPDATE SET message = EXCLUDED.message, cleared = 0,
             raised = CASE WHEN alarms.cleared = 0 THEN alarms.raised ELSE EXCLUDED.raised END",
        )
        .bind(format!("{code} {subject}"))
        .bind(code)
        .bind(subject)
        .bind(message)
        .bind(now)
    }

    /// Clears an alarm.
    pub fn clear_alarm(code: &str, subject: &str, now: Moment) -> Statement {
        Statement::new("UPDATE alarms SET cleared = $2 WHERE id = $1 AND cleared = 0")
            .bind(format!("{code} {subject}"))
            .bind(now)
    }

    /// Remembers an answer under the caller's key; another that was first makes the move fail.
    pub fn remember_answer(id: &str, body_digest: Digest, answer: &str, now: Moment) -> Statement {
        Statement::new("INSERT INTO idempotency (id, body_digest, answer, created) VALUES ($1, $2, $3, $4)")
            .bind(id)
            .bind(body_digest)
            .bind(answer)
            .bind(now)
    }
}

pub(super) fn read_entry(row: &mut Row) -> Result<Entry, StoreError> {
    Ok(Entry {
        seq: row.count()?,
        draft: Draft {
            at: row.moment()?,
            actor: row.text()?,
            action: row.text()?,
            subject: row.text()?,
            detail: row.text()?,
        },
        previous: row.digest()?,
        hash: row.digest()?,
    })
}

impl Store {
    /// Alarms that are raised.
    pub async fn alarms(&self) -> Result<Vec<AlarmRow>, StoreError> {
        let sql = "SELECT code, subject, message, raised FROM alarms WHERE cleared = 0 ORDER BY raised, id";
        let read = |mut row: Row| {
            Ok(AlarmRow { code: row.text()?, subject: row.text()?, message: row.text()?, raised: row.moment()? })
        };
        self.fetch(sql, vec![]).await?.into_iter().map(read).collect()
    }

    /// Whose an API key is.
    pub async fn api_key(&self, public_key: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT party FROM api_keys WHERE public_key = $1";
        self.fetch(sql, vec![public_key.into()]).await?.first_mut().map(|row| row.text()).transpose()
    }

    /// The answer that was given under a caller's key, with the digest of the request's body.
    pub async fn answer(&self, id: &str) -> Result<Option<(Digest, String)>, StoreError> {
        let sql = "SELECT body_digest, answer FROM idempotency WHERE id = $1";
        let mut rows = self.fetch(sql, vec![id.into()]).await?;
        rows.first_mut().map(|row| Ok((row.digest()?, row.text()?))).transpose()
    }

    /// Entries of the audit log after a number, in order.
    pub async fn audit(&self, after: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        let sql = "SELECT seq, at, actor, action, subject, detail, previous, hash FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2";
        let values = vec![i64::try_from(after).unwrap_or(i64::MAX).into(), i64::from(limit).into()];
        self.fetch(sql, values).await?.iter_mut().map(read_entry).collect()
    }

    /// The newest entry about a subject with this action. Its content has its hash, or it is an error: somebody wrote into it.
    pub async fn audit_about(&self, subject: &str, action: &str) -> Result<Option<AuditRow>, StoreError> {
        let sql = "SELECT seq, at, actor, action, subject, detail, previous, hash FROM audit
                   WHERE subject = $1 AND action = $2 ORDER BY seq DESC LIMIT 1";
        let mut rows = self.fetch(sql, vec![subject.into(), action.into()]).await?;
        let entry = rows.first_mut().map(read_entry).transpose()?;
        let holds = |entry: &Entry| Entry::hash_of(entry.seq, &entry.draft, &entry.previous) == entry.hash;
        match entry {
            Some(entry) if !holds(&entry) => Err(StoreError::Corrupt(format!("audit entry {}", entry.seq))),
            entry => Ok(entry),
        }
    }

    /// Events after a number, in order.
    pub async fn events(&self, after: u64, limit: u32) -> Result<Vec<EventRow>, StoreError> {
        let sql = "SELECT seq, at, kind, subject, body FROM outbox WHERE seq > $1 ORDER BY seq LIMIT $2";
        let values = vec![i64::try_from(after).unwrap_or(i64::MAX).into(), i64::from(limit).into()];
        let read = |mut row: Row| {
            Ok(EventRow {
                seq: row.count()?,
                at: row.moment()?,
                kind: row.text()?,
                subject: row.text()?,
                body: row.text()?,
            })
        };
        self.fetch(sql, values).await?.into_iter().map(read).collect()
    }
}
