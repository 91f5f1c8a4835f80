crate::life_cycle! {
    /// The life of a withdrawal or of a transfer between our wallets.
    PaymentState {
        /// Asked for.
        Requested = "requested" => [Held, Refused],
        /// The amount is held on the customer's account.
        Held = "held" => [Screened, Refused, Cancelled, Expired],
        /// Looked at.
        Screened = "screened" => [AwaitingApproval, Approved, Refused, Cancelled, Expired],
        /// People have to approve.
        AwaitingApproval = "awaiting-approval" => [Approved, Refused, Cancelled, Expired],
        /// The charter lets it go.
        Approved = "approved" => [Generated, Refused, Cancelled, Expired, AwaitingApproval],
        /// In a transaction that signers are asked to sign. From here on it can only be paid, or put back by the proof that no
        /// signer ever wrote it down.
        Generated = "generated" => [Signed, Approved, Confirmed],
        /// Signed by a quorum of signers. What is signed can be confirmed whoever gave it to the network.
        Signed = "signed" => [Broadcast, Confirmed],
        /// With the network.
        Broadcast = "broadcast" => [Confirmed],
        /// In a block.
        Confirmed = "confirmed" => [Settled, Broadcast],
        /// In the books, for good.
        Settled = "settled" => [],
        /// Not done, with the reason; what was held is free.
        Refused = "refused" => [],
        /// Taken back by who asked.
        Cancelled = "cancelled" => [],
        /// Not approved in time.
        Expired = "expired" => [],
    }
}

impl PaymentState {
    /// Whether something is still to be done about it.
    pub const fn is_open(self) -> bool {
        !self.next().is_empty()
    }
}

/// Whether a transaction that waits should pay more: it has waited through `waited` blocks, and the fee that confirms soon
/// is higher than the one that it pays. Rates are in satoshis per 1,000 virtual bytes.
pub const fn is_bump_due(waited: u32, patience: u32, paid_rate: u64, wanted_rate: u64) -> bool {
    waited >= patience && wanted_rate > paid_rate
}

/// The rate of a replacement: at least what is wanted, at least a quarter more than before plus what relaying the replacement
/// costs (BIP-125, rule 4), and at most the cap. Nothing when the cap leaves no room.
pub fn bump_rate(paid_rate: u64, wanted_rate: u64, cap: u64) -> Option<u64> {
    let lowest = paid_rate.checked_add(paid_rate / 4)?.checked_add(1_000)?;
    let rate = lowest.max(wanted_rate).min(cap);
    (rate >= paid_rate.checked_add(1_000)?).then_some(rate)
}
