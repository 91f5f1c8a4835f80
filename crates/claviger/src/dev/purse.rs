//! The hot wallet's coins as an attacker knows them, and transactions over them.

use bitcoin::psbt::Psbt;
use bitcoin::{OutPoint, Transaction};
use chains::bitcoin::{
    Branch, Change, Coin, Input, Payment, Target, WalletDescriptor, generate, parse_address, select,
};
use node::regtest::Bitcoind;
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
    coins: Vec<Input>,
    change_next: u32,
}

/// A transaction to be signed.
pub struct Draft {
    /// As a PSBT.
    pub psbt: Psbt,
}

impl Purse {
    /// An empty one.
    pub fn new(wallet: WalletDescriptor) -> Purse {
        Purse { wallet, coins: vec![], change_next: 0 }
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
        Ok(Draft { psbt })
    }

    /// Takes every output of a transaction that pays one of the wallet's first addresses.
    pub fn take_all(&mut self, transaction: &Transaction) {
        for branch in [Branch::Receive, Branch::Change] {
            for index in 0..12 {
                // Most addresses are not paid here.
                let _ = self.take(transaction, branch, index);
            }
        }
    }

    /// Forgets coins that are spent.
    pub fn prune(&mut self, node: &Bitcoind) -> Outcome {
        let mut kept = Vec::new();
        for input in self.coins.drain(..) {
            let outpoint = OutPoint::new(input.previous.compute_txid(), input.vout);
            if node.client().unspent(&outpoint).map_err(|error| error.to_string())?.is_some() {
                kept.push(input);
            }
        }
        self.coins = kept;
        Ok(())
    }
}
