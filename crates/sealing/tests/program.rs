//! The stock `age`, as people have it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "in a test, failing here is the test failing"
)]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::*;
use sealing::program::{Age, AgeError};
use sealing::{Envelope, Kek, NewSlot, SlotKind};

fn missing(error: std::io::Error) -> String {
    format!("age-keygen cannot be run ({error}): run ./scripts/setup")
}

/// A new identity in a file, and its recipient.
fn identity(directory: &Path, name: &str) -> (PathBuf, String) {
    let output = Command::new("age-keygen").output().map_err(missing).unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let recipient = text.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap().to_owned();
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    (path, recipient)
}

#[test]
fn a_slot_opens_with_any_of_its_recipients_and_nobody_elses() {
    let directory = tempfile::tempdir().unwrap();
    let (alice, alice_recipient) = identity(directory.path(), "alice");
    let (bob, bob_recipient) = identity(directory.path(), "bob");
    let (mallory, _) = identity(directory.path(), "mallory");
    let age = Age::default();

    let kek = Kek::random(&mut seeded(1)).unwrap();
    let recipients = vec![alice_recipient, bob_recipient];
    let ciphertext = age.encrypt(&recipients, &kek).unwrap();
    let slot = NewSlot::age(slot_name("by-age"), people(&["alice", "bob"]), recipients, ciphertext, kek).unwrap();
    let (envelope, key) = Envelope::create(ours(), &items(), vec![slot], &mut seeded(2)).unwrap();
    let envelope = Envelope::from_bytes(&envelope.to_bytes().unwrap()).unwrap();

    let SlotKind::Age { ciphertext, .. } = envelope.slot(&slot_name("by-age")).unwrap().kind() else { panic!() };
    for path in [&alice, &bob] {
        let kek = age.decrypt(path, ciphertext).unwrap();
        assert_eq!(envelope.open_slot(&ours(), &slot_name("by-age"), &kek).unwrap().id(), key.id());
    }
    let refused = age.decrypt(&mallory, ciphertext).unwrap_err();
    assert!(matches!(refused, AgeError::NotDecrypted(_)), "{refused}");
    let nowhere = age.decrypt(&directory.path().join("nobody"), ciphertext).unwrap_err();
    assert!(matches!(nowhere, AgeError::NotDecrypted(_)), "{nowhere}");
    let files: BTreeMap<_, _> =
        std::fs::read_dir(directory.path()).unwrap().map(|entry| (entry.unwrap().file_name(), ())).collect();
    assert_eq!(files.len(), 3, "nothing but the identities lies there");
}

#[test]
fn an_ssh_key_opens_what_was_encrypted_to_it() {
    let directory = tempfile::tempdir().unwrap();
    let private = directory.path().join("id_ed25519");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "alice", "-f"])
        .arg(&private)
        .status()
        .expect("ssh-keygen cannot be run: run ./scripts/setup");
    assert!(made.success());
    let recipient = std::fs::read_to_string(private.with_extension("pub")).unwrap().trim().to_owned();
    let kek = Kek::random(&mut seeded(1)).unwrap();
    let ciphertext = Age::default().encrypt(&[recipient], &kek).unwrap();
    assert_eq!(Age::default().decrypt(&private, &ciphertext).unwrap().expose(), kek.expose());
}

#[test]
fn what_is_no_key_or_no_ciphertext_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let (identity, recipient) = identity(directory.path(), "alice");
    let age = Age::default();
    for length in [0, 31, 33, 20_000] {
        let plain = directory.path().join("plain");
        std::fs::write(&plain, vec![b'x'; length]).unwrap();
        let output =
            Command::new("age").args(["--armor", "--recipient", &recipient]).arg(&plain).output().map_err(missing);
        let ciphertext = String::from_utf8(output.unwrap().stdout).unwrap();
        let refused = age.decrypt(&identity, &ciphertext).unwrap_err();
        assert!(matches!(refused, AgeError::NotAKey), "{length}: {refused}");
    }
    assert!(matches!(age.decrypt(&identity, "hello"), Err(AgeError::Ciphertext)));
    assert!(matches!(age.decrypt(&identity, ARMOUR), Err(AgeError::NotDecrypted(_))));

    let kek = kek("s");
    assert!(matches!(age.encrypt(&[], &kek), Err(AgeError::Recipients)));
    assert!(matches!(age.encrypt(&["-o/tmp/x".to_owned()], &kek), Err(AgeError::Recipients)));
    let refused = age.encrypt(&["age1nobody".to_owned()], &kek).unwrap_err();
    let AgeError::NotEncrypted { words, .. } = &refused else { panic!("{refused}") };
    assert!(words.contains("age1nobody"), "{refused}");
}

#[test]
fn a_missing_program_says_how_to_get_it() {
    let nowhere = Age::at(PathBuf::from("/nowhere/age"));
    let refused = nowhere.encrypt(&[RECIPIENT.to_owned()], &kek("s")).unwrap_err();
    assert!(refused.to_string().contains("apt-get install age"), "{refused}");
    assert!(matches!(nowhere.decrypt(Path::new("x"), ARMOUR), Err(AgeError::Missing(_))));
}

/// The key is in no argument and no variable: a program that is not `age` sees it on standard input alone.
#[test]
fn the_key_goes_through_the_pipe_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (source, spy) = (directory.path().join("source"), directory.path().join("spy"));
    let script = "#!/bin/sh\n{ printf '%s\\n' \"$@\"; env; } > \"${0%/*}/seen\"\ncat > \"${0%/*}/input\"\nexit 3\n";
    std::fs::write(&source, script).unwrap();
    // Another process writes the program: if this one had it open, a test that starts a child meanwhile would keep it open.
    let status = Command::new("install").args(["-m", "700"]).args([&source, &spy]).status().unwrap();
    assert!(status.success());
    let kek = Kek::from_bytes(b"a key that nobody ought to see!!");
    let refused = Age::at(spy).encrypt(&[RECIPIENT.to_owned()], &kek).unwrap_err();
    assert!(matches!(&refused, AgeError::NotEncrypted { status, .. } if status.code() == Some(3)), "{refused}");
    assert_eq!(std::fs::read(directory.path().join("input")).unwrap(), kek.expose());
    let seen = std::fs::read_to_string(directory.path().join("seen")).unwrap();
    assert!(seen.starts_with(&format!("--encrypt\n--armor\n--recipient\n{RECIPIENT}\n")), "{seen}");
    assert!(!seen.contains("nobody ought"), "{seen}");
}
