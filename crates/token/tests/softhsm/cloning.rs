use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeInfo, AttributeType, KeyType, ObjectClass};
use secp256k1::{Message, PublicKey, Secp256k1, SecretKey, ecdsa};
use testkit::SoftHsm;
use token::{Export, KeyKind, ReceptionKey, Token, TokenError, WrappedKey};

use crate::{PIN, alone, id, intruder, open};

fn verifies(public: &[u8; 33], digest: [u8; 32], signature: &[u8; 64]) -> bool {
    let public = PublicKey::from_slice(public).unwrap();
    let signature = ecdsa::Signature::from_compact(signature).unwrap();
    Secp256k1::verification_only().verify_ecdsa(&Message::from_digest(digest), &signature, &public).is_ok()
}

/// Two tokens that share the transport key `transport`.
fn two(hsm: &SoftHsm) -> (Token, Token) {
    hsm.make_token("alpha", PIN).unwrap();
    hsm.make_token("beta", PIN).unwrap();
    let (alpha, beta) = (open("alpha"), open("beta"));
    share(&alpha, &beta);
    (alpha, beta)
}

fn share(alpha: &Token, beta: &Token) {
    alpha.create_transport_key(&id("transport")).unwrap();
    let receiver = beta.create_reception_key(&id("reception")).unwrap();
    // Outside there are bytes only.
    let receiver = ReceptionKey::from_bytes(receiver.as_bytes()).unwrap();
    let sent = alpha.send_transport_key(&id("transport"), &receiver).unwrap();
    beta.receive_transport_key(&id("transport"), &id("reception"), &sent).unwrap();
}

fn handle(session: &cryptoki::session::Session, class: ObjectClass, name: &str) -> cryptoki::object::ObjectHandle {
    let wanted = [Attribute::Class(class), Attribute::Id(name.as_bytes().to_vec())];
    session.find_objects(&wanted).unwrap()[0]
}

#[test]
fn a_key_is_cloned_and_outlives_its_first_token() {
    alone("cloning::a_key_is_cloned_and_outlives_its_first_token", |hsm| {
        let device = hsm.make_token("alpha", PIN).unwrap();
        hsm.make_token("beta", PIN).unwrap();
        let (alpha, beta) = (open("alpha"), open("beta"));
        let public = alpha.create_signing_key(&id("key"), Export::UntilSealed).unwrap();
        share(&alpha, &beta);
        let clone = alpha.export_wrapped(&id("key"), &id("transport")).unwrap();
        assert_eq!(clone.public_key, public);
        beta.import_wrapped(&id("key"), &id("transport"), &clone).unwrap();
        alpha.seal(&id("key")).unwrap();
        alpha.destroy(&id("transport"), KeyKind::Transport).unwrap();
        beta.destroy(&id("transport"), KeyKind::Transport).unwrap();
        beta.destroy(&id("reception"), KeyKind::Reception).unwrap();

        assert_eq!(beta.public_key(&id("key")).unwrap(), public);
        for token in [&alpha, &beta] {
            let signature = token.sign_ecdsa(&id("key"), &[5; 32]).unwrap();
            assert!(verifies(&public, [5; 32], &signature));
            let listed = token.keys().unwrap();
            let [facts] = listed.as_slice() else { panic!("{listed:?}") };
            assert!(facts.sensitive && !facts.extractable && !facts.never_extractable);
        }
        // The first has made the key, the second has not: the record tells them apart.
        assert!(alpha.keys().unwrap()[0].local && !beta.keys().unwrap()[0].local);
        for label in ["alpha", "beta"] {
            let session = intruder(label);
            let private = handle(&session, ObjectClass::PRIVATE_KEY, "key");
            let value = session.get_attribute_info(private, &[AttributeType::Value]).unwrap();
            assert!(matches!(value.as_slice(), [AttributeInfo::Sensitive]), "{value:?}");
        }
        drop((alpha, beta));
        device.destroy().unwrap();
        let beta = open("beta");
        assert_eq!(beta.public_key(&id("key")).unwrap(), public);
        let signature = beta.sign_ecdsa(&id("key"), &[6; 32]).unwrap();
        assert!(verifies(&public, [6; 32], &signature));
    });
}

#[test]
fn what_leaves_a_token_does_not_hold_the_key_in_plain() {
    alone("cloning::what_leaves_a_token_does_not_hold_the_key_in_plain", |hsm| {
        let (alpha, beta) = two(hsm);
        // A key that the test knows, as if it had been made there.
        let secret = SecretKey::from_slice(&[0x5a; 32]).unwrap();
        let public = PublicKey::from_secret_key(&Secp256k1::new(), &secret);
        let point = [&[4, 65], public.serialize_uncompressed().as_slice()].concat();
        let session = intruder("alpha");
        let both = || {
            vec![
                Attribute::KeyType(KeyType::EC),
                Attribute::Token(true),
                Attribute::Id(b"known".to_vec()),
                Attribute::EcParams(vec![0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a]),
            ]
        };
        let mut half = both();
        half.extend([Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::EcPoint(point)]);
        session.create_object(&half).unwrap();
        let mut half = both();
        half.extend([
            Attribute::Class(ObjectClass::PRIVATE_KEY),
            Attribute::Private(true),
            Attribute::Value(secret.secret_bytes().to_vec()),
            Attribute::Sensitive(true),
            Attribute::Extractable(true),
            Attribute::Sign(true),
            Attribute::Decrypt(false),
            Attribute::Unwrap(false),
            Attribute::Derive(false),
        ]);
        session.create_object(&half).unwrap();
        let clone = alpha.export_wrapped(&id("known"), &id("transport")).unwrap();
        assert_eq!(clone.public_key, public.serialize());
        assert!(!clone.wrapped.windows(8).any(|window| window == [0x5a; 8]));
        beta.import_wrapped(&id("known"), &id("transport"), &clone).unwrap();
        let signature = beta.sign_ecdsa(&id("known"), &[5; 32]).unwrap();
        assert!(verifies(&public.serialize(), [5; 32], &signature));
    });
}

#[test]
fn keys_that_stay_or_are_sealed_do_not_leave() {
    alone("cloning::keys_that_stay_or_are_sealed_do_not_leave", |hsm| {
        let (alpha, beta) = two(hsm);
        alpha.create_signing_key(&id("stays"), Export::Never).unwrap();
        alpha.create_signing_key(&id("sealed"), Export::UntilSealed).unwrap();
        alpha.export_wrapped(&id("sealed"), &id("transport")).unwrap();
        let session = intruder("alpha");
        let transport = handle(&session, ObjectClass::SECRET_KEY, "transport");
        // Until it is sealed, whoever holds the PIN can send it to himself: with a key of his own, say.
        let his = session.create_object(&[
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Wrap(true),
            Attribute::Value(vec![1; 32]),
        ]);
        let his = his.unwrap();
        let sealed = handle(&session, ObjectClass::PRIVATE_KEY, "sealed");
        session.wrap_key(&Mechanism::AesKeyWrapPad, his, sealed).unwrap();
        alpha.seal(&id("sealed")).unwrap();
        alpha.seal(&id("sealed")).unwrap();
        alpha.seal(&id("stays")).unwrap();
        alpha.sign_ecdsa(&id("sealed"), &[5; 32]).unwrap();
        for name in ["stays", "sealed"] {
            let error = alpha.export_wrapped(&id(name), &id("transport")).unwrap_err();
            assert!(matches!(&error, TokenError::NotExtractable(key) if *key == id(name)), "{error:?}");
            let key = handle(&session, ObjectClass::PRIVATE_KEY, name);
            for by in [transport, his] {
                let out = session.wrap_key(&Mechanism::AesKeyWrapPad, by, key);
                assert!(matches!(out, Err(Error::Pkcs11(RvError::KeyUnextractable, _))), "{out:?}");
            }
            assert!(session.update_attributes(key, &[Attribute::Extractable(true)]).is_err());
            assert!(session.copy_object(key, &[Attribute::Extractable(true)]).is_err());
        }
        // Only transport keys wrap, and a transport key that was received wraps nothing.
        alpha.create_wrapping_key(&id("wrap")).unwrap();
        let error = alpha.export_wrapped(&id("sealed"), &id("wrap")).unwrap_err();
        assert!(matches!(error, TokenError::KeyUnfit { .. }), "{error:?}");
        beta.create_signing_key(&id("key"), Export::UntilSealed).unwrap();
        let error = beta.export_wrapped(&id("key"), &id("transport")).unwrap_err();
        assert!(matches!(error, TokenError::KeyUnfit { why: "the device does not permit this use", .. }), "{error:?}");
        // Nor can it be made to decrypt what it unwraps.
        let session = intruder("beta");
        let transport = handle(&session, ObjectClass::SECRET_KEY, "transport");
        for change in [Attribute::Decrypt(true), Attribute::Wrap(true), Attribute::Derive(true)] {
            assert!(session.update_attributes(transport, std::slice::from_ref(&change)).is_err(), "{change:?}");
            assert!(session.copy_object(transport, std::slice::from_ref(&change)).is_err(), "{change:?}");
        }
        let receiver = beta.reception_key(&id("reception")).unwrap();
        let error = beta.send_transport_key(&id("transport"), &receiver).unwrap_err();
        assert!(matches!(error, TokenError::NotExtractable(_)), "{error:?}");
    });
}

#[test]
fn parcels_that_were_changed_are_refused_and_leave_nothing() {
    alone("cloning::parcels_that_were_changed_are_refused_and_leave_nothing", |hsm| {
        let (alpha, beta) = two(hsm);
        alpha.create_signing_key(&id("key"), Export::UntilSealed).unwrap();
        let other = alpha.create_signing_key(&id("other"), Export::UntilSealed).unwrap();
        let clone = alpha.export_wrapped(&id("key"), &id("transport")).unwrap();
        let before = beta.keys().unwrap();
        for byte in 0..clone.wrapped.len() {
            let mut changed = clone.clone();
            changed.wrapped[byte] ^= 1;
            let error = beta.import_wrapped(&id("key"), &id("transport"), &changed).unwrap_err();
            assert!(matches!(error, TokenError::NotAuthentic(_)), "byte {byte}: {error:?}");
        }
        for length in [0, 1, 8, clone.wrapped.len() - 8] {
            let cut = WrappedKey { wrapped: clone.wrapped[..length].to_vec(), ..clone.clone() };
            let error = beta.import_wrapped(&id("key"), &id("transport"), &cut).unwrap_err();
            assert!(matches!(error, TokenError::NotAuthentic(_)), "{length}: {error:?}");
        }
        let exchanged = WrappedKey { public_key: other, ..clone.clone() };
        let error = beta.import_wrapped(&id("key"), &id("transport"), &exchanged).unwrap_err();
        assert!(matches!(error, TokenError::WrongSignature(_)), "{error:?}");
        let nonsense = WrappedKey { public_key: [2; 33].map(|_| 0xff), ..clone.clone() };
        let error = beta.import_wrapped(&id("key"), &id("transport"), &nonsense).unwrap_err();
        assert!(matches!(error, TokenError::PublicKey(_)), "{error:?}");
        assert_eq!(beta.keys().unwrap(), before);

        let receiver = beta.reception_key(&id("reception")).unwrap();
        let sent = alpha.send_transport_key(&id("transport"), &receiver).unwrap();
        for byte in [0, 100, sent.len() - 1] {
            let mut changed = sent.clone();
            changed[byte] ^= 1;
            let error = beta.receive_transport_key(&id("second"), &id("reception"), &changed).unwrap_err();
            assert!(matches!(error, TokenError::NotAuthentic(_)), "byte {byte}: {error:?}");
        }
        assert_eq!(beta.keys().unwrap(), before);
        // For another receiver.
        beta.create_reception_key(&id("another")).unwrap();
        let error = beta.receive_transport_key(&id("second"), &id("another"), &sent).unwrap_err();
        assert!(matches!(error, TokenError::NotAuthentic(_)), "{error:?}");
        for taken in ["transport", "reception"] {
            let error = beta.receive_transport_key(&id(taken), &id("reception"), &sent).unwrap_err();
            assert!(matches!(error, TokenError::KeyExists(_)), "{error:?}");
        }
        // The honest parcel still comes in, once.
        beta.import_wrapped(&id("key"), &id("transport"), &clone).unwrap();
        let error = beta.import_wrapped(&id("key"), &id("transport"), &clone).unwrap_err();
        assert!(matches!(error, TokenError::KeyExists(_)), "{error:?}");
    });
}

#[test]
fn an_import_that_a_crash_cut_is_done_again() {
    alone("cloning::an_import_that_a_crash_cut_is_done_again", |hsm| {
        let (alpha, beta) = two(hsm);
        alpha.create_signing_key(&id("key"), Export::UntilSealed).unwrap();
        let clone = alpha.export_wrapped(&id("key"), &id("transport")).unwrap();
        beta.import_wrapped(&id("key"), &id("transport"), &clone).unwrap();
        drop(beta);
        let beta = open("beta");
        // As if the program had ended before the public half was kept.
        let session = intruder("beta");
        session.destroy_object(handle(&session, ObjectClass::PUBLIC_KEY, "key")).unwrap();
        let error = beta.sign_ecdsa(&id("key"), &[5; 32]).unwrap_err();
        assert!(matches!(error, TokenError::KeyUnfit { why: "its public half is missing", .. }), "{error:?}");
        let error = beta.import_wrapped(&id("key"), &id("transport"), &clone).unwrap_err();
        assert!(matches!(error, TokenError::KeyExists(_)), "{error:?}");
        beta.destroy(&id("key"), KeyKind::Signing).unwrap();
        beta.import_wrapped(&id("key"), &id("transport"), &clone).unwrap();
        beta.sign_ecdsa(&id("key"), &[5; 32]).unwrap();
    });
}

#[test]
fn a_reception_key_is_an_odd_modulus_of_3072_bits() {
    let mut modulus = [0xff; 384];
    assert_eq!(ReceptionKey::from_bytes(&modulus).unwrap().as_bytes(), &modulus);
    for wrong in [&modulus[..383], &[], &[0xff; 385]] {
        assert!(ReceptionKey::from_bytes(wrong).is_err());
    }
    modulus[383] = 0xfe;
    assert!(ReceptionKey::from_bytes(&modulus).is_err());
    modulus[383] = 0xff;
    modulus[0] = 0x7f;
    assert!(ReceptionKey::from_bytes(&modulus).is_err());
}
