//! What the charter would say: the rules tried on a payment that nobody has asked for.

use policy::{Counted, Decision, Outcome, Question, Spent, Waits, decide};
use serde::{Deserialize, Serialize};
use types::{Amount, Body, Instruction, Moment, Payment, Transfer, WalletId};

use super::{Custody, StepError};
use crate::problem::Problem;

/// A payment that could be asked for.
#[derive(Clone, Debug, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WhatIf {
    /// The customer who would withdraw; empty for a transfer between our wallets.
    #[serde(default)]
    pub customer: String,
    /// The wallet that would pay.
    pub wallet: String,
    /// Base units.
    pub amount: String,
    /// The address, or for a transfer our wallet that would be paid.
    pub destination: String,
    /// Operators who would approve, as if their signatures were there, each by the strongest key that the charter names.
    #[serde(default)]
    pub approvers: Vec<String>,
}

/// The charter's answer.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Explanation {
    /// allowed, waiting or refused.
    pub outcome: String,
    /// The tier that would let it go, or the rule that refuses it.
    pub rule: String,
    /// One line per rule that was looked at.
    pub explanation: Vec<String>,
}

impl From<Decision> for Explanation {
    fn from(decision: Decision) -> Explanation {
        let (outcome, rule) = match decision.outcome {
            Outcome::Allowed { tier } => ("allowed", tier),
            Outcome::Waiting { missing } => ("waiting", missing.join("; or ")),
            Outcome::Later { rule, .. } => ("waiting", rule.to_string()),
            Outcome::Refused { rule, .. } => ("refused", rule.to_string()),
        };
        Explanation { outcome: outcome.to_owned(), rule, explanation: decision.trace }
    }
}

impl Custody {
    /// Payments of a wallet that signers count now, other than one.
    pub(super) async fn spent(
        &self,
        wallet: &WalletId,
        except: &str,
        fee: Amount,
        now: Moment,
    ) -> Result<Vec<Spent>, StepError> {
        let windows = self.charter.tiers.iter().flat_map(|tier| &tier.windows);
        let windows = windows.chain(self.charter.totals.iter().map(|total| &total.window));
        let longest = windows.map(|window| window.seconds).max().unwrap_or(0);
        let since = now.plus_seconds(-i64::try_from(longest).unwrap_or(i64::MAX));
        let counts = self.store.payments_counted(wallet, since).await?.into_iter();
        let spent = counts.filter(|other| other.id != except).map(|other| Spent {
            at: other.updated,
            wallet: other.wallet,
            tier: other.tier,
            // What signers count at most.
            amount: other.amount.checked_add(fee).unwrap_or(Amount::MAX),
        });
        Ok(spent.collect())
    }

    /// Tries the charter on a payment that nobody has asked for. Nothing is stored.
    pub async fn what_if(&self, wanted: &WhatIf, now: Moment) -> Result<Explanation, Problem> {
        let wrong = |field: &str, error: String| Problem::invalid("what-if", format!("{field}: {error}"));
        let amount: Amount =
            wanted.amount.parse().map_err(|error: types::AmountError| wrong("amount", error.to_string()))?;
        let wallet: WalletId =
            wanted.wallet.parse().map_err(|error: types::IdError| wrong("wallet", error.to_string()))?;
        let fee_max = Amount::from_sats(self.config.withdrawals.fee_sats_max);
        let mut counted = Counted::default();
        for name in &wanted.approvers {
            let operator = self.operator(name, now).map_err(|problem| wrong("approvers", problem.detail))?;
            if operator.is(policy::Role::Approver) && !counted.people.contains(&operator.id) {
                counted.people.push(operator.id.clone());
                counted.organisations.insert(operator.organisation.clone());
                if operator.has_bound_key() {
                    counted.device_bound.insert(operator.id.clone());
                }
            }
        }
        let body = if wanted.customer.is_empty() {
            let nobody = "somebody".parse().map_err(|error: types::IdError| wrong("requester", error.to_string()))?;
            Body::OperatorTransfer(Transfer {
                requester: nobody,
                asset: self.asset,
                wallet: wallet.clone(),
                destination_wallet: wanted
                    .destination
                    .parse()
                    .map_err(|error: types::IdError| wrong("destination", error.to_string()))?,
                destination_index: 0,
                destination: String::new(),
                amount,
                fee_max,
            })
        } else {
            chains::bitcoin::parse_address(&wanted.destination, self.charter.network)
                .map_err(|error| wrong("destination", error.to_string()))?;
            Body::CustomerWithdrawal(Payment {
                customer: wanted
                    .customer
                    .parse()
                    .map_err(|error: types::IdError| wrong("customer", error.to_string()))?,
                asset: self.asset,
                wallet: wallet.clone(),
                destination: wanted.destination.clone(),
                amount,
                fee_max,
            })
        };
        let seconds = i64::try_from(self.config.withdrawals.lifetime_seconds).unwrap_or(i64::MAX);
        let instruction = Instruction {
            id: "what-if".parse().map_err(|error: types::IdError| wrong("id", error.to_string()))?,
            created: now.whole_seconds(),
            expires: now.whole_seconds().plus_seconds(seconds),
            charter: self.charter.version,
            body,
        };
        let spent = self.spent(&wallet, "", fee_max, now).await;
        let spent = spent.map_err(|error| Problem::unavailable("storage", error.to_string()))?;
        let decision = decide(&Question {
            charter: &self.charter,
            instruction: &instruction,
            counted: &counted,
            customer_signed: true,
            spent: &spent,
            book: &self.store.address_book().await?,
            waits: Waits::Elsewhere,
            fee_share: fee_max,
            now,
        });
        Ok(decision.into())
    }
}
