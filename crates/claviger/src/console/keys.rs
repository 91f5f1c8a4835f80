//! The board of keys: what every signer has, in what state, who can open it, and when it was last tried.

use axum::Form;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use policy::Action;
use serde::Deserialize;
use types::{EVERY_SIGNER, KeyKind, Step};

use super::frame::Frame;
use super::lists::{Cell, Field, FormView, ListPage, Table};
use super::overview::span;
use super::visit::{Person, Shown, render};
use crate::api::{App, KeyAnswer, KeysAnswer, ask_keys};
use crate::custody::{Proposal, blocking, now};

const PATH: &str = "/console/keys";
/// The steps that are proposed here with nothing but a signer and a reason.
const STEPS: [Step; 7] = [
    Step::Backup,
    Step::Rehearse,
    Step::Reseal,
    Step::DeriveAccount,
    Step::Restore,
    Step::SuspendSeed,
    Step::ResumeSeed,
];

/// What a kind of key is called on the board.
fn spoken(kind: &str) -> &'static str {
    match kind.parse() {
        Ok(KeyKind::Signature) => "signature key",
        Ok(KeyKind::Verification) => "verification keys",
        Ok(KeyKind::Sealing) => "sealing key",
        Ok(KeyKind::Seed) => "seed",
        Err(_) => "key",
    }
}

/// What it is, and the device that it is in.
fn kind_and_place(key: &KeyAnswer) -> String {
    match key.device.as_str() {
        "" => spoken(&key.kind).to_owned(),
        device => format!("{} in {device}", spoken(&key.kind)),
    }
}

fn state(key: &KeyAnswer) -> Cell {
    match (key.open, key.state.as_str()) {
        (true, _) => Cell { small: format!("until {}", key.until), ..Cell::tag("open", "good") },
        (false, "inactive") if !key.until.is_empty() => {
            Cell { small: format!("its holders may open it until {}", key.until), ..Cell::tag("closed", "wait") }
        }
        (false, "suspended") => Cell::tag("suspended", "bad"),
        (false, "inactive") => Cell::tag("closed", "plain"),
        (false, other) => Cell::tag(other, "plain"),
    }
}

fn key_row(key: &KeyAnswer) -> Vec<Cell> {
    let by = if key.person.is_empty() { key.cause.clone() } else { format!("{}, {}", key.person, key.cause) };
    let signing = key.kind == KeyKind::Signature.as_str();
    vec![
        Cell::plain(&key.signer),
        Cell { small: kind_and_place(key), ..Cell::mono(&key.name) },
        state(key),
        Cell::plain(if key.wallet.is_empty() { "–" } else { &key.wallet }),
        Cell::number(if signing && !key.until.is_empty() { key.signatures_left.to_string() } else { String::new() }),
        Cell::number(if signing { span(key.active_seconds) } else { String::new() }),
        Cell { small: by, ..Cell::plain(key.since.replace('T', " ").replace('Z', "")) },
    ]
}

fn slots(answer: &KeysAnswer) -> impl Iterator<Item = Vec<Cell>> {
    answer.slots.iter().map(|slot| {
        vec![
            Cell::plain(&answer.signer),
            Cell::plain(if slot.vault == "seed" { "seed" } else { "signature keys" }),
            Cell { small: slot.kind.clone(), ..Cell::plain(&slot.slot) },
            Cell::plain(slot.holders.join(", ")),
            Cell::mono(&slot.sealing_key),
        ]
    })
}

fn last(answer: &KeysAnswer, step: Step) -> Cell {
    match answer.ceremonies.iter().find(|held| held.step == step.as_str()) {
        Some(held) => Cell { small: held.detail.clone(), ..Cell::plain(&held.at) },
        None if answer.offline => Cell::plain(""),
        None => Cell::tag("never", "wait"),
    }
}

fn signer_row(answer: &KeysAnswer) -> Vec<Cell> {
    let here = match (answer.offline, &answer.error) {
        (true, _) => {
            Cell { small: "its board is shown at its own machine".to_owned(), ..Cell::tag("no network", "plain") }
        }
        (false, Some(error)) => Cell { small: error.clone(), ..Cell::tag("away", "bad") },
        (false, None) => Cell::tag("answers", "good"),
    };
    vec![
        Cell::plain(&answer.signer),
        here,
        Cell::plain(answer.custodians.join(", ")),
        last(answer, Step::Backup),
        last(answer, Step::Rehearse),
    ]
}

fn ceremonies(answer: &KeysAnswer) -> impl Iterator<Item = Vec<Cell>> {
    answer.ceremonies.iter().map(|held| {
        vec![
            Cell::plain(&held.at),
            Cell::plain(&answer.signer),
            Cell::plain(&held.step),
            Cell { small: held.cause.clone(), ..Cell::plain(&held.detail) },
            Cell { small: held.terminal.clone(), ..Cell::plain(&held.person) },
        ]
    })
}

fn forms(app: &App) -> Vec<FormView> {
    let signers = || {
        let own = app.charter.signers.iter().map(|signer| signer.id.to_string());
        std::iter::once(EVERY_SIGNER.to_owned()).chain(own).collect::<Vec<_>>()
    };
    let caps = app.charter.activation;
    let number = |name, label, value: u64| Field { value: value.to_string(), ..Field::text(name, label) };
    vec![
        FormView {
            title: "Propose to open the key of a wallet",
            action: format!("{PATH}/propose"),
            fields: vec![
                Field::key(),
                Field { name: "step", value: Step::Activate.to_string(), hidden: true, ..Field::default() },
                Field::choice("wallet", "Wallet", app.charter.wallets.iter().map(|one| one.id.to_string()).collect()),
                Field::choice("signer", "At", signers()),
                number("seconds", "For seconds, at most", caps.seconds_max),
                number("signatures", "For signatures, at most", caps.signatures_max),
                Field::text("reason", "Why"),
            ],
            button: "Propose",
            note: "The key quorum has to agree. Then those who hold what opens it open it at each signer: claviger-signer open.",
        },
        FormView {
            title: "Propose another step",
            action: format!("{PATH}/propose"),
            fields: vec![
                Field::key(),
                Field::choice("step", "Step", STEPS.iter().map(Step::to_string).collect()),
                Field::choice("signer", "At", signers()),
                Field::text("reason", "Why"),
            ],
            button: "Propose",
            note: "Backups, rehearsals, sealing anew, further accounts and restoring are then done by people at the signer's machine.",
        },
    ]
}

/// The board.
pub async fn page(State(app): State<App>, person: Person) -> Result<Response, Shown> {
    let answers = blocking(|| ask_keys(&app));
    let (mut signing, mut others) = (Vec::new(), Vec::new());
    for key in answers.iter().flat_map(|answer| &answer.keys) {
        if key.kind == KeyKind::Signature.as_str() { signing.push(key_row(key)) } else { others.push(key_row(key)) }
    }
    let heads: &[&str] = &["Signer", "Key", "State", "Wallet", "Signatures left", "Open in all", "Since, and by whom"];
    let mut held: Vec<_> = answers.iter().flat_map(ceremonies).collect();
    held.sort_by(|one, two| two.first().map(|cell| &cell.text).cmp(&one.first().map(|cell| &cell.text)));
    Ok(render(&ListPage {
        frame: Frame::new(&app, &person, PATH, true).await?,
        title: "Keys",
        lead: "Asked just now. A key signs only while it is open: a key quorum allows it for a time, and people who do not administer the signer open it.",
        forms: if person.may(Action::ProposeInstruction) { forms(&app) } else { vec![] },
        tables: vec![
            Table {
                title: "Signature keys".to_owned(),
                heads,
                rows: signing,
                empty: "No signer answers.",
                ..Table::default()
            },
            Table {
                title: "Signers, and when their backups were last tried".to_owned(),
                heads: &["Signer", "State", "Custodians", "Last backup", "Last rehearsal"],
                rows: answers.iter().map(signer_row).collect(),
                empty: "The charter names no signer.",
                ..Table::default()
            },
            Table {
                title: "What opens them".to_owned(),
                heads: &["Signer", "Opens", "With", "Holders", "Sealing key"],
                rows: answers.iter().flat_map(slots).collect(),
                empty: "No signer answers.",
                ..Table::default()
            },
            Table {
                title: "Seeds, sealing keys and verification keys".to_owned(),
                heads,
                rows: others,
                empty: "No signer answers.",
                ..Table::default()
            },
            Table {
                title: "Ceremonies".to_owned(),
                heads: &["When", "Signer", "Step", "What came of it", "By"],
                rows: held,
                empty: "None was held yet.",
                ..Table::default()
            },
        ],
        notes: vec![],
    }))
}

#[derive(Deserialize)]
pub struct StepForm {
    key: String,
    step: String,
    signer: String,
    #[serde(default)]
    wallet: String,
    #[serde(default)]
    seconds: u64,
    #[serde(default)]
    signatures: u64,
    reason: String,
}

/// Puts a step before the people.
pub async fn propose(State(app): State<App>, person: Person, Form(form): Form<StepForm>) -> Result<Response, Shown> {
    let wanted = Proposal::KeyStep {
        signer: form.signer,
        step: form.step,
        wallet: form.wallet,
        seconds: form.seconds,
        signatures: form.signatures,
        reason: form.reason,
    };
    let row = app.propose(&person.id, &form.key, &wanted, now()).await?;
    Ok(Redirect::to(&format!("/console/decisions/{}", row.id)).into_response())
}
