//! The first page: what is held, what moves, how much could leave.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use orders::{DepositState, PaymentState};
use policy::Action;
use types::{Amount, Moment};

use super::charts::{Day, bar, flows};
use super::frame::{Frame, money, tone};
use super::visit::{Person, Shown, render};
use crate::api::{App, BalanceAnswer, SignerAnswer, ask_signers};
use crate::custody::{blocking, now};

struct Alarm {
    code: String,
    subject: String,
    message: String,
    raised: String,
    for_people: bool,
}

struct Figure {
    label: String,
    value: String,
    unit: String,
    note: String,
}

struct Limit {
    name: String,
    bar: String,
    words: String,
}

struct Stage {
    what: &'static str,
    path: &'static str,
    name: String,
    tone: &'static str,
    count: usize,
}

struct Signer {
    name: String,
    tone: &'static str,
    words: &'static str,
    detail: String,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct Page {
    frame: Frame,
    alarms: Vec<Alarm>,
    may_tend: bool,
    figures: Vec<Figure>,
    limits: Vec<Limit>,
    flows: String,
    flow_in: String,
    flow_out: String,
    stages: Vec<Stage>,
    signers: Vec<Signer>,
}

pub async fn page(State(app): State<App>, person: Person) -> Result<Response, Shown> {
    let signers = blocking(|| ask_signers(&app));
    let (drawn, flow_in, flow_out) = two_weeks(&app).await?;
    let alarms = app.store.alarms().await?.into_iter().map(|row| Alarm {
        for_people: crate::custody::for_people(&row.code),
        code: row.code,
        subject: row.subject,
        message: row.message,
        raised: row.raised.to_string(),
    });
    Ok(render(&Page {
        frame: Frame::new(&app, &person, "/console", true).await?,
        alarms: alarms.collect(),
        may_tend: person.may(Action::TendPayments),
        figures: figures(&app).await?,
        limits: limits(&app, &signers),
        flows: drawn,
        flow_in,
        flow_out,
        stages: stages(&app).await?,
        signers: signers.into_iter().map(signer).collect(),
    }))
}

async fn figures(app: &App) -> Result<Vec<Figure>, Shown> {
    let balances = app.store.balances().await?;
    let symbol = app.asset.symbol().to_owned();
    let decimal = |amount: Amount| amount.to_decimal(app.asset.decimals());
    let sum = |prefix: &str, pick: fn(&BalanceAnswer) -> &str| {
        let own = balances.iter().filter(|balance| balance.name.starts_with(prefix));
        let amounts = own.filter_map(|balance| pick(&BalanceAnswer::new(balance, app.asset)).parse::<Amount>().ok());
        Amount::checked_sum(amounts).unwrap_or_default()
    };
    let available = |prefix: &str| sum(prefix, |balance| &balance.available);
    let owed = available("customer:").checked_add(sum("customer:", |balance| &balance.held)).unwrap_or_default();
    let mut figures = vec![Figure {
        label: "Owed to customers".to_owned(),
        value: decimal(owed),
        unit: symbol.clone(),
        note: format!(
            "{} customers; {} held for payments",
            app.charter.customers.len(),
            decimal(sum("customer:", |balance| &balance.held))
        ),
    }];
    for wallet in &app.charter.wallets {
        let name = format!("wallet:{}", wallet.id);
        let class = if wallet.class == policy::WalletClass::Hot { "hot" } else { "cold" };
        figures.push(Figure {
            label: format!("Wallet {} ({class})", wallet.id),
            value: decimal(available(&name)),
            unit: symbol.clone(),
            note: "by the books".to_owned(),
        });
    }
    figures.push(Figure {
        label: "Float of the house".to_owned(),
        value: decimal(available(crate::custody::FLOAT)),
        unit: symbol,
        note: "bears network fees".to_owned(),
    });
    Ok(figures)
}

/// Each limit as the signer that has used most of it counts it.
fn limits(app: &App, signers: &[SignerAnswer]) -> Vec<Limit> {
    let mut most: BTreeMap<(String, String, u64), (Amount, Amount, Amount)> = BTreeMap::new();
    let amount = |text: &str| text.parse::<Amount>().unwrap_or_default();
    for limit in signers.iter().flat_map(|signer| &signer.limits) {
        let key = (limit.wallet.clone(), limit.tier.clone(), limit.seconds);
        let entry = most.entry(key).or_insert((Amount::ZERO, amount(&limit.amount_max), amount(&limit.exposure_max)));
        entry.0 = entry.0.max(amount(&limit.used));
    }
    let show =
        |((wallet, tier, seconds), (used, max, exposure)): ((String, String, u64), (Amount, Amount, Amount))| Limit {
            name: if tier.is_empty() {
                format!("{wallet}: all tiers, within {}", span(seconds))
            } else {
                format!("{wallet}: {tier}, within {}", span(seconds))
            },
            bar: bar(used.units(), max.units()),
            words: format!(
                "{} of {} used; at most {} whoever owns this server",
                money(app, used),
                money(app, max),
                money(app, exposure)
            ),
        };
    most.into_iter().map(show).collect()
}

/// Seconds in words.
pub fn span(seconds: u64) -> String {
    match seconds {
        86_400 => "a day".to_owned(),
        3_600 => "an hour".to_owned(),
        seconds if seconds % 86_400 == 0 && seconds > 0 => format!("{} days", seconds / 86_400),
        seconds if seconds % 3_600 == 0 && seconds > 0 => format!("{} hours", seconds / 3_600),
        seconds if seconds % 60 == 0 && seconds > 0 => format!("{} minutes", seconds / 60),
        seconds => format!("{seconds} seconds"),
    }
}

async fn two_weeks(app: &App) -> Result<(String, String, String), Shown> {
    const DAYS: i64 = 14;
    let today = now().seconds().div_euclid(86_400);
    let first = today.saturating_sub(DAYS - 1);
    let since = Moment::from_seconds(first.saturating_mul(86_400));
    let name = |day: i64| {
        Moment::from_seconds(day.saturating_mul(86_400)).to_string().get(5..10).unwrap_or_default().to_owned()
    };
    let mut days: Vec<Day> = (first..=today).map(|day| Day { name: name(day), inward: 0, outward: 0 }).collect();
    let (mut all_in, mut all_out) = (Amount::ZERO, Amount::ZERO);
    let place = |at: Moment| usize::try_from(at.seconds().div_euclid(86_400).saturating_sub(first)).unwrap_or(0);
    for (at, amount) in app.store.credited_since(since).await? {
        all_in = all_in.checked_add(amount).unwrap_or(all_in);
        if let Some(day) = days.get_mut(place(at)) {
            day.inward = day.inward.saturating_add(amount.units());
        }
    }
    for (at, amount) in app.store.paid_out_since(since).await? {
        all_out = all_out.checked_add(amount).unwrap_or(all_out);
        if let Some(day) = days.get_mut(place(at)) {
            day.outward = day.outward.saturating_add(amount.units());
        }
    }
    Ok((flows(&days), money(app, all_in), money(app, all_out)))
}

async fn stages(app: &App) -> Result<Vec<Stage>, Shown> {
    let mut stages = Vec::new();
    for state in PaymentState::ALL.iter().filter(|state| state.is_open()) {
        let count = app.store.payments_in(*state).await?.len();
        if count > 0 {
            stages.push(Stage {
                what: "Payments",
                path: "/console/withdrawals",
                name: state.to_string(),
                tone: tone(state.as_str()),
                count,
            });
        }
    }
    for state in [DepositState::Seen, DepositState::Confirming, DepositState::Confirmed, DepositState::Quarantined] {
        let count = app.store.deposits_in(state).await?.len();
        if count > 0 {
            stages.push(Stage {
                what: "Deposits",
                path: "/console/deposits",
                name: state.to_string(),
                tone: tone(&state.to_string()),
                count,
            });
        }
    }
    Ok(stages)
}

fn signer(answer: SignerAnswer) -> Signer {
    let (tone, words) = match (answer.up, answer.latches.is_empty()) {
        (true, true) => ("good", "signs"),
        (true, false) => ("bad", "frozen"),
        (false, _) => ("bad", "away"),
    };
    let detail = match &answer.error {
        Some(error) => error.clone(),
        None => {
            format!("charter {}, journal at {}", answer.charter.unwrap_or_default(), answer.journal.unwrap_or_default())
        }
    };
    Signer { name: answer.signer, tone, words, detail }
}
