//! The books, our record of coins, and the chain: three sides that must agree.

use bitcoin::OutPoint;
use orders::{DepositState, PaymentState, Position, reconcile};
use store::{Move, Statement};
use types::{Amount, AmountError, WalletId};

use super::chain_check::ChainCheck;
use super::{Custody, StepError, blocking, now};

/// What one wallet's sides say.
#[derive(Clone, Debug)]
pub struct WalletPosition {
    /// The wallet.
    pub wallet: WalletId,
    /// The sides.
    pub position: Position,
    /// Where they part, if they do.
    pub difference: Option<String>,
}

fn sum(amounts: impl IntoIterator<Item = Amount>) -> Result<Amount, StepError> {
    Amount::checked_sum(amounts).map_err(range)
}

fn range(error: AmountError) -> StepError {
    StepError::Corrupt(format!("the sums of a wallet: {error}"))
}

impl Custody {
    /// Compares all three sides of every wallet. With `ask_chain`, the node is asked for every coin; without, our record
    /// stands for it.
    pub async fn positions(&self, ask_chain: bool) -> Result<Vec<WalletPosition>, StepError> {
        let coins = self.store.unspent_coins().await?;
        let balances = self.store.balances().await?;
        let mut positions = Vec::new();
        for (wallet, _) in self.wallets() {
            let name = format!("wallet:{wallet}");
            let account = balances.iter().find(|balance| balance.name == name).map(|balance| balance.account);
            let counters = account.map(|account| account.counters).unwrap_or_default();
            let own = || coins.iter().filter(|coin| coin.wallet == *wallet && coin.height.is_some());
            let mut position = Position {
                // More credits than debits can only be while a reorganization is under way.
                books: counters.debits_posted.checked_sub(counters.credits_posted).unwrap_or(Amount::ZERO),
                coins: sum(own().map(|coin| Amount::from_sats(coin.sats)))?,
                ..Position::default()
            };
            self.under_way(wallet, &mut position).await?;
            position.chain = position.coins;
            if ask_chain {
                let mut chain = Amount::ZERO;
                for coin in own() {
                    let outpoint: OutPoint =
                        coin.id.parse().map_err(|_| StepError::Corrupt(format!("the coin {}", coin.id)))?;
                    let found = blocking(|| self.node().unspent_in_blocks(&outpoint))?;
                    let sats = found.map_or(0, |output| output.value.to_sat());
                    chain = chain.checked_add(Amount::from_sats(sats)).map_err(range)?;
                }
                position.chain = chain;
            }
            let difference = reconcile(&position).err().map(|difference| difference.to_string());
            positions.push(WalletPosition { wallet: wallet.clone(), position, difference });
        }
        Ok(positions)
    }

    /// What is in blocks and not in the books, or the other way round.
    async fn under_way(&self, wallet: &WalletId, position: &mut Position) -> Result<(), StepError> {
        use DepositState::{Confirmed, Confirming, Ignored, Quarantined, Screened};
        for state in [Confirming, Confirmed, Screened, Quarantined, Ignored] {
            let deposits = self.store.deposits_in(state).await?;
            let own = deposits.iter().filter(|row| row.wallet == wallet.as_str() && row.height.is_some());
            let uncredited = sum(own.map(|row| row.amount))?;
            position.uncredited = position.uncredited.checked_add(uncredited).map_err(range)?;
        }
        let add = |to: &mut Amount, amount: Amount| {
            *to = to.checked_add(amount).map_err(range)?;
            Ok::<_, StepError>(())
        };
        for payment in self.store.payments_in(PaymentState::Confirmed).await? {
            if payment.wallet == *wallet {
                add(&mut position.unsettled_out, payment.amount)?;
            }
            if payment.destination_wallet == wallet.as_str() {
                add(&mut position.unsettled_in, payment.amount)?;
            }
        }
        for row in self.store.transactions_unsettled().await? {
            let fee = Amount::from_sats(row.fee_sats);
            if row.height.is_some() && !row.settled && row.wallet == *wallet {
                add(&mut position.unsettled_out, fee)?;
            }
            if row.height.is_none() && row.settled {
                // In the books, and in no block any more: the coins are back until it is in one again.
                for payment in self.store.payments_of_group(&row.group).await? {
                    if payment.wallet == *wallet {
                        add(&mut position.unsettled_in, payment.amount)?;
                    }
                    if payment.destination_wallet == wallet.as_str() {
                        add(&mut position.vanished, payment.amount)?;
                    }
                }
                if row.wallet == *wallet {
                    add(&mut position.unsettled_in, fee)?;
                }
            }
        }
        Ok(())
    }

    /// Compares, and raises or clears the alarm that stops withdrawals. What the chain was asked for counts besides: an alarm ends when
    /// both agree.
    pub(super) async fn watch_books(&self, chain: &ChainCheck) -> Result<(), StepError> {
        for WalletPosition { wallet, difference, .. } in self.positions(false).await? {
            let said = chain.says(&wallet);
            let unknown = said.is_none();
            let difference = difference.or(said.and_then(Result::err));
            let raised = self.store.alarms().await?;
            let raised = raised.iter().find(|alarm| alarm.code == "books-differ" && alarm.subject == wallet.as_str());
            let at = now();
            let step = match (difference, raised) {
                (Some(message), Some(raised)) if raised.message == message => continue,
                (Some(message), _) => Move::new(at)
                    .run(Statement::raise_alarm("books-differ", wallet.as_str(), &message, at))
                    .audit("system", "alarm.books-differ", wallet.as_str(), message),
                (None, Some(_)) if !unknown => Move::new(at)
                    .run(Statement::clear_alarm("books-differ", wallet.as_str(), at))
                    .audit("system", "alarm.cleared", wallet.as_str(), "books-differ"),
                (None, _) => continue,
            };
            self.store.commit(step).await?;
        }
        Ok(())
    }
}
