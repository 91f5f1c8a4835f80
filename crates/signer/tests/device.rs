//! Keys inside devices, tried on SoftHSM: a token that seals a signer's keys, and one that holds its signature key.
//!
//! SoftHSM reads its configuration from the environment of its process, so each test runs in a process of its own.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "in a test, failing here is the test failing"
)]

mod common;

use std::path::Path;

use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::psbt::Psbt;
use bitcoin::secp256k1::{Message, PublicKey, Secp256k1, ecdsa};
use chains::bitcoin::{AccountKey, Branch, Input};
use common::cores::finish;
use common::hex_of;
use common::processes::{Fleet, Special, run};
use node::regtest::Bitcoind;
use policy::Charter;
use sealing::SlotKind;
use signer::server::now;
use signer::vault::Vault;
use signer_client::{CallError, sign};
use signer_wire::{Instruction, KeyLine, ReplyBody, RequestBody};
use testkit::{SoftHsm, SoftToken, memory_contains};
use token::Token;
use types::{Network, RefusalCode};
use zeroize::Zeroizing;

const PIN: &str = "four grey herons";

/// Runs the body of the test that has this name, with a SoftHSM of its own.
fn alone(name: &str, body: impl FnOnce(&SoftHsm)) {
    if let Err(error) = SoftHsm::run(name, body) {
        panic!("{error}");
    }
}

/// A file of this name and content, as an argument.
fn file(directory: &Path, name: &str, content: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

fn module() -> String {
    SoftHsm::module().unwrap().to_str().unwrap().to_owned()
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// What a program said when it refused.
fn refusal(output: &std::process::Output) -> String {
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A withdrawal and its transaction.
fn order(fleet: &Fleet, key: &str, salt: u32) -> (Instruction, Psbt) {
    let (instruction, wire) = fleet.house.withdrawal(key, 20_000, now());
    let psbt = fleet.house.psbt(&[fleet.house.coin(0, 200_000, salt)], &[&instruction], 1_000);
    (wire, psbt)
}

/// Has the first two signers sign it; what the first one refused otherwise, and whether it says to try again.
fn sign_order(fleet: &Fleet, (wire, psbt): &(Instruction, Psbt)) -> Result<(), (String, bool)> {
    match sign(&mut fleet.clients()[..2], 2, std::slice::from_ref(wire), &hex_of(psbt)) {
        Ok(_) => Ok(()),
        Err(error) => match error.refusals.into_iter().find(|(position, _)| *position == 0) {
            Some((_, CallError::Refused(refusal))) => Err((refusal.code.to_string(), refusal.retry())),
            other => panic!("{other:?}"),
        },
    }
}

fn signs(fleet: &Fleet, key: &str, salt: u32) -> Result<(), (String, bool)> {
    sign_order(fleet, &order(fleet, key, salt))
}

const KIND: &str = "SoftHSM project/SoftHSM v2/";

/// A first signer whose key the token `alpha` holds, with a directory for its files.
struct Held {
    here: tempfile::TempDir,
    module: String,
    pin: String,
    token: SoftToken,
}

impl Held {
    fn new(hsm: &SoftHsm) -> Held {
        let here = tempfile::tempdir().unwrap();
        let pin = file(here.path(), "pin", PIN);
        Held { module: module(), token: hsm.make_token("alpha", PIN).unwrap(), here, pin }
    }

    fn special(&self, further: &[&str]) -> Special {
        let device = format!("kim,kit:{}:alpha:sign:{}", self.module, self.pin);
        let init = [&["--device", &device], further].concat();
        // The tokens' directory and the configuration beside it.
        let hsm = self.token.home().parent().unwrap().parent().unwrap().to_str().unwrap();
        let run = ["--device-module", &self.module, "--read-write", hsm];
        Special { init: texts(&init), run: texts(&run), open: texts(&["--device", "--pin-file", &self.pin]) }
    }

    fn open(&self, label: &str) -> Token {
        Token::open(Path::new(&self.module), label, None, Zeroizing::new(PIN.as_bytes().to_vec())).unwrap()
    }
}

/// The line of the hot wallet's key.
fn hot(fleet: &Fleet) -> KeyLine {
    match fleet.client(0).call(RequestBody::Board).unwrap() {
        ReplyBody::Board { keys, .. } => keys.into_iter().find(|key| key.wallet == "hot").unwrap(),
        other => panic!("{other:?}"),
    }
}

fn close(fleet: &Fleet) {
    let data = fleet.directories[0].path().to_str().unwrap();
    let output = run(&["close", "--data", data, "--person", "kim", "--reason", "the day is over"]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "closed: hot\n", "{:?}", output.stderr);
}

/// Every signer takes the next charter.
fn adopt(fleet: &mut Fleet, change: impl Fn(&mut Charter)) {
    let mut next = fleet.house.charter.clone();
    next.version += 1;
    next.previous = Some(fleet.house.charter.digest());
    change(&mut next);
    let sign = |name: &str| {
        let approval = fleet.house.ssh(name, name, "claviger-charter", &next.digest());
        signer_wire::Approval { operator: approval.operator.to_string(), signature: approval.signature }
    };
    let (charter, approvals) = (String::from_utf8(next.to_bytes()).unwrap(), ["olga", "omar"].map(sign).to_vec());
    for client in &mut fleet.clients() {
        client.call(RequestBody::Adopt { charter: charter.clone(), approvals: approvals.clone() }).unwrap();
    }
    fleet.house.charter = next;
}

#[test]
fn a_signer_whose_keys_a_token_seals_opens_and_signs() {
    alone("a_signer_whose_keys_a_token_seals_opens_and_signs", |hsm| {
        hsm.make_token("alpha", PIN).unwrap();
        let here = tempfile::tempdir().unwrap();
        let (module, pin) = (module(), file(here.path(), "pin", PIN));
        let seal = format!("desk=token:kim,kit:{module}:alpha:wrap-s1:{pin}");
        let open = texts(&["--module", &module, "--pin-file", &pin]);
        let special = Special { init: texts(&["--seal", &seal]), run: vec![], open };
        let fleet = Fleet::start_with(special, |_| {});
        assert_eq!(signs(&fleet, "one", 1), Ok(()));
        let envelope = Vault::Accounts.read(fleet.directories[0].path()).unwrap();
        let SlotKind::Token(key) = envelope.slot(&"desk".parse().unwrap()).unwrap().kind() else { panic!("no token") };
        assert_eq!((key.label.as_str(), key.key_id.as_slice()), ("alpha", b"wrap-s1".as_slice()));
        assert_eq!((key.model.as_str(), key.mechanism.as_str()), ("SoftHSM v2", "CKM_AES_GCM"));
        // Kim holds it; whoever else has the PIN does not.
        let data = fleet.directories[0].path().to_str().unwrap();
        let output = run(&["open", "--data", data, "--person", "olga", "--module", &module, "--pin-file", &pin]);
        assert!(refusal(&output).contains("k3-holder"), "{output:?}");
    });
}

#[test]
fn what_is_wrong_with_a_token_that_seals_is_named() {
    alone("what_is_wrong_with_a_token_that_seals_is_named", |hsm| {
        let device = hsm.make_token("alpha", PIN).unwrap();
        let here = tempfile::tempdir().unwrap();
        let (module, pin) = (module(), file(here.path(), "pin", PIN));
        let (none, wrong) = (file(here.path(), "default", "1234"), file(here.path(), "wrong", "four grey heron"));
        let path = |id: &str| here.path().join(id).to_str().unwrap().to_owned();
        let init = |id: &str, token: &str, key: &str, pin: &str| {
            let seal = format!("desk=token:kim:{module}:{token}:{key}:{pin}");
            let data = path(id);
            run(&["init", "--data", &data, "--id", id, "--network", "regtest", "--person", "carl", "--seal", &seal])
        };
        // Two signers whose keys the same key in the same token wraps.
        for id in ["s1", "s2"] {
            let output = init(id, "alpha", "wrap", &pin);
            assert!(output.status.success(), "{output:?}");
        }
        let open = |id: &str, further: &[&str]| {
            let data = path(id);
            refusal(&run(&[&["open", "--data", &data, "--person", "kim"], further].concat()))
        };
        let with = |pin: &str| open("s1", &["--module", &module, "--pin-file", pin]);
        // As far as the signer, which does not run here.
        assert!(with(&pin).contains("is the signer running?"), "{}", with(&pin));
        assert!(open("s1", &[]).contains("the slot \"desk\" needs the token alpha; name its library: --module"));
        assert!(open("s1", &["--module", "softhsm.so", "--pin-file", &pin]).contains("is not absolute"));
        assert!(open("s1", &["--module", "/none.so", "--pin-file", &pin]).contains("no PKCS #11 module at /none.so"));
        assert!(with(&wrong).contains("the PIN of the token alpha is wrong; fewer tries are left"));
        assert!(with(&none).contains("the PIN is a default one"));
        assert!(refusal(&init("s3", "alpha", "A KEY", &pin)).contains("a key's name is"));
        assert!(refusal(&init("s3", "beta", "wrap", &pin)).contains("no token beta is there"));

        // What the token wrapped for one signer it does not unwrap for the other, and nothing for the seed.
        let envelope = |id: &str, vault: Vault| here.path().join(id).join(vault.file());
        let wrapped = |id: &str, vault: Vault| {
            let envelope = vault.read(&here.path().join(id)).unwrap();
            let SlotKind::Token(key) = envelope.slots().next().unwrap().kind() else { panic!("no token") };
            hex::encode(&key.wrapped)
        };
        let own = std::fs::read_to_string(envelope("s1", Vault::Accounts)).unwrap();
        let mine = wrapped("s1", Vault::Accounts);
        assert!(own.contains(&mine));
        for theirs in [wrapped("s2", Vault::Accounts), wrapped("s1", Vault::Seed)] {
            std::fs::write(envelope("s1", Vault::Accounts), own.replace(&mine, &theirs)).unwrap();
            assert!(with(&pin).contains("the token does not open this with the key wrap"), "{}", with(&pin));
        }
        std::fs::write(envelope("s1", Vault::Accounts), &own).unwrap();

        // Pulled out; and another of the same name in its place.
        device.remove().unwrap();
        assert!(with(&pin).contains("no token alpha "), "{}", with(&pin));
        hsm.make_token("alpha", PIN).unwrap();
        assert!(with(&pin).contains("no token alpha "), "another serial number: {}", with(&pin));
        device.put_back().unwrap();
        assert!(with(&pin).contains("is the signer running?"), "{}", with(&pin));
        let output = init("s3", "alpha", "wrap", &pin);
        assert!(refusal(&output).contains("give the serial number too"), "{output:?}");
        let envelope = Vault::Accounts.read(&here.path().join("s1")).unwrap();
        let SlotKind::Token(key) = envelope.slots().next().unwrap().kind() else { panic!("no token") };
        let output = init("s3", &format!("alpha#{}", key.serial), "wrap", &pin);
        assert!(output.status.success(), "{output:?}");
    });
}

#[test]
fn a_device_and_two_software_signers_pay_on_a_real_chain() {
    alone("a_device_and_two_software_signers_pay_on_a_real_chain", |hsm| {
        let held = Held::new(hsm);
        let fleet = Fleet::start_with(held.special(&["--device-certificate", "CMVP 4321"]), |_| {});
        let node = Bitcoind::start(&held.here.path().join("node")).unwrap_or_else(|error| panic!("{error}"));
        let wallet = fleet.house.wallet("hot");
        let mut funded = Vec::new();
        for (branch, index) in [(Branch::Receive, 0), (Branch::Receive, 1), (Branch::Receive, 2)] {
            let derived = wallet.derive(branch, index).unwrap();
            let txid = node.pay(&derived.address, 4_000_000).unwrap();
            node.mine(1).unwrap();
            let previous = node.client().transaction(&txid).unwrap();
            let vout = previous.output.iter().position(|output| output.script_pubkey == derived.script_pubkey).unwrap();
            funded.push(Input { previous, vout: u32::try_from(vout).unwrap(), branch, index });
        }
        // Bitcoin's own reading of the descriptor gives the same addresses.
        let text = &fleet.house.charter.wallet(&"hot".parse().unwrap()).unwrap().descriptor;
        for (branch, number) in [(Branch::Receive, "0"), (Branch::Change, "1")] {
            let single = text.replace("<0;1>", number);
            let read = node.client().call("getdescriptorinfo", serde_json::json!([single])).unwrap();
            let theirs =
                node.client().call("deriveaddresses", serde_json::json!([read["descriptor"], [0, 9]])).unwrap();
            let ours: Vec<_> = (0..10).map(|index| wallet.derive(branch, index).unwrap().address).collect();
            assert_eq!(theirs, serde_json::json!(ours));
        }
        let before = hot(&fleet);
        assert!(before.device.starts_with(KIND) && before.device.ends_with(", certificate CMVP 4321"), "{before:?}");
        for (absent, coins) in [(1, &funded[..2]), (2, &funded[2..])] {
            let (instruction, wire) = fleet.house.withdrawal(&format!("without-{absent}"), 50_000, now());
            let psbt = fleet.house.psbt(coins, &[&instruction], 1_000);
            let mut clients = fleet.clients();
            clients.remove(absent);
            let wires = [wire];
            let signed = sign(&mut clients, 2, &wires, &hex_of(&psbt)).unwrap();
            let signatures: Vec<_> = signed.into_iter().flat_map(|signed| signed.signatures).collect();
            let transaction = finish(&fleet.house, &wires, &psbt, &signatures);
            let txid = node.client().broadcast(&transaction).unwrap();
            node.mine(1).unwrap();
            assert!(!node.client().mempool().unwrap().contains(&txid), "it is in a block");
        }
        let after = hot(&fleet);
        assert_eq!((after.state.as_str(), after.open), ("in-use", true));
        assert_eq!(before.signatures_left - after.signatures_left, 3, "one for each input");

        // The canary is signed by the device too, and anew each time.
        let account = AccountKey::parse(fleet.enrolments[0].accounts.last().unwrap(), Network::Regtest).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for challenge in ["one", "two", "two"] {
            let canary = fleet.client(0).call(RequestBody::Canary { challenge: challenge.to_owned() }).unwrap();
            let ReplyBody::Canary { public_key, signature } = canary else { panic!("{canary:?}") };
            let key: PublicKey = public_key.parse().unwrap();
            assert_eq!(key, account.public_key());
            let digest = sha256::Hash::hash(format!("claviger-canary-v1\n{challenge}").as_bytes());
            let message = Message::from_digest(digest.to_byte_array());
            let parsed = ecdsa::Signature::from_der(&hex::decode(&signature).unwrap()).unwrap();
            Secp256k1::verification_only().verify_ecdsa(&message, &parsed, &key).unwrap();
            assert!(seen.insert(signature), "a device draws another nonce each time");
        }

        // The private key is nowhere but in the device, by the device's own word.
        let token = held.open("alpha");
        let keys = token.keys().unwrap();
        let [key] = keys.as_slice() else { panic!("{keys:?}") };
        assert!(key.never_extractable && key.always_sensitive && key.local && !key.extractable, "{key:?}");
        assert_eq!(token.public_key(&"sign".parse().unwrap()).unwrap(), account.public_key().serialize());
        drop(token);
        close(&fleet);
        assert_eq!(signs(&fleet, "closed", 9), Err(("key-inactive".to_owned(), true)));
        let pid = fleet.processes[0].id();
        assert!(memory_contains(pid, &[PIN.as_bytes()]).unwrap().is_empty(), "the PIN is forgotten");
        // The search finds what is there.
        let here = std::hint::black_box(Vec::from(PIN));
        assert!(!memory_contains(std::process::id(), &[&here]).unwrap().is_empty());
    });
}

#[test]
fn a_device_that_is_pulled_out_is_named_and_signs_again_once_it_is_opened_again() {
    alone("a_device_that_is_pulled_out_is_named_and_signs_again_once_it_is_opened_again", |hsm| {
        let held = Held::new(hsm);
        let fleet = Fleet::start_with(held.special(&[]), |_| {});
        assert_eq!(signs(&fleet, "one", 1), Ok(()));
        let two = order(&fleet, "two", 2);
        held.token.remove().unwrap();
        assert_eq!(sign_order(&fleet, &two), Err(("device-gone".to_owned(), true)));
        let line = hot(&fleet);
        assert_eq!((line.state.as_str(), line.open), ("inactive", false), "it has no session any more");
        assert!(line.cause.contains("the token alpha was removed"), "{}", line.cause);
        assert_eq!(sign_order(&fleet, &two), Err(("key-inactive".to_owned(), true)));
        let output = fleet.open(0);
        assert!(refusal(&output).contains("device-gone: no token alpha "), "{output:?}");
        held.token.put_back().unwrap();
        assert_eq!(sign_order(&fleet, &two), Err(("key-inactive".to_owned(), true)), "people open it, nobody else");
        assert!(fleet.open(0).status.success());
        assert_eq!(sign_order(&fleet, &two), Ok(()));
        assert_eq!(signs(&fleet, "three", 3), Ok(()));
        // Pulled out while a canary is asked for.
        held.token.remove().unwrap();
        let canary = fleet.client(0).call(RequestBody::Canary { challenge: "c".to_owned() });
        assert!(
            matches!(canary, Err(CallError::Refused(refusal)) if refusal.code == RefusalCode::DeviceGone && refusal.retry())
        );
        assert!(!hot(&fleet).open);
    });
}

#[test]
fn t04_a_device_opens_for_who_holds_its_pin_and_only_where_the_charter_wants_it() {
    alone("t04_a_device_opens_for_who_holds_its_pin_and_only_where_the_charter_wants_it", |hsm| {
        let held = Held::new(hsm);
        let mut fleet = Fleet::start_closed(held.special(&[]), |_| {});
        let data = fleet.directories[0].path().to_str().unwrap().to_owned();
        let wrong = file(held.here.path(), "wrong", "four grey heron");
        let open = |person: &str, pin: &str| {
            run(&["open", "--data", &data, "--person", person, "--device", "--pin-file", pin])
        };
        assert!(refusal(&open("olga", &held.pin)).contains("k3-holder: olga does not hold the PIN"));
        assert!(refusal(&open("kim", &wrong)).contains("device-pin: the PIN of the token alpha is wrong"));
        let shares = fleet.shares(0);
        let [one, two] = [&shares[0], &shares[1]].map(|path| path.to_str().unwrap());
        let output = fleet.open_with(0, &["--share", one, "--share", two]);
        assert!(refusal(&output).contains("device: the key of wallet hot is inside a device"), "{output:?}");
        assert_eq!(hot(&fleet).state, "inactive");
        let output = open("kim", &held.pin);
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "open: hot\n");
        // Opened again it asks for the PIN again; with a wrong one it is closed.
        assert!(open("kit", &held.pin).status.success());
        assert_eq!((hot(&fleet).state.as_str(), hot(&fleet).open), ("in-use", true));
        assert!(refusal(&open("kim", &wrong)).contains("device-pin"));
        assert_eq!((hot(&fleet).state.as_str(), hot(&fleet).open), ("inactive", false));
        assert!(open("kim", &held.pin).status.success());

        // A charter that wants another device closes it, and it stays closed.
        let own = hot(&fleet).device.split(',').next().unwrap().to_owned();
        adopt(&mut fleet, |charter| charter.signers[0].device = format!("{KIND}99.9"));
        assert!(!hot(&fleet).open);
        let text = refusal(&open("kim", &held.pin));
        let wanted = format!("in a device {KIND}99.9; this one is in a device {own}");
        assert!(text.contains("device: the charter wants") && text.contains(&wanted), "{text}");
        // So it is for keys of no device.
        adopt(&mut fleet, |charter| charter.signers[1].device = own.clone());
        let output = fleet.open(1);
        assert!(refusal(&output).contains("this one is in a sealed file"), "{output:?}");
        adopt(&mut fleet, |charter| {
            charter.signers[0].device = own.clone();
            charter.signers[1].device = String::new();
        });
        assert!(open("kim", &held.pin).status.success() && fleet.open(1).status.success());
        assert_eq!(signs(&fleet, "one", 1), Ok(()));
        // Who administers the machine holds no PIN of its device.
        close(&fleet);
        adopt(&mut fleet, |charter| charter.signers[0].custodians = vec!["kit".parse().unwrap()]);
        assert!(refusal(&open("kim", &held.pin)).contains("k3-holder: kit administers this machine"));
    });
}

#[test]
fn a_key_that_was_cloned_outlives_its_first_device() {
    alone("a_key_that_was_cloned_outlives_its_first_device", |hsm| {
        let held = Held::new(hsm);
        let fleet = Fleet::start_closed(held.special(&["--device-clone"]), |_| {});
        assert!(fleet.open(1).status.success());
        let output = fleet.open(0);
        assert!(refusal(&output).contains("can still leave the token alpha: clone it, and seal it"), "{output:?}");
        hsm.make_token("beta", PIN).unwrap();
        let place = |token: &str, key: &str| format!("{}:{token}:{key}:{}", held.module, held.pin);
        let output = run(&["device", "clone", "--from", &place("alpha", "sign"), "--to", &place("beta", "second")]);
        let said = String::from_utf8(output.stdout.clone()).unwrap();
        assert!(output.status.success(), "{output:?}");
        let sealed = "sealed: cannot leave the device any more";
        assert!(said.contains(&format!("made here, {sealed}")) && said.contains("a clone, "), "{said}");
        // Nothing of the ceremony stays behind, and it cannot be held again.
        for label in ["alpha", "beta"] {
            assert_eq!(held.open(label).keys().unwrap().len(), 1);
        }
        let again = run(&["device", "clone", "--from", &place("alpha", "sign"), "--to", &place("beta", "third")]);
        assert!(refusal(&again).contains("cannot leave the token"), "{again:?}");
        for label in ["alpha", "beta"] {
            assert_eq!(held.open(label).keys().unwrap().len(), 1, "nor does anything stay of what failed");
        }
        assert!(fleet.open(0).status.success());
        assert_eq!(signs(&fleet, "one", 1), Ok(()));
        let first = hot(&fleet).device;

        close(&fleet);
        let Held { token, pin, here: _here, .. } = held;
        token.destroy().unwrap();
        let output = fleet.open(0);
        assert!(refusal(&output).contains("device-gone: no token alpha "), "{output:?}");
        let output = fleet.open_with(0, &["--device", "--token", "beta:other", "--pin-file", &pin]);
        assert!(refusal(&output).contains("has no signing key other"), "{output:?}");
        let output = fleet.open_with(0, &["--device", "--token", "beta:second", "--pin-file", &pin]);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(signs(&fleet, "two", 2), Ok(()));
        let second = hot(&fleet).device;
        assert_ne!(first, second, "the journal has the other serial number");
        // From now on it is the device of last time.
        close(&fleet);
        assert!(fleet.open(0).status.success());
        assert_eq!(hot(&fleet).device, second);
    });
}
