//! What goes out: amounts as base-unit strings with the asset's decimals beside them, times in RFC 3339.

use serde::{Deserialize, Serialize};
use store::{AddressRow, DepositRow, Page, PaymentRow};
use types::{Asset, Moment};
use utoipa::{IntoParams, ToSchema};

use super::limits::{PAGE, PAGE_MAX};
use crate::problem::Problem;

/// Which part of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Most rows, up to 500; 50 if not given.
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub after: Option<String>,
}

impl PageQuery {
    /// Rows of this page.
    pub fn limit(&self) -> u32 {
        self.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX)
    }

    /// The page of a list that is ordered by time.
    pub fn page(&self) -> Result<Page, Problem> {
        let wrong = || Problem::new(400, "cursor", "`after` is not a cursor that this list gave");
        let after = self.after.as_deref().map(|cursor| {
            let (at, id) = cursor.split_once('.').ok_or_else(wrong)?;
            Ok::<_, Problem>((Moment::from_micros(at.parse().map_err(|_| wrong())?), id.to_owned()))
        });
        Ok(Page { limit: self.limit(), after: after.transpose()? })
    }

    /// The number after which a numbered list goes on.
    pub fn number(&self, start: u64) -> Result<u64, Problem> {
        let wrong = |_| Problem::new(400, "cursor", "`after` is not a cursor that this list gave");
        self.after.as_deref().map_or(Ok(start), |cursor| cursor.parse().map_err(wrong))
    }
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct List<T> {
    /// Rows.
    pub items: Vec<T>,
    /// Give this as `after` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl<T> List<T> {
    /// A page with the cursor of its last row, if the page is full.
    pub fn new<R>(rows: Vec<R>, limit: u32, cursor: impl Fn(&R) -> String, show: impl Fn(R) -> T) -> List<T> {
        let full = rows.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
        let next = rows.last().filter(|_| full).map(cursor);
        List { items: rows.into_iter().map(show).collect(), next }
    }
}

/// A cursor of a list that is ordered by time.
pub fn cursor(created: Moment, id: &str) -> String {
    format!("{}.{id}", created.micros())
}

/// An asset.
#[derive(Debug, Serialize, ToSchema)]
pub struct AssetAnswer {
    /// CAIP-19 identifier.
    pub asset: String,
    /// The unit that people speak of.
    pub symbol: String,
    /// Digits after the point of that unit.
    pub decimals: u8,
}

impl From<Asset> for AssetAnswer {
    fn from(asset: Asset) -> AssetAnswer {
        AssetAnswer { asset: asset.to_string(), symbol: asset.symbol().to_owned(), decimals: asset.decimals() }
    }
}

/// An account of the books.
#[derive(Debug, Serialize, ToSchema)]
pub struct BalanceAnswer {
    /// The account.
    pub account: String,
    /// CAIP-19 identifier.
    pub asset: String,
    /// Digits after the point.
    pub decimals: u8,
    /// What can be used now, in base units.
    pub available: String,
    /// What is held for payments under way, in base units.
    pub held: String,
    /// Everything that ever came, in base units.
    pub credits: String,
    /// Everything that ever left, in base units.
    pub debits: String,
}

impl BalanceAnswer {
    /// An account as it is shown.
    pub fn new(balance: &store::Balance, asset: Asset) -> BalanceAnswer {
        let counters = &balance.account.counters;
        let wallet = balance.name.starts_with("wallet:");
        let available = if wallet {
            counters.debits_posted.checked_sub(counters.credits_posted).ok()
        } else {
            balance.account.available()
        };
        let held = if wallet { counters.credits_pending } else { counters.debits_pending };
        BalanceAnswer {
            account: balance.name.clone(),
            asset: balance.asset.clone(),
            decimals: asset.decimals(),
            available: available.unwrap_or_default().to_string(),
            held: held.to_string(),
            credits: counters.credits_posted.to_string(),
            debits: counters.debits_posted.to_string(),
        }
    }
}

/// An address.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AddressAnswer {
    /// In the chain's notation.
    pub address: String,
    /// The wallet.
    pub wallet: String,
    /// Derivation index on the receiving branch: `claviger-verify address` derives it again.
    pub index: u32,
    /// The owner's own words.
    pub label: String,
    /// When it was made.
    pub created: String,
}

impl From<&AddressRow> for AddressAnswer {
    fn from(row: &AddressRow) -> AddressAnswer {
        AddressAnswer {
            address: row.address.clone(),
            wallet: row.wallet.to_string(),
            index: row.index,
            label: row.label.clone(),
            created: row.created.to_string(),
        }
    }
}

/// A deposit.
#[derive(Debug, Serialize, ToSchema)]
pub struct DepositAnswer {
    /// Its outpoint.
    pub id: String,
    /// CAIP-19 identifier.
    pub asset: String,
    /// Digits after the point.
    pub decimals: u8,
    /// Base units.
    pub amount: String,
    /// seen, confirming, confirmed, screened, credited, replaced, reorged, quarantined or ignored.
    pub state: String,
    /// Why it is where it is, when that needs saying.
    pub reason: String,
    /// The address that it pays.
    pub address: String,
    /// Whose it is.
    pub owner: String,
    /// Height of its block.
    pub height: Option<u32>,
    /// Confirmations that it needs.
    pub confirmations_required: u32,
    /// When it was first seen.
    pub created: String,
    /// When it changed last.
    pub updated: String,
}

impl DepositAnswer {
    /// A deposit as it is shown.
    pub fn new(row: DepositRow, asset: Asset) -> DepositAnswer {
        DepositAnswer {
            id: row.id,
            asset: row.asset,
            decimals: asset.decimals(),
            amount: row.amount.to_string(),
            state: row.state.to_string(),
            reason: row.reason,
            address: row.address,
            owner: row.owner,
            height: row.height,
            confirmations_required: row.required,
            created: row.created.to_string(),
            updated: row.updated.to_string(),
        }
    }
}

/// A withdrawal or a transfer.
#[derive(Debug, Serialize, ToSchema)]
pub struct PaymentAnswer {
    /// The instruction's identifier.
    pub id: String,
    /// customer-withdrawal or operator-transfer.
    pub kind: String,
    /// held, screened, awaiting-approval, approved, generated, signed, broadcast, confirmed, settled, refused, cancelled or expired.
    pub state: String,
    /// Why it is where it is, when that needs saying.
    pub reason: String,
    /// Who asked.
    pub requester: String,
    /// CAIP-19 identifier.
    pub asset: String,
    /// Digits after the point.
    pub decimals: u8,
    /// Base units.
    pub amount: String,
    /// The address that is paid.
    pub destination: String,
    /// The wallet that pays.
    pub wallet: String,
    /// The tier that let it go.
    pub tier: String,
    /// Transaction that pays it, once there is one.
    pub txid: Option<String>,
    /// From when on nobody may sign it.
    pub expires: String,
    /// When it was asked for.
    pub created: String,
    /// When it changed last.
    pub updated: String,
}

impl PaymentAnswer {
    /// A payment as it is shown.
    pub fn new(row: PaymentRow, asset: Asset, txid: Option<String>) -> PaymentAnswer {
        PaymentAnswer {
            id: row.id,
            kind: row.kind,
            state: row.state.to_string(),
            reason: row.reason,
            requester: row.requester,
            asset: row.asset,
            decimals: asset.decimals(),
            amount: row.amount.to_string(),
            destination: row.destination,
            wallet: row.wallet.to_string(),
            tier: row.tier,
            txid: txid.or(Some(row.group).filter(|group| !group.is_empty())),
            expires: row.expires.to_string(),
            created: row.created.to_string(),
            updated: row.updated.to_string(),
        }
    }
}

/// An approver's view of a payment: everything that is decided, and what is missing.
#[derive(Debug, Serialize, ToSchema)]
pub struct InstructionAnswer {
    /// The payment.
    pub payment: PaymentAnswer,
    /// The canonical form: what `claviger-verify instruction` reads.
    pub canonical: String,
    /// What approvals are made over.
    pub digest: String,
    /// The sentence that people read.
    pub sentence: String,
    /// Six words of the digest, for comparing across screens.
    pub words: String,
    /// The charter's reasoning now.
    pub explanation: Vec<String>,
    /// Who has approved.
    pub approvals: Vec<String>,
    /// Every try at paying it.
    pub transactions: Vec<TransactionAnswer>,
}

/// A try.
#[derive(Debug, Serialize, ToSchema)]
pub struct TransactionAnswer {
    /// Its identifier.
    pub txid: String,
    /// generated, signed, broadcast, confirmed, replaced or dissolved.
    pub state: String,
    /// Satoshis.
    pub fee_sats: u64,
    /// Satoshis per 1,000 virtual bytes.
    pub rate: u64,
    /// Height of its block.
    pub height: Option<u32>,
    /// The PSBT (BIP-174), hexadecimal: what `claviger-verify transaction` decodes.
    pub psbt: String,
}

impl From<store::TransactionRow> for TransactionAnswer {
    fn from(row: store::TransactionRow) -> TransactionAnswer {
        TransactionAnswer {
            txid: row.txid,
            state: row.state.as_str().to_owned(),
            fee_sats: row.fee_sats,
            rate: row.rate,
            height: row.height,
            psbt: hex::encode(row.psbt),
        }
    }
}
