//! Movements of backup media: what, from where, to where, under which seal, and by which two people.

use types::{Moment, OperatorId};

use crate::core::Core;
use crate::life::Actor;
use crate::refusal::{Code, Refused};

/// The word in the journal.
pub const STEP: &str = "medium";
/// Longest text of a movement, in bytes.
const TEXT_BYTES_MAX: usize = 64;

/// A medium that was moved.
pub struct Movement<'a> {
    /// Its name, such as the set and share that it holds.
    pub medium: &'a str,
    /// Where it was.
    pub from: &'a str,
    /// Where it is.
    pub to: &'a str,
    /// The number of its seal.
    pub seal: &'a str,
    /// Who moved it.
    pub person: &'a OperatorId,
    /// Who was there.
    pub second: &'a OperatorId,
}

/// Writes a movement down.
///
/// # Errors
/// `second-person` when one person would be both; `medium` for a text that is empty or too long.
pub fn record(core: &mut Core, movement: &Movement<'_>, terminal: &str, now: Moment) -> Result<String, Refused> {
    if movement.person == movement.second {
        return Err(Refused::new(Code::SecondPerson, "a medium is moved by two people, and both say so"));
    }
    for (what, text) in
        [("medium", movement.medium), ("from", movement.from), ("to", movement.to), ("seal", movement.seal)]
    {
        if text.is_empty() || text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
            let reason = format!("\"{what}\" has 1 to {TEXT_BYTES_MAX} bytes without control characters");
            return Err(Refused::new(Code::Medium, reason));
        }
    }
    let Movement { medium, from, to, seal, person, second } = movement;
    let detail = format!("{medium} from {from} to {to}, seal {seal}; with {second}");
    let by = Actor { person: person.to_string(), terminal: terminal.to_owned(), cause: "medium moved".to_owned() };
    core.ceremony(STEP, &detail, Vec::new(), &by, "", now)?;
    Ok(detail)
}
