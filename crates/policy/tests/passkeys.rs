//! Approvals by passkey: what counts, and every way to cheat that we know.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test, failing here is the test failing")]

mod common;

use common::{approval, charter, keygen, operator, ssh_sign, transfer, withdrawal};
use policy::{ApprovalRefusal, Charter, CharterError, PasskeyRefusal, Quorum, RelyingParty, count_approvals};
use testkit::{Ceremony, Passkey};
use types::{Digest, Instruction};

const DOMAIN: &str = "custody.example";
const ORIGIN: &str = "https://desk.custody.example";

fn entry(passkey: &Passkey, device_bound: bool) -> policy::Passkey {
    policy::Passkey { credential: passkey.credential.clone(), public_key: passkey.public_key().unwrap(), device_bound }
}

/// Olga has a passkey and an SSH key, omar a device-bound passkey.
fn house(directory: &std::path::Path) -> (Charter, Passkey, Passkey, std::path::PathBuf) {
    let (olga, omar) = (Passkey::new([1; 32]).unwrap(), Passkey::new([2; 32]).unwrap());
    let (ssh, public) = keygen(directory, "olga", "ed25519");
    let mut charter = charter(vec![operator("olga", "north", &[public]), operator("omar", "south", &[])]);
    charter.operators[0].passkeys = vec![entry(&olga, false)];
    charter.operators[1].passkeys = vec![entry(&omar, true)];
    charter.relying_party = RelyingParty { id: DOMAIN.to_owned(), origin: ORIGIN.to_owned() };
    (charter, olga, omar, ssh)
}

fn honest(digest: &Digest) -> Ceremony {
    Ceremony::new(DOMAIN, ORIGIN, digest.as_bytes())
}

fn refusal(charter: &Charter, instruction: &Instruction, operator: &str, assertion: String) -> Option<PasskeyRefusal> {
    let counted = count_approvals(
        charter,
        instruction,
        &[approval(operator, assertion)],
        types::Moment::from_seconds(common::NOW),
    );
    match counted.refused.first() {
        Some((_, ApprovalRefusal::Passkey(refusal))) => Some(*refusal),
        Some((_, other)) => unreachable!("{other}"),
        None => None,
    }
}

#[test]
fn passkeys_and_ssh_keys_count_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let (charter, olga, omar, ssh) = house(directory.path());
    let instruction = withdrawal(5000);
    let digest = instruction.digest();
    let two = Quorum { people: 2, organisations: 2 };
    let by_omar = approval("omar", omar.assert(&honest(&digest)));
    for by_olga in [olga.assert(&honest(&digest)), ssh_sign(&ssh, "claviger-approval", &digest)] {
        let counted = count_approvals(
            &charter,
            &instruction,
            &[approval("olga", by_olga), by_omar.clone()],
            types::Moment::from_seconds(common::NOW),
        );
        assert_eq!(counted.refused, []);
        assert!(counted.meets(two));
    }
    // Both keys of one person are one person.
    let both = [
        approval("olga", olga.assert(&honest(&digest))),
        approval("olga", ssh_sign(&ssh, "claviger-approval", &digest)),
    ];
    let counted = count_approvals(&charter, &instruction, &both, types::Moment::from_seconds(common::NOW));
    assert_eq!((counted.people.len(), counted.apart.len()), (1, 1), "the second says that she has read for herself");
    // A backed-up key is good where the charter does not ask for a bound one.
    let synced = Ceremony { flags: 1 | 4 | 8 | 16, ..honest(&digest) };
    assert_eq!(refusal(&charter, &instruction, "olga", olga.assert(&synced)), None);
}

#[test]
fn t04_an_assertion_for_anything_else_does_not_count() {
    let directory = tempfile::tempdir().unwrap();
    let (charter, olga, omar, _) = house(directory.path());
    let instruction = withdrawal(5000);
    let digest = instruction.digest();
    let honest = honest(&digest);
    let mut changed = instruction.clone();
    changed.expires = changed.expires.plus_seconds(1);
    // The page showed A and asked to sign B; or the instruction was changed after the approval.
    assert_eq!(refusal(&charter, &changed, "olga", olga.assert(&honest)), Some(PasskeyRefusal::Challenge));
    assert_eq!(refusal(&charter, &withdrawal(5001), "olga", olga.assert(&honest)), Some(PasskeyRefusal::Challenge));
    for (ceremony, expected) in [
        (Ceremony { kind: "webauthn.create".to_owned(), ..honest.clone() }, PasskeyRefusal::Type),
        (Ceremony { kind: "payment.get".to_owned(), ..honest.clone() }, PasskeyRefusal::Type),
        (Ceremony { challenge: digest.to_string().into_bytes(), ..honest.clone() }, PasskeyRefusal::Challenge),
        (Ceremony { origin: "https://custody.example".to_owned(), ..honest.clone() }, PasskeyRefusal::Origin),
        (Ceremony { origin: format!("{ORIGIN}/"), ..honest.clone() }, PasskeyRefusal::Origin),
        (Ceremony { origin: format!("{ORIGIN}.evil.example"), ..honest.clone() }, PasskeyRefusal::Origin),
        (Ceremony { cross_origin: true, ..honest.clone() }, PasskeyRefusal::Origin),
        (Ceremony { relying_party: "evil.example".to_owned(), ..honest.clone() }, PasskeyRefusal::RelyingParty),
        (Ceremony { flags: 4, ..honest.clone() }, PasskeyRefusal::NoPresence),
        (Ceremony { flags: 1, ..honest.clone() }, PasskeyRefusal::NoVerification),
        (Ceremony { flags: 1 | 4 | 64, ..honest.clone() }, PasskeyRefusal::Form),
    ] {
        assert_eq!(refusal(&charter, &instruction, "olga", olga.assert(&ceremony)), Some(expected), "{ceremony:?}");
    }
    let synced = Ceremony { flags: 1 | 4 | 8, ..honest.clone() };
    assert_eq!(refusal(&charter, &instruction, "omar", omar.assert(&synced)), Some(PasskeyRefusal::NotDeviceBound));
    // Somebody else's credential, and a credential's name with another key behind it.
    assert_eq!(refusal(&charter, &instruction, "omar", olga.assert(&honest)), Some(PasskeyRefusal::UnknownCredential));
    let mut stranger = Passkey::new([3; 32]).unwrap();
    stranger.credential.clone_from(&olga.credential);
    assert_eq!(refusal(&charter, &instruction, "olga", stranger.assert(&honest)), Some(PasskeyRefusal::Signature));
}

#[test]
fn t04_any_changed_part_of_an_assertion_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let (charter, olga, ..) = house(directory.path());
    let instruction = withdrawal(5000);
    let text = olga.assert(&honest(&instruction.digest()));
    let whole: serde_json::Value = serde_json::from_str(&text).unwrap();
    for field in ["authenticator_data", "client_data_json", "credential", "signature"] {
        let mut without = whole.clone();
        without.as_object_mut().unwrap().remove(field);
        assert_eq!(refusal(&charter, &instruction, "olga", without.to_string()), Some(PasskeyRefusal::Form));
        let value = whole[field].as_str().unwrap();
        for place in 0..value.len() {
            let mut bytes = value.as_bytes().to_vec();
            bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
            let mut changed = whole.clone();
            changed[field] = String::from_utf8(bytes).unwrap().into();
            assert!(refusal(&charter, &instruction, "olga", changed.to_string()).is_some(), "{field} {place}");
        }
    }
    let mut more = whole.clone();
    more["extra"] = "x".into();
    assert_eq!(refusal(&charter, &instruction, "olga", more.to_string()), Some(PasskeyRefusal::Form));
    assert_eq!(refusal(&charter, &instruction, "olga", "{".to_owned()), Some(PasskeyRefusal::Form));
}

#[test]
fn t04_the_requester_does_not_count_with_a_passkey_either() {
    let directory = tempfile::tempdir().unwrap();
    let (charter, olga, ..) = house(directory.path());
    let instruction = transfer("olga");
    let assertion = olga.assert(&honest(&instruction.digest()));
    let counted = count_approvals(
        &charter,
        &instruction,
        &[approval("olga", assertion)],
        types::Moment::from_seconds(common::NOW),
    );
    assert_eq!(counted.refused, [("olga".parse().unwrap(), ApprovalRefusal::Requester)]);
}

#[test]
fn a_charter_pins_where_passkeys_are_used() {
    let directory = tempfile::tempdir().unwrap();
    let (good, ..) = house(directory.path());
    assert_eq!(good.check(), Ok(()));
    let nobody_can = Charter {
        operators: good
            .operators
            .iter()
            .cloned()
            .map(|one| policy::Operator { keys: vec![], passkeys: vec![], ..one })
            .collect(),
        ..good.clone()
    };
    assert!(matches!(nobody_can.check(), Err(CharterError::Contradiction(_))));
    assert_eq!(Charter::from_bytes(&good.to_bytes()).unwrap(), good);
    let with = |id: &str, origin: &str| {
        let relying_party = RelyingParty { id: id.to_owned(), origin: origin.to_owned() };
        Charter { relying_party, ..good.clone() }.check()
    };
    for (id, origin) in
        [(DOMAIN, ORIGIN), (DOMAIN, "https://custody.example:8443"), ("localhost", "http://localhost:7071")]
    {
        assert_eq!(with(id, origin), Ok(()), "{id} {origin}");
    }
    for (id, origin) in [
        ("", ""),
        (DOMAIN, ""),
        (DOMAIN, "https://desk.custody.example/"),
        (DOMAIN, "http://desk.custody.example"),
        (DOMAIN, "https://evilcustody.example"),
        (DOMAIN, "https://evil.example"),
        (DOMAIN, "desk.custody.example"),
    ] {
        assert!(with(id, origin).is_err(), "{id} {origin}");
    }
    let mut shared = good.clone();
    shared.operators[1].passkeys = shared.operators[0].passkeys.clone();
    assert!(shared.check().is_err());
}

#[test]
fn t08_passkeys_sign_the_next_charter_and_nothing_else_counts_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let (current, olga, omar, ssh) = house(directory.path());
    let mut next = current.clone();
    next.version = 2;
    next.previous = Some(current.digest());
    next.address_book_seconds = 7;
    let now = types::Moment::from_seconds(common::NOW);
    let sign = |key: &Passkey, digest: &types::Digest| key.assert(&honest(digest));
    let by_olga = approval("olga", sign(&olga, &next.digest()));
    let both = [by_olga.clone(), approval("omar", sign(&omar, &next.digest()))];
    let lacking = policy::SuccessionError::OwnReading { needed: 1, counted: 0 };
    assert_eq!(
        policy::verify_succession(&current, &next, &both, now),
        Err(lacking),
        "pages alone decide about no charter"
    );
    let own = approval("olga", ssh_sign(&ssh, "claviger-charter", &next.digest()));
    let read = [own.clone(), both[1].clone()];
    assert_eq!(policy::verify_succession(&current, &next, &read, now), Ok(()));
    assert_eq!(policy::verify_succession(&current, &next, &[both[0].clone(), both[1].clone(), own], now), Ok(()));
    // An approval of an instruction is none of a charter, and the charter that is held was not signed now.
    for digest in [withdrawal(500).digest(), current.digest()] {
        let elsewhere = [by_olga.clone(), approval("omar", sign(&omar, &digest))];
        assert!(policy::verify_succession(&current, &next, &elsewhere, now).is_err());
    }
}
