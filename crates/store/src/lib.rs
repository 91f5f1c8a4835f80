//! Rows in SQLite and PostgreSQL with one set of queries, and the one writer of the books.
//!
//! Trusted with: who asked for what, balances, and what happened. Not trusted with a single coin: signers never ask it, and
//! no private key is ever in it. Whoever writes here as they like can confuse people and stop service, and moves nothing
//! beyond the automatic tier's limit.

mod custody;
mod engine;
mod error;
mod journal;
mod schema;
mod state;
mod store;
mod verify;
mod writer;

pub use custody::{
    AddressRow, AlarmRow, ApprovalRow, AuditRow, CarriedRow, CharterRow, CoinRow, CoinState, CredentialRow, DepositRow,
    EnrolmentRow, EventRow, Origin, Page, PaymentRow, ProposalRow, SessionRow, TransactionRow, TransactionState,
    WatchedRow, WebhookRow,
};
pub use engine::{Location, Row, Value};
pub use error::{CommitError, StoreError};
pub use store::{Balance, Event, Move, Posting, Statement, Store};
