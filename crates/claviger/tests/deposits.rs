//! Deposits on a real chain: counted once, undone and redone, and recorded with the reason when they are not credited.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "in a test, failing here is the test failing"
)]

mod common;

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use bitcoin::consensus::encode::{deserialize, deserialize_hex, serialize, serialize_hex};
use bitcoin::{Amount, Block, ScriptBuf, Transaction};
use claviger::dev::until;
use common::liar::{Lie, stand_before};
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

/// The script of an address on a private chain.
fn script(address: &str) -> ScriptBuf {
    address.parse::<bitcoin::Address<_>>().unwrap().assume_checked().script_pubkey()
}

#[test]
fn t06_a_payment_that_our_node_adds_to_an_honest_block_is_not_credited() {
    let paid: Arc<Mutex<Option<ScriptBuf>>> = Arc::default();
    let lied = Arc::clone(&paid);
    let town = Town::start_with(move |config| {
        let lied = Arc::clone(&lied);
        config.node.url = stand_before(&config.node.url, move |question, truth| {
            let Some(script) = lied.lock().unwrap().clone().filter(|_| question.starts_with("GET /rest/block/")) else {
                return Lie::Say(truth);
            };
            let mut block: Block = deserialize(&truth).unwrap();
            let mut invented = block.txdata[0].clone();
            invented.input[0].previous_output = bitcoin::OutPoint::new(invented.compute_txid(), 0);
            invented.output.truncate(1);
            invented.output[0] = bitcoin::TxOut { value: Amount::from_sat(500_000_000), script_pubkey: script };
            block.txdata.push(invented);
            Lie::Say(serialize(&block))
        });
    });
    // Nothing but our own node's word, and the header is an honest one, with an honest hash.
    *paid.lock().unwrap() = Some(script(&town.address("alice", "1")));
    town.house.node.mine(3).unwrap();
    town.until_alarm("node", "its transactions are not those that its header commits to");
    assert_eq!(deposits(&town), Vec::<Value>::new());
    assert_eq!(town.available("alice").unwrap(), 0);
    // The same blocks, as they are, are followed; what is really paid is credited.
    *paid.lock().unwrap() = None;
    town.until_no_alarm("node");
    town.house.node.pay(&town.address("alice", "1"), 7_000_000).unwrap();
    town.house.node.mine(2).unwrap();
    town.until_available("alice", 7_000_000);
    assert_eq!(deposits(&town).len(), 1);
    town.assert_reconciled();
}

#[test]
fn t06_a_waiting_payment_that_our_node_enlarges_is_not_believed() {
    let lies = Arc::new(AtomicU8::new(1));
    let told = Arc::clone(&lies);
    let town = Town::start_with(move |config| {
        let told = Arc::clone(&told);
        // The identifier is the real payment's, and so is every block.
        config.node.url = stand_before(&config.node.url, move |question, truth| {
            if told.load(Ordering::SeqCst) == 0 || !question.starts_with("GET /rest/tx/") {
                return Lie::Say(truth);
            }
            let mut transaction: Transaction = deserialize(&truth).unwrap();
            transaction.output.iter_mut().for_each(|output| output.value = Amount::from_sat(500_000_000));
            Lie::Say(serialize(&transaction))
        });
    });
    let address = town.address("alice", "1");
    town.house.node.pay(&address, 100_000).unwrap();
    town.until_alarm("transaction-differs", "another transaction than was asked for");
    assert_eq!(deposits(&town), Vec::<Value>::new(), "not even shown");
    // Its block is honest, and what stands there is credited, lies or not.
    town.house.node.mine(3).unwrap();
    town.until_available("alice", 100_000);
    town.until_no_alarm("transaction-differs");
    // As it is told without lies, it is seen while it waits, and credited once.
    lies.store(0, Ordering::SeqCst);
    let txid = town.house.node.pay(&address, 200_000).unwrap().to_string();
    assert_eq!(text(&reaches(&town, &txid, "seen"), "/amount"), "200000");
    town.house.node.mine(3).unwrap();
    town.until_available("alice", 300_000);
    town.assert_reconciled();
}

#[test]
fn t06_a_deposit_of_another_amount_than_its_block_has_is_set_aside() {
    let town = Town::start();
    let txid = town.house.node.pay(&town.address("alice", "1"), 100_000).unwrap().to_string();
    town.house.node.mine(1).unwrap();
    reaches(&town, &txid, "confirming");
    // As it would stand there from a node that enlarged it while it waited, before such nodes were found out.
    let amount = hex::encode(types::Amount::from_sats(500_000_000).to_be_bytes());
    assert_eq!(town.tamper(&format!("UPDATE deposits SET amount = x'{amount}' WHERE state = 'confirming'")), 1);
    town.house.node.mine(2).unwrap();
    let row = reaches(&town, &txid, "quarantined");
    assert!(text(&row, "/reason").contains("another amount"), "{row}");
    // Nor do people let it through by naming an owner.
    let path = format!("/v1/deposits/{}/release", text(&row, "/id"));
    let body = json!({"owner": "customer:alice"}).to_string();
    assert_eq!(town.olga().ask("POST", &path, "release", &body).unwrap().status, 200);
    until("set aside again", || {
        let (state, reason) = {
            let row = deposits(&town).pop().ok_or("it is not there")?;
            (text(&row, "/state"), text(&row, "/reason"))
        };
        Ok((state == "quarantined" && reason.contains("another amount")).then_some(()))
    })
    .unwrap();
    assert_eq!(town.available("alice").unwrap(), 0);
}

#[test]
fn t06_a_further_node_vouches_for_the_payment_and_not_for_a_hash_alone() {
    const HONEST: u8 = 0;
    const UNKNOWN: u8 = 1;
    const OTHER: u8 = 2;
    const LESS: u8 = 3;
    const SILENT: u8 = 4;
    const NONSENSE: u8 = 5;
    let (mood, rounds) = (Arc::new(AtomicU8::new(HONEST)), Arc::new(AtomicU32::new(0)));
    let (told, counted) = (Arc::clone(&mood), Arc::clone(&rounds));
    let town = Town::start_with(move |config| {
        let (told, counted) = (Arc::clone(&told), Arc::clone(&counted));
        // It has the very blocks that our node has, and is asked about the payment besides.
        let url = stand_before(&config.node.url, move |question, truth| {
            let asked = question.contains("getrawtransaction");
            // With this each round of questions begins.
            if question.contains("getblockchaininfo") {
                counted.fetch_add(1, Ordering::SeqCst);
            }
            let mut answer: Value = match told.load(Ordering::SeqCst) {
                SILENT => return Lie::Silence,
                UNKNOWN | OTHER | LESS | NONSENSE if asked => serde_json::from_slice(&truth).unwrap(),
                _ => return Lie::Say(truth),
            };
            let mut transaction: Transaction = deserialize_hex(answer["result"].as_str().unwrap()).unwrap();
            match told.load(Ordering::SeqCst) {
                UNKNOWN => answer = json!({"result": null, "error": {"code": -5, "message": "No such transaction"}}),
                OTHER => {
                    transaction.lock_time = bitcoin::absolute::LockTime::from_consensus(1);
                    answer["result"] = json!(serialize_hex(&transaction));
                }
                LESS => {
                    transaction.output.iter_mut().for_each(|output| output.value = Amount::from_sat(1));
                    answer["result"] = json!(serialize_hex(&transaction));
                }
                _ => answer["result"] = json!("no digits"),
            }
            Lie::Say(answer.to_string().into_bytes())
        });
        let cookie = config.node.cookie.clone();
        config.witness_nodes = vec![claviger::config::NodeConfig { url, cookie }];
    });
    let mut credited = 0;
    for (lie, words) in [
        (UNKNOWN, "the node does not know"),
        (OTHER, "another transaction than was asked for"),
        (LESS, "another transaction than was asked for"),
        (NONSENSE, "cannot be read"),
        (SILENT, "does not answer"),
    ] {
        mood.store(lie, Ordering::SeqCst);
        let txid = town.house.node.pay(&town.address("alice", "1"), 10_000_000).unwrap().to_string();
        town.house.node.mine(3).unwrap();
        town.until_alarm("nodes-disagree", words);
        assert_eq!(town.available("alice").unwrap(), credited, "{words}");
        // As deep as it gets and as often as it is asked, it is not asked for less: one whole round at least lies between these.
        town.house.node.mine(20).unwrap();
        let before = rounds.load(Ordering::SeqCst);
        until("further rounds of questions", || Ok((rounds.load(Ordering::SeqCst) >= before + 3).then_some(())))
            .unwrap();
        reaches(&town, &txid, "confirming");
        assert_eq!(town.available("alice").unwrap(), credited, "{words}");
        mood.store(HONEST, Ordering::SeqCst);
        credited += 10_000_000;
        town.until_available("alice", credited);
        town.until_no_alarm("nodes-disagree");
    }
    town.assert_reconciled();
}
