//! Deposits on a real chain: counted once, undone and redone, and recorded with the reason when they are not credited.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "in a test, failing here is the test failing"
)]

mod common;

use claviger::dev::until;
use common::{Town, text};
use serde_json::{Value, json};

fn deposits(town: &Town) -> Vec<Value> {
    let list = town.olga().get("/v1/deposits?limit=500").unwrap();
    list.pointer("/items").and_then(Value::as_array).cloned().unwrap_or_default()
}

/// Waits until the deposit with this transaction is in a state.
fn reaches(town: &Town, txid: &str, state: &str) -> Value {
    until(&format!("{txid} {state}"), || {
        let found = deposits(town).into_iter().find(|row| text(row, "/id").starts_with(txid));
        let found = found.ok_or("it is not there")?;
        if text(&found, "/state") == state { Ok(Some(found)) } else { Err(found.to_string()) }
    })
    .unwrap()
}

#[test]
fn every_output_is_counted_once_whatever_is_rescanned() {
    let mut town = Town::start();
    let (first, second) = (town.address("alice", "1"), town.address("alice", "2"));
    assert_ne!(first, second);
    // The float's addresses are given out once for each key, as customers' are.
    let float = |key| text(&town.olga().post("/v1/float/addresses", key, &Value::Null).unwrap(), "/address");
    assert_eq!(float("f"), float("f"));
    assert_ne!(float("f"), float("g"));
    // One transaction, two outputs to us; and another to the same address again.
    let outputs = json!({"outputs": {first.as_str(): 0.1, second.as_str(): 0.2}, "fee_rate": 2});
    let node = &town.house.node;
    let sent = node.client().call_wallet("outside", "send", outputs).unwrap();
    let txid = text(&sent, "/txid");
    let again = node.pay(&first, 5_000_000).unwrap().to_string();
    reaches(&town, &txid, "seen");
    town.house.node.mine(1).unwrap();
    reaches(&town, &again, "confirming");
    assert_eq!(town.available("alice").unwrap(), 0);
    town.house.node.mine(1).unwrap();
    town.until_available("alice", 35_000_000);
    for _ in 0..3 {
        town.house.service.restart().unwrap();
    }
    town.house.node.mine(3).unwrap();
    let height = town.house.node.client().chain_info().unwrap().height;
    until("the newest block", || {
        let metrics = town.olga().ask("GET", "/metrics", "", "")?;
        Ok(metrics.body.as_str().unwrap_or_default().contains(&format!("claviger_block_height {height}")).then_some(()))
    })
    .unwrap();
    assert_eq!(town.available("alice").unwrap(), 35_000_000);
    assert_eq!(deposits(&town).len(), 3);
    town.assert_reconciled();
    town.assert_books();
}

#[test]
fn blocks_that_leave_and_come_back_take_and_give_exactly() {
    let mut town = Town::with_coins();
    // Deeper than everything that was credited: float, alice and bob.
    town.house.node.leave(3).unwrap();
    town.house.node.mine_empty(4).unwrap();
    town.until_available("alice", 0);
    town.until_available("bob", 0);
    town.assert_reconciled();
    town.house.service.restart().unwrap();
    town.house.node.mine(3).unwrap();
    town.until_available("alice", 300_000_000);
    town.until_available("bob", 50_000_000);
    town.assert_reconciled();
    town.assert_books();
}

#[test]
fn what_was_spent_before_its_block_left_is_borne_by_the_house_and_given_back() {
    let mut town = Town::with_coins();
    let destination = town.outside();
    let answer = town.withdraw("bob", "spent", &Town::withdrawal(4_000_000, &destination));
    let id = text(&answer.body, "/id");
    town.reaches(&id, "broadcast");
    town.house.node.mine(1).unwrap();
    let shown = town.reaches(&id, "settled");
    let fee = shown.pointer("/transactions/0/fee_sats").and_then(Value::as_u64).unwrap();
    let shortfall = |town: &Town| {
        let accounts = town.olga().get("/v1/accounts").unwrap();
        let items = accounts.pointer("/items").and_then(Value::as_array).cloned().unwrap();
        let account = items.into_iter().find(|row| text(row, "/account") == "house:shortfall").unwrap();
        let sum = |field| text(&account, field).parse::<u64>().unwrap();
        sum("/debits") - sum("/credits")
    };
    town.house.node.leave(4).unwrap();
    town.house.node.mine_empty(5).unwrap();
    town.until_available("bob", 0);
    // Payout and network fee were paid out of coins that are in no block now.
    assert_eq!(shortfall(&town), 4_000_000 + fee);
    town.until_alarm("settled-left-chain", "no block");
    town.house.node.mine(4).unwrap();
    town.until_available("bob", 46_000_000);
    town.until_available("alice", 300_000_000);
    assert_eq!(shortfall(&town), 0);
    assert_eq!(town.received(&destination), (4_000_000, 1));
    town.assert_reconciled();
    town.assert_books();
}

#[test]
fn a_reorganization_deeper_than_allowed_stops_crediting() {
    let town = Town::start_with(|config| config.deposits.reorganization_max = 3);
    let address = town.address("alice", "1");
    town.house.node.pay(&address, 10_000_000).unwrap();
    town.house.node.mine(6).unwrap();
    town.until_available("alice", 10_000_000);
    town.house.node.leave(5).unwrap();
    town.house.node.mine_empty(6).unwrap();
    town.until_alarm("reorganization-too-deep", "nothing is credited");
    town.house.node.pay(&town.address("bob", "1"), 10_000_000).unwrap();
    town.house.node.mine(4).unwrap();
    town.until_alarm("reorganization-too-deep", "nothing is credited");
    assert_eq!(town.available("bob").unwrap(), 0);
}

#[test]
fn replaced_dust_unknown_and_immature_are_recorded_with_their_reason() {
    let town = Town::with_coins();
    let node = &town.house.node;
    let address = town.address("alice", "more");

    // Replaced before it was in a block: by one that pays elsewhere.
    let options = json!({"address": address, "amount": 0.05, "fee_rate": 2, "replaceable": true});
    let first = node.client().call_wallet("outside", "sendtoaddress", options).unwrap();
    let first = first.as_str().unwrap().to_owned();
    reaches(&town, &first, "seen");
    let raw = node.client().call("getrawtransaction", json!([first, true])).unwrap();
    let inputs: Vec<Value> = raw["vin"]
        .as_array()
        .unwrap()
        .iter()
        .map(|input| json!({"txid": input["txid"], "vout": input["vout"]}))
        .collect();
    let outputs = json!({"outputs": {town.outside(): 0.04}, "inputs": inputs, "fee_rate": 50, "replaceable": true, "add_inputs": true});
    node.client().call_wallet("outside", "send", outputs).unwrap();
    let row = reaches(&town, &first, "replaced");
    assert!(text(&row, "/reason").contains("replaced"), "{row}");

    // Dust.
    let dust = node.pay(&address, 900).unwrap().to_string();
    // Our own change address, which nobody was given.
    let destination = town.outside();
    let id = text(&town.withdraw("alice", "change", &Town::withdrawal(1_000_000, &destination)).body, "/id");
    let paid = text(&town.reaches(&id, "broadcast"), "/payment/txid");
    let raw = node.client().call("getrawtransaction", json!([paid, true])).unwrap();
    let ours = raw["vout"].as_array().unwrap().iter().map(|output| text(output, "/scriptPubKey/address"));
    let change = ours.into_iter().find(|found| *found != destination).unwrap();
    let unknown = node.pay(&change, 3_000_000).unwrap().to_string();
    // Newly mined.
    let mined = node.client().call("generatetoaddress", json!([1, address])).unwrap();
    node.mine(3).unwrap();
    let row = reaches(&town, &dust, "ignored");
    assert!(text(&row, "/reason").contains("dust"), "{row}");
    let row = reaches(&town, &unknown, "quarantined");
    assert!(text(&row, "/reason").contains("never given"), "{row}");
    let block = node.client().call("getblock", json!([mined[0], 1])).unwrap();
    let coinbase = text(&block, "/tx/0");
    let row = reaches(&town, &coinbase, "confirming");
    assert_eq!(row["confirmations_required"], 101);
    town.reaches(&id, "settled");
    town.until_available("alice", 299_000_000);
    town.assert_reconciled();

    // People say whose it is; what is not set aside they cannot assign.
    let row = reaches(&town, &unknown, "quarantined");
    let release = |id: &str, owner: &str| {
        let body = json!({"owner": owner}).to_string();
        let answer = town.olga().ask("POST", &format!("/v1/deposits/{id}/release"), "release", &body).unwrap();
        (answer.status, text(&answer.body, "/code"))
    };
    let id = text(&row, "/id");
    assert_eq!(release(&id, "customer:mallory"), (422, "unknown-owner".to_owned()));
    assert_eq!(release(&id, "house:shortfall"), (422, "unknown-owner".to_owned()));
    assert_eq!(release(&id, "customer:alice").0, 200);
    town.until_available("alice", 302_000_000);
    reaches(&town, &unknown, "credited");
    assert_eq!(release(&id, "customer:bob"), (409, "not-waiting".to_owned()));
    town.assert_reconciled();
}

#[test]
fn t06_what_only_our_own_node_has_is_not_credited() {
    let directory = tempfile::tempdir().unwrap();
    let mut witness = node::regtest::Bitcoind::start(&directory.path().join("witness")).unwrap();
    let town = Town::start_with(|config| {
        config.witness_nodes = vec![claviger::config::NodeConfig {
            url: witness.client().url().to_owned(),
            cookie: directory.path().join("witness/regtest/.cookie"),
        }];
    });
    // It has heard of another block at that height.
    witness.mine(1).unwrap();
    town.house.node.pay(&town.address("alice", "1"), 10_000_000).unwrap();
    town.house.node.mine(5).unwrap();
    town.until_alarm("nodes-disagree", "another node has block");
    assert_eq!(town.available("alice").unwrap(), 0);
    town.house.node.tell(&witness).unwrap();
    town.until_available("alice", 10_000_000);
    town.until_no_alarm("nodes-disagree");
    // A witness that is away, or behind, holds crediting up as well.
    witness.stop().unwrap();
    town.house.node.pay(&town.address("alice", "2"), 5_000_000).unwrap();
    town.house.node.mine(2).unwrap();
    town.until_alarm("nodes-disagree", "nothing is credited");
    witness.restart().unwrap();
    town.until_alarm("nodes-disagree", "nothing is credited");
    assert_eq!(town.available("alice").unwrap(), 10_000_000);
    town.house.node.tell(&witness).unwrap();
    town.until_available("alice", 15_000_000);
}
