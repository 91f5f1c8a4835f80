//! Tiers, limits and windows, against an independent model.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test, failing here is the test failing"
)]

mod common;

use std::collections::BTreeSet;

use common::{NOW, charter, operator, transfer, withdrawal};
use policy::{Charter, Counted, Decision, Outcome, Question, Spent, Waits, decide, exposure_max, validity};
use proptest::prelude::*;
use types::{Amount, Instruction, Moment, RefusalCode};

fn people(count: usize) -> Counted {
    let names = ["olga", "omar"];
    Counted {
        people: names.iter().take(count).map(|name| name.parse().unwrap()).collect(),
        organisations: ["north", "south"].iter().take(count).map(|name| (*name).to_owned()).collect(),
        apart: BTreeSet::new(),
        device_bound: BTreeSet::new(),
        refused: vec![],
    }
}

fn demo() -> Charter {
    charter(vec![operator("olga", "north", &["k 1".to_owned()]), operator("omar", "south", &["k 2".to_owned()])])
}

fn ask(charter: &Charter, instruction: &Instruction, approvals: usize, spent: &[Spent], now: i64) -> Decision {
    decide(&Question {
        charter,
        instruction,
        counted: &people(approvals),
        customer_signed: true,
        spent,
        book: &[],
        waits: Waits::Elsewhere,
        fee_share: Amount::from_units(10),
        now: Moment::from_seconds(now),
    })
}

fn rule(decision: Decision) -> String {
    match decision.outcome {
        Outcome::Allowed { .. } => "allowed".to_owned(),
        Outcome::Waiting { .. } => "waiting".to_owned(),
        Outcome::Later { rule, .. } => rule.to_string(),
        Outcome::Refused { rule, .. } => rule.to_string(),
    }
}

#[test]
fn tiers_are_tried_in_order() {
    let charter = demo();
    let allowed = |tier: &str| Outcome::Allowed { tier: tier.to_owned() };
    assert_eq!(ask(&charter, &withdrawal(100), 0, &[], NOW).outcome, allowed("automatic"));
    assert_eq!(rule(ask(&charter, &withdrawal(101), 1, &[], NOW)), "waiting");
    assert_eq!(ask(&charter, &withdrawal(101), 2, &[], NOW).outcome, allowed("quorum"));
    assert_eq!(rule(ask(&charter, &withdrawal(10_001), 2, &[], NOW)), "amount-max");
    assert_eq!(ask(&charter, &transfer("olga"), 1, &[], NOW).outcome, allowed("sweep"));
}

#[test]
fn t08_older_charter_and_wrong_times_are_refused() {
    let charter = demo();
    let mut instruction = withdrawal(100);
    assert_eq!(rule(ask(&charter, &instruction, 2, &[], NOW + 3600)), "expired");
    assert_eq!(rule(ask(&charter, &instruction, 2, &[], NOW - 311)), "created-in-future");
    instruction.charter = 0;
    assert_eq!(rule(ask(&charter, &instruction, 2, &[], NOW)), "charter-version");
    instruction = withdrawal(100);
    instruction.expires = Moment::from_seconds(NOW + 90_000);
    assert_eq!(rule(ask(&charter, &instruction, 2, &[], NOW)), "lifetime");
}

#[test]
fn t08_an_instruction_is_valid_from_five_minutes_before_it_is_made_until_it_expires() {
    let charter = demo();
    let mut instruction = withdrawal(100);
    instruction.created = Moment::from_seconds(NOW);
    instruction.expires = Moment::from_seconds(NOW + 86_400);
    let at = |instruction: &Instruction, seconds: i64| {
        validity(&charter, instruction, Moment::from_seconds(NOW + seconds)).map_err(|invalid| invalid.code)
    };
    for (seconds, expected) in [
        (-301, Err(RefusalCode::CreatedInFuture)),
        (-300, Ok(())),
        (86_399, Ok(())),
        (86_400, Err(RefusalCode::Expired)),
    ] {
        assert_eq!(at(&instruction, seconds), expected, "{seconds}");
    }
    // Time heals the first of these: nothing ends by it.
    let early = ask(&charter, &instruction, 2, &[], NOW - 301).outcome;
    assert!(matches!(early, Outcome::Later { rule: RefusalCode::CreatedInFuture, .. }), "{early:?}");
    instruction.expires = Moment::from_seconds(NOW + 86_401);
    assert_eq!(at(&instruction, 0), Err(RefusalCode::Lifetime));
    // What stands goes before what time heals.
    assert_eq!(at(&instruction, -301), Err(RefusalCode::Lifetime));
}

#[test]
fn t02_without_the_customers_signature_nothing_is_allowed() {
    let charter = demo();
    let decision = decide(&Question {
        charter: &charter,
        instruction: &withdrawal(100),
        counted: &people(2),
        customer_signed: false,
        spent: &[],
        book: &[],
        waits: Waits::Elsewhere,
        fee_share: Amount::from_units(10),
        now: Moment::from_seconds(NOW),
    });
    assert_eq!(rule(decision), "customer-signature");
}

#[test]
fn a_full_window_sends_payments_to_people_and_opens_again() {
    let charter = demo();
    let spent = [Spent {
        at: Moment::from_seconds(NOW),
        wallet: "hot".parse().unwrap(),
        tier: "automatic".to_owned(),
        amount: Amount::from_units(200),
    }];
    assert_eq!(rule(ask(&charter, &withdrawal(40), 0, &spent, NOW + 1)), "allowed");
    let decision = ask(&charter, &withdrawal(41), 0, &spent, NOW + 1);
    assert_eq!(rule(decision.clone()), "waiting");
    assert!(
        decision.trace.iter().any(|line| line.contains("more than 0.00000250 test BTC within 3600 seconds")),
        "{decision:?}"
    );
    let mut later = withdrawal(41);
    later.expires = Moment::from_seconds(NOW + 7200);
    assert_eq!(rule(ask(&charter, &later, 0, &spent, NOW + 3599)), "waiting");
    assert_eq!(rule(ask(&charter, &later, 0, &spent, NOW + 3600)), "allowed");
}

#[test]
fn the_figure_that_people_read_in_advance() {
    assert_eq!(exposure_max(Amount::from_units(100), 3, 2, 0), Some(Amount::from_units(150)));
    assert_eq!(exposure_max(Amount::from_units(100), 3, 2, 1), Some(Amount::from_units(200)));
    assert_eq!(exposure_max(Amount::from_units(100), 5, 3, 1), Some(Amount::from_units(200)));
    assert_eq!(exposure_max(Amount::from_units(100), 3, 2, 2), None, "who owns a quorum owns the coins");
    assert_eq!(exposure_max(Amount::MAX, 3, 2, 0), None);
    assert_eq!(exposure_max(Amount::from_units(100), 3, 0, 0), None);
}

/// The same rules said in another way: what is the best that this much money and these people can get?
fn model(amount: u128, approvals: usize, automatic_recent: u128, all_recent: u128) -> &'static str {
    let total_fits = all_recent + amount + 10 <= 12_000;
    if total_fits && amount <= 100 && automatic_recent + amount + 10 <= 250 {
        return "allowed";
    }
    match (total_fits && amount <= 10_000, approvals) {
        (true, 2) => "allowed",
        (true, _) => "waiting",
        (false, _) => "refused",
    }
}

proptest! {
    #[test]
    fn decisions_agree_with_the_model(
        amount in prop_oneof![1u128..300, 9_000u128..11_000],
        approvals in 0usize..3,
        history in proptest::collection::vec((0i64..200_000, any::<bool>(), 1u128..3_000), 0..8),
    ) {
        let charter = demo();
        let spent: Vec<_> = history
            .iter()
            .map(|(age, automatic, amount)| Spent {
                at: Moment::from_seconds(NOW - age),
                wallet: "hot".parse().unwrap(),
                tier: if *automatic { "automatic" } else { "quorum" }.to_owned(),
                amount: Amount::from_units(*amount),
            })
            .collect();
        let automatic: u128 = history.iter().filter(|(age, automatic, _)| *automatic && *age < 3600).map(|entry| entry.2).sum();
        let all: u128 = history.iter().filter(|(age, ..)| *age < 86_400).map(|entry| entry.2).sum();
        let said = match rule(ask(&charter, &withdrawal(amount), approvals, &spent, NOW)).as_str() {
            "allowed" => "allowed",
            "waiting" => "waiting",
            _ => "refused",
        };
        prop_assert_eq!(said, model(amount, approvals, automatic, all));
    }
}

#[test]
fn t04_a_tier_under_a_new_name_opens_no_fresh_window() {
    let mut charter = demo();
    let spent = [Spent {
        at: Moment::from_seconds(NOW),
        wallet: "hot".parse().unwrap(),
        tier: "automatic".to_owned(),
        amount: Amount::from_units(200),
    }];
    assert_eq!(rule(ask(&charter, &withdrawal(41), 0, &spent, NOW + 1)), "waiting");
    charter.tiers[0].name = "quick".to_owned();
    assert_eq!(rule(ask(&charter, &withdrawal(41), 0, &spent, NOW + 1)), "waiting");
    assert_eq!(rule(ask(&charter, &withdrawal(40), 0, &spent, NOW + 1)), "allowed");
}
