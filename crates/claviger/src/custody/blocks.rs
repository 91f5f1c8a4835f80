//! Blocks: taken into account one at a time, each in one commit, and undone the same way.

use std::collections::HashMap;

use bitcoin::consensus::encode::serialize;
use bitcoin::{Block, OutPoint, Transaction};
use node::{Known, Step, next_step};
use orders::{DepositState, PaymentState};
use store::{AddressRow, CoinRow, CoinState, DepositRow, Move, Origin, Statement, TransactionState};
use types::Amount;

use super::{Custody, StepError, blocking, now};

/// Blocks that are kept beyond the deepest reorganization that is followed.
const MARGIN: u32 = 10;

impl Custody {
    /// Goes one block forward, or back to where the best chain forks off. Returns whether there may be more to do.
    pub(super) async fn follow(&self) -> Result<bool, StepError> {
        let mut known = Vec::new();
        for (height, hash) in self.store.blocks().await? {
            let hash = hash.parse().map_err(|_| StepError::Corrupt(format!("the hash of block {height}")))?;
            known.push(Known { height, hash });
        }
        let depth = self.config.deposits.reorganization_max;
        if known.is_empty() {
            return self.begin().await;
        }
        match blocking(|| next_step(self.node(), &known, depth, self.charter.network))? {
            Step::Wait => Ok(false),
            Step::Connect { height, block } => self.connect(height, &block).await.map(|()| true),
            Step::Disconnect { to } => self.disconnect(to.height).await.map(|()| true),
            Step::TooDeep { depth } => Err(StepError::Waiting {
                code: "reorganization-too-deep",
                subject: "chain".to_owned(),
                message: format!(
                    "the best chain leaves ours {depth} blocks deep or more; nothing is credited until people have looked at it"
                ),
            }),
        }
    }

    /// A new system begins at the tip: there were no addresses before.
    async fn begin(&self) -> Result<bool, StepError> {
        let info = blocking(|| self.node().chain_info())?;
        if info.network != self.charter.network {
            return Err(StepError::Waiting {
                code: "wrong-network",
                subject: "node".to_owned(),
                message: format!("the node is on {}, the charter on {}", info.network, self.charter.network),
            });
        }
        let step = Move::new(now()).run(Statement::connect_block(info.height, &info.tip.to_string())).audit(
            "system",
            "chain.begun",
            &info.tip.to_string(),
            format!("height {}", info.height),
        );
        self.store.commit(step).await?;
        Ok(true)
    }

    async fn connect(&self, height: u32, block: &Block) -> Result<(), StepError> {
        let hash = block.block_hash().to_string();
        let mut step = Move::new(now()).run(Statement::connect_block(height, &hash));
        let unspent: HashMap<String, CoinRow> =
            self.store.unspent_coins().await?.into_iter().map(|coin| (coin.id.clone(), coin)).collect();
        // Coins that appear in this block can be spent in it.
        let mut fresh: HashMap<String, String> = HashMap::new();
        for transaction in &block.txdata {
            let spends: Vec<String> = transaction.input.iter().map(|input| input.previous_output.to_string()).collect();
            let ours: Vec<&String> =
                spends.iter().filter(|id| unspent.contains_key(*id) || fresh.contains_key(*id)).collect();
            let pays = self.pays_us(transaction).await?;
            if ours.is_empty() && pays.is_empty() {
                continue;
            }
            let txid = transaction.compute_txid().to_string();
            for id in &ours {
                step = step.run(Statement::spend_coin(id, &txid, height));
            }
            let made_here = self.confirm(&txid, height, !ours.is_empty(), &mut step).await?;
            for (vout, sats, address) in pays {
                let id = OutPoint::new(transaction.compute_txid(), vout).to_string();
                let origin = match (made_here, address.branch, address.owner.starts_with("wallet:")) {
                    (true, 1, _) => Origin::Change,
                    (true, _, true) => Origin::Transfer,
                    _ => Origin::Deposit,
                };
                let coin = coin(&id, &address, sats, origin, height);
                step = step.run(coin.connect()).run(Statement::keep_previous(&txid, serialize(transaction)));
                fresh.insert(id.clone(), txid.clone());
                if origin == Origin::Deposit {
                    self.deposit_in_block(&id, &address, sats, height, transaction.is_coinbase(), &mut step).await?;
                }
            }
        }
        let oldest = height.saturating_sub(self.config.deposits.reorganization_max.saturating_add(MARGIN));
        step = step.run(Statement::prune_blocks(oldest));
        self.store.commit(step).await?;
        Ok(())
    }

    pub(super) async fn pays_us(&self, transaction: &Transaction) -> Result<Vec<(u32, u64, AddressRow)>, StepError> {
        let mut pays = Vec::new();
        for (vout, output) in (0u32..).zip(&transaction.output) {
            if let Some(address) = self.our_address(output.script_pubkey.as_bytes()).await? {
                pays.push((vout, output.value.to_sat(), address));
            }
        }
        // A coin of nothing is no coin.
        pays.retain(|(_, sats, _)| *sats > 0);
        Ok(pays)
    }

    /// Notes that a transaction is in a block, if we made it; whether we did.
    async fn confirm(&self, txid: &str, height: u32, spends_ours: bool, step: &mut Move) -> Result<bool, StepError> {
        let Some(mut row) = self.store.transaction(txid).await? else {
            if spends_ours {
                self.unexplained(txid, &format!("it is in block {height}"), step).await?;
            }
            return Ok(false);
        };
        let before = row.state;
        row.state = TransactionState::Confirmed;
        row.height = Some(height);
        row.updated = step.at;
        step.statements.push(row.update(before));
        step.statements.push(Statement::clear_alarm("settled-left-chain", txid, step.at));
        for other in self.store.transactions_of_group(&row.group).await? {
            if other.txid != row.txid && other.state != TransactionState::Replaced {
                let from = other.state;
                let other = store::TransactionRow { state: TransactionState::Replaced, updated: step.at, ..other };
                step.statements.push(other.update(from));
                // What stood in its way is nobody's concern any more.
                for code in ["broadcast", "signers", "no-bump"] {
                    step.statements.push(Statement::clear_alarm(code, &other.txid, step.at));
                }
            }
        }
        for payment in self.store.payments_of_group(&row.group).await? {
            if payment.state.may_become(PaymentState::Confirmed) {
                let from = payment.state;
                let at = step.at;
                let payment = store::PaymentRow { state: PaymentState::Confirmed, updated: at, ..payment };
                step.statements.push(payment.update(from));
                step.note("system", "payment.confirmed", &payment.id, format!("{txid} at {height}"));
            }
        }
        Ok(true)
    }

    async fn deposit_in_block(
        &self,
        id: &str,
        address: &AddressRow,
        sats: u64,
        height: u32,
        coinbase: bool,
        step: &mut Move,
    ) -> Result<(), StepError> {
        let at = step.at;
        let row = match self.store.deposit(id).await? {
            Some(row) if row.state.may_become(DepositState::Confirming) => {
                let from = row.state;
                let row = DepositRow {
                    state: DepositState::Confirming,
                    height: Some(height),
                    reason: String::new(),
                    updated: at,
                    ..row
                };
                step.statements.push(row.update(from));
                row
            }
            // Known in this block already: counted once.
            Some(_) => return Ok(()),
            None => {
                let row = self.new_deposit(id, address, sats, DepositState::Confirming, Some(height), coinbase, at);
                step.statements.push(row.insert());
                row
            }
        };
        let detail = format!("{} to {} at {height}", row.amount, row.address);
        step.note("system", "deposit.confirming", id, detail);
        Ok(())
    }

    #[allow(clippy::too_many_arguments, reason = "a row's facts, each named")]
    pub(super) fn new_deposit(
        &self,
        id: &str,
        address: &AddressRow,
        sats: u64,
        state: DepositState,
        height: Option<u32>,
        coinbase: bool,
        at: types::Moment,
    ) -> DepositRow {
        let amount = Amount::from_sats(sats);
        DepositRow {
            id: id.to_owned(),
            wallet: address.wallet.to_string(),
            address: address.address.clone(),
            owner: address.owner.clone(),
            asset: self.asset.to_string(),
            amount,
            state,
            reason: String::new(),
            height,
            coinbase,
            required: self.config.confirmations().required(amount, coinbase),
            credits: 0,
            shortfall: Amount::ZERO,
            created: at,
            updated: at,
        }
    }

    /// Undoes every block above `height`, in one commit.
    async fn disconnect(&self, height: u32) -> Result<(), StepError> {
        let mut step = Move::new(now());
        step.statements.extend(Statement::disconnect_coins(height));
        step = step.run(Statement::disconnect_blocks(height));
        let balances = self.store.balances().await?;
        let available = |balance: &store::Balance| Some((balance.id, balance.account.available()?));
        let mut available = balances.iter().filter_map(available).collect();
        for deposit in self.store.deposits_above(height).await? {
            self.take_back(deposit, &mut available, &mut step).await?;
        }
        for row in self.store.transactions_above(height).await? {
            let from = row.state;
            if row.settled {
                let message = format!("transaction {} was final in the books and is in no block any more", row.txid);
                step.statements.push(Statement::raise_alarm("settled-left-chain", &row.txid, &message, step.at));
            }
            for payment in self.store.payments_of_group(&row.group).await? {
                if payment.state == PaymentState::Confirmed {
                    let from = payment.state;
                    let at = step.at;
                    let payment = store::PaymentRow { state: PaymentState::Broadcast, updated: at, ..payment };
                    step =
                        step.run(payment.update(from)).audit("system", "payment.left-chain", &payment.id, &*row.txid);
                }
            }
            let row =
                store::TransactionRow { state: TransactionState::Broadcast, height: None, updated: step.at, ..row };
            step = step.run(row.update(from));
        }
        step = step.audit("system", "chain.reorganized", &height.to_string(), "blocks above this height were left");
        self.store.commit(step).await?;
        Ok(())
    }
}

fn coin(id: &str, address: &AddressRow, sats: u64, origin: Origin, height: u32) -> CoinRow {
    CoinRow {
        id: id.to_owned(),
        wallet: address.wallet.clone(),
        branch: address.branch,
        index: address.index,
        sats,
        origin,
        state: CoinState::Pending,
        height: Some(height),
        group: String::new(),
    }
}
