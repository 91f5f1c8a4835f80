//! The charter's spelling, and the contradictions that it must not have.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test, failing here is the test failing"
)]

mod common;

use base64ct::Encoding as _;
use common::{charter, ed25519, operator, ssh_line};
use policy::{Charter, CharterError, Customer, Destinations, Hours, Passkey, Quorum, RelyingParty, Role, WalletClass};

fn demo() -> Charter {
    let keys = |number| vec![ssh_line(number, "comment")];
    charter(vec![operator("olga", "north", &keys(1)), operator("omar", "south", &keys(2))])
}

#[test]
fn bytes_round_trip_and_have_one_spelling() {
    let charter = demo();
    let bytes = charter.to_bytes();
    assert_eq!(Charter::from_bytes(&bytes), Ok(charter));
    let text = String::from_utf8(bytes).unwrap();
    assert_eq!(Charter::from_bytes(text.replacen(",", ", ", 1).as_bytes()), Err(CharterError::NotCanonical));
    for (from, to) in [
        ("\"version\":\"1\"", "\"version\":\"01\""),
        ("\"version\":\"1\"", "\"version\":1"),
        ("\"class\":\"hot\"", "\"class\":\"warm\""),
        ("\"gap_limit\"", "\"gap\""),
        ("\"network\":\"regtest\"", "\"network\":\"moon\""),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text);
        assert!(Charter::from_bytes(changed.as_bytes()).is_err(), "{changed}");
    }
    for cut in 0..text.len() {
        assert!(Charter::from_bytes(&text.as_bytes()[..cut]).is_err());
    }
}

#[test]
fn t08_contradictions_are_refused() {
    type Change = dyn Fn(&mut Charter);
    let changes: [(&str, &Change); 20] = [
        ("operator stands there twice", &|charter| charter.operators[1].id = charter.operators[0].id.clone()),
        ("are one key", &|charter| charter.operators[1].keys = vec![ssh_line(1, "other")]),
        ("are one key", &|charter| charter.signers[1].journal_key = charter.signers[0].journal_key),
        ("neither requests nor approves", &|charter| charter.operators[0].roles.push(Role::Administrator)),
        ("once each", &|charter| charter.operators[0].roles.reverse()),
        ("once each", &|charter| charter.operators[0].roles.clear()),
        ("hours that never come", &|charter| {
            charter.tiers[0].hours = Some(Hours { days: [true; 7], from_minute: 60, to_minute: 60 });
        }),
        ("can never be met", &|charter| charter.operators[1].roles = vec![Role::Auditor]),
        ("can never be met", &|charter| charter.operators[1].organisation = "north".to_owned()),
        ("can never be met", &|charter| charter.charter_quorum = Quorum { people: 3, organisations: 1 }),
        ("asks for nobody", &|charter| charter.release_quorum = Quorum { people: 0, organisations: 0 }),
        ("unknown wallet", &|charter| charter.tiers[0].wallet = "warm".parse().unwrap()),
        ("two people or more", &|charter| charter.key_quorum = Quorum { people: 1, organisations: 1 }),
        ("fewer approvers have an SSH key", &|charter| charter.own_reading = 9),
        ("ever be activated", &|charter| charter.activation.signatures_max = 0),
        ("custodian stands there twice", &|charter| {
            for signer in &mut charter.signers {
                signer.custodians = vec!["carl".parse().unwrap()];
            }
        }),
        ("cold wallet pay", &|charter| charter.wallets[0].class = WalletClass::Cold),
        ("leave our own wallets", &|charter| charter.tiers[2].destinations = Destinations::Any),
        ("no rolling limit", &|charter| charter.tiers[0].windows.clear()),
        ("no previous digest", &|charter| charter.version = 2),
    ];
    assert_eq!(demo().check(), Ok(()));
    for (words, change) in changes {
        let mut charter = demo();
        change(&mut charter);
        match Charter::from_bytes(&charter.to_bytes()) {
            Err(error) => assert!(error.to_string().contains(words), "{error} / {words}"),
            Ok(_) => panic!("{words}"),
        }
    }
}

/// Passkeys need a place where they are used.
fn with_passkeys(points: &[(usize, [u8; 33])]) -> Charter {
    let mut charter = demo();
    charter.relying_party =
        RelyingParty { id: "custody.example".to_owned(), origin: "https://custody.example".to_owned() };
    for (number, (operator, public_key)) in points.iter().enumerate() {
        let credential = format!("credential{number}");
        charter.operators[*operator].passkeys.push(Passkey {
            credential,
            public_key: *public_key,
            device_bound: false,
        });
    }
    charter
}

fn point(number: u8) -> p256::EncodedPoint {
    p256::ecdsa::SigningKey::from_slice(&[number; 32]).unwrap().verifying_key().to_encoded_point(true)
}

fn ecdsa_line(number: u8, compressed: bool) -> String {
    let key = p256::ecdsa::SigningKey::from_slice(&[number; 32]).unwrap();
    // OpenSSH writes the long form; the short one is another spelling of the same key.
    let point = key.verifying_key().to_encoded_point(compressed);
    let body = [&[0, 0, 0, 19][..], b"ecdsa-sha2-nistp256", &[0, 0, 0, 8], b"nistp256"].concat();
    let length = u32::try_from(point.len()).unwrap().to_be_bytes();
    let body = [&body[..], &length, point.as_bytes()].concat();
    format!("ecdsa-sha2-nistp256 {}", base64ct::Base64::encode_string(&body))
}

fn security_key_line(number: u8, application: &str) -> String {
    let key = ssh_key::public::SkEd25519::new(ssh_key::public::Ed25519PublicKey(ed25519(number)), application);
    ssh_key::PublicKey::from(ssh_key::public::KeyData::SkEd25519(key)).to_openssh().unwrap()
}

/// A line with an Ed25519 key of these very bytes.
fn raw_line(bytes: [u8; 32]) -> String {
    ssh_key::PublicKey::from(ssh_key::public::Ed25519PublicKey(bytes)).to_openssh().unwrap()
}

/// The neutral point: every signature of a certain form verifies under it.
fn neutral() -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[0] = 1;
    bytes
}

/// The first number that is no point.
fn no_point() -> [u8; 32] {
    let bytes = |number| {
        let mut bytes = [0; 32];
        bytes[0] = number;
        bytes
    };
    let on_curve = |bytes: &[u8; 32]| ed25519_dalek::VerifyingKey::from_bytes(bytes).is_ok();
    (2..=255).map(bytes).find(|bytes| !on_curve(bytes)).unwrap()
}

/// A good key with a point of order two added: another key, for which the same secret signs now and then.
fn mixed() -> [u8; 32] {
    // The point of order two is (0, -1): adding it turns the signs of both coordinates.
    let edwards = ed25519_dalek::VerifyingKey::from_bytes(&ed25519(9)).unwrap();
    let mut two = [0xff; 32];
    two[0] = 0xec;
    two[31] = 0x7f;
    let two = ed25519_dalek::VerifyingKey::from_bytes(&two).unwrap();
    (edwards.to_edwards() + two.to_edwards()).compress().to_bytes()
}

/// A key of a kind and size that stock `ssh-keygen` makes, and no verifier here takes.
fn keygen(directory: &std::path::Path, kind: &str, bits: &str) -> String {
    let path = directory.join(kind);
    let made = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", kind, "-b", bits, "-N", "", "-f"])
        .arg(&path)
        .status()
        .unwrap();
    assert!(made.success());
    std::fs::read_to_string(path.with_extension("pub")).unwrap()
}

#[test]
fn t08_keys_that_nobody_can_use_are_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let made = |kind, bits| {
        let line = keygen(directory.path(), kind, bits);
        line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    };
    type Change<'a> = &'a dyn Fn(&mut Charter);
    let key = |line: String| move |charter: &mut Charter| charter.operators[1].keys = vec![line.clone()];
    let invented = key("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAInobodyhasthis omar".to_owned());
    let indented = key(format!(" {}", ssh_line(2, "omar")));
    let (rsa, off, weak) = (key(made("rsa", "2048")), key(raw_line(no_point())), key(raw_line(neutral())));
    let (mixed_key, large) = (key(raw_line(mixed())), key(made("ecdsa", "384")));
    let changes: [(&str, &str, Change<'_>); 12] = [
        ("SSH key 1 of operator omar", "OpenSSH's one-line form", &invented),
        ("SSH key 1 of operator omar", "OpenSSH's one-line form", &indented),
        ("SSH key 1 of operator omar", "keys of its kind are not accepted", &rsa),
        ("SSH key 1 of operator omar", "keys of its kind are not accepted", &large),
        ("SSH key 1 of operator omar", "no point of its curve", &off),
        ("SSH key 1 of operator omar", "weak", &weak),
        ("SSH key 1 of operator omar", "weak", &mixed_key),
        ("SSH key 2 of operator olga", "OpenSSH's one-line form", &|charter| {
            charter.operators[0].keys.push("lost".to_owned());
        }),
        ("key 1 of customer alice", "weak", &|charter| charter.customers[0].keys = vec![neutral()]),
        ("key 1 of customer alice", "no point", &|charter| charter.customers[0].keys = vec![no_point()]),
        ("journal key of signer s2", "weak", &|charter| charter.signers[1].journal_key = neutral()),
        ("journal key of signer s2", "no point", &|charter| charter.signers[1].journal_key = no_point()),
    ];
    for (whose, why, change) in changes {
        let mut charter = demo();
        change(&mut charter);
        let refused = Charter::from_bytes(&charter.to_bytes());
        assert!(matches!(refused, Err(CharterError::Key { .. })), "{whose} {why}: {refused:?}");
        let text = refused.unwrap_err().to_string();
        assert!(text.contains(whose) && text.contains(why), "{text} / {whose} {why}");
    }
    let good = <[u8; 33]>::try_from(point(1).as_bytes()).unwrap();
    assert_eq!(with_passkeys(&[(0, good)]).check(), Ok(()));
    let mut compact = good;
    compact[0] = 5;
    for bad in [[0xff; 33], [0; 33], compact] {
        let refused = with_passkeys(&[(0, good), (1, bad)]).check();
        assert!(
            matches!(&refused, Err(CharterError::Key { whose, .. }) if whose == "passkey credential1 of operator omar")
        );
    }
}

#[test]
fn t08_one_key_in_two_spellings_is_one_key() {
    let keys = |olgas: String, omars: String| {
        let mut charter = demo();
        charter.operators[0].keys = vec![olgas];
        charter.operators[1].keys = vec![omars];
        charter.check()
    };
    let shared = |result| matches!(result, Err(CharterError::SharedKey { .. }));
    assert_eq!(keys(ssh_line(1, "a"), ssh_line(2, "a")), Ok(()));
    assert_eq!(keys(ecdsa_line(1, false), ecdsa_line(2, false)), Ok(()));
    assert!(shared(keys(ssh_line(1, "a"), ssh_line(1, "b"))));
    assert!(shared(keys(ssh_line(1, "a"), security_key_line(1, "ssh:"))), "in a file and as a security key");
    assert!(shared(keys(security_key_line(1, "ssh:a"), security_key_line(1, "ssh:b"))));
    assert_ne!(keys(ecdsa_line(1, false), ecdsa_line(1, true)), Ok(()));
    assert!(shared(keys(ecdsa_line(1, false), format!("{} b", ecdsa_line(1, false)))));

    let own = <[u8; 33]>::try_from(point(1).as_bytes()).unwrap();
    let mut charter = with_passkeys(&[(1, own)]);
    charter.operators[0].keys = vec![ecdsa_line(1, false)];
    let refused = charter.check().unwrap_err();
    assert_eq!(
        refused.to_string(),
        "SSH key 1 of operator olga and passkey credential0 of operator omar are one key, however it is spelled: \
         each needs a key of its own"
    );
    charter.operators[0].keys = vec![ecdsa_line(2, false)];
    assert_eq!(charter.check(), Ok(()));
    let mut charter = demo();
    let twice = charter.customers[0].keys[0];
    charter.customers.push(Customer { id: "bob".parse().unwrap(), keys: vec![twice] });
    assert!(shared(charter.check()));
}

#[test]
fn t08_one_organisation_under_two_spellings_is_refused() {
    let organisations = |olgas: &str, omars: &str| {
        let mut charter = demo();
        charter.operators[0].organisation = olgas.to_owned();
        charter.operators[1].organisation = omars.to_owned();
        charter.check().map_err(|error| error.to_string())
    };
    assert_eq!(organisations("North Bank", "South Bank"), Ok(()));
    for (other, words) in [
        ("north bank", "differ only by"),
        ("NORTH BANK", "differ only by"),
        ("North  Bank", "operator omar: the organisation"),
        (" North Bank", "operator omar: the organisation"),
        ("North Bank ", "operator omar: the organisation"),
        ("North\u{a0}Bank", "operator omar: the organisation"),
        ("North\tBank", "operator omar: the organisation"),
        ("North\u{200b} Bank", "operator omar: the organisation"),
        ("", "operator omar: the organisation"),
        (" ", "operator omar: the organisation"),
    ] {
        let refused = organisations("North Bank", other).unwrap_err();
        assert!(refused.contains(words), "{refused} / {other:?}");
    }
}
