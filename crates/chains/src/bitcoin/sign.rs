use bitcoin::bip32::{ChildNumber, Xpriv};
use bitcoin::hashes::Hash as _;
use bitcoin::psbt::Psbt;
use bitcoin::secp256k1::{self, All, Message, PublicKey, Secp256k1};
use bitcoin::sighash::{EcdsaSighashType, SighashCache};
use bitcoin::{Amount, Transaction, Witness, ecdsa};

use super::descriptor::WalletDescriptor;
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

fn messages(transaction: &Transaction, inputs: &[EffectInput]) -> Result<Vec<Message>, SignError> {
    let mut cache = SighashCache::new(transaction);
    let hash = |(position, input): (usize, &EffectInput)| {
        let script = &input.derived.witness_script;
        cache
            .p2wsh_signature_hash(position, script, Amount::from_sat(input.sats), EcdsaSighashType::All)
            .map(|hash| Message::from_digest(hash.to_byte_array()))
            .map_err(|_| SignError::Differs)
    };
    inputs.iter().enumerate().map(hash).collect()
}

/// Signs every input with the account key: SIGHASH_ALL (BIP-143), deterministic nonces (RFC 6979), low S.
///
/// Takes the effects that [`super::inspect()`] returned for this very transaction, so that nothing is signed that was not
/// inspected, and verifies each signature before it returns any.
pub fn sign(
    transaction: &Transaction,
    effects: &Effects,
    account: &Xpriv,
    secp: &Secp256k1<All>,
) -> Result<Vec<PartialSignature>, SignError> {
    each(transaction, effects, secp, |input, message| {
        let steps = [ChildNumber::Normal { index: input.branch.number() }, ChildNumber::Normal { index: input.index }];
        let key = account.derive_priv(secp, &steps).map_err(|_| SignError::ForeignKey)?.private_key;
        let public = key.public_key(secp);
        // Before the signature: a foreign key signs nothing.
        if !input.derived.keys.contains_key(&public) {
            return Err(SignError::ForeignKey);
        }
        Ok((public, secp.sign_ecdsa(message, &key)))
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
    let mut position = 0;
    each(transaction, effects, secp, |input, message| {
        if !input.derived.keys.contains_key(public) {
            return Err(SignError::ForeignKey.into());
        }
        let signature = sign(message.as_ref()).map_err(OutsideError::Outside)?;
        let signature = secp256k1::ecdsa::Signature::from_compact(&signature);
        let signature = signature.map_err(|_| SignError::Invalid { input: position })?;
        position += 1;
        Ok((*public, signature))
    })
}

/// Has every input signed, and returns nothing unless every signature verifies. Low S only: libsecp256k1 verifies no other.
fn each<E: From<SignError>>(
    transaction: &Transaction,
    effects: &Effects,
    secp: &Secp256k1<All>,
    mut sign: impl FnMut(&EffectInput, &Message) -> Result<(PublicKey, secp256k1::ecdsa::Signature), E>,
) -> Result<Vec<PartialSignature>, E> {
    if transaction.compute_txid() != effects.txid {
        return Err(SignError::Differs.into());
    }
    let mut signatures = Vec::with_capacity(effects.inputs.len());
    let messages = messages(transaction, &effects.inputs)?;
    for (position, (message, input)) in messages.into_iter().zip(&effects.inputs).enumerate() {
        let (public, signature) = sign(input, &message)?;
        secp.verify_ecdsa(&message, &signature, &public).map_err(|_| SignError::Invalid { input: position })?;
        signatures.push(PartialSignature {
            input: position,
            public_key: public.serialize().to_vec(),
            signature: ecdsa::Signature { signature, sighash_type: EcdsaSighashType::All }.to_vec(),
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
    let messages = messages(&psbt.unsigned_tx, &effects.inputs)?;
    let mut verified = Vec::with_capacity(signatures.len());
    for part in signatures {
        let invalid = SignError::Invalid { input: part.input };
        let (Some(message), Some(input)) = (messages.get(part.input), effects.inputs.get(part.input)) else {
            return Err(invalid);
        };
        let public = PublicKey::from_slice(&part.public_key).map_err(|_| invalid.clone())?;
        let signature = ecdsa::Signature::from_slice(&part.signature).map_err(|_| invalid.clone())?;
        let all = signature.sighash_type == EcdsaSighashType::All && input.derived.keys.contains_key(&public);
        if !all || secp.verify_ecdsa(message, &signature.signature, &public).is_err() {
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
