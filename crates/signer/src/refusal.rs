//! Refusals: each with a stable name, the reason in words, and whether trying again can help.

use std::borrow::Cow;

use signer_wire::Refusal;

/// Something was not done, by name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {reason}")]
pub struct Refused {
    /// Stable name of the rule.
    pub code: Cow<'static, str>,
    /// Why, in words.
    pub reason: String,
    /// Whether the same question can be answered later.
    pub retry: bool,
}

impl Refused {
    /// A refusal that stands.
    pub fn new(code: &'static str, reason: impl Into<String>) -> Refused {
        Refused { code: Cow::Borrowed(code), reason: reason.into(), retry: false }
    }

    /// A refusal whose cause can go away without the asker's doing: with time, or by a quorum.
    pub fn for_now(code: &'static str, reason: impl Into<String>) -> Refused {
        Refused { code: Cow::Borrowed(code), reason: reason.into(), retry: true }
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Refusal {
        Refusal { code: refused.code.into_owned(), reason: refused.reason, retry: refused.retry }
    }
}
