use types::{Amount, Digest, Moment};

use crate::account::AccountId;
use crate::transfer::{Kind, Transfer, TransferId};

/// A transfer in its place: what the journal keeps, for ever and unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Number, from 1 without gaps.
    pub seq: u64,
    /// The transfer, with its accounts and amount.
    pub transfer: Transfer,
    /// When it was written.
    pub at: Moment,
    /// What it was caused by: an instruction or an outpoint.
    pub cause: Box<str>,
    /// What was held, at the end of a hold; otherwise zero.
    pub held: Amount,
    /// The record before this one of the debited account; 0 for none.
    pub debit_previous: u64,
    /// The record before this one of the credited account; 0 for none.
    pub credit_previous: u64,
    /// The debited account's posted debits and credits afterwards.
    pub debit_after: [Amount; 2],
    /// The credited account's posted debits and credits afterwards.
    pub credit_after: [Amount; 2],
}

/// What the first seal continues.
pub const SEAL_GENESIS: Digest = Digest::from_bytes([0; 32]);

impl Kind {
    /// Its number in storage.
    pub const fn number(self) -> u8 {
        match self {
            Kind::Plain => 0,
            Kind::Pending => 1,
            Kind::Post(_) => 2,
            Kind::Void(_) => 3,
            Kind::Expire(_) => 4,
        }
    }

    /// The hold that it ends.
    pub const fn hold(self) -> Option<TransferId> {
        match self {
            Kind::Plain | Kind::Pending => None,
            Kind::Post(id) | Kind::Void(id) | Kind::Expire(id) => Some(id),
        }
    }

    /// The inverse of the two.
    pub const fn from_parts(number: i64, hold: Option<TransferId>) -> Option<Kind> {
        match (number, hold) {
            (0, None) => Some(Kind::Plain),
            (1, None) => Some(Kind::Pending),
            (2, Some(id)) => Some(Kind::Post(id)),
            (3, Some(id)) => Some(Kind::Void(id)),
            (4, Some(id)) => Some(Kind::Expire(id)),
            _ => None,
        }
    }
}

impl Record {
    /// Posted balances afterwards as 64 bytes: debited account's debits and credits, credited account's debits and credits.
    pub fn after_bytes(&self) -> [u8; 64] {
        let mut bytes = [0; 64];
        let amounts = self.debit_after.iter().chain(&self.credit_after);
        for (slot, amount) in bytes.chunks_exact_mut(16).zip(amounts) {
            slot.copy_from_slice(&amount.to_be_bytes());
        }
        bytes
    }
}

/// Continues the seal over one record: `SHA-256(seal || every field of the record)`. One hash for each transfer.
pub fn seal(before: &Digest, record: &Record) -> Digest {
    let Transfer { id, debit, credit, amount, kind } = &record.transfer;
    let hold = kind.hold().map_or(0, |id| id.0);
    Digest::of(&[
        before.as_bytes(),
        &record.seq.to_be_bytes(),
        &id.0.to_be_bytes(),
        &debit.0.to_be_bytes(),
        &credit.0.to_be_bytes(),
        &amount.to_be_bytes(),
        &[kind.number()],
        &hold.to_be_bytes(),
        &record.held.to_be_bytes(),
        &record.at.micros().to_be_bytes(),
        &record.debit_previous.to_be_bytes(),
        &record.credit_previous.to_be_bytes(),
        &record.after_bytes(),
        record.cause.as_bytes(),
    ])
}

/// Accounts named by number, in the order debit, credit.
impl From<&Record> for [AccountId; 2] {
    fn from(record: &Record) -> [AccountId; 2] {
        [record.transfer.debit, record.transfer.credit]
    }
}
