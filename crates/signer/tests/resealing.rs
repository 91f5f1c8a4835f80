//! Re-keying and further accounts, stopped at every step; stolen disks, old copies, full disks.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "in a test, failing here is the test failing"
)]

mod common;

use std::path::Path;
use std::process::Command;

use common::cores::Cores;
use common::desk::{Fault, allowed, approved, assert_clean, code, files, hold, kim, seed, step, unsealed};
use common::processes::{Fleet, run};
use sealing::{Kek, NewSlot};
use signer::ceremony::medium::{Movement, record};
use signer::ceremony::{account, reseal};
use signer::core::Core;
use signer::enrol;
use signer::refusal::Refused;
use signer::server::now;
use signer::vault::{Opener, Vault};
use signer_wire::{Instruction as WireInstruction, RequestBody};
use types::{KeyKind, KeyState, OperatorId, Step};

fn new_kek() -> Kek {
    Kek::from_bytes(&[8; 32])
}

/// From now on lena and luis hold it.
fn new_slots(_: Vault) -> Result<Vec<NewSlot>, Refused> {
    let holders = ["lena", "luis"].map(|name| name.parse().unwrap()).into();
    Ok(vec![NewSlot::shares("vault".parse().unwrap(), holders, "2".to_owned(), 2, new_kek()).unwrap()])
}

/// Tries to open a sealed file of a signer.
fn unseal(fleet: &Cores, vault: Vault, person: &str, slot: &str, kek: &Kek) -> Result<(), String> {
    let envelope = vault.read(fleet.directories[0].path()).unwrap();
    let (person, slot): (OperatorId, _) = (person.parse().unwrap(), slot.parse().unwrap());
    let opener = Opener { person: &person, terminal: "tty1", slot: &slot, kek };
    let opened = fleet.cores[0].as_ref().unwrap().unseal(vault, &envelope, &opener);
    opened.map(|_| ()).map_err(|refused| refused.code.to_string())
}

fn sealing_keys(fleet: &Cores) -> (usize, usize) {
    let core = fleet.cores[0].as_ref().unwrap();
    let states: Vec<_> = core.keys_of(KeyKind::Sealing).map(|name| core.key_state(name)).collect();
    let count = |state| states.iter().filter(|one| **one == Some(state)).count();
    (count(KeyState::InUse), count(KeyState::Suspended))
}

fn attempt(fleet: &mut Cores, instruction: &WireInstruction, fault: &mut Fault) -> Result<String, Refused> {
    hold(fleet, 0, instruction, fault, |bench| reseal::hold(bench, &mut kim, &mut new_slots)).map(|done| done.detail)
}

#[test]
fn an_instruction_that_sealed_before_says_so_only_while_the_files_are_as_it_left_them() {
    let mut fleet = Cores::start();
    let again = |fleet: &mut Cores, instruction: &WireInstruction, (person, slot, kek): (&str, &str, fn() -> Kek)| {
        let mut unlock = |_: Vault, _: &sealing::Envelope| Ok((person.parse().unwrap(), slot.parse().unwrap(), kek()));
        hold(fleet, 0, instruction, &mut Fault::after(None), |bench| reseal::hold(bench, &mut unlock, &mut new_slots))
    };
    let (before, after) = ((common::HOLDER, common::SLOT, common::kek as fn() -> Kek), ("lena", "vault", new_kek as _));
    let first = approved(&mut fleet, Step::Reseal, "s1");
    let made = again(&mut fleet, &first, before).unwrap();
    assert_eq!(made.again, None);
    let said = again(&mut fleet, &first, after).unwrap();
    assert_eq!(said.detail, made.detail);
    assert!(said.again.is_some(), "nothing was sealed now, and it says so");
    let second = approved(&mut fleet, Step::Reseal, "s1");
    again(&mut fleet, &second, after).unwrap();
    let refused = again(&mut fleet, &first, after).unwrap_err();
    assert_eq!(refused.code.as_str(), "held-before", "{refused}");
}

#[test]
fn a_rekeying_stopped_after_any_step_leaves_one_sealing_in_use_and_is_finished_by_the_same_command() {
    let mut steps = Vec::new();
    for at in 0.. {
        let mut fleet = Cores::start();
        let secret = seed(&fleet, 0);
        let before = enrol::load(fleet.directories[0].path()).unwrap().2;
        let instruction = approved(&mut fleet, Step::Reseal, "s1");
        let mut fault = Fault::after(Some(at));
        let outcome = attempt(&mut fleet, &instruction, &mut fault);
        let whole = outcome.is_ok();
        let recorded = fault.seen.contains(&"recorded");
        fleet.restart(0, |_| ());
        let names: Vec<_> = files(fleet.directories[0].path());
        assert!(names.iter().all(|path| !path.to_str().unwrap().contains("next")), "{names:?}");
        // One of both opens it, and the journal says which.
        let old = unseal(&fleet, Vault::Seed, "kim", "desk", &common::kek());
        let new = unseal(&fleet, Vault::Seed, "lena", "vault", &new_kek());
        assert_eq!((old.is_ok(), new.is_ok()), (!recorded, recorded), "after {:?}", fault.seen.last());
        assert_eq!(sealing_keys(&fleet), if recorded { (2, 2) } else { (2, 0) });
        attempt(&mut fleet, &instruction, &mut Fault::after(None)).unwrap();
        for vault in [Vault::Seed, Vault::Accounts] {
            assert_eq!(unseal(&fleet, vault, "lena", "vault", &new_kek()), Ok(()));
            assert!(unseal(&fleet, vault, "kim", "desk", &common::kek()).is_err());
            assert_eq!(unseal(&fleet, vault, "lena", "vault", &common::kek()), Err("sealing".to_owned()));
        }
        assert_eq!(sealing_keys(&fleet), (2, 2));
        assert_clean(fleet.directories[0].path(), &secret, &[]);
        assert_eq!(enrol::load(fleet.directories[0].path()).unwrap().2, before, "no address changes");
        // And it works: the new holders open the key that the quorum's activation still allows.
        let (person, slot, kek) = ("luis".parse().unwrap(), "vault".parse().unwrap(), new_kek());
        let opener = Opener { person: &person, terminal: "tty1", slot: &slot, kek: &kek };
        let (directory, now) = (fleet.directories[0].path().to_owned(), fleet.now);
        let opened = fleet.cores[0].as_mut().unwrap().open_sealed(&directory, &opener, now).unwrap();
        assert_eq!(opened.len(), 1);
        if whole {
            steps = fault.seen;
            break;
        }
    }
    assert_eq!(steps, ["staged", "staged", "recorded", "named", "named"]);
}

#[test]
fn t05_an_old_copy_of_sealed_files_is_known_by_its_sealing_key() {
    let mut fleet = Cores::start();
    let directory = fleet.directories[0].path().to_owned();
    let old = [Vault::Seed, Vault::Accounts].map(|vault| std::fs::read(directory.join(vault.file())).unwrap());
    let whole = std::fs::read(directory.join(enrol::files::JOURNAL)).unwrap();
    let instruction = approved(&mut fleet, Step::Reseal, "s1");
    attempt(&mut fleet, &instruction, &mut Fault::after(None)).unwrap();
    let new = [Vault::Seed, Vault::Accounts].map(|vault| std::fs::read(directory.join(vault.file())).unwrap());
    for (vault, bytes) in [Vault::Seed, Vault::Accounts].into_iter().zip(&old) {
        std::fs::write(directory.join(vault.file()), bytes).unwrap();
        assert_eq!(unseal(&fleet, vault, "kim", "desk", &common::kek()), Err("sealing-key".to_owned()));
    }
    // Old files as if a re-keying had staged them: the journal knows better.
    for ((vault, old), new) in [Vault::Seed, Vault::Accounts].into_iter().zip(&old).zip(&new) {
        std::fs::write(directory.join(vault.file()), new).unwrap();
        std::fs::write(vault.staged(&directory), old).unwrap();
    }
    fleet.restart(0, |_| ());
    assert_eq!(unseal(&fleet, Vault::Seed, "lena", "vault", &new_kek()), Ok(()));
    // The whole disk put back, journal and all: it opens, and the peers close it.
    assert_eq!(fleet.admit(0, &[1, 2]).unwrap_err(), "sealing", "admitted, and kim opens nothing any more");
    let ours = fleet.ask(0, RequestBody::Hello);
    let signer_wire::ReplyBody::Hello { head, .. } = ours else { panic!("no hello") };
    fleet.witness(1, &head).unwrap();
    for (vault, bytes) in [Vault::Seed, Vault::Accounts].into_iter().zip(&old) {
        std::fs::write(directory.join(vault.file()), bytes).unwrap();
    }
    fleet.restart(0, |journal| std::fs::write(journal, &whole).unwrap());
    let _ = fleet.admit(0, &[1, 2]);
    let latches = fleet.cores[0].as_ref().unwrap().latches();
    assert!(latches.contains(&types::Latch::JournalBehind), "{latches:?}");
}

#[test]
fn a_custodian_never_comes_to_hold_what_opens_the_keys() {
    let mut fleet = Cores::decided(|charter| charter.signers[0].custodians = vec!["luis".parse().unwrap()]);
    let instruction = approved(&mut fleet, Step::Reseal, "s1");
    let refused = attempt(&mut fleet, &instruction, &mut Fault::after(None)).unwrap_err();
    assert_eq!(refused.code.as_str(), "k3-holder");
    assert!(refused.reason.contains("luis"), "{refused}");
    assert_eq!(unseal(&fleet, Vault::Seed, "kim", "desk", &common::kek()), Ok(()));
    // Without the quorum, or by somebody who holds nothing, neither.
    let mut alone = instruction.clone();
    alone.evidence.approvals.truncate(1);
    assert_eq!(code(attempt(&mut fleet, &alone, &mut Fault::after(None))), "approvals-missing");
    let mut mallory =
        |_: Vault, _: &sealing::Envelope| Ok(("mallory".parse().unwrap(), "desk".parse().unwrap(), common::kek()));
    let outcome = hold(&mut fleet, 0, &instruction, &mut Fault::after(None), |bench| {
        reseal::hold(bench, &mut mallory, &mut new_slots)
    });
    assert_eq!(code(outcome), "k3-holder");
    let mut wrong = |_: Vault, _: &sealing::Envelope| Ok(("kim".parse().unwrap(), "desk".parse().unwrap(), new_kek()));
    let outcome = hold(&mut fleet, 0, &instruction, &mut Fault::after(None), |bench| {
        reseal::hold(bench, &mut wrong, &mut new_slots)
    });
    assert_eq!(code(outcome), "sealing");
    assert_eq!(sealing_keys(&fleet), (2, 0));
}

#[test]
fn an_account_that_was_stopped_after_any_step_is_derived_once() {
    let mut fleet = Cores::start();
    let secret = seed(&fleet, 0);
    let secp = bitcoin::secp256k1::Secp256k1::new();
    for at in 0.. {
        let count = fleet.cores[0].as_ref().unwrap().keys_of(KeyKind::Signature).count();
        let instruction = approved(&mut fleet, Step::DeriveAccount, "s1");
        let mut fault = Fault::after(Some(at));
        let derive = |fleet: &mut Cores, fault: &mut Fault| {
            hold(fleet, 0, &instruction, fault, |bench| account::derive(bench, &mut kim))
        };
        let whole = derive(&mut fleet, &mut fault).is_ok();
        fleet.restart(0, |_| ());
        let (enrolment, done) = derive(&mut fleet, &mut Fault::after(None)).unwrap();
        assert_eq!(done.again.is_some(), fault.seen.contains(&"recorded"));
        let detail = done.detail;
        fleet.restart(0, |_| ());
        let account = u32::try_from(count).unwrap();
        assert!(detail.starts_with(&format!("account {account}: ")), "{detail}");
        assert_eq!(enrolment.accounts.len(), count + 1);
        assert_eq!(enrolment.accounts[count], secret.account(account, &secp).unwrap().1);
        let core = fleet.cores[0].as_ref().unwrap();
        assert_eq!(core.keys_of(KeyKind::Signature).count(), count + 1);
        assert_eq!(core.key_state(&signer::life::KeyName::signature(account)), Some(KeyState::Inactive));
        assert_eq!(unsealed(core, fleet.directories[0].path()).expose(), secret.expose());
        assert_clean(fleet.directories[0].path(), &secret, &[]);
        if whole {
            assert_eq!(fault.seen, ["sealed", "enrolled", "recorded"]);
            break;
        }
    }
    // An account that the enrolment does not have is not said to be derived.
    let instruction = approved(&mut fleet, Step::DeriveAccount, "s1");
    let mut derive =
        || hold(&mut fleet, 0, &instruction, &mut Fault::after(None), |bench| account::derive(bench, &mut kim));
    let (mut enrolment, _) = derive().unwrap();
    enrolment.accounts.pop();
    let place = fleet.directories[0].path().join(signer::enrol::files::ENROLMENT);
    std::fs::write(place, serde_json::to_vec_pretty(&enrolment).unwrap()).unwrap();
    let outcome = hold(&mut fleet, 0, &instruction, &mut Fault::after(None), |bench| account::derive(bench, &mut kim));
    assert_eq!(code(outcome), "held-before");
    let suspend = fleet.house.key_step(step(Step::SuspendSeed, "s1"), fleet.now.plus_seconds(1));
    common::cores::code(fleet.ask(0, RequestBody::Execute { instruction: suspend })).unwrap();
    let instruction = approved(&mut fleet, Step::DeriveAccount, "s1");
    let outcome = hold(&mut fleet, 0, &instruction, &mut Fault::after(None), |bench| account::derive(bench, &mut kim));
    assert_eq!(code(outcome), "seed", "nothing is derived from a seed out of use");
}

fn copy(from: &Path, to: &Path) {
    for path in files(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(&path, target).unwrap();
    }
}

#[test]
fn t05_a_stolen_disk_opens_nothing() {
    let fleet = Cores::start();
    let secret = seed(&fleet, 0);
    let stolen = tempfile::tempdir().unwrap();
    copy(fleet.directories[0].path(), stolen.path());
    assert_clean(stolen.path(), &secret, &[]);
    // The thief has the journal, in which the quorum's activation still lasts, and starts it: what is missing is a slot's key.
    let (id, keys, _) = enrol::load(stolen.path()).unwrap();
    let mut core = Core::open(id, keys, &stolen.path().join(enrol::files::JOURNAL)).unwrap();
    assert_eq!(core.openable(fleet.now).len(), 1);
    for (person, kek) in [("kim", Kek::from_bytes(&[0; 32])), ("kim", new_kek()), ("mallory", common::kek())] {
        let (person, slot) = (person.parse().unwrap(), "desk".parse().unwrap());
        let opener = Opener { person: &person, terminal: "tty1", slot: &slot, kek: &kek };
        assert!(core.open_sealed(stolen.path(), &opener, fleet.now).is_err());
        for vault in [Vault::Seed, Vault::Accounts] {
            assert!(core.unseal(vault, &vault.read(stolen.path()).unwrap(), &opener).is_err());
        }
    }
    assert!(core.open_wallets().is_empty());
    let refused = core.handle(&RequestBody::Canary { challenge: "mine".to_owned() }, fleet.now);
    assert!(matches!(refused, signer_wire::ReplyBody::Refused(_)), "{refused:?}");
}

#[test]
fn too_few_shares_a_running_signer_and_a_full_disk_are_named_and_nothing_is_half_done() {
    let mut fleet = Fleet::start();
    let media = tempfile::tempdir().unwrap();
    let data = fleet.directories[0].path().to_str().unwrap().to_owned();
    let wire = fleet.house.key_step(step(Step::Backup, "s1"), now());
    let file = |name: &str, text: &str| {
        let path = media.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let instruction = file("instruction", &wire.canonical);
    let approvals: Vec<String> = wire
        .evidence
        .approvals
        .iter()
        .map(|one| format!("{}={}", one.operator, file(&one.operator, &one.signature)))
        .collect();
    let shares: Vec<String> =
        fleet.shares_of(0, Vault::Seed).iter().map(|path| path.to_str().unwrap().to_owned()).collect();
    let keepers = ["hana", "hugo"].map(|name| format!("{name}={}", media.path().join(name).display()));
    let mut arguments = vec!["backup", "--data", &data, "--person", "kim", "--threshold", "2", "--instruction"];
    arguments.extend([instruction.as_str(), "--approval", &approvals[0], "--approval", &approvals[1]]);
    arguments.extend(["--holder", &keepers[0], "--holder", &keepers[1]]);
    let with = |further: &[&str]| -> Vec<String> {
        [arguments.as_slice(), further].concat().into_iter().map(str::to_owned).collect()
    };
    let run = |arguments: &[String]| run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let text = |output: std::process::Output| {
        assert!(!output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let both = ["--share", &shares[0], "--share", &shares[1]];
    let running = text(run(&with(&both)));
    assert!(running.contains("another process holds the journal"), "{running}");
    fleet.processes[0].kill();
    let few = text(run(&with(&both[..2])));
    assert!(few.contains("too few shares"), "{few}");
    let others: Vec<String> =
        fleet.shares_of(1, Vault::Seed).iter().map(|path| path.to_str().unwrap().to_owned()).collect();
    let wrong = text(run(&with(&["--share", &others[0], "--share", &others[1]])));
    assert!(wrong.contains("none of these shares is of the set"), "{wrong}");
    // Ten bytes fit into the journal, so that the record stops half way.
    let length = fleet.journal_bytes(0);
    let output = Command::new("sh")
        .args(["-c", r#"trap '' XFSZ; limit="$1"; shift; exec prlimit "--fsize=$limit" "$0" "$@""#])
        .arg(env!("CARGO_BIN_EXE_claviger-signer"))
        .arg((length + 10).to_string())
        .args(with(&both))
        .output()
        .unwrap();
    let full = text(output);
    assert!(full.contains("journal-unwritable"), "{full}");
    assert_eq!(fleet.journal_bytes(0), length, "the half record is taken back");
    assert!(!media.path().join("hana").exists(), "no share has a name that no record speaks of");
    let output = run(&with(&both));
    assert!(output.status.success(), "{output:?}");
    assert!(media.path().join("hana").exists() && media.path().join("hugo").exists());
    assert!(files(media.path()).iter().all(|path| !path.to_str().unwrap().contains("unfinished")));
    let again = run(&with(&both));
    let (first, again) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(again.stdout).unwrap());
    let record = first.trim().strip_prefix("backed up: ").unwrap();
    // The same record, and that nothing was made now: the files were looked at.
    assert!(
        again.contains(record) && again.starts_with("no share was made now") && again.contains("2 shares were read")
    );
    // Movements of media are written down with two names, and the board tells them.
    let medium = ["medium", "record", "--data", &data, "--medium", "set-1-hana", "--from", "desk", "--to", "safe 7"];
    let medium = [medium.as_slice(), &["--seal", "0042", "--person", "hana", "--second"]].concat();
    assert!(text(common::processes::run(&[medium.as_slice(), &["hana"]].concat())).contains("second-person"));
    assert!(common::processes::run(&[medium.as_slice(), &["olga"]].concat()).status.success());
    fleet.processes[0] = common::processes::Process::start(fleet.directories[0].path(), &[]);
    let moved = medium.iter().map(|word| word.replace("set-1-hana", "set-1-hugo")).collect::<Vec<_>>();
    assert!(
        text(run(&[moved.as_slice(), &["hana".to_owned()]].concat())).contains("second-person"),
        "also while it runs"
    );
    assert!(run(&[moved.as_slice(), &["omar".to_owned()]].concat()).status.success());
    let board = String::from_utf8(common::processes::run(&["board", "--data", &data]).stdout).unwrap();
    let line = board.lines().find(|line| line.contains("set-1-hana")).unwrap();
    for word in ["set-1-hana", "from desk to safe 7", "seal 0042", "olga", "hana"] {
        assert!(line.contains(word), "{line}");
    }
    assert!(board.lines().any(|line| line.contains("set-1-hugo") && line.contains("omar")), "{board}");
}

#[test]
fn by_the_programs_keys_are_sealed_anew_derived_backed_up_and_tried_and_a_wrong_passphrase_is_named() {
    let mut fleet = Fleet::start();
    fleet.processes[0].kill();
    let work = tempfile::tempdir().unwrap();
    let data = fleet.directories[0].path().to_str().unwrap().to_owned();
    let file = |name: &str, text: &str| {
        let path = work.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let right = file("right", "seven quiet otters borrow the lamp\n");
    let wrong = file("wrong", "seven quiet otters borrow the lamb\n");
    let program = |name: &str, one: Step, further: &[&str]| {
        let wire = fleet.house.key_step(step(one, "s1"), now());
        let allowed = allowed(work.path(), name, &wire);
        let own = [&[name, "--data", &data, "--person", "kim"], further].concat();
        run(&[own, allowed.iter().map(String::as_str).collect()].concat())
    };
    let good = |output: std::process::Output| {
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let named = |output: std::process::Output, name: &str| {
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && text.contains(name), "{text}");
    };
    // The shares of both files together: each takes those of its own set.
    let shares = [fleet.shares_of(0, Vault::Seed), fleet.shares_of(0, Vault::Accounts)].concat();
    let shares: Vec<&str> = shares.iter().flat_map(|path| ["--share", path.to_str().unwrap()]).collect();
    let seal = format!("night=passphrase:kim:{right}");
    let said = good(program("reseal", Step::Reseal, &[shares.as_slice(), &["--seal", &seal]].concat()));
    assert!(said.contains("seed under") && said.contains("accounts under") && said.contains("for kim"), "{said}");
    named(program("derive-account", Step::DeriveAccount, &shares), "passphrase");
    named(program("derive-account", Step::DeriveAccount, &["--passphrase-file", &wrong]), "passphrase or key is wrong");
    let derived = good(program("derive-account", Step::DeriveAccount, &["--passphrase-file", &right]));
    let enrolment: enrol::Enrolment = serde_json::from_str(&derived).unwrap();
    assert_eq!(enrolment.accounts.len(), 3);
    assert_eq!(enrolment.accounts[..2], fleet.enrolments[0].accounts[..]);
    let keepers = ["hana", "hugo", "hedy"].map(|name| format!("{name}={}", work.path().join(name).display()));
    let mut backup: Vec<&str> = vec!["--threshold", "2", "--place", "hana=safe 7", "--seal-number", "hana=0042"];
    backup.extend(keepers.iter().flat_map(|keeper| ["--holder", keeper]));
    named(program("backup", Step::Backup, &[&backup, ["--passphrase-file", &wrong].as_slice()].concat()), "is wrong");
    let said = good(program("backup", Step::Backup, &[&backup, ["--passphrase-file", &right].as_slice()].concat()));
    assert!(said.contains("hana (file, kept at safe 7, seal 0042)"), "{said}");
    let tried = work.path().join("hugo").display().to_string();
    named(program("rehearse", Step::Rehearse, &["--share", &tried]), "share-missing");
    let other = work.path().join("hedy").display().to_string();
    let said = good(program("rehearse", Step::Rehearse, &["--share", &tried, "--share", &other]));
    assert!(said.contains("the backup is good: set"), "{said}");
}

#[test]
fn movements_of_media_have_two_names_and_texts_of_one_line() {
    let mut fleet = Cores::start();
    let (one, two): (OperatorId, OperatorId) = ("hana".parse().unwrap(), "olga".parse().unwrap());
    let good = Movement { medium: "set-1", from: "desk", to: "safe", seal: "42", person: &one, second: &two };
    let now = fleet.now;
    let core = fleet.cores[0].as_mut().unwrap();
    record(core, &good, "tty1", now).unwrap();
    for bad in [
        Movement { second: &one, ..good },
        Movement { seal: "", ..good },
        Movement { to: "safe\nsafe", ..good },
        Movement { medium: &"x".repeat(65), ..good },
    ] {
        assert!(record(core, &bad, "tty1", now).is_err());
    }
}
