//! What somebody with the file, but without a key, can make of it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test, failing here is the test failing")]

mod common;

use common::*;
use proptest::prelude::*;
use sealing::{DataKey, Envelope, SealingError, SlotRule};
use types::Network;

/// Every way in and every item, after somebody changed the document: the secrets as they were, or a refusal.
fn check(original: &Envelope, bytes: &[u8]) {
    let Ok(changed) = Envelope::from_bytes(bytes) else { return };
    if changed == *original {
        // One envelope has one spelling.
        assert_eq!(bytes, original.to_bytes().unwrap());
        return;
    }
    for name in SLOTS {
        let name = slot_name(name);
        assert!(changed.open_slot(&ours(), &name, &kek(name.as_str())).is_err());
        if let Ok(key) = changed.open_slot_of_damaged(&ours(), &name, &kek(name.as_str())) {
            let mut fresh = changed.clone();
            let refused = fresh.put_item(&key, item_name("more"), b"", &mut seeded(4)).unwrap_err();
            assert_eq!(refused, SealingError::Changed, "what was changed is never sealed as if it were ours");
            for (name, secret) in items() {
                if let Ok(opened) = changed.open_item(&key, &name) {
                    assert_eq!(opened, secret);
                }
            }
        }
    }
}

#[test]
fn t05_any_changed_byte_of_a_sealed_document_is_found() {
    let (envelope, _) = envelope();
    let bytes = envelope.to_bytes().unwrap();
    let mut read = 0;
    for position in 0..bytes.len() {
        for flip in [0x01, 0x20] {
            let mut changed = bytes.clone();
            changed[position] ^= flip;
            read += u32::from(Envelope::from_bytes(&changed).is_ok());
            check(&envelope, &changed);
        }
    }
    assert!(read > 200, "many changes must get as far as the cryptography, {read} did");
}

proptest! {
    #[test]
    fn edits_release_no_other_secret(edits in prop::collection::vec((any::<prop::sample::Index>(), 0usize..40, any::<prop::sample::Index>()), 1..4)) {
        let (envelope, _) = envelope();
        let original = envelope.to_bytes().unwrap();
        let mut bytes = original.clone();
        // Pieces of the document copied over other places of it, which keeps more of its form than noise does.
        for (from, length, to) in edits {
            let from = from.index(bytes.len());
            let piece = bytes[from..(from + length).min(bytes.len())].to_vec();
            let to = to.index(bytes.len());
            let end = (to + piece.len()).min(bytes.len());
            bytes.splice(to..end, piece);
        }
        check(&envelope, &bytes);
    }

    #[test]
    fn noise_is_no_document(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Envelope::from_bytes(&bytes).is_err());
    }
}

/// The lines of one slot or item, without its name.
fn part<'a>(text: &'a str, name: &str) -> &'a str {
    let start = text.find(&format!("\n    \"{name}\": {{\n")).unwrap();
    let body = start + 1 + text[start + 1..].find('\n').unwrap() + 1;
    let end = body + text[body..].find("\n    }").unwrap();
    &text[body..end]
}

fn text(envelope: &Envelope) -> String {
    String::from_utf8(envelope.to_bytes().unwrap()).unwrap()
}

/// Reads an edited document, which must be well formed, and opens a slot although something is damaged.
fn edited(text: &str) -> (Envelope, DataKey) {
    let envelope = Envelope::from_bytes(text.as_bytes()).unwrap();
    let name = slot_name("by-token");
    assert_eq!(envelope.open_slot(&ours(), &name, &kek("by-token")).unwrap_err(), SealingError::Changed);
    let key = envelope.open_slot_of_damaged(&ours(), &name, &kek("by-token")).unwrap();
    (envelope, key)
}

#[test]
fn items_that_change_their_names_are_refused() {
    let text = text(&envelope().0);
    let (seed, journal_key) = (part(&text, "seed"), part(&text, "journal-key"));
    let swapped = text.replace(seed, "SEED").replace(journal_key, seed).replace("SEED", journal_key);
    let (envelope, key) = edited(&swapped);
    for name in ["seed", "journal-key"] {
        let refused = envelope.open_item(&key, &item_name(name)).unwrap_err();
        assert_eq!(refused, SealingError::ItemDamaged(item_name(name)));
    }
}

#[test]
fn items_that_are_removed_or_renamed_are_missed() {
    let text = text(&envelope().0);
    let item = |name| format!("    \"{name}\": {{\n{}\n    }}", part(&text, name));
    let removed = text.replace(&format!(",\n{}", item("seed")), "");
    let (envelope, key) = edited(&removed);
    assert_eq!(envelope.open_item(&key, &item_name("seed")).unwrap_err(), SealingError::UnknownItem(item_name("seed")));
    let (envelope, key) = edited(&text.replace("\"seed\": {", "\"weed\": {"));
    assert_eq!(envelope.open_item(&key, &item_name("weed")).unwrap_err(), SealingError::ItemDamaged(item_name("weed")));
}

/// The same randomness gives the same data key, so that nothing but the binding keeps the documents apart.
#[test]
fn items_of_another_signer_network_purpose_or_file_are_refused() {
    let mine = text(&envelope().0);
    for (context, seed) in [
        (context("signer-2", Network::Regtest, "seed"), 1),
        (context("signer-1", Network::Bitcoin, "seed"), 1),
        (context("signer-1", Network::Regtest, "accounts"), 1),
        (ours(), 2),
    ] {
        let theirs = text(&envelope_of(context, seed).0);
        let (envelope, key) = edited(&mine.replace(part(&mine, "seed"), part(&theirs, "seed")));
        let refused = envelope.open_item(&key, &item_name("seed")).unwrap_err();
        assert_eq!(refused, SealingError::ItemDamaged(item_name("seed")));
        assert_eq!(envelope.open_item(&key, &item_name("journal-key")).unwrap().as_slice(), JOURNAL_KEY);

        // Nor does a slot of theirs open here: under another context or another data key's name.
        let slot = mine.replace(part(&mine, "by-age"), part(&theirs, "by-age"));
        let envelope = Envelope::from_bytes(slot.as_bytes()).unwrap();
        let refused = envelope.open_slot_of_damaged(&ours(), &slot_name("by-age"), &kek("by-age")).unwrap_err();
        assert_eq!(refused, SealingError::WrongKey(slot_name("by-age")));
    }
}

#[test]
fn a_document_that_claims_another_signer_or_network_does_not_open() {
    let text = text(&envelope().0);
    for (from, to, context) in [
        ("\"signer-1\"", "\"signer-2\"", context("signer-2", Network::Regtest, "seed")),
        ("\"regtest\"", "\"bitcoin\"", context("signer-1", Network::Bitcoin, "seed")),
        ("\"purpose\": \"seed\"", "\"purpose\": \"accounts\"", context("signer-1", Network::Regtest, "accounts")),
    ] {
        let claimed = Envelope::from_bytes(text.replace(from, to).as_bytes()).unwrap();
        for name in SLOTS {
            let refused = claimed.open_slot_of_damaged(&context, &slot_name(name), &kek(name)).unwrap_err();
            assert_eq!(refused, SealingError::WrongKey(slot_name(name)));
        }
    }
}

#[test]
fn an_older_item_or_slot_of_the_same_document_is_found() {
    let (mut envelope, key) = envelope();
    let before = text(&envelope);
    envelope.put_item(&key, item_name("seed"), b"another seed altogether, 32 bytes", &mut seeded(5)).unwrap();
    let now = text(&envelope);
    let (mixed, key) = edited(&now.replace(part(&now, "seed"), part(&before, "seed")));
    // It is a secret of that name, only an older one, which nothing but the document's seal can tell.
    assert_eq!(mixed.open_item(&key, &item_name("seed")).unwrap().as_slice(), SEED);

    envelope.remove_slot(&key, &slot_name("by-age"), &mut seeded(6)).unwrap();
    let now = text(&envelope);
    let back = format!("\"slots\": {{\n    \"by-age\": {{\n{}\n    }},", part(&before, "by-age"));
    let _ = edited(&now.replace("\"slots\": {", &back));
}

#[test]
fn what_a_slot_says_of_itself_is_bound_to_it() {
    let text = text(&envelope().0);
    for (slot, from, to) in [
        ("by-shares", "\"threshold\": 2", "\"threshold\": 3"),
        ("by-shares", "\"set\": \"4711\"", "\"set\": \"4712\""),
        ("by-shares", "\"carol\"", "\"mallory\""),
        ("by-token", "\"key-id\": \"a1b2\"", "\"key-id\": \"a1b3\""),
        ("by-token", "CKM_AES_KEY_WRAP_PAD", "CKM_AES_KEY_WRAP"),
        ("by-age", RECIPIENT, "age1mallory"),
        ("by-age", "\"by-age\"", "\"by-bge\""),
    ] {
        let changed = Envelope::from_bytes(text.replace(from, to).as_bytes()).unwrap();
        let name = slot_name(if to == "\"by-bge\"" { "by-bge" } else { slot });
        let refused = changed.open_slot_of_damaged(&ours(), &name, &kek(slot)).unwrap_err();
        assert_eq!(refused, SealingError::WrongKey(name), "{from} -> {to}");
    }
}

#[test]
fn a_changed_file_cannot_ask_for_absurd_memory_or_make_guessing_easy() {
    let (mut envelope, key) = envelope();
    let passphrase = "correct horse battery staple";
    let slot = sealing::NewSlot::passphrase(slot_name("p"), people(&["alice"]), passphrase, &mut seeded(2)).unwrap();
    envelope.add_slot(&key, slot, &mut seeded(3)).unwrap();
    let text = text(&envelope);
    for (from, to, rule) in [
        ("\"memory-kib\": 65536", "\"memory-kib\": 4294967295", SlotRule::AbsurdArgon2),
        ("\"memory-kib\": 65536", "\"memory-kib\": 1048577", SlotRule::AbsurdArgon2),
        ("\"passes\": 3", "\"passes\": 4000000000", SlotRule::AbsurdArgon2),
        ("\"lanes\": 4", "\"lanes\": 17", SlotRule::AbsurdArgon2),
        ("\"memory-kib\": 65536", "\"memory-kib\": 65535", SlotRule::WeakArgon2),
        ("\"passes\": 3", "\"passes\": 2", SlotRule::WeakArgon2),
        ("\"lanes\": 4", "\"lanes\": 0", SlotRule::WeakArgon2),
    ] {
        assert!(text.contains(from));
        let refused = Envelope::from_bytes(text.replace(from, to).as_bytes()).unwrap_err();
        assert_eq!(refused, SealingError::Slot { slot: slot_name("p"), rule }, "{to}");
    }
    let refused = Envelope::from_bytes(text.replace("argon2id-v19", "argon2i-v19").as_bytes()).unwrap_err();
    assert!(matches!(refused, SealingError::Form { .. }), "{refused}");
    // Within the bounds, the change is bound to the slot: the right passphrase gives another key.
    let changed = Envelope::from_bytes(text.replace("\"passes\": 3", "\"passes\": 4").as_bytes()).unwrap();
    let kek = changed.passphrase_kek(&slot_name("p"), passphrase).unwrap();
    let refused = changed.open_slot_of_damaged(&ours(), &slot_name("p"), &kek).unwrap_err();
    assert_eq!(refused, SealingError::WrongKey(slot_name("p")));
}

#[test]
fn what_is_no_document_is_named_and_not_repeated() {
    let text = text(&envelope().0);
    let read = |text: &str| Envelope::from_bytes(text.as_bytes()).unwrap_err();
    assert_eq!(read(&text.replace("sealed-v1", "sealed-v2")), SealingError::Version);
    assert_eq!(read(&text.replace("\": ", "\":")), SealingError::NotCanonical);
    assert_eq!(read(text.trim_end()), SealingError::NotCanonical);
    assert_eq!(read(&format!("{text}\n")), SealingError::NotCanonical);
    let capital = text.replacen("\"k3\": \"", "\"k3\": \"AB", 1);
    assert_eq!(read(&capital), SealingError::Value("a hexadecimal value"));
    let twice = text.replace("\"set\": \"4711\"", "\"set\": \"4711\",\n        \"set\": \"4711\"");
    assert!(matches!(read(&twice), SealingError::Form { .. }));
    let unknown = text.replace("\"purpose\"", "\"note\": \"x\",\n    \"purpose\"");
    assert!(matches!(read(&unknown), SealingError::Form { .. }));
    let holders =
        text.replace("\"alice\",", "\"bob\",").replace("\"bob\",\n        \"bob\"", "\"bob\",\n        \"alice\"");
    assert_eq!(read(&holders), SealingError::NotCanonical);
    assert_eq!(read(&text.replace("\"alice\"", "\"Alice\"")), SealingError::Value("a holder"));
    assert_eq!(read(&text.replace("regtest", "mainnet")), SealingError::Value("the network"));

    let secret = "abandon abandon abandon abandon abandon abandon abandon abandon about";
    for wrong in [
        secret.to_owned(),
        format!("\"{secret}\""),
        format!("{{\"version\": \"{secret}\"}}"),
        format!("{{\"version\": \"claviger-sealed-v1\", \"{secret}\": 1}}"),
        text.replace("\"regtest\"", &format!("\"{secret}\"")),
        text.replace("\"threshold\": 2", &format!("\"threshold\": \"{secret}\"")),
    ] {
        let refused = read(&wrong);
        assert!(!format!("{refused} {refused:?}").contains("abandon"), "{refused:?}");
    }
}
