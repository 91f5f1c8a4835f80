//! Health, readiness and metrics. Readable without a signature: they name no customer and no address.

use std::fmt::Write as _;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use bitcoin::secp256k1::{Message, PublicKey, Secp256k1, ecdsa::Signature};
use orders::{DepositState, PaymentState};
use serde::Serialize;
use signer_wire::{ReplyBody, RequestBody};

use super::App;
use crate::custody::{blocking, explain};
use crate::problem::Problem;

pub fn router(app: App) -> Router {
    Router::new()
        .route("/health", get(async || "alive\n"))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(app)
}

/// What readiness found.
#[derive(Serialize)]
struct Readiness {
    ready: bool,
    database: Option<String>,
    node: Option<String>,
    /// Signers whose canary signature verifies.
    signers: Vec<String>,
    /// What the others said.
    signers_failed: Vec<String>,
}

/// Ready means: the books answer, the node answers, and a quorum of signers made a canary signature just now.
async fn ready(State(app): State<App>) -> impl IntoResponse {
    let database = app.store.balances().await.err().map(explain);
    let node = blocking(|| app.node().chain_info()).err().map(explain);
    let (signers, signers_failed) = blocking(|| canaries(&app));
    let threshold = app.wallets().map(|(_, wallet)| wallet.threshold()).max().unwrap_or(1);
    let ready = database.is_none() && node.is_none() && signers.len() >= threshold;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, database, node, signers, signers_failed }))
}

fn canaries(app: &App) -> (Vec<String>, Vec<String>) {
    let mut challenge = [0; 16];
    let (mut signed, mut failed) = (vec![], vec![]);
    if getrandom::fill(&mut challenge).is_err() {
        return (signed, vec!["no randomness".to_owned()]);
    }
    let challenge = hex::encode(challenge);
    for (client, config) in app.signers().iter_mut().zip(&app.config.signers) {
        match client.call(RequestBody::Canary { challenge: challenge.clone() }) {
            Ok(ReplyBody::Canary { public_key, signature }) if verified(&challenge, &public_key, &signature) => {
                signed.push(config.id.clone());
            }
            Ok(_) => failed.push(format!("{}: its canary signature does not verify", config.id)),
            Err(error) => failed.push(format!("{}: {}", config.id, explain(error))),
        }
    }
    (signed, failed)
}

fn verified(challenge: &str, public_key: &str, signature: &str) -> bool {
    let digest = types::Digest::of(&[b"claviger-canary-v1\n", challenge.as_bytes()]);
    let key = hex::decode(public_key).ok().and_then(|bytes| PublicKey::from_slice(&bytes).ok());
    let signature = hex::decode(signature).ok().and_then(|bytes| Signature::from_der(&bytes).ok());
    let (Some(key), Some(signature)) = (key, signature) else { return false };
    let message = Message::from_digest(*digest.as_bytes());
    Secp256k1::verification_only().verify_ecdsa(&message, &signature, &key).is_ok()
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
