//! What customers can ask.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::{Json, Router};
use serde::Deserialize;
use store::Statement;
use types::{CustomerRequest, Digest};
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::answers::{
    AddressAnswer, AssetAnswer, BalanceAnswer, DepositAnswer, List, PageQuery, PaymentAnswer, cursor,
};
use super::auth::{ByCustomer, body};
use super::respond::ProblemBody;
use crate::custody::{WithdrawalBody, now};
use crate::problem::Problem;

#[derive(OpenApi)]
#[openapi(info(
    title = "Claviger: customers",
    version = "1",
    license(name = "MIT OR Apache-2.0"),
    description = "Every request is signed with the customer's Ed25519 key (RFC 9421): Content-Digest (RFC 9530) of the body, \
                        Signature-Input: sig1=(\"@method\" \"@path\" \"content-digest\" \"idempotency-key\");created=…;expires=…;\
                        keyid=\"PUBLIC KEY\";nonce=\"…\";alg=\"ed25519\", and Signature: sig1=:…:. Amounts are base units as strings."
))]
struct Document;

pub fn router(app: App) -> Router {
    let (router, document) = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(assets))
        .routes(routes!(account))
        .routes(routes!(new_address, addresses))
        .routes(routes!(deposits))
        .routes(routes!(deposit))
        .routes(routes!(withdraw, withdrawals))
        .routes(routes!(withdrawal))
        .routes(routes!(cancel))
        .split_for_parts();
    router.with_state(app).merge(super::docs::router(&document))
}

/// The assets that are kept here.
#[utoipa::path(get, path = "/v1/assets", responses((status = 200, body = List<AssetAnswer>)))]
async fn assets(State(app): State<App>) -> Json<List<AssetAnswer>> {
    Json(List { items: vec![app.asset.into()], next: None })
}

/// Your balances.
#[utoipa::path(get, path = "/v1/account", responses((status = 200, body = List<BalanceAnswer>), (status = 401, body = ProblemBody)))]
async fn account(State(app): State<App>, caller: ByCustomer) -> Result<Json<List<BalanceAnswer>>, Problem> {
    let name = format!("customer:{}", caller.customer);
    let balances = app.store.balances().await?;
    let own = balances.iter().filter(|balance| balance.name == name);
    Ok(Json(List { items: own.map(|balance| BalanceAnswer::new(balance, app.asset)).collect(), next: None }))
}

/// What a new address is for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAddress {
    /// CAIP-19 identifier.
    pub asset: String,
    /// Your own words, up to 100 characters.
    #[serde(default)]
    pub label: String,
}

/// A fresh address to receive at. The same Idempotency-Key brings the same address.
#[utoipa::path(post, path = "/v1/addresses", request_body = NewAddress,
    params(("Idempotency-Key" = String, Header)),
    responses((status = 201, body = AddressAnswer), (status = 409, body = ProblemBody), (status = 422, body = ProblemBody)))]
async fn new_address(State(app): State<App>, caller: ByCustomer) -> Result<(StatusCode, Json<AddressAnswer>), Problem> {
    let wanted: NewAddress = body(&caller.request)?;
    if wanted.asset != app.asset.to_string() {
        return Err(Problem::invalid("unknown-asset", format!("this system keeps {}", app.asset)));
    }
    give_address(&app, &format!("customer:{}", caller.customer), &wanted.label, &caller.request).await
}

/// Gives out a fresh address of the hot wallet, or the one that was given out under this key.
pub async fn give_address(
    app: &App,
    owner: &str,
    label: &str,
    request: &CustomerRequest,
) -> Result<(StatusCode, Json<AddressAnswer>), Problem> {
    let key = format!("address {owner} {}", request.idempotency_key);
    let digest = Digest::of(&[request.body.as_bytes()]);
    let wallet = app.config.withdrawals.wallet.parse();
    let wallet = wallet.map_err(|_| Problem::new(500, "wallet", "the configuration names no hot wallet"))?;
    let remember = |row: &store::AddressRow| {
        let answer = serde_json::to_string(&AddressAnswer::from(row)).ok()?;
        Some(Statement::remember_answer(&key, digest, &answer, row.created))
    };
    if let Some(answer) = answered_before(app, &key, digest).await? {
        return Ok((StatusCode::CREATED, Json(answer)));
    }
    let made = app.new_address(&wallet, owner, label, remember).await;
    match made {
        Ok(row) => Ok((StatusCode::CREATED, Json(AddressAnswer::from(&row)))),
        // The same request at the same time may have been first.
        Err(problem) => match answered_before(app, &key, digest).await? {
            Some(answer) => Ok((StatusCode::CREATED, Json(answer))),
            None => Err(problem),
        },
    }
}

/// The address that was given out under this key.
async fn answered_before(app: &App, key: &str, digest: Digest) -> Result<Option<AddressAnswer>, Problem> {
    let Some((before, answer)) = app.store.answer(key).await? else { return Ok(None) };
    if before != digest {
        return Err(Problem::new(409, "idempotency-conflict", "this Idempotency-Key stands for another address"));
    }
    let answer: AddressAnswer =
        serde_json::from_str(&answer).map_err(|error| Problem::new(500, "storage", error.to_string()))?;
    app.check_address(&answer.wallet, answer.index, &answer.address)?;
    Ok(Some(answer))
}

/// Your addresses, newest first.
#[utoipa::path(get, path = "/v1/addresses", params(PageQuery), responses((status = 200, body = List<AddressAnswer>)))]
async fn addresses(
    State(app): State<App>,
    Query(page): Query<PageQuery>,
    caller: ByCustomer,
) -> Result<Json<List<AddressAnswer>>, Problem> {
    let owner = format!("customer:{}", caller.customer);
    let before = u32::try_from(page.number(u64::from(u32::MAX))?).unwrap_or(u32::MAX);
    let rows = app.store.addresses_of(&owner, before, page.limit()).await?;
    rows.iter().try_for_each(|row| app.check_address(row.wallet.as_str(), row.index, &row.address))?;
    Ok(Json(List::new(rows, page.limit(), |row| row.id.to_string(), |row| AddressAnswer::from(&row))))
}

/// Your deposits, newest first.
#[utoipa::path(get, path = "/v1/deposits", params(PageQuery), responses((status = 200, body = List<DepositAnswer>)))]
async fn deposits(
    State(app): State<App>,
    Query(page): Query<PageQuery>,
    caller: ByCustomer,
) -> Result<Json<List<DepositAnswer>>, Problem> {
    let rows = app.store.deposits(&format!("customer:{}", caller.customer), &page.page()?).await?;
    let show = |row| DepositAnswer::new(row, app.asset);
    Ok(Json(List::new(rows, page.limit(), |row| cursor(row.created, &row.id), show)))
}

/// One of your deposits.
#[utoipa::path(get, path = "/v1/deposits/{id}", params(("id" = String, Path, description = "The outpoint, txid:vout")),
    responses((status = 200, body = DepositAnswer), (status = 404, body = ProblemBody)))]
async fn deposit(
    State(app): State<App>,
    Path(id): Path<String>,
    caller: ByCustomer,
) -> Result<Json<DepositAnswer>, Problem> {
    let row = app.store.deposit(&id).await?;
    let row = row.filter(|row| row.owner == format!("customer:{}", caller.customer));
    row.map(|row| Json(DepositAnswer::new(row, app.asset))).ok_or_else(|| Problem::not_found("deposit"))
}

/// Ask for a withdrawal. The same Idempotency-Key with the same body brings the same withdrawal; with another body, 409.
#[utoipa::path(post, path = "/v1/withdrawals", request_body = WithdrawalBody,
    params(("Idempotency-Key" = String, Header)),
    responses((status = 201, body = PaymentAnswer), (status = 200, description = "Asked for before", body = PaymentAnswer),
              (status = 409, body = ProblemBody), (status = 422, body = ProblemBody)))]
async fn withdraw(State(app): State<App>, caller: ByCustomer) -> Result<(StatusCode, Json<PaymentAnswer>), Problem> {
    let asked = app.request_withdrawal(&caller.customer, caller.request, now()).await?;
    let status = if asked.again { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(PaymentAnswer::new(asked.payment, app.asset, None))))
}

/// Your withdrawals, newest first.
#[utoipa::path(get, path = "/v1/withdrawals", params(PageQuery), responses((status = 200, body = List<PaymentAnswer>)))]
async fn withdrawals(
    State(app): State<App>,
    Query(page): Query<PageQuery>,
    caller: ByCustomer,
) -> Result<Json<List<PaymentAnswer>>, Problem> {
    let requester = format!("customer:{}", caller.customer);
    let rows = app.store.payments("customer-withdrawal", &requester, &page.page()?).await?;
    let show = |row| PaymentAnswer::new(row, app.asset, None);
    Ok(Json(List::new(rows, page.limit(), |row| cursor(row.created, &row.id), show)))
}

async fn own(app: &App, caller: &ByCustomer, id: &str) -> Result<store::PaymentRow, Problem> {
    let row = app.store.payment(id).await?;
    let own = row.filter(|row| row.requester == format!("customer:{}", caller.customer));
    own.ok_or_else(|| Problem::not_found("withdrawal"))
}

/// One of your withdrawals, with the transaction that pays it.
#[utoipa::path(get, path = "/v1/withdrawals/{id}", params(("id" = String, Path)),
    responses((status = 200, body = PaymentAnswer), (status = 404, body = ProblemBody)))]
async fn withdrawal(
    State(app): State<App>,
    Path(id): Path<String>,
    caller: ByCustomer,
) -> Result<Json<PaymentAnswer>, Problem> {
    let row = own(&app, &caller, &id).await?;
    let txid = super::operator::current_txid(&app, &row).await?;
    Ok(Json(PaymentAnswer::new(row, app.asset, txid)))
}

/// Take back a withdrawal that is not being signed yet.
#[utoipa::path(post, path = "/v1/withdrawals/{id}/cancel", params(("id" = String, Path), ("Idempotency-Key" = String, Header)),
    responses((status = 200, body = PaymentAnswer), (status = 409, body = ProblemBody)))]
async fn cancel(
    State(app): State<App>,
    Path(id): Path<String>,
    caller: ByCustomer,
) -> Result<Json<PaymentAnswer>, Problem> {
    let row = own(&app, &caller, &id).await?;
    let row = app.cancel(row, &format!("customer:{}", caller.customer), now()).await?;
    Ok(Json(PaymentAnswer::new(row, app.asset, None)))
}
