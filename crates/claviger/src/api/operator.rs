//! What operators can ask. Being allowed in here moves no coin: approvals are signatures that signers check.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::{Json, Router};
use policy::Action;
use serde::{Deserialize, Serialize};
use store::{PaymentRow, TransactionState};
use types::{Instruction, sentence, words};
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::answers::{
    AddressAnswer, BalanceAnswer, DepositAnswer, InstructionAnswer, List, PageQuery, PaymentAnswer, cursor,
};
use super::auth::{ByOperator, body};
use super::respond::ProblemBody;
use super::{keys, people, signing};
use crate::custody::{FLOAT, TransferBody, now};
use crate::problem::Problem;

#[derive(OpenApi)]
#[openapi(info(
    title = "Claviger: operators",
    version = "1",
    license(name = "MIT OR Apache-2.0"),
    description = "Every request is signed with the operator's Ed25519 API key (RFC 9421), as customers' are. Approvals are SSH \
                        signatures over the instruction's digest: ssh-keygen -Y sign -n claviger-approval."
))]
struct Document;

pub fn router(app: App) -> Router {
    let (router, document) = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(accounts))
        .routes(routes!(float_address))
        .routes(routes!(deposits))
        .routes(routes!(release))
        .routes(routes!(withdrawals))
        .routes(routes!(transfer, transfers))
        .routes(routes!(payment))
        .routes(routes!(approve))
        .routes(routes!(cancel))
        .routes(routes!(bump))
        .routes(routes!(wallets))
        .routes(routes!(reconcile))
        .routes(routes!(signing::signers))
        .routes(routes!(keys::keys))
        .routes(routes!(keys::transcript))
        .routes(routes!(signing::freeze))
        .routes(routes!(signing::execute))
        .routes(routes!(signing::charter, signing::adopt))
        .routes(routes!(people::operators))
        .routes(routes!(people::invite))
        .routes(routes!(people::lost))
        .routes(routes!(people::sessions))
        .routes(routes!(people::end_session))
        .routes(routes!(people::propose, people::proposals))
        .routes(routes!(people::proposal))
        .routes(routes!(people::approve))
        .routes(routes!(people::carry_out))
        .routes(routes!(people::withdraw))
        .routes(routes!(people::explain))
        .routes(routes!(people::webhooks))
        .routes(routes!(people::replay))
        .routes(routes!(alarms))
        .routes(routes!(put_away))
        .routes(routes!(audit))
        .routes(routes!(events))
        .split_for_parts();
    router.with_state(app).merge(super::docs::router(&document))
}

/// Every account of the books.
#[utoipa::path(get, path = "/v1/accounts", responses((status = 200, body = List<BalanceAnswer>)))]
async fn accounts(State(app): State<App>, _caller: ByOperator) -> Result<Json<List<BalanceAnswer>>, Problem> {
    let balances = app.store.balances().await?;
    Ok(Json(List {
        items: balances.iter().map(|balance| BalanceAnswer::new(balance, app.asset)).collect(),
        next: None,
    }))
}

/// A fresh address of the house: deposits to it are the float that bears network fees. The same Idempotency-Key brings the same address.
#[utoipa::path(post, path = "/v1/float/addresses", params(("Idempotency-Key" = String, Header)),
    responses((status = 201, body = AddressAnswer)))]
async fn float_address(
    State(app): State<App>,
    caller: ByOperator,
) -> Result<(StatusCode, Json<AddressAnswer>), Problem> {
    caller.may(&app, Action::RequestTransfer).await?;
    super::customer::give_address(&app, FLOAT, &format!("float, for operator {}", caller.operator), &caller.request)
        .await
}

/// All deposits, newest first.
#[utoipa::path(get, path = "/v1/deposits", params(PageQuery), responses((status = 200, body = List<DepositAnswer>)))]
async fn deposits(
    State(app): State<App>,
    Query(page): Query<PageQuery>,
    _caller: ByOperator,
) -> Result<Json<List<DepositAnswer>>, Problem> {
    let rows = app.store.deposits("", &page.page()?).await?;
    let show = |row| DepositAnswer::new(row, app.asset);
    Ok(Json(List::new(rows, page.limit(), |row| cursor(row.created, &row.id), show)))
}

/// Whose a deposit is.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseBody {
    /// `customer:NAME` or `house:float`.
    pub owner: String,
}

/// Let a deposit that was set aside go on, to the account that you name.
#[utoipa::path(post, path = "/v1/deposits/{id}/release", request_body = ReleaseBody,
    params(("id" = String, Path, description = "The outpoint, txid:vout"), ("Idempotency-Key" = String, Header)),
    responses((status = 200, body = DepositAnswer), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody),
              (status = 422, body = ProblemBody)))]
async fn release(
    State(app): State<App>,
    Path(id): Path<String>,
    caller: ByOperator,
) -> Result<Json<DepositAnswer>, Problem> {
    caller.may(&app, Action::TendPayments).await?;
    let wanted: ReleaseBody = body(&caller.request)?;
    let actor = format!("operator:{}", caller.operator);
    let row = app.release_deposit(&id, &wanted.owner, &actor, now()).await?;
    Ok(Json(DepositAnswer::new(row, app.asset)))
}

async fn payments(app: &App, kind: &str, page: &PageQuery) -> Result<Json<List<PaymentAnswer>>, Problem> {
    let rows = app.store.payments(kind, "", &page.page()?).await?;
    let show = |row| PaymentAnswer::new(row, app.asset, None);
    Ok(Json(List::new(rows, page.limit(), |row| cursor(row.created, &row.id), show)))
}

/// All withdrawals, newest first.
#[utoipa::path(get, path = "/v1/withdrawals", params(PageQuery), responses((status = 200, body = List<PaymentAnswer>)))]
async fn withdrawals(
    State(app): State<App>,
    Query(page): Query<PageQuery>,
    _caller: ByOperator,
) -> Result<Json<List<PaymentAnswer>>, Problem> {
    payments(&app, "customer-withdrawal", &page).await
}

/// All transfers between our wallets, newest first.
#[utoipa::path(get, path = "/v1/transfers", params(PageQuery), responses((status = 200, body = List<PaymentAnswer>)))]
async fn transfers(
    State(app): State<App>,
    Query(page): Query<PageQuery>,
    _caller: ByOperator,
) -> Result<Json<List<PaymentAnswer>>, Problem> {
    payments(&app, "operator-transfer", &page).await
}

/// Ask for a transfer between our wallets. Others have to approve it.
#[utoipa::path(post, path = "/v1/transfers", request_body = TransferBody, params(("Idempotency-Key" = String, Header)),
    responses((status = 201, body = PaymentAnswer), (status = 200, description = "Asked for before", body = PaymentAnswer),
              (status = 409, body = ProblemBody), (status = 422, body = ProblemBody)))]
async fn transfer(State(app): State<App>, caller: ByOperator) -> Result<(StatusCode, Json<PaymentAnswer>), Problem> {
    caller.may(&app, Action::RequestTransfer).await?;
    let wanted: TransferBody = body(&caller.request)?;
    let asked = app.request_transfer(&caller.operator, &caller.request.idempotency_key, &wanted, now()).await?;
    let status = if asked.again { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(PaymentAnswer::new(asked.payment, app.asset, None))))
}

/// The try that counts now: the confirmed one, or the newest.
pub async fn current_txid(app: &App, row: &PaymentRow) -> Result<Option<String>, Problem> {
    if row.group.is_empty() {
        return Ok(None);
    }
    let tries = app.store.transactions_of_group(&row.group).await?;
    let confirmed = tries.iter().find(|row| row.state == TransactionState::Confirmed);
    Ok(confirmed.or(tries.last()).map(|row| row.txid.clone()))
}

/// A payment as an approver has to see it: sentence, words, reasoning, tries.
#[utoipa::path(get, path = "/v1/payments/{id}", params(("id" = String, Path)),
    responses((status = 200, body = InstructionAnswer), (status = 404, body = ProblemBody)))]
async fn payment(
    State(app): State<App>,
    Path(id): Path<String>,
    _caller: ByOperator,
) -> Result<Json<InstructionAnswer>, Problem> {
    let row = app.store.payment(&id).await?.ok_or_else(|| Problem::not_found("payment"))?;
    let broken = |error: String| Problem::new(500, "storage", error);
    let instruction =
        Instruction::from_canonical(row.canonical.as_bytes()).map_err(|error| broken(error.to_string()))?;
    let decision = app.explain_payment(&row, now()).await.map_err(|error| broken(error.to_string()))?;
    let approvals = app.store.approvals(&id).await?.into_iter().map(|approval| approval.operator).collect();
    let tries = if row.group.is_empty() { vec![] } else { app.store.transactions_of_group(&row.group).await? };
    let txid = current_txid(&app, &row).await?;
    Ok(Json(InstructionAnswer {
        canonical: row.canonical.clone(),
        digest: instruction.digest().to_string(),
        sentence: sentence(&instruction),
        words: words(&instruction.digest()).join(" "),
        explanation: decision.trace,
        approvals,
        transactions: tries.into_iter().map(Into::into).collect(),
        payment: PaymentAnswer::new(row, app.asset, txid),
    }))
}

/// An approval.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalBody {
    /// The armoured SSH signature, namespace `claviger-approval`, over the digest's text and a line feed.
    pub signature: String,
}

/// Approve a payment with an SSH signature. Whose key made it is for the charter to say; you approve for yourself only.
#[utoipa::path(post, path = "/v1/payments/{id}/approvals", request_body = ApprovalBody,
    params(("id" = String, Path), ("Idempotency-Key" = String, Header)),
    responses((status = 200, body = PaymentAnswer), (status = 403, body = ProblemBody), (status = 409, body = ProblemBody)))]
async fn approve(
    State(app): State<App>,
    Path(id): Path<String>,
    caller: ByOperator,
) -> Result<Json<PaymentAnswer>, Problem> {
    let approval: ApprovalBody = body(&caller.request)?;
    let row = app.approve(&id, &caller.operator, &approval.signature, now()).await?;
    Ok(Json(PaymentAnswer::new(row, app.asset, None)))
}

/// Stop a payment that is not being signed yet.
#[utoipa::path(post, path = "/v1/payments/{id}/cancel", params(("id" = String, Path), ("Idempotency-Key" = String, Header)),
    responses((status = 200, body = PaymentAnswer), (status = 409, body = ProblemBody)))]
async fn cancel(
    State(app): State<App>,
    Path(id): Path<String>,
    caller: ByOperator,
) -> Result<Json<PaymentAnswer>, Problem> {
    caller.may(&app, Action::StopPayment).await?;
    let row = app.store.payment(&id).await?.ok_or_else(|| Problem::not_found("payment"))?;
    let row = app.cancel(row, &format!("operator:{}", caller.operator), now()).await?;
    Ok(Json(PaymentAnswer::new(row, app.asset, None)))
}

/// Pay more for a transaction that waits for a block (BIP-125).
#[utoipa::path(post, path = "/v1/transactions/{txid}/bump", params(("txid" = String, Path), ("Idempotency-Key" = String, Header)),
    responses((status = 202), (status = 409, body = ProblemBody)))]
async fn bump(State(app): State<App>, Path(txid): Path<String>, caller: ByOperator) -> Result<StatusCode, Problem> {
    caller.may(&app, Action::TendPayments).await?;
    app.bump_now(&txid, &format!("operator:{}", caller.operator)).await.map(|()| StatusCode::ACCEPTED)
}

/// A wallet with its three sides, in base units.
#[derive(Serialize, ToSchema)]
pub struct WalletAnswer {
    wallet: String,
    class: String,
    descriptor: String,
    asset: String,
    decimals: u8,
    /// The books.
    books: String,
    /// Our record of confirmed coins.
    coins: String,
    /// What the chain has of them; only `/v1/reconciliation` asks it.
    #[serde(skip_serializing_if = "Option::is_none")]
    chain: Option<String>,
    /// In blocks and not credited.
    uncredited: String,
    /// Left in blocks and not in the books yet.
    unsettled: String,
    /// Where the sides part, if they do.
    difference: Option<String>,
}

async fn positions(app: &App, ask_chain: bool) -> Result<Json<List<WalletAnswer>>, Problem> {
    let mut positions = Vec::new();
    // The pipelines may write between two reads: a difference that is really there is there again.
    for _ in 0..3 {
        positions = app
            .positions(ask_chain)
            .await
            .map_err(|error| Problem::unavailable("reconciliation", error.to_string()))?;
        if positions.iter().all(|position| position.difference.is_none()) {
            break;
        }
    }
    let show = |found: crate::custody::WalletPosition| {
        let wallet = app.charter.wallet(&found.wallet)?;
        let position = found.position;
        Some(WalletAnswer {
            wallet: wallet.id.to_string(),
            class: if wallet.class == policy::WalletClass::Hot { "hot" } else { "cold" }.to_owned(),
            descriptor: wallet.descriptor.clone(),
            asset: wallet.asset.to_string(),
            decimals: wallet.asset.decimals(),
            books: position.books.to_string(),
            coins: position.coins.to_string(),
            chain: ask_chain.then(|| position.chain.to_string()),
            uncredited: position.uncredited.to_string(),
            unsettled: position.unsettled_out.to_string(),
            difference: found.difference,
        })
    };
    Ok(Json(List { items: positions.into_iter().filter_map(show).collect(), next: None }))
}

/// Wallets.
#[utoipa::path(get, path = "/v1/wallets", responses((status = 200, body = List<WalletAnswer>)))]
async fn wallets(State(app): State<App>, _caller: ByOperator) -> Result<Json<List<WalletAnswer>>, Problem> {
    positions(&app, false).await
}

/// Books, coins and chain compared now, coin by coin.
#[utoipa::path(get, path = "/v1/reconciliation", responses((status = 200, body = List<WalletAnswer>)))]
async fn reconcile(State(app): State<App>, _caller: ByOperator) -> Result<Json<List<WalletAnswer>>, Problem> {
    positions(&app, true).await
}

/// Something that people should look at.
#[derive(Serialize, ToSchema)]
pub struct AlarmAnswer {
    code: String,
    subject: String,
    message: String,
    raised: String,
}

/// Alarms that are raised.
#[utoipa::path(get, path = "/v1/alarms", responses((status = 200, body = List<AlarmAnswer>)))]
async fn alarms(State(app): State<App>, _caller: ByOperator) -> Result<Json<List<AlarmAnswer>>, Problem> {
    let show = |row: store::AlarmRow| AlarmAnswer {
        code: row.code,
        subject: row.subject,
        message: row.message,
        raised: row.raised.to_string(),
    };
    Ok(Json(List { items: app.store.alarms().await?.into_iter().map(show).collect(), next: None }))
}

/// An alarm that people have seen to.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AlarmBody {
    code: String,
    subject: String,
}

/// Put away an alarm that only people can judge.
#[utoipa::path(post, path = "/v1/alarms/put-away", request_body = AlarmBody, params(("Idempotency-Key" = String, Header)),
    responses((status = 204), (status = 404, body = ProblemBody), (status = 422, body = ProblemBody)))]
async fn put_away(State(app): State<App>, caller: ByOperator) -> Result<StatusCode, Problem> {
    caller.may(&app, Action::TendPayments).await?;
    let alarm: AlarmBody = body(&caller.request)?;
    let actor = format!("operator:{}", caller.operator);
    app.put_away(&alarm.code, &alarm.subject, &actor, now()).await.map(|()| StatusCode::NO_CONTENT)
}

/// The audit log, oldest first: each item is one line of an export, as `claviger-verify audit` reads it.
#[utoipa::path(get, path = "/v1/audit", params(PageQuery), responses((status = 200, body = List<serde_json::Value>)))]
async fn audit(
    State(app): State<App>,
    Query(page): Query<PageQuery>,
    _caller: ByOperator,
) -> Result<Json<List<serde_json::Value>>, Problem> {
    let rows = app.store.audit(page.number(0)?, page.limit()).await?;
    let show = |row: store::AuditRow| serde_json::from_str(&audit_log::to_line(&row)).unwrap_or_default();
    Ok(Json(List::new(rows, page.limit(), |row| row.seq.to_string(), show)))
}

/// An event.
#[derive(Serialize, ToSchema)]
pub struct EventAnswer {
    seq: u64,
    at: String,
    kind: String,
    subject: String,
    body: serde_json::Value,
}

/// Events, oldest first: what happened since the cursor.
#[utoipa::path(get, path = "/v1/events", params(PageQuery), responses((status = 200, body = List<EventAnswer>)))]
async fn events(
    State(app): State<App>,
    Query(page): Query<PageQuery>,
    _caller: ByOperator,
) -> Result<Json<List<EventAnswer>>, Problem> {
    let rows = app.store.events(page.number(0)?, page.limit()).await?;
    let show = |row: store::EventRow| EventAnswer {
        seq: row.seq,
        at: row.at.to_string(),
        kind: row.kind,
        subject: row.subject,
        body: serde_json::from_str(&row.body).unwrap_or_default(),
    };
    Ok(Json(List::new(rows, page.limit(), |row| row.seq.to_string(), show)))
}
