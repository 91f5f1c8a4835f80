//! The role-by-action table, and what else a charter grants: hours, delays, grants that end, the address book.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test, failing here is the test failing")]

mod common;

use std::collections::BTreeSet;

use common::{NOW, approval, charter, keygen, operator, ssh_line, ssh_sign, withdrawal};
use policy::{
    Action, ApprovalRefusal, BookEntry, Counted, Destinations, Hours, Outcome, Question, Quorum, Role, Waits,
    count_approvals, decide, missing, permitted, role_table,
};
use proptest::prelude::*;
use types::{Amount, Moment, Party};

/// The table that users read. A change of what roles may do is a change of this file.
#[test]
fn t12_roles_may_do_what_the_table_says() {
    assert_eq!(role_table(), include_str!("../../../docs/roles.tsv"));
}

#[test]
fn duties_are_apart() {
    for action in Action::ALL {
        assert!(Role::ALL.iter().any(|role| role.allows(action)), "nobody may {}", action.as_str());
    }
    let asks = [Action::RequestTransfer, Action::TendPayments];
    for role in Role::ALL {
        let all = asks.iter().any(|action| role.allows(*action)) && role.allows(Action::Approve);
        assert!(!all, "{} asks and approves", role.as_str());
    }
    assert!(permitted(&[Role::Auditor, Role::Approver], Action::Approve));
    assert!(!permitted(&[], Action::Read));
}

#[test]
fn what_is_missing_is_said_with_where_it_can_come_from() {
    let mut people = vec![
        operator("olga", "north", &[]),
        operator("nina", "north", &[]),
        operator("omar", "south", &[]),
        operator("oona", "east", &[]),
    ];
    people[3].expires = Some(Moment::from_seconds(NOW - 1));
    let mut charter = charter(people);
    charter.own_reading = 0;
    let words = |counted: &[(&str, &str)], asked: Option<&str>, people, organisations| {
        let counted = Counted {
            people: counted.iter().map(|(name, _)| name.parse().unwrap()).collect(),
            organisations: counted.iter().map(|(_, organisation)| (*organisation).to_owned()).collect(),
            apart: std::collections::BTreeSet::new(),
            device_bound: BTreeSet::new(),
            refused: vec![],
        };
        let asked = asked.map(|name| Party::Operator(name.parse().unwrap()));
        missing(&charter, asked.as_ref(), &counted, Quorum { people, organisations }, Moment::from_seconds(NOW))
    };
    assert_eq!(words(&[], None, 0, 0), "");
    assert_eq!(words(&[("olga", "north"), ("omar", "south")], None, 2, 2), "");
    assert_eq!(words(&[("olga", "north")], None, 2, 2), "needs 1 more from south");
    assert_eq!(words(&[("olga", "north")], None, 2, 1), "needs 1 more from north or south");
    assert_eq!(words(&[], None, 2, 2), "needs 2 more from north or south, of 2 more organisation(s)");
    assert_eq!(words(&[("olga", "north")], None, 3, 2), "needs 2 more from north or south, of 1 more organisation(s)");
    assert_eq!(words(&[("olga", "north"), ("nina", "north")], None, 2, 2), "needs 1 more from south");
    assert_eq!(words(&[], Some("omar"), 1, 1), "needs 1 more from north", "who asks does not count");
    assert_eq!(
        words(&[("olga", "north")], Some("omar"), 2, 2),
        "needs 1 more; the charter has nobody left who could",
        "nor does a grant that has ended"
    );
}

fn rule(charter: &policy::Charter, book: &[BookEntry], complete: Option<i64>, now: i64) -> String {
    let counted = Counted::default();
    let since = complete.map(|at| ("automatic".to_owned(), Moment::from_seconds(at))).into_iter().collect();
    let question = Question {
        charter,
        instruction: &withdrawal(100),
        counted: &counted,
        customer_signed: true,
        spent: &[],
        book,
        waits: Waits::Since(&since),
        fee_share: Amount::from_units(10),
        now: Moment::from_seconds(now),
    };
    match decide(&question).outcome {
        Outcome::Allowed { tier } => tier,
        Outcome::Waiting { .. } => "waiting".to_owned(),
        Outcome::Later { rule, .. } => rule.to_string(),
        Outcome::Refused { rule, .. } => rule.to_string(),
    }
}

fn demo() -> policy::Charter {
    let keys = |number| vec![ssh_line(number, "comment")];
    let mut charter = charter(vec![operator("olga", "north", &keys(1)), operator("omar", "south", &keys(2))]);
    charter.tiers.truncate(1);
    charter
}

#[test]
fn a_tier_waits_for_its_delay_and_its_hours() {
    let mut charter = demo();
    charter.tiers[0].delay_seconds = 600;
    assert_eq!(rule(&charter, &[], None, NOW), "delay");
    assert_eq!(rule(&charter, &[], Some(NOW), NOW + 599), "delay");
    assert_eq!(rule(&charter, &[], Some(NOW), NOW + 600), "automatic");
    charter.tiers[0].delay_seconds = 0;
    // NOW is Friday, 2027-01-15, 08:00 UTC.
    let mut days = [false; 7];
    days[4] = true;
    charter.tiers[0].hours = Some(Hours { days, from_minute: 8 * 60, to_minute: 9 * 60 });
    assert_eq!(rule(&charter, &[], None, NOW), "automatic");
    assert_eq!(rule(&charter, &[], None, NOW - 1), "hours");
    assert_eq!(rule(&charter, &[], None, NOW + 3_599), "automatic");
    charter.tiers[0].hours = Some(Hours { days, from_minute: 0, to_minute: 8 * 60 });
    assert_eq!(rule(&charter, &[], None, NOW), "hours");
    let text = String::from_utf8(charter.to_bytes()).unwrap();
    assert!(text.contains("\"hours\":\"fri 00:00-08:00\""), "{text}");
    assert_eq!(policy::Charter::from_bytes(text.as_bytes()), Ok(charter));
}

#[test]
fn a_wait_is_not_hidden_by_a_later_tier_that_asks_for_people() {
    let mut charter = demo();
    let large = policy::Tier { name: "quorum".to_owned(), windows: vec![], ..charter.tiers[0].clone() };
    charter.tiers.push(policy::Tier { quorum: policy::Quorum { people: 2, organisations: 2 }, ..large });
    charter.tiers[0].delay_seconds = 600;
    assert_eq!(rule(&charter, &[], None, NOW), "delay");
    charter.tiers[1].amount_max = Amount::from_units(1);
    assert_eq!(rule(&charter, &[], None, NOW), "delay");
    assert_eq!(rule(&charter, &[], Some(NOW - 600), NOW), "automatic");
}

#[test]
fn t14_a_fresh_destination_waits_in_the_address_book() {
    let mut charter = demo();
    charter.tiers[0].destinations = Destinations::AllowList;
    charter.address_book_seconds = 3_600;
    let entry = |customer: &str, address: &str, since| BookEntry {
        customer: customer.parse().unwrap(),
        address: address.to_owned(),
        since: Moment::from_seconds(since),
    };
    assert_eq!(rule(&charter, &[], None, NOW), "destination");
    assert_eq!(rule(&charter, &[entry("alice", "bcrt1qexample", NOW - 3_599)], None, NOW), "destination");
    assert_eq!(rule(&charter, &[entry("alice", "bcrt1qexample", NOW - 3_600)], None, NOW), "automatic");
    assert_eq!(rule(&charter, &[entry("bob", "bcrt1qexample", NOW - 9_000)], None, NOW), "destination");
    assert_eq!(rule(&charter, &[entry("alice", "bcrt1qother", NOW - 9_000)], None, NOW), "destination");
}

#[test]
fn t04_a_grant_that_has_ended_approves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (olga, public) = keygen(directory.path(), "olga", "ed25519");
    let mut charter = charter(vec![operator("olga", "north", &[public])]);
    let instruction = withdrawal(500);
    let by_olga = [approval("olga", ssh_sign(&olga, "claviger-approval", &instruction.digest()))];
    charter.operators[0].expires = Some(Moment::from_seconds(NOW));
    let count = |now| count_approvals(&charter, &instruction, &by_olga, Moment::from_seconds(now));
    assert_eq!(count(NOW - 1).people.len(), 1);
    assert_eq!(count(NOW).refused[0].1, ApprovalRefusal::Expired);
}

proptest! {
    /// Against a calendar of another make.
    #[test]
    fn hours_agree_with_a_calendar(seconds in 0i64..4_000_000_000, from in 0u16..1_440, length in 1u16..1_440, bits in 1u8..128) {
        let to_minute = (from + length).min(1_440);
        let days: [bool; 7] = std::array::from_fn(|day| bits & (1 << day) != 0);
        let hours = Hours { days, from_minute: from, to_minute };
        let at = time::OffsetDateTime::from_unix_timestamp(seconds).unwrap();
        let minute = u16::from(at.hour()) * 60 + u16::from(at.minute());
        let open = days[usize::from(at.weekday().number_days_from_monday())] && minute >= from && minute < to_minute;
        prop_assert_eq!(hours.contain(Moment::from_seconds(seconds)), open);
    }
}

#[test]
fn t08_decisions_about_rules_need_somebody_who_reads_outside_the_console() {
    let charter =
        charter(vec![operator("olga", "north", &["k 1".to_owned()]), operator("omar", "south", &["k 2".to_owned()])]);
    let two = Quorum { people: 2, organisations: 2 };
    let mut counted = Counted {
        people: ["olga", "omar"].map(|name| name.parse().unwrap()).to_vec(),
        organisations: ["north", "south"].map(str::to_owned).into(),
        ..Counted::default()
    };
    assert!(counted.meets(two) && !charter.is_enough(&counted, two));
    let words = missing(&charter, None, &counted, two, Moment::from_seconds(NOW));
    assert_eq!(words, "needs 1 more who signs with an SSH key, on a machine of their own");
    counted.apart.insert("omar".parse().unwrap());
    assert!(charter.is_enough(&counted, two));
    assert_eq!(missing(&charter, None, &counted, two, Moment::from_seconds(NOW)), "");
}
