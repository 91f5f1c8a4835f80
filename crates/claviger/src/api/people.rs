//! Operators, their passkeys, and what they decide together.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use policy::Action;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::answers::List;
use super::auth::{ByOperator, body};
use super::operator::ApprovalBody;
use super::respond::ProblemBody;
use crate::custody::{Explanation, Proposal, Standing, WhatIf, now, session_name};
use crate::problem::Problem;

/// An operator with the passkeys that were enrolled.
#[derive(Serialize, ToSchema)]
pub struct OperatorAnswer {
    operator: String,
    name: String,
    organisation: String,
    roles: Vec<String>,
    /// End of the grant; absent for none.
    expires: Option<String>,
    /// When people mean to look at it again.
    review: Option<String>,
    passkeys: Vec<PasskeyAnswer>,
}

/// A passkey.
#[derive(Serialize, ToSchema)]
pub struct PasskeyAnswer {
    /// Identifier of the credential.
    id: String,
    /// Compressed public key, hexadecimal: what the charter names.
    public_key: String,
    device_bound: bool,
    /// Whether the charter names it: only then its approvals count.
    approves: bool,
    enrolled: String,
    revoked: Option<String>,
}

/// Operators of the charter, and whoever else enrolled a passkey.
#[utoipa::path(get, path = "/v1/operators", responses((status = 200, body = List<OperatorAnswer>)))]
pub async fn operators(State(app): State<App>, _caller: ByOperator) -> Result<Json<List<OperatorAnswer>>, Problem> {
    let credentials = app.store.credentials().await?;
    let mut items: Vec<_> = app
        .charter
        .operators
        .iter()
        .map(|operator| OperatorAnswer {
            operator: operator.id.to_string(),
            name: operator.name.clone(),
            organisation: operator.organisation.clone(),
            roles: operator.roles.iter().map(|role| role.as_str().to_owned()).collect(),
            expires: operator.expires.map(|at| at.to_string()),
            review: operator.review.map(|at| at.to_string()),
            passkeys: vec![],
        })
        .collect();
    for row in credentials {
        let named = app.charter.operators.iter().flat_map(|operator| &operator.passkeys);
        let passkey = PasskeyAnswer {
            approves: named.into_iter().any(|passkey| passkey.credential == row.id),
            public_key: hex::encode(&row.public_key),
            device_bound: row.device_bound,
            enrolled: row.created.to_string(),
            revoked: row.revoked.map(|at| at.to_string()),
            id: row.id,
        };
        match items.iter_mut().find(|item| item.operator == row.operator) {
            Some(item) => item.passkeys.push(passkey),
            None => items.push(OperatorAnswer {
                operator: row.operator,
                name: String::new(),
                organisation: String::new(),
                roles: vec![],
                expires: None,
                review: None,
                passkeys: vec![passkey],
            }),
        }
    }
    Ok(Json(List { items, next: None }))
}

/// Whom to invite.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InvitationBody {
    /// Identifier; a new one for somebody whom the next charter is to name.
    operator: String,
}

/// An invitation.
#[derive(Serialize, ToSchema)]
pub struct InvitationAnswer {
    operator: String,
    /// Works once. Hand it over in person, or by a channel on which you know each other.
    link: String,
    expires: String,
}

/// Make a one-time link with which somebody enrols a passkey.
#[utoipa::path(post, path = "/v1/invitations", request_body = InvitationBody, params(("Idempotency-Key" = String, Header)),
    responses((status = 201, body = InvitationAnswer), (status = 403, body = ProblemBody), (status = 422, body = ProblemBody)))]
pub async fn invite(
    State(app): State<App>,
    caller: ByOperator,
) -> Result<(StatusCode, Json<InvitationAnswer>), Problem> {
    caller.may(&app, Action::Invite).await?;
    let wanted: InvitationBody = body(&caller.request)?;
    let made = app.invite(&wanted.operator, &caller.operator, now()).await?;
    let answer = InvitationAnswer { operator: made.operator, link: made.link, expires: made.expires.to_string() };
    Ok((StatusCode::CREATED, Json(answer)))
}

/// What became of a report.
#[derive(Serialize, ToSchema)]
pub struct LostAnswer {
    /// Whether the passkey is revoked now; otherwise one more person has to say so.
    revoked: bool,
}

/// Say that a passkey's device is lost. The owner ends it at once; otherwise two others do.
#[utoipa::path(post, path = "/v1/passkeys/{id}/lost", params(("id" = String, Path), ("Idempotency-Key" = String, Header)),
    responses((status = 200, body = LostAnswer), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub async fn lost(
    State(app): State<App>,
    Path(id): Path<String>,
    caller: ByOperator,
) -> Result<Json<LostAnswer>, Problem> {
    Ok(Json(LostAnswer { revoked: app.report_lost(&id, &caller.operator, now()).await? }))
}

/// Somebody who is or was signed in at the console.
#[derive(Serialize, ToSchema)]
pub struct SessionAnswer {
    /// What it is called; opens nothing.
    id: String,
    operator: String,
    /// The passkey that opened it.
    passkey: String,
    /// From where.
    source: String,
    /// What the browser says of itself.
    terminal: String,
    created: String,
    /// When it was used last, to the minute.
    seen: String,
    expires: String,
    /// When it was ended before that.
    ended: Option<String>,
}

impl From<store::SessionRow> for SessionAnswer {
    fn from(row: store::SessionRow) -> SessionAnswer {
        SessionAnswer {
            id: session_name(&row),
            operator: row.operator,
            passkey: row.credential,
            source: row.source,
            terminal: row.terminal,
            created: row.created.to_string(),
            seen: row.seen.to_string(),
            expires: row.expires.to_string(),
            ended: row.ended.map(|at| at.to_string()),
        }
    }
}

/// The newest sessions of everybody.
#[utoipa::path(get, path = "/v1/sessions", responses((status = 200, body = List<SessionAnswer>)))]
pub async fn sessions(State(app): State<App>, _caller: ByOperator) -> Result<Json<List<SessionAnswer>>, Problem> {
    let items = app.store.sessions(100).await?.into_iter().map(SessionAnswer::from).collect();
    Ok(Json(List { items, next: None }))
}

/// End a session: your own, or as an approver or administrator anybody's.
#[utoipa::path(post, path = "/v1/sessions/{id}/end", params(("id" = String, Path), ("Idempotency-Key" = String, Header)),
    responses((status = 200, body = SessionAnswer), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub async fn end_session(
    State(app): State<App>,
    Path(id): Path<String>,
    caller: ByOperator,
) -> Result<Json<SessionAnswer>, Problem> {
    Ok(Json(app.end_session(&id, &caller.operator, now()).await?.into()))
}

/// A proposal, and how far it is.
#[derive(Serialize, ToSchema)]
pub struct ProposalAnswer {
    id: String,
    /// unfreeze, address-entry, anchor-release or charter.
    kind: String,
    /// open, done or withdrawn.
    state: String,
    requester: String,
    sentence: String,
    /// Six words of the digest.
    words: String,
    /// What approvals are made over.
    digest: String,
    /// Canonical form: what `claviger-verify instruction` and `claviger-verify charter` read.
    canonical: String,
    /// What a charter changes.
    changes: Vec<String>,
    /// Who has signed validly.
    approvals: Vec<String>,
    /// What does not count, with the reason.
    refused: Vec<String>,
    /// What is missing; empty when enough have signed.
    missing: String,
    outcome: String,
    created: String,
}

impl From<Standing> for ProposalAnswer {
    fn from(standing: Standing) -> ProposalAnswer {
        let row = standing.row;
        ProposalAnswer {
            words: types::words(&row.digest).join(" "),
            digest: row.digest.to_string(),
            id: row.id,
            kind: row.kind,
            state: row.state,
            requester: row.requester,
            sentence: standing.sentence,
            canonical: row.text,
            changes: standing.changes.into_iter().map(|(place, change)| format!("{place}: {change}")).collect(),
            approvals: standing.people,
            refused: standing.refused,
            missing: standing.missing,
            outcome: row.outcome,
            created: row.created.to_string(),
        }
    }
}

async fn answer(app: &App, row: store::ProposalRow) -> Result<Json<ProposalAnswer>, Problem> {
    Ok(Json(app.standing(row, now()).await?.into()))
}

/// Put something before the people: a latch to open, a destination to enter, an anchor to release, the next charter.
#[utoipa::path(post, path = "/v1/proposals", request_body = Proposal, params(("Idempotency-Key" = String, Header)),
    responses((status = 200, body = ProposalAnswer), (status = 403, body = ProblemBody), (status = 409, body = ProblemBody),
              (status = 422, body = ProblemBody)))]
pub async fn propose(State(app): State<App>, caller: ByOperator) -> Result<Json<ProposalAnswer>, Problem> {
    let wanted: Proposal = body(&caller.request)?;
    let row = app.propose(&caller.operator, &caller.request.idempotency_key, &wanted, now()).await?;
    answer(&app, row).await
}

/// The newest proposals.
#[utoipa::path(get, path = "/v1/proposals", responses((status = 200, body = List<ProposalAnswer>)))]
pub async fn proposals(State(app): State<App>, _caller: ByOperator) -> Result<Json<List<ProposalAnswer>>, Problem> {
    let mut items = Vec::new();
    for row in app.store.proposals(100).await? {
        items.push(app.standing(row, now()).await?.into());
    }
    Ok(Json(List { items, next: None }))
}

/// A proposal as an approver has to see it.
#[utoipa::path(get, path = "/v1/proposals/{id}", params(("id" = String, Path)),
    responses((status = 200, body = ProposalAnswer), (status = 404, body = ProblemBody)))]
pub async fn proposal(
    State(app): State<App>,
    Path(id): Path<String>,
    _caller: ByOperator,
) -> Result<Json<ProposalAnswer>, Problem> {
    let row = app.store.proposal(&id).await?.ok_or_else(|| Problem::not_found("proposal"))?;
    answer(&app, row).await
}

/// Approve a proposal with a signature over its digest: SSH (namespace `claviger-approval`, for a charter `claviger-charter`) or a
/// passkey's assertion. With enough of them it is carried out at once.
#[utoipa::path(post, path = "/v1/proposals/{id}/approvals", request_body = ApprovalBody,
    params(("id" = String, Path), ("Idempotency-Key" = String, Header)),
    responses((status = 200, body = ProposalAnswer), (status = 403, body = ProblemBody), (status = 409, body = ProblemBody),
              (status = 503, body = ProblemBody)))]
pub async fn approve(
    State(app): State<App>,
    Path(id): Path<String>,
    caller: ByOperator,
) -> Result<Json<ProposalAnswer>, Problem> {
    caller.may(&app, Action::Approve).await?;
    let approval: ApprovalBody = body(&caller.request)?;
    let row = app.approve_proposal(&id, &caller.operator, &approval.signature, now()).await?;
    answer(&app, row).await
}

/// How to carry out.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CarryOutBody {
    /// A charter even while signers are being asked about payments: these may then wait for ever.
    #[serde(default)]
    force: bool,
}

/// Carry what enough people have signed to the signers again, when some of them were away.
#[utoipa::path(post, path = "/v1/proposals/{id}/carry-out", request_body = CarryOutBody,
    params(("id" = String, Path), ("Idempotency-Key" = String, Header)),
    responses((status = 200, body = ProposalAnswer), (status = 403, body = ProblemBody), (status = 409, body = ProblemBody),
              (status = 503, body = ProblemBody)))]
pub async fn carry_out(
    State(app): State<App>,
    Path(id): Path<String>,
    caller: ByOperator,
) -> Result<Json<ProposalAnswer>, Problem> {
    caller.may(&app, Action::CarryOut).await?;
    let wanted: CarryOutBody = body(&caller.request)?;
    let row = app.carry_out_proposal(&id, &caller.operator, wanted.force, now()).await?;
    answer(&app, row).await
}

/// Take a proposal back.
#[utoipa::path(post, path = "/v1/proposals/{id}/withdraw", params(("id" = String, Path), ("Idempotency-Key" = String, Header)),
    responses((status = 200, body = ProposalAnswer), (status = 403, body = ProblemBody), (status = 409, body = ProblemBody)))]
pub async fn withdraw(
    State(app): State<App>,
    Path(id): Path<String>,
    caller: ByOperator,
) -> Result<Json<ProposalAnswer>, Problem> {
    let row = app.withdraw_proposal(&id, &caller.operator, now()).await?;
    answer(&app, row).await
}

/// Ask what the charter would say to a payment, without asking for it.
#[utoipa::path(post, path = "/v1/policy/explain", request_body = WhatIf, params(("Idempotency-Key" = String, Header)),
    responses((status = 200, body = Explanation), (status = 422, body = ProblemBody)))]
pub async fn explain(State(app): State<App>, caller: ByOperator) -> Result<Json<Explanation>, Problem> {
    let wanted: WhatIf = body(&caller.request)?;
    app.what_if(&wanted, now()).await.map(Json)
}

/// A webhook.
#[derive(Serialize, ToSchema)]
pub struct WebhookAnswer {
    url: String,
    /// Number of the last event that it has taken.
    delivered: u64,
    /// Number of the newest event.
    newest: u64,
    /// Failures since then.
    failures: u32,
    /// When it is tried again, at the earliest.
    next: String,
    /// What went wrong last.
    problem: String,
    /// With what receivers verify (Standard Webhooks, `whpk_`).
    public_key: String,
}

async fn webhook_answer(app: &App, row: store::WebhookRow) -> Result<WebhookAnswer, Problem> {
    Ok(WebhookAnswer {
        url: row.url,
        delivered: row.delivered,
        newest: app.store.last_event().await?,
        failures: row.failures,
        next: row.next_at.to_string(),
        problem: row.problem,
        public_key: app.webhook_public_key().unwrap_or_default(),
    })
}

/// Webhooks, and how far each has been told.
#[utoipa::path(get, path = "/v1/webhooks", responses((status = 200, body = List<WebhookAnswer>)))]
pub async fn webhooks(State(app): State<App>, _caller: ByOperator) -> Result<Json<List<WebhookAnswer>>, Problem> {
    let mut items = Vec::new();
    for webhook in &app.config.webhooks {
        let row = app.webhook(&webhook.url).await;
        let row = row.map_err(|error| Problem::unavailable("storage", error.to_string()))?;
        items.push(webhook_answer(&app, row).await?);
    }
    Ok(Json(List { items, next: None }))
}

/// What is to be told again.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayBody {
    /// The webhook.
    url: String,
    /// Everything after this event.
    after: u64,
}

/// Tell a webhook everything again that happened after an event. Receivers know what they had by its `webhook-id`.
#[utoipa::path(post, path = "/v1/webhooks/replay", request_body = ReplayBody, params(("Idempotency-Key" = String, Header)),
    responses((status = 200, body = WebhookAnswer), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub async fn replay(State(app): State<App>, caller: ByOperator) -> Result<Json<WebhookAnswer>, Problem> {
    caller.may(&app, Action::ReplayEvents).await?;
    let wanted: ReplayBody = body(&caller.request)?;
    let row = app.replay_events(&wanted.url, wanted.after, &caller.operator, now()).await?;
    Ok(Json(webhook_answer(&app, row).await?))
}
