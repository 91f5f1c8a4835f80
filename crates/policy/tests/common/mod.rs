//! A charter with two organisations, real SSH keys made by `ssh-keygen`, and instructions to decide about.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper of tests: failing here is the test failing")]

use std::path::{Path, PathBuf};
use std::process::Command;

use policy::{
    ActivationCaps, Charter, Customer, Destinations, FeeCaps, Operator, PaymentKind, Quorum, RelyingParty, Role,
    SignerIdentity, Tier, Wallet, WalletClass, WalletWindow, Window,
};
use types::{Amount, Approval, Asset, Body, Digest, Instruction, Moment, Network, Payment, Transfer};

pub const NOW: i64 = 1_800_000_000;

pub fn keygen(directory: &Path, name: &str, kind: &str) -> (PathBuf, String) {
    let path = directory.join(name);
    let status = Command::new("ssh-keygen")
        .args(["-q", "-t", kind, "-N", "", "-C", name, "-f"])
        .arg(&path)
        .status()
        .expect("ssh-keygen is needed: install the package openssh-client");
    assert!(status.success());
    let public = std::fs::read_to_string(path.with_extension("pub")).unwrap();
    (path, public.trim().to_owned())
}

pub fn ssh_sign(key: &Path, namespace: &str, digest: &Digest) -> String {
    let file = key.with_extension(format!("{digest}-{namespace}"));
    let armoured = PathBuf::from(format!("{}.sig", file.display()));
    if armoured.exists() {
        return std::fs::read_to_string(armoured).unwrap();
    }
    std::fs::write(&file, format!("{digest}\n")).unwrap();
    let status = Command::new("ssh-keygen")
        .args(["-q", "-Y", "sign", "-n", namespace, "-f"])
        .arg(key)
        .arg(&file)
        .status()
        .unwrap();
    assert!(status.success());
    std::fs::read_to_string(armoured).unwrap()
}

pub fn approval(operator: &str, signature: String) -> Approval {
    Approval { operator: operator.parse().unwrap(), signature }
}

/// An Ed25519 public key, each number another.
pub fn ed25519(number: u8) -> [u8; 32] {
    ed25519_dalek::SigningKey::from_bytes(&[number; 32]).verifying_key().to_bytes()
}

/// The same as a line of OpenSSH, with a comment.
pub fn ssh_line(number: u8, comment: &str) -> String {
    let key = ssh_key::public::Ed25519PublicKey(ed25519(number));
    format!("{} {comment}", ssh_key::PublicKey::from(key).to_openssh().unwrap())
}

pub fn operator(id: &str, organisation: &str, keys: &[String]) -> Operator {
    Operator {
        id: id.parse().unwrap(),
        name: id.to_uppercase(),
        organisation: organisation.to_owned(),
        roles: vec![Role::Approver, Role::Requester],
        expires: None,
        review: None,
        keys: keys.to_vec(),
        passkeys: vec![],
    }
}

pub fn wallet(id: &str, class: WalletClass) -> Wallet {
    Wallet {
        id: id.parse().unwrap(),
        asset: Asset::Bitcoin(Network::Regtest),
        class,
        descriptor: format!("descriptor of {id}"),
        gap_limit: 100,
    }
}

/// Automatic up to 100 units each and 250 in an hour, quorum of two up to 10,000; 12,000 in a day over all.
pub fn charter(operators: Vec<Operator>) -> Charter {
    let hot: types::WalletId = "hot".parse().unwrap();
    let window = |seconds, units| Window { seconds, amount_max: Amount::from_units(units) };
    let tier = |name: &str, kind, units, windows, people, destinations| Tier {
        name: name.to_owned(),
        wallet: hot.clone(),
        kind,
        amount_max: Amount::from_units(units),
        windows,
        quorum: Quorum { people, organisations: people },
        destinations,
        customer_signature: kind == PaymentKind::CustomerWithdrawal,
        device_bound: false,
        delay_seconds: 0,
        hours: None,
    };
    let two = Quorum { people: 2, organisations: 2 };
    Charter {
        version: 1,
        previous: None,
        network: Network::Regtest,
        operators,
        relying_party: RelyingParty::default(),
        customers: vec![Customer { id: "alice".parse().unwrap(), keys: vec![ed25519(7)] }],
        signers: (1..=3u8)
            .map(|n| SignerIdentity::online(format!("s{n}").parse().unwrap(), ed25519(100 + n)))
            .collect(),
        wallets: vec![wallet("hot", WalletClass::Hot), wallet("cold", WalletClass::Cold)],
        tiers: vec![
            tier("automatic", PaymentKind::CustomerWithdrawal, 100, vec![window(3600, 250)], 0, Destinations::Any),
            tier("quorum", PaymentKind::CustomerWithdrawal, 10_000, vec![], 2, Destinations::Any),
            tier("sweep", PaymentKind::OperatorTransfer, 10_000, vec![], 1, Destinations::OwnWallets),
        ],
        totals: vec![WalletWindow { wallet: hot.clone(), window: window(86_400, 12_000) }],
        allow_list: vec![],
        address_book_seconds: 86_400,
        fee: FeeCaps { sats_max: 100_000, sats_per_kvb_max: 500_000 },
        charter_quorum: two,
        release_quorum: two,
        key_quorum: two,
        own_reading: 1,
        activation: ActivationCaps { seconds_max: 86_400, signatures_max: 1_000 },
        clock_step_seconds_max: 3600,
        instruction_seconds_max: 86_400,
    }
}

pub fn withdrawal(amount: u128) -> Instruction {
    Instruction {
        id: "wd-1".parse().unwrap(),
        created: Moment::from_seconds(NOW - 10),
        expires: Moment::from_seconds(NOW + 3600),
        charter: 1,
        body: Body::CustomerWithdrawal(Payment {
            customer: "alice".parse().unwrap(),
            asset: Asset::Bitcoin(Network::Regtest),
            wallet: "hot".parse().unwrap(),
            destination: "bcrt1qexample".to_owned(),
            amount: Amount::from_units(amount),
            fee_max: Amount::from_units(50),
        }),
    }
}

pub fn transfer(requester: &str) -> Instruction {
    Instruction {
        body: Body::OperatorTransfer(Transfer {
            requester: requester.parse().unwrap(),
            asset: Asset::Bitcoin(Network::Regtest),
            wallet: "hot".parse().unwrap(),
            destination_wallet: "cold".parse().unwrap(),
            destination_index: 0,
            destination: "bcrt1qcold".to_owned(),
            amount: Amount::from_units(500),
            fee_max: Amount::from_units(50),
        }),
        ..withdrawal(500)
    }
}
