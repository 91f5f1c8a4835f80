//! What a caller did wrong or has to wait for, as problem details (RFC 9457) with stable codes.

use store::{CommitError, StoreError};

/// Why a request was not done. Nothing of it was done then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// Stable code.
    pub code: &'static str,
    /// What is wrong and what to do about it.
    pub detail: String,
    /// The charter's reasoning, one line per rule that was looked at.
    pub explanation: Vec<String>,
}

impl Problem {
    /// A problem without explanation.
    pub fn new(status: u16, code: &'static str, detail: impl Into<String>) -> Problem {
        Problem { status, code, detail: detail.into(), explanation: Vec::new() }
    }

    /// What was asked for is not there.
    pub fn not_found(what: &str) -> Problem {
        Problem::new(404, "not-found", format!("there is no such {what}"))
    }

    /// Something in the request's body is wrong.
    pub fn invalid(code: &'static str, detail: impl Into<String>) -> Problem {
        Problem::new(422, code, detail)
    }

    /// Something that is needed is away; the same request can be sent again.
    pub fn unavailable(code: &'static str, detail: impl Into<String>) -> Problem {
        Problem::new(503, code, detail)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        Problem::unavailable("storage", format!("{error}; nothing was done, send the same request again"))
    }
}

impl From<CommitError> for Problem {
    fn from(error: CommitError) -> Problem {
        match error {
            CommitError::Ledger(ledger::Refusal::InsufficientFunds) => {
                Problem::invalid("insufficient-funds", "the available balance is too small; holds count")
            }
            CommitError::Ledger(refusal) => Problem::invalid("books", format!("the books refuse this: {refusal}")),
            CommitError::Stale | CommitError::Constraint => {
                Problem::new(409, "conflict", "this changed meanwhile; look at it again")
            }
            CommitError::Storage(_) | CommitError::Fenced => {
                Problem::unavailable("storage", format!("{error}; send the same request again"))
            }
        }
    }
}
