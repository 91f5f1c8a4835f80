//! What was kept back and is brought out later: permissions from before a freeze, signatures, halves of cold signers.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "in a test, failing here is the test failing"
)]

mod common;

use bitcoin::psbt::Psbt;
use common::cold::{Cold, core};
use common::cores::{Cores, code};
use policy::Window;
use signer_wire::{Instruction as WireInstruction, ReplyBody, RequestBody};
use types::{Amount, Instruction, Moment};

/// What was said in advance of the automatic tier, with two of three signers and none owned: 3 * 250,000 / 2.
const SAID: u64 = 375_000;
/// What one [`fill`] pays, with its fee: nearly a whole window.
const FILL: u64 = 243_000;

/// One transaction that uses up the automatic tier's window.
struct Batch {
    wires: Vec<WireInstruction>,
    psbt: Psbt,
}

fn fill(fleet: &Cores, name: &str, salt: u32) -> Batch {
    fill_from(fleet, name, salt, fleet.now)
}

fn fill_from(fleet: &Cores, name: &str, salt: u32, made: Moment) -> Batch {
    let parts: Vec<_> =
        (0..3).map(|n| fleet.house.lasting_withdrawal(&format!("{name}{n}"), 80_000, 86_400, made)).collect();
    let (instructions, wires): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    let psbt = coins_for(fleet, &instructions, salt);
    Batch { wires, psbt }
}

fn coins_for(fleet: &Cores, instructions: &[Instruction], salt: u32) -> Psbt {
    let plain: Vec<&Instruction> = instructions.iter().collect();
    fleet.house.psbt(&[fleet.house.coin(0, 1_000_000, salt)], &plain, 3_000)
}

/// One signer's part of a transaction, whose intent another one remembers.
fn half(fleet: &mut Cores, who: usize, witnesses: &[usize], batch: &Batch) -> Result<(), String> {
    let (ticket, head) = fleet.prepare(who, &batch.wires, &batch.psbt)?;
    let about = witnesses.iter().map(|peer| fleet.witness(*peer, &head)).collect::<Result<Vec<_>, _>>()?;
    fleet.release(who, &ticket, about).map(|_| ())
}

fn execute(fleet: &mut Cores, position: usize, wire: &WireInstruction) -> Result<(), String> {
    code(fleet.ask(position, RequestBody::Execute { instruction: wire.clone() })).map(|_| ())
}

#[test]
fn t04_a_freeze_that_is_repeated_outlives_an_older_permission_to_go_on() {
    let mut fleet = Cores::start();
    let freeze = RequestBody::Freeze { latch: "all".to_owned(), reason: "stop".to_owned() };
    code(fleet.ask(0, freeze.clone())).unwrap();
    fleet.now = fleet.now.plus_seconds(60);
    let open = fleet.house.unfreeze("s1", "all", fleet.now);
    // Whoever carries it keeps it back. People see that something is wrong, and freeze again.
    fleet.now = fleet.now.plus_seconds(60);
    code(fleet.ask(0, freeze)).unwrap();
    fleet.now = fleet.now.plus_seconds(60);
    assert_eq!(execute(&mut fleet, 0, &open).unwrap_err(), "latch-later", "made before the second freeze");
}

#[test]
fn t07_what_leaves_while_a_clock_is_stopped_ages_from_then_on_and_not_from_before() {
    let mut fleet = Cores::start();
    let first = fill(&fleet, "a", 1);
    half(&mut fleet, 0, &[1], &first).unwrap();
    // The first signer hears nothing for longer than its clock may step; the others are kept awake.
    fleet.pass(&[1, 2], 7_300);
    half(&mut fleet, 1, &[2], &first).unwrap();
    let mut left = FILL;
    // Now it is whole. The first signer hears of that before anything else: its latch closes, and people open it at once.
    fleet.settle();
    fleet.now = fleet.now.plus_seconds(10);
    let open = fleet.house.unfreeze("s1", "clock", fleet.now);
    execute(&mut fleet, 0, &open).unwrap();
    let counts = fleet.used(0);
    let second = fill(&fleet, "b", 2);
    if fleet.sign([0, 2], &second.wires, &second.psbt).is_ok() {
        left += FILL;
    }
    assert!(left <= SAID, "it counts {counts}; {left} left within ten seconds, {SAID} was said");
}

#[test]
fn t07_cold_halves_kept_back_by_each_signer_let_as_much_leave_as_is_said() {
    let limit = Amount::from_sats(1_000_000);
    let mut cold =
        Cold::decided(|charter| charter.tiers[3].windows = vec![Window { seconds: 1_800, amount_max: limit }]);
    let refills: Vec<_> =
        (0..3).map(|n| cold.fleet.house.refill(&format!("r{n}"), 900_000, n + 1, cold.fleet.now)).collect();
    let names = ["c1", "c2", "c3"];
    for (name, refill) in names.iter().zip(&refills) {
        let bundle = cold.bundle(name, refill);
        cold.visit(name, &bundle).unwrap();
    }
    // A window later each signs what another one has signed.
    cold.fleet.now = cold.fleet.now.plus_seconds(1_801);
    let mut left = 0;
    for (n, refill) in refills.iter().enumerate() {
        let name = names[(n + 1) % 3];
        let bundle = cold.bundle(name, refill);
        left += cold.visit(name, &bundle).map_or(0, |_| 901_000);
    }
    let ReplyBody::Exposure(limits) =
        core(&cold.fleet.house.cold_home("c1")).handle(&RequestBody::Exposure, cold.fleet.now)
    else {
        panic!("no exposure")
    };
    let said = limits.iter().find(|one| one.tier == "refill").unwrap();
    for figure in [&said.exposure_max, &said.exposure_owned_max] {
        assert_eq!(figure.parse(), Ok(3 * limit.to_sats().unwrap()));
    }
    assert_eq!(left, 3 * 901_000, "it is no exaggeration");
}
