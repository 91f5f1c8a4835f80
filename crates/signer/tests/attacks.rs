//! The online system is the attacker: it asks signers directly, with whatever it likes. Each test is named after its threat.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "in a test, failing here is the test failing"
)]

mod common;

use bitcoin::psbt::Psbt;
use bitcoin::sighash::EcdsaSighashType;
use common::cores::{Cores, code};
use common::{MALLORY, wire};
use signer_wire::{Evidence, Instruction as WireInstruction, ReplyBody, RequestBody};
use types::{Amount, Body, Freeze, Instruction};

fn refused(fleet: &mut Cores, wires: &[WireInstruction], psbt: &Psbt) -> String {
    let codes: Vec<_> = (0..3).map(|position| fleet.prepare(position, wires, psbt).unwrap_err()).collect();
    assert!(codes.iter().all(|code| *code == codes[0]), "{codes:?}");
    codes[0].clone()
}

fn approved(fleet: &Cores, instruction: &Instruction, wire: &WireInstruction, people: &[&str]) -> WireInstruction {
    let mut wire = wire.clone();
    wire.evidence.approvals = people.iter().map(|name| fleet.house.approve(name, instruction)).collect();
    wire
}

#[test]
fn every_pair_signs_automatic_and_approved_payments_and_batches() {
    let mut fleet = Cores::start();
    for (pair, salt) in [([0, 1], 1), ([1, 2], 2), ([2, 0], 3)] {
        let (small, small_wire) = fleet.house.withdrawal(&format!("small-{salt}"), 50_000, fleet.now);
        let (large, large_wire) = fleet.house.withdrawal(&format!("large-{salt}"), 5_000_000, fleet.now);
        let large_wire = approved(&fleet, &large, &large_wire, &["olga", "omar"]);
        let psbt = fleet.house.psbt(&[fleet.house.coin(0, 9_000_000, salt)], &[&small, &large], 2_000);
        let transaction = fleet.sign(pair, &[small_wire, large_wire], &psbt).unwrap();
        assert_eq!(transaction.compute_txid(), psbt.unsigned_tx.compute_txid());
    }
    let sweep = fleet.house.transfer("sweep-1", "olga", 1_000_000, fleet.now);
    let evidence = Evidence { customer_request: None, approvals: vec![fleet.house.approve("omar", &sweep)] };
    let psbt = fleet.house.psbt(&[fleet.house.coin(0, 9_000_000, 9)], &[&sweep], 2_000);
    assert!(fleet.sign([0, 2], &[wire(&sweep, evidence)], &psbt).is_ok());
}

#[test]
fn t02_the_server_invents_or_edits_a_withdrawal() {
    let mut fleet = Cores::start();
    let (instruction, honest) = fleet.house.withdrawal("k", 50_000, fleet.now);
    let coin = fleet.house.coin(0, 900_000, 1);
    let change = |body: &dyn Fn(&mut types::Payment)| {
        let mut edited = instruction.clone();
        if let Body::CustomerWithdrawal(payment) = &mut edited.body {
            body(payment);
        }
        let psbt = fleet.house.psbt(std::slice::from_ref(&coin), &[&edited], 1_000);
        (wire(&edited, honest.evidence.clone()), psbt)
    };
    let cases = [
        change(&|payment| payment.destination = MALLORY.to_owned()),
        change(&|payment| payment.amount = Amount::from_sats(60_000)),
        change(&|payment| payment.customer = "bob".parse().unwrap()),
    ];
    for (edited, psbt) in cases {
        assert_eq!(refused(&mut fleet, &[edited], &psbt), "customer-signature");
    }
    let unsigned = wire(&instruction, Evidence::default());
    let psbt = fleet.house.psbt(&[coin], &[&instruction], 1_000);
    assert_eq!(refused(&mut fleet, &[unsigned], &psbt), "customer-signature");
    let mut again = instruction.clone();
    again.id = "wd-again".parse().unwrap();
    assert_eq!(refused(&mut fleet, &[wire(&again, honest.evidence.clone())], &psbt), "customer-signature");
    assert!(fleet.sign([0, 1], &[honest], &psbt).is_ok());
}

#[test]
fn t05_the_transaction_does_something_else() {
    let mut fleet = Cores::start();
    let (instruction, honest) = fleet.house.withdrawal("k", 50_000, fleet.now);
    let psbt = fleet.house.psbt(&[fleet.house.coin(0, 900_000, 1)], &[&instruction], 1_000);
    let mut other_destination = psbt.clone();
    let mallory = chains::bitcoin::parse_address(MALLORY, types::Network::Regtest).unwrap();
    for output in &mut other_destination.unsigned_tx.output {
        output.script_pubkey = mallory.clone();
    }
    assert_eq!(refused(&mut fleet, std::slice::from_ref(&honest), &other_destination), "foreign-output");
    let mut sighash = psbt.clone();
    sighash.inputs[0].sighash_type = Some(EcdsaSighashType::Single.into());
    assert_eq!(refused(&mut fleet, std::slice::from_ref(&honest), &sighash), "sighash-type");
    let higher_fee = fleet.house.psbt(&[fleet.house.coin(0, 900_000, 1)], &[&instruction], 25_000);
    assert_eq!(refused(&mut fleet, std::slice::from_ref(&honest), &higher_fee), "fee-max");
    let over_cap = fleet.house.psbt(&[fleet.house.coin(0, 900_000, 1)], &[&instruction], 51_000);
    assert_eq!(refused(&mut fleet, std::slice::from_ref(&honest), &over_cap), "fee-cap");
    let mut absurd = fleet.house.psbt(&[fleet.house.coin(0, 900_000, 1)], &[&instruction], 1_000);
    let far = fleet.house.wallet("hot").derive(chains::bitcoin::Branch::Change, 2_000_000).unwrap();
    for (output, slot) in absurd.unsigned_tx.output.iter_mut().zip(&mut absurd.outputs) {
        if !slot.bip32_derivation.is_empty() {
            output.script_pubkey = far.script_pubkey.clone();
            slot.bip32_derivation = far.keys.clone();
        }
    }
    assert_eq!(refused(&mut fleet, std::slice::from_ref(&honest), &absurd), "change-path");
    let mut lying = psbt.clone();
    lying.inputs[0].witness_utxo.as_mut().unwrap().value = bitcoin::Amount::from_sat(1);
    assert_eq!(refused(&mut fleet, std::slice::from_ref(&honest), &lying), "input-amount-lies");
    assert_eq!(refused(&mut fleet, &[honest.clone(), honest], &psbt), "instruction-twice");
}

#[test]
fn t04_approvals_are_missing_doubled_replayed_or_the_requesters_own() {
    let mut fleet = Cores::start();
    let (large, plain) = fleet.house.withdrawal("large", 5_000_000, fleet.now);
    let (other, _) = fleet.house.withdrawal("other", 5_000_000, fleet.now);
    let psbt = fleet.house.psbt(&[fleet.house.coin(0, 9_000_000, 1)], &[&large], 1_000);
    let with = |approvals: Vec<signer_wire::Approval>| {
        let mut wire = plain.clone();
        wire.evidence.approvals = approvals;
        wire
    };
    let house = &fleet.house;
    let olga = house.approve("olga", &large);
    let cases = [
        with(vec![]),
        with(vec![olga.clone()]),
        with(vec![olga.clone(), olga.clone()]),
        with(vec![olga.clone(), house.approve_with("olga", "olga-spare", &large)]),
        with(vec![olga.clone(), house.approve_with("omar", "olga-spare", &large)]),
        with(vec![olga.clone(), house.approve("omar", &other)]),
    ];
    for wire in cases {
        assert_eq!(refused(&mut fleet, &[wire], &psbt), "approvals-missing");
    }
    let sweep = fleet.house.transfer("sweep", "olga", 1_000_000, fleet.now);
    let own = Evidence { customer_request: None, approvals: vec![fleet.house.approve("olga", &sweep)] };
    let psbt = fleet.house.psbt(&[fleet.house.coin(0, 9_000_000, 1)], &[&sweep], 1_000);
    assert_eq!(refused(&mut fleet, &[wire(&sweep, own)], &psbt), "approvals-missing");
}

#[test]
fn t04_expired_approvals_and_older_charters() {
    let mut fleet = Cores::start();
    let (large, plain) = fleet.house.withdrawal("large", 5_000_000, fleet.now);
    let full = approved(&fleet, &large, &plain, &["olga", "omar"]);
    let psbt = fleet.house.psbt(&[fleet.house.coin(0, 9_000_000, 1)], &[&large], 1_000);
    let (ticket, head) = fleet.prepare(0, std::slice::from_ref(&full), &psbt).unwrap();
    let statement = fleet.witness(1, &head).unwrap();
    fleet.now = fleet.now.plus_seconds(3600);
    assert_eq!(refused(&mut fleet, std::slice::from_ref(&full), &psbt), "expired");
    assert_eq!(fleet.release(0, &ticket, vec![statement]).unwrap_err(), "expired");

    let (later, plain) = fleet.house.withdrawal("later", 5_000_000, fleet.now);
    let full = approved(&fleet, &later, &plain, &["olga", "omar"]);
    let psbt = fleet.house.psbt(&[fleet.house.coin(0, 9_000_000, 2)], &[&later], 1_000);
    let mut next = fleet.house.charter.clone();
    next.version = 2;
    next.previous = Some(fleet.house.charter.digest());
    let text = String::from_utf8(next.to_bytes()).unwrap();
    let sign = |names: &[&str]| -> Vec<signer_wire::Approval> {
        let sign = |name: &&str| fleet.house.ssh(name, name, "claviger-charter", &next.digest());
        let to_wire = |approval: types::Approval| signer_wire::Approval {
            operator: approval.operator.to_string(),
            signature: approval.signature,
        };
        names.iter().map(sign).map(to_wire).collect()
    };
    let (one, two) = (sign(&["olga"]), sign(&["olga", "omar"]));
    for position in 0..3 {
        let adopt = |approvals: &[signer_wire::Approval]| RequestBody::Adopt {
            charter: text.clone(),
            approvals: approvals.to_vec(),
        };
        assert_eq!(code(fleet.ask(position, adopt(&one))).unwrap_err(), "charter-succession");
        assert_eq!(code(fleet.ask(position, adopt(&two))), Ok(ReplyBody::Done));
        assert_eq!(code(fleet.ask(position, adopt(&two))).unwrap_err(), "charter-succession", "no way back, no repeat");
    }
    assert_eq!(refused(&mut fleet, &[full], &psbt), "charter-version");
}

#[test]
fn t05_nothing_follows_a_psbt_at_a_signers_door() {
    let mut fleet = Cores::start();
    let (instruction, wire) = fleet.house.withdrawal("tail", 50_000, fleet.now);
    let psbt = fleet.house.psbt(&[fleet.house.coin(0, 9_000_000, 1)], &[&instruction], 1_000);
    let honest = common::hex_of(&psbt);
    let ask = |psbt: String| RequestBody::Prepare { instructions: vec![wire.clone()], psbt };
    for tail in ["00", "ff", &honest] {
        assert_eq!(code(fleet.ask(0, ask(format!("{honest}{tail}")))).unwrap_err(), "psbt");
    }
    assert!(matches!(code(fleet.ask(0, ask(honest))), Ok(ReplyBody::Prepared { .. })));
}

#[test]
fn t04_approvers_whose_grants_have_ended_change_no_signers_charter() {
    // Omar was taken on until an hour from now; olga and oona stay.
    let until = Cores::start().now.plus_seconds(3600);
    let mut fleet = Cores::decided(|charter| charter.operators[1].expires = Some(until));
    let mut next = fleet.house.charter.clone();
    next.version = 2;
    next.previous = Some(fleet.house.charter.digest());
    next.totals.clear();
    let text = String::from_utf8(next.to_bytes()).unwrap();
    let adopt = |fleet: &Cores, names: [&str; 2]| {
        let approvals = names.map(|name| {
            let approval = fleet.house.ssh(name, name, "claviger-charter", &next.digest());
            signer_wire::Approval { operator: approval.operator.to_string(), signature: approval.signature }
        });
        RequestBody::Adopt { charter: text.clone(), approvals: approvals.to_vec() }
    };
    let before = adopt(&fleet, ["olga", "omar"]);
    assert_eq!(code(fleet.ask(0, before.clone())), Ok(ReplyBody::Done), "while the grant holds");
    fleet.now = until;
    assert_eq!(code(fleet.ask(1, before)).unwrap_err(), "charter-succession", "kept back until it had ended");
    let others = adopt(&fleet, ["olga", "oona"]);
    assert_eq!(code(fleet.ask(1, others)), Ok(ReplyBody::Done));
}

#[test]
fn t07_an_instruction_is_paid_once_also_through_chains_of_tries_and_other_pairs() {
    let mut fleet = Cores::start();
    let (instruction, honest) = fleet.house.withdrawal("once", 50_000, fleet.now);
    let wires = [honest];
    let coins: Vec<_> = (0..4).map(|n| fleet.house.coin(n, 100_000, n)).collect();
    let spend = |fleet: &Cores, which: [usize; 2], fee| {
        fleet.house.psbt(&[coins[which[0]].clone(), coins[which[1]].clone()], &[&instruction], fee)
    };
    let first = spend(&fleet, [0, 1], 1_000);
    assert!(fleet.sign([0, 1], &wires, &first).is_ok());
    assert!(fleet.sign([1, 2], &wires, &first).is_ok(), "the same transaction may be signed again");
    let bumped = spend(&fleet, [0, 1], 5_000);
    assert!(fleet.sign([0, 2], &wires, &bumped).is_ok(), "a fee bump spends the anchor");
    // A-B was signed; B-C shares a coin with it, C-D shares one with B-C, and neither spends A.
    for which in [[1, 2], [2, 3], [2, 1], [3, 2]] {
        let psbt = spend(&fleet, which, 1_000);
        for pair in [[0, 1], [1, 2], [2, 0]] {
            assert_eq!(fleet.sign(pair, &wires, &psbt).unwrap_err(), "signed-once", "{which:?} {pair:?}");
        }
    }
    let (_, other) = fleet.house.withdrawal("once", 60_000, fleet.now);
    let other_instruction = Instruction::from_canonical(other.canonical.as_bytes()).unwrap();
    let psbt = fleet.house.psbt(&coins[..2], &[&other_instruction], 1_000);
    assert_eq!(refused(&mut fleet, &[other], &psbt), "signed-once");
}

#[test]
fn t07_two_pairs_started_apart_still_share_a_signer_who_remembers() {
    let mut fleet = Cores::start();
    let (instruction, honest) = fleet.house.withdrawal("apart", 50_000, fleet.now);
    let wires = [honest];
    let one = fleet.house.psbt(&[fleet.house.coin(0, 100_000, 1)], &[&instruction], 1_000);
    let two = fleet.house.psbt(&[fleet.house.coin(1, 100_000, 2)], &[&instruction], 1_000);
    // The attacker fixes different anchors at two signers before anyone signs.
    fleet.prepare(0, &wires, &one).unwrap();
    fleet.prepare(1, &wires, &two).unwrap();
    assert_eq!(fleet.prepare(1, &wires, &one).unwrap_err(), "signed-once");
    assert_eq!(fleet.prepare(0, &wires, &two).unwrap_err(), "signed-once");
    assert!(fleet.sign([0, 2], &wires, &one).is_ok());
    assert_eq!(fleet.sign([1, 2], &wires, &two).unwrap_err(), "signed-once");
}

#[test]
fn t07_limits_hold_while_pairs_rotate_and_the_database_is_empty() {
    let mut fleet = Cores::start();
    let mut moved = 0;
    let pairs = [[0, 1], [1, 2], [2, 0]];
    for n in 0..30usize {
        let (instruction, honest) = fleet.house.withdrawal(&format!("n{n}"), 40_000, fleet.now);
        let salt = u32::try_from(n).unwrap();
        let psbt = fleet.house.psbt(&[fleet.house.coin(0, 100_000, salt)], &[&instruction], 1_000);
        moved += u64::from(fleet.sign(pairs[n % 3], &[honest], &psbt).is_ok()) * 41_000;
    }
    assert!(moved > 0);
    let ReplyBody::Exposure(limits) = fleet.ask(0, RequestBody::Exposure) else { panic!("no exposure") };
    let limit = limits.iter().find(|limit| limit.tier == "automatic").unwrap();
    assert_eq!((limit.amount_max.as_str(), limit.exposure_max.as_str()), ("250000", "375000"));
    assert_eq!(limit.exposure_owned_max, "500000");
    assert!(moved <= 375_000, "{moved}");
    // A batch does not hide its parts from the window either.
    let parts: Vec<_> = (0..5).map(|n| fleet.house.withdrawal(&format!("batch{n}"), 90_000, fleet.now)).collect();
    let psbt = fleet.house.psbt(
        &[fleet.house.coin(0, 1_000_000, 99)],
        &parts.iter().map(|part| &part.0).collect::<Vec<_>>(),
        1_000,
    );
    let wires: Vec<_> = parts.iter().map(|part| part.1.clone()).collect();
    assert_eq!(refused(&mut fleet, &wires, &psbt), "approvals-missing");
}

#[test]
fn t07_a_moved_clock_opens_no_window() {
    let mut fleet = Cores::start();
    let try_one = |fleet: &mut Cores, key: &str, salt| {
        let (instruction, honest) = fleet.house.withdrawal(key, 90_000, fleet.now);
        let psbt = fleet.house.psbt(&[fleet.house.coin(0, 200_000, salt)], &[&instruction], 1_000);
        fleet.sign([0, 1], &[honest], &psbt).map(|_| ())
    };
    assert_eq!(try_one(&mut fleet, "a", 1), Ok(()));
    assert_eq!(try_one(&mut fleet, "b", 2), Ok(()));
    assert_eq!(try_one(&mut fleet, "c", 3), Err("approvals-missing".to_owned()));
    let honest_time = fleet.now;
    fleet.now = honest_time.plus_seconds(-1);
    assert_eq!(try_one(&mut fleet, "d", 4), Err("clock-behind".to_owned()));
    fleet.now = honest_time.plus_seconds(86_400);
    assert_eq!(try_one(&mut fleet, "e", 5), Err("frozen".to_owned()));
    let canary = RequestBody::Canary { challenge: String::new() };
    assert_eq!(code(fleet.ask(1, canary)).unwrap_err(), "frozen", "the second signer saw the jump too");
    fleet.now = honest_time;
    assert_eq!(
        try_one(&mut fleet, "f", 6),
        Err("frozen".to_owned()),
        "the latch stays closed when the clock is put back"
    );
    for position in 0..2 {
        unfreeze(&mut fleet, position, "clock").unwrap();
    }
    assert_eq!(try_one(&mut fleet, "g", 7), Err("approvals-missing".to_owned()), "the window is as full as before");
    fleet.now = honest_time.plus_seconds(3600);
    assert_eq!(try_one(&mut fleet, "h", 8), Ok(()));
}

fn unfreeze(fleet: &mut Cores, position: usize, latch: &str) -> Result<(), String> {
    let instruction = Instruction {
        id: format!("open-{position}-{}", fleet.now.seconds()).parse().unwrap(),
        created: fleet.now.whole_seconds(),
        expires: fleet.now.whole_seconds().plus_seconds(600),
        charter: 1,
        body: Body::Unfreeze(Freeze {
            requester: "olga".parse().unwrap(),
            signer: format!("s{}", position + 1).parse().unwrap(),
            latch: latch.to_owned(),
            reason: "checked".to_owned(),
        }),
    };
    let mut execute = |people: &[&str]| {
        let approvals = people.iter().map(|name| fleet.house.approve(name, &instruction)).collect();
        let instruction = wire(&instruction, Evidence { customer_request: None, approvals });
        code(fleet.ask(position, RequestBody::Execute { instruction })).map(|_| ())
    };
    assert_eq!(execute(&["omar"]).unwrap_err(), "approvals-missing");
    assert_eq!(execute(&["omar", "olga"]).unwrap_err(), "approvals-missing", "who asks does not count");
    execute(&["omar", "oona"])?;
    assert_eq!(execute(&["omar", "oona"]).unwrap_err(), "executed");
    Ok(())
}

#[test]
fn anyone_freezes_and_only_a_quorum_unfreezes_also_across_restarts() {
    let mut fleet = Cores::start();
    let (instruction, honest) = fleet.house.withdrawal("k", 50_000, fleet.now);
    let psbt = fleet.house.psbt(&[fleet.house.coin(0, 100_000, 1)], &[&instruction], 1_000);
    let freeze = |latch: &str| RequestBody::Freeze { latch: latch.to_owned(), reason: "drill".to_owned() };
    assert_eq!(code(fleet.ask(0, freeze("wallet:none"))).unwrap_err(), "latch");
    assert_eq!(code(fleet.ask(0, freeze("wallet:hot"))), Ok(ReplyBody::Done));
    fleet.restart(0, |_| ());
    fleet.admit(0, &[1, 2]).unwrap();
    assert_eq!(fleet.prepare(0, std::slice::from_ref(&honest), &psbt).unwrap_err(), "frozen");
    unfreeze(&mut fleet, 0, "wallet:hot").unwrap();
    assert!(fleet.sign([0, 1], &[honest], &psbt).is_ok());
}

#[test]
fn t05_state_restored_from_an_old_copy_signs_nothing() {
    let mut fleet = Cores::start();
    let old = std::fs::read(fleet.directories[0].path().join("journal")).unwrap();
    let (instruction, honest) = fleet.house.withdrawal("k", 50_000, fleet.now);
    let wires = [honest];
    let psbt = fleet.house.psbt(&[fleet.house.coin(0, 100_000, 1)], &[&instruction], 1_000);
    assert!(fleet.sign([0, 1], &wires, &psbt).is_ok());

    fleet.restart(0, |journal| std::fs::write(journal, &old).unwrap());
    assert_eq!(fleet.prepare(0, &wires, &psbt).unwrap_err(), "awaiting-peers");
    assert_eq!(fleet.admit(0, &[2]).unwrap_err(), "peer-missing", "the peer that remembers cannot be left out");
    assert_eq!(fleet.admit(0, &[1, 2]).unwrap_err(), "journal-behind");
    let again = fleet.house.psbt(&[fleet.house.coin(1, 100_000, 2)], &[&instruction], 1_000);
    assert_eq!(fleet.prepare(0, &wires, &again).unwrap_err(), "awaiting-peers");
    fleet.restart(0, |_| ());
    assert_eq!(fleet.admit(0, &[1, 2]).unwrap_err(), "journal-behind", "nor after another start");
}

#[test]
fn t05_no_signature_without_a_peer_who_remembers_this_very_intent() {
    let mut fleet = Cores::start();
    let (instruction, honest) = fleet.house.withdrawal("k", 50_000, fleet.now);
    let wires = [honest];
    let psbt = fleet.house.psbt(&[fleet.house.coin(0, 100_000, 1)], &[&instruction], 1_000);
    let (ticket, head) = fleet.prepare(0, &wires, &psbt).unwrap();
    assert_eq!(fleet.release(0, &ticket, vec![]).unwrap_err(), "not-witnessed");
    let good = fleet.witness(1, &head).unwrap();
    let forgeries = [
        signer_wire::Statement { witness: "s1".to_owned(), ..good.clone() },
        signer_wire::Statement { witness: "s3".to_owned(), ..good.clone() },
        signer_wire::Statement { seq: good.seq - 1, ..good.clone() },
        signer_wire::Statement { signer: "s2".to_owned(), ..good.clone() },
        signer_wire::Statement { nonce: "aa".to_owned(), ..good.clone() },
    ];
    for forged in forgeries {
        assert_eq!(fleet.release(0, &ticket, vec![forged]).unwrap_err(), "not-witnessed");
    }
    let mut forked = head.clone();
    forked.hash = "00".repeat(32);
    assert_eq!(fleet.witness(1, &forked).unwrap_err(), "head-signature");
    assert_eq!(fleet.release(0, "nothing", vec![good.clone()]).unwrap_err(), "unknown-ticket");
    assert!(fleet.release(0, &ticket, vec![good]).is_ok());
}

#[test]
fn t05_one_signer_run_by_the_attacker_moves_nothing_alone() {
    let mut fleet = Cores::start();
    let (instruction, honest) = fleet.house.withdrawal("k", 50_000, fleet.now);
    let wires = [honest];
    let psbt = fleet.house.psbt(&[fleet.house.coin(0, 100_000, 1)], &[&instruction], 1_000);
    // Its signatures alone do not make a transaction; asked for what nobody approved, the others refuse.
    let (ticket, head) = fleet.prepare(0, &wires, &psbt).unwrap();
    let statement = fleet.witness(1, &head).unwrap();
    let own = fleet.release(0, &ticket, vec![statement]).unwrap();
    assert_eq!(own.len(), 1);
    let (big, plain) = fleet.house.withdrawal("big", 40_000_000, fleet.now);
    let steal = fleet.house.psbt(&[fleet.house.coin(0, 90_000_000, 3)], &[&big], 1_000);
    for honest_signer in [1, 2] {
        assert_eq!(
            fleet.prepare(honest_signer, std::slice::from_ref(&plain), &steal).unwrap_err(),
            "approvals-missing"
        );
    }
}

#[test]
fn t07_crashes_between_the_steps_lead_to_one_payment() {
    for crash in 0..4 {
        let mut fleet = Cores::start();
        let (instruction, honest) = fleet.house.withdrawal("k", 50_000, fleet.now);
        let wires = [honest];
        let psbt = fleet.house.psbt(&[fleet.house.coin(0, 100_000, 1)], &[&instruction], 1_000);
        let (ticket, head) = fleet.prepare(0, &wires, &psbt).unwrap();
        if crash >= 1 {
            let (_, other) = fleet.prepare(1, &wires, &psbt).unwrap();
            fleet.witness(0, &other).unwrap();
        }
        let statement = if crash >= 2 { Some(fleet.witness(1, &head).unwrap()) } else { None };
        if crash >= 3 {
            fleet.release(0, &ticket, statement.into_iter().collect()).unwrap();
        }
        for position in [0, 1] {
            fleet.restart(position, |_| ());
        }
        fleet.admit(0, &[1, 2]).unwrap();
        fleet.admit(1, &[0, 2]).unwrap();
        let other = fleet.house.psbt(&[fleet.house.coin(1, 100_000, 2)], &[&instruction], 1_000);
        assert_eq!(fleet.prepare(0, &wires, &other).unwrap_err(), "signed-once", "crash {crash}");
        let transaction = fleet.sign([0, 1], &wires, &psbt).unwrap();
        assert_eq!(transaction.compute_txid(), psbt.unsigned_tx.compute_txid());
        let ReplyBody::Exposure(limits) = fleet.ask(0, RequestBody::Exposure) else { panic!("no exposure") };
        let used = &limits.iter().find(|limit| limit.tier == "automatic").unwrap().used;
        assert_eq!(used, "51000", "counted once, crash {crash}");
    }
}
