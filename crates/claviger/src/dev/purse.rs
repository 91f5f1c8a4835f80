//! The hot wallet's coins during the tour, and transactions over them.

use bitcoin::psbt::Psbt;
use bitcoin::{OutPoint, Transaction};
use chains::bitcoin::{
    Branch, Caps, Change, Coin, Input, PartialSignature, Payment, Target, WalletDescriptor, combine, finalize,
    generate, inspect, parse_address, select,
};
use node::regtest::Bitcoind;
use policy::Charter;
use signer_client::Signed;
use types::{Instruction, Network};

use crate::Outcome;

/// Weight of what every transaction has: version, counts, lock time and the witness header.
const OVERHEAD_WEIGHT: u64 = 4 * (4 + 1 + 1 + 4) + 2;
/// Weight of a P2WSH output.
const OUTPUT_WEIGHT: u64 = 4 * (8 + 1 + 34);
/// The dust limit of a P2WSH output at bitcoind's default relay rate, in satoshis.
const DUST_SATS: u64 = 330;

/// Coins of one wallet.
pub struct Purse {
    wallet: WalletDescriptor,
    caps: Caps,
    coins: Vec<Input>,
    change_next: u32,
}

/// A transaction to be signed.
pub struct Draft {
    /// As a PSBT.
    pub psbt: Psbt,
    /// Its payments.
    pub payments: Vec<Payment>,
    /// Its fee in satoshis.
    pub fee_sats: u64,
    change: Option<u32>,
}

impl Purse {
    /// An empty one.
    pub fn new(charter: &Charter, wallet: WalletDescriptor) -> Purse {
        let caps = Caps {
            fee_sats_max: charter.fee.sats_max,
            sats_per_kvb_max: charter.fee.sats_per_kvb_max,
            change_index_max: u32::MAX >> 1,
        };
        Purse { wallet, caps, coins: vec![], change_next: 0 }
    }

    /// Takes the output of `transaction` that pays our address; its amount in satoshis.
    pub fn take(&mut self, transaction: &Transaction, branch: Branch, index: u32) -> Outcome<u64> {
        let script = self.wallet.derive(branch, index).map_err(|error| error.to_string())?.script_pubkey;
        let found = transaction.output.iter().zip(0u32..).find(|(output, _)| output.script_pubkey == script);
        let (output, vout) = found.ok_or("the transaction does not pay that address")?;
        let sats = output.value.to_sat();
        self.coins.push(Input { previous: transaction.clone(), vout, branch, index });
        Ok(sats)
    }

    /// What the wallet holds, in satoshis.
    pub fn sats(&self) -> u64 {
        self.pool().iter().map(|coin| coin.sats).sum()
    }

    fn pool(&self) -> Vec<Coin> {
        let coin = |input: &Input| {
            let place = usize::try_from(input.vout).ok()?;
            let sats = input.previous.output.get(place)?.value.to_sat();
            Some(Coin { outpoint: OutPoint::new(input.previous.compute_txid(), input.vout), sats })
        };
        self.coins.iter().filter_map(coin).collect()
    }

    /// Chooses coins and makes a transaction that pays `instructions` at a fee rate; a fee bump keeps the coins in `anchors`.
    pub fn draft(
        &self,
        instructions: &[&Instruction],
        sats_per_kvb: u64,
        anchors: &[OutPoint],
        height: u32,
    ) -> Outcome<Draft> {
        let payment = |instruction: &&Instruction| {
            let script = parse_address(instruction.destination().unwrap_or_default(), Network::Regtest)
                .map_err(|error| error.to_string())?;
            let sats = instruction.amount().and_then(|amount| amount.to_sats().ok()).ok_or("no amount")?;
            Ok::<_, String>(Payment { script, sats })
        };
        let payments = instructions.iter().map(payment).collect::<Outcome<Vec<_>>>()?;
        let outputs: u64 =
            payments.iter().map(|payment| 4 * (9 + u64::try_from(payment.script.len()).unwrap_or(u64::MAX))).sum();
        let target = Target {
            sats: payments.iter().map(|payment| payment.sats).sum(),
            base_weight: OVERHEAD_WEIGHT + outputs,
            input_weight: self.wallet.input_weight(),
            change_weight: OUTPUT_WEIGHT,
            sats_per_kvb,
            sats_per_kvb_later: 5_000,
            change_sats_min: DUST_SATS,
            must_spend: anchors.to_vec(),
        };
        let chosen = select(&self.pool(), &target).map_err(|error| error.to_string())?;
        let input = |coin: &Coin| {
            let same = |input: &&Input| OutPoint::new(input.previous.compute_txid(), input.vout) == coin.outpoint;
            self.coins.iter().find(same).cloned()
        };
        let inputs: Vec<_> = chosen.coins.iter().filter_map(input).collect();
        let change = chosen.change_sats.map(|sats| Change { index: self.change_next, sats });
        let mut place = [0; 2];
        getrandom::fill(&mut place).map_err(|error| error.to_string())?;
        let psbt = generate(&self.wallet, &inputs, &payments, change, usize::from(u16::from_be_bytes(place)), height);
        let psbt = psbt.map_err(|error| error.to_string())?;
        Ok(Draft { psbt, payments, fee_sats: chosen.fee_sats, change: change.map(|change| change.index) })
    }

    /// Combines the signatures, after verifying each, into what the network takes.
    pub fn finish(&self, draft: &Draft, signed: &[Signed]) -> Outcome<Transaction> {
        let effects =
            inspect(&draft.psbt, &self.wallet, &draft.payments, &self.caps).map_err(|error| error.to_string())?;
        let mut psbt = draft.psbt.clone();
        let secp = bitcoin::secp256k1::Secp256k1::new();
        for signature in signed.iter().flat_map(|signed| &signed.signatures) {
            let bytes = |text: &str| hex::decode(text).map_err(|error| error.to_string());
            let part = PartialSignature {
                input: signature.input,
                public_key: bytes(&signature.public_key)?,
                signature: bytes(&signature.signature)?,
            };
            combine(&mut psbt, &effects, &[part], &secp).map_err(|error| error.to_string())?;
        }
        finalize(&psbt, &self.wallet, &effects).map_err(|error| error.to_string())
    }

    /// Takes a confirmed transaction of ours into account: its coins are gone, its change is here.
    pub fn settle(&mut self, draft: &Draft, transaction: &Transaction) -> Outcome {
        let spent: Vec<_> = transaction.input.iter().map(|input| input.previous_output).collect();
        self.coins.retain(|input| !spent.contains(&OutPoint::new(input.previous.compute_txid(), input.vout)));
        if let Some(index) = draft.change {
            self.take(transaction, Branch::Change, index)?;
            self.change_next = self.change_next.max(index.saturating_add(1));
        }
        Ok(())
    }

    /// What the chain says that the wallet's coins are worth, in satoshis; a coin that the chain does not have is an error.
    pub fn on_chain(&self, node: &Bitcoind) -> Outcome<u64> {
        let mut sum = 0u64;
        for coin in self.pool() {
            let output = node.client().unspent(&coin.outpoint).map_err(|error| error.to_string())?;
            let output = output.ok_or_else(|| format!("the chain does not have {}", coin.outpoint))?;
            sum = sum.checked_add(output.value.to_sat()).ok_or("the sums do not fit")?;
        }
        Ok(sum)
    }
}
