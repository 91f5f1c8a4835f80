//! Any change of an export is found, at the entry where it was made.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test, failing here is the test failing")]

use audit_log::{Draft, Entry, ExportError, GENESIS, Verifier, chain, to_line};
use proptest::prelude::*;
use types::Moment;

fn log(entries: usize) -> Vec<Entry> {
    let draft = |number| Draft {
        at: Moment::from_micros(1_000_000 + number),
        actor: "customer:alice".to_owned(),
        action: "withdrawal.requested".to_owned(),
        subject: format!("wd-{number}"),
        detail: "\"quoted\" and ünusual\n".to_owned(),
    };
    chain(0, GENESIS, (0i64..).take(entries).map(draft))
}

fn check(text: &str) -> Result<(), ExportError> {
    let mut verifier = Verifier::default();
    text.lines().try_for_each(|line| verifier.line(line).map(|_| ()))
}

fn export(entries: &[Entry]) -> String {
    entries.iter().map(|entry| to_line(entry) + "\n").collect()
}

#[test]
fn an_intact_log_passes_whole_or_from_the_middle() {
    let entries = log(20);
    let mut verifier = Verifier::default();
    for (entry, line) in entries.iter().zip(export(&entries).lines()) {
        assert_eq!(&verifier.line(line).unwrap(), entry);
    }
    let verdict = verifier.verdict().unwrap();
    assert_eq!((verdict.entries, verdict.seq, verdict.head), (20, 20, entries[19].hash));
    assert_eq!(check(&export(&entries[7..])), Ok(()));
    // Chained in two parts or one, the log is the same.
    let again: Vec<_> = entries.iter().map(|entry| entry.draft.clone()).collect();
    let mut parts = chain(0, GENESIS, again[..8].to_vec());
    parts.extend(chain(8, parts[7].hash, again[8..].to_vec()));
    assert_eq!(parts, entries);
}

#[test]
fn what_is_missing_doubled_moved_or_swapped_in_is_named() {
    let entries = log(6);
    let without = [&entries[..2], &entries[3..]].concat();
    assert_eq!(check(&export(&without)), Err(ExportError::Sequence { expected: 3, found: 4 }));
    let doubled = [&entries[..3], &entries[2..]].concat();
    assert_eq!(check(&export(&doubled)), Err(ExportError::Sequence { expected: 4, found: 3 }));
    // An entry that was written anew, with a right hash of its own, does not carry what stands after it.
    let mut forged = entries.clone();
    forged[2].draft.detail = "nothing to see".to_owned();
    forged[2].hash = Entry::hash_of(3, &forged[2].draft, &forged[2].previous);
    assert_eq!(check(&export(&forged)), Err(ExportError::Chain(4)));
    forged[2].hash = entries[2].hash;
    assert_eq!(check(&export(&forged)), Err(ExportError::Hash(3)));
    let mut first = entries;
    first[0].previous = first[3].hash;
    first[0].hash = Entry::hash_of(1, &first[0].draft, &first[0].previous);
    assert_eq!(check(&export(&first)), Err(ExportError::Chain(1)));
}

proptest! {
    #[test]
    fn no_single_byte_can_change_unnoticed(position: prop::sample::Index, flip in 1u8..=255) {
        let entries = log(4);
        let text = export(&entries);
        let mut bytes = text.clone().into_bytes();
        // The final line feed says nothing.
        let position = position.index(bytes.len() - 1);
        bytes[position] ^= flip;
        let changed = String::from_utf8_lossy(&bytes);
        prop_assert!(check(&changed).is_err(), "{changed}");
    }
}
