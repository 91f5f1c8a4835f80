//! What only time lets through: delays after the approval, hours, and fresh destinations in the address book.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "in a test, failing here is the test failing"
)]

mod common;

use common::cores::{Cores, code};
use common::wire;
use policy::Destinations;
use signer_wire::{Evidence, ReplyBody, RequestBody};
use types::{Body, Instruction, Moment};

fn entry(fleet: &Cores, id: &str, customer: &str, address: &str) -> Instruction {
    Instruction {
        id: id.parse().unwrap(),
        created: fleet.now.whole_seconds(),
        expires: fleet.now.whole_seconds().plus_seconds(600),
        charter: 1,
        body: Body::AddressEntry {
            requester: "olga".parse().unwrap(),
            customer: customer.parse().unwrap(),
            address: address.to_owned(),
        },
    }
}

fn execute(fleet: &mut Cores, position: usize, instruction: &Instruction, people: &[&str]) -> Result<(), String> {
    let approvals = people.iter().map(|name| fleet.house.approve(name, instruction)).collect();
    let instruction = wire(instruction, Evidence { customer_request: None, approvals });
    code(fleet.ask(position, RequestBody::Execute { instruction })).map(|_| ())
}

#[test]
fn t04_after_the_approval_there_is_time_to_freeze() {
    let mut fleet = Cores::decided(|charter| charter.tiers[1].delay_seconds = 900);
    let (large, bare) = fleet.house.withdrawal("large", 5_000_000, fleet.now);
    let psbt = fleet.house.psbt(&[fleet.house.coin(0, 9_000_000, 1)], &[&large], 2_000);
    // Without its approvals no wait begins.
    assert_eq!(fleet.prepare(0, std::slice::from_ref(&bare), &psbt).unwrap_err(), "approvals-missing");
    fleet.now = fleet.now.plus_seconds(1_000);
    let mut complete = bare;
    complete.evidence.approvals = ["olga", "omar"].map(|name| fleet.house.approve(name, &large)).to_vec();
    assert_eq!(fleet.prepare(0, std::slice::from_ref(&complete), &psbt).unwrap_err(), "delay");
    assert_eq!(fleet.prepare(1, std::slice::from_ref(&complete), &psbt).unwrap_err(), "delay");
    fleet.now = fleet.now.plus_seconds(899);
    assert_eq!(fleet.prepare(0, std::slice::from_ref(&complete), &psbt).unwrap_err(), "delay");
    // The wait is in the journal: a restart begins no new one, and ends none.
    fleet.restart(0, |_| ());
    fleet.admit(0, &[1, 2]).unwrap();
    assert_eq!(fleet.prepare(0, std::slice::from_ref(&complete), &psbt).unwrap_err(), "delay");
    fleet.now = fleet.now.plus_seconds(1);
    assert!(fleet.sign([0, 1], std::slice::from_ref(&complete), &psbt).is_ok());
    // A signer that hears of it only now waits by itself.
    assert_eq!(fleet.prepare(2, &[complete], &psbt).unwrap_err(), "delay");
}

#[test]
fn what_was_prepared_is_forgotten_once_it_has_expired() {
    let mut fleet = Cores::start();
    let (early, early_wire) = fleet.house.withdrawal("early", 50_000, fleet.now);
    let psbt = fleet.house.psbt(&[fleet.house.coin(0, 100_000, 1)], &[&early], 1_000);
    let (ticket, head) = fleet.prepare(0, std::slice::from_ref(&early_wire), &psbt).unwrap();
    let statement = fleet.witness(1, &head).unwrap();
    fleet.now = fleet.now.plus_seconds(3_600);
    assert_eq!(fleet.release(0, &ticket, vec![statement.clone()]).unwrap_err(), "expired");
    let (late, late_wire) = fleet.house.withdrawal("late", 50_000, fleet.now);
    let other = fleet.house.psbt(&[fleet.house.coin(1, 100_000, 2)], &[&late], 1_000);
    fleet.prepare(0, &[late_wire], &other).unwrap();
    assert_eq!(fleet.release(0, &ticket, vec![statement]).unwrap_err(), "unknown-ticket");
    assert_eq!(fleet.prepare(0, &[early_wire], &psbt).unwrap_err(), "expired");
}

#[test]
fn what_was_prepared_is_released_once_and_prepared_again_for_whoever_asks_again() {
    let mut fleet = Cores::start();
    let (small, honest) = fleet.house.withdrawal("k", 50_000, fleet.now);
    let psbt = fleet.house.psbt(&[fleet.house.coin(0, 100_000, 1)], &[&small], 1_000);
    let mut answers = Vec::new();
    for _ in 0..2 {
        let (ticket, head) = fleet.prepare(0, std::slice::from_ref(&honest), &psbt).unwrap();
        let statement = fleet.witness(1, &head).unwrap();
        answers.push(fleet.release(0, &ticket, vec![statement.clone()]).unwrap());
        assert_eq!(fleet.release(0, &ticket, vec![statement]).unwrap_err(), "unknown-ticket");
    }
    assert_eq!(answers[0], answers[1]);
}

#[test]
fn of_too_many_that_were_prepared_the_oldest_gives_way() {
    let mut fleet = Cores::start();
    let (small, honest) = fleet.house.withdrawal("k", 50_000, fleet.now);
    let psbt = fleet.house.psbt(&[fleet.house.coin(0, 100_000, 1)], &[&small], 1_000);
    let mut prepared = Vec::new();
    for _ in 0..65 {
        let (ticket, head) = fleet.prepare(0, std::slice::from_ref(&honest), &psbt).unwrap();
        prepared.push((ticket, fleet.witness(1, &head).unwrap()));
    }
    let mut release = |place: usize| fleet.release(0, &prepared[place].0, vec![prepared[place].1.clone()]);
    assert_eq!(release(0).unwrap_err(), "unknown-ticket");
    assert!(release(1).is_ok());
    assert!(release(64).is_ok());
}

#[test]
fn nothing_is_signed_outside_the_tiers_hours() {
    // The story begins on Friday, 2027-01-15, at 08:00 UTC.
    let mut fleet = Cores::decided(|charter| {
        charter.tiers.truncate(1);
        charter.tiers[0].hours = Some(policy::Hours {
            days: [true, true, true, true, true, false, false],
            from_minute: 480,
            to_minute: 510,
        });
    });
    let (small, honest) = fleet.house.withdrawal("k", 50_000, fleet.now);
    let psbt = fleet.house.psbt(&[fleet.house.coin(0, 100_000, 1)], &[&small], 1_000);
    let opening = fleet.now;
    fleet.now = Moment::from_seconds(opening.seconds() + 1_799);
    assert!(fleet.sign([0, 1], std::slice::from_ref(&honest), &psbt).is_ok());
    fleet.now = fleet.now.plus_seconds(1);
    assert_eq!(fleet.prepare(2, &[honest], &psbt).unwrap_err(), "hours");
}

#[test]
fn t03_a_new_destination_needs_a_quorum_and_waits() {
    let mut fleet = Cores::decided(|charter| {
        charter.tiers.truncate(1);
        charter.tiers[0].destinations = Destinations::AllowList;
        charter.address_book_seconds = 1_800;
    });
    let (small, honest) = fleet.house.withdrawal("k", 50_000, fleet.now);
    let psbt = fleet.house.psbt(&[fleet.house.coin(0, 100_000, 1)], &[&small], 1_000);
    assert_eq!(fleet.prepare(0, std::slice::from_ref(&honest), &psbt).unwrap_err(), "destination");
    let address = small.destination().unwrap();
    let good = entry(&fleet, "entry-1", "alice", address);
    assert_eq!(execute(&mut fleet, 0, &good, &["omar", "olga"]).unwrap_err(), "approvals-missing");
    let unknown = entry(&fleet, "entry-2", "nobody", address);
    assert_eq!(execute(&mut fleet, 0, &unknown, &["omar", "oona"]).unwrap_err(), "customer");
    let elsewhere = entry(&fleet, "entry-3", "alice", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4");
    assert_eq!(execute(&mut fleet, 0, &elsewhere, &["omar", "oona"]).unwrap_err(), "destination");
    for position in [0, 1] {
        execute(&mut fleet, position, &good, &["omar", "oona"]).unwrap();
        assert_eq!(execute(&mut fleet, position, &good, &["omar", "oona"]).unwrap_err(), "executed");
    }
    fleet.now = fleet.now.plus_seconds(1_799);
    assert_eq!(fleet.prepare(0, std::slice::from_ref(&honest), &psbt).unwrap_err(), "destination");
    fleet.restart(0, |_| ());
    fleet.admit(0, &[1, 2]).unwrap();
    fleet.now = fleet.now.plus_seconds(1);
    assert!(fleet.sign([0, 1], &[honest], &psbt).is_ok());
}

#[test]
fn an_asset_can_be_frozen() {
    let mut fleet = Cores::start();
    let (small, honest) = fleet.house.withdrawal("k", 50_000, fleet.now);
    let psbt = fleet.house.psbt(&[fleet.house.coin(0, 100_000, 1)], &[&small], 1_000);
    let freeze = |latch: String| RequestBody::Freeze { latch, reason: "drill".to_owned() };
    assert_eq!(code(fleet.ask(0, freeze("asset:nothing".to_owned()))).unwrap_err(), "latch");
    let asset = types::Asset::Bitcoin(types::Network::Regtest);
    assert_eq!(code(fleet.ask(0, freeze(format!("asset:{asset}")))), Ok(ReplyBody::Done));
    assert_eq!(fleet.prepare(0, &[honest], &psbt).unwrap_err(), "frozen");
}

#[test]
fn what_is_wrong_with_an_instructions_time_has_one_name_whether_or_not_it_moves_coins() {
    let mut fleet = Cores::start();
    let now = fleet.now;
    let longest = i64::try_from(fleet.house.charter.instruction_seconds_max).unwrap();
    for (created, seconds, wrong, again) in [
        (now.plus_seconds(-10), 10, "expired", false),
        (now, longest + 1, "lifetime", false),
        // What stands goes before what time heals.
        (now.plus_seconds(302), longest + 1, "lifetime", false),
        (now.plus_seconds(302), longest, "created-in-future", true),
    ] {
        let (payment, asked) = fleet.house.lasting_withdrawal("k", 50_000, seconds, created);
        let psbt = common::hex_of(&fleet.house.psbt(&[fleet.house.coin(0, 900_000, 1)], &[&payment], 1_000));
        let still = fleet.house.activation("hot", 60, 1, created);
        let mut still = Instruction::from_canonical(still.canonical.as_bytes()).unwrap();
        still.id = "still".parse().unwrap();
        still.expires = still.created.plus_seconds(seconds);
        let approvals = ["olga", "omar"].map(|name| fleet.house.approve(name, &still)).to_vec();
        let still = wire(&still, Evidence { customer_request: None, approvals });
        for question in
            [RequestBody::Prepare { instructions: vec![asked], psbt }, RequestBody::Execute { instruction: still }]
        {
            let ReplyBody::Refused(refusal) = fleet.ask(0, question) else { panic!("{wrong} was let through") };
            assert_eq!((refusal.code.as_str(), refusal.retry()), (wrong, again), "{}", refusal.reason);
        }
    }
}
