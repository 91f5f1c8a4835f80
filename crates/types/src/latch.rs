//! Latches: what a signer stops for until a quorum lets it go on.

use std::fmt;
use std::str::FromStr;

use crate::{Asset, CustomerId, WalletId};

/// What a signer has stopped for. In the order of their spellings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Latch {
    /// Everything.
    All,
    /// Every wallet of an asset.
    Asset(Asset),
    /// Started anew; closed until every peer has said what it remembers of this signer.
    AwaitingPeers,
    /// The clock jumped forward.
    Clock,
    /// Withdrawals of a customer.
    Customer(CustomerId),
    /// The journal is older than what a peer remembers.
    JournalBehind,
    /// One wallet.
    Wallet(WalletId),
}

/// A text that names no latch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a latch is \"all\", \"wallet:NAME\", \"asset:NAME\", \"customer:NAME\", \"clock\", \"journal-behind\" or \"awaiting-peers\""
)]
pub struct LatchError;

impl fmt::Display for Latch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Latch::All => f.write_str("all"),
            Latch::Asset(asset) => write!(f, "asset:{asset}"),
            Latch::AwaitingPeers => f.write_str("awaiting-peers"),
            Latch::Clock => f.write_str("clock"),
            Latch::Customer(customer) => write!(f, "customer:{customer}"),
            Latch::JournalBehind => f.write_str("journal-behind"),
            Latch::Wallet(wallet) => write!(f, "wallet:{wallet}"),
        }
    }
}

impl FromStr for Latch {
    type Err = LatchError;

    fn from_str(text: &str) -> Result<Latch, LatchError> {
        match text.split_once(':') {
            None => [Latch::All, Latch::AwaitingPeers, Latch::Clock, Latch::JournalBehind]
                .into_iter()
                .find(|latch| latch.to_string() == text)
                .ok_or(LatchError),
            Some(("asset", name)) => name.parse().map(Latch::Asset).map_err(|_| LatchError),
            Some(("customer", name)) => name.parse().map(Latch::Customer).map_err(|_| LatchError),
            Some(("wallet", name)) => name.parse().map(Latch::Wallet).map_err(|_| LatchError),
            Some(_) => Err(LatchError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Network;

    #[test]
    fn every_latch_has_one_spelling_in_their_order() {
        let latches = [
            Latch::All,
            Latch::Asset(Asset::Bitcoin(Network::Regtest)),
            Latch::AwaitingPeers,
            Latch::Clock,
            Latch::Customer("alice".parse().unwrap()),
            Latch::JournalBehind,
            Latch::Wallet("hot".parse().unwrap()),
        ];
        let spellings = latches.clone().map(|latch| latch.to_string());
        assert!(spellings.is_sorted() && latches.is_sorted(), "{spellings:?}");
        for (latch, spelling) in latches.into_iter().zip(spellings) {
            assert_eq!(spelling.parse(), Ok(latch));
        }
    }

    #[test]
    fn nothing_else_is_a_latch() {
        for text in
            ["", "All", "all ", "wallet", "wallet:", "wallet:No", "asset:btc", "signer:s1", "clock:", "customer:a:b"]
        {
            assert_eq!(text.parse::<Latch>(), Err(LatchError), "{text}");
        }
    }
}
