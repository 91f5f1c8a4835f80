//! The charter changes while the system runs: by its quorum, at every signer, or not at all.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "in a test, failing here is the test failing"
)]

mod common;

use std::path::Path;
use std::process::Command;

use claviger::cli::{ApiKey, Client};
use claviger::dev::until;
use common::{ASSET, Town, text};
use policy::{Charter, Customer};
use serde_json::{Value, json};

fn offer(town: &Town, charter: &Charter, people: &[&str]) -> (u16, String) {
    let approvals: Vec<Value> = people
        .iter()
        .map(|name| {
            let approval = town.house.people.sign(name, "claviger-charter", &charter.digest()).unwrap();
            json!({"operator": name, "signature": approval.signature})
        })
        .collect();
    let body = json!({"charter": String::from_utf8(charter.to_bytes()).unwrap(), "approvals": approvals});
    let answer = town.olga().ask("POST", "/v1/charter", "charter", &body.to_string()).unwrap();
    (answer.status, text(&answer.body, "/code"))
}

#[test]
fn t08_a_charter_changes_by_its_quorum_at_every_signer_or_not_at_all() {
    let mut town = Town::with_coins();
    let current = town.house.charter.clone();
    let carol = ApiKey::generate().unwrap();
    let mut next = current.clone();
    next.version = 2;
    next.previous = Some(current.digest());
    next.customers.push(Customer { id: "carol".parse().unwrap(), keys: vec![carol.public()] });
    next.customers.retain(|customer| customer.id.as_str() != "bob");
    next.tiers[0].amount_max = types::Amount::from_sats(1_000_000);

    // Waits for approval under the charter in force.
    let destination = town.outside();
    let answer = town.withdraw("alice", "before", &Town::withdrawal(60_000_000, &destination));
    let waiting = text(&answer.body, "/id");
    town.reaches(&waiting, "awaiting-approval");

    // Waits for a block, signed under the charter in force.
    let under_way = town.outside();
    let broadcast = text(&town.withdraw("alice", "broadcast", &Town::withdrawal(2_000_000, &under_way)).body, "/id");
    let first = text(&town.reaches(&broadcast, "broadcast"), "/payment/txid");

    for (charter, people, refusal) in [
        (next.clone(), &["olga"][..], (403, "charter-succession")),
        (next.clone(), &["olga", "olga"], (403, "charter-succession")),
        (Charter { version: 3, ..next.clone() }, &["olga", "omar"], (403, "charter-succession")),
        (Charter { previous: Some(next.digest()), ..next.clone() }, &["olga", "omar"], (403, "charter-succession")),
        (current.clone(), &["olga", "omar"], (403, "charter-succession")),
        (Charter { operators: vec![], ..next.clone() }, &["olga", "omar"], (422, "charter")),
    ] {
        let (status, code) = offer(&town, &charter, people);
        assert_eq!((status, code.as_str()), refusal, "{people:?}");
    }

    // One signer is away: the others take it, and the same request again ends it.
    town.house.fleet.kill(2).unwrap();
    assert_eq!(offer(&town, &next, &["olga", "omar"]), (503, "signers".to_owned()));
    town.house.fleet.restart(2).unwrap();
    until("the charter at every signer", || {
        let (status, code) = offer(&town, &next, &["olga", "omar"]);
        if status == 200 { Ok(Some(())) } else { Err(code) }
    })
    .unwrap();
    let signers = until("the system with the new charter", || {
        let charter = town.olga().get("/v1/charter")?;
        if text(&charter, "/version") != "2" {
            return Ok(None);
        }
        town.olga().get("/v1/signers").map(Some)
    })
    .unwrap();
    for signer in signers["items"].as_array().unwrap() {
        assert_eq!(signer["charter"], 2);
    }

    // What was made under the old one is refused by name, and its hold is free.
    let refused = town.reaches(&waiting, "refused");
    assert!(text(&refused, "/payment/reason").contains("charter-version"), "{refused}");
    town.until_available("alice", 298_000_000);

    // What was signed under it goes on; more fee for it would need signatures that nobody gives any more.
    town.olga().post(&format!("/v1/transactions/{first}/bump"), "bump", &Value::Null).unwrap();
    town.until_alarm("no-bump", "charter-version");
    assert_eq!(town.state(&broadcast).unwrap(), "broadcast");
    town.house.node.mine(1).unwrap();
    let settled = town.reaches(&broadcast, "settled");
    assert_eq!(text(&settled, "/payment/txid"), first);
    assert_eq!(town.received(&under_way), (2_000_000, 1));

    // Who left is not served any more.
    assert_eq!(town.house.customer("bob").unwrap().ask("GET", "/v1/account", "", "").unwrap().status, 401);

    // The new customer is served, and the lower limit holds.
    let carol = Client::new(&format!("http://{}", town.house.service.customers), carol);
    let address = carol.post("/v1/addresses", "1", &json!({"asset": ASSET.to_string(), "label": ""})).unwrap();
    town.house.node.pay(&text(&address, "/address"), 20_000_000).unwrap();
    town.house.node.mine(2).unwrap();
    let withdraw = |key: &str, sats: u64| {
        let body = Town::withdrawal(sats, &destination).to_string();
        until("carol's coins", || {
            let answer = carol.ask("POST", "/v1/withdrawals", key, &body)?;
            if answer.status < 300 { Ok(Some(text(&answer.body, "/id"))) } else { Err(answer.body.to_string()) }
        })
        .unwrap()
    };
    town.reaches(&withdraw("small", 900_000), "broadcast");
    town.reaches(&withdraw("large", 1_100_000), "awaiting-approval");
    assert_eq!(town.received(&destination), (900_000, 1));
    town.house.node.mine(1).unwrap();
    town.assert_reconciled();
    town.assert_books();
}

#[test]
fn an_approver_reads_what_a_charter_changes_before_signing() {
    let directory = tempfile::tempdir().unwrap();
    let town = Town::start();
    let mut next = town.house.charter.clone();
    next.version = 2;
    next.previous = Some(town.house.charter.digest());
    next.tiers[0].amount_max = types::Amount::from_sats(9_000_000);
    next.customers.pop();
    let file = |name: &str, charter: &Charter| {
        let path = directory.path().join(name);
        std::fs::write(&path, charter.to_bytes()).unwrap();
        path
    };
    let (old, new) = (file("1.json", &town.house.charter), file("2.json", &next));
    let verify = Path::new(env!("CARGO_BIN_EXE_claviger")).with_file_name("claviger-verify");
    let run = |file: &Path, current: &Path| {
        let output = Command::new(&verify).arg("charter").arg(file).arg("--current").arg(current).output();
        let output = output.expect("claviger-verify is needed: run cargo build --workspace --bins");
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (holds, words) = run(&new, &old);
    assert!(holds, "{words}");
    for part in ["tiers.automatic.amount_max", "\"5000000\" becomes \"9000000\"", "customers.bob", "is gone"] {
        assert!(words.contains(part), "{part} in {words}");
    }
    assert!(!words.contains("customers.alice"), "{words}");
    let (holds, words) = run(&old, &new);
    assert!(!holds && words.contains("does not follow"), "{words}");
}
