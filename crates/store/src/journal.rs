//! The books' rows: records in bulk, balances and holds behind them.

use std::collections::HashMap;

use ledger::{Account, AccountId, Counters, Hold, Kind, Record, Rules, Transfer, TransferId};
use types::Amount;

use crate::engine::{Connection, Row, Value};
use crate::error::StoreError;

/// Rows of one INSERT in SQLite, largest first; each has a text of its own, so that the engine prepares it once.
const SIZES: [usize; 4] = [500, 50, 5, 1];

fn trail(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(112);
    bytes.extend_from_slice(&record.transfer.kind.hold().map_or(0, |id| id.0).to_be_bytes());
    bytes.extend_from_slice(&record.held.to_be_bytes());
    bytes.extend_from_slice(&record.debit_previous.to_be_bytes());
    bytes.extend_from_slice(&record.credit_previous.to_be_bytes());
    bytes.extend_from_slice(&record.after_bytes());
    bytes
}

/// Numbers of records and accounts come from memory and fit.
fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// `INSERT INTO table (columns) VALUES (?, …), …` with anonymous parameters: SQLite looks named ones up one by one.
fn values_text(head: &'static str, columns: usize, rows: usize) -> &'static str {
    use std::sync::{LazyLock, Mutex};
    type Texts = HashMap<(&'static str, usize), &'static str>;
    static TEXTS: LazyLock<Mutex<Texts>> = LazyLock::new(Mutex::default);
    let mut texts = TEXTS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // A handful of texts in the life of the process, kept for ever.
    texts.entry((head, rows)).or_insert_with(|| {
        let row = format!("({})", vec!["?"; columns].join(","));
        Box::leak(format!("{head} VALUES {}", vec![row; rows].join(",")).into_boxed_str())
    })
}

async fn in_chunks(
    connection: &mut sqlx::SqliteConnection,
    head: &'static str,
    columns: usize,
    values: Vec<Value>,
) -> Result<(), StoreError> {
    let mut values = values.into_iter();
    while values.len() > 0 {
        let left = values.len() / columns;
        let rows = SIZES.into_iter().find(|size| *size <= left).unwrap_or(1);
        let mut query = sqlx::query(values_text(head, columns, rows));
        for value in values.by_ref().take(rows * columns) {
            query = match value {
                Value::Int(value) => query.bind(value),
                Value::Text(value) => query.bind(value),
                Value::Bytes(value) => query.bind(value),
            };
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

pub(crate) async fn insert(connection: &mut Connection, records: &[Record]) -> Result<(), StoreError> {
    match connection {
        Connection::Sqlite(connection) => {
            let mut values = Vec::with_capacity(records.len() * 9);
            for record in records {
                let transfer = &record.transfer;
                values.push(Value::Int(int(record.seq)));
                values.push(Value::Bytes(transfer.id.0.to_be_bytes().to_vec()));
                values.push(Value::Int(transfer.debit.0.into()));
                values.push(Value::Int(transfer.credit.0.into()));
                values.push(transfer.amount.into());
                values.push(Value::Int(transfer.kind.number().into()));
                values.push(record.at.into());
                values.push(Value::Text(record.cause.to_string()));
                values.push(Value::Bytes(trail(record)));
            }
            let head = "INSERT INTO journal (seq, id, debit, credit, amount, kind, at, cause, trail)";
            in_chunks(connection, head, 9, values).await
        }
        Connection::Postgres(connection) => {
            let column = |value: fn(&Record) -> i64| records.iter().map(value).collect::<Vec<i64>>();
            let bytes = |value: fn(&Record) -> Vec<u8>| records.iter().map(value).collect::<Vec<_>>();
            sqlx::query(
                "INSERT INTO journal (seq, id, debit, credit, amount, kind, at, cause, trail) SELECT * FROM UNNEST(
                 $1::bigint[], $2::bytea[], $3::bigint[], $4::bigint[], $5::bytea[], $6::bigint[], $7::bigint[],
                 $8::text[], $9::bytea[])",
            )
            .bind(column(|record| int(record.seq)))
            .bind(bytes(|record| record.transfer.id.0.to_be_bytes().to_vec()))
            .bind(column(|record| record.transfer.debit.0.into()))
            .bind(column(|record| record.transfer.credit.0.into()))
            .bind(bytes(|record| record.transfer.amount.to_be_bytes().to_vec()))
            .bind(column(|record| record.transfer.kind.number().into()))
            .bind(column(|record| record.at.micros()))
            .bind(records.iter().map(|record| record.cause.to_string()).collect::<Vec<_>>())
            .bind(bytes(trail))
            .execute(connection)
            .await?;
            Ok(())
        }
    }
}

pub(crate) async fn insert_audit(connection: &mut Connection, entries: &[audit_log::Entry]) -> Result<(), StoreError> {
    match connection {
        Connection::Sqlite(connection) => {
            let mut values = Vec::with_capacity(entries.len() * 8);
            for audit_log::Entry { seq, draft, previous, hash } in entries {
                values.extend([Value::Int(int(*seq)), draft.at.into(), draft.actor.as_str().into()]);
                values.extend([
                    draft.action.as_str().into(),
                    draft.subject.as_str().into(),
                    draft.detail.as_str().into(),
                ]);
                values.extend([(*previous).into(), (*hash).into()]);
            }
            let head = "INSERT INTO audit (seq, at, actor, action, subject, detail, previous, hash)";
            in_chunks(connection, head, 8, values).await
        }
        Connection::Postgres(connection) => {
            let text = |field: fn(&audit_log::Draft) -> &String| -> Vec<String> {
                entries.iter().map(|entry| field(&entry.draft).clone()).collect()
            };
            sqlx::query(
                "INSERT INTO audit (seq, at, actor, action, subject, detail, previous, hash) SELECT * FROM UNNEST(
                 $1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[], $8::bytea[])",
            )
            .bind(entries.iter().map(|entry| int(entry.seq)).collect::<Vec<_>>())
            .bind(entries.iter().map(|entry| entry.draft.at.micros()).collect::<Vec<_>>())
            .bind(text(|draft| &draft.actor))
            .bind(text(|draft| &draft.action))
            .bind(text(|draft| &draft.subject))
            .bind(text(|draft| &draft.detail))
            .bind(entries.iter().map(|entry| entry.previous.as_bytes().to_vec()).collect::<Vec<_>>())
            .bind(entries.iter().map(|entry| entry.hash.as_bytes().to_vec()).collect::<Vec<_>>())
            .execute(connection)
            .await?;
            Ok(())
        }
    }
}

pub(crate) async fn flush(
    connection: &mut Connection,
    accounts: &[(AccountId, Account)],
    opened: &[(TransferId, Hold)],
    ended: &[TransferId],
) -> Result<(), StoreError> {
    if !accounts.is_empty() {
        flush_balances(connection, accounts).await?;
    }
    for id in ended {
        connection.run("DELETE FROM holds WHERE id = $1", &[Value::Bytes(id.0.to_be_bytes().to_vec())]).await?;
    }
    if opened.is_empty() { Ok(()) } else { store_holds(connection, opened).await }
}

async fn store_holds(connection: &mut Connection, opened: &[(TransferId, Hold)]) -> Result<(), StoreError> {
    match connection {
        Connection::Sqlite(connection) => {
            let mut values = Vec::with_capacity(opened.len() * 5);
            for (id, hold) in opened {
                values.push(Value::Bytes(id.0.to_be_bytes().to_vec()));
                values.extend([Value::Int(hold.debit.0.into()), Value::Int(hold.credit.0.into())]);
                values.extend([hold.amount.into(), Value::Int(int(hold.seq))]);
            }
            in_chunks(connection, "INSERT OR IGNORE INTO holds (id, debit, credit, amount, seq)", 5, values).await
        }
        Connection::Postgres(connection) => {
            sqlx::query(
                "INSERT INTO holds (id, debit, credit, amount, seq)
                 SELECT * FROM UNNEST($1::bytea[], $2::bigint[], $3::bigint[], $4::bytea[], $5::bigint[])
                 ON CONFLICT DO NOTHING",
            )
            .bind(opened.iter().map(|(id, _)| id.0.to_be_bytes().to_vec()).collect::<Vec<_>>())
            .bind(opened.iter().map(|(_, hold)| i64::from(hold.debit.0)).collect::<Vec<_>>())
            .bind(opened.iter().map(|(_, hold)| i64::from(hold.credit.0)).collect::<Vec<_>>())
            .bind(opened.iter().map(|(_, hold)| hold.amount.to_be_bytes().to_vec()).collect::<Vec<_>>())
            .bind(opened.iter().map(|(_, hold)| int(hold.seq)).collect::<Vec<_>>())
            .execute(connection)
            .await?;
            Ok(())
        }
    }
}

async fn flush_balances(connection: &mut Connection, accounts: &[(AccountId, Account)]) -> Result<(), StoreError> {
    let amounts = |account: &Account| {
        let counters = &account.counters;
        [counters.debits_pending, counters.debits_posted, counters.credits_pending, counters.credits_posted]
    };
    match connection {
        Connection::Sqlite(connection) => {
            let mut values = Vec::with_capacity(accounts.len() * 6);
            for (id, account) in accounts {
                values.push(Value::Int(id.0.into()));
                values.extend(amounts(account).map(Value::from));
                values.push(Value::Int(int(account.last)));
            }
            // A row is replaced as a whole.
            let head = "INSERT OR REPLACE INTO balances (account, debits_pending, debits_posted, credits_pending, credits_posted, seq)";
            in_chunks(connection, head, 6, values).await
        }
        Connection::Postgres(connection) => {
            let column = |place: usize| -> Vec<Vec<u8>> {
                let of = |account: &Account| amounts(account).get(place).map(|amount| amount.to_be_bytes().to_vec());
                accounts.iter().filter_map(|(_, account)| of(account)).collect()
            };
            sqlx::query(
                "INSERT INTO balances (account, debits_pending, debits_posted, credits_pending, credits_posted, seq)
                 SELECT * FROM UNNEST($1::bigint[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bigint[])
                 ON CONFLICT (account) DO UPDATE SET debits_pending = EXCLUDED.debits_pending,
                 debits_posted = EXCLUDED.debits_posted, credits_pending = EXCLUDED.credits_pending,
                 credits_posted = EXCLUDED.credits_posted, seq = EXCLUDED.seq",
            )
            .bind(accounts.iter().map(|(id, _)| i64::from(id.0)).collect::<Vec<_>>())
            .bind(column(0))
            .bind(column(1))
            .bind(column(2))
            .bind(column(3))
            .bind(accounts.iter().map(|(_, account)| int(account.last)).collect::<Vec<_>>())
            .execute(connection)
            .await?;
            Ok(())
        }
    }
}

/// Accounts in the order of their numbers, with the balances that are stored.
pub(crate) async fn load_accounts(connection: &mut Connection) -> Result<Vec<(String, Account)>, StoreError> {
    let sql = "SELECT id, name, asset, rules FROM accounts ORDER BY id";
    let mut accounts = Vec::new();
    for mut row in connection.fetch(sql, &[]).await? {
        let (id, name) = (row.count::<usize>()?, row.text()?);
        if id != accounts.len() {
            return Err(StoreError::Corrupt(format!("account {} is missing", accounts.len())));
        }
        let asset = row.count()?;
        let rules = row.int()?;
        let rules = Rules::from_bits(rules).ok_or_else(|| StoreError::Corrupt(format!("rules {rules}")))?;
        accounts.push((name, Account { asset, rules, ..Account::default() }));
    }
    let sql = "SELECT account, debits_pending, debits_posted, credits_pending, credits_posted, seq FROM balances";
    for mut row in connection.fetch(sql, &[]).await? {
        let id: usize = row.count()?;
        let counters = Counters {
            debits_pending: row.amount()?,
            debits_posted: row.amount()?,
            credits_pending: row.amount()?,
            credits_posted: row.amount()?,
        };
        let last = row.count()?;
        let (_, account) =
            accounts.get_mut(id).ok_or_else(|| StoreError::Corrupt(format!("a balance of no account {id}")))?;
        account.counters = counters;
        account.last = last;
    }
    Ok(accounts)
}

pub(crate) async fn load_holds(connection: &mut Connection) -> Result<HashMap<TransferId, Hold>, StoreError> {
    let mut holds = HashMap::new();
    for mut row in connection.fetch("SELECT id, debit, credit, amount, seq FROM holds", &[]).await? {
        let id = TransferId(id_of(&row.bytes()?)?);
        let hold = Hold {
            debit: AccountId(row.count()?),
            credit: AccountId(row.count()?),
            amount: row.amount()?,
            seq: row.count()?,
        };
        holds.insert(id, hold);
    }
    Ok(holds)
}

fn id_of(bytes: &[u8]) -> Result<u128, StoreError> {
    <[u8; 16]>::try_from(bytes)
        .map(u128::from_be_bytes)
        .map_err(|_| StoreError::Corrupt("a transfer's name has 16 bytes".to_owned()))
}

pub(crate) fn record(row: &mut Row) -> Result<Record, StoreError> {
    let seq = row.count()?;
    let id = TransferId(id_of(&row.bytes()?)?);
    let debit = AccountId(row.count()?);
    let credit = AccountId(row.count()?);
    let amount = row.amount()?;
    let kind = row.int()?;
    let at = row.moment()?;
    let cause = row.text()?.into_boxed_str();
    let trail = row.bytes()?;
    let wrong = || StoreError::Corrupt(format!("record {seq}"));
    let part = |from: usize, length: usize| trail.get(from..from + length).ok_or_else(wrong);
    let number =
        |from: usize| part(from, 8).and_then(|bytes| bytes.try_into().map(u64::from_be_bytes).map_err(|_| wrong()));
    let sum =
        |from: usize| part(from, 16).and_then(|bytes| bytes.try_into().map(Amount::from_be_bytes).map_err(|_| wrong()));
    let hold = Some(TransferId(sum(0)?.units())).filter(|id| id.0 != 0);
    let kind = Kind::from_parts(kind, hold).ok_or_else(wrong)?;
    Ok(Record {
        seq,
        transfer: Transfer { id, debit, credit, amount, kind },
        at,
        cause,
        held: sum(16)?,
        debit_previous: number(32)?,
        credit_previous: number(40)?,
        debit_after: [sum(48)?, sum(64)?],
        credit_after: [sum(80)?, sum(96)?],
    })
}

/// Up to 10,000 records from `from` on, in order.
pub(crate) async fn load_records(connection: &mut Connection, from: u64) -> Result<Vec<Record>, StoreError> {
    let sql = "SELECT seq, id, debit, credit, amount, kind, at, cause, trail FROM journal WHERE seq >= $1 ORDER BY seq LIMIT 10000";
    connection.fetch(sql, &[Value::Int(int(from))]).await?.iter_mut().map(record).collect()
}

/// The transfer that has a name, if any.
pub(crate) async fn find(connection: &mut Connection, id: TransferId) -> Result<Option<Transfer>, StoreError> {
    let sql = "SELECT seq, id, debit, credit, amount, kind, at, cause, trail FROM journal WHERE id = $1";
    let mut rows = connection.fetch(sql, &[Value::Bytes(id.0.to_be_bytes().to_vec())]).await?;
    rows.first_mut().map(|row| record(row).map(|record| record.transfer)).transpose()
}
