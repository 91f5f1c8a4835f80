//! Signers without a network: what is carried to them is checked as online, and what is not right is not signed.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "in a test, failing here is the test failing"
)]

mod common;

use std::fs;
use std::path::Path;

use chains::bitcoin::Branch;
use common::cold::{Cold, Refill, core, visit};
use common::cores::code;
use common::{House, hex_of, wire};
use signer::enrol::files;
use signer::offline::{Session, read};
use signer_wire::{Answer, Approval, Bundle, Evidence, NextCharter, ReplyBody, RequestBody};
use types::{Moment, Step};

/// Copies a signer's directory, as somebody with its disk can.
fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// A charter that follows the house's, with other words for its first operator.
fn next_charter(house: &House, name: &str) -> (policy::Charter, NextCharter) {
    let mut next = house.charter.clone();
    next.previous = Some(house.charter.digest());
    next.version += 1;
    next.operators[0].name = name.to_owned();
    let approvals = ["olga", "omar"]
        .map(|operator| house.ssh(operator, operator, "claviger-charter", &next.digest()))
        .map(|approval| Approval { operator: approval.operator.to_string(), signature: approval.signature });
    let charter = String::from_utf8(next.to_bytes()).unwrap();
    (next, NextCharter { charter, approvals: approvals.to_vec() })
}

#[test]
fn bundles_go_round_two_of_three_and_the_transaction_is_whole() {
    let mut cold = Cold::start();
    let refill = cold.fleet.house.refill("refill-1", 2_000_000, 1, cold.fleet.now);
    let mut answers = Vec::new();
    for name in ["c1", "c3"] {
        let bundle = cold.bundle(name, &refill);
        // What is carried is bytes.
        let bundle = Bundle::from_bytes(&bundle.to_bytes()).unwrap();
        let answer = cold.visit(name, &bundle).unwrap();
        assert_eq!((answer.signer.as_str(), answer.bundle.clone()), (name, bundle.digest().to_string()));
        cold.relay(&answer, &[0, 1, 2]);
        answers.push(Answer::from_bytes(&answer.to_bytes()).unwrap());
    }
    let transaction = cold.fleet.house.finish_cold(&refill, &answers);
    assert_eq!(transaction.compute_txid(), refill.psbt.unsigned_tx.compute_txid());
    // The next trip, with a new activation: what is remembered by now is the journal as it is.
    cold.fleet.now = cold.fleet.now.plus_seconds(86_400 * 30);
    let next = cold.fleet.house.refill("refill-2", 1_000_000, 2, cold.fleet.now);
    let bundle = cold.bundle("c1", &next);
    assert!(bundle.statements.iter().all(|statement| statement.seq > 0));
    cold.visit("c1", &bundle).unwrap();
}

#[test]
fn people_read_everything_before_anything_is_written() {
    let mut cold = Cold::start();
    let refill = cold.fleet.house.refill("refill-1", 2_000_000, 1, cold.fleet.now);
    let bundle = cold.bundle("c1", &refill);
    let home = cold.fleet.house.cold_home("c1");
    let before = fs::read(home.join(files::JOURNAL)).unwrap();
    let reading = read(&home, &bundle, cold.fleet.now).unwrap();
    assert_eq!(fs::read(home.join(files::JOURNAL)).unwrap(), before);
    assert_eq!(reading.refused, None);
    let text: String = reading.lines().iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    let hot = types::grouped(refill.instruction.destination().unwrap());
    for part in [
        "Let the key of wallet cold be opened at every signer that has it for 3600 seconds and 10 signatures",
        "Move 0.02000000 test BTC from wallet cold to our wallet hot",
        &format!("destination: {hot}"),
        "approved by: olga, omar",
        "tier: refill",
        "spends: 9000000 sat",
        "returns: 6999000 sat to our change address 1",
        "fee: 1000 sat",
        "statements: of 3 of 3 connected signers, 2 needed",
        &format!("six words: {}", types::words(&bundle.digest()).join(" ")),
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn c47_an_unapproved_bundle_is_refused_and_shows_who_is_missing() {
    let mut cold = Cold::start();
    let refill = cold.fleet.house.refill("refill-1", 2_000_000, 1, cold.fleet.now);
    let whole = cold.bundle("c1", &refill);
    let home = cold.fleet.house.cold_home("c1");
    let journal = || fs::read(home.join(files::JOURNAL)).unwrap();
    let before = journal();
    // One person, the requester herself, nobody, and somebody's approval of something else.
    let requester = cold.fleet.house.approve("oona", &refill.instruction);
    let other = cold.fleet.house.refill("refill-2", 2_000_000, 1, cold.fleet.now);
    let olga = refill.wire.evidence.approvals[0].clone();
    for approvals in [
        vec![olga.clone()],
        vec![olga.clone(), requester],
        vec![],
        vec![olga.clone(), other.wire.evidence.approvals[1].clone()],
        vec![olga.clone(), Approval { operator: "omar".to_owned(), ..olga.clone() }],
    ] {
        let mut bundle = whole.clone();
        bundle.payments[0].evidence.approvals = approvals;
        assert_eq!(cold.visit("c1", &bundle).unwrap_err(), "approvals-missing");
        let reading = read(&home, &bundle, cold.fleet.now).unwrap();
        assert!(reading.effects.is_some(), "what the transaction does is shown all the same");
    }
    // Nobody agreed to the opening of the key.
    let mut bundle = whole.clone();
    bundle.steps[0].evidence.approvals.truncate(1);
    assert_eq!(cold.visit("c1", &bundle).unwrap_err(), "approvals-missing");
    bundle.steps.clear();
    assert_eq!(cold.visit("c1", &bundle).unwrap_err(), "key-inactive");
    assert_eq!(journal(), before, "nothing of it is in the journal");
    assert!(cold.visit("c1", &whole).is_ok());
}

#[test]
fn t05_a_bundle_edited_at_any_byte_is_refused_or_pays_the_same() {
    let mut cold = Cold::start();
    let refill = cold.fleet.house.refill("refill-1", 2_000_000, 1, cold.fleet.now);
    let bundle = cold.bundle("c1", &refill);
    let home = cold.fleet.house.cold_home("c1");
    // In memory, since there are thousands of visits.
    let room = tempfile::Builder::new().tempdir_in("/dev/shm").unwrap();
    let (clean, used) = (room.path().join("clean"), room.path().join("used"));
    copy(&home, &clean);
    copy(&clean, &used);
    let honest = visit(&used, &bundle, cold.fleet.now).unwrap();
    let effects = read(&clean, &bundle, cold.fleet.now).unwrap().effects.unwrap();
    let outputs = |bundle: &Bundle| {
        let psbt = bitcoin::psbt::Psbt::deserialize(&hex::decode(&bundle.psbt).unwrap()).unwrap();
        let hot = cold.fleet.house.wallet("hot").derive(Branch::Receive, 0).unwrap().script_pubkey;
        psbt.unsigned_tx.output.into_iter().filter(|output| output.script_pubkey == hot).collect::<Vec<_>>()
    };
    let bytes = bundle.to_bytes();
    let words = types::words(&bundle.digest()).join(" ");
    let now = cold.fleet.now;
    // One edit at a time; what came of it: unread, refused, signed, signed the same.
    let attempt = |position: usize, used: &Path| {
        let mut edited = bytes.clone();
        edited[position] ^= 1 << (position % 7);
        let Ok(edited) = Bundle::from_bytes(&edited) else { return [1, 0, 0, 0] };
        let reading = match read(&clean, &edited, now) {
            Ok(reading) if reading.refused.is_none() => reading,
            _ => return [0, 1, 0, 0],
        };
        copy(&clean, used);
        // Whoever compares the words does not sign it.
        let mut awake = core(used);
        let session = Session::begin(&mut awake, used, edited.clone(), now).unwrap();
        assert_eq!(session.confirm(&words).unwrap_err().code.as_str(), "words", "byte {position}");
        drop(awake);
        // And if nobody does: the same coin pays the same to the same place, the rest less a fee within the caps comes back to us.
        let answer = visit(used, &edited, now).unwrap();
        let changed = reading.effects.unwrap();
        assert_eq!((&changed.inputs, outputs(&edited)), (&effects.inputs, outputs(&bundle)), "byte {position}");
        assert!(changed.change.is_some_and(|change| change.index <= 20), "byte {position}");
        assert!(changed.fee_sats <= 20_000, "byte {position}");
        [0, 0, 1, usize::from(answer.signatures == honest.signatures)]
    };
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    let sums = std::thread::scope(|scope| {
        let work = |worker: usize| {
            let (attempt, used) = (&attempt, room.path().join(format!("used-{worker}")));
            let positions = (worker..bytes.len()).step_by(workers);
            scope.spawn(move || positions.map(|position| attempt(position, &used)).collect::<Vec<_>>())
        };
        let running: Vec<_> = (0..workers).map(work).collect();
        running.into_iter().flat_map(|one| one.join().unwrap()).collect::<Vec<_>>()
    });
    let sum = |place: usize| sums.iter().map(|one| one[place]).sum::<usize>();
    let (unread, refused, signed, same) = (sum(0), sum(1), sum(2), sum(3));
    assert_eq!(unread + refused + signed, bytes.len());
    // Within what the charter leaves to whoever makes transactions are the fee and the lock time; the rest changes nothing.
    assert!(unread > 0 && refused > 0 && signed - same < 60, "{unread} {refused} {signed} {same}");
}

#[test]
fn the_same_bundle_gives_the_same_signatures_and_another_transaction_none() {
    let mut cold = Cold::start();
    let refill = cold.fleet.house.refill("refill-1", 2_000_000, 1, cold.fleet.now);
    let bundle = cold.bundle("c1", &refill);
    let first = cold.visit("c1", &bundle).unwrap();
    let home = cold.fleet.house.cold_home("c1");
    let journal = fs::read(home.join(files::JOURNAL)).unwrap();
    // Long after the activation's end, and the instruction's.
    let later = cold.fleet.now.plus_seconds(86_400 * 9);
    let again = visit(&home, &bundle, later).unwrap();
    assert_eq!((again.signatures, again.head), (first.signatures.clone(), first.head.clone()));
    assert_eq!(fs::read(home.join(files::JOURNAL)).unwrap(), journal, "nothing was signed again");
    // A crash that lost the answer: the same is signed again while the activation lasts.
    fs::remove_dir_all(home.join(files::ANSWERS)).unwrap();
    assert_eq!(cold.visit("c1", &bundle).unwrap().signatures, first.signatures);
    // The same instruction in a transaction that spends another coin would pay twice.
    let mut other = bundle.clone();
    let psbt = cold.fleet.house.cold_psbt(2_000_000, 2);
    other.psbt = hex_of(&psbt);
    assert_eq!(cold.visit("c1", &other).unwrap_err(), "peer-missing", "what was said was about the first transaction");
    let (instruction, wire) = (refill.instruction.clone(), refill.wire.clone());
    other.statements = cold.statements("c1", &Refill { instruction, wire, psbt }, &[0, 1, 2]);
    assert_eq!(cold.visit("c1", &other).unwrap_err(), "signed-once");
    // Another destination, another amount: not what people signed.
    let mut other = bundle.clone();
    other.psbt = hex_of(&cold.fleet.house.cold_psbt(2_000_001, 1));
    assert_eq!(cold.visit("c1", &other).unwrap_err(), "foreign-output");
    // For another signer.
    assert_eq!(cold.visit("c2", &bundle).unwrap_err(), "signer");
}

#[test]
fn charters_come_with_the_bundle_in_order_and_never_go_back() {
    let mut cold = Cold::start();
    let first = cold.fleet.house.refill("refill-1", 2_000_000, 1, cold.fleet.now);
    let old = cold.bundle("c1", &first);
    let (second, wire_second) = next_charter(&cold.fleet.house, "Olga Second");
    for position in 0..3 {
        let NextCharter { charter, approvals } = wire_second.clone();
        assert_eq!(code(cold.fleet.ask(position, RequestBody::Adopt { charter, approvals })), Ok(ReplyBody::Done));
    }
    cold.fleet.house.charter = second;
    let (third, wire_third) = next_charter(&cold.fleet.house, "Olga Third");
    cold.fleet.house.charter = third;
    cold.fleet.now = cold.fleet.now.plus_seconds(60);
    let refill = cold.fleet.house.refill("refill-2", 2_000_000, 1, cold.fleet.now);
    let mut bundle = cold.bundle("c1", &refill);
    assert_eq!(cold.visit("c1", &bundle).unwrap_err(), "charter-version", "it does not know of them");
    bundle.charters = vec![wire_third.clone()];
    assert_eq!(cold.visit("c1", &bundle).unwrap_err(), "charter-succession", "one is missing between");
    let mut unsigned = wire_second.clone();
    unsigned.approvals.truncate(1);
    bundle.charters = vec![unsigned, wire_third.clone()];
    assert_eq!(cold.visit("c1", &bundle).unwrap_err(), "charter-succession", "one person is no quorum");
    bundle.charters = vec![wire_second, wire_third];
    cold.visit("c1", &bundle).unwrap();
    assert_eq!(cold.visit("c1", &old).unwrap_err(), "charter-version", "what was made before is not signed any more");
    // Those that it has are passed over.
    let next = cold.fleet.house.refill("refill-3", 1_000_000, 3, cold.fleet.now);
    let mut again = cold.bundle("c1", &next);
    again.charters = bundle.charters.clone();
    cold.visit("c1", &again).unwrap();
}

#[test]
fn t05_a_journal_put_back_to_an_old_copy_signs_nothing_once_peers_remember_more() {
    let mut cold = Cold::start();
    let home = cold.fleet.house.cold_home("c1");
    let saved = cold.fleet.house.directory.path().join("saved");
    copy(&home, &saved);
    let refill = cold.fleet.house.refill("refill-1", 2_000_000, 1, cold.fleet.now);
    let bundle = cold.bundle("c1", &refill);
    let answer = cold.visit("c1", &bundle).unwrap();
    cold.relay(&answer, &[0, 1, 2]);
    fs::copy(saved.join(files::JOURNAL), home.join(files::JOURNAL)).unwrap();
    // The statements are over the instruction that is to be signed now, so older ones do not do.
    let double = cold.fleet.house.refill("refill-2", 2_000_000, 2, cold.fleet.now);
    let mut stale = cold.bundle("c1", &double);
    stale.statements = bundle.statements.clone();
    assert_eq!(cold.visit("c1", &stale).unwrap_err(), "peer-missing");
    let bundle = cold.bundle("c1", &double);
    assert_eq!(cold.visit("c1", &bundle).unwrap_err(), "journal-behind");
    // It has closed for good, whatever is brought from now on.
    assert!(core(&home).latches().contains(&types::Latch::JournalBehind));
    let mut silent = cold.bundle("c1", &double);
    silent.statements.clear();
    assert_ne!(cold.visit("c1", &silent).unwrap_err(), "journal-behind");
    assert!(cold.visit("c1", &stale).is_err());
}

#[test]
fn without_most_connected_signers_nothing_is_signed() {
    let mut cold = Cold::start();
    let refill = cold.fleet.house.refill("refill-1", 2_000_000, 1, cold.fleet.now);
    let mut bundle = cold.bundle("c1", &refill);
    bundle.statements = cold.statements("c1", &refill, &[1]);
    assert_eq!(cold.visit("c1", &bundle).unwrap_err(), "peer-missing");
    let one = bundle.statements[0].clone();
    bundle.statements = vec![one.clone(), one.clone()];
    assert_eq!(cold.visit("c1", &bundle).unwrap_err(), "peer-missing", "one signer counts once");
    bundle.statements = cold.statements("c2", &refill, &[0, 1]);
    assert_eq!(cold.visit("c1", &bundle).unwrap_err(), "peer-missing", "about another signer");
    let (instruction, wire) = (refill.instruction.clone(), refill.wire.clone());
    let elsewhere = Refill { instruction, wire, psbt: cold.fleet.house.cold_psbt(7, 9) };
    bundle.statements = cold.statements("c1", &elsewhere, &[0, 1]);
    assert_eq!(cold.visit("c1", &bundle).unwrap_err(), "peer-missing", "about another transaction of the same payment");
    bundle.statements = cold.statements("c1", &refill, &[0, 2]);
    assert!(cold.visit("c1", &bundle).is_ok());
}

#[test]
fn windows_end_and_a_clock_is_believed_only_within_what_people_signed() {
    let mut cold = Cold::start();
    let begin = cold.fleet.now.plus_seconds(86_400 * 7);
    cold.fleet.now = begin;
    let refill = cold.fleet.house.refill("refill-1", 2_000_000, 1, begin);
    let bundle = cold.bundle("c1", &refill);
    let home = cold.fleet.house.cold_home("c1");
    let at = |now: Moment| visit(&home, &bundle, now).map(|_| ());
    // Switched on a week later: the clock jumped, and between the instruction's two moments people vouch for it.
    assert_eq!(at(begin.plus_seconds(3_600)), Err("expired".to_owned()));
    assert_eq!(at(begin.plus_seconds(86_400 * 365)), Err("expired".to_owned()));
    assert_eq!(at(Moment::from_seconds(begin.seconds() - 3_600)), Err("created-in-future".to_owned()));
    assert!(core(&home).latches().is_empty(), "a wrong clock is named and freezes nothing");
    assert_eq!(at(begin.plus_seconds(1_800)), Ok(()));
    // An activation that has ended opens nothing.
    cold.fleet.now = begin.plus_seconds(2_000);
    let short = cold.fleet.house.activation("cold", 10, 10, cold.fleet.now);
    let next = cold.fleet.house.refill("refill-2", 1_000_000, 2, cold.fleet.now);
    let statements = cold.statements("c2", &next, &[0, 1, 2]);
    let mut bundle = cold.fleet.house.bundle("c2", &short, &next, statements);
    let psbt = std::mem::replace(&mut bundle.psbt, hex_of(&cold.fleet.house.cold_psbt(7, 9)));
    assert!(cold.visit("c2", &bundle).is_err());
    let c2 = cold.fleet.house.cold_home("c2");
    let execute = RequestBody::Execute { instruction: short };
    let mut awake = core(&c2);
    awake.hear_time(&next.wire, cold.fleet.now).unwrap();
    assert_eq!(code(awake.handle(&execute, cold.fleet.now)), Ok(ReplyBody::Done));
    drop(awake);
    bundle.psbt = psbt;
    cold.fleet.now = cold.fleet.now.plus_seconds(10);
    assert_eq!(cold.visit("c2", &bundle).unwrap_err(), "key-inactive");
}

#[test]
fn a_key_is_open_for_one_bundle_and_its_signatures_are_counted() {
    let mut cold = Cold::start();
    let refill = cold.fleet.house.refill("refill-1", 2_000_000, 1, cold.fleet.now);
    let activation = cold.fleet.house.activation("cold", 3_600, 1, cold.fleet.now);
    let statements = cold.statements("c1", &refill, &[0, 1]);
    let bundle = cold.fleet.house.bundle("c1", &activation, &refill, statements);
    cold.visit("c1", &bundle).unwrap();
    let home = cold.fleet.house.cold_home("c1");
    let ReplyBody::Board { keys, .. } = core(&home).board(cold.fleet.now) else { panic!("no board") };
    let key = keys.iter().find(|key| key.wallet == "cold" && key.kind == "signature").unwrap();
    assert_eq!((key.state.as_str(), key.open, key.signatures_left), ("inactive", false, 0));
    let next = cold.fleet.house.refill("refill-2", 1_000_000, 2, cold.fleet.now);
    let statements = cold.statements("c1", &next, &[0, 1]);
    let bundle = cold.fleet.house.bundle("c1", &activation, &next, statements);
    assert_eq!(cold.visit("c1", &bundle).unwrap_err(), "key-inactive", "what was allowed is used up");
}

#[test]
fn a_tier_that_waits_begins_to_wait_at_the_first_visit() {
    let mut cold = Cold::decided(|charter| charter.tiers[3].delay_seconds = 900);
    let refill = cold.fleet.house.refill("refill-1", 2_000_000, 1, cold.fleet.now);
    let bundle = cold.bundle("c1", &refill);
    assert_eq!(cold.visit("c1", &bundle).unwrap_err(), "delay");
    cold.fleet.now = cold.fleet.now.plus_seconds(899);
    assert_eq!(cold.visit("c1", &bundle).unwrap_err(), "delay");
    cold.fleet.now = cold.fleet.now.plus_seconds(1);
    cold.visit("c1", &bundle).unwrap();
}

#[test]
fn a_connected_signer_is_told_to_run_and_other_steps_are_carried_too() {
    let mut cold = Cold::start();
    let refill = cold.fleet.house.refill("refill-1", 2_000_000, 1, cold.fleet.now);
    let mut bundle = cold.bundle("c1", &refill);
    bundle.signer = "s1".to_owned();
    let connected = cold.fleet.directories[0].path().to_owned();
    assert_eq!(read(&connected, &bundle, cold.fleet.now).unwrap_err().code.as_str(), "connected");
    // A suspension that is carried ends the key, and the payment after it with it.
    bundle.signer = "c1".to_owned();
    let step = types::KeyStep {
        requester: "oona".parse().unwrap(),
        signer: "c1".parse().unwrap(),
        step: Step::SuspendKey,
        wallet: Some("cold".parse().unwrap()),
        seconds: 0,
        signatures: 0,
        reason: "the vault was broken into".to_owned(),
    };
    bundle.steps = vec![cold.fleet.house.key_step(step, cold.fleet.now)];
    assert_eq!(cold.visit("c1", &bundle).unwrap_err(), "key-suspended");
    // Nothing of it was done, since the payment could not be; the step alone is carried out.
    let state = |cold: &Cold| {
        let ReplyBody::Board { keys, .. } = core(&cold.fleet.house.cold_home("c1")).board(cold.fleet.now) else {
            panic!()
        };
        keys.into_iter().find(|key| key.wallet == "cold" && key.kind == "signature").unwrap().state
    };
    assert_eq!(state(&cold), "inactive");
    let alone = Bundle { payments: vec![], psbt: String::new(), statements: vec![], ..bundle.clone() };
    let answer = cold.visit("c1", &alone).unwrap();
    assert_eq!((answer.signatures.len(), answer.refusal), (0, None));
    assert_eq!(state(&cold), "suspended");
    let nothing = Bundle { steps: vec![], ..alone };
    assert_eq!(cold.visit("c1", &nothing).unwrap_err(), "nothing");
    // A payment is no step.
    bundle.steps = vec![wire(&refill.instruction, Evidence::default())];
    assert!(cold.visit("c1", &bundle).is_err());
}
