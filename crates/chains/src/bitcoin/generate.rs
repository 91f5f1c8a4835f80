use bitcoin::absolute::LockTime;
use bitcoin::psbt::Psbt;
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness};

use super::descriptor::{Branch, DescriptorError, WalletDescriptor};
use super::inspect::Payment;

/// The sequence of every input: replaceable (BIP-125), and the lock time holds.
pub const SEQUENCE: Sequence = Sequence(0xffff_fffd);

/// A coin to spend, with the transaction that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The whole previous transaction: signers believe no amount that they did not read there.
    pub previous: Transaction,
    /// Which of its outputs.
    pub vout: u32,
    /// Branch of our address.
    pub branch: Branch,
    /// Index of our address.
    pub index: u32,
}

/// What comes back to the wallet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Index in the change branch.
    pub index: u32,
    /// Satoshis.
    pub sats: u64,
}

/// Why no transaction can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// An address cannot be derived.
    #[error("an address of the wallet cannot be derived")]
    Descriptor(#[from] DescriptorError),
    /// The coin's transaction has no such output.
    #[error("{0} does not exist in its transaction")]
    NoSuchOutput(OutPoint),
    /// The output does not pay the address that it is said to pay.
    #[error("{0} does not pay the address that is given for it")]
    NotOurs(OutPoint),
    /// The height cannot be a lock time.
    #[error("{0} is not a block height")]
    Height(u32),
    /// The transaction has no inputs or cannot be put into a PSBT.
    #[error("the transaction has no form: {0}")]
    Form(String),
}

/// Makes the unsigned transaction (version 2, BIP-68) that spends exactly `inputs`, in that order, to `payments` and `change`.
///
/// The change output stands at `change_position` among the payments (a random number from the caller, taken modulo the
/// number of places), so that its place tells nobody which output it is. `height` is the chain's tip.
pub fn generate(
    wallet: &WalletDescriptor,
    inputs: &[Input],
    payments: &[Payment],
    change: Option<Change>,
    change_position: usize,
    height: u32,
) -> Result<Psbt, GenerateError> {
    let mut output: Vec<TxOut> = payments
        .iter()
        .map(|payment| TxOut { value: Amount::from_sat(payment.sats), script_pubkey: payment.script.clone() })
        .collect();
    let mut change_at = None;
    if let Some(change) = change {
        let derived = wallet.derive(Branch::Change, change.index)?;
        let place = change_position.checked_rem(output.len() + 1).unwrap_or_default();
        output.insert(
            place,
            TxOut { value: Amount::from_sat(change.sats), script_pubkey: derived.script_pubkey.clone() },
        );
        change_at = Some((place, derived));
    }
    let input = inputs
        .iter()
        .map(|input| TxIn {
            previous_output: OutPoint::new(input.previous.compute_txid(), input.vout),
            script_sig: ScriptBuf::new(),
            sequence: SEQUENCE,
            witness: Witness::new(),
        })
        .collect();
    let lock_time = LockTime::from_height(height).map_err(|_| GenerateError::Height(height))?;
    let transaction = Transaction { version: Version::TWO, lock_time, input, output };
    let mut psbt = Psbt::from_unsigned_tx(transaction).map_err(|error| GenerateError::Form(error.to_string()))?;
    for (slot, input) in psbt.inputs.iter_mut().zip(inputs) {
        let outpoint = OutPoint::new(input.previous.compute_txid(), input.vout);
        let derived = wallet.derive(input.branch, input.index)?;
        let place = usize::try_from(input.vout).unwrap_or(usize::MAX);
        let spent = input.previous.output.get(place).ok_or(GenerateError::NoSuchOutput(outpoint))?;
        if spent.script_pubkey != derived.script_pubkey {
            return Err(GenerateError::NotOurs(outpoint));
        }
        slot.witness_utxo = Some(spent.clone());
        slot.non_witness_utxo = Some(input.previous.clone());
        slot.witness_script = Some(derived.witness_script);
        slot.bip32_derivation = derived.keys;
    }
    if let Some((place, derived)) = change_at
        && let Some(slot) = psbt.outputs.get_mut(place)
    {
        slot.witness_script = Some(derived.witness_script);
        slot.bip32_derivation = derived.keys;
    }
    Ok(psbt)
}
