//! Coin selection against exhaustive search on small pools, and on a large one.
#![allow(clippy::unwrap_used, reason = "in a test, failing here is the test failing")]

use bitcoin::hashes::Hash as _;
use bitcoin::{OutPoint, Txid};
use chains::bitcoin::{Coin, INPUTS_MAX, SelectError, Selection, Target, fee, select};
use proptest::prelude::*;

fn coins(values: &[u64]) -> Vec<Coin> {
    let coin = |(sats, vout): (&u64, u32)| Coin { outpoint: OutPoint::new(Txid::all_zeros(), vout), sats: *sats };
    values.iter().zip(0..).map(coin).collect()
}

fn target(sats: u64, sats_per_kvb: u64) -> Target {
    Target {
        sats,
        base_weight: 200,
        input_weight: 420,
        change_weight: 172,
        sats_per_kvb,
        sats_per_kvb_later: 10_000,
        change_sats_min: 330,
        must_spend: vec![],
    }
}

fn enough(chosen: &[Coin], target: &Target) -> bool {
    let weight = target.base_weight + target.input_weight * u64::try_from(chosen.len()).unwrap();
    chosen.iter().map(|coin| coin.sats).sum::<u64>() >= target.sats + fee(weight, target.sats_per_kvb)
}

/// Every rule that an answer must keep, said once more.
fn check(selection: &Selection, pool: &[Coin], target: &Target) {
    let sum: u64 = selection.coins.iter().map(|coin| coin.sats).sum();
    assert_eq!(sum, target.sats + selection.change_sats.unwrap_or(0) + selection.fee_sats);
    let change = if selection.change_sats.is_some() { target.change_weight } else { 0 };
    let weight = target.base_weight + change + target.input_weight * u64::try_from(selection.coins.len()).unwrap();
    assert!(selection.fee_sats >= fee(weight, target.sats_per_kvb));
    assert!(selection.change_sats.is_none_or(|change| change >= target.change_sats_min));
    let mut seen: Vec<_> = selection.coins.iter().map(|coin| coin.outpoint).collect();
    assert!(seen.starts_with(&target.must_spend));
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), selection.coins.len());
    assert!(selection.coins.iter().all(|coin| pool.contains(coin)));
    assert!(selection.coins.len() <= INPUTS_MAX);
}

#[test]
fn an_exact_set_needs_no_change() {
    let rate = 20_000;
    let mut target = target(0, rate);
    let own = fee(target.input_weight, rate);
    let pool = coins(&[900_000, 300_000 + own, 200_000 + own, 70_000]);
    target.sats = 500_000 - fee(target.base_weight, rate);
    let selection = select(&pool, &target).unwrap();
    assert_eq!((selection.coins.len(), selection.change_sats), (2, None));
    check(&selection, &pool, &target);
}

#[test]
fn anchors_come_first_and_a_missing_one_is_named() {
    let pool = coins(&[900_000, 1_000, 50_000]);
    let anchor = pool.get(1).unwrap().outpoint;
    let bump = Target { must_spend: vec![anchor], ..target(30_000, 5_000) };
    let selection = select(&pool, &bump).unwrap();
    assert_eq!(selection.coins.first().map(|coin| coin.outpoint), Some(anchor));
    check(&selection, &pool, &bump);
    let elsewhere = OutPoint::new(Txid::all_zeros(), 99);
    let missing = Target { must_spend: vec![elsewhere], ..target(30_000, 5_000) };
    assert_eq!(select(&pool, &missing), Err(SelectError::AnchorMissing(elsewhere)));
}

#[test]
fn too_little_and_too_small_coins_are_named() {
    assert!(matches!(select(&coins(&[1_000, 2_000]), &target(5_000, 1_000)), Err(SelectError::Insufficient { .. })));
    assert!(matches!(select(&[], &target(1, 1_000)), Err(SelectError::Insufficient { .. })));
    let dust = coins(&[700; 2_000]);
    assert_eq!(select(&dust, &target(1_000_000, 1_000)), Err(SelectError::TooManyInputs));
    assert_eq!(select(&coins(&[u64::MAX, u64::MAX]), &target(u64::MAX - 1, 1_000)), Err(SelectError::Overflow));
}

#[test]
fn a_hundred_thousand_coins_have_an_answer() {
    let values: Vec<u64> = (0..100_000u64).map(|n| 1_000 + n * 7_919 % 5_000_000).collect();
    let pool = coins(&values);
    for sats in [10_000, 4_999_999, 123_456_789, 2_000_000_000] {
        let target = target(sats, 15_000);
        check(&select(&pool, &target).unwrap(), &pool, &target);
    }
}

proptest! {
    #[test]
    fn there_is_an_answer_exactly_when_some_set_suffices(
        values in proptest::collection::vec(1u64..200_000, 0..10),
        sats in 1u64..600_000,
        rate in 0u64..200_000,
        anchor in proptest::option::of(0usize..10),
    ) {
        let pool = coins(&values);
        let must_spend: Vec<_> = anchor.and_then(|position| pool.get(position)).map(|coin| coin.outpoint).into_iter().collect();
        let target = Target { must_spend: must_spend.clone(), ..target(sats, rate) };
        let some_set = (0u32..1 << pool.len()).any(|mask| {
            let chosen: Vec<_> = pool.iter().zip(0..).filter(|(_, bit)| mask >> bit & 1 == 1).map(|(coin, _)| *coin).collect();
            !chosen.is_empty() && must_spend.iter().all(|must| chosen.iter().any(|coin| coin.outpoint == *must)) && enough(&chosen, &target)
        });
        match select(&pool, &target) {
            Ok(selection) => {
                prop_assert!(some_set);
                check(&selection, &pool, &target);
            }
            // Rounding of fees per coin may make a coin look worthless that a set could just use: at most a satoshi each.
            Err(SelectError::Insufficient { .. }) => {
                let slack = Target { sats: sats + u64::try_from(pool.len()).unwrap() + 1, ..target };
                let by_far = (0u32..1 << pool.len()).any(|mask| {
                    let chosen: Vec<_> = pool.iter().zip(0..).filter(|(_, bit)| mask >> bit & 1 == 1).map(|(coin, _)| *coin).collect();
                    must_spend.iter().all(|must| chosen.iter().any(|coin| coin.outpoint == *must)) && enough(&chosen, &slack)
                });
                prop_assert!(!by_far);
            }
            Err(error) => prop_assert!(false, "{error}"),
        }
    }
}
