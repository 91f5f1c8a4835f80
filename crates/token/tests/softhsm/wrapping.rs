use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeInfo, AttributeType, KeyType, ObjectClass};
use cryptoki::session::Session;
use proptest::prelude::{any, prop_assert};
use proptest::test_runner::{Config, TestRunner};
use token::{KeyKind, TokenError, WRAPPED_BYTES};

use crate::{PIN, alone, id, intruder, made, open};

#[test]
fn a_secret_opens_for_its_purpose_with_its_key_in_its_token_only() {
    alone("wrapping::a_secret_opens_for_its_purpose_with_its_key_in_its_token_only", |hsm| {
        hsm.make_token("beta", PIN).unwrap();
        let (_, token) = made(hsm, "alpha");
        let (key, other) = (id("wrap-1"), id("wrap-2"));
        token.create_wrapping_key(&key).unwrap();
        token.create_wrapping_key(&other).unwrap();
        let wrapped = token.wrap(&key, &[7; 32], b"seed").unwrap();
        assert_eq!(wrapped.len(), WRAPPED_BYTES);
        assert_eq!(*token.unwrap(&key, &wrapped, b"seed").unwrap(), [7; 32]);
        let again = token.wrap(&key, &[7; 32], b"seed").unwrap();
        assert!(wrapped[..12] != again[..12] && wrapped[12..] != again[12..]);
        // No purpose is a purpose too.
        let bare = token.wrap(&key, &[7; 32], b"").unwrap();
        assert_eq!(*token.unwrap(&key, &bare, b"").unwrap(), [7; 32]);
        let foreign = |result: Result<_, TokenError>| assert!(matches!(result, Err(TokenError::NotAuthentic(_))));
        foreign(token.unwrap(&key, &wrapped, b"journal").map(drop));
        foreign(token.unwrap(&key, &wrapped, b"").map(drop));
        foreign(token.unwrap(&other, &wrapped, b"seed").map(drop));
        let second = open("beta");
        second.create_wrapping_key(&key).unwrap();
        foreign(second.unwrap(&key, &wrapped, b"seed").map(drop));
        let missing = second.unwrap(&other, &wrapped, b"seed").unwrap_err();
        assert!(matches!(missing, TokenError::KeyMissing { kind: KeyKind::Wrapping, .. }));
        drop((token, second));
        assert_eq!(*open("alpha").unwrap(&key, &wrapped, b"seed").unwrap(), [7; 32]);
    });
}

#[test]
fn any_change_is_found() {
    alone("wrapping::any_change_is_found", |hsm| {
        let (_, token) = made(hsm, "alpha");
        let key = id("wrap");
        token.create_wrapping_key(&key).unwrap();
        let wrapped = token.wrap(&key, &[7; 32], b"seed").unwrap();
        for bit in 0..wrapped.len() * 8 {
            let mut changed = wrapped.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(token.unwrap(&key, &changed, b"seed"), Err(TokenError::NotAuthentic(_))), "bit {bit}");
        }
        let longer = [wrapped.as_slice(), &[0]].concat();
        for wrong in (0..wrapped.len()).map(|length| &wrapped[..length]).chain([longer.as_slice()]) {
            assert!(matches!(token.unwrap(&key, wrong, b"seed"), Err(TokenError::NotAuthentic(_))), "{}", wrong.len());
        }
        assert_eq!(*token.unwrap(&key, &wrapped, b"seed").unwrap(), [7; 32]);
    });
}

#[test]
fn every_secret_and_purpose_comes_back() {
    alone("wrapping::every_secret_and_purpose_comes_back", |hsm| {
        let (_, token) = made(hsm, "alpha");
        let key = id("wrap");
        token.create_wrapping_key(&key).unwrap();
        let config = Config { cases: 200, failure_persistence: None, ..Config::default() };
        let cases = (any::<[u8; 32]>(), any::<Vec<u8>>());
        TestRunner::new(config)
            .run(&cases, |(secret, purpose)| {
                let wrapped = token.wrap(&key, &secret, &purpose).unwrap();
                prop_assert!(!wrapped.windows(32).any(|window| window == secret));
                prop_assert!(*token.unwrap(&key, &wrapped, &purpose).unwrap() == secret);
                let other = [purpose.as_slice(), b"\n"].concat();
                prop_assert!(matches!(token.unwrap(&key, &wrapped, &other), Err(TokenError::NotAuthentic(_))));
                Ok(())
            })
            .unwrap();
    });
}

#[test]
fn a_wrapping_key_stays_in_the_token_and_has_its_name_alone() {
    alone("wrapping::a_wrapping_key_stays_in_the_token_and_has_its_name_alone", |hsm| {
        let (_, token) = made(hsm, "alpha");
        let key = id("wrap");
        token.create_wrapping_key(&key).unwrap();
        assert!(matches!(token.create_wrapping_key(&key), Err(TokenError::KeyExists(_))));
        let facts = token.keys().unwrap().remove(0);
        assert_eq!((facts.key_id(), facts.label.as_str(), facts.kind), (Some(key.clone()), "wrap", KeyKind::Wrapping));
        assert!(facts.sensitive && facts.always_sensitive && facts.local);
        assert!(!facts.extractable && facts.never_extractable);

        let session = intruder("alpha");
        let handle = session.find_objects(&[Attribute::Id(b"wrap".to_vec())]).unwrap()[0];
        let value = session.get_attribute_info(handle, &[AttributeType::Value]).unwrap();
        assert!(matches!(value.as_slice(), [AttributeInfo::Sensitive]), "{value:?}");
        for change in [Attribute::Extractable(true), Attribute::Sensitive(false), Attribute::Wrap(true)] {
            assert!(session.update_attributes(handle, std::slice::from_ref(&change)).is_err(), "{change:?}");
        }
        token.create_transport_key(&id("transport")).unwrap();
        let transport = session.find_objects(&[Attribute::Id(b"transport".to_vec())]).unwrap()[0];
        let out = session.wrap_key(&Mechanism::AesKeyWrapPad, transport, handle);
        assert!(matches!(out, Err(Error::Pkcs11(RvError::KeyUnextractable, _))), "{out:?}");
        // Wrapping what can leave, in order to decrypt it afterwards: neither key does both.
        let out = session.wrap_key(&Mechanism::AesKeyWrapPad, handle, transport);
        assert!(matches!(out, Err(Error::Pkcs11(RvError::KeyFunctionNotPermitted, _))), "{out:?}");
        let out = session.decrypt(&Mechanism::AesEcb, transport, &[0; 32]);
        assert!(matches!(out, Err(Error::Pkcs11(RvError::KeyFunctionNotPermitted, _))), "{out:?}");
    });
}

fn put(session: &Session, name: &str, more: &[Attribute]) {
    let mut template = vec![
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sign(false),
        Attribute::Derive(false),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
        Attribute::Id(name.as_bytes().to_vec()),
    ];
    template.extend_from_slice(more);
    session.create_object(&template).unwrap();
}

#[test]
fn keys_that_somebody_put_in_are_not_used() {
    alone("wrapping::keys_that_somebody_put_in_are_not_used", |hsm| {
        let (_, token) = made(hsm, "alpha");
        let session = intruder("alpha");
        let alone = [Attribute::Wrap(false), Attribute::Unwrap(false)];
        let known = [Attribute::Value(vec![1; 32]), Attribute::Sensitive(true), Attribute::Extractable(false)];
        put(&session, "known", &[alone.as_slice(), &known].concat());
        put(&session, "both", &[[Attribute::Wrap(true), Attribute::Unwrap(true)].as_slice(), &known].concat());
        let plain = [Attribute::Value(vec![1; 32]), Attribute::Sensitive(false), Attribute::Extractable(true)];
        put(&session, "plain", &[alone.as_slice(), &plain].concat());
        let reason = |name| match token.wrap(&id(name), &[7; 32], b"seed") {
            Err(TokenError::KeyUnfit { why, .. }) => why,
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(reason("known"), "it can leave the device, or could once");
        assert_eq!(reason("both"), "its type or its permitted uses are not those of its kind");
        assert_eq!(reason("plain"), "it can be read in plain");
        put(&session, "plain", &[alone.as_slice(), &plain].concat());
        assert!(matches!(token.wrap(&id("plain"), &[7; 32], b"seed"), Err(TokenError::KeyAmbiguous(_))));
        // They are listed, with what is wrong.
        let listed = token.keys().unwrap();
        let kinds: Vec<_> = listed.iter().map(|facts| (facts.label.is_empty(), facts.kind, facts.local)).collect();
        let ours = (true, KeyKind::Wrapping, false);
        assert_eq!(kinds, [(true, KeyKind::Other, false), ours, ours, ours]);
    });
}

#[test]
fn a_key_that_somebody_removed_is_missing() {
    alone("wrapping::a_key_that_somebody_removed_is_missing", |hsm| {
        let (_, token) = made(hsm, "alpha");
        let key = id("wrap");
        token.create_wrapping_key(&key).unwrap();
        let wrapped = token.wrap(&key, &[7; 32], b"seed").unwrap();
        let session = intruder("alpha");
        let handle = session.find_objects(&[Attribute::Id(b"wrap".to_vec())]).unwrap()[0];
        session.destroy_object(handle).unwrap();
        for _ in 0..2 {
            let error = token.unwrap(&key, &wrapped, b"seed").unwrap_err();
            assert!(matches!(error, TokenError::KeyMissing { kind: KeyKind::Wrapping, .. }), "{error:?}");
        }
        token.create_wrapping_key(&key).unwrap();
        assert!(matches!(token.unwrap(&key, &wrapped, b"seed"), Err(TokenError::NotAuthentic(_))));
        token.destroy(&key, KeyKind::Wrapping).unwrap();
        assert_eq!(token.keys().unwrap(), []);
        assert!(matches!(token.destroy(&key, KeyKind::Wrapping), Err(TokenError::KeyMissing { .. })));
    });
}
