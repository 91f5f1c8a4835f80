//! Coins that move without a record of ours, and records without a coin: found by themselves, wherever they show first.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "in a test, failing here is the test failing"
)]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use claviger::dev::until;
use common::direct::{self, Order};
use common::liar::{Lie, stand_before};
use common::{Town, block_on, id_of, text};
use serde_json::{Value, json};
use signer_wire::{ReplyBody, RequestBody};
use sqlx::{Connection as _, Row as _};

/// What somebody does who has the online system's certificate and alice's key: no server, no database.
fn sign_directly(town: &mut Town, destination: &str, sats: u64) -> bitcoin::Transaction {
    let order = Order::new(town, "direct", destination, sats, |_| vec![]);
    let signed = order.ask(&mut town.house.fleet.clients).unwrap();
    order.finish(town, &signed)
}

/// The same while nobody looks, and with the signers that did it away afterwards, so that they tell nobody.
fn sign_unseen(town: &mut Town, destination: &str) -> bitcoin::Transaction {
    // What the order needs the system tells; what follows it does not see.
    let order = Order::new(town, "unseen", destination, 4_000_000, |_| vec![]);
    town.house.service.kill();
    let signed = order.ask(&mut town.house.fleet.clients).unwrap();
    let stolen = order.finish(town, &signed);
    town.house.fleet.kill(0).unwrap();
    town.house.fleet.kill(1).unwrap();
    town.house.service.restart().unwrap();
    stolen
}

fn until_all_frozen(town: &Town) {
    until("every signer is frozen", || {
        let signers = town.olga().get("/v1/signers")?;
        let frozen = signers["items"].as_array().unwrap().iter().all(|signer| signer["latches"] == json!(["all"]));
        if frozen { Ok(Some(())) } else { Err(signers.to_string()) }
    })
    .unwrap();
}

/// How often it was noticed that no record has this transaction.
fn noticed(town: &Town, txid: &str) -> i64 {
    let sql = format!("SELECT COUNT(*) FROM audit WHERE action = 'alarm.unknown-spend' AND subject = '{txid}'");
    number(town, &sql)
}

fn number(town: &Town, sql: &str) -> i64 {
    let path = format!("sqlite://{}", town.house.directory().join("claviger.db").display());
    let sql = sql.to_owned();
    block_on(async move {
        let mut connection = sqlx::SqliteConnection::connect(&path).await.unwrap();
        sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_one(&mut connection).await.unwrap().get(0)
    })
}

#[test]
fn t07_what_signers_signed_and_no_record_asked_for_freezes_every_signer_before_it_is_sent() {
    let mut town = Town::with_coins();
    let mallory = town.outside();
    // One signer is away at first: it is frozen when it is back.
    town.house.fleet.kill(2).unwrap();
    let stolen = sign_directly(&mut town, &mallory, 4_000_000);
    // Whoever has the certificate also has signers hear from each other that it left: it stands nowhere any more.
    let mut pair = direct::signers(&town, &[0, 1]);
    signer_client::settle_all(&mut pair);
    assert_eq!(signer_client::settle_all(&mut pair).0, 0);
    town.until_alarm("freeze-incomplete", "s3");
    town.house.fleet.restart(2).unwrap();
    let alarm = town.until_alarm("frozen-for-spend", "has signed it");
    let txid = stolen.compute_txid().to_string();
    assert_eq!(text(&alarm, "/subject"), txid);
    // The one that was away is admitted by its peers a moment later.
    until_all_frozen(&town);
    // It is no news when it waits, nor in its block.
    town.house.node.client().broadcast(&stolen).unwrap();
    town.house.node.mine(1).unwrap();
    town.until_alarm("books-differ", "the books explain");
    assert_eq!(noticed(&town, &txid), 1);
    assert!(!town.alarms().unwrap().iter().any(|alarm| text(alarm, "/code") == "unknown-spend"));
}

#[test]
fn t07_an_unfreezing_holds_although_a_signer_is_still_to_be_frozen() {
    let mut town = Town::with_coins();
    let mallory = town.outside();
    town.house.fleet.kill(2).unwrap();
    sign_directly(&mut town, &mallory, 4_000_000);
    town.until_alarm("freeze-incomplete", "s3");
    direct::unfreeze(&town, &[0, 1]);
    town.house.fleet.restart(2).unwrap();
    town.until_alarm("frozen-for-spend", "has signed it");
    until("only the one that was away is frozen", || {
        let signers = town.olga().get("/v1/signers")?;
        let latches: Vec<_> =
            signers["items"].as_array().unwrap().iter().map(|signer| signer["latches"].clone()).collect();
        if latches == [json!([]), json!([]), json!(["all"])] { Ok(Some(())) } else { Err(format!("{latches:?}")) }
    })
    .unwrap();
}

#[test]
fn t07_a_strange_signature_is_found_behind_one_that_was_noticed_before() {
    let mut town = Town::with_coins();
    let (mallory, further) = (town.outside(), town.outside());
    sign_directly(&mut town, &mallory, 4_000_000);
    town.until_alarm("frozen-for-spend", "has signed it");
    until_all_frozen(&town);
    let order = Order::new(&town, "behind", &further, 4_000_000, |_| vec![]);
    town.house.service.kill();
    direct::unfreeze(&town, &[0, 1, 2]);
    let signed = order.ask(&mut town.house.fleet.clients).unwrap();
    let stolen = order.finish(&town, &signed).compute_txid().to_string();
    // As if their journals were others: all that they ever released is compared anew.
    assert_eq!(town.tamper(&format!("UPDATE watched SET newest = '{}' WHERE releases > 0", "ab".repeat(32))), 2);
    town.house.service.restart().unwrap();
    let alarm = town.until_alarm("frozen-for-spend", &stolen);
    assert_eq!(text(&alarm, "/subject"), stolen);
    until_all_frozen(&town);
}

#[test]
fn t07_a_strange_spend_that_waits_for_a_block_freezes_every_signer() {
    let mut town = Town::with_coins();
    let mallory = town.outside();
    let stolen = sign_unseen(&mut town, &mallory);
    town.house.node.client().broadcast(&stolen).unwrap();
    town.until_alarm("unknown-spend", "it waits for a block");
    town.until_alarm("freeze-incomplete", "s1");
    town.house.fleet.restart(0).unwrap();
    town.house.fleet.restart(1).unwrap();
    let alarm = town.until_alarm("frozen-for-spend", "it waits for a block");
    assert_eq!(text(&alarm, "/subject"), stolen.compute_txid().to_string());
    until_all_frozen(&town);
    assert_eq!(noticed(&town, &stolen.compute_txid().to_string()), 1);
}

#[test]
fn t07_a_spend_that_no_record_explains_freezes_every_signer() {
    let mut town = Town::with_coins();
    let mallory = town.outside();
    let stolen = sign_unseen(&mut town, &mallory);
    // A miner's own: it waits nowhere.
    let raw = bitcoin::consensus::encode::serialize_hex(&stolen);
    town.house.node.client().call("generateblock", json!([mallory, [raw]])).unwrap();
    town.until_alarm("freeze-incomplete", "s1");
    town.house.fleet.restart(0).unwrap();
    town.house.fleet.restart(1).unwrap();
    let alarm = town.until_alarm("frozen-for-spend", "it is in block");
    assert_eq!(text(&alarm, "/subject"), stolen.compute_txid().to_string());
    until_all_frozen(&town);
    // The books do not explain it either, and nothing more is paid.
    town.until_alarm("books-differ", "the books explain");
    let destination = town.outside();
    assert_eq!(town.withdraw("bob", "after", &Town::withdrawal(1_000_000, &destination)).status, 201);
    town.until_alarm("withdrawals-stopped", "differ");
    assert_eq!(town.received(&destination), (0, 0));
    // People put it away; machines' alarms they cannot.
    let put_away = |code: &str, subject: &str| {
        let body = json!({"code": code, "subject": subject}).to_string();
        town.olga().ask("POST", "/v1/alarms/put-away", &format!("away-{code}"), &body).unwrap().status
    };
    assert_eq!(put_away("books-differ", "hot"), 422);
    assert_eq!(put_away("frozen-for-spend", "nothing"), 404);
    assert_eq!(put_away("frozen-for-spend", &stolen.compute_txid().to_string()), 204);
    town.until_no_alarm("frozen-for-spend");
}

#[test]
fn honest_work_is_explained_through_failed_attempts_crashes_batches_and_higher_fees() {
    let mut town = Town::with_coins();
    // An attempt for which one signer alone writes its part down: the others are away.
    town.house.fleet.kill(1).unwrap();
    town.house.fleet.kill(2).unwrap();
    let (one, two) = (town.outside(), town.outside());
    for (key, destination) in [("one", &one), ("two", &two)] {
        assert_eq!(town.withdraw("alice", key, &Town::withdrawal(1_000_000, destination)).status, 201);
    }
    town.until_alarm("signers", "s3");
    town.house.fleet.restart(1).unwrap();
    town.house.fleet.restart(2).unwrap();
    // Signed, and killed right before that is written down.
    town.tamper(
        "CREATE TRIGGER blocked BEFORE UPDATE ON transactions WHEN NEW.state = 'signed'
         BEGIN SELECT RAISE(ABORT, 'blocked by the test'); END",
    );
    town.until_alarm("step", "blocked by the test");
    town.house.service.kill();
    town.tamper("DROP TRIGGER blocked");
    town.house.service.restart().unwrap();
    let shown = town.reaches(&id_of("one"), "broadcast");
    let txid = text(&shown, "/payment/txid");
    let bumped = town.olga().ask("POST", &format!("/v1/transactions/{txid}/bump"), "bump", "");
    assert!([200, 202, 204].contains(&bumped.as_ref().unwrap().status), "{:?}", bumped.unwrap().body);
    until("the higher fee is signed", || {
        let tries = number(&town, "SELECT COUNT(*) FROM transactions WHERE state = 'broadcast' AND txid <> grp");
        Ok((tries == 1).then_some(()))
    })
    .unwrap();
    town.house.fleet.kill(0).unwrap();
    town.house.fleet.restart(0).unwrap();
    town.house.node.mine(1).unwrap();
    town.reaches(&id_of("one"), "settled");
    town.reaches(&id_of("two"), "settled");
    let mut signed = 0;
    for (place, name) in ["s1", "s2", "s3"].into_iter().enumerate() {
        let mut signer = direct::signers(&town, &[place]);
        let Ok(ReplyBody::Releases(told)) = signer[0].call(RequestBody::Releases { from: 1 }) else {
            panic!("no answer")
        };
        signed += told.len();
        until("all of it was compared", || {
            let compared = number(&town, &format!("SELECT releases FROM watched WHERE signer = '{name}'"));
            Ok((compared == i64::try_from(told.len()).unwrap()).then_some(()))
        })
        .unwrap();
    }
    assert!(signed >= 4, "a first try and one with more fee, by two signers at least");
    assert_eq!(number(&town, "SELECT COUNT(*) FROM audit WHERE action = 'alarm.unknown-spend'"), 0);
    town.assert_reconciled();
}

fn copy(from: &Path, to: &Path) {
    for end in ["", "-wal", "-shm"] {
        let file = |path: &Path| PathBuf::from(format!("{}{end}", path.display()));
        let _ = std::fs::remove_file(file(to));
        if file(from).exists() {
            std::fs::copy(file(from), file(to)).unwrap();
        }
    }
}

#[test]
fn t07_a_database_put_back_to_an_old_state_is_found_out_by_what_signers_signed() {
    let mut town = Town::with_coins();
    let (database, old) = (town.house.directory().join("claviger.db"), town.house.directory().join("old.db"));
    town.house.service.kill();
    copy(&database, &old);
    town.house.service.restart().unwrap();
    let destination = town.outside();
    assert_eq!(town.withdraw("alice", "lost", &Town::withdrawal(1_000_000, &destination)).status, 201);
    town.reaches(&id_of("lost"), "broadcast");
    town.house.service.kill();
    copy(&old, &database);
    town.house.service.restart().unwrap();
    town.until_alarm("frozen-for-spend", "no signing record has it");
    until_all_frozen(&town);
}

#[test]
fn t07_a_coin_that_the_chain_does_not_have_is_found_at_the_next_block() {
    let town = Town::with_coins();
    let nowhere = format!("{}:0", "ab".repeat(32));
    let real = town.olga().get("/v1/deposits").unwrap()["items"][0]["id"].as_str().unwrap().to_owned();
    // Books and our own record agree with each other, and the chain has no such coin.
    assert_eq!(town.tamper(&format!("UPDATE coins SET id = '{nowhere}' WHERE id = '{real}'")), 1);
    town.house.node.mine(1).unwrap();
    town.until_alarm("books-differ", &format!("{nowhere} is spent, or never was"));
    assert_eq!(town.tamper(&format!("UPDATE coins SET id = '{real}' WHERE id = '{nowhere}'")), 1);
    town.house.node.mine(1).unwrap();
    town.until_no_alarm("books-differ");
    // Nobody asked for it.
    town.assert_reconciled();
}

#[test]
fn t06_a_further_node_that_falls_silent_is_known_within_seconds_although_no_deposit_waits() {
    let silent = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&silent);
    let town =
        Town::start_with(move |config| {
            let told = Arc::clone(&told);
            let url = stand_before(&config.node.url, move |_, truth| {
                if told.load(Ordering::SeqCst) { Lie::Silence } else { Lie::Say(truth) }
            });
            let cookie = config.node.cookie.clone();
            config.witness_nodes = vec![claviger::config::NodeConfig { url, cookie }];
        });
    let alarms = || -> Vec<Value> { town.alarms().unwrap() };
    town.house.node.mine(1).unwrap();
    assert!(alarms().iter().all(|alarm| text(alarm, "/code") != "further-node"));
    let begun = Instant::now();
    silent.store(true, Ordering::SeqCst);
    town.until_alarm("further-node", "does not answer");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    silent.store(false, Ordering::SeqCst);
    town.until_no_alarm("further-node");
}
