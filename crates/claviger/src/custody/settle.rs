//! Payments that are deep enough go into the books for good: payout and network fee, to the satoshi.

use ledger::{Kind, Transfer, TransferId};
use orders::PaymentState;
use store::{Move, PaymentRow, Posting, Statement, TransactionRow, TransactionState};
use types::Amount;

use super::decide::payment_event;
use super::{Custody, FLOAT, StepError, now, transfer_id};

impl Custody {
    /// Settles every confirmed transaction that is deep enough.
    pub(super) async fn settle_transactions(&self, tip: u32) -> Result<(), StepError> {
        let mut outcome = Ok(());
        for row in self.store.transactions_in(TransactionState::Confirmed).await? {
            let depth = row.height.map_or(0, |height| (tip + 1).saturating_sub(height));
            if !row.settled && depth >= self.config.withdrawals.settle_confirmations.max(1) {
                // One that cannot be settled holds up no other.
                if let Err(error) = self.settle(row).await {
                    outcome = Err(error);
                }
            }
        }
        outcome
    }

    async fn settle(&self, row: TransactionRow) -> Result<(), StepError> {
        let at = now();
        let next = TransactionRow { settled: true, updated: at, ..row.clone() };
        let mut step = Move::new(at).run(next.update(TransactionState::Confirmed)).audit(
            "system",
            "transaction.settled",
            &row.txid,
            format!("fee {} sat", row.fee_sats),
        );
        for payment in self.store.payments_of_group(&row.group).await? {
            let from = payment.state;
            if from != PaymentState::Confirmed {
                return Err(StepError::Corrupt(format!(
                    "payment {} is {from} while {} is confirmed",
                    payment.id, row.txid
                )));
            }
            let next = PaymentRow { state: PaymentState::Settled, updated: at, ..payment };
            step.postings.push(self.end_hold(&next, Kind::Post, next.amount, at, "post").await?);
            step.events.push(payment_event(&next));
            step = step.run(next.update(from)).audit("system", "payment.settled", &next.id, &*row.txid);
        }
        let hold = <[u8; 16]>::try_from(row.fee_hold.as_slice());
        let hold = hold.map_err(|_| StepError::Corrupt(format!("the fee's hold of {}", row.txid)))?;
        let fee = Transfer {
            id: transfer_id(at, &[&row.txid, "fee-post"]),
            debit: self.account(FLOAT).await?,
            credit: self.account(&format!("wallet:{}", row.wallet)).await?,
            amount: Amount::from_sats(row.fee_sats),
            kind: Kind::Post(TransferId(u128::from_be_bytes(hold))),
        };
        step.postings.push(Posting { transfer: fee, cause: row.txid.clone() });
        // Coins that a bump took up and the confirmed try does not spend.
        step = step.run(Statement::free_coins(&row.group));
        self.store.commit(step).await?;
        Ok(())
    }
}
