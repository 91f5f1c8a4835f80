//! Which descriptors are wallets of ours.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test, failing here is the test failing")]

mod common;

use chains::bitcoin::{Branch, DescriptorError, WalletDescriptor};
use common::vault;
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
    let vault = vault(1);
    let whole: Descriptor<DescriptorPublicKey> = vault.text.parse().unwrap();
    let singles = whole.into_single_descriptors().unwrap();
    for (branch, single) in [Branch::Receive, Branch::Change].into_iter().zip(singles) {
        for index in [0, 1, 2, 77, 1_000_000, (1 << 31) - 1] {
            let theirs = single.at_derivation_index(index).unwrap();
            let ours = vault.wallet.derive(branch, index).unwrap();
            assert_eq!(ours.script_pubkey, theirs.script_pubkey());
            assert_eq!(ours.witness_script, theirs.explicit_script().unwrap());
            assert_eq!(ours.address, theirs.address(bitcoin::Network::Regtest).unwrap().to_string());
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
