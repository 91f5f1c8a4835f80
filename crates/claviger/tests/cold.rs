//! The cold wallet, end to end: coins go in, and come out by the hands of people and three signers without a network.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test, failing here is the test failing")]

mod common;

use std::fs;

use common::{Town, text};
use paper::ur::Parts;
use serde_json::json;
use signer_wire::{Answer, Bundle};

fn said(output: &std::process::Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn hot_is_refilled_from_cold_through_signers_without_a_network() {
    let mut town = Town::with_coins();
    town.fill_cold(100_000_000);
    let id = town.transfer("refill", "cold", "hot", 40_000_000);
    let txid = town.generated(&id);
    town.until_alarm("by-hand", "0 of 2 are here; carry bundles to c1 or c2 or c3");
    assert_eq!(town.standing(&txid).unwrap()[0], ("c1".to_owned(), "not-asked".to_owned()));

    // Nobody has agreed that the keys are opened: the bundle says so, and the signer refuses it by name.
    let (early, out) = (town.file("early.bundle"), town.file("early.answer"));
    let made = town.claviger(&["bundle", &txid, "--signer", "c1", "--out", early.to_str().unwrap()]);
    assert!(made.status.success() && said(&made).contains("nobody has agreed of late"), "{}", said(&made));
    let bundle = Bundle::from_bytes(&fs::read(&early).unwrap()).unwrap();
    let words = types::words(&bundle.digest()).join(" ");
    assert!(said(&made).contains(&words));
    let refused = town.sign_offline("c1", &early, &out, &words);
    assert!(said(&refused).contains("key-inactive"), "{}", said(&refused));
    let brought = town.claviger(&["answer", out.to_str().unwrap()]);
    assert!(brought.status.success(), "{}", said(&brought));
    assert_eq!(town.standing(&txid).unwrap()[0].1, "refused");
    assert!(said(&town.claviger(&["waiting"])).contains("key-inactive"));

    let agreed = town.activate_cold();
    assert!(text(&agreed, "/outcome").contains("next bundle"), "{agreed}");
    let first = town.trip(&txid, "c1");

    // Not a byte of the answer's signatures may differ, and a stranger's answer is nobody's.
    let answer = Answer::from_bytes(&fs::read(&first).unwrap()).unwrap();
    let path = format!("/v1/transactions/{txid}/answers");
    let post = |answer: &Answer, key: &str| {
        let body = json!({"answer": String::from_utf8(answer.to_bytes()).unwrap()}).to_string();
        let came = town.olga().ask("POST", &path, key, &body).unwrap();
        (came.status, text(&came.body, "/code"))
    };
    let mut forged = answer.clone();
    let at = forged.signatures[0].signature.len() - 10;
    let letter = if &forged.signatures[0].signature[at..=at] == "a" { "b" } else { "a" };
    forged.signatures[0].signature.replace_range(at..=at, letter);
    assert_eq!(post(&forged, "forged"), (422, "answer-signatures".to_owned()));
    let none = Answer { signatures: vec![], ..answer.clone() };
    assert_eq!(post(&none, "none"), (422, "answer-signatures".to_owned()));
    let mut head = answer.clone();
    head.head.seq += 1;
    assert_eq!(post(&head, "head"), (422, "answer-head".to_owned()));
    let other = Answer { signer: "c2".to_owned(), ..answer.clone() };
    assert_eq!(post(&other, "other"), (409, "not-asked".to_owned()));

    let brought = town.claviger(&["answer", first.to_str().unwrap()]);
    assert!(brought.status.success(), "{}", said(&brought));
    town.until_alarm("by-hand", "1 of 2 are here; carry bundles to c2 or c3");
    assert_eq!(post(&answer, "again"), (200, String::new()));
    assert_eq!(town.state(&id).unwrap(), "generated", "one signer alone finishes nothing");

    // The system crashes between the trips; what was brought is still there.
    town.house.service.kill();
    town.house.service.restart().unwrap();
    assert_eq!(town.standing(&txid).unwrap()[0].1, "signed");

    // The second signer's answer comes as codes, of which every other one was lost.
    let second = town.trip(&txid, "c3");
    let bytes = fs::read(&second).unwrap();
    let parts = Parts::new(Answer::KIND, &bytes, 60).unwrap();
    let count = parts.needed();
    let seen: Vec<String> =
        parts.take(count * 4).enumerate().filter(|(n, _)| n % 2 == 1).map(|(_, part)| part).collect();
    let scanned = town.file("c3.scanned");
    fs::write(&scanned, seen.join("\n")).unwrap();
    let brought = town.claviger(&["answer", "--ur", scanned.to_str().unwrap()]);
    assert!(brought.status.success(), "{}", said(&brought));
    town.reaches(&id, "broadcast");
    town.until_no_alarm("by-hand");
    town.until_confirmed(&id);

    // Whoever made the trip in vain may hand the answer in all the same; nothing moves by it.
    let late = town.claviger(&["answer", second.to_str().unwrap(), "--transaction", &txid]);
    assert!(late.status.success(), "{}", said(&late));
    let more = town.claviger(&["bundle", &txid, "--signer", "c2", "--out", town.file("late").to_str().unwrap()]);
    assert!(!more.status.success() && said(&more).contains("needs no further signature"));
    town.assert_reconciled();
    // The next trip's statements know of this one's journal.
    let next = town.transfer("refill-2", "cold", "hot", 1_000_000);
    let txid = town.generated(&next);
    let made = town.olga().get(&format!("/v1/transactions/{txid}/bundle?signer=c1")).unwrap();
    let bundle = Bundle::from_bytes(text(&made, "/bundle").as_bytes()).unwrap();
    assert!(bundle.statements.len() == 3 && bundle.statements.iter().all(|statement| statement.seq == answer.head.seq));
    town.assert_books();
}

#[test]
fn crashes_at_each_step_of_carrying_lose_nothing_and_pay_once() {
    let mut town = Town::with_coins();
    town.fill_cold(100_000_000);
    let id = town.transfer("refill", "cold", "hot", 40_000_000);
    let txid = town.generated(&id);
    town.activate_cold();
    let block = |town: &Town, event: &str, table: &str, when: &str| {
        town.tamper(&format!(
            "CREATE TRIGGER blocked BEFORE {event} ON {table} WHEN {when} BEGIN SELECT RAISE(ABORT, 'blocked by the test'); END"
        ));
    };
    let crash = |town: &mut Town| {
        town.house.service.kill();
        town.tamper("DROP TRIGGER blocked");
        town.house.service.restart().unwrap();
    };
    // The note of the bundle cannot be written: nobody gets one.
    block(&town, "INSERT", "carried", "1");
    let file = town.file("blocked.bundle");
    let made = town.claviger(&["bundle", &txid, "--signer", "c1", "--out", file.to_str().unwrap()]);
    assert!(!made.status.success() && !file.exists(), "{}", said(&made));
    crash(&mut town);
    assert_eq!(town.standing(&txid).unwrap()[0].1, "not-asked");
    let first = town.trip(&txid, "c1");
    // The answer cannot be written, when connected signers remember its head already: it is brought again.
    block(&town, "UPDATE", "carried", "NEW.answer <> ''");
    let brought = town.claviger(&["answer", first.to_str().unwrap()]);
    assert!(!brought.status.success(), "{}", said(&brought));
    crash(&mut town);
    assert_eq!(town.standing(&txid).unwrap()[0].1, "asked");
    assert!(town.claviger(&["answer", first.to_str().unwrap()]).status.success());
    // Connected signers are away: the answer is kept, and used once most of them remember its head.
    let second = town.trip(&txid, "c2");
    for place in [0, 1] {
        town.house.fleet.kill(place).unwrap();
    }
    let brought = town.claviger(&["answer", second.to_str().unwrap()]);
    assert!(brought.status.success(), "{}", said(&brought));
    assert_eq!(town.standing(&txid).unwrap()[1].1, "signed");
    assert_eq!(town.state(&id).unwrap(), "generated");
    let made = town.claviger(&["bundle", &txid, "--signer", "c3", "--out", town.file("c3.bundle").to_str().unwrap()]);
    assert!(!made.status.success() && said(&made).contains("1 of 2 connected signers"), "{}", said(&made));
    // And the last step is blocked, too.
    block(&town, "UPDATE", "transactions", "NEW.state = 'signed'");
    for place in [0, 1] {
        town.house.fleet.restart(place).unwrap();
    }
    town.until_alarm("step", "blocked by the test");
    crash(&mut town);
    town.reaches(&id, "broadcast");
    town.until_confirmed(&id);
    town.assert_reconciled();
    town.assert_books();
}

#[test]
fn a_suspension_is_carried_by_itself_and_ends_one_key() {
    let mut town = Town::with_coins();
    town.fill_cold(100_000_000);
    let nothing = town.claviger(&["bundle", "--signer", "c3", "--out", town.file("none").to_str().unwrap()]);
    assert!(
        !nothing.status.success() && said(&nothing).contains("nothing that c3 has to be told"),
        "{}",
        said(&nothing)
    );
    let step =
        json!({"key-step": {"signer": "c3", "step": "suspend-key", "wallet": "cold", "reason": "its vault was open"}});
    let agreed = town.agree("suspend", &step);
    assert!(text(&agreed, "/outcome").contains("next bundle"), "{agreed}");
    let (file, out) = (town.file("c3.bundle"), town.file("c3.answer"));
    let made = town.claviger(&["--json", "bundle", "--signer", "c3", "--out", file.to_str().unwrap()]);
    assert!(made.status.success(), "{}", said(&made));
    let words = text(&serde_json::from_slice(&made.stdout).unwrap(), "/words");
    let done = town.sign_offline("c3", &file, &out, &words);
    assert!(done.status.success(), "{}", said(&done));
    let brought = town.claviger(&["answer", out.to_str().unwrap()]);
    assert!(brought.status.success() && said(&brought).contains("remember it"), "{}", said(&brought));
    // The two others go on without it.
    let id = town.transfer("refill", "cold", "hot", 40_000_000);
    let txid = town.generated(&id);
    town.activate_cold();
    let made = town.claviger(&["--json", "bundle", &txid, "--signer", "c3", "--out", town.file("3").to_str().unwrap()]);
    let words = text(&serde_json::from_slice(&made.stdout).unwrap(), "/words");
    let refused = town.sign_offline("c3", &town.file("3"), &town.file("3.answer"), &words);
    assert!(said(&refused).contains("key-suspended") || said(&refused).contains("key-move"), "{}", said(&refused));
    for name in ["c1", "c2"] {
        let answer = town.trip(&txid, name);
        assert!(town.claviger(&["answer", answer.to_str().unwrap()]).status.success());
    }
    town.until_confirmed(&id);
    town.assert_books();
}

#[test]
fn what_was_never_carried_ends_when_it_expires_and_its_coins_are_free_again() {
    let town = Town::with_coins_but(|config| config.withdrawals.lifetime_seconds = 25);
    town.fill_cold(100_000_000);
    let id = town.transfer("refill", "cold", "hot", 40_000_000);
    let txid = town.generated(&id);
    // One bundle is out, which alone signs nothing.
    let made = town.olga().get(&format!("/v1/transactions/{txid}/bundle?signer=c2")).unwrap();
    assert!(!text(&made, "/bundle").is_empty());
    let shown = town.reaches(&id, "refused");
    assert!(text(&shown, "/payment/reason").contains("has expired, and 1 of 2"), "{shown}");
    town.until_no_alarm("by-hand");
    town.assert_reconciled();
}
