//! What is shown: lines of name and value, and whether everything holds.

use std::path::Path;

use policy::Charter;
use serde_json::{Map, Value};
use types::Instruction;

/// Findings, in order.
#[derive(Debug, Default)]
pub struct Report {
    lines: Vec<(String, String)>,
    refusals: Vec<String>,
}

impl Report {
    /// A report that says only that something does not hold.
    pub fn refused(reason: String) -> Report {
        Report { lines: vec![], refusals: vec![reason] }
    }

    /// Adds a finding.
    pub fn line(&mut self, name: impl Into<String>, value: impl ToString) {
        self.lines.push((name.into(), value.to_string()));
    }

    /// Adds something that does not hold.
    pub fn refuse(&mut self, reason: impl Into<String>) {
        self.refusals.push(reason.into());
    }

    /// Adds what another report found.
    pub fn append(&mut self, other: Report) {
        self.lines.extend(other.lines);
        self.refusals.extend(other.refusals);
    }

    /// Whether everything holds.
    pub fn holds(&self) -> bool {
        self.refusals.is_empty()
    }

    /// For people.
    pub fn text(&self) -> String {
        let width = self.lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let mut text: Vec<_> = self.lines.iter().map(|(name, value)| format!("{name:width$}  {value}")).collect();
        text.extend(self.refusals.iter().map(|reason| format!("DOES NOT HOLD: {reason}")));
        if self.holds() {
            text.push("holds".to_owned());
        }
        text.join("\n")
    }

    /// For programs.
    pub fn json(&self) -> String {
        let mut fields: Map<String, Value> = Map::new();
        let findings = self.lines.iter().map(|(name, value)| Value::from(vec![name.clone(), value.clone()]));
        fields.insert("findings".to_owned(), findings.collect());
        fields.insert("holds".to_owned(), self.holds().into());
        fields.insert("refusals".to_owned(), self.refusals.clone().into());
        Value::Object(fields).to_string()
    }
}

/// Reads a file; the error names it.
pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Reads an instruction. A line feed at the end, which editors add, is not part of it.
pub fn read_instruction(path: &Path) -> Result<Instruction, String> {
    let bytes = read(path)?;
    let canonical = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    Instruction::from_canonical(canonical).map_err(|error| format!("{}: {error}", path.display()))
}

/// Reads a charter.
pub fn read_charter(path: &Path) -> Result<Charter, String> {
    let bytes = read(path)?;
    let canonical = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    Charter::from_bytes(canonical).map_err(|error| format!("{}: {error}", path.display()))
}
