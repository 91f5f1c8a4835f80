//! What signing costs: bare signatures beside our own, the whole signer with its rules and journal, opening keys, setting up from shares, and
//! what a long history does to a prepare. All of it in one run, in turns, so that a machine that is busy is so for all.
//!
//! `cargo bench --package signer --bench signing -- [--seconds 2] [--only curve|signer|keys|history] [--directory DIR]`
//!
//! DIR is where journals lie; by default beside the build, on a disk. With one in memory (`/dev/shm`) a sync costs nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a benchmark that cannot run ends with the reason"
)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::hint::black_box;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bitcoin::psbt::Psbt;
use bitcoin::secp256k1::{Message, Secp256k1, SecretKey};
use chains::bitcoin::{Caps, Payment, inspect, parse_address, sign};
use common::cores::{Cores, code};
use common::{HOLDER, House, hex_of};
use sealing::NewSlot;
use shares::{combine, split_one_group};
use signer::journal::Journal;
use signer::life::Actor;
use signer::record::{Event, Intended, Record};
use signer::seed::Seed;
use signer::vault::{Opener, Vault, random};
use signer_wire::{Instruction as WireInstruction, ReplyBody, RequestBody};
use types::{Amount, Digest, Instruction, Moment, Network};

/// Inputs of the transactions.
const INPUTS: [u32; 3] = [1, 10, 100];
/// Past payments.
const HISTORY: [u64; 3] = [0, 100_000, 1_000_000];
/// How long one contender works before the next has its turn.
const TURN: Duration = Duration::from_millis(40);

/// A part of the benchmark.
type Part = fn(&Options);

struct Options {
    seconds: f64,
    only: Option<String>,
    directory: PathBuf,
}

impl Options {
    fn read() -> Options {
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let mut options = Options { seconds: 2.0, only: None, directory };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().expect("the option needs a value");
            match name.as_str() {
                "--seconds" => options.seconds = value().parse().expect("seconds"),
                "--only" => options.only = Some(value()),
                "--directory" => options.directory = value().into(),
                // Cargo says this to every benchmark.
                "--bench" => {}
                other => panic!("unknown option {other}"),
            }
        }
        options
    }
}

/// Something that is measured: its name, and what does it `count` times and returns how long that took.
struct Contender<'a> {
    name: String,
    count: u32,
    work: Box<dyn FnMut() -> Duration + 'a>,
}

impl<'a> Contender<'a> {
    fn new(name: &str, count: u32, mut work: impl FnMut() + 'a) -> Contender<'a> {
        let timed = move || {
            let start = Instant::now();
            work();
            start.elapsed()
        };
        Contender::timed(name, count, timed)
    }

    /// Work that says itself how long the part took that counts.
    fn timed(name: &str, count: u32, work: impl FnMut() -> Duration + 'a) -> Contender<'a> {
        Contender { name: name.to_owned(), count, work: Box::new(work) }
    }
}

/// Gives every contender its turns until each has worked so long, prints a line for each, and returns the seconds for one of each.
fn race(seconds: f64, unit: &str, contenders: &mut [Contender<'_>]) -> Vec<f64> {
    let mut spent = vec![(Duration::ZERO, 0u64); contenders.len()];
    contenders.iter_mut().for_each(|contender| {
        (contender.work)();
    });
    while spent.iter().any(|(time, _)| time.as_secs_f64() < seconds) {
        for (contender, (time, done)) in contenders.iter_mut().zip(&mut spent) {
            let turn = *time + TURN;
            while *time < turn {
                *time += (contender.work)();
                *done += u64::from(contender.count);
            }
        }
    }
    let each: Vec<f64> = spent.iter().map(|(time, done)| time.as_secs_f64() / *done as f64).collect();
    for (contender, one) in contenders.iter().zip(&each) {
        let (micros, ratio) = (one * 1e6, each[0] / one * 100.0);
        println!("{:<44} {:>11.0} {unit}/s {micros:>10.1} us {ratio:>6.1} %", contender.name, 1.0 / one);
    }
    each
}

/// A withdrawal paid from so many coins.
fn payment(house: &House, name: &str, inputs: u32, salt: u32, now: Moment) -> (Instruction, WireInstruction, Psbt) {
    let (instruction, wire) = house.withdrawal(name, 50_000, now);
    let coins: Vec<_> = (0..inputs).map(|n| house.coin(n % 20, 100_000, salt * 100 + n)).collect();
    let psbt = house.psbt(&coins, &[&instruction], 10_000);
    (instruction, wire, psbt)
}

/// A house whose limits are no obstacle to a benchmark.
fn fleet() -> Cores {
    Cores::decided(|charter| {
        charter.clock_step_seconds_max = 1_000_000_000;
        charter.totals.iter_mut().for_each(|total| total.window.amount_max = Amount::from_sats(1 << 50));
        for tier in &mut charter.tiers {
            tier.windows.iter_mut().for_each(|window| window.amount_max = Amount::from_sats(1 << 50));
        }
    })
}

fn curve(options: &Options) {
    let fleet = fleet();
    let secp = Secp256k1::new();
    let key = SecretKey::from_slice(&[7; 32]).unwrap();
    let public = key.public_key(&secp);
    let mut number = 0u64;
    let mut message = move || {
        number += 1;
        Message::from_digest(*Digest::of(&[&number.to_be_bytes()]).as_bytes())
    };
    let messages: Vec<_> = (0..100).map(|_| message()).collect();
    let mut contenders = vec![
        Contender::new("libsecp256k1, sign and verify", 100, || {
            for message in &messages {
                let signature = secp.sign_ecdsa(message, &key);
                secp.verify_ecdsa(message, &signature, &public).unwrap();
            }
        }),
        Contender::new("libsecp256k1, sign alone", 100, || {
            messages.iter().for_each(|message| {
                black_box(secp.sign_ecdsa(message, &key));
            });
        }),
    ];
    let (wallet, account) = wallet_with_key(&fleet.house);
    for inputs in INPUTS {
        let (instruction, _, _) = payment(&fleet.house, "curve", 1, 0, fleet.now);
        let script = parse_address(instruction.destination().unwrap(), Network::Regtest).unwrap();
        let coins: Vec<_> = (0..inputs).map(|n| coin(&wallet, n % 20, n)).collect();
        let payments = [Payment { script, sats: 50_000 }];
        let psbt = chains::bitcoin::generate(&wallet, &coins, &payments, None, 0, 100).unwrap();
        let caps = Caps { fee_sats_max: u64::MAX, sats_per_kvb_max: u64::MAX, change_index_max: 0 };
        let effects = inspect(&psbt, &wallet, &payments, &caps).unwrap();
        let (secp, wallet, account) = (&secp, wallet.clone(), account);
        contenders.push(Contender::new(&format!("ours, transaction of {inputs} inputs"), inputs, move || {
            black_box(sign(&psbt.unsigned_tx, &effects, &wallet, &account, secp)).unwrap();
        }));
    }
    println!("\nsignatures, one core                                                             each   of the first");
    race(options.seconds, "signatures", &mut contenders);
}

/// A 2-of-3 wallet with the first account's private key.
fn wallet_with_key(house: &House) -> (chains::bitcoin::WalletDescriptor, bitcoin::bip32::Xpriv) {
    let secp = Secp256k1::new();
    let path: bitcoin::bip32::DerivationPath = "m/48'/1'/0'/2'".parse().unwrap();
    let master = bitcoin::bip32::Xpriv::new_master(bitcoin::NetworkKind::Test, &[9; 32]).unwrap();
    let account = master.derive_priv(&secp, &path).unwrap();
    let xpub = bitcoin::bip32::Xpub::from_priv(&secp, &account);
    let mut keys = vec![format!("[{}/48'/1'/0'/2']{xpub}/<0;1>/*", master.fingerprint(&secp))];
    let hot = &house.charter.wallet(&"hot".parse().unwrap()).unwrap().descriptor;
    keys.extend(
        hot.trim_start_matches("wsh(sortedmulti(2,").trim_end_matches("))").split(',').take(2).map(str::to_owned),
    );
    let text = format!("wsh(sortedmulti(2,{}))", keys.join(","));
    (chains::bitcoin::WalletDescriptor::parse(&text, Network::Regtest).unwrap(), account)
}

fn coin(wallet: &chains::bitcoin::WalletDescriptor, index: u32, salt: u32) -> chains::bitcoin::Input {
    let branch = chains::bitcoin::Branch::Receive;
    let script_pubkey = wallet.derive(branch, index).unwrap().script_pubkey;
    let previous = bitcoin::Transaction {
        version: bitcoin::transaction::Version::TWO,
        lock_time: bitcoin::absolute::LockTime::from_consensus(salt),
        input: vec![],
        output: vec![bitcoin::TxOut { value: bitcoin::Amount::from_sat(100_000), script_pubkey }],
    };
    chains::bitcoin::Input { previous, vout: 0, branch, index }
}

/// The seconds that one record of the journal's usual size takes to be on the disk, and how to print it.
fn append(path: &Path) -> impl FnMut() + use<> {
    let mut file = std::fs::File::create(path).unwrap();
    let bytes = [7; 500];
    move || {
        file.write_all(&bytes).unwrap();
        file.sync_data().unwrap();
    }
}

/// Two signers from the question to both signatures: prepare, witness and release, each once at both.
fn session(fleet: &mut Cores, wires: &[WireInstruction], psbt: &str) -> Duration {
    let start = Instant::now();
    let tickets = [0, 1].map(|position| {
        let question = RequestBody::Prepare { instructions: wires.to_vec(), psbt: psbt.to_owned() };
        match code(fleet.ask(position, question)).unwrap() {
            ReplyBody::Prepared { ticket, head } => (ticket, head),
            other => panic!("{other:?}"),
        }
    });
    let statements = [0, 1].map(|position| fleet.witness(1 - position, &tickets[position].1).unwrap());
    for (position, ((ticket, _), statement)) in tickets.iter().zip(statements).enumerate() {
        black_box(fleet.release(position, ticket, vec![statement]).unwrap());
    }
    start.elapsed()
}

/// Records that one session writes, at both signers together.
const RECORDS: f64 = 6.0;

fn whole_signer(options: &Options) {
    let directory = tempfile::tempdir_in(&options.directory).unwrap();
    let fleet = std::cell::RefCell::new(fleet());
    let salt = std::cell::Cell::new(0u32);
    let (secp, key) = (Secp256k1::new(), SecretKey::from_slice(&[7; 32]).unwrap());
    let (public, message) = (key.public_key(&secp), Message::from_digest([9; 32]));
    let bare = || secp.verify_ecdsa(&message, &secp.sign_ecdsa(black_box(&message), &key), &public).unwrap();
    let mut contenders = vec![
        Contender::new("libsecp256k1, sign and verify", 1, bare),
        Contender::new("one record to the disk", 1, append(&directory.path().join("bare"))),
    ];
    for inputs in INPUTS {
        let (fleet, salt) = (&fleet, &salt);
        let work = move || {
            salt.set(salt.get() + 1);
            let (_, wire, psbt) = {
                let fleet = fleet.borrow();
                payment(&fleet.house, &format!("p{}", salt.get()), inputs, salt.get(), fleet.now)
            };
            session(&mut fleet.borrow_mut(), &[wire], &hex_of(&psbt))
        };
        contenders.push(Contender::timed(&format!("two signers, transaction of {inputs} inputs"), 1, work));
    }
    println!("\ntwo whole signers after each other, with rules and journals                      each");
    let each = race(options.seconds, "transactions", &mut contenders);
    for (inputs, one) in INPUTS.iter().zip(&each[2..]) {
        let (syncs, signatures) = (RECORDS * each[1], f64::from(2 * inputs));
        let work = (one - syncs).max(0.0) / signatures;
        println!(
            "  {inputs:>3} inputs: 6 syncs of {:.1} ms, and for each of {signatures} signatures {:.0} us of work, {:.1} bare ones",
            syncs * 1e3,
            work * 1e6,
            work / each[0]
        );
    }
}

fn keys(options: &Options) {
    let mut fleet = fleet();
    let data = fleet.directories[0].path().to_owned();
    let now = fleet.now;
    let passphrase = "carrot window eleven marble dusk";
    let person: types::OperatorId = HOLDER.parse().unwrap();
    let mut source = |bytes: &mut [u8]| getrandom::fill(bytes).map_err(|_| shares::RandomError);
    let words = split_one_group(common::kek().expose(), b"", 0, true, 2, 3, &mut source).unwrap();
    let slots = [common::SLOT, "spoken"].map(|name| name.parse::<sealing::SlotName>().unwrap());
    let mut envelope = Vault::Accounts.read(&data).unwrap();
    let holders = std::collections::BTreeSet::from([person.clone()]);
    let slot = NewSlot::passphrase(slots[1].clone(), holders, passphrase, &mut random).unwrap();
    {
        let kek = common::kek();
        let opener = Opener { person: &person, terminal: "tty1", slot: &slots[0], kek: &kek };
        let key = fleet.cores[0].as_ref().unwrap().unseal(Vault::Accounts, &envelope, &opener).unwrap();
        envelope.add_slot(&key, slot, &mut random).unwrap();
        Vault::Accounts.write(&data, &envelope).unwrap();
    }
    let core = std::cell::RefCell::new(fleet.cores[0].take().unwrap());
    let activate = |slot: &sealing::SlotName, kek: &dyn Fn() -> sealing::Kek| {
        let mut core = core.borrow_mut();
        let wallets = core.open_wallets();
        core.close_keys(&wallets, &Actor::default(), now).unwrap();
        let start = Instant::now();
        let kek = kek();
        let opener = Opener { person: &person, terminal: "tty1", slot, kek: &kek };
        assert_eq!(core.open_sealed(&data, &opener, now).unwrap().len(), 1);
        start.elapsed()
    };
    let from_shares = || {
        let secret = combine(&words[..2], b"").unwrap();
        sealing::Kek::from_bytes(secret.as_slice().try_into().unwrap())
    };
    let from_passphrase = || envelope.passphrase_kek(&slots[1], passphrase).unwrap();
    let directory = tempfile::tempdir_in(&options.directory).unwrap();
    let mut made = 0;
    let set_up = || {
        made += 1;
        let mut birth = common::birth(&format!("r{made}"), now);
        let start = Instant::now();
        let secret = combine(&words[..2], b"").unwrap();
        birth.seed = Seed::from_bytes(&secret, Network::Regtest).unwrap();
        signer::enrol::create(&directory.path().join(made.to_string()), birth).unwrap();
        start.elapsed()
    };
    println!("\nopening keys and setting up                                                      each");
    let mut contenders = [
        Contender::timed("activation, the slot's key at hand", 1, || activate(&slots[0], &common::kek)),
        Contender::timed("activation, from 2 of 3 shares", 1, || activate(&slots[0], &from_shares)),
        Contender::timed("activation, from a passphrase", 1, || activate(&slots[1], &from_passphrase)),
        Contender::timed("a signer set up from its seed's shares", 1, set_up),
    ];
    race(options.seconds, "times", &mut contenders);
}

/// Resident memory of this process, in bytes.
fn resident() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("a Linux machine");
    let pages: f64 = text.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).expect("pages");
    pages * 4096.0
}

/// Makes a journal as `count` payments leave it, one every 26 seconds, in memory where there is such a place: a sync for each record
/// of a million would take hours.
fn age(journal: &Path, count: u64, start: Moment) {
    let shared = Path::new("/dev/shm");
    let memory = tempfile::tempdir_in(if shared.is_dir() { shared } else { journal.parent().unwrap() }).unwrap();
    let copy = memory.path().join("journal");
    std::fs::copy(journal, &copy).unwrap();
    let (mut aged, _) = Journal::open(&copy).unwrap();
    let mut at = start;
    for number in 0..count {
        at = at.plus_seconds(26);
        let digest = Digest::of(&[&number.to_be_bytes()]).to_string();
        let intended = Intended {
            id: format!("past-{number}"),
            digest: digest.clone(),
            anchor: format!("{digest}:0"),
            wallet: "hot".to_owned(),
            tier: "automatic".to_owned(),
            amount: "1000".to_owned(),
        };
        let event = Event::Intent { instructions: vec![intended], txid: digest.clone(), change_index: None };
        let intent = aged.append(&Record { at: at.micros(), event }).unwrap();
        let signatures = vec![(digest[..32].to_owned(), digest[32..].to_owned())];
        // Of the other wallet, so that the hot one's activation is not used up.
        let (wallet, txid) = ("cold".to_owned(), digest);
        let event = Event::Released { intent, wallet, txid, paid: Vec::new(), left: true, signatures };
        aged.append(&Record { at: at.micros(), event }).unwrap();
    }
    drop(aged);
    std::fs::copy(&copy, journal).unwrap();
}

fn history(options: &Options) {
    println!("\none signer with a history                                                        each");
    let directory = tempfile::tempdir_in(&options.directory).unwrap();
    for count in HISTORY {
        let mut fleet = fleet();
        let now = fleet.now;
        let (before, start) = (resident(), std::cell::Cell::new(Instant::now()));
        fleet.restart(0, |journal| {
            assert!(journal.exists());
            age(&journal, count, now);
            start.set(Instant::now());
        });
        let (started, grown) = (start.get().elapsed(), resident() - before);
        fleet.now = now.plus_seconds(26 * i64::try_from(count).unwrap());
        fleet.admit(0, &[1, 2]).unwrap();
        println!("{count} past payments: started in {started:.2?}, {:.0} MB more resident", grown / 1e6);
        let mut salt = 0;
        let fleet = std::cell::RefCell::new(fleet);
        let prepare = || {
            salt += 1;
            let mut fleet = fleet.borrow_mut();
            let now = fleet.now;
            let (_, wire, psbt) = payment(&fleet.house, &format!("h{salt}"), 1, salt, now);
            let question = RequestBody::Prepare { instructions: vec![wire], psbt: hex_of(&psbt) };
            let start = Instant::now();
            code(fleet.ask(0, question)).unwrap();
            start.elapsed()
        };
        let exposure = || {
            black_box(code(fleet.borrow_mut().ask(0, RequestBody::Exposure)).unwrap());
        };
        let mut contenders = [
            Contender::new("  one record to the disk", 1, append(&directory.path().join("bare"))),
            Contender::timed("  prepare, 1 input", 1, prepare),
            Contender::new("  exposure", 1, exposure),
        ];
        race(options.seconds, "times", &mut contenders);
    }
}

fn main() {
    let options = Options::read();
    tempfile::env::override_temp_dir(&options.directory).expect("nobody chose a directory before");
    println!("what                                                                             one by one");
    let parts: [(&str, Part); 4] = [("curve", curve), ("signer", whole_signer), ("keys", keys), ("history", history)];
    for (name, part) in parts {
        if options.only.as_deref().is_none_or(|only| only == name) {
            part(&options);
        }
    }
}
