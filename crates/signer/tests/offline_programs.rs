//! A whole round with real programs: three connected signers, three without a network in network namespaces that have none.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "in a test, failing here is the test failing"
)]

mod common;

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::cold::Refill;
use common::processes::{Fleet, run};
use paper::ur::{Collector, Parts, Received, SCREEN_FRAGMENT_BYTES};
use signer::server::now;
use signer_wire::{Answer, Bundle, ReplyBody, RequestBody};
use types::words;

const PROGRAM: &str = env!("CARGO_BIN_EXE_claviger-signer");

/// Runs the program where there is no network at all, not even of its own machine.
fn alone(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new("unshare")
        .args(["--map-root-user", "--net", PROGRAM, "offline"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("unshare is needed: install the package util-linux");
    // A program that has what it wants does not read on.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

struct Vaults {
    fleet: Fleet,
    /// The words of kim's and kit's shares, which open every cold signer.
    shares: Vec<String>,
}

impl Vaults {
    fn start() -> Vaults {
        let fleet = Fleet::start();
        let place = |name: &str| fleet.house.directory.path().join(name).to_str().unwrap().to_owned();
        for name in ["c1", "c2", "c3"] {
            let adopt = ["adopt", "--data", &place(name), "--charter", &place("charter.json")];
            let approvals = ["olga", "omar"].map(|who| format!("{who}={}", place(&format!("genesis-{who}"))));
            let output = run(&[adopt.as_slice(), &["--approval", &approvals[0], "--approval", &approvals[1]]].concat());
            assert!(output.status.success(), "{output:?}");
        }
        let write = |(words, holder): (&String, &str)| {
            let path = place(&format!("{holder}.share"));
            std::fs::write(&path, words).unwrap();
            path
        };
        let shares = common::opening().1.iter().zip(["kim", "kit"]).map(write).collect();
        Vaults { shares, fleet }
    }

    fn home(&self, name: &str) -> String {
        self.fleet.house.cold_home(name).to_str().unwrap().to_owned()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.fleet.house.directory.path().join(name)
    }

    fn bundle(&self, name: &str, refill: &Refill) -> Bundle {
        let activation = self.fleet.house.activation("cold", 3_600, 10, now());
        let recall = |position| {
            let question = RequestBody::Recall { signer: name.to_owned(), nonce: refill.recall_nonce() };
            match self.fleet.client(position).call(question) {
                Ok(ReplyBody::Statement(statement)) => statement,
                other => panic!("{other:?}"),
            }
        };
        self.fleet.house.bundle(name, &activation, refill, (0..3).map(recall).collect())
    }

    fn sign(&self, name: &str, bundle: &Path, out: &Path, confirm: &str) -> Output {
        let home = self.home(name);
        let [bundle, out] = [bundle, out].map(|path| path.to_str().unwrap());
        let who = ["--person", "kim", "--share", &self.shares[0], "--share", &self.shares[1]];
        let what = ["sign", "--data", &home, bundle, "--out", out, "--may-swap", "--confirm", confirm];
        alone(&[what.as_slice(), &who].concat(), "")
    }
}

#[test]
fn c46_a_round_of_real_programs_without_a_network() {
    let vaults = Vaults::start();
    let house = &vaults.fleet.house;
    let refill = house.refill("refill-1", 2_000_000, 1, now());
    let mut answers = Vec::new();
    for name in ["c1", "c2"] {
        let bundle = vaults.bundle(name, &refill);
        let file = vaults.path(&format!("{name}.bundle"));
        std::fs::write(&file, bundle.to_bytes()).unwrap();
        let six = words(&bundle.digest()).join(" ");
        let home = vaults.home(name);
        let shown = alone(&["show", "--data", &home, file.to_str().unwrap()], "");
        assert!(shown.status.success(), "{}", text(&shown.stderr));
        assert!(text(&shown.stdout).contains(&six), "the six words are the same on both sides");
        // Another word, and nothing happens.
        let out = vaults.path(&format!("{name}.answer"));
        let refused = vaults.sign(name, &file, &out, "abandon ability");
        assert!(!refused.status.success() && text(&refused.stderr).contains("words"), "{}", text(&refused.stderr));
        assert!(!out.exists());
        let signed = vaults.sign(name, &file, &out, words(&bundle.digest())[0]);
        assert!(signed.status.success(), "{}{}", text(&signed.stdout), text(&signed.stderr));
        assert_eq!(std::fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
        let answer = Answer::from_bytes(&std::fs::read(&out).unwrap()).unwrap();
        assert!(text(&signed.stdout).contains(&words(&answer.digest()).join(" ")));
        // Never over another file, and the same again.
        assert!(!vaults.sign(name, &file, &out, &six).status.success());
        let again = vaults.path(&format!("{name}.again"));
        assert!(vaults.sign(name, &file, &again, &six).status.success());
        assert_eq!(std::fs::read(&again).unwrap(), std::fs::read(&out).unwrap());
        let third = vaults.path(&format!("{name}.third"));
        let more = alone(&["answer", "--data", &home, file.to_str().unwrap(), "--out", third.to_str().unwrap()], "");
        assert!(more.status.success(), "{}", text(&more.stderr));
        assert_eq!(std::fs::read(&third).unwrap(), std::fs::read(&out).unwrap());
        for position in 0..3 {
            vaults.fleet.client(position).call(RequestBody::Witness { head: answer.head.clone() }).unwrap();
        }
        answers.push(answer);
        let board = alone(&["board", "--data", &home], "");
        let closed = |line: &str| line.starts_with("signature:0") && line.contains("inactive");
        assert!(text(&board.stdout).lines().any(closed), "{}{}", text(&board.stdout), text(&board.stderr));
    }
    let transaction = house.finish_cold(&refill, &answers);
    assert_eq!(transaction.compute_txid(), refill.psbt.unsigned_tx.compute_txid());
}

#[test]
fn qr_codes_go_both_ways_with_parts_lost_shuffled_and_of_others() {
    let vaults = Vaults::start();
    let refill = vaults.fleet.house.refill("refill-1", 2_000_000, 1, now());
    let bundle = vaults.bundle("c1", &refill);
    let file = vaults.path("c1.bundle");
    std::fs::write(&file, bundle.to_bytes()).unwrap();
    // What a camera saw of the moving codes: every third is lost, the order is another, some are seen twice, one is of something else.
    let parts = Parts::new(Bundle::KIND, &bundle.to_bytes(), SCREEN_FRAGMENT_BYTES).unwrap();
    let needed = parts.needed();
    let mut seen: Vec<String> =
        parts.take(needed * 3).enumerate().filter(|(n, _)| n % 3 != 0).map(|(_, part)| part).collect();
    seen.reverse();
    seen.insert(2, seen[1].to_lowercase());
    seen.insert(3, "ur:bytes/otadtpidhkhdpmpyaylk".to_owned());
    let home = vaults.home("c1");
    let shown = alone(&["show", "--data", &home, "--ur", "-"], &seen.join("\n"));
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    assert!(text(&shown.stdout).contains(&words(&bundle.digest()).join(" ")));
    let few = alone(&["show", "--data", &home, "--ur", "-"], &seen[..needed / 2].join("\n"));
    assert!(!few.status.success() && text(&few.stderr).contains("not whole"));
    // Back: the answer as codes.
    let scanned = vaults.path("scanned");
    std::fs::write(&scanned, seen.join("\n")).unwrap();
    let out = vaults.path("c1.answer");
    let six = words(&bundle.digest()).join(" ");
    let sign = ["sign", "--data", &home, "--ur", scanned.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let who = [
        "--may-swap",
        "--confirm",
        &six,
        "--person",
        "kim",
        "--share",
        &vaults.shares[0],
        "--share",
        &vaults.shares[1],
    ];
    let signed = alone(&[sign.as_slice(), &who].concat(), "");
    assert!(signed.status.success(), "{}", text(&signed.stderr));
    let codes = alone(&["qr", out.to_str().unwrap(), "--text"], "");
    let mut collector = Collector::new(Answer::KIND).unwrap();
    let whole = text(&codes.stdout).lines().rev().find_map(|line| match collector.receive(line).unwrap() {
        Received::Whole(bytes) => Some(bytes),
        _ => None,
    });
    assert_eq!(whole.unwrap(), std::fs::read(&out).unwrap());
    // In the terminal, one below the other, and in turn until Enter.
    let once = alone(&["qr", out.to_str().unwrap(), "--once", "--plain", "dark"], "");
    let count = text(&codes.stdout).lines().count();
    assert!(
        text(&once.stdout).contains(&format!("part {count} of {count}")) && text(&once.stdout).contains('\u{2588}')
    );
    let turning = alone(&["qr", out.to_str().unwrap(), "--animate", "--per-second", "20"], "\n");
    assert!(turning.status.success() && text(&turning.stdout).contains("code 1, "));
    // On paper.
    let pdf = vaults.path("c1.pdf");
    let printed = alone(&["qr", file.to_str().unwrap(), "--pdf", pdf.to_str().unwrap()], "");
    assert!(printed.status.success(), "{}", text(&printed.stderr));
    assert!(std::fs::read(&pdf).unwrap().starts_with(b"%PDF-"));
}

#[test]
fn refusals_are_carried_back_and_each_kind_of_signer_keeps_to_its_command() {
    let vaults = Vaults::start();
    let refill = vaults.fleet.house.refill("refill-1", 2_000_000, 1, now());
    let mut bundle = vaults.bundle("c1", &refill);
    bundle.payments[0].evidence.approvals.truncate(1);
    let file = vaults.path("c1.bundle");
    std::fs::write(&file, bundle.to_bytes()).unwrap();
    let out = vaults.path("c1.answer");
    let refused = vaults.sign("c1", &file, &out, &words(&bundle.digest()).join(" "));
    assert!(!refused.status.success() && text(&refused.stderr).contains("approvals-missing"));
    let answer = Answer::from_bytes(&std::fs::read(&out).unwrap()).unwrap();
    assert_eq!((answer.signatures.len(), answer.refusal.unwrap().code.as_str()), (0, "approvals-missing"));
    // Somebody who does not hold the sealing opens nothing.
    let whole = vaults.bundle("c1", &refill);
    std::fs::write(&file, whole.to_bytes()).unwrap();
    let out = vaults.path("carl.answer");
    let six = words(&whole.digest()).join(" ");
    let home = vaults.home("c1");
    let sign = [
        "sign",
        "--data",
        &home,
        file.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
        "--may-swap",
        "--confirm",
        &six,
    ];
    let who = ["--person", "carl", "--share", &vaults.shares[0], "--share", &vaults.shares[1]];
    let carl = alone(&[sign.as_slice(), &who].concat(), "");
    assert!(!carl.status.success() && text(&carl.stderr).contains("k3-holder"), "{}", text(&carl.stderr));
    let listening = run(&["run", "--data", &home, "--listen", "127.0.0.1:0"]);
    assert!(!listening.status.success() && text(&listening.stderr).contains("has no network by its charter"));
    let mut connected = whole.clone();
    connected.signer = "s1".to_owned();
    std::fs::write(&file, connected.to_bytes()).unwrap();
    let data = vaults.fleet.directories[0].path().to_str().unwrap().to_owned();
    let shown = run(&["offline", "show", "--data", &data, file.to_str().unwrap()]);
    assert!(!shown.status.success() && text(&shown.stderr).contains("connected"), "{}", text(&shown.stderr));
}
