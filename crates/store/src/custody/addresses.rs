use types::{Moment, WalletId};

use crate::engine::Row;
use crate::error::StoreError;
use crate::store::{Statement, Store};

/// An address of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressRow {
    /// Its number, from 0.
    pub id: u32,
    /// The wallet.
    pub wallet: WalletId,
    /// 0 for receiving, 1 for change.
    pub branch: u32,
    /// Index in its branch.
    pub index: u32,
    /// In the chain's notation.
    pub address: String,
    /// What an output that pays it carries.
    pub script: Vec<u8>,
    /// The account that deposits to it are credited to, such as `customer:alice`; empty for our own change.
    pub owner: String,
    /// The owner's own words.
    pub label: String,
    /// When it was made.
    pub created: Moment,
}

fn read(row: &mut Row) -> Result<AddressRow, StoreError> {
    Ok(AddressRow {
        id: row.count()?,
        wallet: row.parse()?,
        branch: row.count()?,
        index: row.count()?,
        address: row.text()?,
        script: row.bytes()?,
        owner: row.text()?,
        label: row.text()?,
        created: row.moment()?,
    })
}

macro_rules! select {
    ($tail:literal) => {
        concat!("SELECT id, wallet, branch, idx, address, script, owner, label, created FROM addresses ", $tail)
    };
}

impl AddressRow {
    /// Writes it.
    pub fn insert(&self) -> Statement {
        Statement::new(
            "INSERT INTO addresses (id, wallet, branch, idx, address, script, owner, label, created)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(i64::from(self.id))
        .bind(self.wallet.as_str())
        .bind(i64::from(self.branch))
        .bind(i64::from(self.index))
        .bind(self.address.as_str())
        .bind(self.script.clone())
        .bind(self.owner.as_str())
        .bind(self.label.as_str())
        .bind(self.created)
    }
}

impl Store {
    /// The address with this number.
    pub async fn address(&self, id: u32) -> Result<Option<AddressRow>, StoreError> {
        let mut rows = self.fetch(select!("WHERE id = $1"), vec![i64::from(id).into()]).await?;
        rows.first_mut().map(read).transpose()
    }

    /// The address in this notation.
    pub async fn address_named(&self, address: &str) -> Result<Option<AddressRow>, StoreError> {
        let mut rows = self.fetch(select!("WHERE address = $1"), vec![address.into()]).await?;
        rows.first_mut().map(read).transpose()
    }

    /// The address at a place of a wallet.
    pub async fn address_at(
        &self,
        wallet: &WalletId,
        branch: u32,
        index: u32,
    ) -> Result<Option<AddressRow>, StoreError> {
        let values = vec![wallet.as_str().into(), i64::from(branch).into(), i64::from(index).into()];
        let mut rows = self.fetch(select!("WHERE wallet = $1 AND branch = $2 AND idx = $3"), values).await?;
        rows.first_mut().map(read).transpose()
    }

    /// Addresses with numbers from `from` on, in order, at most `limit`.
    pub async fn addresses_from(&self, from: u32, limit: u32) -> Result<Vec<AddressRow>, StoreError> {
        let values = vec![i64::from(from).into(), i64::from(limit).into()];
        self.fetch(select!("WHERE id >= $1 ORDER BY id LIMIT $2"), values).await?.iter_mut().map(read).collect()
    }

    /// Addresses of one owner, newest first, with numbers below `before`.
    pub async fn addresses_of(&self, owner: &str, before: u32, limit: u32) -> Result<Vec<AddressRow>, StoreError> {
        let values = vec![owner.into(), i64::from(before).into(), i64::from(limit).into()];
        let rows = self.fetch(select!("WHERE owner = $1 AND id < $2 ORDER BY id DESC LIMIT $3"), values).await?;
        rows.into_iter().map(|mut row| read(&mut row)).collect()
    }

    /// The newest addresses of everybody.
    pub async fn newest_addresses(&self, limit: u32) -> Result<Vec<AddressRow>, StoreError> {
        let rows =
            self.fetch(select!("WHERE branch = 0 ORDER BY id DESC LIMIT $1"), vec![i64::from(limit).into()]).await?;
        rows.into_iter().map(|mut row| read(&mut row)).collect()
    }

    /// The number that the next address gets.
    pub async fn next_address(&self) -> Result<u32, StoreError> {
        let mut rows = self.fetch("SELECT CAST(COALESCE(MAX(id) + 1, 0) AS BIGINT) FROM addresses", vec![]).await?;
        rows.first_mut().map_or(Ok(0), |row| row.count())
    }
}
