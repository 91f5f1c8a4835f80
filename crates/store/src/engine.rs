//! SQLite and PostgreSQL behind one small face: integers, texts and bytes, `$n` parameters, no NULLs.

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous};
use sqlx::{
    AssertSqlSafe, Column as _, ConnectOptions as _, Connection as _, PgConnection, PgPool, Row as _, SqliteConnection,
    SqlitePool, TypeInfo as _, ValueRef as _,
};

use crate::error::StoreError;

/// A value of a row or a statement. There are no NULLs: what is absent is an empty text or a number that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number, a moment in microseconds, or a truth (0, 1).
    Int(i64),
    /// A text.
    Text(String),
    /// Bytes; amounts are 16 of them, most significant first.
    Bytes(Vec<u8>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Value {
        Value::Int(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Value {
        Value::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Value {
        Value::Text(value)
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Value {
        Value::Bytes(value)
    }
}

impl From<types::Amount> for Value {
    fn from(value: types::Amount) -> Value {
        Value::Bytes(value.to_be_bytes().to_vec())
    }
}

impl From<types::Moment> for Value {
    fn from(value: types::Moment) -> Value {
        Value::Int(value.micros())
    }
}

impl From<types::Digest> for Value {
    fn from(value: types::Digest) -> Value {
        Value::Bytes(value.as_bytes().to_vec())
    }
}

/// A row that was read; its columns are taken in order.
#[derive(Debug)]
pub struct Row(std::vec::IntoIter<Value>);

impl Row {
    /// The next column, a number.
    pub fn int(&mut self) -> Result<i64, StoreError> {
        match self.0.next() {
            Some(Value::Int(value)) => Ok(value),
            other => Err(StoreError::corrupt("a number", other.as_ref())),
        }
    }

    /// The next column, a text.
    pub fn text(&mut self) -> Result<String, StoreError> {
        match self.0.next() {
            Some(Value::Text(value)) => Ok(value),
            other => Err(StoreError::corrupt("a text", other.as_ref())),
        }
    }

    /// The next column, bytes.
    pub fn bytes(&mut self) -> Result<Vec<u8>, StoreError> {
        match self.0.next() {
            Some(Value::Bytes(value)) => Ok(value),
            other => Err(StoreError::corrupt("bytes", other.as_ref())),
        }
    }

    /// The next column, a whole number that is not negative.
    pub fn count<T: TryFrom<i64>>(&mut self) -> Result<T, StoreError> {
        let value = self.int()?;
        T::try_from(value).map_err(|_| StoreError::Corrupt(format!("{value} is out of range")))
    }

    /// The next column, an amount.
    pub fn amount(&mut self) -> Result<types::Amount, StoreError> {
        let bytes = self.bytes()?;
        let bytes = <[u8; 16]>::try_from(bytes.as_slice());
        bytes.map(types::Amount::from_be_bytes).map_err(|_| StoreError::Corrupt("an amount has 16 bytes".to_owned()))
    }

    /// The next column, a moment.
    pub fn moment(&mut self) -> Result<types::Moment, StoreError> {
        self.int().map(types::Moment::from_micros)
    }

    /// The next column, a digest.
    pub fn digest(&mut self) -> Result<types::Digest, StoreError> {
        let bytes = <[u8; 32]>::try_from(self.bytes()?.as_slice());
        bytes.map(types::Digest::from_bytes).map_err(|_| StoreError::Corrupt("a digest has 32 bytes".to_owned()))
    }

    /// The next column, a text with a form.
    pub fn parse<T: std::str::FromStr>(&mut self) -> Result<T, StoreError> {
        let text = self.text()?;
        text.parse().map_err(|_| StoreError::Corrupt(format!("\"{text}\" has no form")))
    }
}

/// Where the data is: `sqlite:PATH` or `postgres://USER@HOST/DATABASE`.
#[derive(Clone, Debug)]
pub enum Location {
    /// A file.
    Sqlite(SqliteConnectOptions),
    /// A server.
    Postgres(PgConnectOptions),
}

/// How long a reader or writer waits for another one's lock.
const BUSY: Duration = Duration::from_secs(10);

impl Location {
    /// Reads a location.
    pub fn parse(text: &str) -> Result<Location, StoreError> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            let options = SqliteConnectOptions::new()
                .filename(path)
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                // Durable means durable: the write-ahead log is synced at every commit.
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(BUSY)
                .foreign_keys(true)
                // Moved into the database by a thread of its own, not in the middle of a commit.
                .pragma("wal_autocheckpoint", "0")
                .pragma("temp_store", "memory");
            return Ok(Location::Sqlite(options.disable_statement_logging()));
        }
        if text.starts_with("postgres:") || text.starts_with("postgresql:") {
            let options = PgConnectOptions::from_str(text).map_err(|_| StoreError::Location)?;
            return Ok(Location::Postgres(options.disable_statement_logging()));
        }
        Err(StoreError::Location)
    }

    pub(crate) async fn connect(&self) -> Result<Connection, StoreError> {
        Ok(match self {
            Location::Sqlite(options) => Connection::Sqlite(options.connect().await?),
            Location::Postgres(options) => {
                let mut connection = Connection::Postgres(options.connect().await?);
                check_durable(&mut connection).await?;
                connection
            }
        })
    }

    pub(crate) async fn pool(&self) -> Result<Pool, StoreError> {
        Ok(match self {
            Location::Sqlite(options) => {
                let options = options.clone().read_only(true);
                Pool::Sqlite(SqlitePoolOptions::new().max_connections(4).connect_lazy_with(options))
            }
            Location::Postgres(options) => {
                Pool::Postgres(PgPoolOptions::new().max_connections(4).connect_lazy_with(options.clone()))
            }
        })
    }
}

/// What makes a confirmed commit survive a loss of power, and where people set it. Without either, a step that was confirmed, and that
/// something outside was done about, can be undone behind our back.
const DURABLE: [(&str, &str); 2] = [
    ("synchronous_commit", "postgresql.conf, and nothing else at the role, the database or the address"),
    ("fsync", "postgresql.conf"),
];

/// Refuses a server that confirms before its disk has it. Asked of every connection that writes, since a server can be started anew with
/// other settings; the answer is what holds in this session, whether the role, the database, the address or the server says so.
async fn check_durable(connection: &mut Connection) -> Result<(), StoreError> {
    for (setting, place) in DURABLE {
        let mut rows = connection.fetch("SELECT current_setting($1)", &[Value::from(setting)]).await?;
        // Other values of synchronous_commit than this wait for the server's own disk at least.
        if rows.first_mut().map_or(Ok(String::new()), Row::text)? == "off" {
            return Err(StoreError::Forgetful { setting, place });
        }
    }
    Ok(())
}

/// Connections for reading.
#[derive(Clone, Debug)]
pub(crate) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// The writer's connection.
#[derive(Debug)]
pub(crate) enum Connection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

macro_rules! bound {
    ($sql:expr, $values:expr) => {
        $values.iter().fold(sqlx::query(AssertSqlSafe($sql)), |query, value| match value {
            Value::Int(value) => query.bind(*value),
            Value::Text(value) => query.bind(value.as_str()),
            Value::Bytes(value) => query.bind(value.as_slice()),
        })
    };
}

impl Pool {
    pub(crate) async fn fetch(&self, sql: &'static str, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        match self {
            Pool::Sqlite(pool) => bound!(sql, values).fetch_all(pool).await?.iter().map(sqlite_row).collect(),
            Pool::Postgres(pool) => bound!(sql, values).fetch_all(pool).await?.iter().map(postgres_row).collect(),
        }
    }
}

impl Connection {
    /// Runs one statement; how many rows it changed.
    pub(crate) async fn run(&mut self, sql: &'static str, values: &[Value]) -> Result<u64, StoreError> {
        Ok(match self {
            Connection::Sqlite(connection) => bound!(sql, values).execute(connection).await?.rows_affected(),
            Connection::Postgres(connection) => bound!(sql, values).execute(connection).await?.rows_affected(),
        })
    }

    pub(crate) async fn fetch(&mut self, sql: &'static str, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        match self {
            Connection::Sqlite(connection) => {
                bound!(sql, values).fetch_all(connection).await?.iter().map(sqlite_row).collect()
            }
            Connection::Postgres(connection) => {
                bound!(sql, values).fetch_all(connection).await?.iter().map(postgres_row).collect()
            }
        }
    }

    /// Runs several statements without parameters.
    pub(crate) async fn script(&mut self, sql: String) -> Result<(), StoreError> {
        match self {
            Connection::Sqlite(connection) => {
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(|_| ())?
            }
            Connection::Postgres(connection) => {
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(|_| ())?;
            }
        }
        Ok(())
    }

    /// Begins to write; SQLite takes the lock now, so that nothing fails for it later.
    pub(crate) async fn begin(&mut self) -> Result<(), StoreError> {
        let sql = match self {
            Connection::Sqlite(_) => "BEGIN IMMEDIATE",
            Connection::Postgres(_) => "BEGIN",
        };
        self.run(sql, &[]).await.map(|_| ())
    }

    pub(crate) async fn close(self) {
        // Whatever the server says now, the connection is gone.
        let _ = match self {
            Connection::Sqlite(connection) => connection.close().await,
            Connection::Postgres(connection) => connection.close().await,
        };
    }
}

fn sqlite_row(row: &SqliteRow) -> Result<Row, StoreError> {
    let value = |column: &sqlx::sqlite::SqliteColumn| {
        let place = column.ordinal();
        let kind = row.try_get_raw(place)?.type_info().name().to_owned();
        match kind.as_str() {
            "INTEGER" => Ok(Value::Int(row.try_get(place)?)),
            "TEXT" => Ok(Value::Text(row.try_get(place)?)),
            "BLOB" => Ok(Value::Bytes(row.try_get(place)?)),
            other => Err(StoreError::Corrupt(format!("a column holds {other}"))),
        }
    };
    let values: Vec<_> = row.columns().iter().map(value).collect::<Result<_, StoreError>>()?;
    Ok(Row(values.into_iter()))
}

fn postgres_row(row: &PgRow) -> Result<Row, StoreError> {
    let value = |column: &sqlx::postgres::PgColumn| {
        let place = column.ordinal();
        match column.type_info().name() {
            "INT8" => Ok(Value::Int(row.try_get(place)?)),
            "TEXT" => Ok(Value::Text(row.try_get(place)?)),
            "BYTEA" => Ok(Value::Bytes(row.try_get(place)?)),
            other => Err(StoreError::Corrupt(format!("a column holds {other}"))),
        }
    };
    let values: Vec<_> = row.columns().iter().map(value).collect::<Result<_, StoreError>>()?;
    Ok(Row(values.into_iter()))
}
