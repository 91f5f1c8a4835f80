use std::fs;
use std::path::Path;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::types::AuthPin;
use testkit::SoftHsm;
use token::{Export, KeyKind, PinTries, Token, TokenError};

use crate::{PIN, alone, id, made, open, open_with, pin};

#[test]
fn a_token_says_what_it_is() {
    alone("opening::a_token_says_what_it_is", |hsm| {
        hsm.make_token("other", PIN).unwrap();
        let (_, token) = made(hsm, "alpha");
        let facts = token.facts();
        assert_eq!((facts.manufacturer.as_str(), facts.model.as_str()), ("SoftHSM project", "SoftHSM v2"));
        assert_eq!((facts.label.as_str(), facts.library.as_str()), ("alpha", "SoftHSM"));
        assert_eq!((facts.firmware.major, facts.firmware), (2, facts.hardware));
        assert_eq!(facts.serial.len(), 16);
        assert!(facts.flags.login_required && facts.flags.random);
        // A policy that asks for hardware is not met by software.
        assert!(!facts.flags.hardware_slot && !facts.flags.hardware_ecdsa && !facts.flags.failed);
        assert!(!format!("{token:?}").contains(PIN));
    });
}

#[test]
fn a_token_is_chosen_by_label_and_serial_number() {
    alone("opening::a_token_is_chosen_by_label_and_serial_number", |hsm| {
        let (_, alpha) = made(hsm, "alpha");
        let serial = alpha.facts().serial.clone();
        drop(alpha);
        hsm.make_token("alpha", PIN).unwrap();
        let error = open_with("alpha", None, PIN).unwrap_err();
        assert!(matches!(&error, TokenError::TokenAmbiguous { found, .. } if found.contains(&serial)), "{error}");
        assert_eq!(open_with("alpha", Some(&serial), PIN).unwrap().facts().serial, serial);
        let error = open_with("alpha", Some("0123456789abcdef"), PIN).unwrap_err();
        assert!(matches!(&error, TokenError::TokenMissing { found, .. } if found.contains(&serial)), "{error}");
        assert!(matches!(open_with("beta", None, PIN), Err(TokenError::TokenMissing { .. })));
        // An empty slot has an empty label.
        assert!(matches!(open_with("", None, PIN), Err(TokenError::NotInitialised(_))));
    });
}

#[test]
fn default_pins_are_refused_even_when_they_are_right() {
    alone("opening::default_pins_are_refused_even_when_they_are_right", |hsm| {
        for default in ["1234", "0000", "123456", "12345678"] {
            hsm.make_token(default, default).unwrap();
            assert!(matches!(open_with(default, None, default), Err(TokenError::DefaultPin)), "{default}");
        }
    });
}

#[test]
fn a_wrong_pin_tells_how_many_tries_are_left() {
    alone("opening::a_wrong_pin_tells_how_many_tries_are_left", |hsm| {
        hsm.make_token("alpha", PIN).unwrap();
        for wrong in ["not this one", "x", &"long".repeat(100)] {
            let error = open_with("alpha", None, wrong).unwrap_err();
            assert!(matches!(error, TokenError::WrongPin { tries: PinTries::Fewer, .. }), "{error}");
            assert!(!error.to_string().contains(wrong) || wrong == "x");
            assert!(!format!("{error:?}").contains("not this one"));
        }
        // Somebody's tries are on record once, and end with the right PIN.
        assert!(open("alpha").facts().flags.pin_tried);
        assert!(!open("alpha").facts().flags.pin_tried);
    });
}

#[test]
fn a_token_that_is_open_lets_nobody_else_in() {
    alone("opening::a_token_that_is_open_lets_nobody_else_in", |hsm| {
        let (_, token) = made(hsm, "alpha");
        // PKCS #11 would not even look at the PIN.
        for attempt in [PIN, "not this one"] {
            assert!(matches!(open_with("alpha", None, attempt), Err(TokenError::AlreadyOpen(_))), "{attempt}");
        }
        token.keys().unwrap();
        drop(token);
        assert!(matches!(open_with("alpha", None, "not this one"), Err(TokenError::WrongPin { .. })));
        open("alpha").keys().unwrap();
    });
}

#[test]
fn a_module_that_is_missing_or_none_is_named() {
    let of = |path: &str| Token::open(Path::new(path), "alpha", None, pin(PIN)).unwrap_err();
    assert!(matches!(of("libsofthsm2.so"), TokenError::ModulePath(_)));
    let missing = of("/usr/lib/no-such-device.so");
    assert!(matches!(missing, TokenError::ModuleMissing(_)));
    assert!(missing.to_string().contains("scripts/setup"), "{missing}");
    let directory = std::env::temp_dir().join(format!("token-module-{}", std::process::id()));
    fs::write(&directory, b"not a library").unwrap();
    let none = of(directory.to_str().unwrap());
    fs::remove_file(&directory).unwrap();
    assert!(matches!(none, TokenError::Module { .. }), "{none}");
}

#[test]
fn a_token_without_a_user_pin_is_not_initialised() {
    alone("opening::a_token_without_a_user_pin_is_not_initialised", |_| {
        let pkcs11 = Pkcs11::new(SoftHsm::module().unwrap()).unwrap();
        pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
        let slot = pkcs11.get_slots_with_token().unwrap().remove(0);
        pkcs11.init_token(slot, &AuthPin::new("officer of tests".into()), "half").unwrap();
        pkcs11.finalize().unwrap();
        assert!(matches!(open_with("half", None, PIN), Err(TokenError::NotInitialised(_))));
    });
}

#[test]
fn a_token_that_is_pulled_out_is_named_and_opens_again_when_it_is_back() {
    alone("opening::a_token_that_is_pulled_out_is_named_and_opens_again_when_it_is_back", |hsm| {
        let (device, token) = made(hsm, "alpha");
        let (wrap, sign, leaves) = (id("wrap"), id("sign"), id("leaves"));
        let (transport, reception) = (id("transport"), id("reception"));
        token.create_wrapping_key(&wrap).unwrap();
        let public = token.create_signing_key(&sign, Export::Never).unwrap();
        token.create_signing_key(&leaves, Export::UntilSealed).unwrap();
        token.create_transport_key(&transport).unwrap();
        let receiver = token.create_reception_key(&reception).unwrap();
        let wrapped = token.wrap(&wrap, &[7; 32], b"seed").unwrap();
        let clone = token.export_wrapped(&leaves, &transport).unwrap();
        let sent = token.send_transport_key(&transport, &receiver).unwrap();
        device.remove().unwrap();
        let failures = [
            ("sign", token.sign_ecdsa(&sign, &[1; 32]).map(drop)),
            ("sign again", token.sign_ecdsa(&sign, &[1; 32]).map(drop)),
            ("wrap", token.wrap(&wrap, &[7; 32], b"seed").map(drop)),
            ("unwrap", token.unwrap(&wrap, &wrapped, b"seed").map(drop)),
            ("keys", token.keys().map(drop)),
            ("public key", token.public_key(&sign).map(drop)),
            ("create", token.create_signing_key(&id("new"), Export::Never).map(drop)),
            ("create again", token.create_wrapping_key(&wrap)),
            ("export", token.export_wrapped(&leaves, &transport).map(drop)),
            ("import", token.import_wrapped(&id("new"), &transport, &clone)),
            ("send", token.send_transport_key(&transport, &receiver).map(drop)),
            ("receive", token.receive_transport_key(&id("new"), &reception, &sent)),
            ("seal", token.seal(&leaves)),
            ("destroy", token.destroy(&sign, KeyKind::Signing)),
        ];
        for (what, result) in failures {
            assert!(matches!(result, Err(TokenError::Removed(_))), "{what}: {result:?}");
        }
        drop(token);
        assert!(matches!(open_with("alpha", None, PIN), Err(TokenError::TokenMissing { .. })));
        device.put_back().unwrap();
        let token = open("alpha");
        assert_eq!(token.public_key(&sign).unwrap(), public);
        token.sign_ecdsa(&sign, &[1; 32]).unwrap();
        assert_eq!(*token.unwrap(&wrap, &wrapped, b"seed").unwrap(), [7; 32]);
    });
}

#[test]
fn one_token_is_pulled_out_and_the_other_goes_on() {
    alone("opening::one_token_is_pulled_out_and_the_other_goes_on", |hsm| {
        let device = hsm.make_token("alpha", PIN).unwrap();
        let (_, beta) = made(hsm, "beta");
        let alpha = open("alpha");
        for token in [&alpha, &beta] {
            token.create_signing_key(&id("key"), Export::Never).unwrap();
        }
        device.remove().unwrap();
        assert!(matches!(alpha.sign_ecdsa(&id("key"), &[1; 32]), Err(TokenError::Removed(_))));
        beta.sign_ecdsa(&id("key"), &[1; 32]).unwrap();
        drop(alpha);
        beta.sign_ecdsa(&id("key"), &[1; 32]).unwrap();
        device.put_back().unwrap();
        // SoftHSM finds it only after a new start, which comes when nobody uses the library.
        assert!(matches!(open_with("alpha", None, PIN), Err(TokenError::TokenMissing { .. })));
        drop(beta);
        open("alpha").sign_ecdsa(&id("key"), &[1; 32]).unwrap();
        open("beta").sign_ecdsa(&id("key"), &[1; 32]).unwrap();
    });
}

#[test]
fn what_a_device_cannot_do_is_named() {
    alone("opening::what_a_device_cannot_do_is_named", |hsm| {
        let (_, token) = made(hsm, "alpha");
        token.create_wrapping_key(&id("wrap")).unwrap();
        token.create_signing_key(&id("sign"), Export::Never).unwrap();
        drop(token);
        hsm.configure("slots.mechanisms = CKM_ECDSA").unwrap();
        let token = open("alpha");
        let error = token.create_wrapping_key(&id("new")).unwrap_err();
        assert!(matches!(error, TokenError::Unsupported("AES-GCM")), "{error:?}");
        let error = token.wrap(&id("wrap"), &[7; 32], b"seed").unwrap_err();
        assert!(matches!(error, TokenError::Unsupported("AES-GCM")), "{error:?}");
        token.sign_ecdsa(&id("sign"), &[1; 32]).unwrap();
        drop(token);
        hsm.configure("slots.mechanisms = CKM_AES_GCM").unwrap();
        let token = open("alpha");
        token.wrap(&id("wrap"), &[7; 32], b"seed").unwrap();
        let error = token.sign_ecdsa(&id("sign"), &[1; 32]).unwrap_err();
        assert!(matches!(error, TokenError::Unsupported("ECDSA")), "{error:?}");
    });
}
