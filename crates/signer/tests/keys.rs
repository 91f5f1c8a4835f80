//! Signature keys: closed until two powers open them, open for a time, and nowhere to be found afterwards.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "in a test, failing here is the test failing"
)]

mod common;

use std::collections::BTreeSet;
use std::process::Command;

use common::cores::{Cores, code};
use common::processes::{Fleet, run};
use common::{HOLDER, SLOT, hex_of, kek};
use sealing::{DataKey, Kek};
use signer::server::now;
use signer::vault::{Opener, Vault, open_account, open_seed};
use signer_client::sign;
use signer_wire::{KeyLine, ReplyBody, RequestBody};
use testkit::{files_contain, memory_contains};
use types::{EVERY_SIGNER, KeyStep, Moment, Network, Step};

fn step(step: Step, signer: &str) -> KeyStep {
    KeyStep {
        requester: "oona".parse().unwrap(),
        signer: signer.parse().unwrap(),
        step,
        wallet: step.names_wallet().then(|| "hot".parse().unwrap()),
        seconds: 0,
        signatures: 0,
        reason: "a test".to_owned(),
    }
}

fn board(fleet: &mut Cores, position: usize) -> Vec<KeyLine> {
    match fleet.ask(position, RequestBody::Board) {
        ReplyBody::Board { keys, .. } => keys,
        other => panic!("{other:?}"),
    }
}

/// State and openness of the key of the hot wallet.
fn hot(fleet: &mut Cores, position: usize) -> (String, bool) {
    let keys = board(fleet, position);
    let key = keys.iter().find(|key| key.wallet == "hot").unwrap();
    (key.state.clone(), key.open)
}

fn execute(fleet: &mut Cores, position: usize, wire: &signer_wire::Instruction) -> Result<(), String> {
    code(fleet.ask(position, RequestBody::Execute { instruction: wire.clone() })).map(|_| ())
}

/// A withdrawal prepared at one signer: the refusal's code, or nothing.
fn try_prepare(fleet: &mut Cores, position: usize, key: &str, salt: u32) -> Result<(), String> {
    let (instruction, wire) = fleet.house.withdrawal(key, 50_000, fleet.now);
    let psbt = fleet.house.psbt(&[fleet.house.coin(0, 200_000, salt)], &[&instruction], 1_000);
    fleet.prepare(position, &[wire], &psbt).map(|_| ())
}

/// Signers that are admitted, whose keys may be opened and are closed.
fn closed() -> Cores {
    Cores::closed(|_| {})
}

#[test]
fn a_key_is_open_between_two_entries_and_signs_only_then() {
    let mut fleet = closed();
    assert_eq!(hot(&mut fleet, 0), ("inactive".to_owned(), false));
    assert_eq!(try_prepare(&mut fleet, 0, "closed", 1), Err("key-inactive".to_owned()));
    let canary = RequestBody::Canary { challenge: "hello".to_owned() };
    assert_eq!(code(fleet.ask(0, canary.clone())).map(|_| ()), Err("key-inactive".to_owned()));
    fleet.open(0).unwrap();
    assert_eq!(hot(&mut fleet, 0), ("in-use".to_owned(), true));
    assert!(code(fleet.ask(0, canary)).is_ok());
    assert_eq!(try_prepare(&mut fleet, 0, "open", 2), Ok(()));
    fleet.now = fleet.now.plus_seconds(100);
    let by = signer::life::Actor { person: "kim".to_owned(), terminal: "tty1".to_owned(), cause: "done".to_owned() };
    let now = fleet.now;
    fleet.cores[0].as_mut().unwrap().close_keys(&["hot".parse().unwrap()], &by, now).unwrap();
    let key = board(&mut fleet, 0).into_iter().find(|key| key.wallet == "hot").unwrap();
    assert_eq!((key.state.as_str(), key.person.as_str(), key.terminal.as_str()), ("inactive", "kim", "tty1"));
    assert_eq!((key.cause.as_str(), key.active_seconds, key.open), ("done", 100, false));
}

#[test]
fn a_window_ends_by_time_and_by_signatures_and_people_renew_it() {
    let mut fleet = closed();
    let start = fleet.now;
    let activation = fleet.house.activation("hot", 600, 2, start.plus_seconds(1));
    fleet.now = start.plus_seconds(1);
    for position in 0..2 {
        execute(&mut fleet, position, &activation).unwrap();
        fleet.open(position).unwrap();
    }
    let pay = |fleet: &mut Cores, key: &str, salt| {
        let (instruction, wire) = fleet.house.withdrawal(key, 20_000, fleet.now);
        let psbt = fleet.house.psbt(&[fleet.house.coin(0, 100_000, salt)], &[&instruction], 1_000);
        fleet.sign([0, 1], &[wire], &psbt).map(|_| ())
    };
    pay(&mut fleet, "one", 1).unwrap();
    // Two inputs are two signatures; one is left.
    let (instruction, wire) = fleet.house.withdrawal("two", 20_000, fleet.now);
    let coins = [fleet.house.coin(0, 60_000, 2), fleet.house.coin(1, 60_000, 3)];
    let psbt = fleet.house.psbt(&coins, &[&instruction], 1_000);
    assert_eq!(fleet.prepare(0, &[wire], &psbt).map(|_| ()), Err("signatures-used-up".to_owned()));
    pay(&mut fleet, "three", 4).unwrap();
    assert_eq!(hot(&mut fleet, 0), ("inactive".to_owned(), false), "closed by itself with the last signature");
    assert_eq!(pay(&mut fleet, "four", 5), Err("key-inactive".to_owned()));
    assert_eq!(fleet.open(0), Err("not-authorised".to_owned()), "nobody may open what is used up");

    let renewal = fleet.house.activation("hot", 600, 100, start.plus_seconds(2));
    fleet.now = start.plus_seconds(2);
    for position in 0..2 {
        execute(&mut fleet, position, &renewal).unwrap();
        assert_eq!(execute(&mut fleet, position, &renewal), Err("executed".to_owned()));
        fleet.open(position).unwrap();
    }
    pay(&mut fleet, "five", 6).unwrap();
    fleet.now = start.plus_seconds(601);
    pay(&mut fleet, "six", 7).unwrap();
    fleet.now = start.plus_seconds(602);
    assert_eq!(pay(&mut fleet, "seven", 8), Err("key-inactive".to_owned()));
    let by = fleet.now;
    fleet.cores[1].as_mut().unwrap().tick(by).unwrap();
    for position in 0..2 {
        assert_eq!(hot(&mut fleet, position), ("inactive".to_owned(), false));
        assert_eq!(fleet.open(position), Err("not-authorised".to_owned()));
    }
}

#[test]
fn t04_one_person_alone_opens_no_key_whatever_that_person_holds() {
    let mut fleet = closed();
    fleet.now = fleet.now.plus_seconds(1);
    let mut activation = fleet.house.activation("hot", 600, 10, fleet.now);
    let all = activation.evidence.approvals.clone();
    for few in [&all[..0], &all[..1], &[all[0].clone(), all[0].clone()]] {
        activation.evidence.approvals = few.to_vec();
        assert_eq!(execute(&mut fleet, 0, &activation), Err("approvals-missing".to_owned()));
    }
    let beyond = fleet.house.activation("hot", 1_000_000_001, 10, fleet.now);
    assert_eq!(execute(&mut fleet, 0, &beyond), Err("activation-caps".to_owned()));
    // Whoever holds nothing, holds something else, or says to be somebody.
    let directory = fleet.directories[0].path().to_owned();
    let now = fleet.now;
    let core = fleet.cores[0].as_mut().unwrap();
    for (person, slot, key, refusal) in [
        ("olga", SLOT, kek(), "k3-holder"),
        (HOLDER, "other", kek(), "sealing"),
        (HOLDER, SLOT, Kek::from_bytes(&[8; 32]), "sealing"),
    ] {
        let (person, slot) = (person.parse().unwrap(), slot.parse().unwrap());
        let opener = Opener { person: &person, terminal: "tty1", slot: &slot, kek: &key };
        let refused = core.open_sealed(&directory, &opener, now).unwrap_err();
        assert_eq!(refused.code.as_str(), refusal);
        assert!(core.open_wallets().is_empty());
    }
}

#[test]
fn t08_who_administers_a_machine_does_not_hold_what_opens_its_keys() {
    let mut fleet = Cores::decided(|charter| charter.signers[1].custodians = vec!["carl".parse().unwrap()]);
    fleet.now = fleet.now.plus_seconds(1);
    let envelope = Vault::Accounts.read(fleet.directories[0].path()).unwrap();
    assert!(fleet.cores[1].as_ref().unwrap().check_holders(&envelope).is_ok());
    let mut both = Cores::closed(|charter| charter.signers[0].custodians = vec![HOLDER.parse().unwrap()]);
    assert_eq!(both.open(0), Err("k3-holder".to_owned()), "s1 opens for nobody while kim administers it");
    assert_eq!(both.open(1), Ok(()));
}

#[test]
fn t05_files_of_another_signer_or_another_time_open_nothing() {
    let mut fleet = closed();
    let [one, two] = [0, 1].map(|position: usize| fleet.directories[position].path().join(Vault::Accounts.file()));
    let own = std::fs::read(&one).unwrap();
    std::fs::copy(&two, &one).unwrap();
    assert_eq!(fleet.open(0), Err("sealing-key".to_owned()), "another signer's file");
    for position in [0, own.len() / 2, own.len() - 2] {
        let mut changed = own.clone();
        changed[position] ^= 1;
        std::fs::write(&one, &changed).unwrap();
        let refused = fleet.open(0).unwrap_err();
        assert!(["sealing", "sealing-key", "k3-holder"].contains(&refused.as_str()), "byte {position}: {refused}");
        assert_eq!(hot(&mut fleet, 0), ("inactive".to_owned(), false));
    }
    std::fs::write(&one, &own).unwrap();
    fleet.open(0).unwrap();
}

#[test]
fn a_restart_closes_keys_and_a_frozen_signer_gets_no_activation() {
    let mut fleet = Cores::start();
    assert_eq!(hot(&mut fleet, 0), ("in-use".to_owned(), true));
    fleet.restart(0, |_| {});
    let key = board(&mut fleet, 0).into_iter().find(|key| key.wallet == "hot").unwrap();
    assert_eq!((key.state.as_str(), key.open, key.cause.as_str()), ("inactive", false, "the process ended"));
    fleet.admit(0, &[0, 1, 2]).unwrap();
    assert_eq!(hot(&mut fleet, 0), ("in-use".to_owned(), true), "within the window its holders open it again");
    let freeze = RequestBody::Freeze { latch: "all".to_owned(), reason: "odd".to_owned() };
    code(fleet.ask(0, freeze)).unwrap();
    fleet.now = fleet.now.plus_seconds(1);
    let activation = fleet.house.activation("hot", 600, 10, fleet.now);
    assert_eq!(execute(&mut fleet, 0, &activation), Err("frozen".to_owned()));
}

#[test]
fn a_suspended_key_never_signs_again_and_stays_on_the_board() {
    let mut fleet = Cores::start();
    let moment = |seconds: i64| Moment::from_seconds(1_800_000_000 + seconds);
    for (position, refusal) in [(0, Ok(())), (1, Err("signer".to_owned()))] {
        fleet.now = moment(1);
        let wire = fleet.house.key_step(step(Step::SuspendKey, "s1"), moment(1));
        assert_eq!(execute(&mut fleet, position, &wire), refusal);
    }
    assert_eq!(hot(&mut fleet, 0), ("suspended".to_owned(), false));
    assert_eq!(try_prepare(&mut fleet, 0, "late", 1), Err("key-suspended".to_owned()));
    fleet.now = moment(2);
    let activation = fleet.house.activation("hot", 600, 10, fleet.now);
    assert_eq!(execute(&mut fleet, 0, &activation), Err("key-move".to_owned()));
    let again = fleet.house.key_step(step(Step::SuspendKey, "s1"), moment(3));
    fleet.now = moment(3);
    assert_eq!(execute(&mut fleet, 0, &again), Err("key-move".to_owned()));

    for (seconds, what, outcome) in [
        (4, Step::ResumeSeed, Err("key-move".to_owned())),
        (5, Step::SuspendSeed, Ok(())),
        (6, Step::SuspendSeed, Err("key-move".to_owned())),
        (7, Step::ResumeSeed, Ok(())),
        (8, Step::Backup, Err("local-step".to_owned())),
    ] {
        fleet.now = moment(seconds);
        let wire = fleet.house.key_step(step(what, EVERY_SIGNER), moment(seconds));
        assert_eq!(execute(&mut fleet, 0, &wire), outcome, "{what}");
    }
    let before: BTreeSet<_> = board(&mut fleet, 0).into_iter().map(|key| (key.kind, key.name)).collect();
    fleet.restart(0, |_| {});
    let after: BTreeSet<_> = board(&mut fleet, 0).into_iter().map(|key| (key.kind, key.name)).collect();
    assert_eq!(before, after, "a key's records never shrink");
}

#[test]
fn a_quorum_shortens_what_is_open_at_once_and_lengthens_it_only_with_the_holders() {
    let mut fleet = Cores::start();
    let start = fleet.now;
    fleet.now = start.plus_seconds(1);
    let shorter = fleet.house.activation("hot", 60, 5, fleet.now);
    execute(&mut fleet, 0, &shorter).unwrap();
    assert_eq!(hot(&mut fleet, 0), ("in-use".to_owned(), true));
    fleet.now = start.plus_seconds(30);
    let longer = fleet.house.activation("hot", 600, 5, fleet.now);
    fleet.open(0).unwrap();
    execute(&mut fleet, 0, &longer).unwrap();
    fleet.now = start.plus_seconds(61);
    assert_eq!(try_prepare(&mut fleet, 0, "late", 1), Err("key-inactive".to_owned()), "nobody opened it again");
    fleet.open(0).unwrap();
    assert_eq!(try_prepare(&mut fleet, 0, "later", 2), Ok(()));
}

#[test]
fn t02_activations_and_unfreezings_that_were_kept_back_buy_nothing() {
    let mut fleet = Cores::start();
    let start = fleet.now;
    // Kept back: an activation with a long window, approved before people decided on a short one.
    let kept = fleet.house.activation("hot", 90_000, 5_000, start.plus_seconds(1));
    fleet.now = start.plus_seconds(2);
    let short = fleet.house.activation("hot", 60, 1, fleet.now);
    execute(&mut fleet, 0, &short).unwrap();
    assert_eq!(execute(&mut fleet, 0, &kept), Err("activation-older".to_owned()));
    // A newer one without the holders: neither time nor signatures grow.
    fleet.now = start.plus_seconds(3);
    let generous = fleet.house.activation("hot", 90_000, 5_000, fleet.now);
    execute(&mut fleet, 0, &generous).unwrap();
    let key = board(&mut fleet, 0).into_iter().find(|key| key.wallet == "hot").unwrap();
    assert_eq!((key.open, key.signatures_left), (true, 1));
    fleet.now = start.plus_seconds(63);
    assert_eq!(try_prepare(&mut fleet, 0, "late", 1), Err("key-inactive".to_owned()));
    // Made in the future.
    let ahead = fleet.house.activation("hot", 60, 1, fleet.now.plus_seconds(301));
    assert_eq!(execute(&mut fleet, 0, &ahead), Err("created-in-future".to_owned()));

    // An unfreezing of a drill, kept back until everything is frozen in earnest.
    let freeze = |reason: &str| RequestBody::Freeze { latch: "all".to_owned(), reason: reason.to_owned() };
    code(fleet.ask(0, freeze("a drill"))).unwrap();
    let unfreeze = fleet.house.unfreeze("all", "all", fleet.now.plus_seconds(1));
    fleet.now = fleet.now.plus_seconds(1);
    execute(&mut fleet, 0, &unfreeze).unwrap();
    fleet.now = fleet.now.plus_seconds(5);
    code(fleet.ask(1, freeze("thieves"))).unwrap();
    assert_eq!(execute(&mut fleet, 1, &unfreeze), Err("latch-later".to_owned()));
    let again = fleet.house.unfreeze("all", "all", fleet.now);
    execute(&mut fleet, 1, &again).unwrap();
}

#[test]
fn t02_an_activation_speaks_of_one_key_under_the_bounds_in_force() {
    let mut fleet = Cores::start();
    let (digest, mut next) = (fleet.house.charter.digest(), fleet.house.charter.clone());
    (next.version, next.previous) = (2, Some(digest));
    next.activation = policy::ActivationCaps { seconds_max: 60, signatures_max: 3 };
    let accounts: Vec<_> = fleet.enrolments.iter().map(|one| one.accounts[1].clone()).collect();
    for other_keys in [false, true] {
        if other_keys {
            next.previous = Some(fleet.house.charter.digest());
            next.version = 3;
            next.wallets[0].descriptor = format!("wsh(sortedmulti(2,{}))", accounts.join(","));
        }
        let digest = next.digest();
        let sign = |name: &str| {
            let one = fleet.house.ssh(name, name, "claviger-charter", &digest);
            signer_wire::Approval { operator: name.to_owned(), signature: one.signature }
        };
        let approvals = vec![sign("olga"), sign("omar")];
        let charter = String::from_utf8(next.to_bytes()).unwrap();
        code(fleet.ask(0, RequestBody::Adopt { charter, approvals })).unwrap();
        fleet.house.charter = next.clone();
        let key = board(&mut fleet, 0).into_iter().find(|key| key.wallet == "hot").unwrap();
        if other_keys {
            assert_eq!((key.name.as_str(), key.open, key.until.as_str()), ("1", false, ""));
            assert_eq!(fleet.open(0), Err("not-authorised".to_owned()), "it was about another key");
        } else {
            assert_eq!(
                (key.name.as_str(), key.signatures_left),
                ("0", 3),
                "the new charter bounds what was allowed before"
            );
        }
    }
}

#[test]
fn t05_a_clock_that_leaves_the_time_that_passed_closes_every_key() {
    let mut fleet = Cores::start();
    let now = fleet.now;
    let core = fleet.cores[0].as_mut().unwrap();
    core.clock_drifted(-400, now).unwrap();
    core.clock_drifted(-400, now).unwrap();
    assert!(core.open_wallets().is_empty());
    assert_eq!(hot(&mut fleet, 0), ("inactive".to_owned(), false));
    assert_eq!(try_prepare(&mut fleet, 0, "k", 1), Err("frozen".to_owned()));
}

#[test]
fn t05_strangers_do_not_keep_a_signer_from_being_frozen() {
    let fleet = Fleet::start();
    let address = fleet.processes[0].address;
    let idle: Vec<_> = (0..40).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
    let freeze = RequestBody::Freeze { latch: "all".to_owned(), reason: "thieves".to_owned() };
    assert!(matches!(fleet.client(0).call(freeze), Ok(ReplyBody::Done)));
    drop(idle);
}

/// A signer's secrets, as its holders and a thief of everything would see them together.
fn secrets(fleet: &Fleet, position: usize) -> Vec<Vec<u8>> {
    let directory = fleet.directories[position].path();
    let shares = fleet.secrets.path().join(format!("s{}", position + 1));
    let key = |vault: Vault| -> (sealing::Envelope, Kek, DataKey) {
        let envelope = vault.read(directory).unwrap();
        let slot = envelope.slot(&"desk".parse().unwrap()).unwrap();
        let sealing::SlotKind::Shares { set, .. } = slot.kind() else { panic!("another kind") };
        let read = |holder: &str| {
            let words = std::fs::read_to_string(shares.join(format!("{holder}.desk.{set}.share"))).unwrap();
            words.trim().parse::<shares::Share>().unwrap()
        };
        let bytes = shares::combine(&[read("kim"), read("kit")], b"").unwrap();
        let kek = Kek::from_bytes(bytes.as_slice().try_into().unwrap());
        let context = vault.context(&format!("s{}", position + 1).parse().unwrap(), Network::Regtest).unwrap();
        let data = envelope.open_slot(&context, &"desk".parse().unwrap(), &kek).unwrap();
        (envelope, kek, data)
    };
    let (seed_file, seed_kek, seed_key) = key(Vault::Seed);
    let (accounts_file, accounts_kek, accounts_key) = key(Vault::Accounts);
    let seed = open_seed(&seed_file, &seed_key, Network::Regtest).unwrap();
    let private = |account| open_account(&accounts_file, &accounts_key, account).unwrap().expose()[..32].to_vec();
    vec![
        private(Some(0)),
        private(None),
        private(Some(1)),
        seed.expose().to_vec(),
        seed_kek.expose().to_vec(),
        accounts_kek.expose().to_vec(),
    ]
}

#[test]
fn t05_an_inactive_signer_has_no_key_in_memory_files_or_a_backup_of_its_disk() {
    let fleet = Fleet::start();
    let secrets = secrets(&fleet, 0);
    let needles: Vec<&[u8]> = secrets.iter().map(Vec::as_slice).collect();
    let pid = fleet.processes[0].id();
    let (instruction, wire) = fleet.house.withdrawal("k", 50_000, now());
    let psbt = fleet.house.psbt(&[fleet.house.coin(0, 200_000, 1)], &[&instruction], 1_000);
    sign(&mut fleet.clients(), 2, &[wire], &hex_of(&psbt)).unwrap();
    let open = memory_contains(pid, &needles).unwrap();
    let found: BTreeSet<usize> = open.iter().map(|finding| finding.needle).collect();
    assert_eq!(
        found,
        BTreeSet::from([0, 1]),
        "open are the hot wallet's key and that of canaries, and nothing else: {open:?}"
    );

    let data = fleet.directories[0].path().to_str().unwrap();
    let output = run(&["close", "--data", data, "--person", "kim", "--reason", "the day is over"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "closed: hot\n");
    let closed = memory_contains(pid, &needles).unwrap();
    assert!(closed.is_empty(), "{closed:?}");

    // A backup of the disk is a copy of the directory.
    assert!(files_contain(fleet.directories[0].path(), &needles).unwrap().is_empty());
    // Made to crash, it leaves nothing there either.
    assert!(Command::new("kill").args(["-ABRT", &pid.to_string()]).status().unwrap().success());
    assert!(files_contain(fleet.directories[0].path(), &needles).unwrap().is_empty());
    let control = fleet.secrets.path();
    std::fs::write(control.join("control"), needles[0]).unwrap();
    assert_eq!(files_contain(control, &needles).unwrap().len(), 1, "the search finds what is there");
}

#[test]
fn t05_a_running_signer_can_be_made_to_connect_nowhere() {
    let fleet = Fleet::start();
    let status = std::fs::read_to_string(format!("/proc/{}/status", fleet.processes[0].id())).unwrap();
    for line in ["Seccomp:\t2", "NoNewPrivs:\t1"] {
        assert!(status.contains(line), "{line} is missing in {status}");
    }
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", fleet.processes[0].id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
}
