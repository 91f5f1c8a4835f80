use std::collections::BTreeSet;

use bitcoin::bip32::{ChildNumber, KeySource, Xpriv, Xpub};
use bitcoin::hashes::Hash as _;
use bitcoin::psbt::Psbt;
use bitcoin::secp256k1::{All, Message, PublicKey, Scalar, Secp256k1, SecretKey, ecdsa};
use bitcoin::sighash::{EcdsaSighashType, SighashCache};
use bitcoin::{Amount, Transaction, Witness};

use super::descriptor::{AccountPlace, Branch, Derived, WalletDescriptor};
use super::inspect::{EffectInput, Effects};

/// One signer's signature on one input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartialSignature {
    /// Position of the input.
    pub input: usize,
    /// The key, compressed (33 bytes).
    pub public_key: Vec<u8>,
    /// DER with the hash type appended, as the witness carries it.
    pub signature: Vec<u8>,
}

/// Why a transaction was not signed or not finished.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The account key is not one of the wallet's.
    #[error("the account key does not belong to this wallet")]
    ForeignKey,
    /// A signature does not verify: a fault in the machine, or a signer that lies.
    #[error("the signature on input {input} does not verify")]
    Invalid {
        /// Which input.
        input: usize,
    },
    /// Too few signatures.
    #[error("input {input} has {found} of {needed} signatures")]
    TooFew {
        /// Which input.
        input: usize,
        /// Signatures found.
        found: usize,
        /// Signatures needed.
        needed: usize,
    },
    /// The effects are not those of this transaction.
    #[error("the transaction is not the one that was inspected")]
    Differs,
}

fn digests(transaction: &Transaction, inputs: &[EffectInput]) -> Result<Vec<[u8; 32]>, SignError> {
    let mut cache = SighashCache::new(transaction);
    let hash = |(position, input): (usize, &EffectInput)| {
        let script = &input.derived.witness_script;
        cache
            .p2wsh_signature_hash(position, script, Amount::from_sat(input.sats), EcdsaSighashType::All)
            .map(|hash| hash.to_byte_array())
            .map_err(|_| SignError::Differs)
    };
    inputs.iter().enumerate().map(hash).collect()
}

/// The signature that was just made does not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a signature that was just made does not verify: the machine is faulty, or the key is another one")]
pub struct Faulty;

/// Signs a digest of 32 bytes: deterministic nonce (RFC 6979), low S (BIP-62). Every signature that moves coins and is made by a key of ours
/// in memory is made here, and none is returned that does not verify under `public`.
pub fn sign_digest(
    digest: &[u8; 32],
    key: &SecretKey,
    public: &PublicKey,
    secp: &Secp256k1<All>,
) -> Result<ecdsa::Signature, Faulty> {
    let message = Message::from_digest(*digest);
    let signature = secp.sign_ecdsa(&message, key);
    secp.verify_ecdsa(&message, &signature, public).map(|()| signature).map_err(|_| Faulty)
}

/// The private keys of one branch, from its account's private key. Only public keys that the descriptor has are needed for it, so that
/// no point of the curve is computed.
struct BranchKey<'a> {
    public: &'a Xpub,
    private: SecretKey,
}

impl Drop for BranchKey<'_> {
    fn drop(&mut self) {
        self.private.non_secure_erase();
    }
}

/// `parse256(I_L) + k` of BIP-32, for a step that is not hardened.
fn child(public: &Xpub, private: &SecretKey, index: u32) -> Option<SecretKey> {
    let (tweak, _) = public.ckd_pub_tweak(ChildNumber::Normal { index }).ok()?;
    tweak.add_tweak(&Scalar::from(*private)).ok()
}

impl BranchKey<'_> {
    fn derive<'a>(place: &'a AccountPlace<'_>, account: &Xpriv, branch: Branch) -> Option<BranchKey<'a>> {
        let private = child(place.xpub, &account.private_key, branch.number())?;
        Some(BranchKey { public: place.branch(branch), private })
    }
}

/// Signs every input with the account key: SIGHASH_ALL (BIP-143), deterministic nonces (RFC 6979), low S.
///
/// Takes the effects that [`super::inspect()`] returned for this very transaction and wallet, so that nothing is signed that was not
/// inspected, and verifies each signature before it returns any: under the public key that the wallet's descriptor gives for that
/// input, so that a key that went wrong on its way here is found as well.
pub fn sign(
    transaction: &Transaction,
    effects: &Effects,
    wallet: &WalletDescriptor,
    account: &Xpriv,
    secp: &Secp256k1<All>,
) -> Result<Vec<PartialSignature>, SignError> {
    let place = wallet.place(account).ok_or(SignError::ForeignKey)?;
    let (mut receive, mut change) = (None, None);
    each(transaction, effects, |position, input, digest| {
        // Before the signature: a foreign key signs nothing.
        let own = |(_, source): &(&PublicKey, &KeySource)| place.leads_to(source, input.branch, input.index);
        let mut own = input.derived.keys.iter().filter(own).peekable();
        if own.peek().is_none() {
            return Err(SignError::ForeignKey);
        }
        let slot = if input.branch == Branch::Receive { &mut receive } else { &mut change };
        if slot.is_none() {
            *slot = BranchKey::derive(&place, account, input.branch);
        }
        let branch = slot.as_ref().ok_or(SignError::ForeignKey)?;
        let mut key = child(branch.public, &branch.private, input.index).ok_or(SignError::ForeignKey)?;
        // Two keys of a wallet may claim one origin; only ours verifies.
        let made = own.find_map(|(public, _)| Some((*public, sign_digest(digest, &key, public, secp).ok()?)));
        key.non_secure_erase();
        made.ok_or(SignError::Invalid { input: position })
    })
}

/// Why a transaction was not signed by a key that is held elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutsideError<E> {
    /// What is wrong with the transaction, the key, or the signature that came back.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// Whoever holds the key gave no signature.
    #[error("whoever holds the key does not sign")]
    Outside(E),
}

/// Signs every input with a key of which only the public half is here, such as one inside a device: `sign` is given each digest (32
/// bytes, BIP-143 with SIGHASH_ALL) and returns r and s, 32 bytes each, s in the lower half (BIP-146).
///
/// Whoever answers is not believed: each signature is verified before any is returned. As [`sign`], it takes the effects that
/// [`super::inspect()`] returned for this very transaction.
pub fn sign_outside<E>(
    transaction: &Transaction,
    effects: &Effects,
    public: &PublicKey,
    secp: &Secp256k1<All>,
    mut sign: impl FnMut(&[u8; 32]) -> Result<[u8; 64], E>,
) -> Result<Vec<PartialSignature>, OutsideError<E>> {
    each(transaction, effects, |position, input, digest| {
        if !input.derived.keys.contains_key(public) {
            return Err(SignError::ForeignKey.into());
        }
        let invalid = |_| SignError::Invalid { input: position };
        let signature = sign(digest).map_err(OutsideError::Outside)?;
        let signature = ecdsa::Signature::from_compact(&signature).map_err(invalid)?;
        // Low S only: libsecp256k1 verifies no other.
        secp.verify_ecdsa(&Message::from_digest(*digest), &signature, public).map_err(invalid)?;
        Ok((*public, signature))
    })
}

/// Has every input of the inspected transaction signed by `sign`, which is given position, input and digest and returns nothing that
/// does not verify.
fn each<E: From<SignError>>(
    transaction: &Transaction,
    effects: &Effects,
    mut sign: impl FnMut(usize, &EffectInput, &[u8; 32]) -> Result<(PublicKey, ecdsa::Signature), E>,
) -> Result<Vec<PartialSignature>, E> {
    if transaction.compute_txid() != effects.txid {
        return Err(SignError::Differs.into());
    }
    let mut signatures = Vec::with_capacity(effects.inputs.len());
    let digests = digests(transaction, &effects.inputs)?;
    for (position, (digest, input)) in digests.iter().zip(&effects.inputs).enumerate() {
        let (public, signature) = sign(position, input, digest)?;
        signatures.push(PartialSignature {
            input: position,
            public_key: public.serialize().to_vec(),
            signature: bitcoin::ecdsa::Signature { signature, sighash_type: EcdsaSighashType::All }.to_vec(),
        });
    }
    Ok(signatures)
}

/// Puts signatures into the PSBT after verifying each; a signer that lies is named by its input and nothing is added.
pub fn combine(
    psbt: &mut Psbt,
    effects: &Effects,
    signatures: &[PartialSignature],
    secp: &Secp256k1<All>,
) -> Result<(), SignError> {
    if psbt.unsigned_tx.compute_txid() != effects.txid {
        return Err(SignError::Differs);
    }
    let digests = digests(&psbt.unsigned_tx, &effects.inputs)?;
    let mut verified = Vec::with_capacity(signatures.len());
    for part in signatures {
        let invalid = SignError::Invalid { input: part.input };
        let (Some(digest), Some(input)) = (digests.get(part.input), effects.inputs.get(part.input)) else {
            return Err(invalid);
        };
        let public = PublicKey::from_slice(&part.public_key).map_err(|_| invalid.clone())?;
        let signature = bitcoin::ecdsa::Signature::from_slice(&part.signature).map_err(|_| invalid.clone())?;
        let all = signature.sighash_type == EcdsaSighashType::All && input.derived.keys.contains_key(&public);
        if !all || secp.verify_ecdsa(&Message::from_digest(*digest), &signature.signature, &public).is_err() {
            return Err(invalid);
        }
        verified.push((part.input, public, signature));
    }
    for (position, public, signature) in verified {
        if let Some(slot) = psbt.inputs.get_mut(position) {
            slot.partial_sigs.insert(public.into(), signature);
        }
    }
    Ok(())
}

/// Builds the transaction that the network takes, from as many signatures as the wallet needs, in the script's order (BIP-67).
pub fn finalize(psbt: &Psbt, wallet: &WalletDescriptor, effects: &Effects) -> Result<Transaction, SignError> {
    let mut transaction = psbt.unsigned_tx.clone();
    if transaction.compute_txid() != effects.txid {
        return Err(SignError::Differs);
    }
    let needed = wallet.threshold();
    for (position, input) in effects.inputs.iter().enumerate() {
        let signatures = psbt.inputs.get(position).map(|slot| &slot.partial_sigs).ok_or(SignError::Differs)?;
        // Keys sorted by their compressed form are in sortedmulti's order, and so in CHECKMULTISIG's.
        let chosen: Vec<_> =
            input.derived.keys.keys().filter_map(|key| signatures.get(&(*key).into())).take(needed).collect();
        if chosen.len() < needed {
            return Err(SignError::TooFew { input: position, found: chosen.len(), needed });
        }
        let mut witness = Witness::new();
        witness.push([]);
        for signature in chosen {
            witness.push(signature.to_vec());
        }
        witness.push(input.derived.witness_script.as_bytes());
        transaction.input.get_mut(position).ok_or(SignError::Differs)?.witness = witness;
    }
    Ok(transaction)
}

/// Whether an input of a whole transaction carries the signatures that an output of ours asks for. What only says that it spends our coins
/// is told apart from what really can.
pub fn unlocks(
    transaction: &Transaction,
    position: usize,
    derived: &Derived,
    sats: u64,
    threshold: usize,
    secp: &Secp256k1<All>,
) -> bool {
    let Some(input) = transaction.input.get(position) else { return false };
    let items: Vec<&[u8]> = input.witness.iter().collect();
    let Some((script, items)) = items.split_last() else { return false };
    if *script != derived.witness_script.as_bytes() {
        return false;
    }
    let mut cache = SighashCache::new(transaction);
    let mut signed: BTreeSet<&PublicKey> = BTreeSet::new();
    // CHECKMULTISIG has one item more than signatures, and the script's keys are few: the product of both is small.
    for item in items.iter().filter(|item| !item.is_empty()).take(derived.keys.len()) {
        let Ok(signature) = bitcoin::ecdsa::Signature::from_slice(item) else { return false };
        let (script, value) = (&derived.witness_script, Amount::from_sat(sats));
        let Ok(hash) = cache.p2wsh_signature_hash(position, script, value, signature.sighash_type) else {
            return false;
        };
        let message = Message::from_digest(hash.to_byte_array());
        let by = |key: &&PublicKey| secp.verify_ecdsa(&message, &signature.signature, key).is_ok();
        signed.extend(derived.keys.keys().find(by));
    }
    signed.len() >= threshold
}
