//! Payments to us that wait for a block: shown early, credited never before they are deep enough.

use std::collections::HashSet;

use bitcoin::{OutPoint, Txid};
use orders::DepositState;
use store::{DepositRow, Move};

use super::{Custody, StepError, blocking, now};

/// Most transactions that one round looks at.
const ROUND_MAX: usize = 2_000;

impl Custody {
    /// Looks at what is new among the waiting transactions; `looked` is what was looked at before.
    pub(super) async fn watch_mempool(&self, looked: &mut HashSet<Txid>) -> Result<(), StepError> {
        let waiting: HashSet<Txid> = blocking(|| self.node().mempool())?.into_iter().collect();
        looked.retain(|txid| waiting.contains(txid));
        let fresh: Vec<Txid> = waiting.difference(looked).copied().take(ROUND_MAX).collect();
        for txid in fresh {
            let transaction = match blocking(|| self.node().transaction(&txid)) {
                Ok(transaction) => transaction,
                // Gone in between.
                Err(node::NodeError::Unknown(_)) => continue,
                // What is noted here is what a block confirms later: nothing is noted by the word of such a node.
                Err(error @ node::NodeError::Transaction { .. }) => {
                    return Err(StepError::Waiting {
                        code: "transaction-differs",
                        subject: "node".to_owned(),
                        message: super::explain(error),
                    });
                }
                Err(error) => return Err(error.into()),
            };
            let ours = self.store.transaction(&txid.to_string()).await?.is_some();
            for (vout, sats, address) in self.pays_us(&transaction).await? {
                if !(ours && (address.branch == 1 || address.owner.starts_with("wallet:"))) {
                    self.see(&OutPoint::new(txid, vout).to_string(), &address, sats).await?;
                }
            }
            looked.insert(txid);
        }
        for deposit in self.store.deposits_in(DepositState::Seen).await? {
            let waits = deposit.id.split_once(':').and_then(|(txid, _)| txid.parse().ok());
            if waits.is_some_and(|txid: Txid| !waiting.contains(&txid)) {
                self.replaced(deposit).await?;
            }
        }
        Ok(())
    }

    async fn see(&self, id: &str, address: &store::AddressRow, sats: u64) -> Result<(), StepError> {
        let step = Move::new(now());
        let at = step.at;
        let statement = match self.store.deposit(id).await? {
            None => self.new_deposit(id, address, sats, DepositState::Seen, None, false, at).insert(),
            Some(row) if row.state.may_become(DepositState::Seen) => {
                let from = row.state;
                DepositRow { state: DepositState::Seen, reason: String::new(), updated: at, ..row }.update(from)
            }
            Some(_) => return Ok(()),
        };
        let step = step.run(statement).audit("system", "deposit.seen", id, format!("{sats} to {}", address.address));
        self.store.commit(step).await?;
        Ok(())
    }

    /// A transaction that is neither waiting nor, by now, in a block was replaced or dropped.
    async fn replaced(&self, deposit: DepositRow) -> Result<(), StepError> {
        let from = deposit.state;
        let row = DepositRow {
            state: DepositState::Replaced,
            reason: "its transaction was replaced or dropped before it was in a block".to_owned(),
            updated: now(),
            ..deposit
        };
        let step = Move::new(row.updated).run(row.update(from)).audit("system", "deposit.replaced", &row.id, "");
        self.store.commit(step).await?;
        Ok(())
    }
}
