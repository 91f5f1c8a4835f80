//! The search for secrets finds what is there, wherever and however it is spelled, and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, failing here is the test failing")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use base64ct::{Base64, Base64Url, Encoding as _};
use proptest::prelude::*;
use testkit::{files_contain, memory_contains};

/// Nowhere in any program: the digits of neither of them are written down in one piece.
fn needle(seed: u8) -> Vec<u8> {
    (0..32).map(|n| (seed ^ n).wrapping_mul(167).wrapping_add(n.rotate_left(3)) ^ 0x5A).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A shell that has read a line into a variable and waits.
struct Holder(Child);

impl Holder {
    fn of(line: &str) -> Holder {
        let mut child = Command::new("sh")
            .args(["-c", "read -r kept && echo ready && read -r end"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        writeln!(child.stdin.as_mut().unwrap(), "{line}").unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut ready).unwrap();
        assert_eq!(ready, "ready\n");
        Holder(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn memory_of_another_process_is_searched() {
    let (there, elsewhere) = (needle(1), needle(2));
    for (line, spelling) in [
        (hex(&there), "hex"),
        (hex(&there).to_uppercase(), "HEX"),
        (Base64::encode_string(&there), "base64"),
        (Base64Url::encode_string(&[b"xy", there.as_slice()].concat()), "base64url"),
    ] {
        let holder = Holder::of(&line);
        let findings = memory_contains(holder.0.id(), &[&elsewhere, &there]).unwrap();
        assert!(!findings.is_empty(), "{spelling} is not found");
        assert!(findings.iter().all(|finding| finding.needle == 1), "{findings:?}");
        assert!(findings.iter().any(|finding| finding.spelling == spelling && finding.region.starts_with("rw")));
    }
}

#[test]
fn raw_bytes_in_memory_are_found_where_they_lie() {
    let (there, elsewhere) = (needle(3), needle(4));
    // A stack holds a process's environment, which cannot have zeros.
    let word: Vec<u8> = there.iter().map(|byte| b'a' + byte % 26).collect();
    let mut child = Command::new("sh")
        .args(["-c", "echo ready && read -r end"])
        .env("KEPT", String::from_utf8(word.clone()).unwrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut ready).unwrap();
    let holder = Holder(child);
    let findings = memory_contains(holder.0.id(), &[&word, &elsewhere]).unwrap();
    let on_the_stack = |finding: &&testkit::Finding| finding.spelling == "raw" && finding.region.ends_with("[stack]");
    let found = findings.iter().find(on_the_stack).expect("the environment lies on the stack");
    let line = fs::read_to_string(format!("/proc/{}/maps", holder.0.id())).unwrap();
    let stack = line.lines().find(|line| line.ends_with("[stack]")).unwrap();
    let (start, end) = stack.split_once(' ').unwrap().0.split_once('-').unwrap();
    let address = |text| u64::from_str_radix(text, 16).unwrap();
    assert!((address(start)..address(end)).contains(&found.address));
    assert!(findings.iter().all(|finding| finding.needle == 0));
}

#[test]
fn a_process_that_is_not_there_is_an_error_and_so_is_a_short_needle() {
    let child = Holder::of("x");
    let pid = child.0.id();
    assert!(memory_contains(pid, &[b"short"]).is_err());
    drop(child);
    assert!(memory_contains(pid, &[&needle(1)]).is_err());
    assert!(files_contain("/nowhere/at/all".as_ref(), &[&needle(1)]).is_err());
}

/// As a careless program would write it.
fn spelled(needle: &[u8], how: usize, before: &[u8], after: &[u8]) -> (Vec<u8>, &'static str) {
    let around = [before, needle, after].concat();
    let lines = |text: String| text.as_bytes().chunks(64).collect::<Vec<_>>().join(&b'\n');
    match how {
        0 => (around, "raw"),
        1 => (lines(hex(&around)), "hex"),
        2 => (hex(&around).to_uppercase().into_bytes(), "HEX"),
        3 => (lines(Base64::encode_string(&around)), "base64"),
        4 => (Base64Url::encode_string(&around).into_bytes(), "base64url"),
        5 => (format!("{around:#?}").into_bytes(), "numbers"),
        _ => (around.into_iter().rev().collect(), "reversed"),
    }
}

proptest! {
    #[test]
    fn files_are_searched_in_every_spelling_at_any_offset(
        needle in prop::collection::vec(any::<u8>(), 16..48),
        other in prop::collection::vec(any::<u8>(), 16..48),
        before in prop::collection::vec(any::<u8>(), 0..9),
        after in prop::collection::vec(any::<u8>(), 0..9),
        how in 0_usize..7,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let below = directory.path().join("a/b");
        fs::create_dir_all(&below).unwrap();
        fs::write(directory.path().join("clean"), &other).unwrap();
        let (bytes, spelling) = spelled(&needle, how, &before, &after);
        let path = below.join("file");
        fs::write(&path, bytes).unwrap();
        let findings = files_contain(directory.path(), &[&needle]).unwrap();
        prop_assert!(findings.iter().any(|finding| finding.spelling == spelling && finding.path == path), "{findings:?}");
        prop_assert!(findings.iter().all(|finding| finding.path == path));
        fs::remove_file(&path).unwrap();
        prop_assert!(files_contain(directory.path(), &[&needle]).unwrap().is_empty());
    }
}
