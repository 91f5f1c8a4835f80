use ledger::Refusal;

use crate::engine::Value;

/// What went wrong with the storage.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The location has no form.
    #[error("the database is named sqlite:PATH or postgres://USER@HOST/DATABASE")]
    Location,
    /// The engine failed: it is away, its disk is full, or its files are damaged. Nothing was changed; try again later.
    #[error("the database failed")]
    Engine(#[from] sqlx::Error),
    /// What is stored cannot be what was written.
    #[error("the database holds what was never written: {0}")]
    Corrupt(String),
    /// The books do not have the seal that they had.
    #[error("the books were changed: record {0} and those before it do not have their seal")]
    Seal(u64),
    /// Another process writes now.
    #[error("another claviger has taken over this database; this one writes no more")]
    Fenced,
    /// The server may confirm what it then forgets.
    #[error(
        "PostgreSQL runs with {setting} = off: what it confirms can be gone after a loss of power, and a payment be made twice; \
         set {setting} = on {place}, and start again"
    )]
    Forgetful {
        /// The setting's name.
        setting: &'static str,
        /// Where people set it.
        place: &'static str,
    },
    /// A schema of a later version.
    #[error("the database has schema {found}, this program knows {known}; use a newer program")]
    Schema {
        /// Found.
        found: i64,
        /// Newest known.
        known: i64,
    },
}

impl StoreError {
    pub(crate) fn corrupt(expected: &str, found: Option<&Value>) -> StoreError {
        let kind = match found {
            Some(Value::Int(_)) => "a number",
            Some(Value::Text(_)) => "a text",
            Some(Value::Bytes(_)) => "bytes",
            None => "nothing",
        };
        StoreError::Corrupt(format!("{kind} where {expected} should be"))
    }

    /// Whether a statement was against a constraint, and so alone is to blame.
    pub(crate) fn is_constraint(&self) -> bool {
        let StoreError::Engine(sqlx::Error::Database(error)) = self else { return false };
        error.is_unique_violation() || error.is_check_violation() || error.is_foreign_key_violation()
    }
}

/// Why a move was not made. Nothing of it was written then.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A row was not in the state that the move starts from: another did the step, or undid the one before.
    #[error("what this step builds on has changed meanwhile")]
    Stale,
    /// The rules of the books refuse.
    #[error("the books refuse this: {0}")]
    Ledger(#[from] Refusal),
    /// A row with this name is there already, or a value is against the schema.
    #[error("the database refuses this row")]
    Constraint,
    /// The storage failed; the step can be repeated, whether or not it was written.
    #[error("the step could not be made durable ({0}); it will be repeated")]
    Storage(String),
    /// Another process writes now.
    #[error("another claviger has taken over this database; this one writes no more")]
    Fenced,
}
