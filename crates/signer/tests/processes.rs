//! Three real processes behind mutual TLS: the way through, crashes, a full disk, strangers.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "in a test, failing here is the test failing"
)]

mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use common::cores::finish;
use common::hex_of;
use common::processes::{Fleet, identity, run};
use signer::server::now;
use signer_client::{CallError, SignerClient, admit_all, sign};
use signer_wire::{ReplyBody, RequestBody};

fn code<T: std::fmt::Debug>(outcome: Result<T, CallError>) -> String {
    match outcome {
        Err(CallError::Refused(refusal)) => refusal.code.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_pair_of_processes_signs_and_one_alone_does_not() {
    let mut fleet = Fleet::start();
    for absent in 0..3 {
        let (instruction, wire) = fleet.house.withdrawal(&format!("k{absent}"), 50_000, now());
        let psbt = fleet.house.psbt(&[fleet.house.coin(0, 200_000, absent)], &[&instruction], 1_000);
        let mut clients = fleet.clients();
        clients.remove(usize::try_from(absent).unwrap());
        let signed = sign(&mut clients, 2, std::slice::from_ref(&wire), &hex_of(&psbt)).unwrap();
        let signatures: Vec<_> = signed.into_iter().flat_map(|signed| signed.signatures).collect();
        let transaction = finish(&fleet.house, &[wire], &psbt, &signatures);
        assert_eq!(transaction.compute_txid(), psbt.unsigned_tx.compute_txid());
    }
    fleet.processes[1].kill();
    fleet.processes[2].kill();
    let (instruction, wire) = fleet.house.withdrawal("alone", 50_000, now());
    let psbt = fleet.house.psbt(&[fleet.house.coin(0, 200_000, 9)], &[&instruction], 1_000);
    let error = sign(&mut fleet.clients(), 2, &[wire], &hex_of(&psbt)).unwrap_err();
    assert!(
        error.refusals.iter().all(|(_, error)| error.retry()),
        "a signer that is down is worth another try: {error}"
    );
}

#[test]
fn t07_kill_between_prepare_and_release_pays_once() {
    let mut fleet = Fleet::start();
    let (instruction, wire) = fleet.house.withdrawal("k", 50_000, now());
    let psbt = fleet.house.psbt(&[fleet.house.coin(0, 200_000, 1)], &[&instruction], 1_000);
    let other = fleet.house.psbt(&[fleet.house.coin(1, 200_000, 2)], &[&instruction], 1_000);
    let prepare = |psbt| RequestBody::Prepare { instructions: vec![wire.clone()], psbt: hex_of(psbt) };
    let Ok(ReplyBody::Prepared { ticket, head }) = fleet.client(0).call(prepare(&psbt)) else { panic!("not prepared") };
    let Ok(ReplyBody::Statement(statement)) = fleet.client(1).call(RequestBody::Witness { head }) else {
        panic!("no statement")
    };
    fleet.restart(0);
    let release = RequestBody::Release { ticket, statements: vec![statement] };
    assert_eq!(code(fleet.client(0).call(release)), "unknown-ticket");
    assert_eq!(code(fleet.client(0).call(prepare(&psbt))), "awaiting-peers");
    assert_eq!(admit_all(&mut fleet.clients()).0, 3);
    assert_eq!(code(fleet.client(0).call(prepare(&other))), "signed-once");
    assert!(sign(&mut fleet.clients(), 2, &[wire], &hex_of(&psbt)).is_ok());
}

#[test]
fn a_full_disk_is_named_nothing_is_signed_and_work_resumes() {
    let fleet = Fleet::start();
    let (instruction, wire) = fleet.house.withdrawal("k", 50_000, now());
    let psbt = fleet.house.psbt(&[fleet.house.coin(0, 200_000, 1)], &[&instruction], 1_000);
    let prepare = || RequestBody::Prepare { instructions: vec![wire.clone()], psbt: hex_of(&psbt) };
    let length = fleet.journal_bytes(0);
    // Ten bytes fit, so that the write stops half way.
    fleet.processes[0].limit_files(&(length + 10).to_string());
    assert_eq!(code(fleet.client(0).call(prepare())), "journal-unwritable");
    assert_eq!(fleet.journal_bytes(0), length, "the half record is taken back");
    fleet.processes[0].limit_files("unlimited");
    assert!(sign(&mut fleet.clients(), 2, &[wire], &hex_of(&psbt)).is_ok());
}

#[test]
fn t05_strangers_and_nonsense_get_no_answer() {
    let fleet = Fleet::start();
    let certificate = &fleet.enrolments[0].certificate;
    let mut stranger = SignerClient::new(fleet.processes[0].address, certificate, &identity()).unwrap();
    assert!(matches!(stranger.call(RequestBody::Hello), Err(CallError::Unreachable(..))));
    // Another signer's certificate is not this signer's.
    let other = &fleet.enrolments[1].certificate;
    let mut misled = SignerClient::new(fleet.processes[0].address, other, &fleet.identity).unwrap();
    assert!(matches!(misled.call(RequestBody::Hello), Err(CallError::Unreachable(..))));
    let mut plain = TcpStream::connect(fleet.processes[0].address).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"));
    assert!(
        matches!(fleet.client(0).call(RequestBody::Hello), Ok(ReplyBody::Hello { .. })),
        "and the signer serves on"
    );
}

#[test]
fn a_canary_signs_and_secrets_are_for_the_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let fleet = Fleet::start();
    let Ok(ReplyBody::Canary { public_key, signature }) =
        fleet.client(0).call(RequestBody::Canary { challenge: "now".to_owned() })
    else {
        panic!("no canary")
    };
    use bitcoin::hashes::{Hash as _, sha256};
    let message = sha256::Hash::hash(b"claviger-canary-v1\nnow").to_byte_array();
    let secp = bitcoin::secp256k1::Secp256k1::verification_only();
    let key = public_key.parse::<bitcoin::secp256k1::PublicKey>().unwrap();
    let signature = bitcoin::secp256k1::ecdsa::Signature::from_der(&hex::decode(signature).unwrap()).unwrap();
    assert!(secp.verify_ecdsa(&bitcoin::secp256k1::Message::from_digest(message), &signature, &key).is_ok());
    for entry in std::fs::read_dir(fleet.directories[0].path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", entry.path());
    }
}

#[test]
fn every_way_to_seal_is_a_way_to_open() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let identity = path("identity.txt");
    let made = std::process::Command::new("age-keygen").args(["-o", &identity]).output();
    let made = made.expect("age-keygen is needed: ./scripts/setup installs it");
    let words = String::from_utf8(made.stderr).unwrap();
    let recipient = words.trim().strip_prefix("Public key: ").unwrap();
    std::fs::write(path("passphrase"), "seven quiet otters borrow the lamp\n").unwrap();
    std::fs::write(path("other"), "seven quiet otters borrow the lump\n").unwrap();
    let (passphrase, age) =
        (format!("night=passphrase:kim:{}", path("passphrase")), format!("card=age:kit:{recipient}"));
    let shares = format!("desk=shares:2:kim,kit:{}", directory.path().display());
    let data = path("s1");
    let init = ["init", "--network", "regtest", "--person", "carl", "--data", &data, "--id", "s1", "--accounts", "1"];
    let sealed = [init.as_slice(), &["--seal", &passphrase, "--seal", &age, "--seal", &shares]].concat();
    let output = run(&sealed);
    assert!(output.status.success(), "{output:?}");

    // Nobody runs this signer: whoever brings the right thing comes as far as its door, and nobody else does.
    let says = |arguments: &[&str]| {
        let output = run(&[&["open", "--data", &data, "--person", "kim"], arguments].concat());
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(says(&[]).contains("card, desk, night"));
    assert!(says(&["--slot", "lost"]).contains("lost"));
    for right in
        [["--slot", "night", "--passphrase-file", &path("passphrase")], ["--slot", "card", "--identity", &identity]]
    {
        assert!(says(&right).contains("is the signer running?"), "{right:?}");
    }
    assert!(says(&["--slot", "card"]).contains("--identity"));
    assert!(says(&["--slot", "desk"]).contains("--share"));
    std::fs::write(path("stranger.txt"), "AGE-SECRET-KEY-1QQPQQSXQZQQPQQSXQZQQPQQSXQZQQPQQSXQZQQPQQSXQZQQPQQSX0\n")
        .unwrap();
    assert!(says(&["--slot", "card", "--identity", &path("stranger.txt")]).contains("age did not decrypt"));
}

#[test]
fn setting_up_refuses_to_overwrite_and_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("s1");
    let data = data.to_str().unwrap();
    let secret = directory.path().join("passphrase");
    std::fs::write(&secret, "seven quiet otters borrow the lamp\n").unwrap();
    let seal = format!("desk=passphrase:kim:{}", secret.display());
    let init = ["init", "--network", "regtest", "--person", "carl", "--seal", &seal, "--data", data, "--id"];
    let output = run(&[init.as_slice(), &["s1"]].concat());
    assert!(output.status.success(), "{output:?}");
    let again = run(&[init.as_slice(), &["s1"]].concat());
    assert!(!again.status.success());
    assert!(String::from_utf8(again.stderr).unwrap().contains("never overwritten"));
    let wrong = run(&[init.as_slice(), &["S 1"]].concat());
    assert!(String::from_utf8(wrong.stderr).unwrap().contains("a-z, 0-9"));
    let early = run(&["run", "--data", data, "--listen", "127.0.0.1:0"]);
    assert!(!early.status.success());
    assert!(String::from_utf8(early.stderr).unwrap().contains("client.pem"));
}
