use serde_json::{Map, Value};
use types::{Digest, Moment};

use crate::entry::{Draft, Entry, GENESIS};

/// One line of an export: a JSON object (RFC 8259) of strings, without the line feed.
pub fn to_line(entry: &Entry) -> String {
    let mut object = Map::new();
    let mut put = |name: &str, value: String| object.insert(name.to_owned(), Value::String(value));
    put("seq", entry.seq.to_string());
    put("at_micros", entry.draft.at.micros().to_string());
    put("actor", entry.draft.actor.clone());
    put("action", entry.draft.action.clone());
    put("subject", entry.draft.subject.clone());
    put("detail", entry.draft.detail.clone());
    put("previous", entry.previous.to_string());
    put("hash", entry.hash.to_string());
    Value::Object(object).to_string()
}

/// The first entry of an export that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// The line is not an entry.
    #[error("line {line} is not an entry: {reason}")]
    Form {
        /// The line, from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// Entries are missing, doubled or in another order.
    #[error("entry {found} stands where entry {expected} should: entries are missing, doubled or out of order")]
    Sequence {
        /// The number that should stand here.
        expected: u64,
        /// The number that stands here.
        found: u64,
    },
    /// The entry does not continue the one before it.
    #[error("entry {0} does not continue the one before it: one of the two was changed")]
    Chain(u64),
    /// The entry's content does not have the entry's hash.
    #[error("entry {0} was changed: its content does not have its hash")]
    Hash(u64),
}

/// What an intact export shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How many entries.
    pub entries: u64,
    /// Number of the last.
    pub seq: u64,
    /// Hash of the last: compare it with a hash that was noted elsewhere, or the log may have been written anew as a whole.
    pub head: Digest,
}

/// Checks an export line by line, in constant memory. An export may begin at any entry; its first entry's `previous` is
/// then taken as given.
#[derive(Clone, Debug, Default)]
pub struct Verifier {
    lines: u64,
    last: Option<(u64, Digest)>,
}

impl Verifier {
    /// Checks the next line.
    pub fn line(&mut self, line: &str) -> Result<Entry, ExportError> {
        self.lines += 1;
        let number = self.lines;
        let entry = parse(line).map_err(|reason| ExportError::Form { line: number, reason })?;
        let (expected, previous) = match self.last {
            Some((seq, hash)) => (seq.saturating_add(1), hash),
            None if entry.seq == 1 => (1, GENESIS),
            None => (entry.seq, entry.previous),
        };
        if entry.seq != expected {
            return Err(ExportError::Sequence { expected, found: entry.seq });
        }
        if entry.previous != previous {
            return Err(ExportError::Chain(entry.seq));
        }
        if Entry::hash_of(entry.seq, &entry.draft, &entry.previous) != entry.hash {
            return Err(ExportError::Hash(entry.seq));
        }
        self.last = Some((entry.seq, entry.hash));
        Ok(entry)
    }

    /// What was seen, if anything.
    pub fn verdict(&self) -> Option<Verdict> {
        self.last.map(|(seq, head)| Verdict { entries: self.lines, seq, head })
    }
}

fn parse(line: &str) -> Result<Entry, String> {
    let object: Map<String, Value> = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let text = |name: &str| {
        object
            .get(name)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| format!("the field {name} is missing"))
    };
    let digest = |name: &str| text(name)?.parse::<Digest>().map_err(|error| format!("{name}: {error}"));
    let entry = Entry {
        seq: text("seq")?.parse().map_err(|_| "seq is not a number".to_owned())?,
        draft: Draft {
            at: Moment::from_micros(text("at_micros")?.parse().map_err(|_| "at_micros is not a number".to_owned())?),
            actor: text("actor")?,
            action: text("action")?,
            subject: text("subject")?,
            detail: text("detail")?,
        },
        previous: digest("previous")?,
        hash: digest("hash")?,
    };
    // One spelling: a byte that changes nothing that is hashed (a space, a doubled field) is a change all the same.
    if to_line(&entry) == line { Ok(entry) } else { Err("not in the spelling of an export".to_owned()) }
}
