use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeInfo, AttributeType, ObjectClass};
use proptest::prelude::{any, prop_assert, prop_assert_eq};
use proptest::test_runner::{Config, TestRunner};
use secp256k1::{Message, PublicKey, Secp256k1, ecdsa};
use token::{Export, KeyKind, TokenError};

use crate::{alone, id, intruder, made, open};

/// Object identifiers in DER: secp256k1 (SEC 2) and P-256 (RFC 5480).
const SECP256K1: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a];
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

fn is_low(signature: &[u8; 64]) -> bool {
    let mut lowered = ecdsa::Signature::from_compact(signature).unwrap();
    lowered.normalize_s();
    lowered.serialize_compact() == *signature
}

#[test]
fn signatures_are_low_s_and_verify_with_libsecp256k1() {
    alone("signing::signatures_are_low_s_and_verify_with_libsecp256k1", |hsm| {
        let (_, token) = made(hsm, "alpha");
        let key = id("sign");
        let public = PublicKey::from_slice(&token.create_signing_key(&key, Export::Never).unwrap()).unwrap();
        let curve = Secp256k1::verification_only();
        let config = Config { cases: 200, failure_persistence: None, ..Config::default() };
        TestRunner::new(config)
            .run(&any::<[u8; 32]>(), |digest| {
                let signature = token.sign_ecdsa(&key, &digest).unwrap();
                prop_assert!(is_low(&signature));
                let signature = ecdsa::Signature::from_compact(&signature).unwrap();
                // libsecp256k1 refuses high s by itself.
                let verified = curve.verify_ecdsa(&Message::from_digest(digest), &signature, &public);
                prop_assert_eq!(verified, Ok(()));
                let mut other = digest;
                other[31] ^= 1;
                prop_assert!(curve.verify_ecdsa(&Message::from_digest(other), &signature, &public).is_err());
                Ok(())
            })
            .unwrap();
        // The digests at the ends of the range, and the group's order itself.
        let order = [[0xff; 15].as_slice(), &[0xfe], &ORDER_LOW].concat();
        for digest in [[0; 32], [0xff; 32], order.try_into().unwrap()] {
            token.sign_ecdsa(&key, &digest).unwrap();
        }
    });
}

/// The lower half of the group's order (SEC 2, section 2.4.1).
const ORDER_LOW: [u8; 16] =
    [0xba, 0xae, 0xdc, 0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36, 0x41, 0x41];

#[test]
fn the_device_itself_signs_high_as_well() {
    alone("signing::the_device_itself_signs_high_as_well", |hsm| {
        let (_, token) = made(hsm, "alpha");
        token.create_signing_key(&id("sign"), Export::Never).unwrap();
        let session = intruder("alpha");
        let private = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Id(b"sign".to_vec())];
        let handle = session.find_objects(&private).unwrap()[0];
        let raw = |digest: u8| session.sign(&Mechanism::Ecdsa, handle, &[digest; 32]).unwrap().try_into().unwrap();
        // All of 100 low by chance: once in 2^100.
        let high = (0..100).filter(|digest| !is_low(&raw(*digest))).count();
        assert!(high > 0 && high < 100, "{high}");
    });
}

#[test]
fn threads_share_a_token_behind_a_mutex() {
    alone("signing::threads_share_a_token_behind_a_mutex", |hsm| {
        let (_, token) = made(hsm, "alpha");
        token.create_signing_key(&id("sign"), Export::Never).unwrap();
        let token = std::sync::Mutex::new(token);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let token = &token;
                scope.spawn(move || {
                    for round in 0..10 {
                        token.lock().unwrap().sign_ecdsa(&id("sign"), &[thread * 10 + round; 32]).unwrap();
                    }
                });
            }
        });
    });
}

#[test]
fn a_signing_key_is_what_was_asked_for() {
    alone("signing::a_signing_key_is_what_was_asked_for", |hsm| {
        let (_, token) = made(hsm, "alpha");
        let (stays, leaves) = (id("stays"), id("leaves"));
        let public = token.create_signing_key(&stays, Export::Never).unwrap();
        token.create_signing_key(&leaves, Export::UntilSealed).unwrap();
        assert!(matches!(public[0], 2 | 3));
        assert_eq!(token.public_key(&stays).unwrap(), public);
        assert!(matches!(token.create_signing_key(&stays, Export::Never), Err(TokenError::KeyExists(_))));
        // One name, one key, whatever its kind.
        assert!(matches!(token.create_wrapping_key(&stays), Err(TokenError::KeyExists(_))));
        assert!(matches!(token.create_transport_key(&stays), Err(TokenError::KeyExists(_))));
        assert!(matches!(token.create_reception_key(&stays), Err(TokenError::KeyExists(_))));
        let listed = token.keys().unwrap();
        let [first, second] = listed.as_slice() else { panic!("{listed:?}") };
        for (facts, key, extractable) in [(first, &leaves, true), (second, &stays, false)] {
            assert_eq!((facts.key_id().as_ref(), facts.kind), (Some(key), KeyKind::Signing));
            assert_eq!((facts.extractable, facts.never_extractable), (extractable, !extractable));
            assert!(facts.sensitive && facts.always_sensitive && facts.local);
            let session = intruder("alpha");
            let private = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Id(facts.id.clone())];
            let handle = session.find_objects(&private).unwrap()[0];
            let value = session.get_attribute_info(handle, &[AttributeType::Value]).unwrap();
            assert!(matches!(value.as_slice(), [AttributeInfo::Sensitive]), "{value:?}");
        }
        drop(token);
        let token = open("alpha");
        assert_eq!(token.public_key(&stays).unwrap(), public);
        let missing = token.sign_ecdsa(&id("missing"), &[1; 32]).unwrap_err();
        assert!(matches!(missing, TokenError::KeyMissing { kind: KeyKind::Signing, .. }));
        token.destroy(&stays, KeyKind::Signing).unwrap();
        assert!(matches!(token.sign_ecdsa(&stays, &[1; 32]), Err(TokenError::KeyMissing { .. })));
        assert_ne!(token.create_signing_key(&stays, Export::Never).unwrap(), public);
    });
}

#[test]
fn a_signature_by_another_key_is_not_passed_on() {
    alone("signing::a_signature_by_another_key_is_not_passed_on", |hsm| {
        let (_, token) = made(hsm, "alpha");
        let ours = token.create_signing_key(&id("ours"), Export::Never).unwrap();
        token.create_signing_key(&id("theirs"), Export::Never).unwrap();
        drop(token);
        let token = open("alpha");
        let session = intruder("alpha");
        let half = |name: &str| {
            let wanted = [Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::Id(name.as_bytes().to_vec())];
            session.find_objects(&wanted).unwrap()[0]
        };
        // The device now gives out a key of the attacker's for ours, as one that lies would.
        let theirs = session.get_attributes(half("theirs"), &[AttributeType::EcPoint]).unwrap().remove(0);
        session.destroy_object(half("ours")).unwrap();
        let without = token.sign_ecdsa(&id("ours"), &[1; 32]).unwrap_err();
        assert!(matches!(without, TokenError::KeyUnfit { why: "its public half is missing", .. }), "{without:?}");
        let put = |point| {
            session
                .create_object(&[
                    Attribute::Class(ObjectClass::PUBLIC_KEY),
                    Attribute::KeyType(cryptoki::object::KeyType::EC),
                    Attribute::Token(true),
                    Attribute::Id(b"ours".to_vec()),
                    Attribute::EcParams(SECP256K1.to_vec()),
                    point,
                ])
                .unwrap()
        };
        let lie = put(theirs);
        assert_ne!(token.public_key(&id("ours")).unwrap(), ours);
        let error = token.sign_ecdsa(&id("ours"), &[1; 32]).unwrap_err();
        assert!(matches!(error, TokenError::WrongSignature(_)), "{error:?}");
        drop(token);
        // Points that are on no curve, or two at once.
        let token = open("alpha");
        let session = intruder("alpha");
        session.destroy_object(lie).unwrap_err();
        let lie = session
            .find_objects(&[Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::Id(b"ours".to_vec())])
            .unwrap()[0];
        session.update_attributes(lie, &[Attribute::Label(b"x".to_vec())]).unwrap();
        session.copy_object(lie, &[]).unwrap();
        assert!(matches!(token.sign_ecdsa(&id("ours"), &[1; 32]), Err(TokenError::KeyAmbiguous(_))));
    });
}

#[test]
fn keys_on_another_curve_or_with_other_uses_do_not_sign() {
    alone("signing::keys_on_another_curve_or_with_other_uses_do_not_sign", |hsm| {
        let (_, token) = made(hsm, "alpha");
        let session = intruder("alpha");
        let make = |name: &str, curve: &[u8], derive| {
            let id = || Attribute::Id(name.as_bytes().to_vec());
            let public = [Attribute::Token(true), Attribute::EcParams(curve.to_vec()), id()];
            let private = [
                Attribute::Token(true),
                Attribute::Private(true),
                Attribute::Sensitive(true),
                Attribute::Sign(true),
                Attribute::Decrypt(false),
                Attribute::Unwrap(false),
                Attribute::Derive(derive),
                id(),
            ];
            session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private).unwrap();
        };
        make("p256", P256, false);
        make("derives", SECP256K1, true);
        make("good", SECP256K1, false);
        for name in ["p256", "derives"] {
            let error = token.sign_ecdsa(&id(name), &[1; 32]).unwrap_err();
            assert!(matches!(error, TokenError::KeyUnfit { .. }), "{name}: {error:?}");
        }
        // Made by another program, but just as we would.
        token.sign_ecdsa(&id("good"), &[1; 32]).unwrap();
        let kinds: Vec<_> = token.keys().unwrap().iter().map(|facts| facts.kind).collect();
        assert_eq!(kinds, [KeyKind::Other, KeyKind::Signing, KeyKind::Other]);
    });
}
