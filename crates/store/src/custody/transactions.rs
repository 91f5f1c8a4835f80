use types::{Moment, WalletId};

use super::{flag, height};
use crate::engine::Row;
use crate::error::StoreError;
use crate::store::{Statement, Store};

/// What has become of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionState {
    /// Made, not signed.
    Generated,
    /// Signed by a quorum of signers.
    Signed,
    /// Given to the network.
    Broadcast,
    /// In a block.
    Confirmed,
    /// Another try of its group took its place.
    Replaced,
    /// Given up, with the proof that no signer wrote it down.
    Dissolved,
}

impl TransactionState {
    /// Its name in storage.
    pub const fn as_str(self) -> &'static str {
        match self {
            TransactionState::Generated => "generated",
            TransactionState::Signed => "signed",
            TransactionState::Broadcast => "broadcast",
            TransactionState::Confirmed => "confirmed",
            TransactionState::Replaced => "replaced",
            TransactionState::Dissolved => "dissolved",
        }
    }

    fn parse(text: &str) -> Result<TransactionState, StoreError> {
        use TransactionState::{Broadcast, Confirmed, Dissolved, Generated, Replaced, Signed};
        let known = [Generated, Signed, Broadcast, Confirmed, Replaced, Dissolved];
        let found = known.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| StoreError::Corrupt(format!("transaction state {text}")))
    }
}

/// One try at a group of payments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionRow {
    /// Its identifier, which signatures do not change.
    pub txid: String,
    /// The first try's identifier: all tries spend its first input.
    pub group: String,
    /// The wallet that pays.
    pub wallet: WalletId,
    /// What has become of it.
    pub state: TransactionState,
    /// The PSBT (BIP-174), unsigned.
    pub psbt: Vec<u8>,
    /// What goes to the network; empty until it is signed.
    pub raw: Vec<u8>,
    /// Fee in satoshis.
    pub fee_sats: u64,
    /// Fee rate in satoshis per 1,000 virtual bytes.
    pub rate: u64,
    /// Name of the fee's hold in the books: 16 bytes.
    pub fee_hold: Vec<u8>,
    /// Whether signers were asked already: then nothing but a signature, or another try, ends it.
    pub asked: bool,
    /// Height of its block.
    pub height: Option<u32>,
    /// Height of the best chain when it was made.
    pub tip: u32,
    /// Whether it is in the books.
    pub settled: bool,
    /// When it was made.
    pub created: Moment,
    /// When it changed last.
    pub updated: Moment,
}

fn read(row: &mut Row) -> Result<TransactionRow, StoreError> {
    Ok(TransactionRow {
        txid: row.text()?,
        group: row.text()?,
        wallet: row.parse()?,
        state: TransactionState::parse(&row.text()?)?,
        psbt: row.bytes()?,
        raw: row.bytes()?,
        fee_sats: row.count()?,
        rate: row.count()?,
        fee_hold: row.bytes()?,
        asked: flag(row.int()?),
        height: height(row.int()?)?,
        tip: row.count()?,
        settled: flag(row.int()?),
        created: row.moment()?,
        updated: row.moment()?,
    })
}

macro_rules! select {
    ($tail:literal) => {
        concat!(
            "SELECT txid, grp, wallet, state, psbt, raw, fee, rate, fee_hold, asked, height, tip, settled, created,
             updated FROM transactions ",
            $tail
        )
    };
}

fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl TransactionRow {
    /// Writes it.
    pub fn insert(&self) -> Statement {
        Statement::new(
            "INSERT INTO transactions (txid, grp, wallet, state, psbt, raw, fee, rate, fee_hold, asked, height, tip,
             settled, created, updated) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        )
        .bind(self.txid.as_str())
        .bind(self.group.as_str())
        .bind(self.wallet.as_str())
        .bind(self.state.as_str())
        .bind(self.psbt.clone())
        .bind(self.raw.clone())
        .bind(int(self.fee_sats))
        .bind(int(self.rate))
        .bind(self.fee_hold.clone())
        .bind(i64::from(self.asked))
        .bind(self.height.map_or(-1, i64::from))
        .bind(i64::from(self.tip))
        .bind(i64::from(self.settled))
        .bind(self.created)
        .bind(self.updated)
    }

    /// Brings the row to what this one says, if it is still in the state `from`.
    pub fn update(&self, from: TransactionState) -> Statement {
        Statement::new(
            "UPDATE transactions SET state = $3, raw = $4, asked = $5, height = $6, settled = $7, updated = $8
             WHERE txid = $1 AND state = $2",
        )
        .bind(self.txid.as_str())
        .bind(from.as_str())
        .bind(self.state.as_str())
        .bind(self.raw.clone())
        .bind(i64::from(self.asked))
        .bind(self.height.map_or(-1, i64::from))
        .bind(i64::from(self.settled))
        .bind(self.updated)
        .expect(1)
    }
}

impl Store {
    /// The try with this identifier.
    pub async fn transaction(&self, txid: &str) -> Result<Option<TransactionRow>, StoreError> {
        self.fetch(select!("WHERE txid = $1"), vec![txid.into()]).await?.first_mut().map(read).transpose()
    }

    /// Tries in a state, oldest first.
    pub async fn transactions_in(&self, state: TransactionState) -> Result<Vec<TransactionRow>, StoreError> {
        let values = vec![state.as_str().into()];
        self.fetch(select!("WHERE state = $1 ORDER BY created, txid"), values).await?.iter_mut().map(read).collect()
    }

    /// All tries of a group, oldest first.
    pub async fn transactions_of_group(&self, group: &str) -> Result<Vec<TransactionRow>, StoreError> {
        let rows = self.fetch(select!("WHERE grp = $1 ORDER BY created, txid"), vec![group.into()]).await?;
        rows.into_iter().map(|mut row| read(&mut row)).collect()
    }

    /// Tries on which the books and the chain differ: in a block and not settled, or settled and in no block.
    pub async fn transactions_unsettled(&self) -> Result<Vec<TransactionRow>, StoreError> {
        let sql = select!("WHERE (height >= 0 AND settled = 0) OR (height < 0 AND settled = 1)");
        self.fetch(sql, vec![]).await?.iter_mut().map(read).collect()
    }

    /// Tries in blocks above a height.
    pub async fn transactions_above(&self, height: u32) -> Result<Vec<TransactionRow>, StoreError> {
        let rows = self.fetch(select!("WHERE height > $1 ORDER BY txid"), vec![i64::from(height).into()]).await?;
        rows.into_iter().map(|mut row| read(&mut row)).collect()
    }
}
