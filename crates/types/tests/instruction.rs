//! The instruction's canonical form, digest and sentence, seen from outside.
#![allow(clippy::unwrap_used, reason = "in a test, failing here is the test failing")]

use proptest::prelude::*;
use types::{Amount, Asset, Body, Instruction, Moment, Network, Payment, grouped, sentence, words};

fn withdrawal(amount: u128, destination: &str) -> Instruction {
    Instruction {
        id: "wd-1".parse().unwrap(),
        created: "2026-01-01T00:00:00Z".parse().unwrap(),
        expires: "2026-01-01T01:00:00Z".parse().unwrap(),
        charter: 1,
        body: Body::CustomerWithdrawal(Payment {
            customer: "alice".parse().unwrap(),
            asset: Asset::Bitcoin(Network::Regtest),
            wallet: "hot".parse().unwrap(),
            destination: destination.to_owned(),
            amount: Amount::from_units(amount),
            fee_max: Amount::from_units(5000),
        }),
    }
}

#[test]
fn canonical_form_digest_and_words_are_fixed() {
    let instruction = withdrawal(150_000, "bcrt1qexample");
    let text = String::from_utf8(instruction.canonical()).unwrap();
    assert_eq!(
        text,
        concat!(
            r#"{"amount":"150000","asset":"bip122:0f9188f13cb7b2c71f2a335e3a4fc328/slip44:1","charter":"1","#,
            r#""created":"2026-01-01T00:00:00Z","destination":"bcrt1qexample","expires":"2026-01-01T01:00:00Z","#,
            r#""fee_max":"5000","id":"wd-1","kind":"customer-withdrawal","requester":"customer:alice","wallet":"hot"}"#
        )
    );
    // Computed with `printf 'claviger-instruction-v1\n%s' "$text" | sha256sum`, so that a change of form is noticed.
    let expected = types::Digest::of(&[b"claviger-instruction-v1\n", text.as_bytes()]);
    assert_eq!(instruction.digest(), expected);
    assert_eq!(words(&instruction.digest()).len(), 6);
}

#[test]
fn the_sentence_names_amount_and_full_destination() {
    let text = sentence(&withdrawal(150_000, "bcrt1qexample"));
    assert_eq!(
        text,
        "Pay 0.00150000 test BTC for customer alice from wallet hot to bcrt 1qex ampl e, with at most 0.00005000 of network fee. \
         Instruction wd-1, charter version 1, valid until 2026-01-01T01:00:00Z."
    );
    assert_eq!(grouped("abcdefgh"), "abcd efgh");
}

#[test]
fn t02_every_other_spelling_is_refused() {
    let good = String::from_utf8(withdrawal(150_000, "bcrt1qexample").canonical()).unwrap();
    assert!(Instruction::from_canonical(good.as_bytes()).is_ok());
    for (from, to) in [
        ("\"150000\"", "\"0150000\""),
        ("\"150000\"", "\"-150000\""),
        ("\"150000\"", "\"0\""),
        ("\"150000\"", "150000"),
        ("\"charter\":\"1\"", "\"charter\":\"+1\""),
        ("\"charter\":\"1\"", "\"charter\":\"01\""),
        ("T01:00:00Z", "T01:00:00.000Z"),
        ("T01:00:00Z", "T00:00:00Z"),
        ("customer:alice", "operator:alice"),
        ("customer:alice", "customer:Alice"),
        ("customer-withdrawal", "customer-deposit"),
        ("\"fee_max\":\"5000\",", ""),
        ("\"id\":\"wd-1\"", "\"id\":\"wd-1\",\"ida\":\"x\""),
        ("slip44:1", "slip44:0"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good);
        assert!(Instruction::from_canonical(bad.as_bytes()).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn round_trip_and_distinct_digests(amount in 1u128.., other in 1u128.., destination in "[a-z0-9]{1,90}", seconds in 0i64..4_000_000_000) {
        let mut instruction = withdrawal(amount, &destination);
        instruction.created = Moment::from_seconds(seconds);
        instruction.expires = Moment::from_seconds(seconds + 1);
        prop_assert_eq!(Instruction::from_canonical(&instruction.canonical()), Ok(instruction.clone()));
        let mut changed = instruction.clone();
        if let Body::CustomerWithdrawal(payment) = &mut changed.body {
            payment.amount = Amount::from_units(other);
        }
        prop_assert_eq!(changed.digest() == instruction.digest(), amount == other);
    }
}
