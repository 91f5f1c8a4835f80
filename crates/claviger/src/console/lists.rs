//! Pages that are lists: payments, deposits, wallets, books; and the small forms that stand on them.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use policy::Action;
use serde::Deserialize;
use store::PaymentRow;
use types::Amount;

use super::frame::{Frame, form_key, money, time, tone};
use super::visit::{Person, Sent, Shown, render};
use crate::api::{App, BalanceAnswer, PageQuery, cursor};
use crate::custody::{TransferBody, now};
use crate::problem::Problem;

/// A cell of a table.
#[derive(Default)]
pub struct Cell {
    pub text: String,
    pub small: String,
    pub tone: String,
    pub path: String,
    pub action: String,
    pub number: bool,
    pub mono: bool,
    pub time: bool,
}

impl Cell {
    pub fn plain(text: impl ToString) -> Cell {
        Cell { text: text.to_string(), ..Cell::default() }
    }

    pub fn time(at: types::Moment) -> Cell {
        Cell { time: true, ..Cell::plain(time(at)) }
    }

    pub fn mono(text: impl ToString) -> Cell {
        Cell { mono: true, ..Cell::plain(text) }
    }

    pub fn number(text: impl ToString) -> Cell {
        Cell { number: true, ..Cell::plain(text) }
    }

    /// A state, coloured, with what there is to say about it.
    pub fn state(text: impl ToString, small: &str) -> Cell {
        let tone = tone(&text.to_string()).to_owned();
        Cell { tone, small: small.to_owned(), ..Cell::plain(text) }
    }

    pub fn tag(text: &str, tone: &str) -> Cell {
        Cell { tone: tone.to_owned(), ..Cell::plain(text) }
    }

    pub fn link(text: impl ToString, path: String) -> Cell {
        Cell { path, ..Cell::plain(text) }
    }

    pub fn button(text: &str, action: String) -> Cell {
        Cell { action, ..Cell::plain(text) }
    }
}

#[derive(Default)]
pub struct Table {
    pub title: String,
    pub heads: &'static [&'static str],
    pub rows: Vec<Vec<Cell>>,
    pub empty: &'static str,
    /// Path of the next page; empty on the last.
    pub next: String,
}

impl Table {
    /// Whether a column holds numbers, which stand on the right.
    fn number(&self, place: &usize) -> bool {
        self.rows.first().and_then(|row| row.get(*place)).is_some_and(|cell| cell.number)
    }
}

#[derive(Default)]
pub struct Field {
    pub name: &'static str,
    pub label: &'static str,
    pub value: String,
    pub hidden: bool,
    pub choices: Vec<String>,
}

impl Field {
    pub fn text(name: &'static str, label: &'static str) -> Field {
        Field { name, label, ..Field::default() }
    }

    pub fn choice(name: &'static str, label: &'static str, choices: Vec<String>) -> Field {
        Field { name, label, choices, ..Field::default() }
    }

    /// The name under which the form is sent once.
    pub fn key() -> Field {
        Field { name: "key", value: form_key(), hidden: true, ..Field::default() }
    }
}

pub struct FormView {
    pub title: &'static str,
    pub action: String,
    pub fields: Vec<Field>,
    pub button: &'static str,
    pub note: &'static str,
}

#[derive(Template)]
#[template(path = "list.html")]
pub struct ListPage {
    pub frame: Frame,
    pub title: &'static str,
    pub lead: &'static str,
    pub forms: Vec<FormView>,
    pub tables: Vec<Table>,
    pub notes: Vec<String>,
}

const PAYMENT_HEADS: &[&str] = &["Asked", "State", "Amount", "By", "To", "Instruction"];

fn payment_row(app: &App, row: &PaymentRow) -> Vec<Cell> {
    vec![
        Cell::time(row.created),
        Cell::state(row.state, &row.reason),
        Cell::number(money(app, row.amount)),
        Cell::plain(&row.requester),
        Cell { small: row.destination_wallet.clone(), ..Cell::mono(&row.destination) },
        // The whole name stands on its page.
        Cell {
            mono: true,
            ..Cell::link(format!("{}…", row.id.get(..11).unwrap_or(&row.id)), format!("/console/payments/{}", row.id))
        },
    ]
}

async fn payment_table(app: &App, kind: &str, page: &PageQuery, path: &str) -> Result<Table, Shown> {
    let rows = app.store.payments(kind, "", &page.page()?).await?;
    let full = rows.len() >= usize::try_from(page.limit()).unwrap_or(usize::MAX);
    let next = rows.last().filter(|_| full).map(|row| format!("{path}?after={}", cursor(row.created, &row.id)));
    Ok(Table {
        heads: PAYMENT_HEADS,
        rows: rows.iter().map(|row| payment_row(app, row)).collect(),
        empty: "Nobody has asked for one yet.",
        next: next.unwrap_or_default(),
        ..Table::default()
    })
}

async fn waiting_table(app: &App, kind: &str) -> Result<Table, Shown> {
    let rows = app.store.payments_in(orders::PaymentState::AwaitingApproval).await?;
    Ok(Table {
        title: "Waiting for people".to_owned(),
        heads: PAYMENT_HEADS,
        rows: rows.iter().filter(|row| row.kind == kind).map(|row| payment_row(app, row)).collect(),
        empty: "Nothing waits for anybody.",
        ..Table::default()
    })
}

pub async fn withdrawals(
    State(app): State<App>,
    person: Person,
    Query(page): Query<PageQuery>,
) -> Result<Response, Shown> {
    let path = "/console/withdrawals";
    let mut all = payment_table(&app, "customer-withdrawal", &page, path).await?;
    all.title = "All withdrawals".to_owned();
    Ok(render(&ListPage {
        frame: Frame::new(&app, &person, path, page.after.is_none()).await?,
        title: "Withdrawals",
        lead: "Small ones go by themselves; the others wait for people. Signers check each by themselves.",
        forms: vec![],
        tables: vec![waiting_table(&app, "customer-withdrawal").await?, all],
        notes: vec![],
    }))
}

pub async fn transfers(
    State(app): State<App>,
    person: Person,
    Query(page): Query<PageQuery>,
) -> Result<Response, Shown> {
    let path = "/console/transfers";
    let names: Vec<String> = app.charter.wallets.iter().map(|wallet| wallet.id.to_string()).collect();
    let ask = FormView {
        title: "Ask for a transfer",
        action: path.to_owned(),
        fields: vec![
            Field::key(),
            Field::choice("wallet", "From", names.clone()),
            Field::choice("destination_wallet", "To", names.into_iter().rev().collect()),
            Field::text("amount", "Amount, such as 0.5"),
        ],
        button: "Ask",
        note: "Others approve it; your own approval would not count.",
    };
    let mut all = payment_table(&app, "operator-transfer", &page, path).await?;
    all.title = "All transfers".to_owned();
    Ok(render(&ListPage {
        frame: Frame::new(&app, &person, path, page.after.is_none()).await?,
        title: "Transfers",
        lead: "Coins that move between our own wallets.",
        forms: if person.may(Action::RequestTransfer) { vec![ask] } else { vec![] },
        tables: vec![waiting_table(&app, "operator-transfer").await?, all],
        notes: vec![],
    }))
}

#[derive(Deserialize)]
pub struct TransferForm {
    key: String,
    wallet: String,
    destination_wallet: String,
    amount: String,
}

pub async fn transfer(
    State(app): State<App>,
    person: Person,
    Sent(form): Sent<TransferForm>,
) -> Result<Response, Shown> {
    app.allow(&person.id, Action::RequestTransfer, now()).await?;
    let amount = Amount::from_decimal(form.amount.trim(), app.asset.decimals())
        .map_err(|error| Problem::invalid("amount", format!("{}: {error}", form.amount)))?;
    let wanted = TransferBody {
        asset: app.asset.to_string(),
        amount: amount.to_string(),
        wallet: form.wallet,
        destination_wallet: form.destination_wallet,
    };
    let asked = app.request_transfer(&person.id, &form.key, &wanted, now()).await?;
    Ok(Redirect::to(&format!("/console/payments/{}", asked.payment.id)).into_response())
}

pub async fn deposits(
    State(app): State<App>,
    person: Person,
    Query(page): Query<PageQuery>,
) -> Result<Response, Shown> {
    let path = "/console/deposits";
    let rows = app.store.deposits("", &page.page()?).await?;
    let full = rows.len() >= usize::try_from(page.limit()).unwrap_or(usize::MAX);
    let next = rows.last().filter(|_| full).map(|row| format!("{path}?after={}", cursor(row.created, &row.id)));
    let show = |row: &store::DepositRow| {
        let depth = match row.height {
            Some(height) => format!("block {height}; needs {}", row.required),
            None => format!("in no block; needs {}", row.required),
        };
        vec![
            Cell::time(row.created),
            Cell::state(row.state, &row.reason),
            Cell::number(money(&app, row.amount)),
            Cell::plain(&row.owner),
            Cell::plain(depth),
            Cell::mono(&row.id),
        ]
    };
    let table = Table {
        heads: &["First seen", "Stage", "Amount", "Owner", "Depth", "Outpoint"],
        rows: rows.iter().map(show).collect(),
        empty: "No coin has arrived yet.",
        next: next.unwrap_or_default(),
        ..Table::default()
    };
    let release = FormView {
        title: "Release one that was set aside",
        action: "/console/deposits/release".to_owned(),
        fields: vec![
            Field::text("id", "Outpoint, TXID:VOUT"),
            Field::text("owner", "Owner, customer:NAME or house:float"),
        ],
        button: "Release",
        note: "It goes on to the account that you name.",
    };
    Ok(render(&ListPage {
        frame: Frame::new(&app, &person, path, page.after.is_none()).await?,
        title: "Deposits",
        lead: "Seen, confirming, confirmed, screened, credited; or set aside, with the reason.",
        forms: if person.may(Action::TendPayments) { vec![release] } else { vec![] },
        tables: vec![table],
        notes: vec![],
    }))
}

#[derive(Deserialize)]
pub struct ReleaseForm {
    id: String,
    owner: String,
}

pub async fn release(State(app): State<App>, person: Person, Sent(form): Sent<ReleaseForm>) -> Result<Response, Shown> {
    app.allow(&person.id, Action::TendPayments, now()).await?;
    app.release_deposit(form.id.trim(), form.owner.trim(), &format!("operator:{}", person.id), now()).await?;
    Ok(Redirect::to("/console/deposits").into_response())
}

pub async fn wallets(State(app): State<App>, person: Person) -> Result<Response, Shown> {
    let positions =
        app.positions(false).await.map_err(|error| Problem::unavailable("reconciliation", error.to_string()))?;
    let mut rows = Vec::new();
    for found in positions {
        let Some(wallet) = app.charter.wallet(&found.wallet) else { continue };
        let hot = wallet.class == policy::WalletClass::Hot;
        rows.push(vec![
            Cell::plain(&wallet.id),
            Cell::tag(if hot { "hot" } else { "cold" }, if hot { "wait" } else { "good" }),
            Cell::number(money(&app, found.position.books)),
            Cell::number(money(&app, found.position.coins)),
            Cell::mono(&wallet.descriptor),
        ]);
    }
    let newest = app.store.newest_addresses(100).await?;
    let address = |row: &store::AddressRow| {
        vec![
            Cell::mono(&row.address),
            Cell::plain(&row.wallet),
            Cell::number(row.index),
            Cell::plain(&row.owner),
            Cell::plain(&row.label),
            Cell::time(row.created),
        ]
    };
    Ok(render(&ListPage {
        frame: Frame::new(&app, &person, "/console/wallets", true).await?,
        title: "Wallets and addresses",
        lead: "Each wallet is one descriptor, held by every signer. Addresses follow from it: claviger-verify address derives them again.",
        forms: vec![],
        tables: vec![
            Table {
                heads: &["Wallet", "Class", "Books", "Coins", "Descriptor"],
                rows,
                empty: "The charter names no wallet.",
                ..Table::default()
            },
            Table {
                title: "Newest addresses".to_owned(),
                heads: &["Address", "Wallet", "Index", "Owner", "Label", "Given out"],
                rows: newest.iter().map(address).collect(),
                empty: "No address was given out yet.",
                ..Table::default()
            },
        ],
        notes: vec![],
    }))
}

pub async fn books(State(app): State<App>, person: Person) -> Result<Response, Shown> {
    let positions =
        app.positions(true).await.map_err(|error| Problem::unavailable("reconciliation", error.to_string()))?;
    let side = |found: &crate::custody::WalletPosition| {
        let position = &found.position;
        vec![
            Cell::plain(&found.wallet),
            Cell::number(money(&app, position.books)),
            Cell::number(money(&app, position.coins)),
            Cell::number(money(&app, position.chain)),
            found.difference.as_ref().map_or(Cell::tag("equal", "good"), |words| Cell {
                small: words.clone(),
                ..Cell::tag("differs", "bad")
            }),
        ]
    };
    let balances = app.store.balances().await?;
    let amount = |text: &str| text.parse::<Amount>().map_or_else(|_| text.to_owned(), |amount| money(&app, amount));
    let account = |balance: &store::Balance| {
        let shown = BalanceAnswer::new(balance, app.asset);
        vec![
            Cell::plain(&shown.account),
            Cell::number(amount(&shown.available)),
            Cell::number(amount(&shown.held)),
            Cell::number(amount(&shown.credits)),
            Cell::number(amount(&shown.debits)),
        ]
    };
    Ok(render(&ListPage {
        frame: Frame::new(&app, &person, "/console/books", false).await?,
        title: "Books and reconciliation",
        lead: "Three sides compared just now, coin by coin: the books, our record of coins, and the chain itself.",
        forms: vec![],
        tables: vec![
            Table {
                title: "Wallets".to_owned(),
                heads: &["Wallet", "Books", "Coins", "Chain", "Verdict"],
                rows: positions.iter().map(side).collect(),
                empty: "The charter names no wallet.",
                ..Table::default()
            },
            Table {
                title: "Accounts".to_owned(),
                heads: &["Account", "Available", "Held", "Ever came", "Ever left"],
                rows: balances.iter().map(account).collect(),
                empty: "No account was opened yet.",
                ..Table::default()
            },
        ],
        notes: vec![],
    }))
}

#[derive(Deserialize)]
pub struct AlarmForm {
    code: String,
    subject: String,
}

pub async fn put_away(State(app): State<App>, person: Person, Sent(form): Sent<AlarmForm>) -> Result<Response, Shown> {
    app.allow(&person.id, Action::TendPayments, now()).await?;
    app.put_away(&form.code, &form.subject, &format!("operator:{}", person.id), now()).await?;
    Ok(Redirect::to("/console").into_response())
}
