//! What operators ask signers for, through this system: states, freezing, opening latches, the next charter. Signers decide.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use policy::Action;
use serde::{Deserialize, Serialize};
use signer_client::SignerClient;
use signer_wire::{ReplyBody, RequestBody};
use types::{Instruction, sentence};
use utoipa::ToSchema;

use super::App;
use super::answers::List;
use super::auth::{ByOperator, body};
use super::respond::ProblemBody;
use crate::config::SignerConfig;
use crate::custody::{blocking, now};
use crate::problem::Problem;

/// A signer as it answers now.
#[derive(Serialize, ToSchema)]
pub struct SignerAnswer {
    /// Its name.
    pub signer: String,
    /// Where it listens.
    pub address: String,
    /// Whether it answers.
    pub up: bool,
    /// What stands in the way, if anything.
    pub error: Option<String>,
    /// Latches that are closed.
    pub latches: Vec<String>,
    /// Version of the charter that it holds.
    pub charter: Option<u64>,
    /// Records in its journal.
    pub journal: Option<u64>,
    /// Limits with what is used of them.
    pub limits: Vec<LimitAnswer>,
}

/// A limit.
#[derive(Serialize, ToSchema)]
pub struct LimitAnswer {
    pub wallet: String,
    /// Empty for all tiers together.
    pub tier: String,
    pub seconds: u64,
    /// Base units.
    pub amount_max: String,
    pub used: String,
    /// What all signers together can let through at most, whoever owns the server.
    pub exposure_max: String,
    /// The same when one signer is the attacker's too.
    pub exposure_owned_max: String,
}

/// Signers, their latches and their limits, asked now.
#[utoipa::path(get, path = "/v1/signers", responses((status = 200, body = List<SignerAnswer>)))]
pub async fn signers(State(app): State<App>, _caller: ByOperator) -> Json<List<SignerAnswer>> {
    Json(List { items: blocking(|| ask_signers(&app)), next: None })
}

/// How long a page waits for a signer that hangs.
const PATIENCE: Duration = Duration::from_secs(5);

/// What every signer answers now: all asked at once, over connections of their own, and none waited for that hangs: whoever wants
/// to freeze the others must come to the button.
pub fn ask_signers(app: &App) -> Vec<SignerAnswer> {
    let clients = crate::custody::connect_signers(&app.config).unwrap_or_default();
    let mut clients: Vec<SignerClient> = clients.into_iter().map(|client| client.with_patience(PATIENCE)).collect();
    std::thread::scope(|scope| {
        let pairs = clients.iter_mut().zip(&app.config.signers);
        let asked: Vec<_> = pairs.map(|(client, config)| scope.spawn(move || ask_signer(client, config))).collect();
        asked.into_iter().filter_map(|answer| answer.join().ok()).collect()
    })
}

fn ask_signer(client: &mut SignerClient, config: &SignerConfig) -> SignerAnswer {
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
    if answer.up
        && let Ok(ReplyBody::Exposure(limits)) = client.call(RequestBody::Exposure)
    {
        let show = |limit: signer_wire::Limit| LimitAnswer {
            wallet: limit.wallet,
            tier: limit.tier,
            seconds: limit.seconds,
            amount_max: limit.amount_max,
            used: limit.used,
            exposure_max: limit.exposure_max,
            exposure_owned_max: limit.exposure_owned_max,
        };
        answer.limits = limits.into_iter().map(show).collect();
    }
    answer
}

/// A latch to close.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FreezeBody {
    /// `all`, `wallet:NAME`, `asset:NAME`, `customer:NAME`, or `signer:NAME` for one signer alone.
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
pub async fn freeze(State(app): State<App>, caller: ByOperator) -> Result<Json<FreezeAnswer>, Problem> {
    caller.may(&app, Action::Freeze).await?;
    let FreezeBody { latch, reason } = body(&caller.request)?;
    let frozen = app.freeze_by(&caller.operator, &latch, &reason, now()).await?;
    Ok(Json(FreezeAnswer { frozen: frozen.at, failed: frozen.failed }))
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
pub async fn execute(State(app): State<App>, caller: ByOperator) -> Result<Json<ExecuteAnswer>, Problem> {
    caller.may(&app, Action::CarryOut).await?;
    let wanted: ExecuteBody = body(&caller.request)?;
    let instruction = Instruction::from_canonical(wanted.instruction.as_bytes())
        .map_err(|error| Problem::invalid("instruction", error.to_string()))?;
    let only = match &instruction.body {
        types::Body::Unfreeze(freeze) if freeze.signer.as_str() == types::EVERY_SIGNER => None,
        types::Body::Unfreeze(freeze) => Some(freeze.signer.to_string()),
        types::Body::KeyStep(step) if step.signer.as_str() != types::EVERY_SIGNER => Some(step.signer.to_string()),
        types::Body::AnchorRelease { .. } | types::Body::AddressEntry { .. } | types::Body::KeyStep(_) => None,
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
pub async fn charter(State(app): State<App>, _caller: ByOperator) -> Result<Json<serde_json::Value>, Problem> {
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
pub async fn adopt(State(app): State<App>, caller: ByOperator) -> Result<Json<CharterAnswer>, Problem> {
    caller.may(&app, Action::CarryOut).await?;
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
