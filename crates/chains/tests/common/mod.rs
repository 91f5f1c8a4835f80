//! A 2-of-3 wallet with its three account keys, and transactions that pay it.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "a helper of tests: failing here is the test failing")]

use bitcoin::absolute::LockTime;
use bitcoin::bip32::{DerivationPath, Xpriv, Xpub};
use bitcoin::psbt::Psbt;
use bitcoin::secp256k1::{All, PublicKey, Secp256k1, SecretKey};
use bitcoin::transaction::Version;
use bitcoin::{Amount, NetworkKind, ScriptBuf, Transaction, TxOut};
use chains::bitcoin::{AccountKey, Branch, Caps, Change, Input, Payment, WalletDescriptor, generate};
use types::Network;

pub struct Vault {
    pub secp: Secp256k1<All>,
    pub accounts: Vec<Xpriv>,
    pub text: String,
    pub wallet: WalletDescriptor,
}

pub fn vault(seed: u8) -> Vault {
    let secp = Secp256k1::new();
    let path: DerivationPath = "m/48'/1'/0'/2'".parse().unwrap();
    let mut accounts = Vec::new();
    let mut keys = Vec::new();
    for signer in 0..3u8 {
        let master =
            Xpriv::new_master(NetworkKind::Test, &[seed, signer, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14])
                .unwrap();
        let account = master.derive_priv(&secp, &path).unwrap();
        keys.push(format!("[{}/48'/1'/0'/2']{}/<0;1>/*", master.fingerprint(&secp), Xpub::from_priv(&secp, &account)));
        accounts.push(account);
    }
    let text = format!("wsh(sortedmulti(2,{}))", keys.join(","));
    let wallet = WalletDescriptor::parse(&text, Network::Regtest).unwrap();
    Vault { secp, accounts, text, wallet }
}

/// A 2-of-3 wallet whose first key is held by a device.
pub struct DeviceVault {
    pub secp: Secp256k1<All>,
    /// What the device holds.
    pub device: (SecretKey, PublicKey),
    /// The accounts of all three; the first is not the wallet's.
    pub accounts: Vec<Xpriv>,
    pub text: String,
    pub wallet: WalletDescriptor,
}

pub fn with_device(seed: u8) -> DeviceVault {
    let Vault { secp, accounts, text, .. } = vault(seed);
    let secret = SecretKey::from_slice(&[seed.wrapping_add(100); 32]).unwrap();
    let public = secret.public_key(&secp);
    let (first, _) = text.trim_start_matches("wsh(sortedmulti(2,").split_once(',').unwrap();
    let text = text.replace(first, &AccountKey::of_device(public).to_string());
    let wallet = WalletDescriptor::parse(&text, Network::Regtest).unwrap();
    DeviceVault { secp, device: (secret, public), accounts, text, wallet }
}

/// A coin of `sats` at `index` of the receiving branch; `salt` makes its transaction different from others.
pub fn coin(wallet: &WalletDescriptor, index: u32, sats: u64, salt: u32) -> Input {
    let script = wallet.derive(Branch::Receive, index).unwrap().script_pubkey;
    let decoy = TxOut { value: Amount::from_sat(777), script_pubkey: ScriptBuf::new() };
    let previous = Transaction {
        version: Version::TWO,
        lock_time: LockTime::from_consensus(salt),
        input: vec![],
        output: vec![decoy, TxOut { value: Amount::from_sat(sats), script_pubkey: script }],
    };
    Input { previous, vout: 1, branch: Branch::Receive, index }
}

pub fn outside(sats: u64) -> Payment {
    let script =
        chains::bitcoin::parse_address("bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080", Network::Regtest).unwrap();
    Payment { script, sats }
}

pub const CAPS: Caps = Caps { fee_sats_max: 50_000, sats_per_kvb_max: 100_000, change_index_max: 50 };

/// Pays 60,000 of 100,000 satoshis, with 1,000 of fee.
pub fn honest(vault: &Vault) -> (Psbt, Vec<Payment>) {
    honest_from(&vault.wallet)
}

pub fn honest_from(wallet: &WalletDescriptor) -> (Psbt, Vec<Payment>) {
    let payments = vec![outside(60_000)];
    let inputs = [coin(wallet, 3, 70_000, 1), coin(wallet, 4, 30_000, 2)];
    let psbt = generate(wallet, &inputs, &payments, Some(Change { index: 5, sats: 39_000 }), 1, 100).unwrap();
    (psbt, payments)
}
