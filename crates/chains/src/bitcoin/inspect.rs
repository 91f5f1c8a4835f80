use std::collections::BTreeSet;

use bitcoin::absolute::LockTime;
use bitcoin::psbt::{self, Psbt};
use bitcoin::sighash::EcdsaSighashType;
use bitcoin::transaction::Version;
use bitcoin::{OutPoint, ScriptBuf, Txid};
use types::RefusalCode;

use super::descriptor::{Branch, Derived, WalletDescriptor};
use super::generate::SEQUENCE;
use super::select::INPUTS_MAX;

/// The highest block that a lock time may name. A transaction that is held back for decades pays nobody, while its coins and limits count
/// as used. The chain comes here after the year 2040; a wallet that still makes transactions then needs another bound.
pub const LOCK_HEIGHT_MAX: u32 = 1_800_000;

/// An output that an instruction asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Payment {
    /// The script that is paid.
    pub script: ScriptBuf,
    /// Satoshis.
    pub sats: u64,
}

/// Limits that no transaction may pass, whatever was approved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Fee in satoshis.
    pub fee_sats_max: u64,
    /// Fee rate in satoshis per 1,000 virtual bytes.
    pub sats_per_kvb_max: u64,
    /// Highest index of a change address.
    pub change_index_max: u32,
}

/// A coin that the transaction spends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectInput {
    /// Which coin.
    pub outpoint: OutPoint,
    /// Satoshis, as the previous transaction says.
    pub sats: u64,
    /// The address that held it.
    pub derived: Derived,
    /// Branch of that address.
    pub branch: Branch,
    /// Index of that address.
    pub index: u32,
}

/// What comes back to the wallet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeOutput {
    /// Position among the outputs.
    pub vout: u32,
    /// Index in the change branch.
    pub index: u32,
    /// Satoshis.
    pub sats: u64,
}

/// What the transaction really does, read from its bytes alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effects {
    /// Its identifier, which signatures do not change.
    pub txid: Txid,
    /// What it spends, in order.
    pub inputs: Vec<EffectInput>,
    /// What comes back.
    pub change: Option<ChangeOutput>,
    /// What the miner gets, in satoshis.
    pub fee_sats: u64,
    /// Its size once signed, in virtual bytes, at most.
    pub vbytes: u64,
}

macro_rules! refusals {
    ($($(#[doc = $doc:literal])* $name:ident = $code:ident, $message:literal;)*) => {
        /// Why a signer does not sign a transaction. One name for each trick.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
        pub enum InspectRefusal {
            $($(#[doc = $doc])* #[error($message)] $name,)*
        }

        impl InspectRefusal {
            /// A stable name for programs.
            pub const fn code(self) -> RefusalCode {
                match self { $(InspectRefusal::$name => RefusalCode::$code,)* }
            }
        }
    };
}

refusals! {
    /// Not version 2.
    Version = TransactionVersion, "the transaction's version is not 2";
    /// Lock time is a time or a height far off, or sequences are not as generated.
    LockTime = LockTime, "the lock time is not a block height up to 1,800,000, or a sequence is not 0xfffffffd";
    /// No inputs or too many.
    InputCount = InputCount, "the transaction has no inputs or more than 500";
    /// One coin twice.
    SameInput = SameInput, "a coin is spent twice";
    /// Fields that are not expected.
    UnknownFields = UnknownFields, "the PSBT holds fields that are not expected here";
    /// Another signature type than ALL.
    SighashType = SighashType, "an input asks for another signature hash type than ALL";
    /// No previous transaction.
    NoPrevious = NoPreviousTransaction, "an input comes without its whole previous transaction";
    /// The previous transaction is another one.
    PreviousDiffers = PreviousDiffers, "a previous transaction's hash is not the one that the input names";
    /// A stated amount is not the real one.
    AmountLies = InputAmountLies, "an input's stated output is not the one in its previous transaction";
    /// A coin that is not ours.
    ForeignInput = ForeignInput, "an input is not a coin of this wallet at the path that is given for it";
    /// A payment is missing or changed.
    PaymentMissing = PaymentMissing, "the transaction does not pay exactly what the instructions say";
    /// An output that nobody asked for.
    ForeignOutput = ForeignOutput, "an output is neither a payment that was asked for nor change of this wallet";
    /// An output that no node relays.
    Dust = Dust, "an output is worth less than the network relays";
    /// Change at a place where nobody would look.
    ChangePath = ChangePath, "the change goes to an index beyond the gap limit or to another branch";
    /// Two change outputs.
    TwoChanges = TwoChanges, "there is more than one change output";
    /// More goes out than comes in, or sums overflow.
    Overspent = Overspent, "the outputs are worth more than the inputs";
    /// The fee is over the absolute cap.
    FeeCap = FeeCap, "the fee is over the cap for a transaction";
    /// The fee rate is over the cap.
    FeeRateCap = FeeRateCap, "the fee rate is over the cap";
}

/// Why bytes are not a PSBT.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PsbtError {
    /// They cannot be read.
    #[error("the PSBT cannot be read: {0}")]
    Form(String),
    /// Something follows the PSBT, or it is spelled in another way than it would be written here.
    #[error("the PSBT is not in the one spelling that is accepted, or something follows it")]
    Spelling,
}

/// Reads a PSBT in the one spelling in which it is written here, with nothing after it: what is not read cannot be checked.
pub fn read_psbt(bytes: &[u8]) -> Result<Psbt, PsbtError> {
    let psbt = Psbt::deserialize(bytes).map_err(|error| PsbtError::Form(error.to_string()))?;
    if psbt.serialize() == bytes { Ok(psbt) } else { Err(PsbtError::Spelling) }
}

/// Reads what the transaction does and refuses everything that is not exactly `payments` plus at most one change output.
///
/// Trusts: the wallet's descriptor and the caps, which the charter gives. Refuses to trust: every amount, script and path
/// in the PSBT, each of which is derived again or read from the previous transaction whose hash the input names.
pub fn inspect(
    psbt: &Psbt,
    wallet: &WalletDescriptor,
    payments: &[Payment],
    caps: &Caps,
) -> Result<Effects, InspectRefusal> {
    form(psbt)?;
    let transaction = &psbt.unsigned_tx;
    let mut inputs = Vec::with_capacity(psbt.inputs.len());
    for (input, slot) in transaction.input.iter().zip(&psbt.inputs) {
        inputs.push(input_effect(input.previous_output, slot, wallet)?);
    }
    let change = outputs(psbt, wallet, payments, caps)?;
    let sats_in = inputs.iter().try_fold(0u64, |sum, input| sum.checked_add(input.sats));
    let sats_out = transaction.output.iter().try_fold(0u64, |sum, output| sum.checked_add(output.value.to_sat()));
    let (Some(sats_in), Some(sats_out)) = (sats_in, sats_out) else { return Err(InspectRefusal::Overspent) };
    let fee_sats = sats_in.checked_sub(sats_out).ok_or(InspectRefusal::Overspent)?;
    if fee_sats > caps.fee_sats_max {
        return Err(InspectRefusal::FeeCap);
    }
    let vbytes = vbytes_signed(psbt, wallet, &inputs);
    if u128::from(fee_sats) * 1000 > u128::from(caps.sats_per_kvb_max) * u128::from(vbytes) {
        return Err(InspectRefusal::FeeRateCap);
    }
    Ok(Effects { txid: transaction.compute_txid(), inputs, change, fee_sats, vbytes })
}

fn form(psbt: &Psbt) -> Result<(), InspectRefusal> {
    let transaction = &psbt.unsigned_tx;
    if transaction.version != Version::TWO {
        return Err(InspectRefusal::Version);
    }
    let near =
        matches!(transaction.lock_time, LockTime::Blocks(height) if height.to_consensus_u32() <= LOCK_HEIGHT_MAX);
    if !near || transaction.input.iter().any(|input| input.sequence != SEQUENCE) {
        return Err(InspectRefusal::LockTime);
    }
    if transaction.input.is_empty()
        || transaction.input.len() > INPUTS_MAX
        || transaction.input.len() != psbt.inputs.len()
    {
        return Err(InspectRefusal::InputCount);
    }
    let distinct: BTreeSet<_> = transaction.input.iter().map(|input| input.previous_output).collect();
    if distinct.len() != transaction.input.len() {
        return Err(InspectRefusal::SameInput);
    }
    // An output without a slot would not be looked at below.
    if transaction.output.len() != psbt.outputs.len()
        || psbt.version != 0
        || !psbt.unknown.is_empty()
        || !psbt.proprietary.is_empty()
        || !psbt.xpub.is_empty()
    {
        return Err(InspectRefusal::UnknownFields);
    }
    Ok(())
}

fn input_effect(
    outpoint: OutPoint,
    slot: &psbt::Input,
    wallet: &WalletDescriptor,
) -> Result<EffectInput, InspectRefusal> {
    if slot.sighash_type.is_some_and(|sighash| sighash.ecdsa_hash_ty() != Ok(EcdsaSighashType::All)) {
        return Err(InspectRefusal::SighashType);
    }
    // Whoever signs makes all signatures anew; others' belong into the combination, not into the question.
    let expected = psbt::Input {
        non_witness_utxo: slot.non_witness_utxo.clone(),
        witness_utxo: slot.witness_utxo.clone(),
        sighash_type: slot.sighash_type,
        witness_script: slot.witness_script.clone(),
        bip32_derivation: slot.bip32_derivation.clone(),
        ..psbt::Input::default()
    };
    if *slot != expected {
        return Err(InspectRefusal::UnknownFields);
    }
    let previous = slot.non_witness_utxo.as_ref().ok_or(InspectRefusal::NoPrevious)?;
    if previous.compute_txid() != outpoint.txid {
        return Err(InspectRefusal::PreviousDiffers);
    }
    let place = usize::try_from(outpoint.vout).unwrap_or(usize::MAX);
    let spent = previous.output.get(place).ok_or(InspectRefusal::PreviousDiffers)?;
    if slot.witness_utxo.as_ref().is_some_and(|stated| stated != spent) {
        return Err(InspectRefusal::AmountLies);
    }
    // A device's key says nothing of the place; any of the others does, and all are compared below.
    let place = slot.bip32_derivation.values().find_map(|source| wallet.locate(source));
    let (branch, index) = place.ok_or(InspectRefusal::ForeignInput)?;
    let derived = wallet.derive(branch, index).map_err(|_| InspectRefusal::ForeignInput)?;
    let script_lies = slot.witness_script.as_ref().is_some_and(|script| *script != derived.witness_script);
    if derived.script_pubkey != spent.script_pubkey || derived.keys != slot.bip32_derivation || script_lies {
        return Err(InspectRefusal::ForeignInput);
    }
    Ok(EffectInput { outpoint, sats: spent.value.to_sat(), derived, branch, index })
}

fn outputs(
    psbt: &Psbt,
    wallet: &WalletDescriptor,
    payments: &[Payment],
    caps: &Caps,
) -> Result<Option<ChangeOutput>, InspectRefusal> {
    let mut owed = payments.to_vec();
    let mut change = None;
    for (vout, (output, slot)) in psbt.unsigned_tx.output.iter().zip(&psbt.outputs).enumerate() {
        let sats = output.value.to_sat();
        let asked = owed.iter().position(|payment| payment.sats == sats && payment.script == output.script_pubkey);
        // Whoever was asked about a payment of so little was asked about one that never arrives.
        let dust = output.value < output.script_pubkey.minimal_non_dust();
        if let Some(position) = asked {
            if *slot != psbt::Output::default() {
                return Err(InspectRefusal::UnknownFields);
            }
            if dust {
                return Err(InspectRefusal::Dust);
            }
            owed.swap_remove(position);
            continue;
        }
        let index = change_index(slot, &output.script_pubkey, wallet, caps)?;
        if dust {
            return Err(InspectRefusal::Dust);
        }
        if change.is_some() {
            return Err(InspectRefusal::TwoChanges);
        }
        change = Some(ChangeOutput { vout: u32::try_from(vout).unwrap_or(u32::MAX), index, sats });
    }
    if owed.is_empty() { Ok(change) } else { Err(InspectRefusal::PaymentMissing) }
}

fn change_index(
    slot: &psbt::Output,
    script: &ScriptBuf,
    wallet: &WalletDescriptor,
    caps: &Caps,
) -> Result<u32, InspectRefusal> {
    let sources = || slot.bip32_derivation.values();
    let (branch, index) = match sources().find_map(|source| wallet.locate(source)) {
        Some(place) => place,
        None if sources().any(|source| wallet.ranged(source).next().is_some()) => {
            return Err(InspectRefusal::ChangePath);
        }
        None => return Err(InspectRefusal::ForeignOutput),
    };
    if branch != Branch::Change || index > caps.change_index_max {
        return Err(InspectRefusal::ChangePath);
    }
    let derived = wallet.derive(branch, index).map_err(|_| InspectRefusal::ChangePath)?;
    if derived.script_pubkey != *script {
        return Err(InspectRefusal::ForeignOutput);
    }
    // Nothing rides along, and what is said of the change is true: devices and people read it.
    let expected = psbt::Output {
        witness_script: slot.witness_script.as_ref().map(|_| derived.witness_script),
        bip32_derivation: derived.keys,
        ..psbt::Output::default()
    };
    if *slot == expected { Ok(index) } else { Err(InspectRefusal::UnknownFields) }
}

fn vbytes_signed(psbt: &Psbt, wallet: &WalletDescriptor, inputs: &[EffectInput]) -> u64 {
    let count = u64::try_from(inputs.len()).unwrap_or(u64::MAX);
    let base = u64::try_from(psbt.unsigned_tx.base_size()).unwrap_or(u64::MAX);
    // Marker and flag of a transaction with witnesses.
    base.saturating_mul(4).saturating_add(2).saturating_add(count.saturating_mul(wallet.witness_weight())).div_ceil(4)
}
