//! Approved payments become a transaction: those that wait together in one, in one commit with their coins and fee.

use std::collections::BTreeMap;

use chains::bitcoin::Branch;
use ledger::{Kind, Transfer};
use orders::PaymentState;
use store::{Move, PaymentRow, Posting, Statement, TransactionRow, TransactionState};
use types::{Amount, WalletId};

use super::draft::{Draft, Order, RATE_MIN};
use super::{Custody, FLOAT, StepError, blocking, now, transfer_id};

impl Custody {
    /// Makes transactions for all approved payments, one for each wallet and one for each payment that goes alone.
    pub(super) async fn generate_transactions(&self) -> Result<(), StepError> {
        let mut approved = self.store.payments_in(PaymentState::Approved).await?;
        if approved.is_empty() {
            return Ok(());
        }
        // Looked up after the rows were read: a row that is written now is not among them.
        let ended = self.put_back_ended().await?;
        approved.retain(|payment| !ended.contains(&payment.id));
        if self.store.alarms().await?.iter().any(|alarm| alarm.code == "books-differ") {
            return Err(StepError::Waiting {
                code: "withdrawals-stopped",
                subject: self.asset.to_string(),
                message: "the books and the chain differ; nothing is paid until they agree".to_owned(),
            });
        }
        let mut together: BTreeMap<WalletId, Vec<PaymentRow>> = BTreeMap::new();
        for payment in approved {
            if payment.solo {
                self.generate_one(&payment.wallet.clone(), vec![payment]).await?;
            } else {
                together.entry(payment.wallet.clone()).or_default().push(payment);
            }
        }
        let mut outcome = Ok(());
        for (wallet, payments) in together {
            for batch in payments.chunks(self.config.withdrawals.batch_max.max(1)) {
                // One wallet's lack of coins is no other wallet's affair.
                if let Err(error) = self.generate_fitting(&wallet, batch.to_vec()).await {
                    outcome = Err(error);
                }
            }
        }
        outcome
    }

    /// When the coins do not suffice for all, the largest waits and the others go.
    async fn generate_fitting(&self, wallet: &WalletId, mut payments: Vec<PaymentRow>) -> Result<(), StepError> {
        let mut short = None;
        while !payments.is_empty() {
            match self.generate_one(wallet, payments.clone()).await {
                Err(error @ StepError::Waiting { code: "wallet-low", .. }) => {
                    short = Some(error);
                    let largest = payments.iter().enumerate().max_by_key(|(_, payment)| payment.amount);
                    let place = largest.map_or(0, |(place, _)| place);
                    payments.remove(place);
                }
                Ok(()) => break,
                Err(error) => return Err(error),
            }
        }
        short.map_or(Ok(()), Err)
    }

    /// The fee rate that confirms in time, within the charter's cap.
    pub(super) fn wanted_rate(&self) -> Result<u64, StepError> {
        let settings = &self.config.withdrawals;
        let estimate = blocking(|| self.node().estimate_fee(settings.target_blocks))?;
        let rate = estimate.unwrap_or(settings.fallback_rate).max(RATE_MIN);
        Ok(rate.min(self.charter.fee.sats_per_kvb_max))
    }

    async fn generate_one(&self, wallet: &WalletId, mut payments: Vec<PaymentRow>) -> Result<(), StepError> {
        payments.sort_by(|a, b| a.id.cmp(&b.id));
        let Some((tip, _)) = self.store.blocks().await?.pop() else { return Ok(()) };
        let (_, change_index) = self.store.wallet_indexes(wallet).await?;
        let draft = self
            .draft(Order {
                wallet,
                payments: &payments,
                coins: self.store.spendable_coins(wallet).await?,
                must: vec![],
                rate: self.wanted_rate()?,
                change_index,
                tip,
            })
            .await?;
        let txid = draft.psbt.unsigned_tx.compute_txid().to_string();
        let at = now();
        // One hold for all tries: the most that they may ever pay.
        let hold = transfer_id(at, &[&txid, "fee"]);
        let held = Transfer {
            id: hold,
            debit: self.account(FLOAT).await?,
            credit: self.account(&format!("wallet:{wallet}")).await?,
            amount: Amount::from_sats(self.fee_cap(&payments)?.max(draft.fee_sats)),
            kind: Kind::Pending,
        };
        let row = self.try_row(&draft, wallet, &txid, hold.0.to_be_bytes().to_vec(), tip);
        let mut step = Move::new(at).run(row.insert());
        for coin in &draft.coins {
            step = step.run(Statement::reserve_coin(&coin.id, &txid));
        }
        for payment in &payments {
            let next = PaymentRow {
                state: PaymentState::Generated,
                group: txid.clone(),
                reason: String::new(),
                updated: at,
                ..payment.clone()
            };
            step = step.run(next.update(payment.state)).audit("system", "payment.generated", &payment.id, &*txid);
        }
        step.postings.push(Posting { transfer: held, cause: txid.clone() });
        let known = self.with_change(&draft, wallet, &mut step).await?;
        match self.store.commit(step).await {
            Ok(_) => {}
            Err(store::CommitError::Ledger(ledger::Refusal::InsufficientFunds)) => {
                return Err(StepError::Waiting {
                    code: "float-low",
                    subject: FLOAT.to_owned(),
                    message: format!(
                        "the house's float cannot bear the network fee of {txid}; deposit to the house's address"
                    ),
                });
            }
            Err(error) => return Err(error.into()),
        }
        if let Some(address) = known {
            self.know_address(&address);
        }
        Ok(())
    }

    pub(super) fn try_row(
        &self,
        draft: &Draft,
        wallet: &WalletId,
        group: &str,
        fee_hold: Vec<u8>,
        tip: u32,
    ) -> TransactionRow {
        let at = now();
        TransactionRow {
            txid: draft.psbt.unsigned_tx.compute_txid().to_string(),
            group: group.to_owned(),
            wallet: wallet.clone(),
            state: TransactionState::Generated,
            psbt: draft.psbt.serialize(),
            raw: Vec::new(),
            fee_sats: draft.fee_sats,
            rate: draft.rate,
            fee_hold,
            asked: false,
            height: None,
            tip,
            settled: false,
            created: at,
            updated: at,
        }
    }

    /// Adds the change's address to the step, so that it is known before it is paid.
    pub(super) async fn with_change(
        &self,
        draft: &Draft,
        wallet: &WalletId,
        step: &mut Move,
    ) -> Result<Option<store::AddressRow>, StepError> {
        let Some(change) = draft.change else { return Ok(None) };
        if self.store.address_at(wallet, Branch::Change.number(), change.index).await?.is_some() {
            return Ok(None);
        }
        let id = self.store.next_address().await?;
        let row = self.derive_row(id, wallet, Branch::Change, change.index, "", "change")?;
        step.statements.push(Statement::take_change_index(wallet, change.index));
        step.statements.push(row.insert());
        Ok(Some(row))
    }
}
