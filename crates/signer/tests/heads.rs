//! Journals do not grow by what costs nobody anything: heads that are passed to and fro, or made up by a peer.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "in a test, failing here is the test failing"
)]

mod common;

use common::cores::Cores;
use ed25519_dalek::{Signer as _, SigningKey};
use signer::enrol::files;
use signer_wire::{Head, ReplyBody, RequestBody};

fn head(fleet: &mut Cores, position: usize) -> Head {
    let ReplyBody::Hello { head, .. } = fleet.ask(position, RequestBody::Hello) else { panic!("no hello") };
    head
}

fn journal_bytes(fleet: &Cores, position: usize) -> u64 {
    std::fs::metadata(fleet.directories[position].path().join(files::JOURNAL)).unwrap().len()
}

#[test]
fn t05_heads_passed_to_and_fro_grow_no_journal() {
    let mut fleet = Cores::start();
    let before: Vec<u64> = (0..3).map(|position| journal_bytes(&fleet, position)).collect();
    for _ in 0..200 {
        for (from, to) in [(0, 1), (1, 2), (2, 0), (1, 0), (0, 2), (2, 1)] {
            let head = head(&mut fleet, from);
            fleet.witness(to, &head).unwrap();
        }
    }
    for (position, before) in before.iter().enumerate() {
        let grown = journal_bytes(&fleet, position) - before;
        assert!(grown < 1_000, "two heads are two records, and not {grown} bytes");
    }
}

#[test]
fn t05_a_peer_that_makes_heads_up_fills_no_disk() {
    let mut fleet = Cores::start();
    let secret = std::fs::read(fleet.directories[1].path().join("journal-key")).unwrap();
    let key = SigningKey::from_bytes(secret.as_slice().try_into().unwrap());
    let begin = head(&mut fleet, 1).seq;
    let made_up = |number: u64| {
        let (seq, hash) = (begin + number, hex::encode([7; 32]));
        let text = format!("claviger-journal-head-v1\ns2\n{seq}\n{hash}");
        Head { signer: "s2".to_owned(), seq, hash, signature: hex::encode(key.sign(text.as_bytes()).to_bytes()) }
    };
    let before = journal_bytes(&fleet, 0);
    let outcomes: Vec<_> = (1..=1_000).map(|number| fleet.witness(0, &made_up(number)).map(|_| ())).collect();
    let taken = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert!((64..=300).contains(&taken), "{taken} were taken");
    assert_eq!(outcomes.last(), Some(&Err("too-many-heads".to_owned())));
    assert!(journal_bytes(&fleet, 0) - before < 300 * 300);
    let ReplyBody::Refused(refusal) = fleet.ask(0, RequestBody::Witness { head: made_up(1_000) }) else {
        panic!("taken")
    };
    assert!(refusal.retry());
    // Another peer's heads are none of these, and time lets one more in.
    let other = head(&mut fleet, 2);
    fleet.witness(0, &other).unwrap();
    fleet.now = fleet.now.plus_seconds(1);
    assert!(fleet.witness(0, &made_up(2_000)).is_ok());
    assert_eq!(fleet.witness(0, &made_up(2_001)).unwrap_err(), "too-many-heads");
    // A restart forgets none of it, and what this signer does itself begins anew.
    fleet.restart(0, |_| ());
    assert_eq!(fleet.witness(0, &made_up(2_001)).map(|_| ()), Ok(()), "the restart closed keys, which it wrote down");
}
