//! The operators' console: pages made here, one small script of ours for passkeys and live pages, and nothing from elsewhere.
//!
//! What it shows can be a lie of whoever owns this machine. So nothing that it says counts at the signers: people compare the six
//! words with `claviger-verify` elsewhere, and sign the digest with keys that only they hold.

mod charts;
mod decisions;
mod doors;
mod frame;
mod keys;
mod lists;
mod live;
mod overview;
mod payment;
mod people;
mod records;
mod shield;
mod visit;

use axum::Router;
use axum::http::header;
use axum::middleware;
use axum::routing::{get, post};

use crate::api::App;

/// Every page and form.
pub fn router(app: App) -> Router {
    let asset =
        |kind: &'static str, text: &'static str| get(move || async move { ([(header::CONTENT_TYPE, kind)], text) });
    Router::new()
        .route("/console", get(overview::page))
        .route("/console/sign-in", get(doors::sign_in))
        .route("/console/sign-in/begin", post(doors::begin_sign_in))
        .route("/console/sign-in/finish", post(doors::finish_sign_in))
        .route("/console/sign-out", post(doors::sign_out))
        .route("/console/enrol", get(doors::enrol))
        .route("/console/enrol/begin", post(doors::begin_enrolment))
        .route("/console/enrol/finish", post(doors::finish_enrolment))
        .route("/console/freeze", post(decisions::freeze))
        .route("/console/alarms/put-away", post(lists::put_away))
        .route("/console/withdrawals", get(lists::withdrawals))
        .route("/console/transfers", get(lists::transfers).post(lists::transfer))
        .route("/console/payments/{id}", get(payment::page))
        .route("/console/payments/{id}/approve", post(payment::approve))
        .route("/console/payments/{id}/stop", post(payment::stop))
        .route("/console/transactions/{txid}/bump", post(payment::bump))
        .route("/console/deposits", get(lists::deposits))
        .route("/console/deposits/release", post(lists::release))
        .route("/console/wallets", get(lists::wallets))
        .route("/console/books", get(lists::books))
        .route("/console/signers", get(people::signers))
        .route("/console/keys", get(keys::page))
        .route("/console/keys/propose", post(keys::propose))
        .route("/console/operators", get(people::operators))
        .route("/console/operators/invite", post(people::invite))
        .route("/console/passkeys/{id}/lost", post(people::lost))
        .route("/console/sessions/{id}/end", post(people::end_session))
        .route("/console/decisions", get(decisions::list))
        .route("/console/decisions/{what}/propose", post(decisions::propose))
        .route("/console/decisions/{id}", get(decisions::page))
        .route("/console/decisions/{id}/approve", post(decisions::approve))
        .route("/console/decisions/{id}/carry-out", post(decisions::carry_out))
        .route("/console/decisions/{id}/force", post(decisions::force))
        .route("/console/decisions/{id}/withdraw", post(decisions::withdraw))
        .route("/console/charter", get(records::charter).post(records::propose_charter))
        .route("/console/audit", get(records::audit))
        .route("/console/audit/export", get(records::export))
        .route("/console/events", get(records::events))
        .route("/console/events/replay", post(records::replay))
        .route("/console/live", get(live::stream))
        .route("/console/{*nowhere}", get(visit::nowhere))
        .route("/console/assets/app.js", asset("text/javascript; charset=utf-8", include_str!("assets/app.js")))
        .route("/console/assets/style.css", asset("text/css; charset=utf-8", include_str!("assets/style.css")))
        .route("/console/assets/icon.svg", asset("image/svg+xml", include_str!("assets/icon.svg")))
        .layer(middleware::from_fn_with_state(app.clone(), shield::guard))
        .with_state(app)
}
