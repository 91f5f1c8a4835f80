//! The guide against the table of codes: every code stands in it, and no other.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeSet;
use std::path::Path;

use types::RefusalCode;

fn guide(name: &str) -> String {
    std::fs::read_to_string(Path::new("../../docs").join(name)).unwrap()
}

/// Codes in the first column of tables that begin with `| code |` or `| refusal |`.
fn codes_of_tables(text: &str) -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    let mut inside = false;
    for line in text.lines() {
        let first = line.strip_prefix("| ").and_then(|rest| rest.split('|').next()).map(str::trim);
        inside = match first {
            Some("code" | "refusal") => true,
            // The line under a table's head.
            None if line.starts_with("|--") => inside,
            Some(_) => inside,
            None => false,
        };
        if let Some(first) = first.filter(|_| inside) {
            codes.extend(first.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    codes
}

#[test]
fn the_guide_lists_every_code_with_its_meaning_and_whether_to_ask_again() {
    let written = guide("refusals.md");
    for code in RefusalCode::ALL {
        let again = if code.retry() { "yes" } else { "no" };
        let line = format!("| `{code}` | {} | {again} |", code.meaning());
        assert!(written.lines().any(|other| other == line), "docs/refusals.md lacks the line\n{line}");
    }
    let codes = codes_of_tables(&written);
    assert_eq!(codes.len(), RefusalCode::ALL.len(), "docs/refusals.md lists each code once, and no other");
}

#[test]
fn the_guides_tables_speak_of_no_code_that_nothing_refuses_with() {
    for name in ["signer.md", "offline.md", "hsm.md", "refusals.md"] {
        let codes = codes_of_tables(&guide(name));
        assert!(codes.len() >= 5, "{name} lost its table");
        let unknown: Vec<_> =
            codes.iter().filter(|code| matches!(RefusalCode::from(code.as_str()), RefusalCode::Other(_))).collect();
        assert!(unknown.is_empty(), "{name} speaks of {unknown:?}");
    }
}
