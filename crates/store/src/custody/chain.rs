use types::{Moment, WalletId};

use super::height;
use crate::engine::Row;
use crate::error::StoreError;
use crate::store::{Statement, Store};

/// Where a coin came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Somebody paid us.
    Deposit,
    /// Our own transaction gave it back.
    Change,
    /// It came from another wallet of ours.
    Transfer,
}

/// Whether a coin can be spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoinState {
    /// Not yet: not deep enough, or not credited.
    Pending,
    /// Yes.
    Spendable,
    /// It is in a transaction of ours.
    Reserved,
    /// It was, in a block.
    Spent,
}

impl Origin {
    /// Its name in storage.
    pub const fn as_str(self) -> &'static str {
        match self {
            Origin::Deposit => "deposit",
            Origin::Change => "change",
            Origin::Transfer => "transfer",
        }
    }
}

impl CoinState {
    /// Its name in storage.
    pub const fn as_str(self) -> &'static str {
        match self {
            CoinState::Pending => "pending",
            CoinState::Spendable => "spendable",
            CoinState::Reserved => "reserved",
            CoinState::Spent => "spent",
        }
    }
}

/// A coin of ours: an output that our keys can spend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoinRow {
    /// Its outpoint, `txid:vout`.
    pub id: String,
    /// The wallet.
    pub wallet: WalletId,
    /// 0 for receiving, 1 for change.
    pub branch: u32,
    /// Index in its branch.
    pub index: u32,
    /// Satoshis.
    pub sats: u64,
    /// Where it came from.
    pub origin: Origin,
    /// Whether it can be spent.
    pub state: CoinState,
    /// Height of its block.
    pub height: Option<u32>,
    /// The group of tries that spends it; empty for none.
    pub group: String,
}

fn read(row: &mut Row) -> Result<CoinRow, StoreError> {
    Ok(CoinRow {
        id: row.text()?,
        wallet: row.parse()?,
        branch: row.count()?,
        index: row.count()?,
        sats: row.count()?,
        origin: match row.text()?.as_str() {
            "deposit" => Origin::Deposit,
            "change" => Origin::Change,
            _ => Origin::Transfer,
        },
        state: match row.text()?.as_str() {
            "pending" => CoinState::Pending,
            "spendable" => CoinState::Spendable,
            "reserved" => CoinState::Reserved,
            _ => CoinState::Spent,
        },
        height: height(row.int()?)?,
        group: row.text()?,
    })
}

macro_rules! select {
    ($tail:literal) => {
        concat!("SELECT id, wallet, branch, idx, amount, origin, state, height, grp FROM coins ", $tail)
    };
}

impl CoinRow {
    /// Writes a coin that stands in a block, or notes the block of one that is known. Change and transfers can be spent at
    /// once; a deposit's coin when the deposit is credited.
    pub fn connect(&self) -> Statement {
        let state = if self.origin == Origin::Deposit { CoinState::Pending } else { CoinState::Spendable };
        Statement::new(
            "INSERT INTO coins (id, wallet, branch, idx, amount, origin, state, height, spent_height, spent_by, grp)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, -1, '', '')
             ON CONFLICT (id) DO UPDATE SET height = EXCLUDED.height, state =
             CASE WHEN coins.state = 'pending' AND coins.origin <> 'deposit' THEN 'spendable' ELSE coins.state END",
        )
        .bind(self.id.as_str())
        .bind(self.wallet.as_str())
        .bind(i64::from(self.branch))
        .bind(i64::from(self.index))
        // Satoshis fit: there are 2.1e15.
        .bind(i64::try_from(self.sats).unwrap_or(i64::MAX))
        .bind(self.origin.as_str())
        .bind(state.as_str())
        .bind(self.height.map_or(-1, i64::from))
    }
}

/// Statements about coins and blocks.
impl Statement {
    /// Keeps the whole transaction that made a coin.
    pub fn keep_previous(txid: &str, raw: Vec<u8>) -> Statement {
        Statement::new("INSERT INTO previous_transactions (txid, raw) VALUES ($1, $2) ON CONFLICT (txid) DO NOTHING")
            .bind(txid)
            .bind(raw)
    }

    /// A deposit's coin may be spent now.
    pub fn release_coin(id: &str) -> Statement {
        Statement::new("UPDATE coins SET state = 'spendable' WHERE id = $1 AND state = 'pending' AND height >= 0")
            .bind(id)
    }

    /// A deposit's coin may not be spent any more.
    pub fn withhold_coin(id: &str) -> Statement {
        Statement::new("UPDATE coins SET state = 'pending' WHERE id = $1 AND state = 'spendable'").bind(id)
    }

    /// A group of tries takes a coin; another that took it first makes the move stale.
    pub fn reserve_coin(id: &str, group: &str) -> Statement {
        Statement::new("UPDATE coins SET state = 'reserved', grp = $2 WHERE id = $1 AND state = 'spendable'")
            .bind(id)
            .bind(group)
            .expect(1)
    }

    /// A group gives its coins back.
    pub fn free_coins(group: &str) -> Statement {
        Statement::new("UPDATE coins SET state = 'spendable', grp = '' WHERE grp = $1 AND state = 'reserved'")
            .bind(group)
    }

    /// A coin was spent in a block.
    pub fn spend_coin(id: &str, txid: &str, height: u32) -> Statement {
        Statement::new("UPDATE coins SET state = 'spent', spent_height = $3, spent_by = $2 WHERE id = $1")
            .bind(id)
            .bind(txid)
            .bind(i64::from(height))
    }

    /// Coins of blocks above `height` are in no block any more, and coins spent there are not spent.
    pub fn disconnect_coins(height: u32) -> [Statement; 2] {
        [
            Statement::new(
                "UPDATE coins SET spent_height = -1, spent_by = '',
                 state = CASE WHEN grp = '' THEN 'pending' ELSE 'reserved' END WHERE spent_height > $1",
            )
            .bind(i64::from(height)),
            Statement::new(
                "UPDATE coins SET height = -1,
                 state = CASE WHEN state = 'spendable' THEN 'pending' ELSE state END WHERE height > $1",
            )
            .bind(i64::from(height)),
        ]
    }

    /// Takes a block into account.
    pub fn connect_block(height: u32, hash: &str) -> Statement {
        Statement::new("INSERT INTO blocks (height, hash) VALUES ($1, $2)").bind(i64::from(height)).bind(hash)
    }

    /// Forgets blocks above `height`.
    pub fn disconnect_blocks(height: u32) -> Statement {
        Statement::new("DELETE FROM blocks WHERE height > $1").bind(i64::from(height))
    }

    /// Forgets blocks below `height`: nothing goes back that far.
    pub fn prune_blocks(height: u32) -> Statement {
        Statement::new("DELETE FROM blocks WHERE height < $1").bind(i64::from(height))
    }
}

impl Store {
    /// Heights and hashes of the newest blocks, oldest first.
    pub async fn blocks(&self) -> Result<Vec<(u32, String)>, StoreError> {
        let rows = self.fetch("SELECT height, hash FROM blocks ORDER BY height", vec![]).await?;
        rows.into_iter().map(|mut row| Ok((row.count()?, row.text()?))).collect()
    }

    /// Coins that are not spent in a block, of every wallet.
    pub async fn unspent_coins(&self) -> Result<Vec<CoinRow>, StoreError> {
        self.fetch(select!("WHERE state <> 'spent'"), vec![]).await?.iter_mut().map(read).collect()
    }

    /// The coin that is this output, spent or not.
    pub async fn coin(&self, id: &str) -> Result<Option<CoinRow>, StoreError> {
        self.fetch(select!("WHERE id = $1"), vec![id.into()]).await?.first_mut().map(read).transpose()
    }

    /// Coins of a wallet that can be spent.
    pub async fn spendable_coins(&self, wallet: &WalletId) -> Result<Vec<CoinRow>, StoreError> {
        let values = vec![wallet.as_str().into()];
        let rows = self.fetch(select!("WHERE wallet = $1 AND state = 'spendable'"), values).await?;
        rows.into_iter().map(|mut row| read(&mut row)).collect()
    }

    /// Coins that a group of tries holds.
    pub async fn coins_of_group(&self, group: &str) -> Result<Vec<CoinRow>, StoreError> {
        let rows = self.fetch(select!("WHERE grp = $1 ORDER BY id"), vec![group.into()]).await?;
        rows.into_iter().map(|mut row| read(&mut row)).collect()
    }

    /// The whole transaction that made a coin.
    pub async fn previous_transaction(&self, txid: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT raw FROM previous_transactions WHERE txid = $1";
        self.fetch(sql, vec![txid.into()]).await?.first_mut().map(|row| row.bytes()).transpose()
    }

    /// Next receiving and next change index of a wallet.
    pub async fn wallet_indexes(&self, wallet: &WalletId) -> Result<(u32, u32), StoreError> {
        let sql = "SELECT next_receive, next_change FROM wallets WHERE id = $1";
        let mut rows = self.fetch(sql, vec![wallet.as_str().into()]).await?;
        rows.first_mut().map_or(Ok((0, 0)), |row| Ok((row.count()?, row.count()?)))
    }
}

/// Statements about wallets' indexes.
impl Statement {
    /// Makes sure that a wallet has a row.
    pub fn ensure_wallet(wallet: &WalletId) -> Statement {
        Statement::new(
            "INSERT INTO wallets (id, next_receive, next_change) VALUES ($1, 0, 0) ON CONFLICT (id) DO NOTHING",
        )
        .bind(wallet.as_str())
    }

    /// Uses up a receiving index; stale when another took it first.
    pub fn take_receive_index(wallet: &WalletId, index: u32) -> Statement {
        Statement::new("UPDATE wallets SET next_receive = next_receive + 1 WHERE id = $1 AND next_receive = $2")
            .bind(wallet.as_str())
            .bind(i64::from(index))
            .expect(1)
    }

    /// Uses up a change index; stale when another took it first.
    pub fn take_change_index(wallet: &WalletId, index: u32) -> Statement {
        Statement::new("UPDATE wallets SET next_change = next_change + 1 WHERE id = $1 AND next_change = $2")
            .bind(wallet.as_str())
            .bind(i64::from(index))
            .expect(1)
    }

    /// Forgets every API key.
    pub fn forget_api_keys() -> Statement {
        Statement::new("DELETE FROM api_keys")
    }

    /// Keeps an API key.
    pub fn add_api_key(public_key: &str, party: &str, now: Moment) -> Statement {
        Statement::new(
            "INSERT INTO api_keys (public_key, party, created) VALUES ($1, $2, $3) ON CONFLICT (public_key) DO NOTHING",
        )
        .bind(public_key)
        .bind(party)
        .bind(now)
    }
}
