//! Commands for what people carry to signers without a network, and back.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use paper::ur::{Collector, Parts, Received, SCREEN_FRAGMENT_BYTES};
use serde_json::{Value, json};
use signer_wire::{Answer, Bundle};
use types::words;

use super::client::Client;
use super::printer::Printer;
use super::show::Column;
use crate::Outcome;

/// What is carried.
#[derive(Subcommand)]
pub enum CarriedRequest {
    /// Transactions that wait for signers without a network, and how far each signer is (operators).
    Waiting,
    /// Write what a signer without a network needs to sign a transaction, or has to be told while there is none to sign (operators).
    Bundle {
        /// The transaction; without it, the bundle holds charters and steps of keys' lives only.
        txid: Option<String>,
        /// The signer.
        #[arg(long)]
        signer: String,
        /// A new file.
        #[arg(long)]
        out: PathBuf,
        /// Write parts for QR codes, a line for each, instead of the file to carry.
        #[arg(long)]
        ur: bool,
    },
    /// Bring the answer of a signer without a network (operators).
    Answer {
        /// The answer.
        file: PathBuf,
        /// The file holds what a scanner of QR codes yielded, a line for each.
        #[arg(long)]
        ur: bool,
        /// The transaction; without it, the one whose bundle is answered.
        #[arg(long)]
        transaction: Option<String>,
    },
}

const PROGRESS: &[Column] = &[
    ("TRANSACTION", "txid"),
    ("WALLET", "wallet"),
    ("SIGNER", "signer"),
    ("STATE", "state"),
    ("SIX WORDS OF THE BUNDLE", "words"),
    ("REFUSAL", "refusal"),
];

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn items<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value.get(field).and_then(Value::as_array).into_iter().flatten()
}

/// One row for each signer of each transaction.
fn rows(waiting: &Value) -> Vec<Value> {
    let row = |transaction: &Value, signer: &Value| {
        let mut row = signer.as_object().cloned().unwrap_or_default();
        for field in ["txid", "wallet"] {
            row.insert(field.to_owned(), transaction.get(field).cloned().unwrap_or_default());
        }
        Value::Object(row)
    };
    items(waiting, "items")
        .flat_map(|transaction| items(transaction, "signers").map(move |signer| row(transaction, signer)))
        .collect()
}

/// Does it.
pub fn run(client: &Client, printer: &Printer, request: CarriedRequest) -> Outcome {
    match request {
        CarriedRequest::Waiting => {
            let waiting = client.get("/v1/transactions")?;
            let shown = if printer.json { waiting } else { json!({"items": rows(&waiting)}) };
            printer.list(&shown, PROGRESS)
        }
        CarriedRequest::Bundle { txid, signer, out, ur } => {
            let answer = client.get(&match txid {
                Some(txid) => format!("/v1/transactions/{txid}/bundle?signer={signer}"),
                None => format!("/v1/signers/{signer}/bundle"),
            })?;
            let bytes = text(&answer, "bundle").as_bytes().to_vec();
            // Read and digested here: the words that are compared are not the server's.
            let bundle = Bundle::from_bytes(&bytes).map_err(|error| error.to_string())?;
            let content = if ur { parts(Bundle::KIND, &bytes)? } else { bytes };
            write(&out, &content)?;
            let digest = bundle.digest();
            let answer = json!({
                "digest": digest.to_string(), "words": words(&digest).join(" "), "written": out.display().to_string(),
                "notes": answer.get("notes"),
            });
            let columns = [("written to", "written"), ("six words", "words"), ("digest", "digest"), ("note", "notes")];
            printer.one(&answer, &columns)
        }
        CarriedRequest::Answer { file, ur, transaction } => {
            let bytes = fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
            let bytes = if ur { collect(Answer::KIND, &bytes)? } else { bytes };
            let answer = Answer::from_bytes(&bytes).map_err(|error| format!("{}: {error}", file.display()))?;
            let digest = answer.digest();
            if !printer.json {
                println!("{}: {}", answer.signer, words(&digest).join(" "));
            }
            let body = json!({"answer": String::from_utf8_lossy(&bytes)});
            let named = match transaction {
                Some(txid) => Some(txid),
                None => asked(client, &answer)?,
            };
            let Some(txid) = named else {
                client.post(&format!("/v1/signers/{}/answers", answer.signer), &format!("answer-{digest}"), &body)?;
                return printer.line("connected signers remember it");
            };
            let came = client.post(&format!("/v1/transactions/{txid}/answers"), &format!("answer-{digest}"), &body)?;
            let columns = [("transaction", "txid"), ("state", "state"), ("signed", "signed"), ("needed", "needed")];
            printer.one(&came, &columns)
        }
    }
}

/// The transaction whose newest bundle for this signer is answered; none for a bundle without a payment.
fn asked(client: &Client, answer: &Answer) -> Outcome<Option<String>> {
    let waiting = rows(&client.get("/v1/transactions")?);
    let found = waiting.iter().find(|row| text(row, "bundle") == answer.bundle && text(row, "signer") == answer.signer);
    match found {
        Some(row) => Ok(Some(text(row, "txid").to_owned())),
        None if answer.signatures.is_empty() => Ok(None),
        None => Err("no transaction waits for an answer to this bundle; name it: --transaction TXID".to_owned()),
    }
}

fn write(path: &Path, content: &[u8]) -> Outcome {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(failed)
}

/// Every part once, and as many mixtures that stand in for lost ones.
fn parts(kind: &str, bytes: &[u8]) -> Outcome<Vec<u8>> {
    let parts = Parts::new(kind, bytes, SCREEN_FRAGMENT_BYTES).map_err(|error| error.to_string())?;
    let count = parts.needed().saturating_mul(2);
    let lines: Vec<String> = parts.take(count).collect();
    Ok((lines.join("\n") + "\n").into_bytes())
}

/// Puts scanned lines together, in any order.
pub fn collect(kind: &str, bytes: &[u8]) -> Outcome<Vec<u8>> {
    let mut collector = Collector::new(kind).map_err(|error| error.to_string())?;
    let scanned = String::from_utf8_lossy(bytes);
    for line in scanned.lines().filter(|line| !line.trim().is_empty()) {
        // What is no part of it, or was misread, is passed over.
        if let Ok(Received::Whole(whole)) = collector.receive(line) {
            return Ok(whole);
        }
    }
    Err("the parts that were scanned are not enough; scan for longer".to_owned())
}
