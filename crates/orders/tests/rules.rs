//! Life cycles and rules around them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test, failing here is the test failing")]

use std::collections::HashMap;

use orders::{
    AddressIndex, Confirmations, DepositFacts, DepositState, Difference, PaymentState, Position, Screening, bump_rate,
    is_bump_due, next_deposit_state, reconcile, screen,
};
use proptest::prelude::*;
use types::Amount;

fn sats(count: u64) -> Amount {
    Amount::from_sats(count)
}

#[test]
fn states_are_spelled_one_way_and_every_state_can_be_reached() {
    for state in DepositState::ALL {
        assert_eq!(state.to_string().parse(), Ok(*state));
        let entry = [DepositState::Seen, DepositState::Confirming].contains(state);
        assert!(entry || DepositState::ALL.iter().any(|from| from.may_become(*state)), "{state}");
        assert!(!state.may_become(*state));
    }
    for state in PaymentState::ALL {
        assert_eq!(state.to_string().parse(), Ok(*state));
        let entry = *state == PaymentState::Requested;
        assert!(entry || PaymentState::ALL.iter().any(|from| from.may_become(*state)), "{state}");
    }
    assert!("Paid".parse::<PaymentState>().is_err());
}

#[test]
fn a_payment_that_signers_may_have_written_down_can_only_be_paid() {
    use PaymentState::{Approved, Broadcast, Cancelled, Confirmed, Expired, Generated, Refused, Settled, Signed};
    for state in [Generated, Signed, Broadcast, Confirmed, Settled] {
        for end in [Refused, Cancelled, Expired] {
            assert!(!state.may_become(end), "{state} to {end}");
        }
    }
    assert!(Generated.may_become(Approved) && !Signed.may_become(Approved));
    for state in PaymentState::ALL {
        assert_eq!(state.is_open(), !state.next().is_empty());
    }
}

#[test]
fn only_depth_confirms_and_a_coinbase_has_to_be_mature() {
    let rules = Confirmations(vec![(sats(1_000), 1), (sats(100_000), 3), (sats(0), 6)]);
    for (amount, coinbase, required) in
        [(1_000, false, 1), (1_001, false, 3), (100_001, false, 6), (u64::MAX, false, 6), (5, true, 101)]
    {
        assert_eq!(rules.required(sats(amount), coinbase), required);
    }
    assert_eq!(Confirmations(vec![]).required(sats(1), false), 6);
    let facts = |state, height, tip| DepositFacts { state, height, tip, required: 3 };
    assert_eq!(next_deposit_state(&facts(DepositState::Confirming, Some(10), 11)), None);
    assert_eq!(next_deposit_state(&facts(DepositState::Confirming, Some(10), 12)), Some(DepositState::Confirmed));
    // A tip below the block, as on a node that fell back, confirms nothing.
    assert_eq!(next_deposit_state(&facts(DepositState::Confirming, Some(10), 3)), None);
    for state in [DepositState::Seen, DepositState::Credited, DepositState::Reorged, DepositState::Quarantined] {
        assert_eq!(next_deposit_state(&facts(state, Some(1), 100)), None);
    }
}

#[test]
fn screening_says_why() {
    let facts = Screening { amount: sats(600), amount_min: sats(546), owner: "customer:alice", held: false };
    assert_eq!(screen(&facts), (DepositState::Screened, ""));
    let (state, reason) = screen(&Screening { amount: sats(545), ..facts });
    assert!(state == DepositState::Ignored && reason.contains("dust"));
    assert_eq!(screen(&Screening { owner: "", ..facts }).0, DepositState::Quarantined);
    assert_eq!(screen(&Screening { held: true, ..facts }).0, DepositState::Quarantined);
}

#[test]
fn a_replacement_pays_enough_more_or_is_not_made() {
    assert_eq!(bump_rate(2_000, 0, 100_000), Some(3_500));
    assert_eq!(bump_rate(2_000, 20_000, 100_000), Some(20_000));
    assert_eq!(bump_rate(2_000, 20_000, 5_000), Some(5_000));
    assert_eq!(bump_rate(2_000, 20_000, 2_500), None);
    assert_eq!(bump_rate(u64::MAX, 1, u64::MAX), None);
    assert!(is_bump_due(6, 6, 1_000, 1_001) && !is_bump_due(5, 6, 1_000, 9_000) && !is_bump_due(9, 6, 1_000, 1_000));
}

#[test]
fn the_three_sides_must_agree() {
    let position = Position {
        books: sats(100),
        uncredited: sats(20),
        vanished: sats(3),
        unsettled_out: sats(30),
        unsettled_in: sats(5),
        coins: sats(92),
        chain: sats(92),
    };
    assert_eq!(reconcile(&position), Ok(()));
    let less = Position { chain: sats(91), ..position };
    assert_eq!(reconcile(&less), Err(Difference::Chain { coins: sats(92), chain: sats(91) }));
    let more = Position { books: sats(101), ..position };
    assert_eq!(reconcile(&more), Err(Difference::Books { explained: sats(93), coins: sats(92) }));
    assert!(matches!(reconcile(&Position { unsettled_out: sats(900), ..position }), Err(Difference::Range(_))));
}

proptest! {
    #[test]
    fn the_index_finds_what_a_map_finds(
        scripts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..4), 0..300),
        asked in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..4), 0..300),
    ) {
        let mut index = AddressIndex::default();
        let mut map: HashMap<Vec<u8>, u32> = HashMap::new();
        for (number, script) in (0u32..).zip(&scripts) {
            let number = *map.entry(script.clone()).or_insert(number);
            index.insert(script, number);
        }
        prop_assert_eq!(index.len(), map.len());
        for script in scripts.iter().chain(&asked) {
            let found: Vec<u32> = index.candidates(script).collect();
            prop_assert_eq!(found, map.get(script).copied().into_iter().collect::<Vec<_>>());
        }
    }
}
