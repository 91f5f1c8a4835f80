//! Keys inside devices: a token that seals a signer's keys, tried on SoftHSM.
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

use common::hex_of;
use common::processes::{Fleet, Special, run};
use sealing::SlotKind;
use signer::server::now;
use signer::vault::Vault;
use signer_client::sign;
use testkit::SoftHsm;

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

/// Whether two of three signers, the first among them, sign a withdrawal.
fn signs(fleet: &Fleet, key: &str, salt: u32) -> bool {
    let (instruction, wire) = fleet.house.withdrawal(key, 50_000, now());
    let psbt = fleet.house.psbt(&[fleet.house.coin(0, 200_000, salt)], &[&instruction], 1_000);
    sign(&mut fleet.clients()[..2], 2, &[wire], &hex_of(&psbt)).is_ok()
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
        assert!(signs(&fleet, "one", 1));
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
