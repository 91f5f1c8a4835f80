//! What is carried to signers without a network, and back.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use policy::Action;
use serde::{Deserialize, Serialize};
use types::words;
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::answers::List;
use super::auth::{ByOperator, body};
use super::respond::ProblemBody;
use crate::custody::{Carriage, Waiting, now};
use crate::problem::Problem;

/// A transaction that waits for signers without a network.
#[derive(Serialize, ToSchema)]
pub struct WaitingAnswer {
    txid: String,
    wallet: String,
    state: &'static str,
    /// What it pays for: identifiers of payments.
    payments: Vec<String>,
    /// How many signers have to sign.
    needed: usize,
    /// How many have signed.
    signed: usize,
    signers: Vec<CarriedAnswer>,
}

/// How far one signer is.
#[derive(Serialize, ToSchema)]
pub struct CarriedAnswer {
    signer: String,
    /// not-asked, asked, signed or refused.
    state: &'static str,
    /// Digest of the newest bundle; empty before the first.
    bundle: String,
    /// Its six words.
    words: String,
    /// Why it did not sign, as its carrier says.
    refusal: String,
}

/// Where a signer stands, in a word.
pub fn standing(row: Option<&store::CarriedRow>) -> &'static str {
    match row {
        None => "not-asked",
        Some(row) if !row.answer.is_empty() => "signed",
        Some(row) if !row.refusal.is_empty() => "refused",
        Some(_) => "asked",
    }
}

impl From<Waiting> for WaitingAnswer {
    fn from(waiting: Waiting) -> WaitingAnswer {
        let signed = waiting.signed();
        let signer = |(signer, row): (types::SignerId, Option<store::CarriedRow>)| CarriedAnswer {
            signer: signer.to_string(),
            state: standing(row.as_ref()),
            bundle: row.as_ref().map(|row| row.bundle.to_string()).unwrap_or_default(),
            words: row.as_ref().map(|row| words(&row.bundle).join(" ")).unwrap_or_default(),
            refusal: row.map(|row| row.refusal).unwrap_or_default(),
        };
        WaitingAnswer {
            txid: waiting.row.txid.clone(),
            wallet: waiting.row.wallet.to_string(),
            state: waiting.row.state.as_str(),
            payments: waiting.payments.into_iter().map(|payment| payment.id).collect(),
            needed: waiting.needed,
            signed,
            signers: waiting.signers.into_iter().map(signer).collect(),
        }
    }
}

/// Transactions that wait for signers without a network, oldest first.
#[utoipa::path(get, path = "/v1/transactions", responses((status = 200, body = List<WaitingAnswer>)))]
pub async fn waiting(State(app): State<App>, _caller: ByOperator) -> Result<Json<List<WaitingAnswer>>, Problem> {
    let waiting = app.waiting_for_hands().await.map_err(|error| Problem::new(500, "storage", error.to_string()))?;
    Ok(Json(List { items: waiting.into_iter().map(Into::into).collect(), next: None }))
}

/// For whom a bundle is.
#[derive(Deserialize, IntoParams)]
pub struct BundleQuery {
    /// The signer.
    signer: String,
}

/// A bundle.
#[derive(Serialize, ToSchema)]
pub struct BundleAnswer {
    /// The bytes to carry, as text. Not one of them may change.
    bundle: String,
    digest: String,
    /// The same words stand on the signer's screen.
    words: String,
    /// What is likely to be missing.
    notes: Vec<String>,
}

/// What a signer without a network needs to sign this transaction. Asked for again, it is as things stand then.
#[utoipa::path(get, path = "/v1/transactions/{txid}/bundle", params(("txid" = String, Path), BundleQuery),
    responses((status = 200, body = BundleAnswer), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody),
              (status = 503, body = ProblemBody)))]
pub async fn bundle(
    State(app): State<App>,
    Path(txid): Path<String>,
    Query(query): Query<BundleQuery>,
    caller: ByOperator,
) -> Result<Json<BundleAnswer>, Problem> {
    caller.may(&app, Action::TendPayments).await?;
    let actor = format!("operator:{}", caller.operator);
    Ok(Json(app.bundle(&txid, &query.signer, &actor, now()).await?.into()))
}

impl From<Carriage> for BundleAnswer {
    fn from(carriage: Carriage) -> BundleAnswer {
        let digest = carriage.bundle.digest();
        BundleAnswer {
            bundle: String::from_utf8_lossy(&carriage.bundle.to_bytes()).into_owned(),
            digest: digest.to_string(),
            words: words(&digest).join(" "),
            notes: carriage.notes,
        }
    }
}

/// What a signer without a network has to be told while nothing is to be signed: charters, suspensions, latches.
#[utoipa::path(get, path = "/v1/signers/{signer}/bundle", params(("signer" = String, Path)),
    responses((status = 200, body = BundleAnswer), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
pub async fn steps(
    State(app): State<App>,
    Path(signer): Path<String>,
    caller: ByOperator,
) -> Result<Json<BundleAnswer>, Problem> {
    caller.may(&app, Action::TendPayments).await?;
    let actor = format!("operator:{}", caller.operator);
    Ok(Json(app.steps_bundle(&signer, &actor, now()).await?.into()))
}

/// Bring the answer to such a bundle.
#[utoipa::path(post, path = "/v1/signers/{signer}/answers", request_body = AnswerBody,
    params(("signer" = String, Path), ("Idempotency-Key" = String, Header)),
    responses((status = 204), (status = 404, body = ProblemBody), (status = 422, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub async fn told(
    State(app): State<App>,
    Path(signer): Path<String>,
    caller: ByOperator,
) -> Result<StatusCode, Problem> {
    caller.may(&app, Action::TendPayments).await?;
    let brought: AnswerBody = body(&caller.request)?;
    let actor = format!("operator:{}", caller.operator);
    app.take_steps_answer(&signer, brought.answer.as_bytes(), &actor, now()).await.map(|()| StatusCode::NO_CONTENT)
}

/// What came back.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AnswerBody {
    /// The answer's bytes, as text.
    pub answer: String,
}

/// Bring a signer's answer. Its signatures are verified before they are kept; the same answer again changes nothing.
#[utoipa::path(post, path = "/v1/transactions/{txid}/answers", request_body = AnswerBody,
    params(("txid" = String, Path), ("Idempotency-Key" = String, Header)),
    responses((status = 200, body = WaitingAnswer), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody),
              (status = 422, body = ProblemBody)))]
pub async fn answer(
    State(app): State<App>,
    Path(txid): Path<String>,
    caller: ByOperator,
) -> Result<Json<WaitingAnswer>, Problem> {
    caller.may(&app, Action::TendPayments).await?;
    let brought: AnswerBody = body(&caller.request)?;
    let actor = format!("operator:{}", caller.operator);
    let waiting = app.take_answer(&txid, brought.answer.as_bytes(), &actor, now()).await?;
    Ok(Json(waiting.into()))
}
