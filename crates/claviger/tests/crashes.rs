//! The online system is killed at every step, signers and nodes go away, disks fill: one payment, balanced books.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "in a test, failing here is the test failing"
)]

mod common;

use std::process::Command;

use claviger::dev::until;
use common::{Town, id_of, text};
use serde_json::Value;

/// Makes the database refuse the commit that would reach a state: what stands before it is then what a crash just before
/// that commit leaves, with everything that was done outside in between.
fn block(town: &Town, table: &str, name: &str, value: &str, state: &str) {
    let event = if state == "held" { "INSERT" } else { "UPDATE" };
    town.tamper(&format!(
        "CREATE TRIGGER blocked BEFORE {event} ON {table} WHEN NEW.{name} = '{value}' AND NEW.state = '{state}'
         BEGIN SELECT RAISE(ABORT, 'blocked by the test'); END"
    ));
}

#[test]
fn t07_killed_before_any_step_it_pays_once_and_the_books_balance() {
    let mut town = Town::with_coins();
    let mut paid = Vec::new();
    let states = ["held", "screened", "approved", "generated", "signed", "broadcast", "confirmed", "settled"];
    for (number, state) in (1u64..).zip(states) {
        let key = format!("order-{state}");
        let (id, destination, sats) = (id_of(&key), town.outside(), 1_000_000 + number);
        let body = Town::withdrawal(sats, &destination);
        block(&town, "payments", "id", &id, state);
        let answer = town.withdraw("alice", &key, &body);
        if state == "held" {
            assert_eq!(answer.status, 503, "{:?}", answer.body);
            assert_eq!(text(&answer.body, "/code"), "storage");
        } else {
            assert_eq!(answer.status, 201, "{:?}", answer.body);
            let follows = ["confirmed", "settled"].contains(&state);
            if follows {
                town.reaches(&id, "broadcast");
                town.house.node.mine(1).unwrap();
            }
            town.until_alarm("step", "blocked by the test");
        }
        town.house.service.kill();
        if state == "signed" {
            // The signers have signed; one of them crashes too.
            town.house.fleet.kill(0).unwrap();
        }
        town.tamper("DROP TRIGGER blocked");
        if state == "signed" {
            town.house.fleet.restart(0).unwrap();
        }
        town.house.service.restart().unwrap();
        // Whoever did not hear the answer asks again.
        let again = town.withdraw("alice", &key, &body);
        assert!(again.status == 200 || (state == "held" && again.status == 201), "{:?}", again.body);
        until("settled", || {
            if town.state(&id)? == "settled" {
                return Ok(Some(()));
            }
            if town.state(&id)? == "broadcast" {
                town.house.node.mine(1).map_err(|error| error.to_string())?;
            }
            Err(town.state(&id)?)
        })
        .unwrap();
        paid.push((destination, sats));
        town.until_no_alarm("step");
    }
    for (destination, sats) in &paid {
        assert_eq!(town.received(destination), (*sats, 1));
    }
    let sum: u64 = paid.iter().map(|(_, sats)| sats).sum();
    town.until_available("alice", 300_000_000 - sum);
    town.assert_reconciled();
    town.assert_books();
}

#[test]
fn t07_killed_at_random_moments_it_pays_each_of_many_once() {
    let mut town = Town::with_coins();
    let mut orders = Vec::new();
    for number in 0..12u64 {
        let (key, destination) = (format!("many-{number}"), town.outside());
        let body = Town::withdrawal(200_000 + number, &destination);
        assert_eq!(town.withdraw("alice", &key, &body).status, 201);
        orders.push((id_of(&key), destination, 200_000 + number));
        // Wherever it happens to be.
        town.house.service.kill();
        town.house.service.restart().unwrap();
    }
    for (id, ..) in &orders {
        until("settled", || {
            town.house.node.mine(1).map_err(|error| error.to_string())?;
            let state = town.state(id)?;
            if state == "settled" { Ok(Some(())) } else { Err(state) }
        })
        .unwrap();
    }
    for (_, destination, sats) in &orders {
        assert_eq!(town.received(destination), (*sats, 1));
    }
    town.assert_reconciled();
    town.assert_books();
}

#[test]
fn a_node_that_is_down_is_named_and_work_resumes() {
    let mut town = Town::with_coins();
    town.house.node.stop().unwrap();
    town.until_alarm("node", "");
    let ready = town.until_ready(false);
    assert!(text(&ready, "/node").contains("node"), "{ready:?}");
    town.house.node.restart().unwrap();
    let destination = town.outside();
    let answer = town.withdraw("alice", "after-node", &Town::withdrawal(1_000_000, &destination));
    assert_eq!(answer.status, 201);
    town.reaches(&id_of("after-node"), "broadcast");
    town.until_no_alarm("node");
    town.until_ready(true);
}

#[test]
fn signers_that_are_down_are_named_and_work_resumes() {
    let mut town = Town::with_coins();
    let id = id_of("few-signers");
    // One away: the other two sign.
    town.house.fleet.kill(1).unwrap();
    let destination = town.outside();
    assert_eq!(town.withdraw("alice", "few-signers", &Town::withdrawal(1_000_000, &destination)).status, 201);
    town.reaches(&id, "broadcast");
    // Two away: the payment waits, and says for whom.
    town.house.fleet.kill(2).unwrap();
    let id = id_of("one-signer");
    assert_eq!(town.withdraw("alice", "one-signer", &Town::withdrawal(1_000_000, &destination)).status, 201);
    town.until_alarm("signers", "s3");
    assert_eq!(town.state(&id).unwrap(), "generated");
    town.house.fleet.restart(1).unwrap();
    town.house.fleet.restart(2).unwrap();
    town.reaches(&id, "broadcast");
    town.until_no_alarm("signers");
    assert_eq!(town.received(&destination), (2_000_000, 2));
}

#[test]
fn a_payment_that_signers_were_asked_about_ends_once_it_can_never_be_whole() {
    let mut town = Town::with_coins_but(|config| config.withdrawals.lifetime_seconds = 6);
    let before = town.available("alice").unwrap();
    // One signer writes its intent down; the others are away until the payment has expired.
    town.house.fleet.kill(1).unwrap();
    town.house.fleet.kill(2).unwrap();
    let id = id_of("never");
    let destination = town.outside();
    assert_eq!(town.withdraw("alice", "never", &Town::withdrawal(1_000_000, &destination)).status, 201);
    town.until_alarm("signers", "s3");
    until("its expiry", || {
        let instruction = town.instruction(&id);
        Ok((std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
            > u64::try_from(instruction.expires.seconds()).unwrap())
        .then_some(()))
    })
    .unwrap();
    assert_eq!(town.state(&id).unwrap(), "generated", "one of three who say so is not enough");
    // One that has started anew says nothing before all its peers have said what they remember of it: its disk may be an old copy.
    town.house.fleet.restart(1).unwrap();
    town.until_alarm("signer", "peer");
    assert_eq!(town.state(&id).unwrap(), "generated");
    town.house.fleet.restart(2).unwrap();
    town.reaches(&id, "refused");
    town.until_available("alice", before);
    town.until_no_alarm("signers");
    assert_eq!(town.received(&destination), (0, 0));
    town.assert_books();
}

fn limit_files(town: &Town, bytes: &str) {
    let pid = town.house.service.pid().unwrap().to_string();
    let status = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={bytes}:unlimited")]).status();
    assert!(status.expect("prlimit is needed: run ./scripts/setup").success());
}

#[test]
fn a_full_disk_is_named_loses_nothing_and_work_resumes() {
    let mut town = Town::with_coins();
    // With the signal ignored, a limit on the size of files looks like a full disk.
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"trap '' XFSZ; exec "$0" "$@""#, env!("CARGO_BIN_EXE_claviger")]);
    town.house.service.restart_with(shell).unwrap();
    let destination = town.outside();
    let body = Town::withdrawal(1_000_000, &destination);
    limit_files(&town, "4096");
    let answer = town.withdraw("alice", "full-disk", &body);
    assert_eq!((answer.status, text(&answer.body, "/code").as_str()), (503, "storage"), "{:?}", answer.body);
    limit_files(&town, "unlimited");
    // Nothing of what was refused is there.
    town.until_available("alice", 300_000_000);
    let answer = until("room again", || {
        let answer = town.withdraw("alice", "full-disk", &body);
        if answer.status == 201 { Ok(Some(answer)) } else { Err(format!("{:?}", answer.body)) }
    });
    let id = text(&answer.unwrap().body, "/id");
    town.reaches(&id, "broadcast");
    town.house.node.mine(1).unwrap();
    town.reaches(&id, "settled");
    assert_eq!(town.received(&destination), (1_000_000, 1));
    town.assert_reconciled();
    town.assert_books();
}

#[test]
fn a_try_that_was_replaced_and_confirms_after_all_is_settled_with_its_own_fee() {
    let mut town = Town::with_coins();
    let destination = town.outside();
    assert_eq!(town.withdraw("alice", "bumped", &Town::withdrawal(2_000_000, &destination)).status, 201);
    let id = id_of("bumped");
    let first = text(&town.reaches(&id, "broadcast"), "/payment/txid");
    let raw = town.house.node.client().call("getrawtransaction", serde_json::json!([first])).unwrap();
    town.olga().post(&format!("/v1/transactions/{first}/bump"), "bump", &Value::Null).unwrap();
    let tries = until("the second try", || {
        let tries = town.payment(&id)?.pointer("/transactions").and_then(Value::as_array).cloned().unwrap_or_default();
        let sent = tries.iter().any(|row| text(row, "/txid") != first && text(row, "/state") == "broadcast");
        Ok(sent.then_some(tries))
    })
    .unwrap();
    assert_eq!(tries.len(), 2);
    // A miner who has only heard of the first try.
    let address = town.outside();
    town.house.node.client().call("generateblock", serde_json::json!([address, [raw]])).unwrap();
    let shown = town.reaches(&id, "settled");
    assert_eq!(text(&shown, "/payment/txid"), first);
    assert_eq!(town.received(&destination), (2_000_000, 1));
    town.assert_reconciled();
    town.assert_books();
}
