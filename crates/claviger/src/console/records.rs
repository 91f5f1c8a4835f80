//! Pages to read and check: the charter, the audit log, events and webhooks.

use askama::Template;
use audit_log::Entry;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Redirect, Response};
use futures_util::stream;
use policy::{Action, Destinations, PaymentKind, Tier, role_table};
use serde::Deserialize;
use types::{Amount, words};

use super::frame::{Frame, form_key, money, time, tone};
use super::lists::{Cell, Field, FormView, ListPage, Table};
use super::overview::span;
use super::visit::{Person, Sent, Shown, render};
use crate::api::{App, PageQuery};
use crate::custody::{Proposal, WhatIf, now};
use crate::problem::Problem;

#[derive(Template)]
#[template(path = "charter.html")]
struct CharterPage {
    frame: Frame,
    version: u64,
    quorum: String,
    digest: String,
    words: String,
    tiers: Vec<Vec<String>>,
    wallets: Vec<String>,
    asked_customer: String,
    asked_destination: String,
    asked_amount: String,
    asked_approvers: String,
    explanation: Vec<String>,
    outcome: String,
    tone: &'static str,
    roles: Vec<Vec<String>>,
    may_propose: bool,
    editing: bool,
    key: String,
    text: String,
}

#[derive(Default, Deserialize)]
pub struct ExplainQuery {
    #[serde(default)]
    wallet: String,
    #[serde(default)]
    customer: String,
    #[serde(default)]
    destination: String,
    #[serde(default)]
    amount: String,
    #[serde(default)]
    approvers: String,
}

pub async fn charter(
    State(app): State<App>,
    person: Person,
    Query(asked): Query<ExplainQuery>,
) -> Result<Response, Shown> {
    let (mut explanation, mut outcome) = (vec![], String::new());
    if !asked.amount.is_empty() {
        let amount = Amount::from_decimal(asked.amount.trim(), app.asset.decimals())
            .map_err(|error| Problem::invalid("amount", format!("{}: {error}", asked.amount)))?;
        let wanted = WhatIf {
            customer: asked.customer.trim().to_owned(),
            wallet: asked.wallet.clone(),
            amount: amount.to_string(),
            destination: asked.destination.trim().to_owned(),
            approvers: asked.approvers.split([',', ' ']).filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        };
        let answer = app.what_if(&wanted, now()).await?;
        (explanation, outcome) = (answer.explanation, answer.outcome);
    }
    let charter = &app.charter;
    let value: serde_json::Value = serde_json::from_slice(&charter.to_bytes()).unwrap_or_default();
    Ok(render(&CharterPage {
        frame: Frame::new(&app, &person, "/console/charter", false).await?,
        version: charter.version,
        quorum: format!(
            "{} people of {} organisations",
            charter.charter_quorum.people, charter.charter_quorum.organisations
        ),
        digest: charter.digest().to_string(),
        words: words(&charter.digest()).join(" "),
        tiers: charter.tiers.iter().map(|one| tier(&app, one)).collect(),
        wallets: charter.wallets.iter().map(|wallet| wallet.id.to_string()).collect(),
        asked_customer: asked.customer,
        asked_destination: asked.destination,
        asked_amount: asked.amount,
        asked_approvers: asked.approvers,
        tone: tone(&outcome),
        explanation,
        outcome,
        roles: role_table().lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect(),
        may_propose: person.may(Action::ProposeCharter),
        editing: false,
        key: form_key(),
        text: serde_json::to_string_pretty(&value).unwrap_or_default(),
    }))
}

fn tier(app: &App, tier: &Tier) -> Vec<String> {
    let windows: Vec<_> = tier
        .windows
        .iter()
        .map(|window| format!("{} in {}", money(app, window.amount_max), span(window.seconds)))
        .collect();
    let people = match (tier.quorum.people, tier.quorum.organisations) {
        (0, _) => "nobody: automatic".to_owned(),
        (people, organisations) => format!("{people} of {organisations} organisation(s)"),
    };
    let mut times = Vec::new();
    if tier.delay_seconds > 0 {
        times.push(format!("{} after the last approval", span(tier.delay_seconds)));
    }
    if let Some(hours) = &tier.hours {
        times.push(hours.to_string());
    }
    let kind = match tier.kind {
        PaymentKind::CustomerWithdrawal => "withdrawals",
        PaymentKind::OperatorTransfer => "transfers",
    };
    let destinations = match tier.destinations {
        Destinations::Any => "any address",
        Destinations::AllowList => "the address book",
        Destinations::OwnWallets => "our own wallets",
    };
    vec![
        tier.name.clone(),
        format!("{kind} from {}", tier.wallet),
        money(app, tier.amount_max),
        windows.join(", "),
        people,
        destinations.to_owned(),
        if times.is_empty() { "always".to_owned() } else { times.join("; ") },
    ]
}

#[derive(Deserialize)]
pub struct CharterForm {
    base: String,
    key: String,
    charter: String,
}

pub async fn propose_charter(
    State(app): State<App>,
    person: Person,
    Sent(form): Sent<CharterForm>,
) -> Result<Response, Shown> {
    let wanted = Proposal::Charter { charter: form.charter, base: form.base };
    let row = app.propose(&person.id, &form.key, &wanted, now()).await?;
    Ok(Redirect::to(&format!("/console/decisions/{}", row.id)).into_response())
}

struct AuditRow {
    seq: u64,
    at: String,
    actor: String,
    action: String,
    subject: String,
    detail: String,
    hash: String,
    short: String,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    frame: Frame,
    lead: &'static str,
    proof: String,
    tone: &'static str,
    from: String,
    about: String,
    rows: Vec<AuditRow>,
    older: String,
    newer: String,
    /// Number of the entry before the oldest that is shown.
    before: u64,
}

#[derive(Deserialize)]
pub struct AuditQuery {
    #[serde(default)]
    from: String,
    #[serde(default)]
    about: String,
}

/// Entries on a page of the audit log.
const AUDIT_ROWS: u32 = 50;

pub async fn audit(State(app): State<App>, person: Person, Query(asked): Query<AuditQuery>) -> Result<Response, Shown> {
    let from = match asked.from.trim() {
        "" => u64::MAX,
        text => text.parse().map_err(|_| Problem::invalid("from", "an entry's number has digits only"))?,
    };
    let about = asked.about.trim().to_owned();
    let entries = app.store.audit_before(from, &about, AUDIT_ROWS).await?;
    let (tone, proof) = proof(&entries, about.is_empty());
    let encoded: String = about
        .bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    let link = |seq: u64| format!("/console/audit?from={seq}&about={encoded}");
    let full = entries.len() >= usize::try_from(AUDIT_ROWS).unwrap_or(usize::MAX);
    let older = entries.last().filter(|entry| full && entry.seq > 1).map(|entry| link(entry.seq - 1));
    let newer =
        entries.first().filter(|_| from != u64::MAX).map(|entry| link(entry.seq.saturating_add(AUDIT_ROWS.into())));
    let show = |entry: Entry| {
        let hash = entry.hash.to_string();
        AuditRow {
            seq: entry.seq,
            at: time(entry.draft.at),
            actor: entry.draft.actor,
            action: entry.draft.action,
            subject: entry.draft.subject,
            detail: entry.draft.detail,
            short: hash.get(..12).unwrap_or_default().to_owned(),
            hash,
        }
    };
    Ok(render(&AuditPage {
        frame: Frame::new(&app, &person, "/console/audit", false).await?,
        lead: "Who did what, when and why. Each entry holds the hash of the one before it.",
        proof,
        tone,
        before: entries.last().map_or(0, |entry| entry.seq.saturating_sub(1)),
        from: asked.from,
        about,
        rows: entries.into_iter().map(show).collect(),
        older: older.unwrap_or_default(),
        newer: newer.unwrap_or_default(),
    }))
}

/// Recomputes the hash of every entry shown, and the links between neighbours.
fn proof(entries: &[Entry], whole: bool) -> (&'static str, String) {
    for entry in entries {
        if Entry::hash_of(entry.seq, &entry.draft, &entry.previous) != entry.hash {
            return ("bad", format!("Entry {} does not have its hash: somebody wrote into it.", entry.seq));
        }
    }
    let broken = entries.windows(2).find(|pair| matches!(pair, [newer, older] if newer.previous != older.hash));
    match (whole, broken, entries) {
        (true, Some([newer, _]), _) => {
            ("bad", format!("Entry {} does not follow the one before it: the chain is broken.", newer.seq))
        }
        (_, _, []) => ("good", "There is nothing to check.".to_owned()),
        (true, _, [newest, .., oldest]) => (
            "good",
            format!(
                "Recomputed just now: entries {} to {} have their hashes and follow each other. Hash of entry {}: {}",
                oldest.seq, newest.seq, newest.seq, newest.hash
            ),
        ),
        _ => ("good", "Recomputed just now: every entry shown has its hash.".to_owned()),
    }
}

#[derive(Deserialize)]
pub struct ExportQuery {
    #[serde(default)]
    after: u64,
}

/// The log from an entry to its end, as `claviger-verify audit` and `claviger-verify decision` read it: what is shown above, with its
/// proof, on a machine of the reader's own.
pub async fn export(State(app): State<App>, _person: Person, Query(asked): Query<ExportQuery>) -> Response {
    let lines = stream::unfold((app, asked.after), |(app, after)| async move {
        match app.store.audit(after, 500).await {
            Ok(entries) => {
                let last = entries.last()?.seq;
                let text: String = entries.iter().map(|entry| audit_log::to_line(entry) + "\n").collect();
                Some((Ok(text), (app, last)))
            }
            // The download breaks off, and says so; what came holds by itself.
            Err(error) => Some((Err(std::io::Error::other(error)), (app, after))),
        }
    });
    let heads = [
        (header::CONTENT_TYPE, "application/jsonl; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"audit.jsonl\""),
    ];
    (heads, Body::from_stream(lines)).into_response()
}

pub async fn events(State(app): State<App>, person: Person, Query(page): Query<PageQuery>) -> Result<Response, Shown> {
    let newest = app.store.last_event().await?;
    let after = page.number(newest.saturating_sub(50))?;
    let events = app.store.events(after, 50).await?;
    let show = |row: &store::EventRow| {
        vec![
            Cell::number(row.seq),
            Cell::time(row.at),
            Cell::plain(&row.kind),
            Cell::mono(&row.subject),
            Cell::mono(&row.body),
        ]
    };
    let older = after.saturating_sub(50);
    let mut webhooks = Vec::new();
    for webhook in &app.config.webhooks {
        let row =
            app.webhook(&webhook.url).await.map_err(|error| Problem::unavailable("storage", error.to_string()))?;
        let state = match row.failures {
            0 if row.delivered >= newest => Cell::tag("told everything", "good"),
            0 => Cell::tag("under way", "wait"),
            failures => Cell {
                small: format!("{failures} failures; {}; again at {}", row.problem, time(row.next_at)),
                ..Cell::tag("failing", "bad")
            },
        };
        webhooks.push(vec![Cell::mono(row.url), state, Cell::number(row.delivered), Cell::number(newest)]);
    }
    let replay = FormView {
        title: "Tell a webhook again",
        action: "/console/events/replay".to_owned(),
        fields: vec![
            Field::choice("url", "Webhook", app.config.webhooks.iter().map(|webhook| webhook.url.clone()).collect()),
            Field::text("after", "Everything after event"),
        ],
        button: "Tell again",
        note: "Receivers know by webhook-id what they had before.",
    };
    let may_replay = person.may(Action::ReplayEvents) && !app.config.webhooks.is_empty();
    let key = app.webhook_public_key().map(|key| format!("Receivers verify with {key} (Standard Webhooks, Ed25519)."));
    Ok(render(&ListPage {
        frame: Frame::new(&app, &person, "/console/events", false).await?,
        title: "Events",
        lead: "What happened, in order: told to webhooks, and by cursor at /v1/events.",
        forms: if may_replay { vec![replay] } else { vec![] },
        tables: vec![
            Table {
                title: "Webhooks".to_owned(),
                heads: &["Where", "State", "Told up to", "Newest"],
                rows: webhooks,
                empty: "The configuration names no webhook.",
                ..Table::default()
            },
            Table {
                title: "Newest events".to_owned(),
                heads: &["Number", "When", "What", "About", "Body"],
                rows: events.iter().rev().map(show).collect(),
                empty: "Nothing has happened yet.",
                next: if after > 0 { format!("/console/events?after={older}") } else { String::new() },
            },
        ],
        notes: key.into_iter().collect(),
    }))
}

#[derive(Deserialize)]
pub struct ReplayForm {
    url: String,
    after: String,
}

pub async fn replay(State(app): State<App>, person: Person, Sent(form): Sent<ReplayForm>) -> Result<Response, Shown> {
    let after =
        form.after.trim().parse().map_err(|_| Problem::invalid("after", "an event's number has digits only"))?;
    app.replay_events(&form.url, after, &person.id, now()).await?;
    Ok(Redirect::to("/console/events").into_response())
}
