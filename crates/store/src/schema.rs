//! Tables. Only `BIGINT`, `TEXT` and bytes; no NULLs, no clock and no sequence of the engine's.

use crate::engine::{Connection, Location, Value};
use crate::error::StoreError;

/// Migrations, in order; what was released is never changed.
const MIGRATIONS: &[&str] = &[
    include_str!("schema/0001_books.sql"),
    include_str!("schema/0002_custody.sql"),
    include_str!("schema/0003_operators.sql"),
    include_str!("schema/0004_carried.sql"),
    include_str!("schema/0005_watched.sql"),
];

/// What only one of the engines understands.
const SQLITE: &str = include_str!("schema/sqlite.sql");
const POSTGRES: &str = include_str!("schema/postgres.sql");

pub(crate) async fn migrate(connection: &mut Connection, location: &Location) -> Result<(), StoreError> {
    connection.script("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT PRIMARY KEY)".to_owned()).await?;
    connection.begin().await?;
    let mut rows =
        connection.fetch("SELECT CAST(COALESCE(MAX(version), 0) AS BIGINT) FROM schema_version", &[]).await?;
    let found = rows.first_mut().map_or(Ok(0), |row| row.int())?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        connection.run("ROLLBACK", &[]).await?;
        return Err(StoreError::Schema { found, known });
    }
    for (number, text) in (1i64..).zip(MIGRATIONS) {
        if number > found {
            connection.script(dialect(text, location)).await?;
            connection.run("INSERT INTO schema_version (version) VALUES ($1)", &[Value::Int(number)]).await?;
        }
    }
    // The tables that these rules protect came with the first two.
    if found < 2 {
        let own = if matches!(location, Location::Sqlite(_)) { SQLITE } else { POSTGRES };
        connection.script(own.to_owned()).await?;
    }
    connection.run("COMMIT", &[]).await.map(|_| ())
}

fn dialect(text: &str, location: &Location) -> String {
    let (bytes, key) = match location {
        // Only INTEGER makes a key the row's own number in SQLite.
        Location::Sqlite(_) => ("BLOB", "INTEGER"),
        Location::Postgres(_) => ("BYTEA", "BIGINT"),
    };
    text.replace("{BYTES}", bytes).replace("{KEY}", key)
}
