//! A wallet with the key of a device: the same tricks as with other keys, and signatures that are made elsewhere.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test, failing here is the test failing")]

mod common;

use bitcoin::Amount;
use bitcoin::bip32::{ChildNumber, DerivationPath, Fingerprint};
use bitcoin::psbt::Psbt;
use bitcoin::secp256k1::{Message, SecretKey, ecdsa};
use chains::bitcoin::{
    Branch, Effects, InspectRefusal, OutsideError, PartialSignature, SignError, combine, finalize, inspect, sign,
    sign_outside,
};
use common::{CAPS, DeviceVault, honest_from, with_device};

/// What a device answers, by how often it was asked, to a digest.
type Answers<'a> = dyn Fn(usize, &[u8; 32]) -> Result<[u8; 64], &'static str> + 'a;

/// What a device answers.
fn answer(vault: &DeviceVault, key: &SecretKey, digest: &[u8; 32]) -> [u8; 64] {
    vault.secp.sign_ecdsa(&Message::from_digest(*digest), key).serialize_compact()
}

fn outside(vault: &DeviceVault, psbt: &Psbt, effects: &Effects) -> Vec<PartialSignature> {
    let sign = |digest: &[u8; 32]| Ok::<_, ()>(answer(vault, &vault.device.0, digest));
    sign_outside(&psbt.unsigned_tx, effects, &vault.device.1, &vault.secp, sign).unwrap()
}

#[test]
fn any_two_of_three_sign_and_the_scripts_accept_it() {
    // Places of the device's key among the sorted keys differ from address to address, and from wallet to wallet.
    for seed in 1..5 {
        let vault = with_device(seed);
        for pair in [[0, 1], [1, 2], [2, 0]] {
            let (psbt, payments) = honest_from(&vault.wallet);
            let mut psbt = Psbt::deserialize(&psbt.serialize()).unwrap();
            let effects = inspect(&psbt, &vault.wallet, &payments, &CAPS).unwrap();
            assert_eq!(effects.change.map(|change| (change.index, change.sats)), Some((5, 39_000)));
            for signer in pair {
                let parts = match signer {
                    0 => outside(&vault, &psbt, &effects),
                    _ => {
                        sign(&psbt.unsigned_tx, &effects, &vault.wallet, &vault.accounts[signer], &vault.secp).unwrap()
                    }
                };
                combine(&mut psbt, &effects, &parts, &vault.secp).unwrap();
            }
            let transaction = finalize(&psbt, &vault.wallet, &effects).unwrap();
            for (input, witness) in effects.inputs.iter().zip(transaction.input.iter().map(|input| &input.witness)) {
                assert_eq!(witness.last(), Some(input.derived.witness_script.as_bytes()));
            }
            let vbytes = u64::try_from(transaction.vsize()).unwrap();
            assert!(vbytes <= effects.vbytes && effects.vbytes - vbytes < 8, "{vbytes} of {}", effects.vbytes);
        }
    }
}

#[test]
fn a_signature_from_elsewhere_is_verified_before_it_is_returned() {
    let vault = with_device(1);
    let (psbt, payments) = honest_from(&vault.wallet);
    let effects = inspect(&psbt, &vault.wallet, &payments, &CAPS).unwrap();
    let ask = |answers: &Answers<'_>| {
        let mut asked = 0;
        let sign = |digest: &[u8; 32]| {
            asked += 1;
            answers(asked, digest)
        };
        sign_outside(&psbt.unsigned_tx, &effects, &vault.device.1, &vault.secp, sign)
    };
    let good = |digest: &[u8; 32]| answer(&vault, &vault.device.0, digest);
    assert_eq!(ask(&|_, digest| Ok(good(digest))).unwrap().len(), 2);
    let invalid = |input| Err(OutsideError::Sign(SignError::Invalid { input }));
    // Of another digest, on the second input only; by another key; of no form; in the upper half.
    assert_eq!(ask(&|asked, digest| Ok(good(if asked == 1 { digest } else { &[7; 32] }))), invalid(1));
    let other = SecretKey::from_slice(&[9; 32]).unwrap();
    assert_eq!(ask(&|_, digest| Ok(answer(&vault, &other, digest))), invalid(0));
    assert_eq!(ask(&|_, _| Ok([0; 64])), invalid(0));
    assert_eq!(ask(&|_, _| Ok([0xff; 64])), invalid(0));
    let upper = |digest: &[u8; 32]| {
        let low = good(digest);
        let s = SecretKey::from_slice(&low[32..]).unwrap().negate();
        let mut high = low;
        high[32..].copy_from_slice(s.as_ref());
        assert!(ecdsa::Signature::from_compact(&high).is_ok());
        high
    };
    assert_eq!(ask(&|_, digest| Ok(upper(digest))), invalid(0));
    assert_eq!(
        ask(&|asked, digest| if asked == 2 { Err("pulled out") } else { Ok(good(digest)) }),
        Err(OutsideError::Outside("pulled out"))
    );

    // A key that is not the wallet's is not even asked; nor is anything signed that was not inspected.
    let never = |_: &[u8; 32]| -> Result<[u8; 64], ()> { unreachable!("asked") };
    let stranger = other.public_key(&vault.secp);
    assert_eq!(
        sign_outside(&psbt.unsigned_tx, &effects, &stranger, &vault.secp, never),
        Err(OutsideError::Sign(SignError::ForeignKey))
    );
    let mut changed = psbt.unsigned_tx.clone();
    changed.output[0].value = Amount::from_sat(1);
    assert_eq!(
        sign_outside(&changed, &effects, &vault.device.1, &vault.secp, never),
        Err(OutsideError::Sign(SignError::Differs))
    );
}

fn refusal(change: impl Fn(&DeviceVault, &mut Psbt)) -> InspectRefusal {
    let vault = with_device(1);
    let (mut psbt, payments) = honest_from(&vault.wallet);
    assert!(inspect(&psbt, &vault.wallet, &payments, &CAPS).is_ok());
    change(&vault, &mut psbt);
    inspect(&psbt, &vault.wallet, &payments, &CAPS).unwrap_err()
}

#[test]
fn t05_a_device_key_opens_no_way_around_inspection() {
    // The paths of an input say exactly what they must: none more, none less, none other, also of the device's own key.
    let without = refusal(|vault, psbt| drop(psbt.inputs[0].bip32_derivation.remove(&vault.device.1)));
    assert_eq!(without, InspectRefusal::ForeignInput);
    let alone = refusal(|vault, psbt| psbt.inputs[0].bip32_derivation.retain(|key, _| *key == vault.device.1));
    assert_eq!(alone, InspectRefusal::ForeignInput);
    let renamed = refusal(|vault, psbt| {
        psbt.inputs[0].bip32_derivation.get_mut(&vault.device.1).unwrap().0 = Fingerprint::from([0; 4]);
    });
    assert_eq!(renamed, InspectRefusal::ForeignInput);
    let with_path = refusal(|vault, psbt| {
        let path: DerivationPath = "m/0/3".parse().unwrap();
        psbt.inputs[0].bip32_derivation.get_mut(&vault.device.1).unwrap().1 = path;
    });
    assert_eq!(with_path, InspectRefusal::ForeignInput);
    let elsewhere = refusal(|vault, psbt| {
        psbt.inputs[0].bip32_derivation = vault.wallet.derive(Branch::Receive, 4).unwrap().keys;
    });
    assert_eq!(elsewhere, InspectRefusal::ForeignInput);

    let change = |psbt: &mut Psbt, change: &dyn Fn(&mut bitcoin::TxOut, &mut bitcoin::psbt::Output)| {
        for (output, slot) in psbt.unsigned_tx.output.iter_mut().zip(&mut psbt.outputs) {
            if output.value == Amount::from_sat(39_000) {
                change(output, slot);
            }
        }
    };
    // Another wallet of the same device is not this one.
    let other = with_device(2).wallet.derive(Branch::Change, 5).unwrap();
    let foreign = refusal(|vault, psbt| {
        change(psbt, &|output, slot| {
            output.script_pubkey = other.script_pubkey.clone();
            slot.bip32_derivation = other.keys.clone();
            let own = vault.wallet.derive(Branch::Change, 5).unwrap().keys[&vault.device.1].clone();
            slot.bip32_derivation.insert(vault.device.1, own);
        });
    });
    assert_eq!(foreign, InspectRefusal::ForeignOutput);
    let device_only = refusal(|vault, psbt| {
        change(psbt, &|_, slot| slot.bip32_derivation.retain(|key, _| *key == vault.device.1));
    });
    assert_eq!(device_only, InspectRefusal::ForeignOutput);
    let receiving = refusal(|vault, psbt| {
        let derived = vault.wallet.derive(Branch::Receive, 9).unwrap();
        change(psbt, &|output, slot| {
            output.script_pubkey = derived.script_pubkey.clone();
            slot.bip32_derivation = derived.keys.clone();
        });
    });
    assert_eq!(receiving, InspectRefusal::ChangePath);
    let deeper = refusal(|_, psbt| {
        change(psbt, &|_, slot| {
            for (_, path) in slot.bip32_derivation.values_mut() {
                *path = path.child(ChildNumber::Normal { index: 7 });
            }
        });
    });
    assert_eq!(deeper, InspectRefusal::ChangePath);
}
