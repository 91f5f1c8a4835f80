//! Every signer is lost, and m holders of each bring everything back: on a real chain, with real processes, to the last coin.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "in a test, failing here is the test failing"
)]

mod common;

use std::path::{Path, PathBuf};
use std::time::Instant;

use bitcoin::OutPoint;
use chains::bitcoin::{Branch, Input, Payment, generate};
use common::cores::{Cores, finish};
use common::desk::{
    Fault, allowed, approved, assert_clean, back_up, code, files, holders, paths, seed, step, successor, unsealed,
};
use common::processes::{Fleet, Process, run};
use common::{House, hex_of};
use node::regtest::Bitcoind;
use sealing::NewSlot;
use signer::ceremony::restore::{Restoration, hold};
use signer::ceremony::sheet::Sheets;
use signer::core::Core;
use signer::enrol::{self, Enrolment};
use signer::refusal::Refused;
use signer::server::now;
use signer::vault::Vault;
use signer_client::{admit_all, sign};
use signer_wire::{Evidence, Instruction as WireInstruction, RequestBody};
use types::{SignerId, Step};

fn text(path: impl AsRef<Path>) -> String {
    path.as_ref().to_str().unwrap().to_owned()
}

/// Writes charters' signatures to files; the arguments that name them.
fn signatures(directory: &Path, flag: &str, name: &str, approvals: &[types::Approval]) -> Vec<String> {
    let argument = |approval: &types::Approval| {
        let path = directory.join(format!("{name}.{}.charter-sig", approval.operator));
        std::fs::write(&path, &approval.signature).unwrap();
        [flag.to_owned(), format!("{}={}", approval.operator, path.display())]
    };
    approvals.iter().flat_map(argument).collect()
}

fn command(arguments: &[&str], further: &[&[String]]) -> String {
    let mut all: Vec<&str> = arguments.to_vec();
    all.extend(further.iter().flat_map(|list| list.iter().map(String::as_str)));
    let output = run(&all);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn fund(node: &Bitcoind, house: &House, index: u32, sats: u64) -> Input {
    let derived = house.wallet("hot").derive(Branch::Receive, index).unwrap();
    let txid = node.pay(&derived.address, sats).unwrap();
    node.mine(1).unwrap();
    let previous = node.client().transaction(&txid).unwrap();
    let vout = previous.output.iter().position(|output| output.script_pubkey == derived.script_pubkey).unwrap();
    Input { previous, vout: u32::try_from(vout).unwrap(), branch: Branch::Receive, index }
}

/// Everything is lost but paper; the fleet that comes back, under other names.
fn bring_back(mut fleet: Fleet, media: &Path) -> Fleet {
    let work = tempfile::tempdir().unwrap();
    let genesis = text(work.path().join("charter-1.json"));
    std::fs::write(&genesis, fleet.house.charter.to_bytes()).unwrap();
    let before = signatures(work.path(), "--charter-approval", "1", &fleet.house.genesis);
    let directories: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let mut replaced: Vec<(SignerId, Enrolment)> = Vec::new();
    for (position, directory) in directories.iter().enumerate() {
        let (old, id) = (format!("s{}", position + 1), format!("r{}", position + 1));
        let wire = fleet.house.key_step(step(Step::Restore, &old), now());
        let share = |name: &str| text(media.join(format!("{name}-{old}")));
        let seal = format!("desk=shares:2:kim,kit:{}", text(fleet.secrets.path().join(&old)));
        // Another two of three for each.
        let two = [["hana", "hugo"], ["hugo", "hedy"], ["hana", "hedy"]][position].map(share);
        let output = command(
            &[
                "restore",
                "--data",
                &text(directory.path()),
                "--id",
                &id,
                "--person",
                "carl",
                "--seal",
                &seal,
                "--charter",
                &genesis,
                "--share",
                &two[0],
                "--share",
                &two[1],
            ],
            &[&allowed(work.path(), &old, &wire), &before],
        );
        replaced.push((old.parse().unwrap(), serde_json::from_str(&output).unwrap()));
    }
    let (next, approvals) = successor(&fleet.house, &replaced);
    let second = text(work.path().join("charter-2.json"));
    std::fs::write(&second, next.to_bytes()).unwrap();
    let certificate = text(work.path().join("client.pem"));
    std::fs::write(&certificate, &fleet.identity.certificate).unwrap();
    let all = [
        signatures(work.path(), "--approval", "1", &fleet.house.genesis),
        signatures(work.path(), "--approval", "2", &approvals),
    ];
    for directory in &directories {
        let data = text(directory.path());
        let adopt = ["adopt", "--data", &data, "--client-certificate", &certificate, "--charter"];
        // The first charter alone does not know this signer; the second alone is no beginning.
        for chain in [vec![genesis.as_str()], vec![second.as_str()], vec![second.as_str(), "--charter", &genesis]] {
            let mut arguments = [adopt.as_slice(), &chain].concat();
            arguments.extend(all.iter().flatten().map(String::as_str));
            assert!(!run(&arguments).status.success(), "{chain:?}");
        }
        let output = command(&[adopt.as_slice(), &[&genesis, "--charter", &second]].concat(), &[&all[0], &all[1]]);
        assert!(output.contains("version 2"), "{output}");
    }
    fleet.processes = directories.iter().map(|directory| Process::start(directory.path(), &[])).collect();
    fleet.directories = directories;
    fleet.enrolments = replaced.into_iter().map(|(_, enrolment)| enrolment).collect();
    fleet.house.charter = next;
    fleet
}

#[test]
fn every_signer_is_lost_and_the_holders_bring_every_coin_back() {
    let directory = tempfile::tempdir().unwrap();
    let node = Bitcoind::start(directory.path()).unwrap_or_else(|error| panic!("{error}"));
    let client = node.client();
    let mut fleet = Fleet::start();
    let coins = [fund(&node, &fleet.house, 0, 6_000_000), fund(&node, &fleet.house, 7, 4_000_000)];

    // Backups while the signers stand still; then everything burns.
    let media = tempfile::tempdir().unwrap();
    for position in 0..3 {
        fleet.processes[position].kill();
        let old = format!("s{}", position + 1);
        let wire = fleet.house.key_step(step(Step::Backup, &old), now());
        let mut arguments: Vec<String> = ["hana", "hugo", "hedy"]
            .iter()
            .flat_map(|name| {
                ["--holder".to_owned(), format!("{name}={}", text(media.path().join(format!("{name}-{old}"))))]
            })
            .collect();
        for share in fleet.shares_of(position, Vault::Seed) {
            arguments.extend(["--share".to_owned(), text(share)]);
        }
        let data = text(fleet.directories[position].path());
        let output = command(
            &["backup", "--data", &data, "--person", "kim", "--threshold", "2"],
            &[&arguments, &allowed(media.path(), &old, &wire)],
        );
        assert!(output.contains("2 of 3 restore seed"), "{output}");
    }
    for lost in &fleet.directories {
        std::fs::remove_dir_all(lost.path()).unwrap();
    }
    let start = Instant::now();
    let fleet = bring_back(fleet, media.path());
    let (admitted, errors) = admit_all(&mut fleet.clients());
    assert_eq!(admitted, 3, "{errors:?}");
    let activation = fleet.house.activation("hot", 3_600, 100, now());
    for (position, client) in fleet.clients().iter_mut().enumerate() {
        client.call(RequestBody::Execute { instruction: activation.clone() }).unwrap();
        let output = fleet.open(position);
        assert!(output.status.success(), "{output:?}");
    }
    println!("three signers restored, adopted, admitted and opened in {:?}", start.elapsed());

    // Everything that was received goes to the cold wallet, by each pair of signers once more.
    let fee = 1_000;
    let mut swept = 0;
    for (absent, coin) in coins.into_iter().enumerate() {
        let sats = coin.previous.output[coin.vout as usize].value.to_sat() - fee;
        let sweep = fleet.house.transfer(&format!("sweep-{absent}"), "olga", sats, now());
        let evidence = Evidence { customer_request: None, approvals: vec![fleet.house.approve("oona", &sweep)] };
        let wires = [common::wire(&sweep, evidence)];
        let script = fleet.house.wallet("cold").derive(Branch::Receive, 0).unwrap().script_pubkey;
        let payment = Payment { script: script.clone(), sats };
        let psbt = generate(&fleet.house.wallet("hot"), &[coin], &[payment], None, 1, 100).unwrap();
        let mut clients = fleet.clients();
        clients.remove(absent);
        let signed = sign(&mut clients, 2, &wires, &hex_of(&psbt)).unwrap();
        let signed: Vec<_> = signed.into_iter().flat_map(|signed| signed.signatures).collect();
        let transaction = finish(&fleet.house, &wires, &psbt, &signed);
        let txid = client.broadcast(&transaction).unwrap();
        node.mine(1).unwrap();
        let output = client.unspent(&OutPoint::new(txid, 0)).unwrap().unwrap();
        assert_eq!(output.script_pubkey, script);
        swept += output.value.to_sat();
    }
    assert_eq!(swept, 10_000_000 - 2 * fee, "every coin, but for the fees");
}

/// A fleet with a backup of its first signer; the files.
fn backed_up() -> (Cores, tempfile::TempDir, Vec<PathBuf>) {
    let mut fleet = Cores::start();
    let media = tempfile::tempdir().unwrap();
    let keepers = holders(&["hana", "hugo", "hedy"], media.path());
    let instruction = approved(&mut fleet, Step::Backup, "s1");
    back_up(&mut fleet, 0, &instruction, (2, &keepers), &mut Fault::after(None)).unwrap();
    (fleet, media, paths(&keepers))
}

fn slots(_: Vault) -> Result<Vec<NewSlot>, Refused> {
    let holders = ["kim", "kit"].map(|name| name.parse().unwrap()).into();
    Ok(vec![NewSlot::shares("desk".parse().unwrap(), holders, "1".to_owned(), 2, common::kek()).unwrap()])
}

/// Restores as r1 into `directory`, with what `change` makes of the question.
fn restore(
    fleet: &Cores,
    directory: &Path,
    (instruction, files): (&WireInstruction, &[PathBuf]),
    fault: &mut Fault,
    change: impl FnOnce(&mut Restoration<'_>),
) -> Result<Enrolment, Refused> {
    let sheets = Sheets::read(files)?;
    let (id, charters) = ("r1".parse().unwrap(), [fleet.house.charter.clone()]);
    let mut restoration = Restoration {
        directory,
        id: &id,
        accounts: 2,
        charters: &charters,
        chain_approvals: &fleet.house.genesis,
        instruction,
        sheets: &sheets,
        made_for: None,
        person: "carl",
        terminal: "tty1",
        now: fleet.now,
    };
    change(&mut restoration);
    hold(&restoration, &mut slots, &mut |step| fault.watch(step))
}

#[test]
fn a_restoring_stopped_after_any_step_is_finished_by_the_same_command() {
    let (mut fleet, media, shares) = backed_up();
    let secret = seed(&fleet, 0);
    let elsewhere = tempfile::tempdir().unwrap();
    let keepers = holders(&["hana", "hugo"], elsewhere.path());
    let backup = approved(&mut fleet, Step::Backup, "s2");
    back_up(&mut fleet, 1, &backup, (2, &keepers), &mut Fault::after(None)).unwrap();
    let other = paths(&keepers);
    let instruction = approved(&mut fleet, Step::Restore, "s1");
    let place = tempfile::tempdir().unwrap();
    for at in 0.. {
        let directory = place.path().join(format!("r{at}"));
        let mut fault = Fault::after(Some(at));
        let stopped = restore(&fleet, &directory, (&instruction, &shares[1..]), &mut fault, |_| ());
        let whole = stopped.is_ok();
        assert!(whole || fault.at.is_some_and(|at| at + 1 == fault.seen.len()));
        let enrolment =
            restore(&fleet, &directory, (&instruction, &shares[1..]), &mut Fault::after(None), |_| ()).unwrap();
        let (id, keys, again) = enrol::load(&directory).unwrap();
        assert_eq!((id.as_str(), &again), ("r1", &enrolment));
        assert_eq!(enrolment.accounts, enrol::load(fleet.directories[0].path()).unwrap().2.accounts);
        let core = Core::open(id, keys, &directory.join(enrol::files::JOURNAL)).unwrap();
        assert_eq!(unsealed(&core, &directory).expose(), secret.expose());
        drop(core);
        let words: Vec<_> = shares.iter().map(|path| common::desk::words(path)).collect();
        assert_clean(place.path(), &secret, &words);
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), at + 1, "nothing half made stays");
        if whole {
            // Once more with another signer's shares, with too few, or for another name: looked at, and not answered from memory.
            let others = |files: &[PathBuf], name: &str| {
                let id: SignerId = name.parse().unwrap();
                let id = Box::leak(Box::new(id));
                let rename = |one: &mut Restoration<'_>| one.id = id;
                code(restore(&fleet, &directory, (&instruction, files), &mut Fault::after(None), rename))
            };
            assert_eq!(others(&shares[1..2], "r1"), "share-missing");
            assert_eq!(others(&other, "r1"), "held-before");
            assert_eq!(others(&shares[1..], "r2"), "held-before");
            assert_eq!(fault.seen, ["directory", "sealed", "secrets", "journal", "written", "named"]);
            break;
        }
    }
    assert_eq!(files(media.path()).len(), 3);
}

#[test]
fn t05_a_seed_comes_back_only_as_its_quorum_charter_and_network_say() {
    let (mut fleet, media, shares) = backed_up();
    let place = tempfile::tempdir().unwrap();
    let good = approved(&mut fleet, Step::Restore, "s1");
    let directory = place.path().join("r1");
    let refused = |instruction: &WireInstruction, files: &[PathBuf], change: &dyn Fn(&mut Restoration<'_>)| {
        let outcome = restore(&fleet, &directory, (instruction, files), &mut Fault::after(None), change);
        assert!(!directory.exists());
        code(outcome)
    };
    let same = |_: &mut Restoration<'_>| ();
    let mut alone = good.clone();
    alone.evidence.approvals.truncate(1);
    assert_eq!(refused(&alone, &shares, &same), "approvals-missing");
    assert_eq!(refused(&good, &shares[..1], &same), "share-missing");
    assert_eq!(refused(&good, &shares, &|one| one.chain_approvals = &[]), "charter-quorum");
    assert_eq!(refused(&good, &shares, &|one| one.charters = &[]), "charter-missing");
    assert_eq!(refused(&good, &shares, &|one| one.now = one.now.plus_seconds(4_000)), "expired");
    // A peer that remembers the old journal would close the new signer for ever.
    let old: SignerId = "s1".parse().unwrap();
    let taken = |one: &mut Restoration<'_>| one.id = Box::leak(Box::new(old.clone()));
    assert_eq!(refused(&good, &shares, &taken), "restore-name");
    let unknown = fleet.house.key_step(step(Step::Restore, "s9"), fleet.now.plus_seconds(1));
    assert_eq!(refused(&unknown, &shares, &same), "restore-signer");
    let backup = fleet.house.key_step(step(Step::Backup, "s1"), fleet.now.plus_seconds(2));
    assert_eq!(refused(&backup, &shares, &same), "step");
    // A seed made for another network, by its file or by what a person reads from paper.
    let main = |one: &mut Restoration<'_>| one.made_for = Some(types::Network::Bitcoin);
    assert_eq!(refused(&good, &shares, &main), "share-network");
    let foreign: Vec<PathBuf> = shares
        .iter()
        .map(|path| {
            let to = path.with_extension("foreign");
            let text = std::fs::read_to_string(path).unwrap().replace("network: regtest", "network: bitcoin");
            std::fs::write(&to, text).unwrap();
            to
        })
        .collect();
    assert_eq!(refused(&good, &foreign, &same), "share-network");
    let bare: Vec<PathBuf> = shares
        .iter()
        .map(|path| {
            let to = path.with_extension("bare");
            std::fs::write(&to, common::desk::words(path)).unwrap();
            to
        })
        .collect();
    assert_eq!(refused(&good, &bare, &same), "share-network", "nothing says which");
    // A seed that no wallet of the charter knows.
    let stranger: Vec<PathBuf> = shares::split_one_group(&[9; 32], b"", 0, true, 2, 2, &mut |bytes: &mut [u8]| {
        bytes.fill(3);
        Ok(())
    })
    .unwrap()
    .iter()
    .enumerate()
    .map(|(number, share)| {
        let path = media.path().join(format!("stranger-{number}"));
        std::fs::write(&path, &*share.to_words()).unwrap();
        path
    })
    .collect();
    let here = |one: &mut Restoration<'_>| one.made_for = Some(types::Network::Regtest);
    assert_eq!(refused(&good, &stranger, &here), "seed-foreign");
    assert!(restore(&fleet, &directory, (&good, &bare), &mut Fault::after(None), here).is_ok());
}

#[test]
fn t08_a_restored_signer_takes_no_charter_beside_the_one_it_was_restored_under() {
    let (mut fleet, _media, shares) = backed_up();
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("r1");
    let instruction = approved(&mut fleet, Step::Restore, "s1");
    let enrolment = restore(&fleet, &directory, (&instruction, &shares), &mut Fault::after(None), |_| ()).unwrap();
    let replaced = [("s1".parse().unwrap(), enrolment)];
    let (next, mut approvals) = successor(&fleet.house, &replaced);
    approvals.extend(fleet.house.genesis.clone());
    let (id, keys, _) = enrol::load(&directory).unwrap();
    let mut core = Core::open(id, keys, &directory.join(enrol::files::JOURNAL)).unwrap();
    // A first charter of the same people that begins anew: signed well, and it forgets what was decided before.
    let mut beside = next.clone();
    (beside.version, beside.previous) = (1, None);
    let digest = beside.digest();
    let signed = ["olga", "omar"].map(|name| fleet.house.ssh(name, name, "claviger-charter", &digest));
    assert_eq!(code(core.adopt_chain(&[beside], &signed, fleet.now)), "charter-base");
    let chain = [fleet.house.charter.clone(), next];
    assert_eq!(code(core.adopt_chain(&chain, &fleet.house.genesis, fleet.now)), "charter-succession");
    core.adopt_chain(&chain, &approvals, fleet.now).unwrap();
    core.check_holders(&Vault::Accounts.read(&directory).unwrap()).unwrap();
}

#[test]
fn t05_one_seed_under_two_signers_is_refused_by_the_signer_whose_seed_it_is() {
    let fleet = Cores::start();
    let secret = seed(&fleet, 0);
    let (id, keys, _) = enrol::load(fleet.directories[0].path()).unwrap();
    let fresh = tempfile::tempdir().unwrap();
    let mut core = Core::open(id, keys, &fresh.path().join("journal")).unwrap();
    let secp = bitcoin::secp256k1::Secp256k1::new();
    let mut shared = fleet.house.charter.clone();
    let theirs = enrol::load(fleet.directories[1].path()).unwrap().2.accounts[0].clone();
    let (_, again) = secret.account(5, &secp).unwrap();
    shared.wallets[0].descriptor = shared.wallets[0].descriptor.replace(&theirs, &again);
    let digest = shared.digest();
    let signed = ["olga", "omar"].map(|name| fleet.house.ssh(name, name, "claviger-charter", &digest));
    assert_eq!(code(core.adopt_first(&shared, &signed, fleet.now)), "seed-shared");
    core.adopt_first(&fleet.house.charter, &fleet.house.genesis, fleet.now).unwrap();
}
