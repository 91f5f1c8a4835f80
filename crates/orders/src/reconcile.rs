use types::{Amount, AmountError};

/// What the three sides say about one wallet's asset, in base units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The books: posted debits less posted credits of the wallet's account.
    pub books: Amount,
    /// Confirmed outputs that are not credited (yet, or never): the coins are there, the books do not count them.
    pub uncredited: Amount,
    /// Credited outputs whose block was left by the best chain and whose reversal is still to come.
    pub vanished: Amount,
    /// Payments, with fees, that are confirmed and not in the books yet.
    pub unsettled_out: Amount,
    /// Coins from our other wallets that are confirmed and not in the books yet.
    pub unsettled_in: Amount,
    /// Our record of the wallet's confirmed coins.
    pub coins: Amount,
    /// What nodes say that these coins are worth.
    pub chain: Amount,
}

/// Where the sides part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    /// The books explain another sum than our coins have.
    #[error("the books explain {explained}, our coins are worth {coins}")]
    Books {
        /// What the books and what is on its way add up to.
        explained: Amount,
        /// What our record of coins adds up to.
        coins: Amount,
    },
    /// The chain has another sum than our record of coins.
    #[error("our coins should be worth {coins}, the chain has {chain}")]
    Chain {
        /// What our record of coins adds up to.
        coins: Amount,
        /// What the chain has.
        chain: Amount,
    },
    /// A sum passes the range of amounts: something is very wrong.
    #[error("the sums cannot be right: {0}")]
    Range(AmountError),
}

/// Compares; the error names the first difference.
pub fn reconcile(position: &Position) -> Result<(), Difference> {
    let explained = || {
        let have = position.books.checked_add(position.uncredited)?.checked_add(position.unsettled_in)?;
        have.checked_sub(position.unsettled_out)?.checked_sub(position.vanished)
    };
    let explained = explained().map_err(Difference::Range)?;
    if explained != position.coins {
        return Err(Difference::Books { explained, coins: position.coins });
    }
    if position.coins != position.chain {
        return Err(Difference::Chain { coins: position.coins, chain: position.chain });
    }
    Ok(())
}
