//! The books, read from the first record to the last and compared with everything that is derived from them.

use std::collections::HashMap;

use ledger::{Account, Book, SEAL_GENESIS, seal};
use types::Digest;

use crate::engine::Connection;
use crate::error::StoreError;
use crate::journal;
use crate::state::Fence;
use crate::store::Balance;

pub(crate) async fn books(connection: &mut Connection, now: &[Balance]) -> Result<u64, StoreError> {
    let mut book = Book::default();
    for balance in now {
        let account = Account { asset: balance.account.asset, ..Account::default() };
        book.open(account).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    }
    // What was committed after the balances were taken is none of their business.
    let end = now.iter().map(|balance| balance.account.last).max().unwrap_or(0);
    let mut sealed = seals(connection).await?;
    let fence = Fence::load(connection).await?;
    sealed.insert(fence.seq, fence.seal);
    let mut hash = SEAL_GENESIS;
    let mut next = 1;
    while next <= end {
        let records = journal::load_records(connection, next).await?;
        if records.is_empty() {
            return Err(StoreError::Corrupt(format!("record {next} is missing")));
        }
        for record in records.iter().take_while(|record| record.seq <= end) {
            if record.seq != next {
                return Err(StoreError::Corrupt(format!("record {next} is missing")));
            }
            hash = seal(&hash, record);
            if sealed.get(&record.seq).is_some_and(|sealed| *sealed != hash) {
                return Err(StoreError::Seal(record.seq));
            }
            book.replay(record).map_err(|error| StoreError::Corrupt(format!("record {next}: {error}")))?;
            next += 1;
        }
    }
    for balance in now {
        let counted = book.account(balance.id).map(|account| account.counters);
        if counted != Some(balance.account.counters) {
            return Err(StoreError::Corrupt(format!(
                "the balance of {} is not what its records add up to",
                balance.name
            )));
        }
    }
    for asset in now.iter().map(|balance| balance.account.asset) {
        let sums = book.sums(asset).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        if let [debits, credits] = sums
            && debits != credits
        {
            return Err(StoreError::Corrupt(format!("debits {debits} and credits {credits} differ")));
        }
    }
    Ok(end)
}

/// The seals that the audit log has, by the record at which each stands.
async fn seals(connection: &mut Connection) -> Result<HashMap<u64, Digest>, StoreError> {
    let sql = "SELECT subject, detail FROM audit WHERE action = 'books.sealed'";
    let mut seals = HashMap::new();
    for mut row in connection.fetch(sql, &[]).await? {
        let subject = row.text()?;
        let end = subject.rsplit_once('-').and_then(|(_, end)| end.parse().ok());
        let end = end.ok_or_else(|| StoreError::Corrupt(format!("a seal over {subject}")))?;
        seals.insert(end, row.parse()?);
    }
    Ok(seals)
}
