//! Customers' requests: at once, repeated, forged, and such as make no sense.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "in a test, failing here is the test failing"
)]

mod common;

use std::sync::Barrier;

use common::{ASSET, Town, id_of, text};
use serde_json::{Value, json};

#[test]
fn t01_a_hundred_equal_withdrawals_at_once_are_one() {
    let town = Town::with_coins();
    let destination = town.outside();
    let body = Town::withdrawal(3_000_000, &destination).to_string();
    let barrier = Barrier::new(100);
    let answers: Vec<(u16, String)> = std::thread::scope(|scope| {
        let ask = || {
            let alice = town.alice();
            barrier.wait();
            let answer = alice.ask("POST", "/v1/withdrawals", "hundred", &body).unwrap();
            (answer.status, text(&answer.body, "/id"))
        };
        let threads: Vec<_> = (0..100).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let id = id_of("hundred");
    assert!(answers.iter().all(|(status, found)| [200, 201].contains(status) && *found == id), "{answers:?}");
    assert_eq!(answers.iter().filter(|(status, _)| *status == 201).count(), 1);
    town.reaches(&id, "broadcast");
    town.house.node.mine(1).unwrap();
    town.reaches(&id, "settled");
    assert_eq!(town.received(&destination), (3_000_000, 1));
    town.until_available("alice", 297_000_000);
    // The key stands for that payment for ever.
    let other = town.withdraw("alice", "hundred", &Town::withdrawal(3_000_001, &destination));
    assert_eq!((other.status, text(&other.body, "/code").as_str()), (409, "idempotency-conflict"));
    assert_eq!(town.withdraw("alice", "hundred", &Town::withdrawal(3_000_000, &destination)).status, 200);
}

#[test]
fn t01_withdrawals_at_once_never_spend_a_balance_twice() {
    let town = Town::with_coins();
    let destination = town.outside();
    let answers: Vec<u16> = std::thread::scope(|scope| {
        let ask = |number: u32| {
            let bob = town.house.customer("bob").unwrap();
            let body = Town::withdrawal(20_000_000, &destination).to_string();
            bob.ask("POST", "/v1/withdrawals", &format!("race-{number}"), &body).unwrap().status
        };
        let threads: Vec<_> = (0..10).map(|number| scope.spawn(move || ask(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    // 50 million suffice for two of 20.
    assert_eq!(answers.iter().filter(|status| **status == 201).count(), 2, "{answers:?}");
    assert_eq!(answers.iter().filter(|status| **status == 422).count(), 8, "{answers:?}");
    town.until_available("bob", 10_000_000);
}

#[test]
fn payments_that_wait_together_go_in_one_transaction() {
    let mut town = Town::with_coins();
    town.house.node.stop().unwrap();
    town.until_alarm("node", "");
    let destination = "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn";
    for number in 0..5 {
        let body = Town::withdrawal(1_000_000 + number, destination);
        assert_eq!(town.withdraw("alice", &format!("together-{number}"), &body).status, 201);
    }
    town.house.node.restart().unwrap();
    let mut txids: Vec<String> = (0..5)
        .map(|number| text(&town.reaches(&id_of(&format!("together-{number}")), "broadcast"), "/payment/txid"))
        .collect();
    txids.dedup();
    assert_eq!(txids.len(), 1);
    town.house.node.mine(1).unwrap();
    (0..5).for_each(|number| drop(town.reaches(&id_of(&format!("together-{number}")), "settled")));
    town.until_available("alice", 300_000_000 - 5_000_010);
    town.assert_reconciled();
    town.assert_books();
}

#[test]
fn t13_amounts_and_addresses_that_make_no_sense_are_named() {
    let town = Town::with_coins();
    let good = town.outside();
    let destination = good.as_str();
    let mainnet = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
    let sats = "1000000";
    for (body, status, code) in [
        (Town::withdrawal("-1", destination), 422, "amount"),
        (Town::withdrawal("0", destination), 422, "amount"),
        (Town::withdrawal("1.5", destination), 422, "amount"),
        (Town::withdrawal("1e6", destination), 422, "amount"),
        (Town::withdrawal("01", destination), 422, "amount"),
        (Town::withdrawal("", destination), 422, "amount"),
        (Town::withdrawal("340282366920938463463374607431768211456", destination), 422, "amount"),
        (Town::withdrawal("340282366920938463463374607431768211455", destination), 422, "amount"),
        (Town::withdrawal("2100000000000001", destination), 422, "amount"),
        (Town::withdrawal("100", destination), 422, "amount-dust"),
        (Town::withdrawal("300000001", destination), 422, "policy"),
        (Town::withdrawal(sats, mainnet), 422, "destination"),
        (Town::withdrawal(sats, "nonsense"), 422, "destination"),
        (Town::withdrawal(sats, &destination.to_uppercase()), 422, "destination"),
        (json!({"amount": sats, "asset": "BTC", "destination": destination}), 422, "unknown-asset"),
        (json!({"amount": 1_000_000, "asset": ASSET.to_string(), "destination": destination}), 400, "body"),
        (json!({"amount": sats, "asset": ASSET.to_string()}), 400, "body"),
        (json!({"amount": sats, "asset": ASSET.to_string(), "destination": destination, "fee": "0"}), 400, "body"),
    ] {
        let answer = town.withdraw("alice", "sense", &body);
        assert_eq!((answer.status, text(&answer.body, "/code").as_str()), (status, code), "{body} {:?}", answer.body);
        assert!(!text(&answer.body, "/detail").is_empty() && !text(&answer.body, "/request_id").is_empty());
    }
    let answer = town.withdraw("bob", "much", &Town::withdrawal("50000001", destination));
    assert_eq!((answer.status, text(&answer.body, "/code").as_str()), (422, "insufficient-funds"));
    // Beyond every tier: refused with the charter's reasoning, and nothing held.
    let answer = town.withdraw("alice", "beyond", &Town::withdrawal("250000000", destination));
    assert_eq!((answer.status, text(&answer.body, "/code").as_str()), (422, "policy"), "{:?}", answer.body);
    let explanation = answer.body["explanation"].to_string();
    assert!(explanation.contains("tier automatic") && explanation.contains("tier quorum"), "{explanation}");
    for key in ["", "with space", &"k".repeat(101)] {
        let answer = town.withdraw("alice", key, &Town::withdrawal(sats, destination));
        assert_eq!((answer.status, text(&answer.body, "/code").as_str()), (400, "idempotency-key"), "{key:?}");
    }
    assert_eq!(town.available("alice").unwrap(), 300_000_000);
}

#[test]
fn t03_requests_that_are_not_the_customers_own_are_refused() {
    let town = Town::with_coins();
    let destination = town.outside();
    let body = Town::withdrawal(1_000_000, &destination).to_string();
    let alice = town.house.people.key("alice").unwrap();
    let fresh = || alice.sign("POST", "/v1/withdrawals", "forged", &body).unwrap();
    let client = town.alice();
    let refused = |request: types::CustomerRequest, status: u16, code: &str| {
        let answer = client.send(&request).unwrap();
        assert_eq!(
            (answer.status, text(&answer.body, "/code").as_str()),
            (status, code),
            "{request:?} {:?}",
            answer.body
        );
    };
    let mut edited = fresh();
    edited.body = Town::withdrawal(9_000_000, &destination).to_string();
    refused(edited, 401, "signature");
    let mut digest_too = fresh();
    digest_too.body = Town::withdrawal(9_000_000, &destination).to_string();
    digest_too.content_digest = policy::http_signature::content_digest(digest_too.body.as_bytes());
    refused(digest_too, 401, "signature");
    let mut key = fresh();
    key.idempotency_key = "another".to_owned();
    refused(key, 401, "signature");
    let mut path = fresh();
    path.path = "/v1/addresses".to_owned();
    refused(path, 401, "signature");
    let mut unsigned = fresh();
    unsigned.signature_input = String::new();
    refused(unsigned, 401, "signature");
    let stranger = claviger::cli::ApiKey::generate().unwrap();
    refused(stranger.sign("POST", "/v1/withdrawals", "forged", &body).unwrap(), 401, "signature");
    // Operators' keys do not speak for customers, nor customers' on the operators' listener.
    let olga = town.house.people.key("olga").unwrap();
    refused(olga.sign("POST", "/v1/withdrawals", "forged", &body).unwrap(), 403, "wrong-listener");
    let at_operators =
        claviger::cli::Client::new(&format!("http://{}", town.house.service.operators), alice_key(&town));
    assert_eq!(at_operators.ask("GET", "/v1/accounts", "", "").unwrap().status, 403);
    assert_eq!(town.available("alice").unwrap(), 300_000_000);
    // A recorded request brings the first answer, however often it is sent.
    let recorded = fresh();
    assert_eq!(client.send(&recorded).unwrap().status, 201);
    assert_eq!(client.send(&recorded).unwrap().status, 200);
    // What is one customer's, another does not see.
    let id = id_of("forged");
    let bob = town.house.customer("bob").unwrap();
    assert_eq!(bob.ask("GET", &format!("/v1/withdrawals/{id}"), "", "").unwrap().status, 404);
    assert_eq!(bob.ask("POST", &format!("/v1/withdrawals/{id}/cancel"), "x", "").unwrap().status, 404);
    assert!(bob.get("/v1/withdrawals").unwrap().pointer("/items").and_then(Value::as_array).unwrap().is_empty());
    let huge = client.ask("POST", "/v1/withdrawals", "huge", &" ".repeat(300_000)).unwrap();
    assert_eq!((huge.status, text(&huge.body, "/code").as_str()), (413, "body-too-large"));
    assert_eq!(client.ask("GET", "/v1/nowhere", "", "").unwrap().status, 404);
    assert_eq!(client.ask("POST", "/v1/account", "x", "").unwrap().status, 405);
}

fn alice_key(town: &Town) -> claviger::cli::ApiKey {
    town.house.people.key("alice").unwrap()
}
