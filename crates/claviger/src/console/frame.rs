//! What stands around every page: who is here, where one can go, what is frozen.

use types::Amount;

use super::visit::{Person, Shown};
use crate::api::{App, ask_signers};
use crate::custody::blocking;

/// The frame of a page.
pub struct Frame {
    pub operator: String,
    pub roles: String,
    pub network: String,
    pub relying_party: String,
    /// Number of the newest event, for pages that come again when there is a newer one; 0 for those that do not.
    pub live: u64,
    /// Latches that can be closed, besides all.
    pub latches: Vec<String>,
    /// Latches that are closed somewhere.
    pub frozen: Vec<String>,
    pub pages: Vec<Link>,
}

/// A way to another page.
pub struct Link {
    pub path: &'static str,
    pub name: &'static str,
    pub here: bool,
    pub count: usize,
}

const PAGES: [(&str, &str); 13] = [
    ("/console", "Overview"),
    ("/console/withdrawals", "Withdrawals"),
    ("/console/transfers", "Transfers"),
    ("/console/decisions", "Decisions"),
    ("/console/deposits", "Deposits"),
    ("/console/wallets", "Wallets"),
    ("/console/books", "Books"),
    ("/console/signers", "Signers"),
    ("/console/keys", "Keys"),
    ("/console/operators", "Operators"),
    ("/console/charter", "Charter"),
    ("/console/audit", "Audit log"),
    ("/console/events", "Events"),
];

impl Frame {
    /// The frame of the page at `here`.
    pub async fn new(app: &App, person: &Person, here: &str, live: bool) -> Result<Frame, Shown> {
        let waiting = app.store.payments_in(orders::PaymentState::AwaitingApproval).await?;
        let counted = |kind: &str| waiting.iter().filter(|payment| payment.kind == kind).count();
        let open = app.store.proposals(200).await?.iter().filter(|row| row.state == "open").count();
        let count = |path: &str| match path {
            "/console/withdrawals" => counted("customer-withdrawal"),
            "/console/transfers" => counted("operator-transfer"),
            "/console/decisions" => open,
            _ => 0,
        };
        let link =
            |(path, name): (&'static str, &'static str)| Link { path, name, here: path == here, count: count(path) };
        let mut latches: Vec<String> =
            app.charter.wallets.iter().map(|wallet| format!("wallet:{}", wallet.id)).collect();
        latches.push(format!("asset:{}", app.asset));
        latches.extend(app.charter.customers.iter().map(|customer| format!("customer:{}", customer.id)));
        latches.extend(app.config.signers.iter().map(|signer| format!("signer:{}", signer.id)));
        let mut frozen = Vec::new();
        for signer in blocking(|| ask_signers(app)) {
            frozen.extend(signer.latches.into_iter().map(|latch| format!("{latch} at {}", signer.signer)));
        }
        let roles: Vec<_> = person.operator.roles.iter().map(|role| role.as_str()).collect();
        Ok(Frame {
            operator: person.id.to_string(),
            roles: roles.join(", "),
            network: app.charter.network.to_string(),
            relying_party: app.charter.relying_party.id.clone(),
            // At least 1: an empty house has pages too.
            live: if live { app.store.last_event().await?.max(1) } else { 0 },
            latches,
            frozen,
            pages: PAGES.into_iter().map(link).collect(),
        })
    }
}

/// An amount in the unit that people speak of, with its symbol.
pub fn money(app: &App, amount: Amount) -> String {
    format!("{} {}", amount.to_decimal(app.asset.decimals()), app.asset.symbol())
}

/// How a state is coloured.
pub fn tone(state: &str) -> &'static str {
    match state {
        "settled" | "credited" | "done" | "allowed" | "confirmed" => "good",
        "refused" | "cancelled" | "expired" | "quarantined" | "reorged" | "replaced" | "withdrawn" | "dissolved" => {
            "bad"
        }
        "awaiting-approval" | "open" | "waiting" => "wait",
        _ => "plain",
    }
}

/// A name for a form that is sent once, however often its button is pressed.
pub fn form_key() -> String {
    let mut bytes = [0; 12];
    // A form without a fresh name is refused as a repetition; better than no page.
    let _ = getrandom::fill(&mut bytes);
    hex::encode(bytes)
}

/// A moment for people: UTC, without the letters between.
pub fn time(at: types::Moment) -> String {
    at.to_string().replace('T', " ").replace('Z', "")
}
