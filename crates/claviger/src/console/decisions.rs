//! What people decide together: freezing at once and alone, everything else by a quorum.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use policy::Action;
use serde::Deserialize;
use types::{EVERY_SIGNER, grouped, words};

use super::frame::{Frame, tone};
use super::lists::{Cell, Field, FormView, ListPage, Table};
use super::payment::{Button, DecidePage, SignatureBody, credentials, fact};
use super::visit::{Person, Sent, Shown, render};
use crate::api::{App, ask_signers};
use crate::custody::{Proposal, blocking, now};
use crate::problem::Problem;

#[derive(Deserialize)]
pub struct FreezeForm {
    latch: String,
    reason: String,
}

pub async fn freeze(State(app): State<App>, person: Person, Sent(form): Sent<FreezeForm>) -> Result<Response, Shown> {
    app.freeze_by(&person.id, &form.latch, &form.reason, now()).await?;
    Ok(Redirect::to("/console/signers").into_response())
}

pub async fn list(State(app): State<App>, person: Person) -> Result<Response, Shown> {
    let path = "/console/decisions";
    let mut rows = Vec::new();
    for row in app.store.proposals(100).await? {
        let standing = app.standing(row, now()).await?;
        let row = &standing.row;
        let small = if row.state == "open" { standing.missing.clone() } else { row.outcome.clone() };
        rows.push(vec![
            Cell::time(row.created),
            Cell::state(&row.state, &small),
            Cell::link(&standing.sentence, format!("{path}/{}", row.id)),
            Cell::plain(&row.requester),
            Cell::plain(standing.people.join(", ")),
        ]);
    }
    let mut latches: Vec<String> =
        blocking(|| ask_signers(&app)).into_iter().flat_map(|signer| signer.latches).collect();
    latches.sort();
    latches.dedup();
    let signers =
        std::iter::once(EVERY_SIGNER.to_owned()).chain(app.config.signers.iter().map(|signer| signer.id.clone()));
    let mut forms = Vec::new();
    if person.may(Action::ProposeInstruction) {
        if !latches.is_empty() {
            forms.push(FormView {
                title: "Propose to open a latch",
                action: format!("{path}/unfreeze/propose"),
                fields: vec![
                    Field::key(),
                    Field::choice("latch", "Latch", latches),
                    Field::choice("signer", "At", signers.collect()),
                    Field::text("reason", "Why it may be opened"),
                ],
                button: "Propose",
                note: "A quorum has to agree; who proposes does not count.",
            });
        }
        forms.push(FormView {
            title: "Propose a destination for a customer's address book",
            action: format!("{path}/address-entry/propose"),
            fields: vec![
                Field::key(),
                Field::choice(
                    "customer",
                    "Customer",
                    app.charter.customers.iter().map(|one| one.id.to_string()).collect(),
                ),
                Field::text("address", "Address"),
            ],
            button: "Propose",
            note: "After the quorum it waits as long as the charter says before it can be paid.",
        });
    }
    Ok(render(&ListPage {
        frame: Frame::new(&app, &person, path, true).await?,
        title: "Decisions",
        lead: "What moves no coin and still needs people: latches to open, destinations, charters.",
        forms,
        tables: vec![Table {
            heads: &["Proposed", "State", "What", "By", "Signed by"],
            rows,
            empty: "Nothing was proposed yet.",
            ..Table::default()
        }],
        notes: vec![],
    }))
}

#[derive(Deserialize)]
pub struct ProposeForm {
    key: String,
    #[serde(default)]
    latch: String,
    #[serde(default)]
    signer: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    customer: String,
    #[serde(default)]
    address: String,
}

pub async fn propose(
    State(app): State<App>,
    person: Person,
    Path(what): Path<String>,
    Sent(form): Sent<ProposeForm>,
) -> Result<Response, Shown> {
    let wanted = match what.as_str() {
        "unfreeze" => Proposal::Unfreeze { signer: form.signer, latch: form.latch, reason: form.reason },
        "address-entry" => Proposal::AddressEntry { customer: form.customer, address: form.address.trim().to_owned() },
        _ => return Err(Problem::not_found("kind of proposal").into()),
    };
    let row = app.propose(&person.id, &form.key, &wanted, now()).await?;
    Ok(Redirect::to(&format!("/console/decisions/{}", row.id)).into_response())
}

pub async fn page(State(app): State<App>, person: Person, Path(id): Path<String>) -> Result<Response, Shown> {
    let row = app.store.proposal(&id).await?.ok_or_else(|| Problem::not_found("proposal"))?;
    let standing = app.standing(row, now()).await?;
    let row = standing.row;
    let open = row.state == "open";
    let charter = row.kind == "charter";
    let own = row.requester == format!("operator:{}", person.id);
    let path = format!("/console/decisions/{id}");
    let mut buttons = Vec::new();
    if open && standing.missing.is_empty() && person.may(Action::CarryOut) {
        buttons.push(Button { path: format!("{path}/carry-out"), words: "Carry it out again".to_owned() });
        if charter {
            let words = "Carry it out although payments are being signed, which may then wait for ever";
            buttons.push(Button { path: format!("{path}/force"), words: words.to_owned() });
        }
    }
    let withdrawable = open && (own || person.may(Action::Approve));
    if withdrawable && !person.may(Action::Approve) {
        buttons.push(Button { path: format!("{path}/withdraw"), words: "Take it back".to_owned() });
    }
    let address = serde_json::from_str::<serde_json::Value>(&row.text).ok();
    let address =
        address.and_then(|value| value.get("address")?.as_str().map(grouped)).filter(|_| row.kind == "address-entry");
    let quorum = standing.quorum;
    Ok(render(&DecidePage {
        frame: Frame::new(&app, &person, "/console/decisions", true).await?,
        title: if charter { "Charter change".to_owned() } else { "Decision".to_owned() },
        tone: tone(&row.state),
        lead: row.outcome.clone(),
        sentence: standing.sentence,
        destination: address.unwrap_or_default(),
        words: words(&row.digest).join(" "),
        digest: row.digest.to_string(),
        facts: vec![fact("Kind", &row.kind), fact("Proposed by", &row.requester), fact("Proposed at", row.created)],
        explanation: vec![format!("{} people of {} organisations have to sign", quorum.people, quorum.organisations)],
        approvals: standing.people,
        refused: standing.refused,
        missing: if open { standing.missing } else { String::new() },
        changes: standing.changes.into_iter().map(|(place, change)| fact(&place, change)).collect(),
        deciding: open && person.may(Action::Approve),
        own,
        credentials: credentials(&person),
        path: path.clone(),
        stop_path: if withdrawable { format!("{path}/withdraw") } else { String::new() },
        stop_words: "Refuse",
        command: format!("claviger approve-proposal {id} --ssh-key YOUR_KEY"),
        buttons,
        transactions: vec![],
        canonical: row.text,
        state: row.state,
    }))
}

/// For our script: an assertion over the digest. With enough of them it is carried out at once.
pub async fn approve(
    State(app): State<App>,
    person: Result<Person, Shown>,
    Path(id): Path<String>,
    Json(body): Json<SignatureBody>,
) -> Result<Json<serde_json::Value>, Problem> {
    let person = person.map_err(|Shown(problem)| problem)?;
    let row = app.approve_proposal(&id, &person.id, &body.signature, now()).await?;
    Ok(Json(serde_json::json!({"state": row.state})))
}

pub async fn carry_out(State(app): State<App>, person: Person, Path(id): Path<String>) -> Result<Response, Shown> {
    app.carry_out_proposal(&id, &person.id, false, now()).await?;
    Ok(Redirect::to(&format!("/console/decisions/{id}")).into_response())
}

pub async fn force(State(app): State<App>, person: Person, Path(id): Path<String>) -> Result<Response, Shown> {
    app.carry_out_proposal(&id, &person.id, true, now()).await?;
    Ok(Redirect::to(&format!("/console/decisions/{id}")).into_response())
}

pub async fn withdraw(State(app): State<App>, person: Person, Path(id): Path<String>) -> Result<Response, Shown> {
    app.withdraw_proposal(&id, &person.id, now()).await?;
    Ok(Redirect::to(&format!("/console/decisions/{id}")).into_response())
}
