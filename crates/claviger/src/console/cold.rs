//! Coins between the hot and the cold wallet: asking, what to carry where, and how far each signer without a network is.

use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Redirect, Response};
use paper::qr::{Correction, Qr};
use paper::ur::{Parts, SCREEN_FRAGMENT_BYTES};
use policy::{Action, WalletClass};
use serde::Deserialize;
use signer_wire::{Answer, Bundle};
use types::{Amount, Instruction, sentence, words};

use super::frame::{Frame, form_key, money, time};
use super::visit::{Person, Shown, render};
use crate::api::{App, standing};
use crate::custody::{Carriage, Waiting, now};
use crate::problem::Problem;

const HERE: &str = "/console/cold";

/// A way for coins, as a form.
pub struct Way {
    key: String,
    title: &'static str,
    lead: &'static str,
    from: String,
    to: String,
    holds: String,
    button: &'static str,
}

/// How far one signer is.
pub struct Carrier {
    signer: String,
    state: &'static str,
    tone: &'static str,
    words: String,
    since: String,
    refusal: String,
}

/// A transaction that people carry.
pub struct Trip {
    txid: String,
    state: &'static str,
    sentences: Vec<String>,
    progress: String,
    signers: Vec<Carrier>,
    open: bool,
}

#[derive(Template)]
#[template(path = "cold.html")]
struct ColdPage {
    frame: Frame,
    ways: Vec<Way>,
    trips: Vec<Trip>,
    may: bool,
    said: String,
}

#[derive(Template)]
#[template(path = "codes.html")]
struct CodesPage {
    frame: Frame,
    txid: String,
    signer: String,
    words: String,
    digest: String,
    notes: Vec<String>,
    /// Drawings of ours, without style and script.
    codes: Vec<String>,
    count: usize,
}

fn trip(waiting: &Waiting) -> Trip {
    let carrier = |(signer, row): &(types::SignerId, Option<store::CarriedRow>)| {
        let state = standing(row.as_ref());
        Carrier {
            signer: signer.to_string(),
            state,
            tone: match state {
                "signed" => "good",
                "refused" => "bad",
                "asked" => "wait",
                _ => "plain",
            },
            words: row.as_ref().map(|row| words(&row.bundle).join(" ")).unwrap_or_default(),
            since: row.as_ref().map(|row| time(row.updated)).unwrap_or_default(),
            refusal: row.as_ref().map(|row| row.refusal.clone()).unwrap_or_default(),
        }
    };
    let read = |payment: &store::PaymentRow| {
        let instruction = Instruction::from_canonical(payment.canonical.as_bytes());
        instruction.map_or_else(|_| payment.id.clone(), |instruction| sentence(&instruction))
    };
    Trip {
        txid: waiting.row.txid.clone(),
        state: waiting.row.state.as_str(),
        sentences: waiting.payments.iter().map(read).collect(),
        progress: format!("{} of {} signatures are here", waiting.signed(), waiting.needed),
        signers: waiting.signers.iter().map(carrier).collect(),
        open: waiting.row.state == store::TransactionState::Generated,
    }
}

/// Refilling and sweeping, for each pair of a hot and a cold wallet.
async fn ways(app: &App) -> Result<Vec<Way>, Shown> {
    let of = |class| app.charter.wallets.iter().filter(move |wallet| wallet.class == class);
    let balances = app.store.balances().await?;
    let holds = |wallet: &policy::Wallet| {
        let name = format!("wallet:{}", wallet.id);
        let found = balances.iter().find(|balance| balance.name == name);
        let coins = found.map(|balance| crate::api::BalanceAnswer::new(balance, app.asset).available);
        money(app, coins.and_then(|text| text.parse::<Amount>().ok()).unwrap_or_default())
    };
    let mut ways = Vec::new();
    for hot in of(WalletClass::Hot) {
        for cold in of(WalletClass::Cold) {
            let way = |title, lead, from: &policy::Wallet, to: &policy::Wallet, button| Way {
                key: form_key(),
                title,
                lead,
                from: from.id.to_string(),
                to: to.id.to_string(),
                holds: holds(from),
                button,
            };
            let lead = "Others approve it. Then people carry a bundle to signers without a network, one trip for each.";
            ways.push(way("Refill hot from cold", lead, cold, hot, "Ask to refill"));
            let lead = "Others approve it. Connected signers sign it; nothing has to be carried.";
            ways.push(way("Sweep hot to cold", lead, hot, cold, "Ask to sweep"));
        }
    }
    Ok(ways)
}

/// The page.
pub async fn page(State(app): State<App>, person: Person) -> Result<Response, Shown> {
    shown(&app, &person, String::new()).await
}

async fn shown(app: &App, person: &Person, said: String) -> Result<Response, Shown> {
    let waiting = app.waiting_for_hands().await.map_err(|error| Problem::new(500, "storage", error.to_string()))?;
    Ok(render(&ColdPage {
        frame: Frame::new(app, person, HERE, said.is_empty()).await?,
        ways: if person.may(Action::RequestTransfer) { ways(app).await? } else { vec![] },
        // What has its signatures waits for the next round of the worker, and for nobody's trip.
        trips: waiting.iter().filter(|one| one.signed() < one.needed).map(trip).collect(),
        may: person.may(Action::TendPayments),
        said,
    }))
}

async fn carriage(app: &App, person: &Person, txid: &str, signer: &str) -> Result<Carriage, Shown> {
    app.allow(&person.id, Action::TendPayments, now()).await?;
    Ok(app.bundle(txid, signer, &format!("operator:{}", person.id), now()).await?)
}

/// The bundle as a file to carry.
pub async fn bundle(
    State(app): State<App>,
    person: Person,
    Path((txid, signer)): Path<(String, String)>,
) -> Result<Response, Shown> {
    let bundle = carriage(&app, &person, &txid, &signer).await?.bundle;
    let name = format!("{}-{}.bundle", txid.get(..12).unwrap_or_default(), bundle.signer);
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, bundle.to_bytes()).into_response())
}

/// The bundle as moving codes.
pub async fn codes(
    State(app): State<App>,
    person: Person,
    Path((txid, signer)): Path<(String, String)>,
) -> Result<Response, Shown> {
    let Carriage { bundle, notes } = carriage(&app, &person, &txid, &signer).await?;
    let wrong = |error: String| Problem::new(409, "too-long", format!("{error}; carry the file"));
    let parts = Parts::new(Bundle::KIND, &bundle.to_bytes(), SCREEN_FRAGMENT_BYTES)
        .map_err(|error| wrong(error.to_string()))?;
    let count = parts.needed();
    let draw = |part: String| Qr::new(&part, Correction::Medium).map(|code| code.to_svg().to_string());
    // Half as many again stand in for codes that a camera missed.
    let codes = parts.take(count + count.div_ceil(2)).map(draw).collect::<Result<Vec<_>, _>>();
    let digest = bundle.digest();
    Ok(render(&CodesPage {
        frame: Frame::new(&app, &person, HERE, false).await?,
        txid,
        signer: bundle.signer,
        words: words(&digest).join(" "),
        digest: digest.to_string(),
        notes,
        codes: codes.map_err(|error| wrong(error.to_string()))?,
        count,
    }))
}

/// What somebody brings: the file's text, or the lines that a scanner yielded.
#[derive(Deserialize)]
pub struct AnswerForm {
    answer: String,
}

/// Takes an answer in.
pub async fn answer(
    State(app): State<App>,
    person: Person,
    Path(txid): Path<String>,
    Form(form): Form<AnswerForm>,
) -> Result<Response, Shown> {
    app.allow(&person.id, Action::TendPayments, now()).await?;
    let text = form.answer.trim();
    let bytes = if text.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("ur:")) {
        crate::cli::collect(Answer::KIND, text.as_bytes()).map_err(|error| Problem::invalid("answer", error))?
    } else {
        text.as_bytes().to_vec()
    };
    app.take_answer(&txid, &bytes, &format!("operator:{}", person.id), now()).await?;
    Ok(Redirect::to(HERE).into_response())
}
