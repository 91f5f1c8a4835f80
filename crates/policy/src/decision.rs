use std::collections::BTreeMap;

use types::{Amount, AmountError, Body, CustomerId, Instruction, Moment, RefusalCode, WalletId};

use crate::approvals::Counted;
use crate::charter::{Charter, Destinations, PaymentKind, Tier, Window};
use crate::missing::missing_in_tier;
use crate::validity::validity;

/// A payment that was signed before, as it counts towards limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spent {
    /// When.
    pub at: Moment,
    /// From which wallet.
    pub wallet: WalletId,
    /// In which tier.
    pub tier: String,
    /// Payout and share of the fee, in base units.
    pub amount: Amount,
}

/// A destination that a quorum has let into a customer's address book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookEntry {
    /// Whose.
    pub customer: CustomerId,
    /// The address in the chain's notation.
    pub address: String,
    /// When it was let in; it may be paid once the charter's waiting time is over.
    pub since: Moment,
}

/// When everything that a tier asks for was first there. A wait belongs to one instruction in one tier: what a weaker tier waited for
/// says nothing about the people whom a stronger one asks.
#[derive(Clone, Copy, Debug)]
pub enum Waits<'a> {
    /// Somebody else counts waits: they are left out here.
    Elsewhere,
    /// By tier; one that is not named begins now.
    Since(&'a BTreeMap<String, Moment>),
}

/// Everything that a decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The charter in force.
    pub charter: &'a Charter,
    /// What is asked.
    pub instruction: &'a Instruction,
    /// The approvals that count.
    pub counted: &'a Counted,
    /// Whether the customer's own signature was verified.
    pub customer_signed: bool,
    /// What was signed before.
    pub spent: &'a [Spent],
    /// Destinations that a quorum has let in.
    pub book: &'a [BookEntry],
    /// Which tiers' waits have begun.
    pub waits: Waits<'a>,
    /// This instruction's share of the fee.
    pub fee_share: Amount,
    /// The time.
    pub now: Moment,
}

/// The answer, with every step that led to it in words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The answer.
    pub outcome: Outcome,
    /// One line per rule that was looked at.
    pub trace: Vec<String>,
    /// Tiers that have everything but time, whose wait begins now and should be written down.
    pub begin: Vec<String>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It may be signed, and counts in this tier.
    Allowed {
        /// The tier's name.
        tier: String,
    },
    /// It may be signed once people have done what is missing.
    Waiting {
        /// What is missing, one line per way.
        missing: Vec<String>,
    },
    /// It may be signed later, without anybody doing anything: hours and delays pass.
    Later {
        /// The rule's stable name.
        rule: RefusalCode,
        /// When, in words, and other ways that there are.
        reason: String,
    },
    /// It may not be signed.
    Refused {
        /// The rule's stable name.
        rule: RefusalCode,
        /// Why, in words.
        reason: String,
    },
}

/// Decides by the charter. Tiers are tried in the charter's order; the first whose every rule holds is taken.
pub fn decide(question: &Question<'_>) -> Decision {
    let (mut trace, mut begin) = (Vec::new(), Vec::new());
    let outcome = match general(question) {
        Some((rule, reason)) if rule.retry() => Outcome::Later { rule, reason },
        Some((rule, reason)) => Outcome::Refused { rule, reason },
        None => tiers(question, &mut trace, &mut begin),
    };
    trace.push(match &outcome {
        Outcome::Allowed { tier } => format!("allowed in tier {tier}"),
        Outcome::Waiting { missing } => format!("waits: {}", missing.join("; or ")),
        Outcome::Later { rule, reason } => format!("waits for {rule}: {reason}"),
        Outcome::Refused { rule, reason } => format!("refused by {rule}: {reason}"),
    });
    Decision { outcome, trace, begin }
}

fn general(question: &Question<'_>) -> Option<(RefusalCode, String)> {
    let Question { charter, instruction, now, .. } = *question;
    if let Err(invalid) = validity(charter, instruction, now) {
        return Some((invalid.code, invalid.reason));
    }
    if instruction.amount().is_some_and(Amount::is_zero) {
        return Some((RefusalCode::AmountZero, "it moves nothing".to_owned()));
    }
    let wallet = instruction.wallet().and_then(|id| charter.wallet(id));
    match (wallet, instruction.asset()) {
        (Some(wallet), Some(asset)) if wallet.asset == asset => None,
        (Some(_), Some(_)) => Some((RefusalCode::Asset, "the wallet holds another asset".to_owned())),
        (None, Some(_)) => Some((RefusalCode::Wallet, "the charter knows no such wallet".to_owned())),
        _ => Some((RefusalCode::Kind, "instructions of this kind move no coins".to_owned())),
    }
}

/// Why one tier does not let the instruction through.
enum Obstacle {
    /// Only people are missing.
    Missing(String),
    /// Only time is missing.
    Later(RefusalCode, String),
    /// A rule of the tier stands against it.
    Against(RefusalCode, String),
}

fn tiers(question: &Question<'_>, trace: &mut Vec<String>, begin: &mut Vec<String>) -> Outcome {
    let kind = match question.instruction.body {
        Body::CustomerWithdrawal(_) => PaymentKind::CustomerWithdrawal,
        _ => PaymentKind::OperatorTransfer,
    };
    let mut missing = Vec::new();
    let mut later: Option<(RefusalCode, String)> = None;
    let mut last = (RefusalCode::NoTier, "the charter has no tier for this wallet and kind of payment".to_owned());
    for tier in &question.charter.tiers {
        if Some(&tier.wallet) != question.instruction.wallet() || tier.kind != kind {
            continue;
        }
        match obstacle(question, tier) {
            None => return Outcome::Allowed { tier: tier.name.clone() },
            Some(Obstacle::Missing(what)) => {
                trace.push(format!("tier {}: {what}", tier.name));
                missing.push(format!("tier {} {what}", tier.name));
            }
            Some(Obstacle::Later(rule, reason)) => {
                trace.push(format!("tier {}: {reason}", tier.name));
                // Also where it is closed at this hour: its wait runs meanwhile.
                if tier.delay_seconds > 0 && begun(question, tier).is_none() {
                    begin.push(tier.name.clone());
                }
                later = later.or(Some((rule, format!("tier {} {reason}", tier.name))));
            }
            Some(Obstacle::Against(rule, reason)) => {
                trace.push(format!("tier {}: {reason}", tier.name));
                last = (rule, format!("tier {}: {reason}", tier.name));
            }
        }
    }
    // A wait that has to begin somewhere goes before people who could make it needless.
    match later {
        Some((rule, reason)) => {
            let ways: Vec<String> = std::iter::once(reason).chain(missing).collect();
            Outcome::Later { rule, reason: ways.join("; or ") }
        }
        None if missing.is_empty() => Outcome::Refused { rule: last.0, reason: last.1 },
        None => Outcome::Waiting { missing },
    }
}

fn obstacle(question: &Question<'_>, tier: &Tier) -> Option<Obstacle> {
    let Question { charter, instruction, .. } = *question;
    let counted = &question.counted.in_tier(charter, tier);
    let amount = instruction.amount().unwrap_or(Amount::MAX);
    if amount > tier.amount_max {
        return Some(Obstacle::Against(
            RefusalCode::AmountMax,
            format!(
                "{} is more than {} in one instruction",
                spoken(question, amount),
                spoken(question, tier.amount_max)
            ),
        ));
    }
    if instruction.fee_max().is_none_or(|fee_max| question.fee_share > fee_max) {
        return Some(Obstacle::Against(RefusalCode::FeeMax, "its share of the fee is more than it allows".to_owned()));
    }
    let totals = charter.totals.iter().filter(|total| total.wallet == tier.wallet).map(|total| (total.window, None));
    for (window, name) in tier.windows.iter().map(|window| (*window, Some(tier.name.as_str()))).chain(totals) {
        match used(question, window, &tier.wallet, name) {
            Ok(used) if used <= window.amount_max => {}
            _ => {
                let which = if name.is_some() { RefusalCode::TierWindow } else { RefusalCode::TotalWindow };
                let reason =
                    format!("more than {} within {} seconds", spoken(question, window.amount_max), window.seconds);
                return Some(Obstacle::Against(which, reason));
            }
        }
    }
    if !destination_allowed(question, tier) {
        return Some(Obstacle::Against(
            RefusalCode::Destination,
            "the destination is not on this tier's list".to_owned(),
        ));
    }
    if tier.customer_signature && !question.customer_signed {
        return Some(Obstacle::Against(
            RefusalCode::CustomerSignature,
            "the customer's own signature is missing".to_owned(),
        ));
    }
    if !counted.meets(tier.quorum) {
        return Some(Obstacle::Missing(format!(
            "needs {} people of {} organisations, counted are {} of {}: {}",
            tier.quorum.people,
            tier.quorum.organisations,
            counted.people.len(),
            counted.organisations.len(),
            missing_in_tier(charter, Some(&instruction.requester()), question.counted, tier, question.now)
        )));
    }
    if tier.hours.is_some_and(|hours| !hours.contain(question.now)) {
        return Some(Obstacle::Later(
            RefusalCode::Hours,
            format!("it is closed at {}, and opens by itself", question.now),
        ));
    }
    let delay = i64::try_from(tier.delay_seconds).unwrap_or(i64::MAX);
    let open = begun(question, tier).unwrap_or(question.now).plus_seconds(delay);
    if open > question.now {
        return Some(Obstacle::Later(
            RefusalCode::Delay,
            format!("everything is there; it opens at {open}, if nobody freezes it"),
        ));
    }
    None
}

/// When the wait of a tier began.
fn begun(question: &Question<'_>, tier: &Tier) -> Option<Moment> {
    match question.waits {
        Waits::Elsewhere => Some(Moment::from_micros(i64::MIN)),
        Waits::Since(since) => since.get(&tier.name).copied(),
    }
}

/// An amount in the unit that people speak of.
fn spoken(question: &Question<'_>, amount: Amount) -> String {
    match question.instruction.asset() {
        Some(asset) => format!("{} {}", amount.to_decimal(asset.decimals()), asset.symbol()),
        None => amount.to_string(),
    }
}

/// What would be used within the window, this instruction included.
fn used(question: &Question<'_>, window: Window, wallet: &WalletId, tier: Option<&str>) -> Result<Amount, AmountError> {
    let seconds = i64::try_from(window.seconds).unwrap_or(i64::MAX);
    // What was used under a name that the charter has no more counts in every tier: a new name is no fresh window.
    let known = |name: &str| question.charter.tiers.iter().any(|tier| tier.name == name && tier.wallet == *wallet);
    let counts = |spent: &&Spent| {
        spent.wallet == *wallet
            && tier.is_none_or(|name| spent.tier == name || !known(&spent.tier))
            && spent.at.plus_seconds(seconds) > question.now
    };
    let before = Amount::checked_sum(question.spent.iter().filter(counts).map(|spent| spent.amount))?;
    let this = question.instruction.amount().unwrap_or(Amount::ZERO).checked_add(question.fee_share)?;
    before.checked_add(this)
}

fn destination_allowed(question: &Question<'_>, tier: &Tier) -> bool {
    match (&tier.destinations, &question.instruction.body) {
        (Destinations::Any, Body::CustomerWithdrawal(_)) => true,
        (Destinations::AllowList, Body::CustomerWithdrawal(payment)) => {
            let charter = question.charter;
            let wait = i64::try_from(charter.address_book_seconds).unwrap_or(i64::MAX);
            let listed = charter
                .allow_list
                .iter()
                .any(|allowed| allowed.customer == payment.customer && allowed.address == payment.destination);
            let entered = question.book.iter().any(|entry| {
                entry.customer == payment.customer
                    && entry.address == payment.destination
                    && entry.since.plus_seconds(wait) <= question.now
            });
            listed || entered
        }
        // That the address belongs to that wallet is for whoever can derive it: the signer does, from the descriptor.
        (Destinations::OwnWallets, Body::OperatorTransfer(transfer)) => {
            question.charter.wallet(&transfer.destination_wallet).is_some()
        }
        _ => false,
    }
}

/// The most that `n` signers, of whom `m` must sign, can let through together within a window when each lets through `limit` and
/// `owned` of them belong to an attacker: `(n - owned) * limit / (m - owned)`. None when no limit is left: `m` of them are owned.
pub fn exposure_max(limit: Amount, n: u32, m: u32, owned: u32) -> Option<Amount> {
    let (n, m) = (n.checked_sub(owned)?, m.checked_sub(owned)?);
    limit.units().checked_mul(u128::from(n))?.checked_div(u128::from(m)).map(Amount::from_units)
}
