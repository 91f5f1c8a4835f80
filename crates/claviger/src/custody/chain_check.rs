//! The chain is asked, coin by coin, whether it has what our record says: by itself at every block, some coins in each round, so that
//! payments wait for none of it.
//!
//! What the chain has beside our record is found by the other comparison: such a coin is in the books, or nobody was credited for it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bitcoin::{OutPoint, TxOut};
use store::CoinRow;
use types::WalletId;

use super::{Custody, StepError, blocking};

/// Most coins that one round asks for.
const ROUND_MAX: usize = 200;

/// What the chain was asked so far.
#[derive(Debug, Default)]
pub struct ChainCheck {
    /// The newest block when this pass began.
    tip: String,
    /// Coins that this pass has not asked for yet.
    waiting: VecDeque<CoinRow>,
    /// The coin that was asked for last: the next pass begins behind it, so that fast blocks leave none out for ever.
    last: String,
    /// Coins that the chain does not have as our record has them.
    absent: BTreeMap<String, (WalletId, String)>,
    /// Whether a pass came to its end since this process began: before, nothing is known of what the one before found.
    whole: bool,
    /// Whether something was found, or found to be right again, since it was last said.
    changed: bool,
}

impl ChainCheck {
    /// Whether coins are left to ask for.
    pub fn is_under_way(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether a wallet was found to be right as far as it was asked for: none as long as nobody knows.
    pub fn says(&self, wallet: &WalletId) -> Option<Result<(), String>> {
        let mut found = self.absent.values().filter(|(whose, _)| whose == wallet).map(|(_, words)| words);
        let Some(first) = found.next() else { return self.whole.then_some(Ok(())) };
        let more = match found.count() {
            0 => String::new(),
            more => format!("; and {more} more like it"),
        };
        Some(Err(format!("the chain does not have what our record of coins says: {first}{more}")))
    }

    /// A new block: compares books and coins, and begins to ask the chain for every coin.
    pub async fn begin(&mut self, custody: &Custody) -> Result<(), StepError> {
        let Some((_, tip)) = custody.store.blocks().await?.pop() else { return Ok(()) };
        let mut coins = custody.store.unspent_coins().await?;
        coins.retain(|coin| coin.height.is_some());
        coins.sort_by(|a, b| a.id.cmp(&b.id));
        let known: BTreeSet<&str> = coins.iter().map(|coin| coin.id.as_str()).collect();
        self.absent.retain(|id, _| known.contains(id.as_str()));
        let behind = coins.partition_point(|coin| coin.id <= self.last);
        coins.rotate_left(behind);
        // What was wrong before is looked at again first. The order of the others stays as it is.
        coins.sort_by_key(|coin| !self.absent.contains_key(&coin.id));
        (self.tip, self.waiting) = (tip, coins.into());
        if self.waiting.is_empty() {
            self.whole = true;
        }
        custody.watch_books(self).await
    }

    /// Asks for some of the coins that are left.
    pub async fn go_on(&mut self, custody: &Custody) -> Result<(), StepError> {
        if blocking(|| custody.node().chain_info())?.tip.to_string() != self.tip {
            // The node has blocks that we have not, or the other way round; the next pass begins when we have followed it.
            return Ok(());
        }
        let asked: Vec<CoinRow> = self.waiting.iter().take(ROUND_MAX).cloned().collect();
        let mut found = Vec::with_capacity(asked.len());
        for coin in &asked {
            let outpoint: OutPoint =
                coin.id.parse().map_err(|_| StepError::Corrupt(format!("the coin {}", coin.id)))?;
            found.push(blocking(|| custody.node().unspent_in_blocks(&outpoint))?);
        }
        if blocking(|| custody.node().chain_info())?.tip.to_string() != self.tip {
            return Ok(());
        }
        for (coin, output) in asked.iter().zip(&found) {
            self.note(coin, output.as_ref());
        }
        self.waiting.drain(..asked.len().min(self.waiting.len()));
        let first = self.waiting.is_empty() && !self.whole;
        if first || self.changed {
            self.whole |= first;
            custody.watch_books(self).await?;
            self.changed = false;
        }
        Ok(())
    }

    fn note(&mut self, coin: &CoinRow, output: Option<&TxOut>) {
        self.last.clone_from(&coin.id);
        let words = match output {
            Some(output) if output.value.to_sat() == coin.sats => None,
            Some(output) => Some(format!("{} has {}, not {} satoshis", coin.id, output.value.to_sat(), coin.sats)),
            None => Some(format!("{} is spent, or never was", coin.id)),
        };
        self.changed |= match words {
            Some(words) => self.absent.insert(coin.id.clone(), (coin.wallet.clone(), words)).is_none(),
            None => self.absent.remove(&coin.id).is_some(),
        };
    }
}
