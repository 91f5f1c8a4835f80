//! Payments to us that wait for a block: shown early, credited never before they are deep enough. And spends of our coins that wait for
//! one and that nobody here made.

use std::collections::HashSet;

use bitcoin::consensus::encode::deserialize;
use bitcoin::secp256k1::Secp256k1;
use bitcoin::{OutPoint, Transaction, Txid};
use chains::bitcoin::{Branch, unlocks};
use orders::DepositState;
use store::{AddressRow, CoinState, DepositRow, Move};
use types::WalletId;

use super::{Custody, StepError, blocking, now};

/// Most transactions that one round looks at.
const ROUND_MAX: usize = 2_000;

/// Where an output of ours is in our wallets, and what it is worth.
struct Place {
    wallet: WalletId,
    branch: u32,
    index: u32,
    sats: u64,
}

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
            if !ours && self.spends_ours(&transaction).await? {
                let mut step = Move::new(now());
                self.unexplained(&txid.to_string(), "it waits for a block", &mut step).await?;
                if !step.statements.is_empty() {
                    self.store.commit(step).await?;
                    self.alarmed.notify_one();
                }
            }
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

    /// Whether a transaction spends a coin of ours, with signatures that unlock it: what a node only says stops nothing.
    async fn spends_ours(&self, transaction: &Transaction) -> Result<bool, StepError> {
        for (position, input) in transaction.input.iter().enumerate() {
            let Some(place) = self.place_of(&input.previous_output).await? else { continue };
            let wallet = self.wallet(&place.wallet)?;
            let branch = if place.branch == 1 { Branch::Change } else { Branch::Receive };
            let derived = wallet.derive(branch, place.index).map_err(|error| StepError::Corrupt(error.to_string()))?;
            if unlocks(transaction, position, &derived, place.sats, wallet.threshold(), &Secp256k1::new()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Where in our wallets an output is that no block spends: in a block, paid to us and waiting, or of a transaction of our own that
    /// waits.
    async fn place_of(&self, outpoint: &OutPoint) -> Result<Option<Place>, StepError> {
        let id = outpoint.to_string();
        if let Some(coin) = self.store.coin(&id).await? {
            let place = Place { wallet: coin.wallet, branch: coin.branch, index: coin.index, sats: coin.sats };
            return Ok((coin.state != CoinState::Spent).then_some(place));
        }
        let of = |row: AddressRow, sats| Place { wallet: row.wallet, branch: row.branch, index: row.index, sats };
        if let Some(deposit) = self.store.deposit(&id).await? {
            let sats = deposit.amount.to_sats().map_err(|error| StepError::Corrupt(error.to_string()))?;
            return Ok(self.store.address_named(&deposit.address).await?.map(|row| of(row, sats)));
        }
        let Some(parent) = self.store.transaction(&outpoint.txid.to_string()).await? else { return Ok(None) };
        let parent: Option<Transaction> = deserialize(&parent.raw).ok();
        let output = parent.and_then(|parent| parent.output.get(usize::try_from(outpoint.vout).ok()?).cloned());
        let Some(output) = output else { return Ok(None) };
        let address = self.our_address(output.script_pubkey.as_bytes()).await?;
        Ok(address.map(|row| of(row, output.value.to_sat())))
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
