//! Who may decide what: the charter, approvals, quorums, tiers and limits, as pure rules.
//!
//! Trusts nothing but the charter that the caller holds: evidence is verified here, byte for byte. Reads no clock and
//! keeps no state; the caller says what time it is and what was spent.

mod approvals;
mod changes;
mod charter;
mod check;
mod customer;
mod decision;
pub mod http_signature;
mod json;
mod keys;
mod missing;
mod passkey;
mod roles;
mod sshsig;
mod succession;
mod validity;

pub use approvals::{ApprovalRefusal, Counted, KeyPlace, count_approvals, is_apart};
pub use changes::changes;
pub use charter::{
    ActivationCaps, AllowedAddress, Charter, CharterError, Customer, Destinations, FeeCaps, Hours, Operator, Passkey,
    PaymentKind, Quorum, RelyingParty, SignerIdentity, Tier, Wallet, WalletClass, WalletWindow, Window,
};
pub use customer::{CustomerRefusal, WITHDRAWALS_PATH, verify_customer_request, withdrawal_id};
pub use decision::{BookEntry, Decision, Outcome, Question, Spent, Waits, decide, exposure_max};
pub use keys::KeyFault;
pub use missing::{missing, missing_in_tier};
pub use passkey::{PasskeyRefusal, verify as verify_passkey, verify_registration};
pub use roles::{Action, Role, permitted, role_table};
pub use sshsig::verify_ssh;
pub use succession::{SuccessionError, verify_genesis, verify_past_succession, verify_succession};
pub use validity::{FUTURE_SECONDS_MAX, Invalid, validity};
