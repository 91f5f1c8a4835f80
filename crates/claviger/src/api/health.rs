//! Health, readiness and metrics. Readable without a signature: they name no customer and no address, and asking drives nobody. Customers'
//! listener says no more than whether this system is alive.

use std::fmt::Write as _;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use orders::{DepositState, PaymentState};
use serde::Serialize;

use super::App;
use crate::custody::{READINESS_AGE_SECONDS_MAX, Readiness, now};
use crate::problem::Problem;

/// For customers' listener.
pub fn alive(app: App) -> Router {
    Router::new().route("/health", get(customers_health)).with_state(app)
}

/// For operators' listener.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(app)
}

fn status(well: bool) -> StatusCode {
    if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

async fn customers_health(State(app): State<App>) -> impl IntoResponse {
    let well = app.pulse.health().iter().all(|pipeline| pipeline.well);
    (status(well), if well { "alive\n" } else { "not well; operators' /health says why\n" })
}

/// How this process is.
#[derive(Serialize)]
struct Health {
    /// Whether every pipeline runs.
    well: bool,
    pipelines: Vec<PipelineAnswer>,
    /// What one node alone, believed because somebody accepted it, buys an attacker.
    one_node: Option<&'static str>,
}

#[derive(Serialize)]
struct PipelineAnswer {
    name: &'static str,
    /// Whether it runs, and was heard of in the last five minutes.
    well: bool,
    /// How often it ended by itself since this process began.
    falls: u32,
    /// When it did last.
    fell: Option<String>,
}

async fn health(State(app): State<App>) -> impl IntoResponse {
    let pipelines = app.pulse.health().into_iter().map(|one| PipelineAnswer {
        name: one.name,
        well: one.well,
        falls: one.falls,
        fell: one.fell.map(|at| at.to_string()),
    });
    let pipelines: Vec<_> = pipelines.collect();
    let well = pipelines.iter().all(|one| one.well);
    (status(well), Json(Health { well, pipelines, one_node: app.one_node() }))
}

/// What readiness found.
#[derive(Serialize)]
struct ReadyAnswer {
    ready: bool,
    /// When it was found (RFC 3339); none when nobody has looked yet.
    checked: Option<String>,
    /// How long ago that was.
    age_seconds: Option<i64>,
    database: Option<String>,
    node: Option<String>,
    /// Signers whose canary signature verifies, by the key that is theirs.
    signers: Vec<String>,
    /// What the others said.
    signers_failed: Vec<String>,
}

/// Ready means: books and node answered, and a quorum of signers had made canary signatures, when a pipeline looked last, seconds ago.
async fn ready(State(app): State<App>) -> impl IntoResponse {
    let Some(Readiness { ready, checked, database, node, signers, signers_failed }) = app.readiness() else {
        let (database, node, signers, signers_failed) = (None, None, vec![], vec!["nobody has looked yet".to_owned()]);
        let nothing =
            ReadyAnswer { ready: false, checked: None, age_seconds: None, database, node, signers, signers_failed };
        return (status(false), Json(nothing));
    };
    let age = now().seconds().saturating_sub(checked.seconds());
    let ready = ready && (0..=READINESS_AGE_SECONDS_MAX).contains(&age);
    let (checked, age_seconds) = (Some(checked.to_string()), Some(age));
    (status(ready), Json(ReadyAnswer { ready, checked, age_seconds, database, node, signers, signers_failed }))
}

/// Figures for Prometheus (text format 0.0.4).
async fn metrics(State(app): State<App>) -> Result<impl IntoResponse, Problem> {
    let mut text = String::new();
    // Writing into a String cannot fail.
    let mut gauge = |name: &str, help: &str, rows: Vec<(String, String)>| {
        let _ = writeln!(text, "# HELP claviger_{name} {help}\n# TYPE claviger_{name} gauge");
        for (labels, value) in rows {
            let _ = writeln!(text, "claviger_{name}{labels} {value}");
        }
    };
    let mut rows = Vec::new();
    for state in PaymentState::ALL.iter().filter(|state| state.is_open()) {
        let count = app.store.payments_in(*state).await?.len();
        rows.push((format!("{{state=\"{state}\"}}"), count.to_string()));
    }
    gauge("payments_open", "Payments under way by state.", rows);
    let mut rows = Vec::new();
    for state in [DepositState::Seen, DepositState::Confirming, DepositState::Confirmed, DepositState::Quarantined] {
        let count = app.store.deposits_in(state).await?.len();
        rows.push((format!("{{state=\"{state}\"}}"), count.to_string()));
    }
    gauge("deposits_open", "Deposits under way by state.", rows);
    let alarms = app.store.alarms().await?;
    let mut rows = vec![(String::new(), alarms.len().to_string())];
    rows.extend(alarms.iter().map(|alarm| (format!("{{code=\"{}\"}}", alarm.code), "1".to_owned())));
    rows.dedup();
    gauge("alarms", "Alarms that are raised.", rows);
    let height = app.store.blocks().await?.last().map_or(0, |(height, _)| *height);
    gauge("block_height", "Newest block that is taken into account.", vec![(String::new(), height.to_string())]);
    let rows = app.store.balances().await?.into_iter().filter(|balance| !balance.name.starts_with("customer:")).map(
        |balance| {
            let answer = super::answers::BalanceAnswer::new(&balance, app.asset);
            (format!("{{account=\"{}\"}}", answer.account), answer.available)
        },
    );
    gauge("balance_base_units", "Books of wallets and of the house.", rows.collect());
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text))
}
