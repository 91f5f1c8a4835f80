//! Refusals: each with a stable name and the reason in words.

use signer_wire::Refusal;
/// The names of refusals.
pub use types::RefusalCode as Code;

/// Something was not done, by name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {reason}")]
pub struct Refused {
    /// Stable name of the rule.
    pub code: Code,
    /// Why, in words.
    pub reason: String,
}

impl Refused {
    /// A refusal by `code`.
    pub fn new(code: Code, reason: impl Into<String>) -> Refused {
        Refused { code, reason: reason.into() }
    }

    /// Whether the same question can be answered later.
    pub const fn retry(&self) -> bool {
        self.code.retry()
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Refusal {
        Refusal::new(refused.code, refused.reason)
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Refused {
        Refused { code: refusal.code, reason: refusal.reason }
    }
}
