//! The charter's spelling, and the contradictions that it must not have.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test, failing here is the test failing"
)]

mod common;

use common::{charter, operator};
use policy::{Charter, CharterError, Destinations, Hours, Quorum, Role, WalletClass};

fn demo() -> Charter {
    let keys = |name: &str| vec![format!("ssh-ed25519 {name} comment")];
    charter(vec![operator("olga", "north", &keys("A")), operator("omar", "south", &keys("B"))])
}

#[test]
fn bytes_round_trip_and_have_one_spelling() {
    let charter = demo();
    let bytes = charter.to_bytes();
    assert_eq!(Charter::from_bytes(&bytes), Ok(charter));
    let text = String::from_utf8(bytes).unwrap();
    assert_eq!(Charter::from_bytes(text.replacen(",", ", ", 1).as_bytes()), Err(CharterError::NotCanonical));
    for (from, to) in [
        ("\"version\":\"1\"", "\"version\":\"01\""),
        ("\"version\":\"1\"", "\"version\":1"),
        ("\"class\":\"hot\"", "\"class\":\"warm\""),
        ("\"gap_limit\"", "\"gap\""),
        ("\"network\":\"regtest\"", "\"network\":\"moon\""),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text);
        assert!(Charter::from_bytes(changed.as_bytes()).is_err(), "{changed}");
    }
    for cut in 0..text.len() {
        assert!(Charter::from_bytes(&text.as_bytes()[..cut]).is_err());
    }
}

#[test]
fn t08_contradictions_are_refused() {
    type Change = dyn Fn(&mut Charter);
    let changes: [(&str, &Change); 20] = [
        ("operator stands there twice", &|charter| charter.operators[1].id = charter.operators[0].id.clone()),
        ("operator key stands there twice", &|charter| {
            charter.operators[1].keys = vec!["ssh-ed25519 A other".to_owned()]
        }),
        ("journal key stands there twice", &|charter| charter.signers[1].journal_key = charter.signers[0].journal_key),
        ("neither requests nor approves", &|charter| charter.operators[0].roles.push(Role::Administrator)),
        ("once each", &|charter| charter.operators[0].roles.reverse()),
        ("once each", &|charter| charter.operators[0].roles.clear()),
        ("hours that never come", &|charter| {
            charter.tiers[0].hours = Some(Hours { days: [true; 7], from_minute: 60, to_minute: 60 });
        }),
        ("can never be met", &|charter| charter.operators[1].roles = vec![Role::Auditor]),
        ("can never be met", &|charter| charter.operators[1].organisation = "north".to_owned()),
        ("can never be met", &|charter| charter.charter_quorum = Quorum { people: 3, organisations: 1 }),
        ("asks for nobody", &|charter| charter.release_quorum = Quorum { people: 0, organisations: 0 }),
        ("unknown wallet", &|charter| charter.tiers[0].wallet = "warm".parse().unwrap()),
        ("two people or more", &|charter| charter.key_quorum = Quorum { people: 1, organisations: 1 }),
        ("fewer approvers have an SSH key", &|charter| charter.own_reading = 9),
        ("ever be activated", &|charter| charter.activation.signatures_max = 0),
        ("custodian stands there twice", &|charter| {
            for signer in &mut charter.signers {
                signer.custodians = vec!["carl".parse().unwrap()];
            }
        }),
        ("cold wallet pay", &|charter| charter.wallets[0].class = WalletClass::Cold),
        ("leave our own wallets", &|charter| charter.tiers[2].destinations = Destinations::Any),
        ("no rolling limit", &|charter| charter.tiers[0].windows.clear()),
        ("no previous digest", &|charter| charter.version = 2),
    ];
    assert_eq!(demo().check(), Ok(()));
    for (words, change) in changes {
        let mut charter = demo();
        change(&mut charter);
        match Charter::from_bytes(&charter.to_bytes()) {
            Err(CharterError::Contradiction(text)) => assert!(text.contains(words), "{text} / {words}"),
            other => panic!("{words}: {other:?}"),
        }
    }
}
