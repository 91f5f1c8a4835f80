use policy::BookEntry;
use types::{Amount, Digest, Moment};

use super::flag;
use crate::engine::Row;
use crate::error::StoreError;
use crate::store::{Statement, Store};

/// A passkey that somebody enrolled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialRow {
    /// Identifier of the credential, base64url without padding.
    pub id: String,
    /// Whose.
    pub operator: String,
    /// Compressed point of P-256 (SEC 1): 33 bytes.
    pub public_key: Vec<u8>,
    /// Whether the authenticator said that it cannot leave the device.
    pub device_bound: bool,
    /// Since when.
    pub created: Moment,
    /// Since when it opens nothing any more; none while it does.
    pub revoked: Option<Moment>,
}

/// A one-time link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrolmentRow {
    /// Hash of its secret.
    pub secret: Digest,
    /// For whom.
    pub operator: String,
    /// By whom.
    pub invited_by: String,
    /// Since when.
    pub created: Moment,
    /// Until when.
    pub expires: Moment,
    /// When it was used; none as yet.
    pub used: Option<Moment>,
}

/// Somebody who is signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// Hash of its secret.
    pub secret: Digest,
    /// Who.
    pub operator: String,
    /// With which credential.
    pub credential: String,
    /// What the browser says of itself; the session is bound to it.
    pub terminal: String,
    /// From where.
    pub source: String,
    /// Since when.
    pub created: Moment,
    /// When it was used last.
    pub seen: Moment,
    /// Until when at most.
    pub expires: Moment,
    /// When it was ended; none while it is open.
    pub ended: Option<Moment>,
}

/// An instruction that moves no coins, or a charter, about which people decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposalRow {
    /// Identifier.
    pub id: String,
    /// The instruction's kind, or `charter`.
    pub kind: String,
    /// Canonical form.
    pub text: String,
    /// What approvals are made over.
    pub digest: Digest,
    /// Who proposed it.
    pub requester: String,
    /// open, done or withdrawn.
    pub state: String,
    /// What came of it.
    pub outcome: String,
    /// Since when.
    pub created: Moment,
    /// When it changed last.
    pub updated: Moment,
}

/// How far a webhook has been told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookRow {
    /// Where.
    pub url: String,
    /// Number of the last event that it has taken.
    pub delivered: u64,
    /// Failures since then.
    pub failures: u32,
    /// When it is tried again.
    pub next_at: Moment,
    /// What went wrong last.
    pub problem: String,
    /// When this changed last.
    pub updated: Moment,
}

fn since(value: i64) -> Option<Moment> {
    (value != 0).then_some(Moment::from_micros(value))
}

fn until(value: Option<Moment>) -> i64 {
    value.map_or(0, Moment::micros)
}

fn credential(row: &mut Row) -> Result<CredentialRow, StoreError> {
    Ok(CredentialRow {
        id: row.text()?,
        operator: row.text()?,
        public_key: row.bytes()?,
        device_bound: flag(row.int()?),
        created: row.moment()?,
        revoked: since(row.int()?),
    })
}

fn session(row: &mut Row) -> Result<SessionRow, StoreError> {
    Ok(SessionRow {
        secret: row.digest()?,
        operator: row.text()?,
        credential: row.text()?,
        terminal: row.text()?,
        source: row.text()?,
        created: row.moment()?,
        seen: row.moment()?,
        expires: row.moment()?,
        ended: since(row.int()?),
    })
}

fn proposal(row: &mut Row) -> Result<ProposalRow, StoreError> {
    Ok(ProposalRow {
        id: row.text()?,
        kind: row.text()?,
        text: row.text()?,
        digest: row.digest()?,
        requester: row.text()?,
        state: row.text()?,
        outcome: row.text()?,
        created: row.moment()?,
        updated: row.moment()?,
    })
}

impl CredentialRow {
    /// Writes it; one with this identifier makes the move fail.
    pub fn insert(&self) -> Statement {
        Statement::new(
            "INSERT INTO credentials (id, operator, public_key, device_bound, created, revoked) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(self.id.as_str())
        .bind(self.operator.as_str())
        .bind(self.public_key.clone())
        .bind(i64::from(self.device_bound))
        .bind(self.created)
        .bind(until(self.revoked))
    }
}

impl EnrolmentRow {
    /// Writes it.
    pub fn insert(&self) -> Statement {
        Statement::new(
            "INSERT INTO enrolments (secret, operator, invited_by, created, expires, used) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(self.secret)
        .bind(self.operator.as_str())
        .bind(self.invited_by.as_str())
        .bind(self.created)
        .bind(self.expires)
        .bind(until(self.used))
    }

    /// Uses it up; a second time makes the move fail.
    pub fn take(&self, now: Moment) -> Statement {
        Statement::new("UPDATE enrolments SET used = $2 WHERE secret = $1 AND used = 0")
            .bind(self.secret)
            .bind(now)
            .expect(1)
    }
}

impl SessionRow {
    /// Writes it.
    pub fn insert(&self) -> Statement {
        Statement::new(
            "INSERT INTO sessions (secret, operator, credential, terminal, source, created, seen, expires, ended)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(self.secret)
        .bind(self.operator.as_str())
        .bind(self.credential.as_str())
        .bind(self.terminal.as_str())
        .bind(self.source.as_str())
        .bind(self.created)
        .bind(self.seen)
        .bind(self.expires)
        .bind(until(self.ended))
    }

    /// Notes that it is in use.
    pub fn touch(&self, now: Moment) -> Statement {
        Statement::new("UPDATE sessions SET seen = $2 WHERE secret = $1 AND ended = 0").bind(self.secret).bind(now)
    }

    /// Ends it.
    pub fn end(&self, now: Moment) -> Statement {
        Statement::new("UPDATE sessions SET ended = $2 WHERE secret = $1 AND ended = 0").bind(self.secret).bind(now)
    }
}

impl ProposalRow {
    /// Writes it; one with this identifier makes the move fail.
    pub fn insert(&self) -> Statement {
        Statement::new(
            "INSERT INTO proposals (id, kind, text, digest, requester, state, outcome, created, updated)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(self.id.as_str())
        .bind(self.kind.as_str())
        .bind(self.text.as_str())
        .bind(self.digest)
        .bind(self.requester.as_str())
        .bind(self.state.as_str())
        .bind(self.outcome.as_str())
        .bind(self.created)
        .bind(self.updated)
    }

    /// Brings it to what this one says, if it is still open.
    pub fn update(&self) -> Statement {
        Statement::new("UPDATE proposals SET state = $2, outcome = $3, updated = $4 WHERE id = $1 AND state = 'open'")
            .bind(self.id.as_str())
            .bind(self.state.as_str())
            .bind(self.outcome.as_str())
            .bind(self.updated)
            .expect(1)
    }
}

impl WebhookRow {
    /// Writes it, in place of what was there.
    pub fn put(&self) -> Statement {
        Statement::new(
            "INSERT INTO webhooks (url, delivered, failures, next_at, problem, updated) VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (url) DO UPDATE SET delivered = EXCLUDED.delivered, failures = EXCLUDED.failures,
             next_at = EXCLUDED.next_at, problem = EXCLUDED.problem, updated = EXCLUDED.updated",
        )
        .bind(self.url.as_str())
        .bind(i64::try_from(self.delivered).unwrap_or(i64::MAX))
        .bind(i64::from(self.failures))
        .bind(self.next_at)
        .bind(self.problem.as_str())
        .bind(self.updated)
    }

    /// Brings it to what this one says, if it has been told up to `from` still; otherwise somebody has asked for a replay.
    pub fn advance(&self, from: u64) -> Statement {
        Statement::new(
            "UPDATE webhooks SET delivered = $3, failures = $4, next_at = $5, problem = $6, updated = $7
             WHERE url = $1 AND delivered = $2",
        )
        .bind(self.url.as_str())
        .bind(i64::try_from(from).unwrap_or(i64::MAX))
        .bind(i64::try_from(self.delivered).unwrap_or(i64::MAX))
        .bind(i64::from(self.failures))
        .bind(self.next_at)
        .bind(self.problem.as_str())
        .bind(self.updated)
        .expect(1)
    }
}

impl Statement {
    /// A credential opens nothing any more.
    pub fn revoke_credential(id: &str, now: Moment) -> Statement {
        Statement::new("UPDATE credentials SET revoked = $2 WHERE id = $1 AND revoked = 0").bind(id).bind(now)
    }

    /// All sessions that a credential opened end.
    pub fn end_sessions_of(credential: &str, now: Moment) -> Statement {
        Statement::new("UPDATE sessions SET ended = $2 WHERE credential = $1 AND ended = 0").bind(credential).bind(now)
    }

    /// Somebody says that a credential's device is lost.
    pub fn report_lost(credential: &str, operator: &str, now: Moment) -> Statement {
        Statement::new(
            "INSERT INTO revocations (credential, operator, created) VALUES ($1, $2, $3)
             ON CONFLICT (credential, operator) DO NOTHING",
        )
        .bind(credential)
        .bind(operator)
        .bind(now)
    }

    /// Notes a destination that a quorum let in.
    pub fn enter_address(customer: &str, address: &str, now: Moment) -> Statement {
        Statement::new(
            "INSERT INTO address_book (customer, address, since) VALUES ($1, $2, $3)
             ON CONFLICT (customer, address) DO NOTHING",
        )
        .bind(customer)
        .bind(address)
        .bind(now)
    }
}

impl Store {
    /// The credential with this identifier.
    pub async fn credential(&self, id: &str) -> Result<Option<CredentialRow>, StoreError> {
        let sql = "SELECT id, operator, public_key, device_bound, created, revoked FROM credentials WHERE id = $1";
        self.fetch(sql, vec![id.into()]).await?.first_mut().map(credential).transpose()
    }

    /// All credentials, by operator.
    pub async fn credentials(&self) -> Result<Vec<CredentialRow>, StoreError> {
        let sql = "SELECT id, operator, public_key, device_bound, created, revoked FROM credentials ORDER BY operator, created";
        self.fetch(sql, vec![]).await?.iter_mut().map(credential).collect()
    }

    /// Who says that a credential's device is lost.
    pub async fn reported_lost(&self, credential: &str) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT operator FROM revocations WHERE credential = $1 ORDER BY operator";
        self.fetch(sql, vec![credential.into()]).await?.iter_mut().map(|row| row.text()).collect()
    }

    /// The link with this secret.
    pub async fn enrolment(&self, secret: Digest) -> Result<Option<EnrolmentRow>, StoreError> {
        let sql = "SELECT secret, operator, invited_by, created, expires, used FROM enrolments WHERE secret = $1";
        let read = |row: &mut Row| {
            Ok(EnrolmentRow {
                secret: row.digest()?,
                operator: row.text()?,
                invited_by: row.text()?,
                created: row.moment()?,
                expires: row.moment()?,
                used: since(row.int()?),
            })
        };
        self.fetch(sql, vec![secret.into()]).await?.first_mut().map(read).transpose()
    }

    /// The session with this secret.
    pub async fn session(&self, secret: Digest) -> Result<Option<SessionRow>, StoreError> {
        let sql = "SELECT secret, operator, credential, terminal, source, created, seen, expires, ended FROM sessions WHERE secret = $1";
        self.fetch(sql, vec![secret.into()]).await?.first_mut().map(session).transpose()
    }

    /// The newest sessions of everybody.
    pub async fn sessions(&self, limit: u32) -> Result<Vec<SessionRow>, StoreError> {
        let sql = "SELECT secret, operator, credential, terminal, source, created, seen, expires, ended FROM sessions
                   ORDER BY created DESC LIMIT $1";
        self.fetch(sql, vec![i64::from(limit).into()]).await?.iter_mut().map(session).collect()
    }

    /// The proposal with this identifier.
    pub async fn proposal(&self, id: &str) -> Result<Option<ProposalRow>, StoreError> {
        let sql =
            "SELECT id, kind, text, digest, requester, state, outcome, created, updated FROM proposals WHERE id = $1";
        self.fetch(sql, vec![id.into()]).await?.first_mut().map(proposal).transpose()
    }

    /// The newest proposals.
    pub async fn proposals(&self, limit: u32) -> Result<Vec<ProposalRow>, StoreError> {
        let sql = "SELECT id, kind, text, digest, requester, state, outcome, created, updated FROM proposals
                   ORDER BY created DESC, id LIMIT $1";
        self.fetch(sql, vec![i64::from(limit).into()]).await?.iter_mut().map(proposal).collect()
    }

    /// Destinations that quorums let in.
    pub async fn address_book(&self) -> Result<Vec<BookEntry>, StoreError> {
        let sql = "SELECT customer, address, since FROM address_book ORDER BY customer, address";
        let read = |mut row: Row| Ok(BookEntry { customer: row.parse()?, address: row.text()?, since: row.moment()? });
        self.fetch(sql, vec![]).await?.into_iter().map(read).collect()
    }

    /// How far a webhook has been told.
    pub async fn webhook(&self, url: &str) -> Result<Option<WebhookRow>, StoreError> {
        let sql = "SELECT url, delivered, failures, next_at, problem, updated FROM webhooks WHERE url = $1";
        let read = |row: &mut Row| {
            Ok(WebhookRow {
                url: row.text()?,
                delivered: row.count()?,
                failures: row.count()?,
                next_at: row.moment()?,
                problem: row.text()?,
                updated: row.moment()?,
            })
        };
        self.fetch(sql, vec![url.into()]).await?.first_mut().map(read).transpose()
    }

    /// Number of the newest event.
    pub async fn last_event(&self) -> Result<u64, StoreError> {
        let sql = "SELECT CAST(COALESCE(MAX(seq), 0) AS BIGINT) FROM outbox";
        self.fetch(sql, vec![]).await?.first_mut().map_or(Ok(0), |row| row.count())
    }

    /// How often an address was paid before, and when first.
    pub async fn paid_before(&self, destination: &str) -> Result<(u64, Option<Moment>), StoreError> {
        let sql = "SELECT CAST(COUNT(*) AS BIGINT), CAST(COALESCE(MIN(created), 0) AS BIGINT) FROM payments
                   WHERE destination = $1 AND state IN ('broadcast', 'confirmed', 'settled')";
        let mut rows = self.fetch(sql, vec![destination.into()]).await?;
        rows.first_mut().map_or(Ok((0, None)), |row| Ok((row.count()?, since(row.int()?))))
    }

    /// What was credited since a moment: when, and how much.
    pub async fn credited_since(&self, since: Moment) -> Result<Vec<(Moment, Amount)>, StoreError> {
        let sql = "SELECT updated, amount FROM deposits WHERE state = 'credited' AND updated >= $1";
        let rows = self.fetch(sql, vec![since.into()]).await?;
        rows.into_iter().map(|mut row| Ok((row.moment()?, row.amount()?))).collect()
    }

    /// What left to the outside since a moment: when, and how much.
    pub async fn paid_out_since(&self, since: Moment) -> Result<Vec<(Moment, Amount)>, StoreError> {
        let sql = "SELECT updated, amount FROM payments WHERE kind = 'customer-withdrawal'
                   AND state IN ('broadcast', 'confirmed', 'settled') AND updated >= $1";
        let rows = self.fetch(sql, vec![since.into()]).await?;
        rows.into_iter().map(|mut row| Ok((row.moment()?, row.amount()?))).collect()
    }

    /// Entries of the audit log up to a number, newest first; only those about or by somebody unless that is empty.
    pub async fn audit_before(&self, seq: u64, about: &str, limit: u32) -> Result<Vec<super::AuditRow>, StoreError> {
        let sql = "SELECT seq, at, actor, action, subject, detail, previous, hash FROM audit
                   WHERE seq <= $1 AND ($2 = '' OR subject = $2 OR actor = $2) ORDER BY seq DESC LIMIT $3";
        let values = vec![i64::try_from(seq).unwrap_or(i64::MAX).into(), about.into(), i64::from(limit).into()];
        self.fetch(sql, values).await?.iter_mut().map(super::others::read_entry).collect()
    }
}
