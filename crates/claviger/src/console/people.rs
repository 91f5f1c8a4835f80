//! Signers, operators, their passkeys and sessions.

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use policy::Action;
use serde::Deserialize;
use types::Amount;

use super::frame::{Frame, money};
use super::lists::{Cell, Field, FormView, ListPage, Table};
use super::overview::span;
use super::visit::{Alone, Person, Sent, Shown, alone, render};
use crate::api::{App, ask_signers};
use crate::custody::{blocking, now, session_name};

pub async fn signers(State(app): State<App>, person: Person) -> Result<Response, Shown> {
    let answers = blocking(|| ask_signers(&app));
    let keys = app.charter.signers.iter().map(|signer| (signer.id.to_string(), hex::encode(signer.journal_key)));
    let keys: std::collections::BTreeMap<String, String> = keys.collect();
    let amount = |text: &str| money(&app, text.parse::<Amount>().unwrap_or_default());
    let (mut rows, mut limits) = (Vec::new(), Vec::new());
    for answer in answers {
        let state = match (answer.up, answer.latches.is_empty()) {
            (true, true) => Cell::tag("signs", "good"),
            (true, false) => Cell { small: answer.latches.join(", "), ..Cell::tag("frozen", "bad") },
            (false, _) => Cell { small: answer.error.clone().unwrap_or_default(), ..Cell::tag("away", "bad") },
        };
        rows.push(vec![
            Cell::plain(&answer.signer),
            state,
            Cell::mono(&answer.address),
            Cell::number(answer.charter.map_or_else(String::new, |version| version.to_string())),
            Cell::number(answer.journal.map_or_else(String::new, |seq| seq.to_string())),
            Cell::mono(keys.get(&answer.signer).cloned().unwrap_or_default()),
        ]);
        for limit in &answer.limits {
            limits.push(vec![
                Cell::plain(&answer.signer),
                Cell::plain(&limit.wallet),
                Cell::plain(if limit.tier.is_empty() { "all tiers" } else { &limit.tier }),
                Cell::plain(span(limit.seconds)),
                Cell::number(amount(&limit.used)),
                Cell::number(amount(&limit.amount_max)),
                Cell::number(amount(&limit.exposure_max)),
                Cell::number(amount(&limit.exposure_owned_max)),
            ]);
        }
    }
    Ok(render(&ListPage {
        frame: Frame::new(&app, &person, "/console/signers", true).await?,
        title: "Signers",
        lead: "Asked just now. Each signer holds one key of every wallet, its own journal, and its own count of what it let through.",
        forms: vec![],
        tables: vec![
            Table { heads: &["Signer", "State", "Address", "Charter", "Journal", "Journal key"], rows, empty: "The configuration names no signer.", ..Table::default() },
            Table { title: "What each has let through".to_owned(), heads: &["Signer", "Wallet", "Tier", "Within", "Used", "Limit", "All signers together, at most", "With one of them owned"], rows: limits, empty: "No signer answers.", ..Table::default() },
        ],
        notes: vec!["To freeze while this server is down: claviger freeze-direct LATCH REASON, on the machine with its configuration.".to_owned()],
    }))
}

pub async fn operators(State(app): State<App>, person: Person) -> Result<Response, Shown> {
    let path = "/console/operators";
    let now = now();
    let grant = |operator: &policy::Operator| {
        let roles: Vec<_> = operator.roles.iter().map(|role| role.as_str()).collect();
        let review = match operator.review {
            Some(at) if at <= now => Cell { small: at.to_string(), ..Cell::tag("review is due", "wait") },
            Some(at) => Cell::time(at),
            None => Cell::plain("no date"),
        };
        let ends = match operator.expires {
            Some(at) if at <= now => Cell { small: at.to_string(), ..Cell::tag("has ended", "bad") },
            Some(at) => Cell::time(at),
            None => Cell::plain("no end"),
        };
        vec![
            Cell { small: operator.name.clone(), ..Cell::plain(&operator.id) },
            Cell::plain(&operator.organisation),
            Cell::plain(roles.join(", ")),
            Cell::number(operator.keys.len()),
            Cell::number(operator.passkeys.len()),
            ends,
            review,
        ]
    };
    let named: Vec<&str> = app
        .charter
        .operators
        .iter()
        .flat_map(|operator| &operator.passkeys)
        .map(|passkey| passkey.credential.as_str())
        .collect();
    let mut passkeys = Vec::new();
    for row in app.store.credentials().await? {
        let reported = app.store.reported_lost(&row.id).await?;
        let state = match (row.revoked, named.contains(&row.id.as_str())) {
            (Some(at), _) => Cell { small: at.to_string(), ..Cell::tag("revoked", "bad") },
            (None, true) => Cell::tag("signs in and approves", "good"),
            (None, false) => Cell { small: "the next charter can name it".to_owned(), ..Cell::tag("signs in", "wait") },
        };
        let may = row.operator == person.id.as_str() || person.may(Action::RevokeDevice);
        let action = if row.revoked.is_none() && may {
            Cell {
                small: reported.join(", "),
                ..Cell::button("This device is lost", format!("/console/passkeys/{}/lost", row.id))
            }
        } else {
            Cell::plain("")
        };
        passkeys.push(vec![
            Cell::plain(&row.operator),
            state,
            Cell::plain(if row.device_bound { "bound to its device" } else { "may be copied by its owner's account" }),
            Cell { small: row.id, ..Cell::mono(hex::encode(&row.public_key)) },
            Cell::time(row.created),
            action,
        ]);
    }
    let session = |row: store::SessionRow| {
        let open = row.ended.is_none() && row.expires > now;
        let own = row.operator == person.id.as_str();
        let end = if open && (own || person.may(Action::EndSession)) {
            let words = if row.secret == person.session.secret { "this is yours here" } else { "" };
            Cell {
                small: words.to_owned(),
                ..Cell::button("End it", format!("/console/sessions/{}/end", session_name(&row)))
            }
        } else {
            Cell::plain("")
        };
        vec![
            Cell::plain(&row.operator),
            if open { Cell::tag("open", "good") } else { Cell::tag("ended", "plain") },
            Cell::plain(row.source),
            Cell { small: row.terminal, ..Cell::time(row.created) },
            Cell::time(row.seen),
            end,
        ]
    };
    let invite = FormView {
        title: "Invite somebody to enrol a passkey",
        action: format!("{path}/invite"),
        fields: vec![Field::text("operator", "Operator's name in the charter, or in the next one")],
        button: "Make a link",
        note: "The link works once and ends soon. Hand it over in person.",
    };
    Ok(render(&ListPage {
        frame: Frame::new(&app, &person, path, false).await?,
        title: "Operators",
        lead: "Who may do what stands in the charter, signed by a quorum. Rows of this database open pages; they approve nothing.",
        forms: if person.may(Action::Invite) { vec![invite] } else { vec![] },
        tables: vec![
            Table {
                title: "Grants".to_owned(),
                heads: &["Operator", "Organisation", "Roles", "SSH keys", "Passkeys", "Ends", "Review"],
                rows: app.charter.operators.iter().map(grant).collect(),
                empty: "",
                ..Table::default()
            },
            Table {
                title: "Passkeys".to_owned(),
                heads: &["Operator", "State", "Kind", "Public key and credential", "Enrolled", ""],
                rows: passkeys,
                empty: "Nobody has enrolled a passkey yet.",
                ..Table::default()
            },
            Table {
                title: "Newest sessions".to_owned(),
                heads: &["Operator", "State", "From", "Since, and with what", "Last used", ""],
                rows: app.store.sessions(20).await?.into_iter().map(session).collect(),
                empty: "Nobody has signed in yet.",
                ..Table::default()
            },
        ],
        notes: vec![],
    }))
}

#[derive(Deserialize)]
pub struct InviteForm {
    operator: String,
}

pub async fn invite(State(app): State<App>, person: Person, Sent(form): Sent<InviteForm>) -> Result<Response, Shown> {
    let made = app.invite(form.operator.trim(), &person.id, now()).await?;
    let page = Alone::Link { operator: made.operator, link: made.link, expires: made.expires.to_string() };
    Ok(alone("A link to hand over", "", page))
}

pub async fn lost(State(app): State<App>, person: Person, Path(id): Path<String>) -> Result<Response, Shown> {
    app.report_lost(&id, &person.id, now()).await?;
    Ok(Redirect::to("/console/operators").into_response())
}

pub async fn end_session(State(app): State<App>, person: Person, Path(id): Path<String>) -> Result<Response, Shown> {
    app.end_session(&id, &person.id, now()).await?;
    Ok(Redirect::to("/console/operators").into_response())
}
