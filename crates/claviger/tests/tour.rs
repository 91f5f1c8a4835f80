//! The story of the README, played by the real programs on a real chain.
#![allow(clippy::unwrap_used, reason = "in a test, failing here is the test failing")]

use std::io::Write as _;
use std::process::{Command, Stdio};

fn claviger(arguments: &[&str]) -> (bool, String) {
    typing(arguments, "")
}

/// Runs the program with somebody at the keyboard.
fn typing(arguments: &[&str], words: &str) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A program that refuses at once does not listen.
    let _ = child.stdin.take().unwrap().write_all(words.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (output.status.success(), text)
}

#[test]
fn the_tour_ends_equal_to_the_satoshi_and_every_attack_is_refused() {
    play(&["dev", "--tour"]);
}

#[test]
fn the_tour_is_the_same_on_postgresql() {
    let postgres = testkit::Postgres::start().unwrap();
    play(&["dev", "--tour", "--database", &postgres.url()]);
    assert_ne!(postgres.run("SELECT count(*) FROM journal").unwrap().trim(), "0");
}

fn play(arguments: &[&str]) {
    let (done, text) = claviger(arguments);
    assert!(done, "{text}");
    assert!(text.contains("NOT FOR PRODUCTION"), "{text}");
    assert!(text.contains("equal to the satoshi"), "{text}");
    for rule in ["customer-signature", "foreign-output", "approvals-missing", "fee-rate-cap", "signed-once"] {
        assert!(text.contains(&format!("({rule}")), "{rule} in {text}");
    }
    let txids = text.lines().filter_map(|line| line.split_whitespace().last());
    assert_eq!(
        txids.filter(|word| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit())).count(),
        6,
        "{text}"
    );
}

#[test]
fn a_development_house_refuses_coins_of_value_and_a_directory_that_exists() {
    for network in ["bitcoin", "testnet4", "signet"] {
        let (done, text) = claviger(&["dev", "--network", network]);
        assert!(!done && text.contains("regtest only"), "{text}");
    }
    let directory = tempfile::tempdir().unwrap();
    let (done, text) = claviger(&["dev", "--data", directory.path().to_str().unwrap()]);
    assert!(!done && text.contains("exists"), "{text}");
}

#[test]
fn without_the_tour_it_stays_up_until_its_input_ends() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("house");
    let words = "mine 3\npay nowhere 0.5\npay bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080 0.5\nsing\n\nmine 9\n";
    let (done, text) = typing(&["dev", "--data", data.to_str().unwrap()], words);
    assert!(done, "{text}");
    for part in ["3 more", "paid in ", "Invalid", "write: pay ADDRESS AMOUNT"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("9 more"), "{text}");
    assert!(
        text.contains("/docs")
            && text.contains("signer s3")
            && text.contains("127.0.0.1:")
            && text.contains("wsh(sortedmulti(2,"),
        "{text}"
    );
    assert!(data.join("charter.json").is_file());
}
