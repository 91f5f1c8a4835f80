//! Which descriptors are wallets of ours.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test, failing here is the test failing")]

mod common;

use std::collections::BTreeSet;

use bitcoin::bip32::{ChildNumber, Xpub};
use bitcoin::secp256k1::{PublicKey, SecretKey};
use chains::bitcoin::{AccountKey, AccountPublic, Branch, DescriptorError, WalletDescriptor};
use common::{vault, with_device};
use miniscript::{Descriptor, DescriptorPublicKey};
use types::Network;

#[test]
fn addresses_agree_with_sorted_keys_and_differ_by_branch_and_index() {
    let vault = vault(1);
    let receive = vault.wallet.derive(Branch::Receive, 0).unwrap();
    // BIP-67: keys stand in the script in the order of their bytes, which is the map's order.
    let script = receive.witness_script.as_bytes();
    let places: Vec<usize> = receive
        .keys
        .keys()
        .map(|key| script.windows(33).position(|window| window == key.serialize()).unwrap())
        .collect();
    assert!(places.is_sorted());
    assert!(receive.address.starts_with("bcrt1q"));
    let change = vault.wallet.derive(Branch::Change, 0).unwrap();
    let next = vault.wallet.derive(Branch::Receive, 1).unwrap();
    assert_ne!(receive.script_pubkey, change.script_pubkey);
    assert_ne!(receive.script_pubkey, next.script_pubkey);
    assert_eq!(vault.wallet.derive(Branch::Receive, 1 << 31), Err(DescriptorError::Index(1 << 31)));
}

#[test]
fn addresses_are_those_that_miniscript_derives_from_the_whole_descriptor() {
    let (plain, device) = (vault(1), with_device(1));
    for (text, wallet) in [(&plain.text, &plain.wallet), (&device.text, &device.wallet)] {
        let whole: Descriptor<DescriptorPublicKey> = text.parse().unwrap();
        let singles = whole.into_single_descriptors().unwrap();
        for (branch, single) in [Branch::Receive, Branch::Change].into_iter().zip(singles) {
            for index in [0, 1, 2, 77, 1_000_000, (1 << 31) - 1] {
                let theirs = single.at_derivation_index(index).unwrap();
                let ours = wallet.derive(branch, index).unwrap();
                assert_eq!(ours.script_pubkey, theirs.script_pubkey());
                assert_eq!(ours.witness_script, theirs.explicit_script().unwrap());
                assert_eq!(ours.address, theirs.address(bitcoin::Network::Regtest).unwrap().to_string());
            }
        }
    }
}

#[test]
fn t05_descriptors_that_weaken_the_wallet_are_refused() {
    let good = vault(1).text;
    let refused = |text: &str| WalletDescriptor::parse(text, Network::Regtest).unwrap_err();
    let one_key = |text: &str| text.split(',').nth(1).unwrap().to_owned();
    assert!(WalletDescriptor::parse(&good, Network::Regtest).is_ok());
    assert!(matches!(refused(&good.replace("sortedmulti(2", "sortedmulti(1")), DescriptorError::Minority { .. }));
    assert!(matches!(refused(&good.replace("sortedmulti", "multi")), DescriptorError::Shape(_)));
    assert!(matches!(
        refused(&good.replacen("/<0;1>/*", "/0/*", 1)),
        DescriptorError::Shape(_) | DescriptorError::Form(_)
    ));
    assert!(matches!(refused(&good.replace("<0;1>", "<0;2>")), DescriptorError::Shape(_)));
    assert!(matches!(refused(&good.replace("<0;1>", "<0;1;2>")), DescriptorError::Shape(_)));
    assert!(matches!(refused(&good.replace("/2']", "/1']")), DescriptorError::Shape(_)));
    assert!(matches!(refused(&good.replace("48'/1'", "48'/0'")), DescriptorError::WrongNetwork(_)));
    assert!(matches!(WalletDescriptor::parse(&good, Network::Bitcoin), Err(DescriptorError::WrongNetwork(_))));
    assert!(matches!(refused(&good.replace("wsh(", "sh(")), DescriptorError::Shape(_) | DescriptorError::Form(_)));
    assert!(matches!(refused("nonsense"), DescriptorError::Form(_)));
    let key = one_key(&good);
    let doubled = format!("wsh(sortedmulti(2,{key},{key}))").replace("sortedmulti(2", "sortedmulti(2");
    assert!(matches!(refused(&doubled), DescriptorError::SameKey | DescriptorError::Form(_)));
}

#[test]
fn a_device_key_stands_in_every_address_and_the_ranged_keys_make_them_differ() {
    let vault = with_device(1);
    let mut seen = BTreeSet::new();
    for branch in [Branch::Receive, Branch::Change] {
        for index in [0, 1, 7, (1 << 31) - 1] {
            let derived = vault.wallet.derive(branch, index).unwrap();
            assert!(seen.insert(derived.script_pubkey.clone()), "{branch:?} {index}");
            let (fingerprint, path) = derived.keys.get(&vault.device.1).unwrap();
            assert!(path.is_empty());
            // BIP-32: the first 32 bits of HASH160.
            let hash = bitcoin::PublicKey::new(vault.device.1).pubkey_hash();
            assert_eq!(fingerprint.as_bytes(), &bitcoin::hashes::Hash::as_byte_array(&hash)[..4]);
            let places: Vec<usize> = derived
                .keys
                .keys()
                .map(|key| derived.witness_script.as_bytes().windows(33).position(|w| w == key.serialize()).unwrap())
                .collect();
            assert!(places.is_sorted() && places.len() == 3);
            let ranged = derived.keys.values().filter(|(_, path)| path.len() == 6).count();
            assert_eq!(ranged, 2);
        }
    }
    let text = vault.wallet.keys().iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    assert_eq!(vault.text, format!("wsh(sortedmulti(2,{text}))"), "a key is written as it was read");
}

#[test]
fn t05_device_keys_that_weaken_the_wallet_are_refused() {
    let vault = with_device(1);
    let keys: Vec<&str> =
        vault.text.trim_start_matches("wsh(sortedmulti(2,").trim_end_matches("))").split(',').collect();
    let parse =
        |keys: &[&str]| WalletDescriptor::parse(&format!("wsh(sortedmulti(2,{}))", keys.join(",")), Network::Regtest);
    let refused = |device: &str| parse(&[device, keys[1], keys[2]]).unwrap_err();
    assert!(parse(&keys).is_ok());
    let plain = vault.device.1.to_string();
    let fingerprint = keys[0].split(']').next().unwrap().trim_start_matches('[');
    assert!(matches!(refused(&plain), DescriptorError::Shape("every key must name its origin")));
    assert!(matches!(refused(&format!("[00000000]{plain}")), DescriptorError::Fingerprint(_)));
    assert!(matches!(refused(&format!("[{fingerprint}/0]{plain}")), DescriptorError::Shape(_)));
    assert!(matches!(refused(&format!("[{fingerprint}/48'/1'/0'/2']{plain}")), DescriptorError::Shape(_)));
    let whole = hex::encode(vault.device.1.serialize_uncompressed());
    assert!(matches!(
        refused(&format!("[{fingerprint}]{whole}")),
        DescriptorError::Shape(_) | DescriptorError::Form(_)
    ));
    let x_only = &plain[2..];
    assert!(matches!(
        refused(&format!("[{fingerprint}]{x_only}")),
        DescriptorError::Shape(_) | DescriptorError::Form(_)
    ));
    // The same key twice, also as an account's own key, and also as a child of one: that signer would count twice.
    assert!(matches!(parse(&[keys[0], keys[0], keys[2]]), Err(DescriptorError::SameKey | DescriptorError::Form(_))));
    let account = Xpub::from_priv(&vault.secp, &vault.accounts[1]);
    let as_device = |key: PublicKey| AccountKey::of_device(key).to_string();
    assert_eq!(refused(&as_device(account.public_key)), DescriptorError::SameKey);
    let steps = [1, 5].map(|index| ChildNumber::Normal { index });
    let child = account.derive_pub(&vault.secp, &steps).unwrap().public_key;
    let trap = parse(&[&as_device(child), keys[1], keys[2]]).unwrap();
    assert!(trap.derive(Branch::Receive, 5).is_ok());
    assert_eq!(trap.derive(Branch::Change, 5), Err(DescriptorError::SameKey));
    // Keys of devices alone: one address for everything.
    let others: Vec<String> =
        (1..3u8).map(|byte| as_device(SecretKey::from_slice(&[byte; 32]).unwrap().public_key(&vault.secp))).collect();
    assert_eq!(parse(&[keys[0], &others[0], &others[1]]).unwrap_err(), DescriptorError::NoRangedKey);
    assert!(matches!(AccountKey::parse(keys[0], Network::Regtest).unwrap().public, AccountPublic::Device(_)));
}
