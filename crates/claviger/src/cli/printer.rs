//! What is printed, and how.

use std::io::Write as _;

use serde_json::Value;

use super::commands::PAYMENT;
use super::show::{Column, facts, table};
use crate::Outcome;

/// Prints answers: as JSON for programs, or as text for people.
pub struct Printer {
    /// For programs.
    pub json: bool,
}

impl Printer {
    pub fn put(&self, value: &Value, text: impl FnOnce() -> String) -> Outcome {
        let text = if self.json { format!("{value}\n") } else { text() };
        std::io::stdout().write_all(text.as_bytes()).map_err(|error| error.to_string())
    }

    pub fn line(&self, text: &str) -> Outcome {
        self.put(&Value::String(text.to_owned()), || format!("{text}\n"))
    }

    pub fn list(&self, value: &Value, columns: &[Column]) -> Outcome {
        self.put(value, || {
            let rows = value.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
            let next = value.get("next").and_then(Value::as_str);
            let more = next.map(|next| format!("more: --after {next}\n")).unwrap_or_default();
            table(&rows, columns) + &more
        })
    }

    pub fn one(&self, value: &Value, columns: &[Column]) -> Outcome {
        self.put(value, || facts(value, columns))
    }

    pub fn payment(&self, value: &Value) -> Outcome {
        self.put(value, || {
            let payment = value.get("payment").cloned().unwrap_or_default();
            let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
            let lines = |field: &str| {
                let items = value.get(field).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
                items.map(|line| format!("  {line}\n")).collect::<String>()
            };
            let tries = value.get("transactions").and_then(Value::as_array).cloned().unwrap_or_default();
            let columns =
                [("TRY", "txid"), ("STATE", "state"), ("FEE", "fee_sats"), ("SAT/KVB", "rate"), ("HEIGHT", "height")];
            let tries = if tries.is_empty() { String::new() } else { format!("\n{}", table(&tries, &columns)) };
            format!(
                "{}\n\n{}\nwords   {}\ndigest  {}\n\napproved by\n{}the charter says\n{}{tries}",
                text("sentence"),
                facts(&payment, PAYMENT),
                text("words"),
                text("digest"),
                lines("approvals"),
                lines("explanation")
            )
        })
    }

    /// The board of keys: what signs, what else there is, who can open it, and what was done.
    pub fn keys(&self, value: &Value) -> Outcome {
        self.put(value, || {
            let signers = value.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
            let inner = |field: &str| -> Vec<Value> {
                let of = |signer: &Value| {
                    let name = signer.get("signer").cloned().unwrap_or_default();
                    let mut rows = signer.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
                    for row in rows.iter_mut().filter_map(Value::as_object_mut) {
                        row.insert("signer".to_owned(), name.clone());
                    }
                    rows
                };
                signers.iter().flat_map(of).collect()
            };
            let keys = [
                ("SIGNER", "signer"),
                ("KIND", "kind"),
                ("NAME", "name"),
                ("STATE", "state"),
                ("WALLET", "wallet"),
                ("OPEN", "open"),
                ("UNTIL", "until"),
                ("LEFT", "signatures_left"),
                ("ACTIVE S", "active_seconds"),
                ("SINCE", "since"),
                ("BY", "person"),
                ("BECAUSE", "cause"),
            ];
            let slots =
                [("SIGNER", "signer"), ("FILE", "vault"), ("SLOT", "slot"), ("KIND", "kind"), ("HOLDERS", "holders")];
            let held =
                [("AT", "at"), ("SIGNER", "signer"), ("CEREMONY", "step"), ("OUTCOME", "detail"), ("BY", "person")];
            let heads =
                [("SIGNER", "signer"), ("OFFLINE", "offline"), ("CUSTODIANS", "custodians"), ("ERROR", "error")];
            let parts = [table(&inner("keys"), &keys), table(&inner("slots"), &slots), table(&signers, &heads)];
            let mut text = parts.join("\n");
            let ceremonies = inner("ceremonies");
            if !ceremonies.is_empty() {
                text.push('\n');
                text.push_str(&table(&ceremonies, &held));
            }
            text
        })
    }

    pub fn signers(&self, value: &Value) -> Outcome {
        self.put(value, || {
            let rows = value.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
            let columns = [
                ("SIGNER", "signer"),
                ("UP", "up"),
                ("CHARTER", "charter"),
                ("RECORDS", "journal"),
                ("LATCHES", "latches"),
                ("ERROR", "error"),
            ];
            let mut text = table(&rows, &columns);
            let limits = rows
                .iter()
                .find_map(|row| row.get("limits").and_then(Value::as_array).filter(|limits| !limits.is_empty()));
            if let Some(limits) = limits {
                let columns = [
                    ("WALLET", "wallet"),
                    ("TIER", "tier"),
                    ("SECONDS", "seconds"),
                    ("LIMIT", "amount_max"),
                    ("USED", "used"),
                    ("AT MOST, IN ALL", "exposure_max"),
                    ("WITH ONE SIGNER OWNED", "exposure_owned_max"),
                ];
                text.push_str("\nlimits at one signer, in base units, and what all of them together can let through\n");
                text.push_str(&table(limits, &columns));
            }
            text
        })
    }
}
