//! What only time lets through, with the whole system: a payment waits where it is, and goes by itself.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test, failing here is the test failing")]

mod common;

use common::{Town, text};
use policy::Hours;
use serde_json::json;

#[test]
fn t04_a_payment_waits_out_its_delay_and_can_be_frozen_meanwhile() {
    // Long enough to be seen, and to freeze, on a machine that does much else.
    let town = Town::decided(|charter| charter.tiers[0].delay_seconds = 15);
    let destination = town.outside();
    let id = text(&town.withdraw("alice", "waits", &Town::withdrawal(1_000_000, &destination)).body, "/id");
    town.until_alarm("signers", "if nobody freezes it");
    assert_eq!(town.received(&destination), (0, 0));
    town.reaches(&id, "broadcast");
    assert_eq!(town.received(&destination), (1_000_000, 1));

    let stopped = town.outside();
    let id = text(&town.withdraw("alice", "stopped", &Town::withdrawal(1_000_000, &stopped)).body, "/id");
    town.until_alarm("signers", "if nobody freezes it");
    let body = json!({"latch": "customer:alice", "reason": "this was not her"});
    town.olga().post("/v1/freeze", "freeze", &body).unwrap();
    town.until_alarm("signers", "frozen");
    assert_eq!(town.state(&id).unwrap(), "generated");
    assert_eq!(town.received(&stopped), (0, 0));
}

#[test]
fn outside_a_tiers_hours_a_payment_waits_and_says_so() {
    // Closed today and tomorrow, whichever day that is.
    let today = claviger::custody::now().seconds().div_euclid(86_400).saturating_add(3).rem_euclid(7);
    let mut days = [false; 7];
    days[usize::try_from((today + 3) % 7).unwrap()] = true;
    let town = Town::decided(|charter| {
        charter.tiers[0].hours = Some(Hours { days, from_minute: 0, to_minute: 1_440 });
    });
    let destination = town.outside();
    let answer = town.withdraw("alice", "early", &Town::withdrawal(1_000_000, &destination));
    assert_eq!(answer.status, 201, "{}", answer.body);
    let id = text(&answer.body, "/id");
    let waiting = town.reaches(&id, "awaiting-approval");
    assert!(text(&waiting, "/payment/reason").contains("opens by itself"), "{waiting}");
    // People are another way.
    for name in ["olga", "omar"] {
        assert_eq!(town.approve(name, &id).status, 200);
    }
    town.reaches(&id, "broadcast");
}
