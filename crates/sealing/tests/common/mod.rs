//! One envelope with every kind of slot, and randomness that can be repeated.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of tests: failing here is the test failing")]

use std::collections::{BTreeMap, BTreeSet};

use sealing::{Context, DataKey, Envelope, ItemName, Kek, NewSlot, NoRandomness, SlotName, TokenKey};
use types::{Digest, Network, OperatorId};
use zeroize::Zeroizing;

pub const SEED: &[u8] = b"a seed of 32 bytes, never shown.";
pub const JOURNAL_KEY: &[u8] = b"the key that signs journal heads";

/// The same seed gives the same bytes.
pub fn seeded(seed: u64) -> impl FnMut(&mut [u8]) -> Result<(), NoRandomness> {
    let mut count: u64 = 0;
    move |bytes| {
        for chunk in bytes.chunks_mut(32) {
            count += 1;
            let digest = Digest::of(&[b"sealing-tests\n", &seed.to_be_bytes(), &count.to_be_bytes()]);
            chunk.copy_from_slice(&digest.as_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

pub fn context(signer: &str, network: Network, purpose: &str) -> Context {
    Context { signer: signer.parse().unwrap(), network, purpose: purpose.parse().unwrap() }
}

pub fn ours() -> Context {
    context("signer-1", Network::Regtest, "seed")
}

pub fn slot_name(text: &str) -> SlotName {
    text.parse().unwrap()
}

pub fn item_name(text: &str) -> ItemName {
    text.parse().unwrap()
}

pub fn people(names: &[&str]) -> BTreeSet<OperatorId> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

pub fn items() -> BTreeMap<ItemName, Zeroizing<Vec<u8>>> {
    let item = |name, secret: &[u8]| (item_name(name), Zeroizing::new(secret.to_vec()));
    BTreeMap::from([item("seed", SEED), item("journal-key", JOURNAL_KEY)])
}

/// The key-encryption key of a slot in these tests.
pub fn kek(name: &str) -> Kek {
    Kek::from_bytes(Digest::of(&[b"kek\n", name.as_bytes()]).as_bytes())
}

pub fn shares(name: &str) -> NewSlot {
    NewSlot::shares(slot_name(name), people(&["alice", "bob", "carol"]), "4711".to_owned(), 2, kek(name)).unwrap()
}

pub fn token(name: &str) -> NewSlot {
    let token = TokenKey {
        label: "custody \"A\"".to_owned(),
        serial: "0123456789abcdef".to_owned(),
        model: "SoftHSM v2".to_owned(),
        key_id: vec![0xa1, 0xb2],
        mechanism: "CKM_AES_KEY_WRAP_PAD".to_owned(),
        wrapped: vec![7; 40],
    };
    NewSlot::token(slot_name(name), people(&["dave"]), token, kek(name)).unwrap()
}

pub const ARMOUR: &str =
    "-----BEGIN AGE ENCRYPTED FILE-----\nYWdlLWVuY3J5cHRpb24ub3JnL3Yx\n-----END AGE ENCRYPTED FILE-----\n";
pub const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

pub fn age(name: &str) -> NewSlot {
    let recipients = vec![RECIPIENT.to_owned()];
    NewSlot::age(slot_name(name), people(&["erin"]), recipients, ARMOUR.to_owned(), kek(name)).unwrap()
}

/// Slots of these tests that open with [`kek`].
pub const SLOTS: [&str; 3] = ["by-age", "by-shares", "by-token"];

/// An envelope with the three slots that need no derivation.
pub fn envelope_of(context: Context, seed: u64) -> (Envelope, DataKey) {
    let slots = vec![age("by-age"), shares("by-shares"), token("by-token")];
    Envelope::create(context, &items(), slots, &mut seeded(seed)).unwrap()
}

pub fn envelope() -> (Envelope, DataKey) {
    envelope_of(ours(), 1)
}
