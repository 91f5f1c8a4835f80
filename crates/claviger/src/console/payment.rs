//! One payment, as somebody has to see it who decides about it.

use askama::Template;
use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use bitcoin::psbt::Psbt;
use orders::PaymentState;
use policy::{Action, Outcome};
use serde::Deserialize;
use store::{PaymentRow, TransactionRow};
use types::{Amount, Instruction, grouped, sentence, words};

use super::frame::{Frame, money, tone};
use super::visit::{Person, Shown, render};
use crate::api::{App, BalanceAnswer};
use crate::custody::now;
use crate::problem::Problem;

pub struct Fact {
    pub name: String,
    pub value: String,
}

pub fn fact(name: &str, value: impl ToString) -> Fact {
    Fact { name: name.to_owned(), value: value.to_string() }
}

pub struct Button {
    pub path: String,
    pub words: String,
}

pub struct Output {
    address: String,
    amount: String,
    what: &'static str,
}

pub struct Try {
    txid: String,
    state: &'static str,
    tone: &'static str,
    words: String,
    outputs: Vec<Output>,
}

/// The page on which people decide: about a payment, or about a proposal.
#[derive(Template)]
#[template(path = "decide.html")]
pub struct DecidePage {
    pub frame: Frame,
    pub title: String,
    pub state: String,
    pub tone: &'static str,
    pub lead: String,
    pub sentence: String,
    pub destination: String,
    pub words: String,
    pub digest: String,
    pub facts: Vec<Fact>,
    pub explanation: Vec<String>,
    pub approvals: Vec<String>,
    pub refused: Vec<String>,
    pub missing: String,
    pub changes: Vec<Fact>,
    pub deciding: bool,
    pub own: bool,
    /// Credentials of this person that the charter names, with spaces between.
    pub credentials: String,
    pub path: String,
    pub stop_path: String,
    pub stop_words: &'static str,
    pub command: String,
    pub buttons: Vec<Button>,
    pub transactions: Vec<Try>,
    pub canonical: String,
}

/// The passkeys with which this person's approvals count.
pub fn credentials(person: &Person) -> String {
    let names: Vec<_> = person.operator.passkeys.iter().map(|passkey| passkey.credential.as_str()).collect();
    names.join(" ")
}

pub async fn page(State(app): State<App>, person: Person, Path(id): Path<String>) -> Result<Response, Shown> {
    let row = app.store.payment(&id).await?.ok_or_else(|| Problem::not_found("payment"))?;
    let broken = |error: String| Problem::new(500, "storage", error);
    let instruction =
        Instruction::from_canonical(row.canonical.as_bytes()).map_err(|error| broken(error.to_string()))?;
    let decision = app.explain_payment(&row, now()).await.map_err(|error| broken(error.to_string()))?;
    let approvals = app.store.approvals(&id).await?.into_iter().map(|approval| approval.operator).collect();
    let tries = if row.group.is_empty() { vec![] } else { app.store.transactions_of_group(&row.group).await? };
    let stoppable = row.state.may_become(PaymentState::Cancelled) && person.may(Action::StopPayment);
    let waiting = row.state == PaymentState::AwaitingApproval;
    let mut buttons = Vec::new();
    if person.may(Action::TendPayments)
        && let Some(last) = tries.last().filter(|row| row.state == store::TransactionState::Broadcast)
    {
        let path = format!("/console/transactions/{}/bump", last.txid);
        buttons.push(Button { path, words: "Pay more fee".to_owned() });
    }
    if stoppable && !waiting {
        buttons.push(Button { path: format!("/console/payments/{id}/stop"), words: "Stop this payment".to_owned() });
    }
    let what = if row.kind == "customer-withdrawal" { "Withdrawal" } else { "Transfer" };
    Ok(render(&DecidePage {
        frame: Frame::new(
            &app,
            &person,
            if what == "Transfer" { "/console/transfers" } else { "/console/withdrawals" },
            true,
        )
        .await?,
        title: what.to_owned(),
        tone: tone(row.state.as_str()),
        lead: row.reason.clone(),
        sentence: sentence(&instruction),
        destination: grouped(&row.destination),
        words: words(&instruction.digest()).join(" "),
        digest: instruction.digest().to_string(),
        facts: facts(&app, &row, &instruction).await?,
        missing: match (&decision.outcome, waiting) {
            (Outcome::Waiting { missing }, true) => missing.join("; or "),
            (Outcome::Later { reason, .. }, true) => reason.clone(),
            _ => String::new(),
        },
        explanation: decision.trace,
        approvals,
        refused: vec![],
        changes: vec![],
        deciding: waiting && person.may(Action::Approve),
        own: row.requester == format!("operator:{}", person.id),
        credentials: credentials(&person),
        path: format!("/console/payments/{id}"),
        stop_path: if stoppable { format!("/console/payments/{id}/stop") } else { String::new() },
        stop_words: "Refuse",
        command: format!("claviger approve {id} --ssh-key YOUR_KEY"),
        buttons,
        transactions: tries.iter().map(|one| decoded(&app, one, &row)).collect(),
        canonical: row.canonical.clone(),
        state: row.state.to_string(),
    }))
}

async fn facts(app: &App, row: &PaymentRow, instruction: &Instruction) -> Result<Vec<Fact>, Shown> {
    let (times, first) = app.store.paid_before(&row.destination).await?;
    let used = match first {
        Some(first) => format!("paid {times} times before, first at {first}"),
        None => "never paid before".to_owned(),
    };
    let mut facts = vec![
        fact("Amount", money(app, row.amount)),
        fact("Network fee at most", money(app, instruction.fee_max().unwrap_or_default())),
        fact("Asked by", &row.requester),
        fact("This address", used),
        fact("Pays from", &row.wallet),
    ];
    for name in [row.requester.clone(), format!("wallet:{}", row.wallet)] {
        let balances = app.store.balances().await?;
        if let Some(balance) = balances.iter().find(|balance| balance.name == name) {
            let shown = BalanceAnswer::new(balance, app.asset);
            let amount = |text: &str| money(app, text.parse::<Amount>().unwrap_or_default());
            let words = format!("{} free, {} held for this and others", amount(&shown.available), amount(&shown.held));
            facts.push(fact(&format!("{name} afterwards"), words));
        }
    }
    if !row.tier.is_empty() {
        facts.push(fact("Tier", &row.tier));
    }
    facts.push(fact("Charter version", instruction.charter));
    facts.push(fact("Valid until", row.expires));
    Ok(facts)
}

/// What a transaction really pays, read from its bytes.
fn decoded(app: &App, row: &TransactionRow, payment: &PaymentRow) -> Try {
    let transaction = Psbt::deserialize(&row.psbt).map(|psbt| psbt.unsigned_tx);
    let outputs = transaction.iter().flat_map(|transaction| &transaction.output).map(|output| {
        let address = chains::bitcoin::address_of(&output.script_pubkey, app.charter.network);
        let address = address.unwrap_or_else(|| output.script_pubkey.to_hex_string());
        let what = if address == payment.destination {
            "this payment"
        } else {
            "another payment of the batch, or change to our own wallet"
        };
        Output { address, amount: money(app, Amount::from_sats(output.value.to_sat())), what }
    });
    Try {
        outputs: outputs.collect(),
        txid: row.txid.clone(),
        state: row.state.as_str(),
        tone: tone(row.state.as_str()),
        words: format!(
            "fee {} satoshis, {} per 1,000 virtual bytes{}",
            row.fee_sats,
            row.rate,
            row.height.map(|height| format!(", in block {height}")).unwrap_or_default()
        ),
    }
}

#[derive(Deserialize)]
pub struct SignatureBody {
    pub signature: String,
}

/// For our script: an assertion over the digest. The session alone approves nothing.
pub async fn approve(
    State(app): State<App>,
    person: Result<Person, Shown>,
    Path(id): Path<String>,
    Json(body): Json<SignatureBody>,
) -> Result<Json<serde_json::Value>, Problem> {
    let person = person.map_err(|Shown(problem)| problem)?;
    let row = app.approve(&id, &person.id, &body.signature, now()).await?;
    Ok(Json(serde_json::json!({"state": row.state.as_str()})))
}

pub async fn stop(State(app): State<App>, person: Person, Path(id): Path<String>) -> Result<Response, Shown> {
    app.allow(&person.id, Action::StopPayment, now()).await?;
    let row = app.store.payment(&id).await?.ok_or_else(|| Problem::not_found("payment"))?;
    app.cancel(row, &format!("operator:{}", person.id), now()).await?;
    Ok(Redirect::to(&format!("/console/payments/{id}")).into_response())
}

pub async fn bump(State(app): State<App>, person: Person, Path(txid): Path<String>) -> Result<Response, Shown> {
    app.allow(&person.id, Action::TendPayments, now()).await?;
    app.bump_now(&txid, &format!("operator:{}", person.id)).await?;
    Ok(Redirect::to("/console/withdrawals").into_response())
}
