//! Commands, and what each asks for.

use std::fs;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use types::Amount;

use super::actions::{approve, audit, execute, read, signatures, unfreeze};
use super::carried::CarriedRequest;
use super::client::{ApiKey, Client};
use super::people::PeopleRequest;
use super::printer::Printer;
use super::show::Column;
use crate::Outcome;

/// How to reach an interface.
#[derive(Args)]
pub struct Connection {
    /// The interface: customers' for customers, operators' for operators.
    #[arg(long, env = "CLAVIGER_URL", default_value = "http://127.0.0.1:7070", global = true)]
    url: String,
    /// Key file that signs the requests.
    #[arg(long, env = "CLAVIGER_KEY", default_value = "claviger.key", global = true)]
    key: PathBuf,
    /// Print JSON as it came.
    #[arg(long, global = true)]
    json: bool,
}

/// What an interface is asked for.
#[derive(Subcommand)]
pub enum Request {
    /// Assets that are kept.
    Assets,
    /// Your balances (customers).
    Account,
    /// A fresh address to receive at (customers).
    NewAddress {
        /// Your own words.
        #[arg(long, default_value = "")]
        label: String,
        /// Repeat a request with the same key; a fresh one if not given.
        #[arg(long)]
        idempotency_key: Option<String>,
    },
    /// Your addresses (customers).
    Addresses(Page),
    /// Deposits: your own, or all for operators.
    Deposits(Page),
    /// Let a deposit that was set aside go on, to an account that you name (operators).
    ReleaseDeposit {
        /// The outpoint, txid:vout.
        id: String,
        /// `customer:NAME` or `house:float`.
        owner: String,
    },
    /// Withdraw to an address (customers).
    Withdraw {
        /// Where to.
        destination: String,
        /// How much, in the unit that people speak of, such as 0.015.
        amount: String,
        /// Repeat a request with the same key; a fresh one if not given.
        #[arg(long)]
        idempotency_key: Option<String>,
    },
    /// Withdrawals: your own, or all for operators.
    Withdrawals(Page),
    /// One withdrawal (customers).
    Withdrawal {
        /// Identifier.
        id: String,
    },
    /// Take back a withdrawal that is not being signed yet (customers).
    CancelWithdrawal {
        /// Identifier.
        id: String,
    },
    /// Every account of the books (operators).
    Accounts,
    /// A fresh address of the house's float (operators).
    FloatAddress,
    /// Ask for a transfer between our wallets (operators).
    Transfer {
        /// Wallet that pays.
        from: String,
        /// Wallet that is paid.
        to: String,
        /// How much, in the unit that people speak of.
        amount: String,
        /// Repeat a request with the same key; a fresh one if not given.
        #[arg(long)]
        idempotency_key: Option<String>,
    },
    /// Transfers between our wallets (operators).
    Transfers(Page),
    /// A payment as an approver has to see it (operators).
    Payment {
        /// Identifier.
        id: String,
        /// Write the instruction's canonical form to a file, for `claviger-verify instruction`.
        #[arg(long)]
        save: Option<PathBuf>,
    },
    /// Approve a payment with your SSH key, after showing what it does (operators).
    Approve {
        /// Identifier.
        id: String,
        /// SSH key that `ssh-keygen -Y sign` takes.
        #[arg(long, conflicts_with = "signature", required_unless_present = "signature")]
        ssh_key: Option<PathBuf>,
        /// A signature that was made elsewhere.
        #[arg(long)]
        signature: Option<PathBuf>,
    },
    /// Take back a payment that is not being signed yet (operators).
    CancelPayment {
        /// Identifier.
        id: String,
    },
    /// Pay more for a transaction that waits for a block (operators).
    Bump {
        /// Transaction.
        txid: String,
    },
    /// Wallets, with books and coins (operators).
    Wallets,
    /// Books, coins and chain, compared now (operators).
    Reconcile,
    /// The board of keys: states, holders, open time, last backups (operators).
    Keys,
    /// Keep a ceremony's transcript in the audit log (approvers, administrators).
    KeepTranscript {
        /// The file that `claviger-signer transcript` wrote.
        file: PathBuf,
    },
    /// Signers, latches, limits (operators).
    Signers,
    /// Stop signing at once (operators).
    Freeze {
        /// `all`, `wallet:NAME`, `asset:NAME`, `customer:NAME`, or `signer:NAME` for one signer alone.
        latch: String,
        /// Why.
        reason: String,
    },
    /// Write the instruction that opens a latch at a signer, for the release quorum to sign (operators).
    Unfreeze {
        /// The signer.
        signer: String,
        /// The latch: `all`, `wallet:NAME`, `customer:NAME`, `clock` or `journal-behind`.
        latch: String,
        /// Why it may be opened.
        reason: String,
        /// Who asks, by name in the charter. The requester's own approval does not count.
        #[arg(long)]
        requester: String,
        /// File for the instruction's canonical form.
        #[arg(long)]
        out: PathBuf,
    },
    /// Have signers carry out an instruction that moves no coins, with the signatures of its approvers (operators).
    Execute {
        /// The instruction's canonical form.
        instruction: PathBuf,
        /// A signature, as OPERATOR=FILE; once for each.
        #[arg(long = "approval", value_name = "OPERATOR=FILE", required = true)]
        approvals: Vec<String>,
    },
    /// The charter that signers hold (operators).
    Charter,
    /// Have every signer take the next charter, with the signatures of a quorum of the one in force (operators).
    AdoptCharter {
        /// The charter in its canonical bytes.
        charter: PathBuf,
        /// A signature, as OPERATOR=FILE; once for each.
        #[arg(long = "approval", value_name = "OPERATOR=FILE", required = true)]
        approvals: Vec<String>,
        /// Even while signers are being asked about payments.
        #[arg(long)]
        force: bool,
    },
    /// Alarms that are raised (operators).
    Alarms,
    /// Put away an alarm that only people can judge (operators).
    PutAway {
        /// The alarm's code.
        code: String,
        /// What it is about.
        subject: String,
    },
    /// Export the audit log, one JSON line for each entry (operators).
    Audit {
        /// Begin after this entry.
        #[arg(long, default_value_t = 0)]
        after: u64,
        /// Write to this file instead of the terminal.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Events since a number (operators).
    Events(Page),
    /// Whether a quorum of signers can sign, and the node and the books answer.
    Ready,
    /// What people carry to signers without a network, and back.
    #[command(flatten)]
    Carried(CarriedRequest),
    /// What people decide together.
    #[command(flatten)]
    People(PeopleRequest),
}

/// Which part of a list.
#[derive(Args)]
pub struct Page {
    /// Most rows.
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// `next` of the page before.
    #[arg(long)]
    after: Option<String>,
}

impl Page {
    fn path(&self, path: &str) -> String {
        let after = self.after.as_deref().map(|after| format!("&after={after}")).unwrap_or_default();
        format!("{path}?limit={}{after}", self.limit)
    }
}

const BALANCES: &[Column] = &[
    ("ACCOUNT", "account"),
    ("AVAILABLE", "available"),
    ("HELD", "held"),
    ("CREDITS", "credits"),
    ("DEBITS", "debits"),
];
const ADDRESSES: &[Column] = &[("ADDRESS", "address"), ("INDEX", "index"), ("LABEL", "label"), ("CREATED", "created")];
const DEPOSITS: &[Column] = &[
    ("STATE", "state"),
    ("AMOUNT", "amount"),
    ("OWNER", "owner"),
    ("HEIGHT", "height"),
    ("NEEDS", "confirmations_required"),
    ("OUTPOINT", "id"),
    ("REASON", "reason"),
];
const PAYMENTS: &[Column] = &[
    ("ID", "id"),
    ("STATE", "state"),
    ("AMOUNT", "amount"),
    ("REQUESTER", "requester"),
    ("DESTINATION", "destination"),
    ("REASON", "reason"),
];
pub const PAYMENT: &[Column] = &[
    ("id", "id"),
    ("state", "state"),
    ("reason", "reason"),
    ("amount", "amount"),
    ("asset", "asset"),
    ("destination", "destination"),
    ("requester", "requester"),
    ("wallet", "wallet"),
    ("tier", "tier"),
    ("transaction", "txid"),
    ("expires", "expires"),
];
const WALLETS: &[Column] = &[
    ("WALLET", "wallet"),
    ("CLASS", "class"),
    ("BOOKS", "books"),
    ("COINS", "coins"),
    ("CHAIN", "chain"),
    ("UNCREDITED", "uncredited"),
    ("UNSETTLED", "unsettled"),
    ("DIFFERENCE", "difference"),
];

pub fn fresh_key(given: Option<String>) -> Outcome<String> {
    if let Some(key) = given {
        return Ok(key);
    }
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| format!("no randomness: {error}"))?;
    Ok(hex::encode(bytes))
}

/// Asks, and prints the answer.
pub fn run(connection: &Connection, request: Request) -> Outcome {
    let client = Client::new(&connection.url, ApiKey::read(&connection.key)?);
    let printer = Printer { json: connection.json };
    match request {
        Request::Assets => printer
            .list(&client.get("/v1/assets")?, &[("ASSET", "asset"), ("SYMBOL", "symbol"), ("DECIMALS", "decimals")]),
        Request::Account => printer.list(&client.get("/v1/account")?, BALANCES),
        Request::NewAddress { label, idempotency_key } => {
            let body = json!({"asset": asset(&client)?.0, "label": label});
            let answer = client.post("/v1/addresses", &fresh_key(idempotency_key)?, &body)?;
            printer
                .one(&answer, &[("address", "address"), ("wallet", "wallet"), ("index", "index"), ("label", "label")])
        }
        Request::Addresses(page) => printer.list(&client.get(&page.path("/v1/addresses"))?, ADDRESSES),
        Request::Deposits(page) => printer.list(&client.get(&page.path("/v1/deposits"))?, DEPOSITS),
        Request::Withdraw { destination, amount, idempotency_key } => {
            let (asset, decimals) = asset(&client)?;
            let body = json!({"asset": asset, "amount": base_units(&amount, decimals)?, "destination": destination});
            printer.one(&client.post("/v1/withdrawals", &fresh_key(idempotency_key)?, &body)?, PAYMENT)
        }
        Request::Withdrawals(page) => printer.list(&client.get(&page.path("/v1/withdrawals"))?, PAYMENTS),
        Request::Withdrawal { id } => printer.one(&client.get(&format!("/v1/withdrawals/{id}"))?, PAYMENT),
        Request::CancelWithdrawal { id } => {
            let path = format!("/v1/withdrawals/{id}/cancel");
            printer.one(&client.post(&path, &format!("cancel-{id}"), &Value::Null)?, PAYMENT)
        }
        request => operator(&client, &printer, request),
    }
}

fn operator(client: &Client, printer: &Printer, request: Request) -> Outcome {
    match request {
        Request::Accounts => printer.list(&client.get("/v1/accounts")?, BALANCES),
        Request::ReleaseDeposit { id, owner } => {
            let path = format!("/v1/deposits/{id}/release");
            let answer = client.post(&path, &format!("release-{id}"), &json!({"owner": owner}))?;
            printer.one(&answer, &[("id", "id"), ("state", "state"), ("owner", "owner"), ("amount", "amount")])
        }
        Request::FloatAddress => {
            let answer = client.post("/v1/float/addresses", &fresh_key(None)?, &Value::Null)?;
            printer.one(&answer, &[("address", "address"), ("wallet", "wallet"), ("index", "index")])
        }
        Request::Transfer { from, to, amount, idempotency_key } => {
            let charter = client.get("/v1/wallets")?;
            let wallet = charter.pointer("/items/0").cloned().unwrap_or_default();
            let asset = wallet.get("asset").and_then(Value::as_str).unwrap_or_default();
            let decimals = wallet.get("decimals").and_then(Value::as_u64).and_then(|digits| u8::try_from(digits).ok());
            let amount = base_units(&amount, decimals.unwrap_or(8))?;
            let body = json!({"asset": asset, "amount": amount, "wallet": from, "destination_wallet": to});
            printer.one(&client.post("/v1/transfers", &fresh_key(idempotency_key)?, &body)?, PAYMENT)
        }
        Request::Transfers(page) => printer.list(&client.get(&page.path("/v1/transfers"))?, PAYMENTS),
        Request::Payment { id, save } => {
            let answer = client.get(&format!("/v1/payments/{id}"))?;
            if let Some(path) = save {
                let canonical = answer.get("canonical").and_then(Value::as_str).unwrap_or_default();
                fs::write(&path, canonical).map_err(|error| format!("{}: {error}", path.display()))?;
            }
            printer.payment(&answer)
        }
        Request::Approve { id, ssh_key, signature } => approve(client, printer, &id, ssh_key, signature),
        Request::CancelPayment { id } => {
            let path = format!("/v1/payments/{id}/cancel");
            printer.one(&client.post(&path, &format!("cancel-{id}"), &Value::Null)?, PAYMENT)
        }
        Request::Bump { txid } => {
            client.post(&format!("/v1/transactions/{txid}/bump"), &fresh_key(None)?, &Value::Null)?;
            printer.line("a transaction with more fee is on its way to the signers")
        }
        Request::Wallets => printer.list(&client.get("/v1/wallets")?, WALLETS),
        Request::Reconcile => printer.list(&client.get("/v1/reconciliation")?, WALLETS),
        Request::KeepTranscript { file } => {
            let body = json!({"transcript": read(&file)?});
            let columns = [("digest", "digest"), ("words", "words"), ("audit entry", "entry")];
            printer.one(&client.post("/v1/transcripts", &fresh_key(None)?, &body)?, &columns)
        }
        Request::Keys => printer.keys(&client.get("/v1/keys")?),
        Request::Signers => printer.signers(&client.get("/v1/signers")?),
        Request::Freeze { latch, reason } => {
            let answer = client.post("/v1/freeze", &fresh_key(None)?, &json!({"latch": latch, "reason": reason}))?;
            printer.one(&answer, &[("frozen at", "frozen"), ("not at", "failed")])
        }
        Request::Unfreeze { signer, latch, reason, requester, out } => {
            unfreeze(client, printer, [&signer, &latch, &reason, &requester], &out)
        }
        Request::Execute { instruction, approvals } => execute(client, printer, &instruction, &approvals),
        Request::Charter => {
            let text = serde_json::to_string_pretty(&client.get("/v1/charter")?).map_err(|error| error.to_string())?;
            printer.line(&text)
        }
        Request::AdoptCharter { charter, approvals, force } => {
            let body = json!({"charter": read(&charter)?, "approvals": signatures(&approvals)?, "force": force});
            let answer = client.post("/v1/charter", &fresh_key(None)?, &body)?;
            printer.one(&answer, &[("version", "version"), ("digest", "digest"), ("held by", "signers")])
        }
        Request::Alarms => {
            let columns = [("SINCE", "raised"), ("CODE", "code"), ("SUBJECT", "subject"), ("MESSAGE", "message")];
            printer.list(&client.get("/v1/alarms")?, &columns)
        }
        Request::PutAway { code, subject } => {
            client.post("/v1/alarms/put-away", &fresh_key(None)?, &json!({"code": code, "subject": subject}))?;
            printer.line("put away")
        }
        Request::Audit { after, out } => audit(client, after, out.as_deref()),
        Request::Events(page) => {
            let columns = [("SEQ", "seq"), ("AT", "at"), ("KIND", "kind"), ("SUBJECT", "subject")];
            printer.list(&client.get(&page.path("/v1/events"))?, &columns)
        }
        Request::Ready => {
            let answer = client.ask("GET", "/ready", "", "")?;
            let columns = [
                ("ready", "ready"),
                ("age in seconds", "age_seconds"),
                ("signers", "signers"),
                ("failed", "signers_failed"),
                ("node", "node"),
                ("database", "database"),
            ];
            printer.one(&answer.body, &columns)?;
            if answer.status == 200 { Ok(()) } else { Err("not ready".to_owned()) }
        }
        Request::Carried(request) => super::carried::run(client, printer, request),
        Request::People(request) => super::people::run(client, printer, request),
        _ => Err("this is not an operator's request".to_owned()),
    }
}

fn asset(client: &Client) -> Outcome<(String, u8)> {
    let assets = client.get("/v1/assets")?;
    let first = assets.pointer("/items/0").ok_or("this system keeps no asset")?;
    let name = first.get("asset").and_then(Value::as_str).unwrap_or_default().to_owned();
    let decimals = first.get("decimals").and_then(Value::as_u64).and_then(|digits| u8::try_from(digits).ok());
    Ok((name, decimals.ok_or("the asset has no decimals")?))
}

pub fn base_units(text: &str, decimals: u8) -> Outcome<String> {
    Amount::from_decimal(text, decimals).map(|amount| amount.to_string()).map_err(|error| format!("{text}: {error}"))
}
