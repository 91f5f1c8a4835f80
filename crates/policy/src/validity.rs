//! When an instruction says anything at all: whatever it is for, and whoever approves it.

use types::{Instruction, Moment, RefusalCode};

use crate::charter::Charter;

/// How far a creation time may lie ahead of the reader's clock, in seconds.
pub const FUTURE_SECONDS_MAX: i64 = 300;

/// Why an instruction says nothing here and now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The rule's stable name.
    pub code: RefusalCode,
    /// Why, in words.
    pub reason: String,
}

/// Whether an instruction of any kind is one of this charter's and of this time. What stands for good goes before what time heals.
///
/// # Errors
/// `charter-version`, `expired`, `lifetime`, and last `created-in-future`.
pub fn validity(charter: &Charter, instruction: &Instruction, now: Moment) -> Result<(), Invalid> {
    let invalid = |code: RefusalCode, reason: String| Err(Invalid { code, reason });
    if instruction.charter != charter.version {
        let reason = format!("made under charter version {}, in force is {}", instruction.charter, charter.version);
        return invalid(RefusalCode::CharterVersion, reason);
    }
    if now >= instruction.expires {
        return invalid(RefusalCode::Expired, format!("it expired at {}", instruction.expires));
    }
    let longest = i64::try_from(charter.instruction_seconds_max).unwrap_or(i64::MAX);
    if instruction.expires > instruction.created.plus_seconds(longest) {
        return invalid(RefusalCode::Lifetime, format!("it lives longer than {longest} seconds"));
    }
    if instruction.created > now.plus_seconds(FUTURE_SECONDS_MAX) {
        let reason = format!("it says to be made at {}, which is still to come", instruction.created);
        return invalid(RefusalCode::CreatedInFuture, reason);
    }
    Ok(())
}
