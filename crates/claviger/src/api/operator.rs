//! What operators can ask. Being allowed in here moves no coin: approvals are signatures that signers check.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use signer_wire::{ReplyBody, RequestBody};
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
use crate::custody::{FLOAT, TransferBody, blocking, now};
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
        .routes(routes!(signers))
        .routes(routes!(freeze))
        .routes(routes!(execute))
        .routes(routes!(charter, adopt))
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

/// A fresh address of the house: deposits to it are the float that bears network fees.
#[utoipa::path(post, path = "/v1/float/addresses", params(("Idempotency-Key" = String, Header)),
    responses((status = 201, body = AddressAnswer)))]
async fn float_address(
    State(app): State<App>,
    caller: ByOperator,
) -> Result<(StatusCode, Json<AddressAnswer>), Problem> {
    let wallet = app.config.withdrawals.wallet.parse();
    let wallet = wallet.map_err(|_| Problem::new(500, "wallet", "the configuration names no hot wallet"))?;
    let label = format!("float, for operator {}", caller.operator);
    let row = app.new_address(&wallet, FLOAT, &label, |_| None).await?;
    Ok((StatusCode::CREATED, Json(AddressAnswer::from(&row))))
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

/// Take back a payment that is not being signed yet.
#[utoipa::path(post, path = "/v1/payments/{id}/cancel", params(("id" = String, Path), ("Idempotency-Key" = String, Header)),
    responses((status = 200, body = PaymentAnswer), (status = 409, body = ProblemBody)))]
async fn cancel(
    State(app): State<App>,
    Path(id): Path<String>,
    caller: ByOperator,
) -> Result<Json<PaymentAnswer>, Problem> {
    let row = app.store.payment(&id).await?.ok_or_else(|| Problem::not_found("payment"))?;
    let row = app.cancel(row, &format!("operator:{}", caller.operator), now()).await?;
    Ok(Json(PaymentAnswer::new(row, app.asset, None)))
}

/// Pay more for a transaction that waits for a block (BIP-125).
#[utoipa::path(post, path = "/v1/transactions/{txid}/bump", params(("txid" = String, Path), ("Idempotency-Key" = String, Header)),
    responses((status = 202), (status = 409, body = ProblemBody)))]
async fn bump(State(app): State<App>, Path(txid): Path<String>, caller: ByOperator) -> Result<StatusCode, Problem> {
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

/// A signer as it answers now.
#[derive(Serialize, ToSchema)]
pub struct SignerAnswer {
    signer: String,
    address: String,
    /// Whether it answers.
    up: bool,
    /// What stands in the way, if anything.
    error: Option<String>,
    /// Latches that are closed.
    latches: Vec<String>,
    /// Version of the charter that it holds.
    charter: Option<u64>,
    /// Records in its journal.
    journal: Option<u64>,
    /// Limits with what is used of them.
    limits: Vec<LimitAnswer>,
}

/// A limit.
#[derive(Serialize, ToSchema)]
pub struct LimitAnswer {
    wallet: String,
    /// Empty for all tiers together.
    tier: String,
    seconds: u64,
    /// Base units.
    amount_max: String,
    used: String,
    /// What all signers together can let through at most, whoever owns the server.
    exposure_max: String,
}

/// Signers, their latches and their limits, asked now.
#[utoipa::path(get, path = "/v1/signers", responses((status = 200, body = List<SignerAnswer>)))]
async fn signers(State(app): State<App>, _caller: ByOperator) -> Json<List<SignerAnswer>> {
    let items = blocking(|| {
        let mut clients = app.signers();
        let ask = |(client, config): (&mut signer_client::SignerClient, &crate::config::SignerConfig)| {
            let mut answer = SignerAnswer {
                signer: config.id.clone(),
                address: config.address.to_string(),
                up: false,
                error: None,
                latches: vec![],
                charter: None,
                journal: None,
                limits: vec![],
            };
            match client.call(RequestBody::Hello) {
                Ok(ReplyBody::Hello { charter, head, latches, .. }) => {
                    answer.up = true;
                    answer.latches = latches;
                    answer.charter = Some(charter);
                    answer.journal = Some(head.seq);
                }
                Ok(_) => answer.error = Some("it answered something else".to_owned()),
                Err(error) => answer.error = Some(crate::custody::explain(error)),
            }
            if let Ok(ReplyBody::Exposure(limits)) = client.call(RequestBody::Exposure) {
                answer.limits = limits
                    .into_iter()
                    .map(|limit| LimitAnswer {
                        wallet: limit.wallet,
                        tier: limit.tier,
                        seconds: limit.seconds,
                        amount_max: limit.amount_max,
                        used: limit.used,
                        exposure_max: limit.exposure_max,
                    })
                    .collect();
            }
            answer
        };
        clients.iter_mut().zip(&app.config.signers).map(ask).collect()
    });
    Json(List { items, next: None })
}

/// A latch to close.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FreezeBody {
    /// `all`, `wallet:NAME` or `customer:NAME`.
    pub latch: String,
    /// Why, in words.
    pub reason: String,
}

/// Which signers closed a latch.
#[derive(Serialize, ToSchema)]
pub struct FreezeAnswer {
    /// Signers that have closed it.
    frozen: Vec<String>,
    /// What the others said.
    failed: Vec<String>,
}

/// Stop signing at once, at every signer that answers. Only a quorum opens a latch again.
#[utoipa::path(post, path = "/v1/freeze", request_body = FreezeBody, params(("Idempotency-Key" = String, Header)),
    responses((status = 200, body = FreezeAnswer), (status = 503, body = ProblemBody)))]
async fn freeze(State(app): State<App>, caller: ByOperator) -> Result<Json<FreezeAnswer>, Problem> {
    let FreezeBody { latch, reason } = body(&caller.request)?;
    let frozen = blocking(|| app.freeze(&latch, &reason));
    let answer = FreezeAnswer { frozen: frozen.at, failed: frozen.failed };
    let actor = format!("operator:{}", caller.operator);
    let detail = format!("{reason}; at {}; not at: {}", answer.frozen.join(", "), answer.failed.join("; "));
    // The latches are closed, whether or not it can be written down here: signers' own journals have it.
    let _ = app.store.commit(store::Move::new(now()).audit(&actor, "signers.frozen", &latch, detail)).await;
    if answer.frozen.is_empty() {
        return Err(Problem::unavailable(
            "signers",
            format!("no signer has closed the latch: {}", answer.failed.join("; ")),
        ));
    }
    Ok(Json(answer))
}

/// An instruction that moves no coins, with everything that was said for it.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecuteBody {
    /// The instruction's canonical form.
    pub instruction: String,
    /// Approvals by operators of the release quorum.
    pub approvals: Vec<OperatorApproval>,
}

/// One operator's approval.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OperatorApproval {
    /// Who.
    pub operator: String,
    /// The armoured SSH signature.
    pub signature: String,
}

/// Have signers carry out an instruction that moves no coins: open a latch, or release an anchor. They count the quorum themselves.
#[utoipa::path(post, path = "/v1/instructions", request_body = ExecuteBody, params(("Idempotency-Key" = String, Header)),
    responses((status = 200, body = ExecuteAnswer), (status = 403, body = ProblemBody), (status = 422, body = ProblemBody)))]
async fn execute(State(app): State<App>, caller: ByOperator) -> Result<Json<ExecuteAnswer>, Problem> {
    let wanted: ExecuteBody = body(&caller.request)?;
    let instruction = Instruction::from_canonical(wanted.instruction.as_bytes())
        .map_err(|error| Problem::invalid("instruction", error.to_string()))?;
    let only = match &instruction.body {
        types::Body::Unfreeze(freeze) => Some(freeze.signer.to_string()),
        types::Body::AnchorRelease { .. } => None,
        _ => {
            return Err(Problem::invalid("instruction", "payments are asked for at /v1/withdrawals and /v1/transfers"));
        }
    };
    let approval = |approval: &OperatorApproval| signer_wire::Approval {
        operator: approval.operator.clone(),
        signature: approval.signature.clone(),
    };
    let wire = signer_wire::Instruction {
        canonical: wanted.instruction.clone(),
        evidence: signer_wire::Evidence {
            customer_request: None,
            approvals: wanted.approvals.iter().map(approval).collect(),
        },
    };
    let answer = blocking(|| {
        let mut answer = ExecuteAnswer { done: vec![], failed: vec![] };
        for (client, config) in app.signers().iter_mut().zip(&app.config.signers) {
            if only.as_ref().is_some_and(|only| *only != config.id) {
                continue;
            }
            match client.call(RequestBody::Execute { instruction: wire.clone() }) {
                Ok(_) => answer.done.push(config.id.clone()),
                Err(error) => answer.failed.push(format!("{}: {error}", config.id)),
            }
        }
        answer
    });
    let actor = format!("operator:{}", caller.operator);
    let detail =
        format!("{}; done at {}; not at: {}", sentence(&instruction), answer.done.join(", "), answer.failed.join("; "));
    let step = store::Move::new(now()).audit(&actor, "instruction.executed", instruction.id.as_str(), detail);
    // Signers' own journals have it, whether or not it can be written down here.
    let _ = app.store.commit(step).await;
    if answer.done.is_empty() {
        return Err(Problem::new(403, "signers-refuse", answer.failed.join("; ")));
    }
    app.wake();
    Ok(Json(answer))
}

/// Which signers carried an instruction out.
#[derive(Serialize, ToSchema)]
pub struct ExecuteAnswer {
    /// Signers that have done it.
    done: Vec<String>,
    /// What the others said.
    failed: Vec<String>,
}

/// The charter that signers hold.
#[utoipa::path(get, path = "/v1/charter", responses((status = 200, description = "The charter's canonical JSON")))]
async fn charter(State(app): State<App>, _caller: ByOperator) -> Result<Json<serde_json::Value>, Problem> {
    let value = serde_json::from_slice(&app.charter.to_bytes());
    value.map(Json).map_err(|error| Problem::new(500, "charter", error.to_string()))
}

/// The next charter.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CharterBody {
    /// Its canonical bytes, as text.
    pub charter: String,
    /// SSH signatures over its digest, namespace `claviger-charter`.
    pub approvals: Vec<OperatorApproval>,
    /// Even while signers are being asked about payments: these may then wait for ever.
    #[serde(default)]
    pub force: bool,
}

/// A charter that was adopted.
#[derive(Serialize, ToSchema)]
pub struct CharterAnswer {
    version: u64,
    digest: String,
    /// Signers that hold it.
    signers: Vec<String>,
}

/// Have every signer take the next charter, signed by a quorum of the one in force. This system then begins anew with it.
#[utoipa::path(post, path = "/v1/charter", request_body = CharterBody, params(("Idempotency-Key" = String, Header)),
    responses((status = 200, body = CharterAnswer), (status = 403, body = ProblemBody), (status = 409, body = ProblemBody),
              (status = 422, body = ProblemBody), (status = 503, body = ProblemBody)))]
async fn adopt(State(app): State<App>, caller: ByOperator) -> Result<Json<CharterAnswer>, Problem> {
    let wanted: CharterBody = body(&caller.request)?;
    let approval = |approval: &OperatorApproval| {
        let operator = approval.operator.parse();
        let operator =
            operator.map_err(|_| Problem::invalid("approvals", format!("\"{}\" is nobody", approval.operator)))?;
        Ok(types::Approval { operator, signature: approval.signature.clone() })
    };
    let approvals = wanted.approvals.iter().map(approval).collect::<Result<Vec<_>, Problem>>()?;
    let actor = format!("operator:{}", caller.operator);
    let adopted = app.adopt_charter(&wanted.charter, &approvals, wanted.force, &actor, now()).await?;
    Ok(Json(CharterAnswer { version: adopted.version, digest: adopted.digest, signers: adopted.signers }))
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
