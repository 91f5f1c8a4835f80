use types::{Digest, Moment, SignerId};

use super::flag;
use crate::engine::Row;
use crate::error::StoreError;
use crate::store::{Statement, Store};

/// A charter with the approvals by which it followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CharterRow {
    /// Its digest.
    pub digest: Digest,
    /// Its version.
    pub version: u64,
    /// Canonical bytes, as text.
    pub text: String,
    /// Approvals as JSON.
    pub approvals: String,
    /// When it was offered to signers.
    pub created: Moment,
}

/// What was carried to one signer for one transaction, and what came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarriedRow {
    /// The transaction.
    pub txid: String,
    /// The signer.
    pub signer: SignerId,
    /// Digest of the newest bundle.
    pub bundle: Digest,
    /// Version of the charter that the bundle brings it to.
    pub charter: u64,
    /// The answer with verified signatures, as it came; empty while there is none.
    pub answer: String,
    /// Why it did not sign, in its carrier's words; empty when it did, or has not been heard of.
    pub refusal: String,
    /// Whether most connected signers remember the answer's head.
    pub told: bool,
    /// When the first bundle was made.
    pub asked: Moment,
    /// When this changed last.
    pub updated: Moment,
}

fn charter(row: &mut Row) -> Result<CharterRow, StoreError> {
    Ok(CharterRow {
        digest: row.digest()?,
        version: row.count()?,
        text: row.text()?,
        approvals: row.text()?,
        created: row.moment()?,
    })
}

fn carried(row: &mut Row) -> Result<CarriedRow, StoreError> {
    Ok(CarriedRow {
        txid: row.text()?,
        signer: row.parse()?,
        bundle: row.digest()?,
        charter: row.count()?,
        answer: row.text()?,
        refusal: row.text()?,
        told: flag(row.int()?),
        asked: row.moment()?,
        updated: row.moment()?,
    })
}

fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

macro_rules! select {
    ($tail:literal) => {
        concat!("SELECT txid, signer, bundle, charter, answer, refusal, told, asked, updated FROM carried ", $tail)
    };
}

impl CharterRow {
    /// Keeps it; the same again with other approvals takes its place.
    pub fn put(&self) -> Statement {
        Statement::new(
            "INSERT INTO charters (digest, version, text, approvals, created) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (digest) DO UPDATE SET approvals = EXCLUDED.approvals",
        )
        .bind(self.digest)
        .bind(int(self.version))
        .bind(self.text.as_str())
        .bind(self.approvals.as_str())
        .bind(self.created)
    }
}

impl CarriedRow {
    /// Notes that a bundle was made; what has come back stays.
    pub fn ask(&self) -> Statement {
        Statement::new(
            "INSERT INTO carried (txid, signer, bundle, charter, answer, refusal, told, asked, updated)
             VALUES ($1, $2, $3, $4, '', '', 0, $5, $5)
             ON CONFLICT (txid, signer) DO UPDATE SET bundle = EXCLUDED.bundle, charter = EXCLUDED.charter,
             updated = EXCLUDED.updated",
        )
        .bind(self.txid.as_str())
        .bind(self.signer.as_str())
        .bind(self.bundle)
        .bind(int(self.charter))
        .bind(self.updated)
    }

    /// Keeps what came back, in place of what came before.
    pub fn answer(&self) -> Statement {
        Statement::new(
            "UPDATE carried SET answer = $3, refusal = $4, told = $5, updated = $6 WHERE txid = $1 AND signer = $2",
        )
        .bind(self.txid.as_str())
        .bind(self.signer.as_str())
        .bind(self.answer.as_str())
        .bind(self.refusal.as_str())
        .bind(i64::from(self.told))
        .bind(self.updated)
        .expect(1)
    }
}

impl Store {
    /// The charter with this digest, if it was offered here.
    pub async fn charter_row(&self, digest: Digest) -> Result<Option<CharterRow>, StoreError> {
        let sql = "SELECT digest, version, text, approvals, created FROM charters WHERE digest = $1";
        self.fetch(sql, vec![digest.into()]).await?.first_mut().map(charter).transpose()
    }

    /// What was carried for a transaction, by signer.
    pub async fn carried(&self, txid: &str) -> Result<Vec<CarriedRow>, StoreError> {
        self.fetch(select!("WHERE txid = $1 ORDER BY signer"), vec![txid.into()])
            .await?
            .iter_mut()
            .map(carried)
            .collect()
    }

    /// Answers whose heads connected signers do not remember yet, oldest first.
    pub async fn carried_untold(&self) -> Result<Vec<CarriedRow>, StoreError> {
        let sql = select!("WHERE told = 0 AND answer <> '' ORDER BY updated, txid, signer");
        self.fetch(sql, vec![]).await?.iter_mut().map(carried).collect()
    }

    /// Version of the charter that a signer has certainly taken: that of the newest bundle that it signed.
    pub async fn charter_taken(&self, signer: &SignerId) -> Result<u64, StoreError> {
        let sql = "SELECT CAST(COALESCE(MAX(charter), 1) AS BIGINT) FROM carried WHERE signer = $1 AND answer <> ''";
        self.fetch(sql, vec![signer.as_str().into()]).await?.first_mut().map_or(Ok(1), |row| row.count())
    }
}
