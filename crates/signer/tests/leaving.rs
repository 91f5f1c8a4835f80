//! What a limit counts is signatures that leave: what is kept back, bundled, paid more for, or waited for in another tier buys nothing.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "in a test, failing here is the test failing"
)]

mod common;

use common::cores::{Cores, code};
use policy::Hours;
use signer_wire::{Attestation, Fate, ReplyBody, RequestBody, Statement};
use types::Instruction;

fn pay(
    fleet: &Cores,
    key: &str,
    sats: u64,
    salt: u32,
) -> (Instruction, Vec<signer_wire::Instruction>, bitcoin::psbt::Psbt) {
    let (instruction, wire) = fleet.house.lasting_withdrawal(key, sats, 86_400, fleet.now);
    let psbt = fleet.house.psbt(&[fleet.house.coin(0, 200_000, salt)], &[&instruction], 1_000);
    (instruction, vec![wire], psbt)
}

#[test]
fn t07_intents_banked_for_twelve_hours_release_no_more_than_one_window() {
    let mut fleet = Cores::start();
    let mut banked = Vec::new();
    for n in 0..24 {
        let (_, wires, psbt) = pay(&fleet, &format!("b{n}"), 90_000, n);
        let one = fleet.prepare(0, &wires, &psbt);
        let two = fleet.prepare(1, &wires, &psbt);
        if one.is_ok() && two.is_ok() {
            banked.push((wires, psbt));
        }
        fleet.pass(&[0, 1, 2], 1_800);
    }
    assert_eq!(banked.len(), 24, "an intent alone counts nothing, however many there are");
    let sent = banked.iter().filter(|(wires, psbt)| fleet.sign([0, 1], wires, psbt).is_ok()).count();
    assert_eq!(sent, 2, "two of 91,000 fit into 250,000 at one instant");
}

#[test]
fn t07_half_signed_payments_kept_back_go_on_counting_until_they_have_left() {
    let mut fleet = Cores::start();
    let mut halves = Vec::new();
    for n in 0..24 {
        let (_, wires, psbt) = pay(&fleet, &format!("h{n}"), 90_000, n);
        if let Ok((ticket, head)) = fleet.prepare(0, &wires, &psbt) {
            let about = fleet.witness(1, &head).unwrap();
            if fleet.release(0, &ticket, vec![about]).is_ok() {
                halves.push((wires, psbt));
            }
        }
        fleet.pass(&[0, 1, 2], 1_800);
    }
    assert_eq!((halves.len(), fleet.used(0)), (2, 182_000), "what was released and did not leave counts in full");
    // The others complete both, hear of it, and only then does the window roll on.
    for (wires, psbt) in &halves {
        let (ticket, head) = fleet.prepare(1, wires, psbt).unwrap();
        let about = fleet.witness(0, &head).unwrap();
        fleet.release(1, &ticket, vec![about]).unwrap();
    }
    fleet.settle();
    assert_eq!(fleet.used(0), 182_000, "it ages from now on");
    fleet.restart(0, |_| ());
    fleet.admit(0, &[1, 2]).unwrap();
    assert_eq!(fleet.used(0), 182_000, "also across a restart");
    fleet.now = fleet.now.plus_seconds(3_600);
    assert_eq!((fleet.used(0), fleet.used(1)), (0, 0));
}

#[test]
fn t07_nobody_but_peers_says_that_a_payment_has_left() {
    let mut fleet = Cores::start();
    let (instruction, wires, psbt) = pay(&fleet, "lie", 90_000, 1);
    let (ticket, head) = fleet.prepare(0, &wires, &psbt).unwrap();
    let about = fleet.witness(1, &head).unwrap();
    fleet.release(0, &ticket, vec![about]).unwrap();
    let txid = psbt.unsigned_tx.compute_txid().to_string();
    let word = |witness: &str, fate, of: &str, signature: String| Attestation {
        witness: witness.to_owned(),
        fate,
        of: of.to_owned(),
        signature,
    };
    let attest = RequestBody::Attest { txid: txid.clone(), instructions: vec![wires[0].canonical.clone()] };
    let ReplyBody::Attested(own) = fleet.ask(0, attest.clone()) else { panic!("no answer") };
    let ReplyBody::Attested(none) = fleet.ask(1, attest.clone()) else { panic!("no answer") };
    assert_eq!((own.len(), none.len()), (1, 0), "it is not expired, and nobody else has released it");
    // Its own word, its own word under a peer's name, and nonsense.
    let digest = instruction.digest().to_string();
    let lies = vec![
        own[0].clone(),
        word("s2", Fate::Released, &txid, own[0].signature.clone()),
        word("s3", Fate::Never, &digest, "00".repeat(64)),
        word("s2", Fate::Never, &digest, own[0].signature.clone()),
    ];
    code(fleet.ask(0, RequestBody::Settle { attestations: lies })).unwrap();
    fleet.pass(&[0, 1, 2], 7_000);
    assert_eq!(fleet.used(0), 91_000);
    // After its end, both others say that they never will; one of them could lie, so that its charge ages and is not dropped.
    fleet.pass(&[0, 1, 2], 86_400);
    let ReplyBody::Attested(second) = fleet.ask(1, attest.clone()) else { panic!("no answer") };
    assert_eq!(second.iter().map(|one| one.fate).collect::<Vec<_>>(), [Fate::Never]);
    code(fleet.ask(0, RequestBody::Settle { attestations: second })).unwrap();
    assert_eq!(fleet.used(0), 91_000, "one of two is not enough: the third signer could still complete it");
    fleet.settle();
    assert_eq!(fleet.used(0), 91_000);
    fleet.pass(&[0, 1, 2], 3_600);
    assert_eq!(fleet.used(0), 0);
    let ReplyBody::Standing(standing) = fleet.ask(0, RequestBody::Standing { after: String::new() }) else {
        panic!("no answer")
    };
    assert!(standing.is_empty());
}

#[test]
fn t07_a_ticket_ends_after_a_minute() {
    let mut fleet = Cores::start();
    let (_, wires, psbt) = pay(&fleet, "slow", 90_000, 1);
    let (ticket, head) = fleet.prepare(0, &wires, &psbt).unwrap();
    assert_eq!(fleet.used(0), 91_000, "what is reserved counts");
    let about: Statement = fleet.witness(1, &head).unwrap();
    fleet.now = fleet.now.plus_seconds(60);
    assert_eq!(fleet.used(0), 0);
    assert_eq!(fleet.release(0, &ticket, vec![about]).unwrap_err(), "unknown-ticket");
}

#[test]
fn t07_tickets_that_wait_count_against_each_other() {
    let mut fleet = Cores::start();
    let tickets: Vec<_> = (0..4)
        .map(|n| {
            let (_, wires, psbt) = pay(&fleet, &format!("r{n}"), 90_000, n);
            fleet.prepare(0, &wires, &psbt)
        })
        .collect();
    let refused: Vec<&str> = tickets.iter().filter_map(|one| one.as_ref().err().map(String::as_str)).collect();
    assert_eq!(refused, ["approvals-missing", "approvals-missing"]);
}

#[test]
fn t04_a_grant_that_ends_between_ticket_and_release_approves_nothing() {
    let end = Cores::start().now.plus_seconds(30);
    let mut fleet = Cores::decided(|charter| charter.operators[0].expires = Some(end));
    let (instruction, mut wire) = fleet.house.withdrawal("grant", 5_000_000, fleet.now);
    wire.evidence.approvals = ["olga", "omar"].map(|name| fleet.house.approve(name, &instruction)).to_vec();
    let psbt = fleet.house.psbt(&[fleet.house.coin(0, 9_000_000, 1)], &[&instruction], 1_000);
    let (ticket, head) = fleet.prepare(0, &[wire], &psbt).unwrap();
    let about = fleet.witness(1, &head).unwrap();
    fleet.now = end;
    assert_eq!(fleet.release(0, &ticket, vec![about]).unwrap_err(), "approvals-missing");
}

#[test]
fn t07_batch_mates_and_their_fee_increments_count_against_each_other() {
    let mut fleet = Cores::start();
    let parts: Vec<_> = (0..2).map(|n| fleet.house.withdrawal(&format!("m{n}"), 99_000, fleet.now)).collect();
    let instructions: Vec<_> = parts.iter().map(|part| &part.0).collect();
    let wires: Vec<_> = parts.iter().map(|part| part.1.clone()).collect();
    let coins = [fleet.house.coin(0, 1_000_000, 7)];
    let cheap = fleet.house.psbt(&coins, &instructions, 2_000);
    fleet.sign([0, 1], &wires, &cheap).unwrap();
    assert_eq!(fleet.used(0), 200_000);
    let (_, third, psbt) = pay(&fleet, "third", 47_000, 8);
    fleet.sign([0, 1], &third, &psbt).unwrap();
    // 248,000 of 250,000 are used: an increment of 2,000 fits for the first of the two, and not for both.
    let dear = fleet.house.psbt(&coins, &instructions, 6_000);
    assert_eq!(fleet.sign([0, 1], &wires, &dear).unwrap_err(), "approvals-missing");
    let fits = fleet.house.psbt(&coins, &instructions, 4_000);
    fleet.sign([0, 1], &wires, &fits).unwrap();
    assert_eq!(fleet.used(0), 250_000);
}

#[test]
fn t04_the_wait_of_a_weaker_tier_does_not_pay_for_a_stronger_one() {
    let mut fleet = Cores::decided(|charter| {
        charter.tiers[0].delay_seconds = 900;
        charter.tiers[1].delay_seconds = 900;
    });
    let (instruction, wire) = fleet.house.withdrawal("wait", 90_000, fleet.now);
    let psbt = fleet.house.psbt(&[fleet.house.coin(0, 200_000, 1)], &[&instruction], 1_000);
    assert_eq!(fleet.prepare(0, std::slice::from_ref(&wire), &psbt).unwrap_err(), "delay");
    // The automatic window fills up while it waits; then people come, and their approval begins to wait.
    fleet.now = fleet.now.plus_seconds(900);
    let mut others = Vec::new();
    for n in 0..2 {
        let (_, wires, psbt) = pay(&fleet, &format!("fill{n}"), 99_000, 10 + n);
        assert_eq!(fleet.prepare(0, &wires, &psbt).unwrap_err(), "delay");
        others.push((wires, psbt));
    }
    fleet.now = fleet.now.plus_seconds(900);
    for (wires, psbt) in &others {
        fleet.prepare(0, wires, psbt).unwrap();
    }
    let mut approved = wire;
    approved.evidence.approvals = ["olga", "omar"].map(|name| fleet.house.approve(name, &instruction)).to_vec();
    assert_eq!(fleet.prepare(0, &[approved.clone()], &psbt).unwrap_err(), "delay", "a fresh approval leaves time");
    fleet.now = fleet.now.plus_seconds(899);
    for (wires, psbt) in &others {
        fleet.prepare(0, wires, psbt).unwrap();
    }
    assert_eq!(fleet.prepare(0, &[approved.clone()], &psbt).unwrap_err(), "delay");
    fleet.now = fleet.now.plus_seconds(1);
    assert!(fleet.prepare(0, &[approved], &psbt).is_ok());
}

#[test]
fn t04_hours_are_looked_at_again_at_release() {
    let mut fleet = Cores::decided(|charter| {
        charter.tiers[0].hours = Some(Hours { days: [true; 7], from_minute: 0, to_minute: 1_439 });
    });
    // Half a minute before the last minute of the day, which is closed.
    let second = fleet.now.seconds().rem_euclid(86_400);
    let close = 1_439 * 60 - 30 - second;
    fleet.pass(&[0, 1, 2], close);
    let (_, wires, psbt) = pay(&fleet, "late", 50_000, 1);
    let (ticket, head) = fleet.prepare(0, &wires, &psbt).unwrap();
    let about = fleet.witness(1, &head).unwrap();
    fleet.now = fleet.now.plus_seconds(31);
    assert_eq!(fleet.release(0, &ticket, vec![about]).unwrap_err(), "hours");
}

#[test]
fn t07_tickets_from_before_a_freeze_are_worth_nothing_after_it() {
    let mut fleet = Cores::start();
    let (_, wires, psbt) = pay(&fleet, "halt", 50_000, 1);
    let (ticket, head) = fleet.prepare(0, &wires, &psbt).unwrap();
    let about = fleet.witness(1, &head).unwrap();
    let freeze = RequestBody::Freeze { latch: "all".to_owned(), reason: "something is wrong".to_owned() };
    code(fleet.ask(0, freeze)).unwrap();
    let open = fleet.house.unfreeze("s1", "all", fleet.now);
    code(fleet.ask(0, RequestBody::Execute { instruction: open })).unwrap();
    assert_eq!(fleet.release(0, &ticket, vec![about]).unwrap_err(), "unknown-ticket");
    assert!(fleet.prepare(0, &wires, &psbt).is_ok());
}

#[test]
fn t05_a_signer_with_an_old_journal_swears_to_nothing() {
    let mut fleet = Cores::start();
    let (instruction, wire) = fleet.house.withdrawal("old", 50_000, fleet.now);
    let psbt = fleet.house.psbt(&[fleet.house.coin(0, 100_000, 1)], &[&instruction], 1_000);
    let attest = RequestBody::Attest {
        txid: psbt.unsigned_tx.compute_txid().to_string(),
        instructions: vec![wire.canonical.clone()],
    };
    let keep = tempfile::tempdir().unwrap();
    let old = keep.path().join("journal");
    fleet.restart(1, |journal| assert!(std::fs::copy(journal, &old).unwrap() > 0));
    fleet.admit(1, &[0, 2]).unwrap();
    fleet.sign([0, 1], &[wire], &psbt).unwrap();
    // Its disk is put back to before the signature, and the payment's time passes: no jump of the clock gives it away.
    fleet.restart(1, |journal| assert!(std::fs::copy(&old, journal).unwrap() > 0));
    fleet.now = instruction.expires;
    assert_eq!(
        code(fleet.ask(1, attest.clone())).unwrap_err(),
        "awaiting-peers",
        "what it has forgotten is not said yet"
    );
    assert_eq!(fleet.admit(1, &[0, 2]).unwrap_err(), "journal-behind");
    assert_eq!(code(fleet.ask(1, attest.clone())).unwrap_err(), "awaiting-peers");
    // People let it go on all the same: it speaks of what was made since then, and never of what it may have forgotten.
    for latch in ["journal-behind", "awaiting-peers"] {
        fleet.now = fleet.now.plus_seconds(1);
        let open = fleet.house.unfreeze("s2", latch, fleet.now);
        code(fleet.ask(1, RequestBody::Execute { instruction: open })).unwrap();
    }
    assert_eq!(fleet.ask(1, attest), ReplyBody::Attested(vec![]));
}

#[test]
fn a_try_that_another_one_overtook_stands_no_longer() {
    let mut fleet = Cores::start();
    let (instruction, wires, cheap) = pay(&fleet, "bump", 50_000, 1);
    let (ticket, head) = fleet.prepare(0, &wires, &cheap).unwrap();
    let about = fleet.witness(1, &head).unwrap();
    fleet.release(0, &ticket, vec![about]).unwrap();
    let dear = fleet.house.psbt(&[fleet.house.coin(0, 200_000, 1)], &[&instruction], 5_000);
    fleet.sign([0, 1], &wires, &dear).unwrap();
    let ReplyBody::Standing(standing) = fleet.ask(0, RequestBody::Standing { after: String::new() }) else {
        panic!("no answer")
    };
    assert!(standing.is_empty(), "half of the cheaper one could add nothing any more");
    assert_eq!(fleet.used(0), 55_000);
}

#[test]
fn all_that_stands_is_told_some_at_a_time() {
    let mut fleet = Cores::start();
    for n in 0..20 {
        let (_, wires, psbt) = pay(&fleet, &format!("s{n}"), 1_000, n);
        let (ticket, head) = fleet.prepare(0, &wires, &psbt).unwrap();
        let about = fleet.witness(1, &head).unwrap();
        fleet.release(0, &ticket, vec![about]).unwrap();
    }
    let (mut told, mut after) = (Vec::new(), String::new());
    loop {
        let ReplyBody::Standing(standing) = fleet.ask(0, RequestBody::Standing { after }) else { panic!("no answer") };
        let Some(last) = standing.last() else { break };
        after = last.txid.clone();
        told.extend(standing.into_iter().map(|one| one.txid));
    }
    told.dedup();
    assert_eq!(told.len(), 20);
}

#[test]
fn t07_what_was_released_is_told_for_good_whatever_is_said_of_it() {
    let mut fleet = Cores::start();
    let releases = |fleet: &mut Cores, from: u64| match fleet.ask(0, RequestBody::Releases { from }) {
        ReplyBody::Releases(found) => found,
        other => panic!("{other:?}"),
    };
    assert!(releases(&mut fleet, 1).is_empty());
    let mut txids = Vec::new();
    for n in 0..3 {
        let (_, wires, psbt) = pay(&fleet, &format!("r{n}"), 1_000, n);
        fleet.sign([0, 1], &wires, &psbt).unwrap();
        // What was prepared alone is nothing that left; what is released again is the same.
        fleet.prepare(0, &wires, &psbt).unwrap();
        fleet.sign([0, 1], &wires, &psbt).unwrap();
        txids.push(psbt.unsigned_tx.compute_txid().to_string());
    }
    fleet.settle();
    // Frozen, and started anew: whoever looks then hears the same.
    code(fleet.ask(0, RequestBody::Freeze { latch: "all".to_owned(), reason: "test".to_owned() })).unwrap();
    fleet.restart(0, |_| ());
    for from in [0, 1] {
        assert_eq!(releases(&mut fleet, from), txids);
    }
    assert_eq!(releases(&mut fleet, 3), txids[2..]);
    assert!(releases(&mut fleet, 4).is_empty() && releases(&mut fleet, u64::MAX).is_empty());
}
