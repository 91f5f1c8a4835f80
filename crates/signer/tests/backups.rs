//! Backup and rehearsal: what is refused, and what a crash at every step leaves.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "in a test, failing here is the test failing"
)]

mod common;

use std::path::PathBuf;

use common::cores::Cores;
use common::desk::{
    Fault, approved, assert_clean, back_up, code, files, hold, holders, later, paths, seed, step, words,
};
use signer::ceremony::sheet::Sheets;
use signer::ceremony::{Done, rehearse};
use types::{KeyKind, KeyState, Network, Step};

const KEEPERS: [&str; 3] = ["hana", "hugo", "hedy"];

fn rehearse(fleet: &mut Cores, position: usize, files: &[PathBuf]) -> Result<String, signer::refusal::Refused> {
    let instruction = approved(fleet, Step::Rehearse, &format!("s{}", position + 1));
    rehearse_by(fleet, position, &instruction, files).map(|done| done.detail)
}

fn rehearse_by(
    fleet: &mut Cores,
    position: usize,
    instruction: &signer_wire::Instruction,
    files: &[PathBuf],
) -> Result<Done, signer::refusal::Refused> {
    let sheets = Sheets::read(files)?;
    hold(fleet, position, instruction, &mut Fault::after(None), |bench| rehearse::hold(bench, &sheets, None))
}

/// A backup of a signer, two of three; the files.
fn backed_up(fleet: &mut Cores, position: usize, directory: &std::path::Path) -> Vec<PathBuf> {
    let instruction = approved(fleet, Step::Backup, &format!("s{}", position + 1));
    let keepers = holders(&KEEPERS, directory);
    back_up(fleet, position, &instruction, (2, &keepers), &mut Fault::after(None)).unwrap();
    paths(&keepers)
}

#[test]
fn a_backup_stopped_after_any_step_is_finished_by_the_same_command_and_leaves_no_secret() {
    let mut fleet = Cores::start();
    let secret = seed(&fleet, 0);
    let mut steps = Vec::new();
    for at in 0.. {
        let media = tempfile::tempdir().unwrap();
        let keepers = holders(&KEEPERS, media.path());
        let instruction = approved(&mut fleet, Step::Backup, "s1");
        let mut fault = Fault::after(Some(at));
        let outcome = back_up(&mut fleet, 0, &instruction, (2, &keepers), &mut fault);
        if outcome.is_ok() {
            steps = fault.seen;
            break;
        }
        assert_eq!(code(outcome), "stopped");
        fleet.restart(0, |_| ());
        let detail = back_up(&mut fleet, 0, &instruction, (2, &keepers), &mut Fault::after(None))
            .unwrap_or_else(|error| panic!("after {:?}: {error}", fault.seen.last()));
        // The holders have what the journal speaks of, and nothing else lies about.
        assert_eq!(files(media.path()).len(), 3, "after {:?}", fault.seen.last());
        let all: Vec<_> = paths(&keepers).iter().map(|path| words(path)).collect();
        assert_clean(fleet.directories[0].path(), &secret, &all);
        let pair = &paths(&keepers)[at % 2..at % 2 + 2];
        let tried = rehearse(&mut fleet, 0, pair).unwrap();
        assert!(detail.starts_with(tried.split(": ").next().unwrap()), "{detail} and {tried}");
        assert!(!tried.contains("no record"), "{tried}");
    }
    let named = ["share-created", "share-out", "proven", "recorded", "share-named"];
    assert!(named.iter().all(|name| steps.contains(name)), "{steps:?}");
    // The board tells sets, holders, places and seals, and no word.
    let board = format!("{:?}", fleet.cores[0].as_ref().unwrap().board(fleet.now));
    assert!(board.contains("hugo (file, kept at the safe of hugo, seal 0042)"), "{board}");
    assert!(
        fleet.cores[0].as_ref().unwrap().key_state(&fleet.cores[0].as_ref().unwrap().seed_name().unwrap()).is_some()
    );
}

#[test]
fn shares_that_are_too_few_mixed_damaged_or_anothers_are_told_apart_by_name() {
    let mut fleet = Cores::start();
    let media = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let first = backed_up(&mut fleet, 0, media[0].path());
    let second = backed_up(&mut fleet, 0, media[1].path());
    let other = backed_up(&mut fleet, 1, media[2].path());
    assert!(rehearse(&mut fleet, 0, &first[1..]).is_ok());
    assert_eq!(code(rehearse(&mut fleet, 0, &first[..1])), "share-missing");
    assert_eq!(code(rehearse(&mut fleet, 0, &[])), "share-missing");
    assert_eq!(code(rehearse(&mut fleet, 0, &[first[0].clone(), first[0].clone()])), "share-missing");
    let mixed = rehearse(&mut fleet, 0, &[first[0].clone(), second[1].clone()]).unwrap_err();
    assert_eq!(mixed.code.as_str(), "share-mixed");
    assert!(mixed.reason.contains(second[1].to_str().unwrap()), "the file is named: {mixed}");
    assert_eq!(code(rehearse(&mut fleet, 0, &other[..2])), "seed-differs");
    // One letter, one word, one line: named with the word's place, and never the word.
    let text = words(&first[1]);
    let list: Vec<&str> = text.split(' ').collect();
    let wrong = media[0].path().join("wrong");
    let mut changed = list.clone();
    changed[9] = if list[9] == "academic" { "acid" } else { "academic" };
    std::fs::write(&wrong, changed.join(" ")).unwrap();
    let damaged = rehearse(&mut fleet, 0, &[first[0].clone(), wrong.clone()]).unwrap_err();
    assert_eq!(damaged.code.as_str(), "share-damaged");
    assert!(damaged.reason.contains("word 10"), "{damaged}");
    assert!(list.iter().all(|word| !damaged.reason.split([' ', '\n']).any(|one| one == *word && word.len() > 5)));
    changed[9] = "zzz";
    std::fs::write(&wrong, changed.join(" ")).unwrap();
    assert_eq!(code(rehearse(&mut fleet, 0, &[first[0].clone(), wrong.clone()])), "share-damaged");
    std::fs::write(&wrong, list[..20].join(" ")).unwrap();
    assert_eq!(code(rehearse(&mut fleet, 0, &[first[0].clone(), wrong.clone()])), "share-damaged");
    // Words typed from paper, in lines and capitals, are as good as the file.
    std::fs::write(&wrong, text.replace(' ', "\n").to_uppercase()).unwrap();
    assert!(rehearse(&mut fleet, 0, &[first[0].clone(), wrong]).is_ok());
    // What says that it is for another network is not taken for this one's.
    let foreign = media[0].path().join("foreign");
    let text = std::fs::read_to_string(&first[1]).unwrap().replace("network: regtest", "network: bitcoin");
    std::fs::write(&foreign, text).unwrap();
    assert_eq!(code(rehearse(&mut fleet, 0, std::slice::from_ref(&foreign))), "share-network");
    assert_eq!(code(rehearse(&mut fleet, 0, &[first[0].clone(), foreign])), "share-network");
}

#[test]
fn a_rehearsal_looks_at_the_shares_whatever_was_recorded_before() {
    let mut fleet = Cores::start();
    let media = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let first = backed_up(&mut fleet, 0, media[0].path());
    let second = backed_up(&mut fleet, 0, media[1].path());
    let other = backed_up(&mut fleet, 1, media[2].path());
    let instruction = approved(&mut fleet, Step::Rehearse, "s1");
    let done = rehearse_by(&mut fleet, 0, &instruction, &first[..2]).unwrap();
    assert_eq!(done.again, None);
    let held = fleet.cores[0].as_ref().unwrap().ceremonies().len();
    fleet.restart(0, |_| ());
    // The same instruction once more: what is no backup is none, whatever was recorded of others.
    let mut again = |files: &[PathBuf]| rehearse_by(&mut fleet, 0, &instruction, files);
    assert_eq!(code(again(&first[..1])), "share-missing");
    assert_eq!(code(again(&[])), "share-missing");
    assert_eq!(code(again(&other[..2])), "seed-differs");
    assert_eq!(code(again(&[first[0].clone(), second[1].clone()])), "share-mixed");
    // Good shares of another set: they are good, and no record says so.
    let refused = again(&second[..2]).unwrap_err();
    assert_eq!(refused.code.as_str(), "held-before");
    assert!(refused.reason.contains("gave seed"), "{refused}");
    // The shares of the record: looked at again, and said so.
    let once_more = again(&first[..2]).unwrap();
    assert_eq!(once_more.detail, done.detail);
    assert!(once_more.to_string().contains("looked at again just now"), "{once_more}");
    assert_eq!(fleet.cores[0].as_ref().unwrap().ceremonies().len(), held, "one instruction, one record");
}

#[test]
fn a_recorded_backup_is_looked_at_where_it_lies_and_another_is_not_taken_for_it() {
    let mut fleet = Cores::start();
    let media = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let keepers = holders(&KEEPERS, media[0].path());
    let instruction = approved(&mut fleet, Step::Backup, "s1");
    let back = |fleet: &mut Cores, plan: (u8, &[_])| back_up(fleet, 0, &instruction, plan, &mut Fault::after(None));
    let made = back(&mut fleet, (2, &keepers)).unwrap();
    assert_eq!(back(&mut fleet, (2, &keepers)).unwrap(), made);
    // Another backup under the same instruction would have made nothing, and must not say that it did.
    assert_eq!(code(back(&mut fleet, (3, &keepers))), "held-before");
    let others = holders(&["hana", "hedy"], media[1].path());
    assert_eq!(code(back(&mut fleet, (2, &others))), "held-before");
    assert!(files(media[1].path()).is_empty());
    let elsewhere = holders(&KEEPERS, media[1].path());
    assert_eq!(code(back(&mut fleet, (2, &elsewhere))), "backup-file", "no share lies there");
    // A share that was exchanged for another set's, or damaged, is found.
    let words = std::fs::read(&paths(&keepers)[1]).unwrap();
    let second = approved(&mut fleet, Step::Backup, "s1");
    back_up(&mut fleet, 0, &second, (2, &elsewhere), &mut Fault::after(None)).unwrap();
    std::fs::copy(&paths(&elsewhere)[1], &paths(&keepers)[1]).unwrap();
    assert_eq!(code(back(&mut fleet, (2, &keepers))), "backup-file");
    std::fs::write(&paths(&keepers)[1], &words[..words.len() / 2]).unwrap();
    assert_eq!(code(back(&mut fleet, (2, &keepers))), "share-damaged");
    std::fs::write(&paths(&keepers)[1], words).unwrap();
    assert_eq!(back(&mut fleet, (2, &keepers)).unwrap(), made);
}

#[test]
fn who_may_hold_a_backup_and_where_it_may_lie() {
    let mut fleet = Cores::decided(|charter| charter.signers[0].custodians = vec!["hugo".parse().unwrap()]);
    let media = tempfile::tempdir().unwrap();
    let instruction = approved(&mut fleet, Step::Backup, "s1");
    let mut refused = |threshold, names: &[&str], directory: &std::path::Path| {
        let keepers = holders(names, directory);
        code(back_up(&mut fleet, 0, &instruction, (threshold, &keepers), &mut Fault::after(None)))
    };
    assert_eq!(refused(2, &["hana", "hugo", "hedy"], media.path()), "backup-holder", "hugo administers the machine");
    assert_eq!(refused(2, &["hana", "hana"], media.path()), "backup-holder");
    assert_eq!(refused(1, &["hana", "hedy"], media.path()), "backup-plan");
    assert_eq!(refused(3, &["hana", "hedy"], media.path()), "backup-plan");
    let own = fleet.directories[0].path().to_owned();
    let keepers = holders(&["hana", "hedy"], &own);
    let outcome = back_up(&mut fleet, 0, &instruction, (2, &keepers), &mut Fault::after(None));
    assert_eq!(code(outcome), "backup-file", "never in the signer's own directory");
    // A file that is there is somebody's, perhaps another signer's share: it stays.
    let keepers = holders(&["hana", "hedy"], media.path());
    std::fs::write(&paths(&keepers)[1], "theirs").unwrap();
    let outcome = back_up(&mut fleet, 0, &instruction, (2, &keepers), &mut Fault::after(None));
    assert_eq!(code(outcome), "backup-file");
    assert_eq!(std::fs::read_to_string(&paths(&keepers)[1]).unwrap(), "theirs");
}

#[test]
fn a_recorded_backup_whose_last_step_is_missing_is_not_overwritten_by_another() {
    let mut fleet = Cores::start();
    let media = tempfile::tempdir().unwrap();
    let mut keepers = holders(&KEEPERS, media.path());
    // Words for one holder, a page for another: what a stopped try leaves of either is known by its name.
    keepers[1].to = signer::ceremony::backup::Destination::Page(media.path().join("hugo.pdf"));
    let first = approved(&mut fleet, Step::Backup, "s1");
    let mut fault = Fault::after(Some(6));
    assert_eq!(code(back_up(&mut fleet, 0, &first, (2, &keepers), &mut fault)), "stopped");
    assert_eq!(fault.seen.last(), Some(&"proven"));
    let unrecorded = files(media.path());
    fleet.restart(0, |_| ());
    let mut fault = Fault::after(Some(7));
    assert_eq!(code(back_up(&mut fleet, 0, &first, (2, &keepers), &mut fault)), "stopped");
    assert_eq!(fault.seen.last(), Some(&"recorded"));
    assert!(files(media.path()).iter().all(|path| !unrecorded.contains(path)), "of the first try nothing stays");
    fleet.restart(0, |_| ());
    let second = approved(&mut fleet, Step::Backup, "s1");
    assert_eq!(code(back_up(&mut fleet, 0, &second, (2, &keepers), &mut Fault::after(None))), "backup-file");
    back_up(&mut fleet, 0, &first, (2, &keepers), &mut Fault::after(None)).unwrap();
    let two = [paths(&keepers)[0].clone(), paths(&keepers)[2].clone()];
    assert!(!rehearse(&mut fleet, 0, &two).unwrap().contains("no record"));
    assert!(std::fs::read(&paths(&keepers)[1]).unwrap().starts_with(b"%PDF-"));
}

#[test]
fn t04_without_a_quorum_or_with_another_steps_nothing_is_backed_up_or_tried() {
    let mut fleet = Cores::start();
    let media = tempfile::tempdir().unwrap();
    let keepers = holders(&KEEPERS, media.path());
    let attempt = |fleet: &mut Cores, instruction: &signer_wire::Instruction| {
        let outcome = back_up(fleet, 0, instruction, (2, &keepers), &mut Fault::after(None));
        assert!(files(media.path()).is_empty());
        code(outcome)
    };
    let good = approved(&mut fleet, Step::Backup, "s1");
    let mut alone = good.clone();
    alone.evidence.approvals.truncate(1);
    assert_eq!(attempt(&mut fleet, &alone), "approvals-missing");
    let rehearsal = approved(&mut fleet, Step::Rehearse, "s1");
    assert_eq!(attempt(&mut fleet, &rehearsal), "step");
    let others = approved(&mut fleet, Step::Backup, "s2");
    assert_eq!(attempt(&mut fleet, &others), "signer");
    let mut edited = good.clone();
    edited.canonical = edited.canonical.replace("yearly", "weekly");
    assert_eq!(attempt(&mut fleet, &edited), "approvals-missing");
    let early = fleet.now;
    fleet.now = later(&fleet, 4_000);
    assert_eq!(attempt(&mut fleet, &good), "expired");
    fleet.now = early;
    // A suspended seed is not written down; its journal tells who suspended it.
    let suspend = fleet.house.key_step(step(Step::SuspendSeed, "s1"), later(&fleet, 1));
    common::cores::code(fleet.ask(0, signer_wire::RequestBody::Execute { instruction: suspend })).unwrap();
    assert_eq!(attempt(&mut fleet, &good), "seed");
    let core = fleet.cores[0].as_ref().unwrap();
    assert_eq!(core.key_state(&core.seed_name().unwrap()), Some(KeyState::Suspended));
    assert_eq!(core.keys_of(KeyKind::Seed).count(), 1);
    assert_eq!(core.network(), Network::Regtest);
}
