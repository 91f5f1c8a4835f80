//! Rows of custody: addresses, deposits, coins, payments, transactions. Statements for moves, and questions.

mod addresses;
mod carried;
mod chain;
mod deposits;
mod operators;
mod others;
mod payments;
mod transactions;
mod watched;

pub use addresses::AddressRow;
pub use carried::{CarriedRow, CharterRow};
pub use chain::{CoinRow, CoinState, Origin};
pub use deposits::DepositRow;
pub use operators::{CredentialRow, EnrolmentRow, ProposalRow, SessionRow, WebhookRow};
pub use others::{AlarmRow, AuditRow, EventRow};
pub use payments::{ApprovalRow, PaymentRow};
pub use transactions::{TransactionRow, TransactionState};
pub use watched::WatchedRow;

use types::Moment;

use crate::error::StoreError;

/// Which part of a list is wanted, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Most rows.
    pub limit: u32,
    /// Begin after this row: when it was made, and its name.
    pub after: Option<(Moment, String)>,
}

impl Page {
    /// The first rows.
    pub const fn first(limit: u32) -> Page {
        Page { limit, after: None }
    }

    fn values(&self) -> [crate::Value; 3] {
        // After the end of time stands everything.
        let (at, id) = self.after.clone().unwrap_or((Moment::from_micros(i64::MAX), String::new()));
        [at.into(), id.into(), i64::from(self.limit).into()]
    }
}

/// Heights are stored as numbers; -1 means: in no block.
fn height(value: i64) -> Result<Option<u32>, StoreError> {
    match value {
        -1 => Ok(None),
        _ => u32::try_from(value).map(Some).map_err(|_| StoreError::Corrupt(format!("height {value}"))),
    }
}

fn flag(value: i64) -> bool {
    value != 0
}
