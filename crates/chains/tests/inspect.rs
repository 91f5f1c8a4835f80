//! Every trick that a transaction can play on a signer, one test each, and the honest way through.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test, failing here is the test failing")]

mod common;

use bitcoin::bip32::{ChildNumber, DerivationPath};
use bitcoin::psbt::{Psbt, PsbtSighashType};
use bitcoin::sighash::EcdsaSighashType;
use bitcoin::{Amount, ScriptBuf, Sequence, TxOut};
use chains::bitcoin::{
    Branch, Change, InspectRefusal, LOCK_HEIGHT_MAX, Payment, PsbtError, SignError, combine, finalize, generate,
    inspect, read_psbt, sign, unlocks,
};
use common::{CAPS, coin, honest, outside, vault};
use proptest::prelude::*;

fn refusal(change: impl Fn(&mut Psbt, &mut Vec<Payment>)) -> InspectRefusal {
    let vault = vault(1);
    let (mut psbt, mut payments) = honest(&vault);
    assert!(inspect(&psbt, &vault.wallet, &payments, &CAPS).is_ok());
    change(&mut psbt, &mut payments);
    inspect(&psbt, &vault.wallet, &payments, &CAPS).unwrap_err()
}

#[test]
fn any_two_of_three_sign_and_the_scripts_accept_it() {
    let vault = vault(1);
    for pair in [[0, 1], [1, 2], [2, 0]] {
        let (mut psbt, payments) = honest(&vault);
        let effects = inspect(&psbt, &vault.wallet, &payments, &CAPS).unwrap();
        assert_eq!(effects.fee_sats, 1_000);
        assert_eq!(effects.change.map(|change| (change.index, change.sats)), Some((5, 39_000)));
        for signer in pair {
            let parts = sign(&psbt.unsigned_tx, &effects, &vault.wallet, &vault.accounts[signer], &vault.secp).unwrap();
            combine(&mut psbt, &effects, &parts, &vault.secp).unwrap();
        }
        let transaction = finalize(&psbt, &vault.wallet, &effects).unwrap();
        assert_eq!(transaction.compute_txid(), effects.txid);
        let vbytes = u64::try_from(transaction.vsize()).unwrap();
        assert!(vbytes <= effects.vbytes && effects.vbytes - vbytes < 8, "{vbytes} of {}", effects.vbytes);
    }
}

#[test]
fn what_only_says_that_it_spends_a_coin_is_told_apart_from_what_can() {
    let vault = vault(1);
    let (mut psbt, payments) = honest(&vault);
    let effects = inspect(&psbt, &vault.wallet, &payments, &CAPS).unwrap();
    for signer in [0, 1] {
        let parts = sign(&psbt.unsigned_tx, &effects, &vault.wallet, &vault.accounts[signer], &vault.secp).unwrap();
        combine(&mut psbt, &effects, &parts, &vault.secp).unwrap();
    }
    let whole = finalize(&psbt, &vault.wallet, &effects).unwrap();
    let can = |transaction: &bitcoin::Transaction, sats: u64| {
        unlocks(transaction, 0, &effects.inputs[0].derived, sats, vault.wallet.threshold(), &vault.secp)
    };
    let sats = effects.inputs[0].sats;
    assert!(can(&whole, sats));
    assert!(!can(&whole, sats + 1), "the amount is signed as well");
    assert!(!can(&psbt.unsigned_tx, sats));
    let with = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let mut items = whole.input[0].witness.to_vec();
        change(&mut items);
        let mut changed = whole.clone();
        changed.input[0].witness = bitcoin::Witness::from_slice(&items);
        can(&changed, sats)
    };
    assert!(with(&|_| ()));
    assert!(!with(&|items| items[1] = items[2].clone()), "one key twice is one key");
    assert!(!with(&|items| items[1][9] ^= 1));
    assert!(!with(&|items| items.truncate(3)), "without the script");
    assert!(!with(&|items| items[1].clear()), "one signature of two");
    let mut other = whole.clone();
    other.output[0].value = Amount::from_sat(1);
    assert!(!can(&other, sats), "somebody else's signatures of another transaction");
}

#[test]
fn one_signature_is_not_enough_and_a_lying_one_is_named() {
    let vault = vault(1);
    let (mut psbt, payments) = honest(&vault);
    let effects = inspect(&psbt, &vault.wallet, &payments, &CAPS).unwrap();
    let parts = sign(&psbt.unsigned_tx, &effects, &vault.wallet, &vault.accounts[0], &vault.secp).unwrap();
    combine(&mut psbt, &effects, &parts, &vault.secp).unwrap();
    assert_eq!(finalize(&psbt, &vault.wallet, &effects), Err(SignError::TooFew { input: 0, found: 1, needed: 2 }));

    let mut lying = sign(&psbt.unsigned_tx, &effects, &vault.wallet, &vault.accounts[1], &vault.secp).unwrap();
    let other = lying[0].signature.clone();
    lying[1].signature = other;
    assert_eq!(combine(&mut psbt, &effects, &lying, &vault.secp), Err(SignError::Invalid { input: 1 }));
    assert_eq!(psbt.inputs[0].partial_sigs.len(), 1, "nothing of a lying signer is kept");
    let mut foreign = parts.clone();
    foreign[0].signature.pop();
    foreign[0].signature.push(0x02);
    assert_eq!(combine(&mut psbt, &effects, &foreign, &vault.secp), Err(SignError::Invalid { input: 0 }));
    let stranger = common::vault(2);
    let by = |account| sign(&psbt.unsigned_tx, &effects, &vault.wallet, account, &vault.secp);
    assert_eq!(by(&stranger.accounts[0]), Err(SignError::ForeignKey));
    // A key that went wrong in memory, though everything public about it is right.
    let mut broken = vault.accounts[0];
    broken.private_key = vault.accounts[1].private_key;
    assert_eq!(by(&broken), Err(SignError::Invalid { input: 0 }));
    // Effects of another wallet.
    let other = sign(&psbt.unsigned_tx, &effects, &stranger.wallet, &stranger.accounts[0], &vault.secp);
    assert_eq!(other, Err(SignError::ForeignKey));
}

#[test]
fn t05_other_destination() {
    let swapped = refusal(|psbt, _| {
        for output in &mut psbt.unsigned_tx.output {
            if output.value == Amount::from_sat(60_000) {
                output.script_pubkey = ScriptBuf::new_p2wsh(&ScriptBuf::new().wscript_hash());
            }
        }
    });
    assert_eq!(swapped, InspectRefusal::ForeignOutput);
    assert_eq!(refusal(|_, payments| payments.push(outside(1))), InspectRefusal::PaymentMissing);
}

#[test]
fn t05_other_amount() {
    let more = refusal(|psbt, _| {
        for output in &mut psbt.unsigned_tx.output {
            output.value =
                Amount::from_sat(output.value.to_sat() + u64::from(output.value == Amount::from_sat(60_000)));
        }
    });
    assert_eq!(more, InspectRefusal::ForeignOutput);
}

#[test]
fn t05_extra_output_and_paying_twice() {
    let extra = |psbt: &mut Psbt, output: TxOut| {
        psbt.unsigned_tx.output.push(output);
        psbt.outputs.push(bitcoin::psbt::Output::default());
    };
    let foreign =
        refusal(|psbt, _| extra(psbt, TxOut { value: Amount::from_sat(600), script_pubkey: ScriptBuf::new() }));
    assert_eq!(foreign, InspectRefusal::ForeignOutput);
    let twice = refusal(|psbt, payments| {
        let payment = payments[0].clone();
        extra(psbt, TxOut { value: Amount::from_sat(payment.sats), script_pubkey: payment.script });
    });
    assert_eq!(twice, InspectRefusal::ForeignOutput);
}

#[test]
fn t05_higher_fee() {
    let less_change = |sats: u64| {
        move |psbt: &mut Psbt, _: &mut Vec<Payment>| {
            for output in &mut psbt.unsigned_tx.output {
                if output.value == Amount::from_sat(39_000) {
                    output.value = Amount::from_sat(sats);
                }
            }
        }
    };
    assert_eq!(refusal(less_change(330)), InspectRefusal::FeeRateCap, "39,670 of fee: under the cap, over the rate");
    let vault = vault(1);
    let (mut psbt, payments) = honest(&vault);
    less_change(330)(&mut psbt, &mut vec![]);
    let caps = chains::bitcoin::Caps { fee_sats_max: 39_669, ..CAPS };
    assert_eq!(inspect(&psbt, &vault.wallet, &payments, &caps), Err(InspectRefusal::FeeCap));
    assert_eq!(refusal(less_change(40_001)), InspectRefusal::Overspent);
    assert_eq!(refusal(less_change(u64::MAX)), InspectRefusal::Overspent);
}

#[test]
fn t05_foreign_change() {
    let other = vault(2);
    let derived = other.wallet.derive(Branch::Change, 5).unwrap();
    let foreign = refusal(|psbt, _| {
        for (output, slot) in psbt.unsigned_tx.output.iter_mut().zip(&mut psbt.outputs) {
            if output.value == Amount::from_sat(39_000) {
                output.script_pubkey = derived.script_pubkey.clone();
                slot.bip32_derivation = derived.keys.clone();
            }
        }
    });
    assert_eq!(foreign, InspectRefusal::ForeignOutput);
    let under_our_path = refusal(|psbt, _| {
        for output in &mut psbt.unsigned_tx.output {
            if output.value == Amount::from_sat(39_000) {
                output.script_pubkey = derived.script_pubkey.clone();
            }
        }
    });
    assert_eq!(under_our_path, InspectRefusal::ForeignOutput);
}

#[test]
fn t05_change_at_an_absurd_path() {
    let vault = vault(1);
    let payments = vec![outside(60_000)];
    let inputs = [coin(&vault.wallet, 3, 100_000, 1)];
    for index in [51, 1_000_000, (1 << 31) - 1] {
        let psbt = generate(&vault.wallet, &inputs, &payments, Some(Change { index, sats: 39_000 }), 0, 100).unwrap();
        assert_eq!(inspect(&psbt, &vault.wallet, &payments, &CAPS), Err(InspectRefusal::ChangePath));
    }
    let receiving = refusal(|psbt, _| {
        let derived = common::vault(1).wallet.derive(Branch::Receive, 9).unwrap();
        for (output, slot) in psbt.unsigned_tx.output.iter_mut().zip(&mut psbt.outputs) {
            if output.value == Amount::from_sat(39_000) {
                output.script_pubkey = derived.script_pubkey.clone();
                slot.bip32_derivation = derived.keys.clone();
            }
        }
    });
    assert_eq!(receiving, InspectRefusal::ChangePath);
    let deeper = refusal(|psbt, _| {
        for slot in &mut psbt.outputs {
            for (_, path) in slot.bip32_derivation.values_mut() {
                *path = path.child(ChildNumber::Normal { index: 7 });
            }
        }
    });
    assert_eq!(deeper, InspectRefusal::ChangePath);
}

#[test]
fn t05_extra_input() {
    let vault = vault(1);
    let payments = vec![outside(60_000)];
    let stranger = common::vault(2);
    let mut inputs = vec![coin(&vault.wallet, 3, 100_000, 1)];
    let mut psbt = generate(&vault.wallet, &inputs, &payments, None, 0, 100).unwrap();
    inputs = vec![coin(&stranger.wallet, 0, 5_000, 9)];
    let foreign = generate(&stranger.wallet, &inputs, &payments, None, 0, 100).unwrap();
    psbt.unsigned_tx.input.extend(foreign.unsigned_tx.input);
    psbt.inputs.extend(foreign.inputs);
    assert_eq!(inspect(&psbt, &vault.wallet, &payments, &CAPS), Err(InspectRefusal::ForeignInput));
    let doubled = refusal(|psbt, _| {
        psbt.unsigned_tx.input.push(psbt.unsigned_tx.input[0].clone());
        psbt.inputs.push(psbt.inputs[0].clone());
    });
    assert_eq!(doubled, InspectRefusal::SameInput);
}

#[test]
fn t05_lying_input_amount() {
    let stated = refusal(|psbt, _| psbt.inputs[0].witness_utxo.as_mut().unwrap().value = Amount::from_sat(1));
    assert_eq!(stated, InspectRefusal::AmountLies);
    let rewritten =
        refusal(|psbt, _| psbt.inputs[0].non_witness_utxo.as_mut().unwrap().output[1].value = Amount::from_sat(1));
    assert_eq!(rewritten, InspectRefusal::PreviousDiffers);
    assert_eq!(refusal(|psbt, _| psbt.inputs[0].non_witness_utxo = None), InspectRefusal::NoPrevious);
    assert_eq!(refusal(|psbt, _| psbt.unsigned_tx.input[0].previous_output.vout = 9), InspectRefusal::PreviousDiffers);
    assert_eq!(refusal(|psbt, _| psbt.unsigned_tx.input[0].previous_output.vout = 0), InspectRefusal::AmountLies);
}

#[test]
fn t05_sighash_other_than_all() {
    use EcdsaSighashType::{AllPlusAnyoneCanPay, None, NonePlusAnyoneCanPay, Single, SinglePlusAnyoneCanPay};
    for kind in [None, Single, AllPlusAnyoneCanPay, NonePlusAnyoneCanPay, SinglePlusAnyoneCanPay] {
        let refused = refusal(|psbt, _| psbt.inputs[1].sighash_type = Some(kind.into()));
        assert_eq!(refused, InspectRefusal::SighashType, "{kind}");
    }
    let unheard_of = refusal(|psbt, _| psbt.inputs[0].sighash_type = Some(PsbtSighashType::from_u32(0x41)));
    assert_eq!(unheard_of, InspectRefusal::SighashType);
    let vault = vault(1);
    let (mut psbt, payments) = honest(&vault);
    psbt.inputs[0].sighash_type = Some(EcdsaSighashType::All.into());
    assert!(inspect(&psbt, &vault.wallet, &payments, &CAPS).is_ok());
}

#[test]
fn t05_fields_that_nobody_expects() {
    assert_eq!(refusal(|psbt, _| psbt.inputs[0].redeem_script = Some(ScriptBuf::new())), InspectRefusal::UnknownFields);
    assert_eq!(refusal(|psbt, _| psbt.unsigned_tx.input[0].sequence = Sequence::MAX), InspectRefusal::LockTime);
    assert_eq!(
        refusal(|psbt, _| psbt.unsigned_tx.version = bitcoin::transaction::Version::ONE),
        InspectRefusal::Version
    );
    let by_time = bitcoin::absolute::LockTime::from_consensus(1_800_000_000);
    assert_eq!(refusal(|psbt, _| psbt.unsigned_tx.lock_time = by_time), InspectRefusal::LockTime);
    let wrong_path = refusal(|psbt, _| {
        for (_, path) in psbt.inputs[0].bip32_derivation.values_mut() {
            *path = DerivationPath::master();
        }
    });
    assert_eq!(wrong_path, InspectRefusal::ForeignInput);
    let nothing = refusal(|psbt, _| {
        psbt.unsigned_tx.input.clear();
        psbt.inputs.clear();
    });
    assert_eq!(nothing, InspectRefusal::InputCount);
}

#[test]
fn t05_fields_that_ride_along_in_a_psbt() {
    use bitcoin::psbt::raw::{Key, ProprietaryKey};
    let key = || Key { type_value: 0xf0, key: vec![1] };
    let own = || ProprietaryKey { prefix: b"other".to_vec(), subtype: 1, key: vec![] };
    // The change stands at one of two places, the payment at the other.
    let (change, payment) = {
        let (psbt, _) = honest(&vault(1));
        let change = psbt.outputs.iter().position(|slot| !slot.bip32_derivation.is_empty()).unwrap();
        (change, 1 - change)
    };
    for place in [change, payment] {
        let unknown = refusal(|psbt, _| drop(psbt.outputs[place].unknown.insert(key(), vec![2])));
        let proprietary = refusal(|psbt, _| drop(psbt.outputs[place].proprietary.insert(own(), vec![2])));
        let redeem = refusal(|psbt, _| psbt.outputs[place].redeem_script = Some(ScriptBuf::new()));
        let script = refusal(|psbt, _| psbt.outputs[place].witness_script = Some(ScriptBuf::new()));
        assert_eq!([unknown, proprietary, redeem, script], [InspectRefusal::UnknownFields; 4], "output {place}");
    }
    let ours =
        refusal(|psbt, _| psbt.outputs[payment].bip32_derivation = psbt.outputs[change].bip32_derivation.clone());
    assert_eq!(ours, InspectRefusal::UnknownFields, "a payment that is dressed up as change");
    let unknown = refusal(|psbt, _| drop(psbt.inputs[1].unknown.insert(key(), vec![2])));
    let proprietary = refusal(|psbt, _| drop(psbt.inputs[1].proprietary.insert(own(), vec![2])));
    assert_eq!([unknown, proprietary], [InspectRefusal::UnknownFields; 2]);
    let unknown = refusal(|psbt, _| drop(psbt.unknown.insert(key(), vec![2])));
    let proprietary = refusal(|psbt, _| drop(psbt.proprietary.insert(own(), vec![2])));
    let version = refusal(|psbt, _| psbt.version = 2);
    let unlooked = refusal(|psbt, _| drop(psbt.outputs.pop()));
    assert_eq!([unknown, proprietary, version, unlooked], [InspectRefusal::UnknownFields; 4]);
}

#[test]
fn t05_a_psbt_ends_where_it_ends_and_has_one_spelling() {
    let (psbt, _) = honest(&vault(1));
    let bytes = psbt.serialize();
    assert_eq!(read_psbt(&bytes), Ok(psbt));
    for tail in [&[0][..], &[0xff], b"psbt\xff", &bytes] {
        assert_eq!(read_psbt(&[&bytes, tail].concat()), Err(PsbtError::Spelling));
    }
    for cut in 0..bytes.len() {
        assert!(read_psbt(&bytes[..cut]).is_err(), "{cut}");
    }
}

#[test]
fn t05_a_lock_time_far_off_holds_nobodys_coins() {
    let at = |height| {
        let vault = vault(1);
        let (mut psbt, payments) = honest(&vault);
        psbt.unsigned_tx.lock_time = bitcoin::absolute::LockTime::from_consensus(height);
        inspect(&psbt, &vault.wallet, &payments, &CAPS).map(|_| ())
    };
    for height in [0, 1, 900_000, LOCK_HEIGHT_MAX] {
        assert_eq!(at(height), Ok(()), "{height}");
    }
    for height in [LOCK_HEIGHT_MAX + 1, 499_999_999, 500_000_000, 1_800_000_000, u32::MAX] {
        assert_eq!(at(height), Err(InspectRefusal::LockTime), "{height}");
    }
    for sequence in [0, 1, 144, 0x0040_0001, 0xffff_fffc, 0xffff_fffe] {
        let refused = refusal(|psbt, _| psbt.unsigned_tx.input[1].sequence = Sequence(sequence));
        assert_eq!(refused, InspectRefusal::LockTime, "{sequence:x}");
    }
}

#[test]
fn t05_outputs_that_nobody_relays() {
    let pays = |sats: u64, change: u64| {
        let vault = vault(1);
        let payments = vec![outside(sats)];
        let inputs = [coin(&vault.wallet, 3, 100_000, 1)];
        let change = Some(Change { index: 5, sats: change });
        let psbt = generate(&vault.wallet, &inputs, &payments, change, 0, 100).unwrap();
        inspect(&psbt, &vault.wallet, &payments, &CAPS).map(|_| ())
    };
    let least = outside(1).script.minimal_non_dust().to_sat();
    for sats in [0, 1, least - 1] {
        assert_eq!(pays(sats, 99_000 - sats), Err(InspectRefusal::Dust), "{sats}, though it was asked for");
    }
    assert_eq!(pays(least, 99_000 - least), Ok(()));
    // Change of this wallet is P2WSH.
    for sats in [0, 1, 329] {
        assert_eq!(pays(99_000 - sats, sats), Err(InspectRefusal::Dust), "{sats} of change");
    }
    assert_eq!(pays(99_000 - 330, 330), Ok(()));
}

#[test]
fn effects_belong_to_one_transaction() {
    let vault = vault(1);
    let (psbt, payments) = honest(&vault);
    let effects = inspect(&psbt, &vault.wallet, &payments, &CAPS).unwrap();
    let mut other = psbt.unsigned_tx.clone();
    other.output[0].value = Amount::from_sat(1);
    assert_eq!(sign(&other, &effects, &vault.wallet, &vault.accounts[0], &vault.secp), Err(SignError::Differs));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever is generated is inspected as what was asked for, and the books agree: in = payments + change + fee.
    #[test]
    fn what_is_generated_passes_inspection(
        values in proptest::collection::vec(20_000u64..1_000_000, 1..6),
        share in 0u64..100,
        place: usize,
        with_change: bool,
    ) {
        let vault = vault(3);
        let inputs: Vec<_> = values.iter().zip(1u32..).map(|(sats, n)| coin(&vault.wallet, n, *sats, n)).collect();
        let available = values.iter().sum::<u64>() - 2_000;
        let paid = 1_000 + (available - 2_000) * share / 100;
        let change = with_change.then_some(Change { index: 2, sats: available - paid });
        let payments = vec![outside(if with_change { paid } else { available })];
        let psbt = generate(&vault.wallet, &inputs, &payments, change, place, 7).unwrap();
        let caps = chains::bitcoin::Caps { fee_sats_max: 2_000, ..CAPS };
        let effects = inspect(&psbt, &vault.wallet, &payments, &caps).unwrap();
        prop_assert_eq!(effects.fee_sats, 2_000);
        prop_assert_eq!(effects.change.map(|change| change.sats), change.map(|change| change.sats));
        let again = Psbt::deserialize(&psbt.serialize()).unwrap();
        prop_assert_eq!(inspect(&again, &vault.wallet, &payments, &caps), Ok(effects));
    }
}
