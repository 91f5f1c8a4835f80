//! The board of keys: what every signer says of its own, asked now.

use axum::Json;
use axum::extract::State;
use policy::Action;
use serde::{Deserialize, Serialize};
use signer_client::SignerClient;
use signer_wire::{Ceremony, KeyLine, ReplyBody, RequestBody, SlotLine};
use store::Move;
use types::Digest;
use utoipa::ToSchema;

use super::App;
use super::answers::List;
use super::auth::{ByOperator, body};
use super::respond::ProblemBody;
use crate::config::SignerConfig;
use crate::custody::{blocking, now};
use crate::problem::Problem;

/// A signer's keys as it answers now.
#[derive(Serialize, ToSchema)]
pub struct KeysAnswer {
    /// Its name.
    pub signer: String,
    /// Whether it has no network: its board is then read at its own machine.
    pub offline: bool,
    /// What stands in the way, if anything.
    pub error: Option<String>,
    /// Who administers its machine.
    pub custodians: Vec<String>,
    /// Every key that it ever had.
    pub keys: Vec<KeyAnswer>,
    /// Who can open its sealed files.
    pub slots: Vec<SlotAnswer>,
    /// The newest ceremonies, newest first.
    pub ceremonies: Vec<CeremonyAnswer>,
}

/// A key.
#[derive(Serialize, ToSchema)]
pub struct KeyAnswer {
    /// Whose.
    pub signer: String,
    /// `signature` (K1), `verification` (K2), `sealing` (K3) or `seed` (K4).
    pub kind: String,
    /// Its name among its kind.
    pub name: String,
    /// Its state.
    pub state: String,
    /// Since when.
    pub since: String,
    /// Who brought it there.
    pub person: String,
    /// At which terminal.
    pub terminal: String,
    /// An instruction, or what else brought it about.
    pub cause: String,
    /// The wallet that depends on it; empty when none does.
    pub wallet: String,
    /// Whether it can sign now.
    pub open: bool,
    /// Until when a quorum lets it be open.
    pub until: String,
    /// Signatures that are left of what the quorum allowed.
    pub signatures_left: u64,
    /// How long it was open in all, in seconds.
    pub active_seconds: u64,
    /// How often it moved.
    pub moves: u64,
    /// The device that holds it: maker, model, firmware, serial number; empty when none does.
    pub device: String,
}

/// A way to open a sealed file.
#[derive(Serialize, ToSchema)]
pub struct SlotAnswer {
    /// `seed` or `accounts`.
    pub vault: String,
    /// Its name.
    pub slot: String,
    /// What it takes.
    pub kind: String,
    /// Who holds it.
    pub holders: Vec<String>,
    /// The sealing key that it gives.
    pub sealing_key: String,
}

/// A ceremony.
#[derive(Serialize, ToSchema)]
pub struct CeremonyAnswer {
    /// When.
    pub at: String,
    /// Which step.
    pub step: String,
    /// What came of it.
    pub detail: String,
    /// Who.
    pub person: String,
    /// At which terminal.
    pub terminal: String,
    /// An instruction, or what else brought it about.
    pub cause: String,
}

impl From<SlotLine> for SlotAnswer {
    fn from(slot: SlotLine) -> SlotAnswer {
        let SlotLine { vault, slot, kind, holders, sealing_key } = slot;
        SlotAnswer { vault, slot, kind, holders, sealing_key }
    }
}

impl From<Ceremony> for CeremonyAnswer {
    fn from(held: Ceremony) -> CeremonyAnswer {
        let Ceremony { at, step, detail, person, terminal, cause } = held;
        CeremonyAnswer { at, step, detail, person, terminal, cause }
    }
}

impl KeyAnswer {
    fn of(signer: &str, key: KeyLine) -> KeyAnswer {
        KeyAnswer {
            signer: signer.to_owned(),
            kind: key.kind,
            name: key.name,
            state: key.state,
            since: key.since,
            person: key.person,
            terminal: key.terminal,
            cause: key.cause,
            wallet: key.wallet,
            open: key.open,
            until: key.until,
            signatures_left: key.signatures_left,
            active_seconds: key.active_seconds,
            moves: key.moves,
            device: key.device,
        }
    }
}

impl KeysAnswer {
    fn of(signer: &str) -> KeysAnswer {
        KeysAnswer {
            signer: signer.to_owned(),
            offline: false,
            error: None,
            custodians: vec![],
            keys: vec![],
            slots: vec![],
            ceremonies: vec![],
        }
    }
}

/// The board of keys: every signer asked now.
#[utoipa::path(get, path = "/v1/keys", responses((status = 200, body = List<KeysAnswer>)))]
pub async fn keys(State(app): State<App>, _caller: ByOperator) -> Json<List<KeysAnswer>> {
    Json(List { items: blocking(|| ask_keys(&app)), next: None })
}

/// The domain over which a ceremony's transcript is digested and signed.
const TRANSCRIPT: &[u8] = b"claviger-transcript-v1\n";

/// A ceremony's transcript.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TranscriptBody {
    /// Its bytes, as text, as `claviger-signer transcript` wrote them.
    pub transcript: String,
}

/// A transcript that is in the audit log.
#[derive(Serialize, ToSchema)]
pub struct TranscriptAnswer {
    /// What signers and people signed.
    pub digest: String,
    /// Six words of it.
    pub words: String,
    /// Number of the entry in the audit log.
    pub entry: u64,
}

/// Keep a ceremony's transcript in the audit log, word for word. Whether its signatures hold is for `claviger-signer transcript verify`
/// to say, on anyone's machine. The same transcript again is the same entry.
#[utoipa::path(post, path = "/v1/transcripts", request_body = TranscriptBody, params(("Idempotency-Key" = String, Header)),
    responses((status = 200, body = TranscriptAnswer), (status = 403, body = ProblemBody), (status = 422, body = ProblemBody)))]
pub async fn transcript(State(app): State<App>, caller: ByOperator) -> Result<Json<TranscriptAnswer>, Problem> {
    caller.may(&app, Action::CarryOut).await?;
    let wanted: TranscriptBody = body(&caller.request)?;
    let value: serde_json::Value = serde_json::from_str(&wanted.transcript)
        .map_err(|_| Problem::invalid("transcript", "a transcript is one JSON object, as claviger-signer wrote it"))?;
    let named = value.get("ceremony").and_then(serde_json::Value::as_str).filter(|name| !name.is_empty());
    if named.is_none() || !value.get("parties").is_some_and(serde_json::Value::is_array) {
        return Err(Problem::invalid("transcript", "a transcript names its ceremony and its parties"));
    }
    let digest = Digest::of(&[TRANSCRIPT, wanted.transcript.as_bytes()]);
    let (subject, action) = (digest.to_string(), "ceremony.transcript");
    if app.store.audit_about(&subject, action).await?.is_none() {
        let actor = format!("operator:{}", caller.operator);
        app.store.commit(Move::new(now()).audit(&actor, action, &subject, wanted.transcript)).await?;
    }
    let kept = app.store.audit_about(&subject, action).await?;
    let entry = kept.ok_or_else(|| Problem::unavailable("storage", "the entry is not there; send it again"))?.seq;
    Ok(Json(TranscriptAnswer { digest: subject, words: types::words(&digest).join(" "), entry }))
}

/// What every signer says of its keys now; those without a network are named, and asked at their own machines.
pub fn ask_keys(app: &App) -> Vec<KeysAnswer> {
    let mut clients = crate::custody::connect_signers(&app.config).unwrap_or_default();
    let mut answers: Vec<KeysAnswer> = std::thread::scope(|scope| {
        let pairs = clients.iter_mut().zip(&app.config.signers);
        let asked: Vec<_> = pairs.map(|(client, config)| scope.spawn(move || ask(client, config))).collect();
        asked.into_iter().filter_map(|answer| answer.join().ok()).collect()
    });
    for signer in app.charter.signers.iter().filter(|signer| signer.offline) {
        let custodians = signer.custodians.iter().map(ToString::to_string).collect();
        answers.push(KeysAnswer { offline: true, custodians, ..KeysAnswer::of(signer.id.as_str()) });
    }
    answers
}

fn ask(client: &mut SignerClient, config: &SignerConfig) -> KeysAnswer {
    let mut answer = KeysAnswer::of(&config.id);
    match client.call(RequestBody::Board) {
        Ok(ReplyBody::Board { keys, ceremonies, slots, custodians }) => {
            answer.custodians = custodians;
            answer.keys = keys.into_iter().map(|key| KeyAnswer::of(&config.id, key)).collect();
            answer.slots = slots.into_iter().map(SlotAnswer::from).collect();
            answer.ceremonies = ceremonies.into_iter().map(CeremonyAnswer::from).collect();
        }
        Ok(_) => answer.error = Some("it answered something else".to_owned()),
        Err(error) => answer.error = Some(crate::custody::explain(error)),
    }
    answer
}
