//! What an envelope does and refuses.
#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test, failing here is the test failing")]

mod common;

use std::collections::BTreeMap;

use common::*;
use sealing::{
    Envelope, ITEM_BYTES_MAX, ITEMS_MAX, Kek, NewSlot, NoRandomness, PassphraseRule, SLOTS_MAX, SealingError, SlotKind,
    SlotRule, TokenKey,
};
use types::Network;

const PASSPHRASE: &str = "correct horse battery staple";

#[test]
fn any_one_slot_opens_everything() {
    let (mut envelope, key) = envelope();
    let slot = NewSlot::passphrase(slot_name("by-passphrase"), people(&["alice"]), PASSPHRASE, &mut seeded(2)).unwrap();
    envelope.add_slot(&key, slot, &mut seeded(3)).unwrap();
    let bytes = envelope.to_bytes().unwrap();
    let read = Envelope::from_bytes(&bytes).unwrap();
    assert_eq!((&read, read.to_bytes().unwrap()), (&envelope, bytes));

    let keks = SLOTS.map(|name| (name, kek(name)));
    let derived = read.passphrase_kek(&slot_name("by-passphrase"), PASSPHRASE).unwrap();
    for (name, kek) in keks.into_iter().chain([("by-passphrase", derived)]) {
        let opened = read.open_slot(&ours(), &slot_name(name), &kek).unwrap();
        assert_eq!(opened.id(), read.k3());
        assert_eq!(read.open_item(&opened, &item_name("seed")).unwrap().as_slice(), SEED);
        assert_eq!(read.open_item(&opened, &item_name("journal-key")).unwrap().as_slice(), JOURNAL_KEY);
    }
    let holders: Vec<&str> = read.holders().into_iter().map(|holder| holder.as_str()).collect();
    assert_eq!(holders, ["alice", "bob", "carol", "dave", "erin"]);

    let wrong = read.passphrase_kek(&slot_name("by-passphrase"), "correct horse battery stable").unwrap();
    let refused = read.open_slot(&ours(), &slot_name("by-passphrase"), &wrong).unwrap_err();
    assert_eq!(refused, SealingError::WrongKey(slot_name("by-passphrase")));
    assert!(refused.to_string().contains("cannot be told apart"), "{refused}");
}

#[test]
fn every_refusal_has_its_name() {
    let (envelope, key) = envelope();
    let nobody = slot_name("nobody");
    assert_eq!(envelope.open_slot(&ours(), &nobody, &kek("by-age")).unwrap_err(), SealingError::UnknownSlot(nobody));
    let refused = envelope.open_slot(&ours(), &slot_name("by-age"), &kek("by-token")).unwrap_err();
    assert_eq!(refused, SealingError::WrongKey(slot_name("by-age")));
    let nothing = item_name("nothing");
    assert_eq!(envelope.open_item(&key, &nothing).unwrap_err(), SealingError::UnknownItem(nothing));
    let refused = envelope.passphrase_kek(&slot_name("by-age"), PASSPHRASE).unwrap_err();
    assert_eq!(refused, SealingError::NotPassphrase(slot_name("by-age")));

    let (other, other_key) = envelope_of(ours(), 99);
    assert_ne!(other.k3(), envelope.k3());
    assert_eq!(envelope.open_item(&other_key, &item_name("seed")).unwrap_err(), SealingError::OtherDataKey);
    let refused = envelope.clone().put_item(&other_key, item_name("seed"), b"x", &mut seeded(5)).unwrap_err();
    assert_eq!(refused, SealingError::OtherDataKey);

    for found in [
        context("signer-2", Network::Regtest, "seed"),
        context("signer-1", Network::Bitcoin, "seed"),
        context("signer-1", Network::Regtest, "accounts"),
    ] {
        let (elsewhere, _) = envelope_of(found.clone(), 1);
        let refused = elsewhere.open_slot(&ours(), &slot_name("by-age"), &kek("by-age")).unwrap_err();
        assert_eq!(refused, SealingError::OtherContext { found });
    }
}

#[test]
fn passphrases_that_are_guessed_at_once_make_no_slot() {
    let refused = NewSlot::passphrase(slot_name("weak"), people(&["alice"]), "hunter2", &mut seeded(1)).unwrap_err();
    assert_eq!(refused, SealingError::Passphrase(PassphraseRule::Length));
}

#[test]
fn slots_come_and_go_but_the_last_one_stays() {
    let (mut envelope, key) = envelope();
    let mut random = seeded(2);
    assert_eq!(
        envelope.add_slot(&key, shares("by-age"), &mut random),
        Err(SealingError::SlotExists(slot_name("by-age")))
    );
    let nobody = slot_name("nobody");
    assert_eq!(envelope.remove_slot(&key, &nobody, &mut random), Err(SealingError::UnknownSlot(nobody)));
    envelope.remove_slot(&key, &slot_name("by-age"), &mut random).unwrap();
    envelope.remove_slot(&key, &slot_name("by-shares"), &mut random).unwrap();
    let last = slot_name("by-token");
    assert_eq!(envelope.remove_slot(&key, &last, &mut random), Err(SealingError::LastSlot(last.clone())));
    assert_eq!(envelope.slots().map(|slot| slot.name().as_str()).collect::<Vec<_>>(), ["by-token"]);
    assert!(envelope.open_slot(&ours(), &last, &kek("by-token")).is_ok());
    envelope.add_slot(&key, age("by-age"), &mut random).unwrap();
    envelope.remove_slot(&key, &last, &mut random).unwrap();
    let read = Envelope::from_bytes(&envelope.to_bytes().unwrap()).unwrap();
    assert_eq!(read.open_slot(&ours(), &slot_name("by-age"), &kek("by-age")).unwrap().id(), key.id());

    assert_eq!(
        Envelope::create(ours(), &items(), Vec::new(), &mut random).unwrap_err(),
        SealingError::NoSlot,
        "what nobody could open is not made"
    );
}

#[test]
fn items_are_put_and_replaced() {
    let (mut envelope, key) = envelope();
    let before = envelope.to_bytes().unwrap();
    envelope.put_item(&key, item_name("accounts"), b"[0,1]", &mut seeded(2)).unwrap();
    envelope.put_item(&key, item_name("accounts"), b"[0,1,2]", &mut seeded(3)).unwrap();
    let read = Envelope::from_bytes(&envelope.to_bytes().unwrap()).unwrap();
    let key = read.open_slot(&ours(), &slot_name("by-age"), &kek("by-age")).unwrap();
    assert_eq!(read.open_item(&key, &item_name("accounts")).unwrap().as_slice(), b"[0,1,2]");
    assert_eq!(read.items().map(|name| name.as_str()).collect::<Vec<_>>(), ["accounts", "journal-key", "seed"]);
    assert_ne!(read.to_bytes().unwrap(), before);
}

#[test]
fn rekeying_keeps_the_items_and_no_old_slot() {
    let (old, old_key) = envelope();
    let (new, new_key) = old.rekey(&old_key, vec![shares("by-shares-2")], &mut seeded(2)).unwrap();
    assert_ne!(new.k3(), old.k3());
    assert_eq!(new.context(), old.context());
    let new = Envelope::from_bytes(&new.to_bytes().unwrap()).unwrap();
    let key = new.open_slot(&ours(), &slot_name("by-shares-2"), &kek("by-shares-2")).unwrap();
    assert_eq!(key.id(), new_key.id());
    for (name, secret) in items() {
        assert_eq!(new.open_item(&key, &name).unwrap(), secret);
        assert_eq!(new.open_item(&old_key, &name).unwrap_err(), SealingError::OtherDataKey);
    }
    for name in SLOTS {
        let refused = new.open_slot(&ours(), &slot_name(name), &kek(name)).unwrap_err();
        assert_eq!(refused, SealingError::UnknownSlot(slot_name(name)));
        let refused = new.open_slot(&ours(), &slot_name("by-shares-2"), &kek(name)).unwrap_err();
        assert_eq!(refused, SealingError::WrongKey(slot_name("by-shares-2")));
    }
    // No ciphertext of the old one is left, nor any nonce.
    let (old_text, new_text) = (String::from_utf8(old.to_bytes().unwrap()).unwrap(), new.to_bytes().unwrap());
    let new_text = String::from_utf8(new_text).unwrap();
    for line in old_text.lines().filter(|line| line.contains("\"nonce\"") || line.contains("\"ciphertext\": \"")) {
        assert!(!new_text.contains(line.trim().trim_end_matches(',')), "{line}");
    }
    assert_eq!(old.rekey(&new_key, vec![shares("x")], &mut seeded(3)).unwrap_err(), SealingError::OtherDataKey);
    assert_eq!(old.rekey(&old_key, Vec::new(), &mut seeded(3)).unwrap_err(), SealingError::NoSlot);
}

#[test]
fn without_randomness_nothing_changes() {
    let (envelope, key) = envelope();
    for allowed in 0..2 {
        let after = |allowed: usize| {
            let (mut left, mut good) = (allowed, seeded(9));
            move |bytes: &mut [u8]| {
                left = left.checked_sub(1).ok_or(NoRandomness)?;
                good(bytes)
            }
        };
        let mut changed = envelope.clone();
        let none = SealingError::Random(NoRandomness);
        assert_eq!(changed.put_item(&key, item_name("seed"), b"x", &mut after(allowed)), Err(none.clone()));
        assert_eq!(changed.add_slot(&key, shares("another"), &mut after(allowed)), Err(none.clone()));
        if allowed == 0 {
            assert_eq!(changed.remove_slot(&key, &slot_name("by-age"), &mut after(0)), Err(none.clone()));
        }
        assert_eq!(changed, envelope);
        assert_eq!(envelope.rekey(&key, vec![shares("x")], &mut after(allowed)).unwrap_err(), none);
    }
    assert_eq!(Kek::random(&mut |_| Err(NoRandomness)).unwrap_err(), NoRandomness);
}

#[test]
fn slots_that_make_no_sense_are_refused() {
    let name = || slot_name("s");
    let rule = |result: Result<NewSlot, SealingError>| match result.unwrap_err() {
        SealingError::Slot { rule, .. } => rule,
        other => panic!("{other}"),
    };
    let shares = |holders: &[&str], set: &str, threshold| {
        NewSlot::shares(name(), people(holders), set.to_owned(), threshold, kek("s"))
    };
    assert_eq!(rule(shares(&[], "1", 2)), SlotRule::Holders);
    assert_eq!(rule(shares(&["a", "b"], "1", 1)), SlotRule::Threshold);
    assert_eq!(rule(shares(&["a", "b"], "1", 17)), SlotRule::Threshold);
    assert_eq!(rule(shares(&["a", "b"], "1", 3)), SlotRule::FewerHoldersThanShares);
    assert_eq!(rule(shares(&["a", "b"], "", 2)), SlotRule::Text("share set"));
    assert_eq!(rule(shares(&["a", "b"], "1\n2", 2)), SlotRule::Text("share set"));
    assert!(shares(&["a", "b"], "1", 2).is_ok());

    let token = TokenKey {
        label: "l".to_owned(),
        serial: "s".to_owned(),
        model: "m".to_owned(),
        key_id: vec![1],
        mechanism: "CKM_AES_KEY_WRAP".to_owned(),
        wrapped: vec![1; 40],
    };
    let refused = |token| rule(NewSlot::token(name(), people(&["a"]), token, kek("s")));
    assert_eq!(refused(TokenKey { label: String::new(), ..token.clone() }), SlotRule::Text("token's label"));
    assert_eq!(refused(TokenKey { model: "m".repeat(65), ..token.clone() }), SlotRule::Text("token's model"));
    assert_eq!(refused(TokenKey { key_id: Vec::new(), ..token.clone() }), SlotRule::Bytes("token key's identifier"));
    assert_eq!(refused(TokenKey { wrapped: vec![0; 1_025], ..token.clone() }), SlotRule::Bytes("wrapped key"));
    assert_eq!(rule(NewSlot::token(name(), people(&[]), token, kek("s"))), SlotRule::Holders);

    let age = |recipients: &[&str], ciphertext: &str| {
        let recipients = recipients.iter().map(|&recipient| recipient.to_owned()).collect();
        rule(NewSlot::age(name(), people(&["a"]), recipients, ciphertext.to_owned(), kek("s")))
    };
    assert_eq!(age(&[], ARMOUR), SlotRule::Recipients);
    assert_eq!(age(&[RECIPIENT, RECIPIENT], ARMOUR), SlotRule::Recipients);
    assert_eq!(age(&["--output=/tmp/x"], ARMOUR), SlotRule::Recipients);
    assert_eq!(age(&[RECIPIENT], "not armoured"), SlotRule::Ciphertext);
}

#[test]
fn the_largest_envelope_fits_and_nothing_larger_is_made() {
    let mut random = seeded(1);
    let secret = zeroize::Zeroizing::new(vec![0x5a; ITEM_BYTES_MAX]);
    let largest: BTreeMap<_, _> =
        (0..ITEMS_MAX).map(|item| (item_name(&format!("item-{item:059}")), secret.clone())).collect();
    let everybody: Vec<String> = (0..32).map(|holder| format!("holder-{holder:057}")).collect();
    let everybody = people(&everybody.iter().map(String::as_str).collect::<Vec<_>>());
    let recipients: Vec<String> = (10..26).map(|end| format!("age1{}{end}", "\\".repeat(4_090))).collect();
    let body: String = "A\n".repeat((65_536 - ARMOUR.len()) / 2);
    let armour = ARMOUR.replace("YWdlLWVuY3J5cHRpb24ub3JnL3Yx\n", &body);
    let slots = (0..SLOTS_MAX).map(|slot| {
        let name = slot_name(&format!("slot-{slot:059}"));
        NewSlot::age(name, everybody.clone(), recipients.clone(), armour.clone(), kek("s")).unwrap()
    });
    let (mut envelope, key) = Envelope::create(ours(), &largest, slots.collect(), &mut random).unwrap();
    let bytes = envelope.to_bytes().unwrap();
    assert!(bytes.len() > sealing::DOCUMENT_BYTES_MAX / 2, "{}", bytes.len());
    assert_eq!(Envelope::from_bytes(&bytes).unwrap(), envelope);

    let refused = envelope.put_item(&key, item_name("one-more"), b"", &mut random);
    assert_eq!(refused, Err(SealingError::TooMany { what: "items", max: ITEMS_MAX }));
    let refused = envelope.add_slot(&key, shares("one-more"), &mut random);
    assert_eq!(refused, Err(SealingError::TooMany { what: "slots", max: SLOTS_MAX }));
    let name = envelope.items().next().unwrap().clone();
    let refused = envelope.put_item(&key, name.clone(), &[0; ITEM_BYTES_MAX + 1], &mut random).unwrap_err();
    assert!(matches!(refused, SealingError::TooLong { .. }), "{refused}");
    envelope.put_item(&key, name, b"replacing one is no more than before", &mut random).unwrap();
}

#[test]
fn nothing_secret_is_shown_or_written() {
    let passphrase = "Passphrase that nobody must ever see";
    let (mut envelope, key) = envelope();
    let slot = NewSlot::passphrase(slot_name("by-passphrase"), people(&["alice"]), passphrase, &mut seeded(2)).unwrap();
    let shown = format!("{slot:?} {key:?} {:?} {envelope:?}", kek("by-age"));
    envelope.add_slot(&key, slot, &mut seeded(3)).unwrap();
    let derived = envelope.passphrase_kek(&slot_name("by-passphrase"), passphrase).unwrap();
    let written = envelope.to_bytes().unwrap();

    let keks = SLOTS.map(kek);
    let mut secrets: Vec<&[u8]> = vec![SEED, JOURNAL_KEY, passphrase.as_bytes(), derived.expose()];
    secrets.extend(keks.iter().map(|kek| kek.expose().as_slice()));
    // The first bytes that this randomness gives are the data key.
    let mut data_key = [0; 32];
    seeded(1)(&mut data_key).unwrap();
    secrets.push(&data_key);
    for secret in secrets {
        for place in [shown.as_bytes(), &written] {
            for form in [secret.to_vec(), hex(secret).into_bytes(), format!("{secret:?}").into_bytes()] {
                // A third of a secret would be too much already.
                let part = &form[..form.len() / 3];
                assert!(!place.windows(part.len()).any(|window| window == part), "{}", String::from_utf8_lossy(place));
            }
        }
    }
    assert!(matches!(envelope.slot(&slot_name("by-passphrase")).unwrap().kind(), SlotKind::Passphrase(_)));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Written once by this version. Whoever changes the format has to read it still.
#[test]
fn a_document_of_version_1_is_read_for_ever() {
    let bytes = include_bytes!("golden/sealed-v1.json");
    let envelope = Envelope::from_bytes(bytes).unwrap();
    assert_eq!(envelope.to_bytes().unwrap(), bytes);
    let derived = envelope.passphrase_kek(&slot_name("by-passphrase"), PASSPHRASE).unwrap();
    for (name, kek) in SLOTS.map(|name| (name, kek(name))).into_iter().chain([("by-passphrase", derived)]) {
        let key = envelope.open_slot(&ours(), &slot_name(name), &kek).unwrap();
        for (name, secret) in items() {
            assert_eq!(envelope.open_item(&key, &name).unwrap(), secret);
        }
    }
}
