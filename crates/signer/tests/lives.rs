//! The lives of keys, by real requests: every arrow of the figures that a signer can be asked for, and every other by its refusal.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "in a test, failing here is the test failing"
)]

mod common;

use std::collections::BTreeSet;

use common::cores::{Cores, code};
use common::desk::{Fault, approved, hold, kim, step, successor};
use sealing::NewSlot;
use signer::ceremony::{account, reseal};
use signer::enrol::files;
use signer::journal::Journal;
use signer::life::{Actor, KeyName};
use signer::record::Event;
use signer::refusal::Refused;
use signer::vault::Vault;
use signer_wire::RequestBody;
use types::{KeyKind, KeyState, Step};

/// Hands a step to the first signer; the refusal's name.
fn ask(fleet: &mut Cores, one: Step, wallet: Option<&str>) -> Result<(), String> {
    fleet.now = fleet.now.plus_seconds(1);
    let mut question = step(one, "s1");
    question.wallet = wallet.map(|wallet| wallet.parse().unwrap());
    if one == Step::Activate {
        (question.seconds, question.signatures) = (600, 5);
    }
    let instruction = fleet.house.key_step(question, fleet.now);
    code(fleet.ask(0, RequestBody::Execute { instruction })).map(|_| ())
}

fn refusal(name: &str) -> Result<(), String> {
    Err(name.to_owned())
}

fn hot(fleet: &Cores) -> KeyState {
    fleet.cores[0].as_ref().unwrap().key_state(&KeyName::signature(0)).unwrap()
}

fn seed_state(fleet: &Cores) -> KeyState {
    let core = fleet.cores[0].as_ref().unwrap();
    core.key_state(&core.seed_name().unwrap()).unwrap()
}

fn close(fleet: &mut Cores) {
    let now = fleet.now;
    fleet.cores[0].as_mut().unwrap().close_keys(&["hot".parse().unwrap()], &Actor::default(), now).unwrap();
}

/// Whether the first signer prepares a payment; the refusal's name.
fn prepares(fleet: &mut Cores, key: &str) -> Result<(), String> {
    let (instruction, wire) = fleet.house.withdrawal(key, 1_000, fleet.now);
    let psbt = fleet.house.psbt(&[fleet.house.coin(0, 100_000, 1)], &[&instruction], 1_000);
    fleet.prepare(0, &[wire], &psbt).map(|_| ())
}

fn new_slots(_: Vault) -> Result<Vec<NewSlot>, Refused> {
    let holders = ["kim", "kit"].map(|name| name.parse().unwrap()).into();
    Ok(vec![NewSlot::shares("desk".parse().unwrap(), holders, "2".to_owned(), 2, common::kek()).unwrap()])
}

/// Every move that a signer's journal tells.
fn told(fleet: &mut Cores) -> BTreeSet<(KeyKind, KeyState, KeyState)> {
    fleet.cores[0] = None;
    let path = fleet.directories[0].path().join(files::JOURNAL);
    let start = std::time::Instant::now();
    let records = loop {
        // Another test's child process may hold our files for a moment.
        match Journal::open(&path) {
            Ok((_, records)) => break records,
            Err(error) => assert!(start.elapsed().as_secs() < 20, "{error}"),
        }
        std::thread::yield_now();
    };
    let mut arrows = BTreeSet::new();
    for record in records {
        if let Event::Keys { moves, .. } | Event::Ceremony { moves, .. } = record.event {
            for one in moves.iter().filter(|one| !one.from.is_empty()) {
                arrows.insert((one.kind.parse().unwrap(), one.from.parse().unwrap(), one.to.parse().unwrap()));
            }
        }
    }
    arrows
}

#[test]
fn every_arrow_that_can_be_asked_for_is_gone_and_every_other_is_refused_by_name() {
    use KeyState::{Active, Generated, InUse, Inactive, Suspended};
    let mut fleet = Cores::start();
    // K1: opened, closed by people, by a restart and by its window; never by asking twice.
    assert_eq!(hot(&fleet), InUse);
    assert_eq!(fleet.open(0), Ok(()), "opening what is open moves nothing");
    assert_eq!(prepares(&mut fleet, "one"), Ok(()));
    close(&mut fleet);
    close(&mut fleet);
    assert_eq!(hot(&fleet), Inactive);
    assert_eq!(prepares(&mut fleet, "two"), refusal("key-inactive"));
    assert_eq!(fleet.open(0), Ok(()));
    fleet.restart(0, |_| ());
    assert_eq!(hot(&fleet), Inactive, "a process that is gone has nothing open");
    fleet.admit(0, &[1, 2]).unwrap();
    assert_eq!(hot(&fleet), InUse);

    // K4: out of use and back, each only from the other state.
    assert_eq!(ask(&mut fleet, Step::ResumeSeed, None), refusal("key-move"));
    assert_eq!(ask(&mut fleet, Step::SuspendSeed, None), Ok(()));
    assert_eq!(seed_state(&fleet), Suspended);
    assert_eq!(ask(&mut fleet, Step::SuspendSeed, None), refusal("key-move"));
    let instruction = approved(&mut fleet, Step::DeriveAccount, "s1");
    let derive = |fleet: &mut Cores| {
        let mut fault = Fault::after(None);
        let outcome = hold(fleet, 0, &instruction, &mut fault, |bench| account::derive(bench, &mut kim));
        outcome.map(|_| ()).map_err(|refused| refused.code.to_string())
    };
    assert_eq!(derive(&mut fleet), refusal("seed"));
    assert_eq!(ask(&mut fleet, Step::ResumeSeed, None), Ok(()));
    assert_eq!(seed_state(&fleet), InUse);
    assert_eq!(derive(&mut fleet), Ok(()), "a new pair, generated and inactive");
    assert_eq!(fleet.cores[0].as_ref().unwrap().key_state(&KeyName::signature(2)), Some(Inactive));

    // K3: a new one in use, the old one out of it, for good.
    let instruction = approved(&mut fleet, Step::Reseal, "s1");
    hold(&mut fleet, 0, &instruction, &mut Fault::after(None), |bench| reseal::hold(bench, &mut kim, &mut new_slots))
        .unwrap();
    let core = fleet.cores[0].as_ref().unwrap();
    let states: Vec<_> = core.keys_of(KeyKind::Sealing).map(|key| core.key_state(key).unwrap()).collect();
    assert_eq!(states.iter().filter(|state| **state == InUse).count(), 2);
    assert_eq!(states.iter().filter(|state| **state == Suspended).count(), 2);

    // K1 once more: suspended while it signs, and nothing brings it back.
    assert_eq!(hot(&fleet), InUse);
    assert_eq!(ask(&mut fleet, Step::SuspendKey, Some("hot")), Ok(()));
    assert_eq!(hot(&fleet), Suspended);
    assert!(fleet.cores[0].as_ref().unwrap().open_wallets().is_empty());
    assert_eq!(ask(&mut fleet, Step::SuspendKey, Some("hot")), refusal("key-move"));
    assert_eq!(ask(&mut fleet, Step::Activate, Some("hot")), refusal("key-move"));
    assert_eq!(fleet.open(0), refusal("not-authorised"), "the activation from before opens it no more");
    assert_eq!(prepares(&mut fleet, "three"), refusal("key-suspended"));
    fleet.restart(0, |_| ());
    let _ = fleet.admit(0, &[1, 2]);
    assert_eq!(hot(&fleet), Suspended);

    let reachable: BTreeSet<_> = [
        (KeyKind::Signature, Generated, Inactive),
        (KeyKind::Signature, Inactive, Active),
        (KeyKind::Signature, Active, InUse),
        (KeyKind::Signature, InUse, Inactive),
        (KeyKind::Signature, InUse, Suspended),
        (KeyKind::Sealing, Generated, InUse),
        (KeyKind::Sealing, InUse, Suspended),
        (KeyKind::Seed, Generated, InUse),
        (KeyKind::Seed, InUse, Suspended),
        (KeyKind::Seed, Suspended, InUse),
    ]
    .into();
    assert_eq!(told(&mut fleet), reachable);
    for (kind, from, to) in reachable {
        assert!(kind.check(from, to).is_ok());
    }
}

#[test]
fn a_key_that_is_closed_is_suspended_too_and_its_window_closes_by_itself() {
    use KeyState::{InUse, Inactive, Suspended};
    let mut fleet = Cores::start();
    close(&mut fleet);
    assert_eq!(ask(&mut fleet, Step::Activate, Some("hot")), Ok(()));
    fleet.open(0).unwrap();
    assert_eq!(hot(&fleet), InUse);
    fleet.now = fleet.now.plus_seconds(601);
    let now = fleet.now;
    fleet.cores[0].as_mut().unwrap().tick(now).unwrap();
    assert_eq!(hot(&fleet), Inactive);
    assert_eq!(fleet.open(0), refusal("not-authorised"));
    assert_eq!(ask(&mut fleet, Step::SuspendKey, Some("hot")), Ok(()));
    assert_eq!(hot(&fleet), Suspended);
    assert!(told(&mut fleet).contains(&(KeyKind::Signature, Inactive, Suspended)));
}

#[test]
fn a_wallets_keys_are_suspended_with_its_descriptor_and_never_come_back() {
    let mut fleet = Cores::start();
    let network = fleet.house.charter.network;
    let hot = signer::state::verification_key(&fleet.house.charter.wallets[0], network);
    let verification = |fleet: &Cores| {
        let core = fleet.cores[0].as_ref().unwrap();
        core.keys_of(KeyKind::Verification)
            .filter(|key| key.name != hot)
            .map(|key| core.key_state(key).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(verification(&fleet), [KeyState::InUse]);
    let keys: Vec<_> = fleet.house.cold.iter().map(|one| one.accounts[1].clone()).collect();
    let before = fleet.house.charter.wallets[1].descriptor.clone();
    let swapped = fleet.house.cold.iter().rev().map(|one| one.accounts[0].clone()).collect::<Vec<_>>().join(",");
    for (descriptor, allowed) in [
        (format!("wsh(sortedmulti(2,{}))", keys.join(",")), true),
        (before, false),
        // The same keys in another order are the same keys.
        (format!("wsh(sortedmulti(2,{swapped}))"), false),
    ] {
        let (mut next, _) = successor(&fleet.house, &[]);
        next.wallets[1].descriptor = descriptor;
        let digest = next.digest();
        let approvals = ["olga", "omar"].map(|name| fleet.house.ssh(name, name, "claviger-charter", &digest));
        let approval = |one: &types::Approval| signer_wire::Approval {
            operator: one.operator.to_string(),
            signature: one.signature.clone(),
        };
        let question = RequestBody::Adopt {
            charter: String::from_utf8(next.to_bytes()).unwrap(),
            approvals: approvals.iter().map(approval).collect(),
        };
        let outcome = code(fleet.ask(0, question)).map(|_| ());
        if allowed {
            assert_eq!(outcome, Ok(()));
            fleet.house.charter = next;
        } else {
            assert_eq!(outcome, refusal("charter-unfit"));
        }
        let mut states = verification(&fleet);
        states.sort();
        assert_eq!(states, [KeyState::InUse, KeyState::Suspended], "both stay on the board: both can receive");
    }
}

#[test]
fn steps_of_people_at_the_machine_others_wallets_and_repetitions_are_refused_by_name() {
    let mut fleet = Cores::start();
    for one in Step::ALL.into_iter().filter(|one| !one.remote()) {
        assert_eq!(ask(&mut fleet, one, None), refusal("local-step"), "{one}");
    }
    assert_eq!(ask(&mut fleet, Step::Activate, Some("cold")), refusal("wallet"));
    assert_eq!(ask(&mut fleet, Step::SuspendKey, Some("cold")), refusal("wallet"));
    let twice = approved(&mut fleet, Step::SuspendSeed, "s1");
    let mut execute = |instruction: &signer_wire::Instruction| {
        code(fleet.ask(0, RequestBody::Execute { instruction: instruction.clone() })).map(|_| ())
    };
    let mut alone = twice.clone();
    alone.evidence.approvals.truncate(1);
    assert_eq!(execute(&alone), refusal("approvals-missing"));
    assert_eq!(execute(&twice), Ok(()));
    assert_eq!(execute(&twice), refusal("executed"));
    let theirs = approved(&mut fleet, Step::ResumeSeed, "s2");
    assert_eq!(code(fleet.ask(0, RequestBody::Execute { instruction: theirs })).map(|_| ()), refusal("signer"));
    assert_eq!(seed_state(&fleet), KeyState::Suspended);
}
