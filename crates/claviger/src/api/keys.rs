//! The board of keys: what every signer says of its own, asked now.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use signer_client::SignerClient;
use signer_wire::{Ceremony, KeyLine, ReplyBody, RequestBody, SlotLine};
use utoipa::ToSchema;

use super::App;
use super::answers::List;
use super::auth::ByOperator;
use crate::config::SignerConfig;
use crate::custody::blocking;

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
