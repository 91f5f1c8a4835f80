use orders::PaymentState;
use types::{Amount, Digest, Moment, WalletId};

use super::{Page, flag};
use crate::engine::Row;
use crate::error::StoreError;
use crate::store::{Statement, Store};

/// A withdrawal, or a transfer between our wallets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentRow {
    /// The instruction's identifier.
    pub id: String,
    /// The instruction's kind.
    pub kind: String,
    /// State.
    pub state: PaymentState,
    /// Who asked, such as `customer:alice`.
    pub requester: String,
    /// The asset (CAIP-19).
    pub asset: String,
    /// The wallet that pays.
    pub wallet: WalletId,
    /// The address that is paid.
    pub destination: String,
    /// Our wallet that is paid; empty for an address outside.
    pub destination_wallet: String,
    /// Base units.
    pub amount: Amount,
    /// The instruction's canonical form.
    pub canonical: String,
    /// The customer's own request as JSON; empty for an operator's transfer.
    pub request: String,
    /// Digest of the request's body: another body under the same key is refused.
    pub body_digest: Digest,
    /// Name of the hold in the books: 16 bytes.
    pub hold: Vec<u8>,
    /// From when on nobody may sign it.
    pub expires: Moment,
    /// The tier that lets it go.
    pub tier: String,
    /// Why it is where it is.
    pub reason: String,
    /// The group of tries that pays it; empty as yet.
    pub group: String,
    /// Whether it is to be paid in a transaction of its own.
    pub solo: bool,
    /// When it was asked for.
    pub created: Moment,
    /// When it changed last.
    pub updated: Moment,
}

/// An operator's approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalRow {
    /// Who.
    pub operator: String,
    /// The armoured SSH signature.
    pub signature: String,
    /// When it came.
    pub created: Moment,
}

fn read(row: &mut Row) -> Result<PaymentRow, StoreError> {
    Ok(PaymentRow {
        id: row.text()?,
        kind: row.text()?,
        state: row.parse()?,
        requester: row.text()?,
        asset: row.text()?,
        wallet: row.parse()?,
        destination: row.text()?,
        destination_wallet: row.text()?,
        amount: row.amount()?,
        canonical: row.text()?,
        request: row.text()?,
        body_digest: row.digest()?,
        hold: row.bytes()?,
        expires: row.moment()?,
        tier: row.text()?,
        reason: row.text()?,
        group: row.text()?,
        solo: flag(row.int()?),
        created: row.moment()?,
        updated: row.moment()?,
    })
}

macro_rules! select {
    ($tail:literal) => {
        concat!(
            "SELECT id, kind, state, requester, asset, wallet, destination, destination_wallet, amount, canonical,
             request, body_digest, hold, expires, tier, reason, grp, solo, created, updated FROM payments ",
            $tail
        )
    };
}

impl PaymentRow {
    /// Writes it.
    pub fn insert(&self) -> Statement {
        Statement::new(
            "INSERT INTO payments (id, kind, state, requester, asset, wallet, destination, destination_wallet, amount,
             canonical, request, body_digest, hold, expires, tier, reason, grp, solo, created, updated)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)",
        )
        .bind(self.id.as_str())
        .bind(self.kind.as_str())
        .bind(self.state.as_str())
        .bind(self.requester.as_str())
        .bind(self.asset.as_str())
        .bind(self.wallet.as_str())
        .bind(self.destination.as_str())
        .bind(self.destination_wallet.as_str())
        .bind(self.amount)
        .bind(self.canonical.as_str())
        .bind(self.request.as_str())
        .bind(self.body_digest)
        .bind(self.hold.clone())
        .bind(self.expires)
        .bind(self.tier.as_str())
        .bind(self.reason.as_str())
        .bind(self.group.as_str())
        .bind(i64::from(self.solo))
        .bind(self.created)
        .bind(self.updated)
    }

    /// Brings the row to what this one says, if it is still in the state `from`.
    pub fn update(&self, from: PaymentState) -> Statement {
        Statement::new(
            "UPDATE payments SET state = $3, tier = $4, reason = $5, grp = $6, solo = $7, updated = $8
             WHERE id = $1 AND state = $2",
        )
        .bind(self.id.as_str())
        .bind(from.as_str())
        .bind(self.state.as_str())
        .bind(self.tier.as_str())
        .bind(self.reason.as_str())
        .bind(self.group.as_str())
        .bind(i64::from(self.solo))
        .bind(self.updated)
        .expect(1)
    }
}

impl ApprovalRow {
    /// Takes the place of another one of the same person, if that is still there.
    pub fn replace(&self, payment: &str, before: &ApprovalRow) -> Statement {
        Statement::new(
            "UPDATE approvals SET signature = $4, created = $5 WHERE payment = $1 AND operator = $2 AND signature = $3",
        )
        .bind(payment)
        .bind(self.operator.as_str())
        .bind(before.signature.as_str())
        .bind(self.signature.as_str())
        .bind(self.created)
        .expect(1)
    }

    /// Writes it; one of this person that is there already makes the move fail.
    pub fn insert(&self, payment: &str) -> Statement {
        Statement::new("INSERT INTO approvals (payment, operator, signature, created) VALUES ($1, $2, $3, $4)")
            .bind(payment)
            .bind(self.operator.as_str())
            .bind(self.signature.as_str())
            .bind(self.created)
    }
}

impl Store {
    /// The payment with this identifier.
    pub async fn payment(&self, id: &str) -> Result<Option<PaymentRow>, StoreError> {
        self.fetch(select!("WHERE id = $1"), vec![id.into()]).await?.first_mut().map(read).transpose()
    }

    /// Payments in a state, oldest first.
    pub async fn payments_in(&self, state: PaymentState) -> Result<Vec<PaymentRow>, StoreError> {
        let values = vec![state.as_str().into()];
        self.fetch(select!("WHERE state = $1 ORDER BY created, id"), values).await?.iter_mut().map(read).collect()
    }

    /// Payments in a state of which the audit log says that they had ended, with its word for that: `payment.` and a state.
    pub async fn payments_ended_before(&self, state: PaymentState) -> Result<Vec<(PaymentRow, String)>, StoreError> {
        let sql = "SELECT payments.id, audit.action FROM payments JOIN audit ON audit.subject = payments.id
                   WHERE payments.state = $1 AND audit.action IN
                   ('payment.settled', 'payment.refused', 'payment.cancelled', 'payment.expired') ORDER BY audit.seq";
        let mut ended: Vec<(PaymentRow, String)> = Vec::new();
        for mut row in self.fetch(sql, vec![state.as_str().into()]).await? {
            let (id, action) = (row.text()?, row.text()?);
            if ended.iter().all(|(payment, _)| payment.id != id)
                && let Some(payment) = self.payment(&id).await?
            {
                ended.push((payment, action));
            }
        }
        Ok(ended)
    }

    /// Payments of a group of tries, in the order of their identifiers.
    pub async fn payments_of_group(&self, group: &str) -> Result<Vec<PaymentRow>, StoreError> {
        let rows = self.fetch(select!("WHERE grp = $1 ORDER BY id"), vec![group.into()]).await?;
        rows.into_iter().map(|mut row| read(&mut row)).collect()
    }

    /// Payments of a wallet that signers may have counted since a moment.
    pub async fn payments_counted(&self, wallet: &WalletId, since: Moment) -> Result<Vec<PaymentRow>, StoreError> {
        let sql = select!(
            "WHERE wallet = $1 AND updated >= $2 AND state IN ('approved', 'generated', 'signed', 'broadcast', 'confirmed', 'settled')"
        );
        let rows = self.fetch(sql, vec![wallet.as_str().into(), since.into()]).await?;
        rows.into_iter().map(|mut row| read(&mut row)).collect()
    }

    /// Payments of a kind, newest first; of one requester unless that is empty.
    pub async fn payments(&self, kind: &str, requester: &str, page: &Page) -> Result<Vec<PaymentRow>, StoreError> {
        let [at, id, limit] = page.values();
        let rows = if requester.is_empty() {
            let sql = select!(
                "WHERE kind = $4 AND (created < $1 OR (created = $1 AND id < $2)) ORDER BY created DESC, id DESC LIMIT $3"
            );
            self.fetch(sql, vec![at, id, limit, kind.into()]).await?
        } else {
            let sql = select!(
                "WHERE kind = $4 AND requester = $5 AND (created < $1 OR (created = $1 AND id < $2))
                 ORDER BY created DESC, id DESC LIMIT $3"
            );
            self.fetch(sql, vec![at, id, limit, kind.into(), requester.into()]).await?
        };
        rows.into_iter().map(|mut row| read(&mut row)).collect()
    }

    /// Approvals of a payment.
    pub async fn approvals(&self, payment: &str) -> Result<Vec<ApprovalRow>, StoreError> {
        let sql = "SELECT operator, signature, created FROM approvals WHERE payment = $1 ORDER BY created, operator";
        let rows = self.fetch(sql, vec![payment.into()]).await?;
        let read =
            |mut row: Row| Ok(ApprovalRow { operator: row.text()?, signature: row.text()?, created: row.moment()? });
        rows.into_iter().map(read).collect()
    }
}
