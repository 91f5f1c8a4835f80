//! A transaction over a wallet's coins: choose, weigh, generate.

use bitcoin::consensus::encode::deserialize;
use bitcoin::psbt::Psbt;
use bitcoin::{OutPoint, Transaction};
use chains::bitcoin::{
    Branch, Caps, Change, Coin, Input, Payment, SelectError, Target, fee, generate, parse_address, select,
};
use store::{CoinRow, PaymentRow};
use types::{Instruction, WalletId};

use super::{Custody, StepError};

/// Weight of what every transaction has: version, counts, lock time and the witness header.
const OVERHEAD_WEIGHT: u64 = 4 * (4 + 1 + 1 + 4) + 2;
/// Weight of a P2WSH output.
const OUTPUT_WEIGHT: u64 = 4 * (8 + 1 + 34);
/// The dust limit of a P2WSH output at the default relay rate, in satoshis.
const DUST_SATS: u64 = 330;
/// The lowest rate that nodes relay, in satoshis per 1,000 virtual bytes.
pub(super) const RATE_MIN: u64 = 1_000;

/// A transaction to be signed.
pub(super) struct Draft {
    pub(super) psbt: Psbt,
    pub(super) fee_sats: u64,
    pub(super) rate: u64,
    pub(super) change: Option<Change>,
    /// The coins that it spends, as they are stored.
    pub(super) coins: Vec<CoinRow>,
}

/// What a draft is made for.
pub(super) struct Order<'a> {
    pub(super) wallet: &'a WalletId,
    pub(super) payments: &'a [PaymentRow],
    pub(super) coins: Vec<CoinRow>,
    /// Coins that must be spent, first one first.
    pub(super) must: Vec<OutPoint>,
    pub(super) rate: u64,
    pub(super) change_index: u32,
    pub(super) tip: u32,
}

impl Custody {
    /// What instructions pay, as outputs.
    pub(super) fn outputs(&self, payments: &[PaymentRow]) -> Result<Vec<Payment>, StepError> {
        let output = |payment: &PaymentRow| {
            let corrupt = |what: &str| StepError::Corrupt(format!("the {what} of {}", payment.id));
            let script =
                parse_address(&payment.destination, self.charter.network).map_err(|_| corrupt("destination"))?;
            Ok(Payment { script, sats: payment.amount.to_sats().map_err(|_| corrupt("amount"))? })
        };
        payments.iter().map(output).collect()
    }

    /// Caps as the charter sets them; which change index is allowed is for signers to say.
    pub(super) const fn caps(&self) -> Caps {
        Caps {
            fee_sats_max: self.charter.fee.sats_max,
            sats_per_kvb_max: self.charter.fee.sats_per_kvb_max,
            change_index_max: u32::MAX >> 1,
        }
    }

    /// The most that one transaction for these payments may pay, in satoshis: no share above what any of them allows.
    pub(super) fn fee_cap(&self, payments: &[PaymentRow]) -> Result<u64, StepError> {
        let mut least = u64::MAX;
        for payment in payments {
            let instruction = Instruction::from_canonical(payment.canonical.as_bytes())
                .map_err(|_| StepError::Corrupt(format!("the instruction of {}", payment.id)))?;
            let own = instruction.fee_max().and_then(|fee| fee.to_sats().ok()).unwrap_or(0);
            least = least.min(own);
        }
        let count = u64::try_from(payments.len()).unwrap_or(u64::MAX);
        Ok(least.saturating_mul(count).min(self.charter.fee.sats_max))
    }

    pub(super) async fn draft(&self, order: Order<'_>) -> Result<Draft, StepError> {
        let wallet = self.wallet(order.wallet)?;
        let outputs = self.outputs(order.payments)?;
        let mut pool = Vec::with_capacity(order.coins.len());
        for row in &order.coins {
            let outpoint: OutPoint = row.id.parse().map_err(|_| StepError::Corrupt(format!("the coin {}", row.id)))?;
            pool.push(Coin { outpoint, sats: row.sats });
        }
        let weight = |output: &Payment| 4 * (9 + u64::try_from(output.script.len()).unwrap_or(u64::MAX));
        let mut target = Target {
            sats: outputs.iter().map(|output| output.sats).sum(),
            base_weight: OVERHEAD_WEIGHT + outputs.iter().map(weight).sum::<u64>(),
            input_weight: wallet.input_weight(),
            change_weight: OUTPUT_WEIGHT,
            sats_per_kvb: order.rate,
            sats_per_kvb_later: order.rate.min(5_000),
            change_sats_min: DUST_SATS,
            must_spend: order.must.clone(),
        };
        let cap = self.fee_cap(order.payments)?;
        let chosen = loop {
            let chosen = select(&pool, &target).map_err(|error| self.no_coins(order.wallet, &error))?;
            if chosen.fee_sats <= cap {
                break chosen;
            }
            // Dearer than the payments allow: a lower rate confirms later, and later is better than never.
            let inputs = u64::try_from(chosen.coins.len()).unwrap_or(u64::MAX);
            let weight = target.base_weight + target.change_weight + inputs.saturating_mul(target.input_weight);
            let at_one = fee(weight, 1_000).max(1);
            let rate = (cap.saturating_mul(1_000) / at_one).min(target.sats_per_kvb * 9 / 10);
            if rate < RATE_MIN {
                return Err(StepError::Waiting {
                    code: "fee-too-high",
                    subject: order.wallet.to_string(),
                    message: format!(
                        "no transaction is relayed for the {cap} satoshis that these payments allow as fee"
                    ),
                });
            }
            target.sats_per_kvb = rate;
        };
        let change = chosen.change_sats.map(|sats| Change { index: order.change_index, sats });
        let (mut inputs, mut coins) = (Vec::new(), Vec::new());
        for coin in &chosen.coins {
            let id = coin.outpoint.to_string();
            let row = order.coins.iter().find(|row| row.id == id);
            let row = row.ok_or_else(|| StepError::Corrupt(format!("the coin {id}")))?;
            inputs.push(self.input(row, &coin.outpoint).await?);
            coins.push(row.clone());
        }
        let mut place = [0; 2];
        getrandom::fill(&mut place).map_err(|error| StepError::Corrupt(format!("no randomness: {error}")))?;
        let place = usize::from(u16::from_be_bytes(place));
        let psbt = generate(wallet, &inputs, &outputs, change, place, order.tip)
            .map_err(|error| StepError::Corrupt(error.to_string()))?;
        Ok(Draft { psbt, fee_sats: chosen.fee_sats, rate: target.sats_per_kvb, change, coins })
    }

    fn no_coins(&self, wallet: &WalletId, error: &SelectError) -> StepError {
        StepError::Waiting {
            code: "wallet-low",
            subject: wallet.to_string(),
            message: format!("wallet {wallet}: {error}"),
        }
    }

    async fn input(&self, row: &CoinRow, outpoint: &OutPoint) -> Result<Input, StepError> {
        let raw = self.store.previous_transaction(&outpoint.txid.to_string()).await?;
        let previous: Option<Transaction> = raw.and_then(|raw| deserialize(&raw).ok());
        let previous = previous.ok_or_else(|| StepError::Corrupt(format!("the transaction of coin {}", row.id)))?;
        let branch = if row.branch == 1 { Branch::Change } else { Branch::Receive };
        Ok(Input { previous, vout: outpoint.vout, branch, index: row.index })
    }
}
