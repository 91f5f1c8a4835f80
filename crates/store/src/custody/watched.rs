use types::SignerId;

use crate::engine::Row;
use crate::error::StoreError;
use crate::store::{Statement, Store};

/// What the watch knows of a signer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchedRow {
    /// How many of its releases were compared with our transactions.
    pub releases: u64,
    /// The newest of them; empty for none. Another one in its place means that the signer has another journal.
    pub newest: String,
    /// The public key that signs its canaries, hexadecimal; empty as long as none was seen.
    pub canary: String,
}

impl WatchedRow {
    /// Notes how far a signer's releases were compared.
    pub fn compared(&self, signer: &SignerId) -> Statement {
        Statement::new(
            "INSERT INTO watched (signer, releases, newest, canary) VALUES ($1, $2, $3, '')
             ON CONFLICT (signer) DO UPDATE SET releases = EXCLUDED.releases, newest = EXCLUDED.newest",
        )
        .bind(signer.as_str())
        .bind(i64::try_from(self.releases).unwrap_or(i64::MAX))
        .bind(self.newest.as_str())
    }
}

impl Statement {
    /// Notes by which key a signer signs its canaries; an empty one forgets it.
    pub fn pin_canary(signer: &str, key: &str) -> Statement {
        Statement::new(
            "INSERT INTO watched (signer, releases, newest, canary) VALUES ($1, 0, '', $2)
             ON CONFLICT (signer) DO UPDATE SET canary = EXCLUDED.canary",
        )
        .bind(signer)
        .bind(key)
    }
}

impl Store {
    /// What the watch knows of a signer.
    pub async fn watched(&self, signer: &SignerId) -> Result<WatchedRow, StoreError> {
        let sql = "SELECT releases, newest, canary FROM watched WHERE signer = $1";
        let read = |row: &mut Row| Ok(WatchedRow { releases: row.count()?, newest: row.text()?, canary: row.text()? });
        self.fetch(sql, vec![signer.as_str().into()]).await?.first_mut().map_or(Ok(WatchedRow::default()), read)
    }
}
