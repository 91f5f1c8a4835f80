use types::Amount;

crate::life_cycle! {
    /// The life of one output that pays us.
    DepositState {
        /// In a transaction that waits for a block.
        Seen = "seen" => [Confirming, Replaced],
        /// In a block, with too few blocks on top.
        Confirming = "confirming" => [Confirmed, Reorged],
        /// Deep enough.
        Confirmed = "confirmed" => [Screened, Quarantined, Ignored, Reorged],
        /// Looked at, and fit to be credited.
        Screened = "screened" => [Credited, Quarantined, Reorged],
        /// In the owner's balance.
        Credited = "credited" => [Reorged],
        /// Its transaction was replaced before it was in a block. It can still come.
        Replaced = "replaced" => [Seen, Confirming],
        /// Its block was left by the best chain. It can come back.
        Reorged = "reorged" => [Seen, Confirming, Replaced],
        /// Set aside until people have decided.
        Quarantined = "quarantined" => [Screened, Reorged],
        /// Recorded, and never credited.
        Ignored = "ignored" => [Reorged],
    }
}

/// How many confirmations amounts up to a bound need; the last rule's bound is ignored, so that every amount has a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmations(pub Vec<(Amount, u32)>);

/// Blocks on top of a coinbase before it can be spent, its own included (BIP-34 era consensus: 100 more).
const COINBASE_MATURITY: u32 = 101;

impl Confirmations {
    /// Confirmations that an amount needs; a coinbase needs to be mature as well. Without any rule, six.
    pub fn required(&self, amount: Amount, coinbase: bool) -> u32 {
        let rule = self.0.iter().find(|(bound, _)| amount <= *bound).or(self.0.last());
        let required = rule.map_or(6, |(_, count)| (*count).max(1));
        if coinbase { required.max(COINBASE_MATURITY) } else { required }
    }
}

/// What is known about a deposit when it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepositFacts {
    /// Its state.
    pub state: DepositState,
    /// Height of its block, if it is in one of the best chain.
    pub height: Option<u32>,
    /// Height of the best chain.
    pub tip: u32,
    /// Confirmations that it needs.
    pub required: u32,
}

/// Whether depth moves a deposit on, and where to.
pub fn next_deposit_state(facts: &DepositFacts) -> Option<DepositState> {
    let depth = facts.height.map_or(0, |height| (facts.tip + 1).saturating_sub(height));
    match facts.state {
        DepositState::Confirming if depth >= facts.required => Some(DepositState::Confirmed),
        _ => None,
    }
}

/// What is looked at before a deposit is credited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screening<'a> {
    /// How much it is.
    pub amount: Amount,
    /// What is too little to be worth its own spending.
    pub amount_min: Amount,
    /// Whose address it pays: empty when the address was never given to anyone.
    pub owner: &'a str,
    /// Whether the operators have stopped crediting to this owner.
    pub held: bool,
}

/// Where screening moves a deposit, with the reason when it is not credited.
pub fn screen(facts: &Screening<'_>) -> (DepositState, &'static str) {
    if facts.amount < facts.amount_min {
        return (DepositState::Ignored, "dust: less than its own spending would cost");
    }
    if facts.owner.is_empty() {
        return (DepositState::Quarantined, "the address was never given to anyone");
    }
    if facts.held {
        return (DepositState::Quarantined, "crediting to this owner is stopped");
    }
    (DepositState::Screened, "")
}
