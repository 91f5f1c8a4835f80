//! Signed transactions go to the network, again when it has forgotten them, and with more fee when they wait too long.

use bitcoin::consensus::encode::deserialize;
use bitcoin::{OutPoint, Transaction};
use orders::{PaymentState, bump_rate, is_bump_due};
use store::{Move, PaymentRow, TransactionRow, TransactionState};

use super::draft::Order;
use super::{Custody, StepError, blocking, now};
use crate::problem::Problem;

impl Custody {
    /// Gives every signed transaction to the network.
    pub(super) async fn broadcast_transactions(&self) -> Result<(), StepError> {
        let mut outcome = Ok(());
        for row in self.store.transactions_in(TransactionState::Signed).await? {
            if let Err(error) = self.broadcast_one(row).await {
                outcome = Err(error);
            }
        }
        outcome
    }

    fn raw(row: &TransactionRow) -> Result<Transaction, StepError> {
        deserialize(&row.raw).map_err(|_| StepError::Corrupt(format!("the bytes of {}", row.txid)))
    }

    async fn broadcast_one(&self, row: TransactionRow) -> Result<(), StepError> {
        let transaction = Self::raw(&row)?;
        match blocking(|| self.node().broadcast(&transaction)) {
            Ok(_) => {}
            // The node says why; another try of the group may be in a block by now, which the follower will find.
            Err(node::NodeError::Refused { code, reason }) => {
                let message = format!("the node does not take it ({code}: {reason})");
                return Err(StepError::Waiting { code: "broadcast", subject: row.txid, message });
            }
            Err(error) => return Err(error.into()),
        }
        let at = now();
        let next = TransactionRow { state: TransactionState::Broadcast, updated: at, ..row.clone() };
        let mut step = Move::new(at)
            .run(next.update(row.state))
            .run(store::Statement::clear_alarm("broadcast", &row.txid, at))
            .audit("system", "transaction.broadcast", &row.txid, "");
        for payment in self.store.payments_of_group(&row.group).await? {
            if payment.state == PaymentState::Signed {
                let next = PaymentRow { state: PaymentState::Broadcast, updated: at, ..payment.clone() };
                step =
                    step.run(next.update(payment.state)).audit("system", "payment.broadcast", &payment.id, &*row.txid);
            }
        }
        for other in self.store.transactions_of_group(&row.group).await? {
            if other.txid != row.txid && other.state == TransactionState::Broadcast {
                let next = TransactionRow { state: TransactionState::Replaced, updated: at, ..other.clone() };
                step =
                    step.run(next.update(other.state)).audit("system", "transaction.replaced", &other.txid, &*row.txid);
            }
        }
        self.store.commit(step).await?;
        Ok(())
    }

    /// Gives transactions that the node does not have any more to it again, and pays more for those that wait too long.
    pub(super) async fn tend_transactions(&self, tip: u32) -> Result<(), StepError> {
        for row in self.store.transactions_in(TransactionState::Broadcast).await? {
            let transaction = Self::raw(&row)?;
            // Known already, or in a block: no error. Another refusal is looked at when the follower has caught up.
            if let Err(error) = blocking(|| self.node().broadcast(&transaction))
                && error.retry()
            {
                return Err(error.into());
            }
            let settings = &self.config.withdrawals;
            let (waited, wanted) = (tip.saturating_sub(row.tip), self.wanted_rate()?);
            // Whether people make another trip for a higher fee is theirs to say.
            if !self.is_cold(&row.wallet) && is_bump_due(waited, settings.bump_after_blocks, row.rate, wanted) {
                self.bump(row, wanted).await?;
            }
        }
        Ok(())
    }

    /// Pays more for a transaction that waits, because an operator asks.
    pub async fn bump_now(&self, txid: &str, actor: &str) -> Result<(), Problem> {
        let row = self.store.transaction(txid).await?.ok_or_else(|| Problem::not_found("transaction"))?;
        if row.state != TransactionState::Broadcast {
            let state = row.state.as_str();
            return Err(Problem::new(
                409,
                "not-waiting",
                format!("this transaction is {state}, not waiting for a block"),
            ));
        }
        let wanted = self.wanted_rate().map_err(|error| Problem::unavailable("node", error.to_string()))?;
        self.bump(row, wanted).await.map_err(|error| Problem::new(409, "no-bump", error.to_string()))?;
        let step = Move::new(now()).audit(actor, "transaction.bump-asked", txid, "");
        self.store.commit(step).await?;
        self.wake();
        Ok(())
    }

    /// The same payments from the same coins with more fee; signers hold the try to the group's anchor.
    async fn bump(&self, row: TransactionRow, wanted: u64) -> Result<(), StepError> {
        let before = self.store.transactions_of_group(&row.group).await?;
        if before.iter().any(|other| matches!(other.state, TransactionState::Generated | TransactionState::Signed)) {
            return Ok(());
        }
        let waiting = |message: String| StepError::Waiting { code: "no-bump", subject: row.txid.clone(), message };
        let rate = bump_rate(row.rate, wanted, self.charter.fee.sats_per_kvb_max)
            .ok_or_else(|| waiting("the charter's cap leaves no room for more fee".to_owned()))?;
        let payments = self.store.payments_of_group(&row.group).await?;
        let Some((tip, _)) = self.store.blocks().await?.pop() else { return Ok(()) };
        let must: Vec<OutPoint> = Self::raw(&row)?.input.iter().map(|input| input.previous_output).collect();
        let held = self.store.coins_of_group(&row.group).await?;
        let mut coins = held.clone();
        coins.extend(self.store.spendable_coins(&row.wallet).await?);
        let (_, change_index) = self.store.wallet_indexes(&row.wallet).await?;
        let draft = self
            .draft(Order { wallet: &row.wallet, payments: &payments, coins, must, rate, change_index, tip })
            .await?;
        // Less than the old fee plus the cost of relaying the new one is not taken (BIP-125, rules 3 and 4).
        if draft.fee_sats <= row.fee_sats || draft.rate < row.rate.saturating_add(1_000) {
            return Err(waiting("what the payments allow as fee leaves no room for more".to_owned()));
        }
        let next = self.try_row(&draft, &row.wallet, &row.group, row.fee_hold.clone(), tip);
        let detail = format!("{} sat instead of {}, replaces {}", draft.fee_sats, row.fee_sats, row.txid);
        let mut step = Move::new(now()).run(next.insert()).audit("system", "transaction.bumped", &next.txid, detail);
        for coin in draft.coins.iter().filter(|coin| !held.contains(coin)) {
            step = step.run(store::Statement::reserve_coin(&coin.id, &row.group));
        }
        let known = self.with_change(&draft, &row.wallet, &mut step).await?;
        self.store.commit(step).await?;
        if let Some(address) = known {
            self.know_address(&address);
        }
        Ok(())
    }
}
