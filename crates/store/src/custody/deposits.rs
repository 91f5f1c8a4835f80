use orders::DepositState;
use types::{Amount, Moment};

use super::{Page, flag, height};
use crate::engine::Row;
use crate::error::StoreError;
use crate::store::{Statement, Store};

/// One output that pays us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepositRow {
    /// Its outpoint, `txid:vout`.
    pub id: String,
    /// The wallet.
    pub wallet: String,
    /// The address.
    pub address: String,
    /// The account that it is credited to; empty when the address was given to nobody.
    pub owner: String,
    /// The asset (CAIP-19).
    pub asset: String,
    /// Base units.
    pub amount: Amount,
    /// State.
    pub state: DepositState,
    /// Why it is where it is, when that needs saying.
    pub reason: String,
    /// Height of its block.
    pub height: Option<u32>,
    /// Whether it is newly mined.
    pub coinbase: bool,
    /// Confirmations that it needs.
    pub required: u32,
    /// How often it was credited: more than once when its block came back after it had left.
    pub credits: u32,
    /// Part of a reversal that the owner could not cover and the house bears, in base units.
    pub shortfall: Amount,
    /// When it was first seen.
    pub created: Moment,
    /// When it changed last.
    pub updated: Moment,
}

fn read(row: &mut Row) -> Result<DepositRow, StoreError> {
    Ok(DepositRow {
        id: row.text()?,
        wallet: row.text()?,
        address: row.text()?,
        owner: row.text()?,
        asset: row.text()?,
        amount: row.amount()?,
        state: row.parse()?,
        reason: row.text()?,
        height: height(row.int()?)?,
        coinbase: flag(row.int()?),
        required: row.count()?,
        credits: row.count()?,
        shortfall: row.amount()?,
        created: row.moment()?,
        updated: row.moment()?,
    })
}

macro_rules! select {
    ($tail:literal) => {
        concat!(
            "SELECT id, wallet, address, owner, asset, amount, state, reason, height, coinbase, required, credits,
             shortfall, created, updated FROM deposits ",
            $tail
        )
    };
}

impl DepositRow {
    /// Writes it.
    pub fn insert(&self) -> Statement {
        Statement::new(
            "INSERT INTO deposits (id, wallet, address, owner, asset, amount, state, reason, height, coinbase, required,
             credits, shortfall, created, updated)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        )
        .bind(self.id.as_str())
        .bind(self.wallet.as_str())
        .bind(self.address.as_str())
        .bind(self.owner.as_str())
        .bind(self.asset.as_str())
        .bind(self.amount)
        .bind(self.state.as_str())
        .bind(self.reason.as_str())
        .bind(self.height.map_or(-1, i64::from))
        .bind(i64::from(self.coinbase))
        .bind(i64::from(self.required))
        .bind(i64::from(self.credits))
        .bind(self.shortfall)
        .bind(self.created)
        .bind(self.updated)
    }

    /// Brings the row to what this one says, if it is still in the state `from`.
    pub fn update(&self, from: DepositState) -> Statement {
        Statement::new(
            "UPDATE deposits SET state = $3, reason = $4, height = $5, credits = $6, shortfall = $7, updated = $8, owner = $9
             WHERE id = $1 AND state = $2",
        )
        .bind(self.id.as_str())
        .bind(from.as_str())
        .bind(self.state.as_str())
        .bind(self.reason.as_str())
        .bind(self.height.map_or(-1, i64::from))
        .bind(i64::from(self.credits))
        .bind(self.shortfall)
        .bind(self.updated)
        .bind(self.owner.as_str())
        .expect(1)
    }
}

impl Store {
    /// The deposit with this outpoint.
    pub async fn deposit(&self, id: &str) -> Result<Option<DepositRow>, StoreError> {
        self.fetch(select!("WHERE id = $1"), vec![id.into()]).await?.first_mut().map(read).transpose()
    }

    /// Deposits in a state.
    pub async fn deposits_in(&self, state: DepositState) -> Result<Vec<DepositRow>, StoreError> {
        let values = vec![state.as_str().into()];
        self.fetch(select!("WHERE state = $1 ORDER BY height, id"), values).await?.iter_mut().map(read).collect()
    }

    /// Deposits in blocks above a height.
    pub async fn deposits_above(&self, height: u32) -> Result<Vec<DepositRow>, StoreError> {
        let values = vec![i64::from(height).into()];
        self.fetch(select!("WHERE height > $1 ORDER BY id"), values).await?.iter_mut().map(read).collect()
    }

    /// Deposits, newest first; of one owner unless that is empty.
    pub async fn deposits(&self, owner: &str, page: &Page) -> Result<Vec<DepositRow>, StoreError> {
        let [at, id, limit] = page.values();
        let rows = if owner.is_empty() {
            let sql =
                select!("WHERE created < $1 OR (created = $1 AND id < $2) ORDER BY created DESC, id DESC LIMIT $3");
            self.fetch(sql, vec![at, id, limit]).await?
        } else {
            let sql = select!(
                "WHERE owner = $4 AND (created < $1 OR (created = $1 AND id < $2)) ORDER BY created DESC, id DESC LIMIT $3"
            );
            self.fetch(sql, vec![at, id, limit, owner.into()]).await?
        };
        rows.into_iter().map(|mut row| read(&mut row)).collect()
    }
}
