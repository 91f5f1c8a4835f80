//! Every way to cheat a count of approvals, tried with signatures by stock `ssh-keygen`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test, failing here is the test failing"
)]

mod common;

use common::{approval, charter, keygen, operator, ssh_sign, transfer, withdrawal};
use policy::{ApprovalRefusal, Quorum, Role, SuccessionError, count_approvals, verify_genesis, verify_succession};

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
    assert_eq!(verify_succession(&first, &second, &both), Ok(()));
    // Who is new in the next charter has no voice about it.
    let with_eve = [sign(&olga, "olga", &second), sign(&eve, "eve", &second)];
    assert!(matches!(verify_succession(&first, &second, &with_eve), Err(SuccessionError::Quorum { counted: 1, .. })));
    // The same person twice is one.
    let twice = [both[0].clone(), both[0].clone()];
    assert!(matches!(verify_succession(&first, &second, &twice), Err(SuccessionError::Quorum { counted: 1, .. })));
    assert!(matches!(verify_succession(&second, &first, &both), Err(SuccessionError::Version { .. })));
    let mut skipped = second.clone();
    skipped.version = 3;
    assert!(matches!(verify_succession(&first, &skipped, &both), Err(SuccessionError::Version { .. })));
    let mut unlinked = second.clone();
    unlinked.previous = Some(second.digest());
    assert!(matches!(verify_succession(&first, &unlinked, &both), Err(SuccessionError::Previous { .. })));
}
