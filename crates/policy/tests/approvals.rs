//! Every way to cheat a count of approvals, tried with signatures by stock `ssh-keygen`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test, failing here is the test failing"
)]

mod common;

use common::{approval, charter, keygen, operator, ssh_sign, transfer, withdrawal};
use policy::{
    ApprovalRefusal, CharterError, Quorum, Role, SuccessionError, count_approvals, verify_genesis,
    verify_past_succession, verify_succession,
};

const APPROVAL: &str = "claviger-approval";

#[test]
fn two_people_of_two_organisations_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    let (olga, olga_public) = keygen(directory.path(), "olga", "ed25519");
    let (omar, omar_public) = keygen(directory.path(), "omar", "ecdsa");
    let charter = charter(vec![operator("olga", "north", &[olga_public]), operator("omar", "south", &[omar_public])]);
    let instruction = withdrawal(5000);
    let approvals = [
        approval("olga", ssh_sign(&olga, APPROVAL, &instruction.digest())),
        approval("omar", ssh_sign(&omar, APPROVAL, &instruction.digest())),
    ];
    let counted = count_approvals(&charter, &instruction, &approvals, types::Moment::from_seconds(common::NOW));
    assert_eq!(counted.refused, []);
    assert!(counted.meets(Quorum { people: 2, organisations: 2 }));
    assert!(!counted.meets(Quorum { people: 3, organisations: 2 }));
}

#[test]
fn t04_a_count_cannot_be_cheated() {
    let directory = tempfile::tempdir().unwrap();
    let (olga, olga_public) = keygen(directory.path(), "olga", "ed25519");
    let (spare, spare_public) = keygen(directory.path(), "spare", "ed25519");
    let (stranger, _) = keygen(directory.path(), "stranger", "ed25519");
    let (omar, omar_public) = keygen(directory.path(), "omar", "ecdsa");
    let mut charter = charter(vec![
        operator("olga", "north", &[olga_public, spare_public]),
        operator("omar", "south", &[omar_public]),
    ]);
    let instruction = withdrawal(5000);
    let digest = instruction.digest();
    let refusal = |approvals: &[types::Approval], instruction: &types::Instruction, charter: &policy::Charter| {
        count_approvals(charter, instruction, approvals, types::Moment::from_seconds(common::NOW))
            .refused
            .pop()
            .map(|(_, refusal)| refusal)
    };
    let by_olga = approval("olga", ssh_sign(&olga, APPROVAL, &digest));

    let one_person_two_keys = [by_olga.clone(), approval("olga", ssh_sign(&spare, APPROVAL, &digest))];
    assert_eq!(refusal(&one_person_two_keys, &instruction, &charter), Some(ApprovalRefusal::CountedTwice));
    assert_eq!(
        refusal(&[by_olga.clone(), by_olga.clone()], &instruction, &charter),
        Some(ApprovalRefusal::CountedTwice)
    );

    let under_another_name = [approval("omar", by_olga.signature.clone())];
    assert_eq!(refusal(&under_another_name, &instruction, &charter), Some(ApprovalRefusal::UnknownKey));
    let unknown_key = [approval("olga", ssh_sign(&stranger, APPROVAL, &digest))];
    assert_eq!(refusal(&unknown_key, &instruction, &charter), Some(ApprovalRefusal::UnknownKey));
    let unknown_person = [approval("mallory", by_olga.signature.clone())];
    assert_eq!(refusal(&unknown_person, &instruction, &charter), Some(ApprovalRefusal::UnknownOperator));

    let other_namespace = [approval("olga", ssh_sign(&olga, "claviger-charter", &digest))];
    assert_eq!(refusal(&other_namespace, &instruction, &charter), Some(ApprovalRefusal::Invalid));
    let replayed_elsewhere = [by_olga.clone()];
    assert_eq!(refusal(&replayed_elsewhere, &withdrawal(5001), &charter), Some(ApprovalRefusal::Invalid));
    assert_eq!(
        refusal(&[approval("olga", "nonsense".to_owned())], &instruction, &charter),
        Some(ApprovalRefusal::Form)
    );

    let asked_by_omar = transfer("omar");
    let by_requester = [approval("omar", ssh_sign(&omar, APPROVAL, &asked_by_omar.digest()))];
    assert_eq!(refusal(&by_requester, &asked_by_omar, &charter), Some(ApprovalRefusal::Requester));

    charter.operators[0].roles = vec![Role::Requester];
    assert_eq!(refusal(&[by_olga], &instruction, &charter), Some(ApprovalRefusal::NotApprover));
}

#[test]
fn t08_a_charter_follows_only_by_the_quorum_before_it() {
    let directory = tempfile::tempdir().unwrap();
    let (olga, olga_public) = keygen(directory.path(), "olga", "ed25519");
    let (omar, omar_public) = keygen(directory.path(), "omar", "ed25519");
    let (eve, eve_public) = keygen(directory.path(), "eve", "ed25519");
    let first = charter(vec![operator("olga", "north", &[olga_public]), operator("omar", "south", &[omar_public])]);
    let now = types::Moment::from_seconds(common::NOW);
    let sign = |key: &std::path::Path, name: &str, charter: &policy::Charter| {
        approval(name, ssh_sign(key, "claviger-charter", &charter.digest()))
    };
    let genesis = [sign(&olga, "olga", &first), sign(&omar, "omar", &first)];
    assert_eq!(verify_genesis(&first, &genesis), Ok(()));
    assert!(matches!(verify_genesis(&first, &genesis[..1]), Err(SuccessionError::Quorum { counted: 1, .. })));

    let mut second = first.clone();
    second.version = 2;
    second.previous = Some(first.digest());
    second.operators.push(operator("eve", "east", &[eve_public]));
    let both = [sign(&olga, "olga", &second), sign(&omar, "omar", &second)];
    assert_eq!(verify_succession(&first, &second, &both, now), Ok(()));
    // Who is new in the next charter has no voice about it.
    let with_eve = [sign(&olga, "olga", &second), sign(&eve, "eve", &second)];
    assert!(matches!(
        verify_succession(&first, &second, &with_eve, now),
        Err(SuccessionError::Quorum { counted: 1, .. })
    ));
    // The same person twice is one.
    let twice = [both[0].clone(), both[0].clone()];
    assert!(matches!(verify_succession(&first, &second, &twice, now), Err(SuccessionError::Quorum { counted: 1, .. })));
    assert!(matches!(verify_succession(&second, &first, &both, now), Err(SuccessionError::Version { .. })));
    let mut skipped = second.clone();
    skipped.version = 3;
    assert!(matches!(verify_succession(&first, &skipped, &both, now), Err(SuccessionError::Version { .. })));
    let mut unlinked = second.clone();
    unlinked.previous = Some(second.digest());
    assert!(matches!(verify_succession(&first, &unlinked, &both, now), Err(SuccessionError::Previous { .. })));
}

/// Olga, omar and oona stay; carl and cora were taken on for a time. Everybody can sign.
struct House {
    charter: policy::Charter,
    directory: tempfile::TempDir,
}

const GUESTS_UNTIL: i64 = common::NOW - 4_900;

impl House {
    fn new() -> House {
        let directory = tempfile::tempdir().unwrap();
        let people = [("olga", "north"), ("omar", "south"), ("oona", "south"), ("carl", "east"), ("cora", "west")];
        let operators = people.map(|(name, organisation)| {
            let (_, public) = keygen(directory.path(), name, "ed25519");
            let guest = name.starts_with('c');
            let expires = guest.then_some(types::Moment::from_seconds(GUESTS_UNTIL));
            policy::Operator { expires, ..operator(name, organisation, &[public]) }
        });
        House { charter: charter(operators.to_vec()), directory }
    }

    /// The charter after this one, with every limit lifted.
    fn lifted(&self) -> policy::Charter {
        let mut next = self.charter.clone();
        next.version += 1;
        next.previous = Some(self.charter.digest());
        next.totals.clear();
        for tier in &mut next.tiers {
            tier.amount_max = types::Amount::from_units(u128::MAX);
        }
        next
    }

    fn signed(&self, next: &policy::Charter, by: &[&str]) -> Vec<types::Approval> {
        let sign = |name: &&str| ssh_sign(&self.directory.path().join(name), "claviger-charter", &next.digest());
        by.iter().map(|name| approval(name, sign(name))).collect()
    }
}

#[test]
fn t04_grants_that_have_ended_decide_about_no_charter() {
    let house = House::new();
    assert_eq!(house.charter.check(), Ok(()));
    let next = house.lifted();
    let at = |by: &[&str], seconds| {
        verify_succession(&house.charter, &next, &house.signed(&next, by), types::Moment::from_seconds(seconds))
    };
    let guests = ["carl", "cora"];
    assert_eq!(at(&guests, GUESTS_UNTIL - 1), Ok(()), "while their grants hold");
    let refused = |by: &[&str], counted, seconds| {
        let error = at(by, seconds).unwrap_err();
        let ended: Vec<types::OperatorId> =
            by.iter().filter(|name| guests.contains(name)).map(|name| name.parse().unwrap()).collect();
        assert_eq!(error, SuccessionError::Quorum { people: 2, organisations: 2, counted, ended });
        error.to_string()
    };
    for seconds in [GUESTS_UNTIL, common::NOW, i64::from(u32::MAX)] {
        refused(&guests, 0, seconds);
        refused(&["carl", "olga"], 1, seconds);
        // Neither do they bring the second organisation.
        let error = at(&["omar", "oona", "cora"], seconds).unwrap_err();
        assert!(matches!(error, SuccessionError::Quorum { counted: 2, .. }), "{error}");
    }
    let words = refused(&guests, 0, common::NOW);
    assert!(words.ends_with("carl, cora; somebody whose grant holds has to sign in their place"), "{words}");
    // Those who stay decide, however late, also about the guests' return.
    let mut renewed = house.charter.clone();
    renewed.version = 2;
    renewed.previous = Some(house.charter.digest());
    for guest in &mut renewed.operators[3..] {
        guest.expires = Some(types::Moment::from_seconds(common::NOW + 86_400));
    }
    let by = house.signed(&renewed, &["olga", "omar"]);
    assert_eq!(
        verify_succession(&house.charter, &renewed, &by, types::Moment::from_seconds(i64::from(u32::MAX))),
        Ok(())
    );
    let by = house.signed(&renewed, &guests);
    assert!(verify_succession(&house.charter, &renewed, &by, types::Moment::from_seconds(common::NOW)).is_err());
}

#[test]
fn a_chain_is_read_again_without_a_clock() {
    let house = House::new();
    let next = house.lifted();
    assert_eq!(verify_past_succession(&house.charter, &next, &house.signed(&next, &["carl", "olga"])), Ok(()));
    let refused = verify_past_succession(&house.charter, &next, &house.signed(&next, &["olga"]));
    assert!(matches!(refused, Err(SuccessionError::Quorum { counted: 1, .. })));
    let mut unlinked = next.clone();
    unlinked.previous = Some(next.digest());
    let both = house.signed(&unlinked, &["olga", "omar"]);
    let refused = verify_past_succession(&house.charter, &unlinked, &both);
    assert!(matches!(refused, Err(SuccessionError::Previous { .. })));
}

#[test]
fn t04_a_charter_that_ends_of_grants_would_lock_out_is_refused() {
    let soon = Some(types::Moment::from_seconds(common::NOW + 86_400));
    let ending = |names: &[&str], change: &dyn Fn(&mut policy::Charter)| {
        let mut charter = House::new().charter;
        for operator in &mut charter.operators {
            operator.expires = names.contains(&operator.id.as_str()).then_some(soon).flatten();
        }
        change(&mut charter);
        charter.check()
    };
    let locked = |result| matches!(result, Err(CharterError::LockedOut { .. }));
    let nothing = |_: &mut policy::Charter| {};
    assert_eq!(ending(&["carl", "cora", "oona"], &nothing), Ok(()));
    assert!(locked(ending(&["olga", "omar", "oona", "carl", "cora"], &nothing)), "everybody");
    assert!(locked(ending(&["olga", "carl", "cora"], &nothing)), "two people are left, of one organisation");
    assert!(locked(ending(&["omar", "oona", "carl", "cora"], &nothing)), "one person");
    // A review is a promise to look, and ends nothing.
    let reviewed = |charter: &mut policy::Charter| charter.operators.iter_mut().for_each(|one| one.review = soon);
    assert_eq!(ending(&["carl", "cora", "oona"], &reviewed), Ok(()));
    // Those who stay count as approvers only.
    let auditor = |charter: &mut policy::Charter| charter.operators[1].roles = vec![Role::Auditor];
    assert!(locked(ending(&["carl", "cora", "oona"], &auditor)));
    // Of those who stay, enough can sign outside the console.
    let read = |charter: &mut policy::Charter| charter.own_reading = 2;
    assert_eq!(ending(&["carl", "cora", "oona"], &read), Ok(()));
    let pages_only = |charter: &mut policy::Charter| {
        charter.own_reading = 2;
        let passkey = testkit::Passkey::new([1; 32]).unwrap();
        let public_key = passkey.public_key().unwrap();
        let credential = passkey.credential.clone();
        charter.operators[1].keys.clear();
        charter.operators[1].passkeys = vec![policy::Passkey { credential, public_key, device_bound: true }];
        charter.relying_party =
            policy::RelyingParty { id: "custody.example".to_owned(), origin: "https://custody.example".to_owned() };
    };
    let refused = ending(&["carl", "cora", "oona"], &pages_only).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the charter locks everybody out in time: its quorum asks for 2 people of 2 organisations, 2 of them with an SSH \
         key, and among approvers whose grants have no end are 2 of 2, 1 with an SSH key; leave \"expires\" empty for enough \
         approvers (\"review\" says when to look at them again), or ask for fewer"
    );
}
