//! Deposits: from the block to the owner's balance, and back when the block leaves.

use std::collections::HashMap;

use bitcoin::OutPoint;
use chains::bitcoin::parse_address;
use ledger::{AccountId, Kind, Transfer};
use orders::{DepositFacts, DepositState, Screening, next_deposit_state, screen};
use store::{DepositRow, Event, Move, Posting, Statement};
use types::{Amount, Moment};

use super::{Custody, FLOAT, SHORTFALL, StepError, blocking, now, transfer_id};
use crate::problem::Problem;

impl Custody {
    /// Moves on every deposit that can move on.
    pub(super) async fn credit_deposits(&self) -> Result<(), StepError> {
        let blocks = self.store.blocks().await?;
        let Some((tip, _)) = blocks.last().cloned() else { return Ok(()) };
        for deposit in self.store.deposits_in(DepositState::Confirming).await? {
            let facts = DepositFacts { state: deposit.state, height: deposit.height, tip, required: deposit.required };
            if let (Some(state), Some(height)) = (next_deposit_state(&facts), deposit.height) {
                let followed = blocks.iter().find(|(one, _)| *one == height).map(|(_, hash)| hash.as_str());
                self.ask_witnesses(&deposit, height, followed)?;
                self.move_deposit(deposit, state, "").await?;
            }
        }
        for deposit in self.store.deposits_in(DepositState::Confirmed).await? {
            let (state, reason) = screen(&Screening {
                amount: deposit.amount,
                amount_min: Amount::from_sats(self.config.deposits.sats_min),
                owner: &deposit.owner,
                held: false,
            });
            self.move_deposit(deposit, state, reason).await?;
        }
        let screened = self.store.deposits_in(DepositState::Screened).await?;
        let coins = if screened.is_empty() { vec![] } else { self.store.unspent_coins().await? };
        for deposit in screened {
            // A row may be older than its block, noted while it waited or by somebody else's hand; the coin is what the block has.
            let coin = coins.iter().find(|coin| coin.id == deposit.id);
            if coin.is_some_and(|coin| Amount::from_sats(coin.sats) != deposit.amount) {
                let reason = "its block has another amount than was noted for it";
                self.move_deposit(deposit, DepositState::Quarantined, reason).await?;
            } else if self.logged_owner(&deposit).await?.as_deref() == Some(deposit.owner.as_str()) {
                self.credit(deposit).await?;
            } else {
                let reason = "the audit log does not say that this address or deposit is this owner's";
                self.move_deposit(deposit, DepositState::Quarantined, reason).await?;
            }
        }
        Ok(())
    }

    /// Whose a deposit is by the audit log, which whoever edits rows would have to write anew as well: to whom the address was
    /// given, or whom an operator named.
    async fn logged_owner(&self, deposit: &DepositRow) -> Result<Option<String>, StepError> {
        if let Some(released) = self.store.audit_about(&deposit.id, "deposit.released").await? {
            return Ok(Some(released.draft.detail));
        }
        let given = self.store.audit_about(&deposit.address, "address.created").await?;
        Ok(given.map(|entry| entry.draft.actor))
    }

    /// Asks every further node whether it has this very deposit in its own block at this height, as deep as required, and the same block as
    /// the one that was followed. Whoever owns our node, or what it hears, gets nothing credited; nor does a further node that is
    /// away, slow or behind lower what is asked.
    fn ask_witnesses(&self, deposit: &DepositRow, height: u32, followed: Option<&str>) -> Result<(), StepError> {
        let corrupt = || StepError::Corrupt(format!("the deposit {}", deposit.id));
        let outpoint: OutPoint = deposit.id.parse().map_err(|_| corrupt())?;
        let script = parse_address(&deposit.address, self.charter.network).map_err(|_| corrupt())?;
        for witness in &self.witnesses {
            let differs = |message: String| StepError::Waiting {
                code: "nodes-disagree",
                subject: witness.url().to_owned(),
                message: format!("{message}; nothing is credited until it has the same blocks"),
            };
            let answers =
                blocking(|| Ok::<_, node::NodeError>((witness.chain_info()?.height, witness.block_hash(height)?)));
            let (tip, theirs) = answers.map_err(|error| differs(super::explain(error)))?;
            if let Some(ours) = followed.filter(|ours| **ours != theirs.to_string()) {
                return Err(differs(format!("another node has block {theirs} at height {height}, ours has {ours}")));
            }
            if tip.saturating_add(1).saturating_sub(height) < deposit.required {
                return Err(differs(format!("another node is only at height {tip}")));
            }
            let transaction = blocking(|| witness.transaction_in(&outpoint.txid, &theirs));
            let transaction = transaction.map_err(|error| differs(super::explain(error)))?;
            let output = usize::try_from(outpoint.vout).ok().and_then(|vout| transaction.output.get(vout));
            let same = output.is_some_and(|output| {
                output.script_pubkey == script && Amount::from_sats(output.value.to_sat()) == deposit.amount
            });
            if !same {
                return Err(differs(format!("another node knows another payment as {}", deposit.id)));
            }
        }
        Ok(())
    }

    async fn move_deposit(&self, deposit: DepositRow, state: DepositState, reason: &str) -> Result<(), StepError> {
        let from = deposit.state;
        let row = DepositRow { state, reason: reason.to_owned(), updated: now(), ..deposit };
        let step =
            Move::new(row.updated).run(row.update(from)).audit("system", &format!("deposit.{state}"), &row.id, reason);
        self.store.commit(step).await?;
        Ok(())
    }

    /// Lets a deposit that was set aside go on, to the account that people name.
    pub async fn release_deposit(
        &self,
        id: &str,
        owner: &str,
        actor: &str,
        now: Moment,
    ) -> Result<DepositRow, Problem> {
        let customer = |name: &str| self.charter.customers.iter().any(|customer| customer.id.as_str() == name);
        if owner != FLOAT && !owner.strip_prefix("customer:").is_some_and(customer) {
            let detail = format!("an owner is customer:NAME, with a name of the charter, or {FLOAT}");
            return Err(Problem::invalid("unknown-owner", detail));
        }
        let deposit = self.store.deposit(id).await?.ok_or_else(|| Problem::not_found("deposit"))?;
        if deposit.state != DepositState::Quarantined {
            return Err(Problem::new(
                409,
                "not-waiting",
                format!("this deposit is {}, not quarantined", deposit.state),
            ));
        }
        let reason = format!("released to {owner} by {actor}");
        let row =
            DepositRow { state: DepositState::Screened, owner: owner.to_owned(), reason, updated: now, ..deposit };
        let step =
            Move::new(now).run(row.update(DepositState::Quarantined)).audit(actor, "deposit.released", id, owner);
        self.store.commit(step).await?;
        self.wake();
        Ok(row)
    }

    async fn credit(&self, deposit: DepositRow) -> Result<(), StepError> {
        let from = deposit.state;
        let wallet = self.account(&format!("wallet:{}", deposit.wallet)).await?;
        let owner = self.account(&deposit.owner).await?;
        let shortfall = self.account(SHORTFALL).await?;
        // What the house bore when this deposit was taken back goes to the house first.
        let (to_house, rest) = (deposit.shortfall, deposit.amount.checked_sub(deposit.shortfall));
        let rest = rest.map_err(|error| StepError::Corrupt(error.to_string()))?;
        // A row that was rewritten ends this deposit's step and nothing else.
        let credits = deposit.credits.checked_add(1);
        let credits =
            credits.ok_or_else(|| StepError::Corrupt(format!("the deposit {} was credited too often", deposit.id)))?;
        let row =
            DepositRow { state: DepositState::Credited, credits, shortfall: Amount::ZERO, updated: now(), ..deposit };
        let count = row.credits.to_string();
        let mut step = Move::new(row.updated).run(row.update(from)).run(Statement::release_coin(&row.id));
        for (part, account, amount) in [("credit", owner, rest), ("cover", shortfall, to_house)] {
            if !amount.is_zero() {
                let id = transfer_id(row.updated, &[&row.id, part, &count]);
                let transfer = Transfer { id, debit: wallet, credit: account, amount, kind: Kind::Plain };
                step.postings.push(Posting { transfer, cause: row.id.clone() });
            }
        }
        step.events.push(Event {
            kind: "deposit.credited".to_owned(),
            subject: row.id.clone(),
            body: serde_json::json!({"owner": row.owner, "asset": row.asset, "amount": row.amount.to_string()})
                .to_string(),
        });
        let step = step.audit("system", "deposit.credited", &row.id, format!("{} to {}", row.amount, row.owner));
        self.store.commit(step).await?;
        Ok(())
    }

    /// Adds to a step that a deposit's block has left the best chain. What was credited is taken back: from the owner as far
    /// as the balance goes, from the house beyond.
    pub(super) async fn take_back(
        &self,
        deposit: DepositRow,
        available: &mut HashMap<AccountId, Amount>,
        step: &mut Move,
    ) -> Result<(), StepError> {
        let from = deposit.state;
        if !from.may_become(DepositState::Reorged) {
            return Ok(());
        }
        let at = step.at;
        let mut row = DepositRow {
            state: DepositState::Reorged,
            reason: "its block was left by the best chain".to_owned(),
            height: None,
            updated: at,
            ..deposit
        };
        if from == DepositState::Credited {
            let wallet = self.account(&format!("wallet:{}", row.wallet)).await?;
            let owner = self.account(&row.owner).await?;
            let shortfall = self.account(SHORTFALL).await?;
            // Several deposits of one owner may be taken back in this step.
            let left = available.entry(owner).or_default();
            let from_owner = row.amount.min(*left);
            let rest = |a: Amount, b: Amount| a.checked_sub(b).map_err(|error| StepError::Corrupt(error.to_string()));
            *left = rest(*left, from_owner)?;
            row.shortfall = rest(row.amount, from_owner)?;
            let count = row.credits.to_string();
            for (part, account, amount) in [("reverse", owner, from_owner), ("bear", shortfall, row.shortfall)] {
                if !amount.is_zero() {
                    let id = transfer_id(at, &[&row.id, part, &count]);
                    let transfer = Transfer { id, debit: account, credit: wallet, amount, kind: Kind::Plain };
                    step.postings.push(Posting { transfer, cause: row.id.clone() });
                }
            }
        }
        step.statements.push(row.update(from));
        step.events.push(Event {
            kind: "deposit.reorged".to_owned(),
            subject: row.id.clone(),
            body: serde_json::json!({"owner": row.owner, "amount": row.amount.to_string()}).to_string(),
        });
        step.note("system", "deposit.reorged", &row.id, format!("was {from}"));
        Ok(())
    }
}
