//! The books, read from the first record to the last and compared with everything that is derived from them.

use ledger::{Account, Book, SEAL_GENESIS, seal};

use crate::engine::{Connection, Value};
use crate::error::StoreError;
use crate::journal;
use crate::store::Balance;

pub(crate) async fn books(connection: &mut Connection, now: &[Balance]) -> Result<u64, StoreError> {
    let mut book = Book::default();
    for balance in now {
        let account = Account { asset: balance.account.asset, ..Account::default() };
        book.open(account).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    }
    // What was committed after the balances were taken is none of their business.
    let end = now.iter().map(|balance| balance.account.last).max().unwrap_or(0);
    let mut hash = SEAL_GENESIS;
    let mut next = 1;
    while next <= end {
        let records = journal::load_records(connection, next).await?;
        let Some(last) = records.last().map(|record| record.seq) else {
            return Err(StoreError::Corrupt(format!("record {next} is missing")));
        };
        let sql = "SELECT seq, hash FROM seals WHERE seq >= $1 AND seq <= $2 ORDER BY seq";
        let int = |seq| Value::Int(i64::try_from(seq).unwrap_or(i64::MAX));
        let mut seals = connection.fetch(sql, &[int(next), int(last)]).await?.into_iter();
        let mut expected = seals.next().map(|mut row| Ok::<_, StoreError>((row.count::<u64>()?, row.digest()?)));
        for record in records.iter().take_while(|record| record.seq <= end) {
            if record.seq != next {
                return Err(StoreError::Corrupt(format!("record {next} is missing")));
            }
            hash = seal(&hash, record);
            if let Some(Ok((seq, sealed))) = &expected
                && *seq == record.seq
            {
                if *sealed != hash {
                    return Err(StoreError::Seal(record.seq));
                }
                expected = seals.next().map(|mut row| Ok((row.count()?, row.digest()?)));
            }
            book.replay(record).map_err(|error| StoreError::Corrupt(format!("record {next}: {error}")))?;
            next += 1;
        }
        if let Some(Err(error)) = expected {
            return Err(error);
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
