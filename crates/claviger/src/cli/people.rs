//! Commands about people and what they decide together.

use std::path::PathBuf;

use clap::Subcommand;
use policy::Charter;
use serde_json::{Value, json};
use types::{Digest, Instruction};

use super::actions::{read, ssh_sign};
use super::client::Client;
use super::commands::{base_units, fresh_key};
use super::printer::Printer;
use super::show::Column;
use crate::Outcome;

/// What operators ask for about each other and about proposals.
#[derive(Subcommand)]
pub enum PeopleRequest {
    /// Operators, their roles and passkeys (operators).
    Operators,
    /// Make a one-time link with which somebody enrols a passkey (administrators).
    Invite {
        /// The operator's name in the charter, or in the next one.
        operator: String,
    },
    /// Say that a passkey's device is lost; your own ends at once, another's when two have said so (operators).
    Lost {
        /// The credential's identifier.
        passkey: String,
    },
    /// Who is signed in at the console, and who was (operators).
    Sessions,
    /// End a session: your own, or anybody's (approvers, administrators).
    EndSession {
        /// Its name, as `sessions` prints it.
        session: String,
    },
    /// Put something before the people (operators).
    #[command(subcommand)]
    Propose(Propose),
    /// What people decide about (operators).
    Proposals,
    /// One proposal as an approver has to see it (operators).
    Proposal {
        /// Identifier.
        id: String,
        /// Write the canonical form to a file, for `claviger-verify instruction` or `claviger-verify charter`.
        #[arg(long)]
        save: Option<PathBuf>,
    },
    /// Approve a proposal with your SSH key, after showing what it does (approvers).
    ApproveProposal {
        /// Identifier.
        id: String,
        /// SSH key that `ssh-keygen -Y sign` takes.
        #[arg(long)]
        ssh_key: PathBuf,
    },
    /// Carry a proposal that enough have signed to the signers again (approvers, administrators).
    CarryOut {
        /// Identifier.
        id: String,
        /// A charter even while signers are being asked about payments.
        #[arg(long)]
        force: bool,
    },
    /// Take a proposal back (operators).
    WithdrawProposal {
        /// Identifier.
        id: String,
    },
    /// Ask the charter.
    #[command(subcommand)]
    Policy(Policy),
    /// Webhooks, and how far each has been told (operators).
    Webhooks,
    /// Tell a webhook everything again that happened after an event (administrators).
    ReplayEvents {
        /// The webhook.
        url: String,
        /// The event's number; 0 for everything.
        after: u64,
    },
}

/// What can be put before the people.
#[derive(Subcommand)]
pub enum Propose {
    /// Open a latch.
    Unfreeze {
        /// The signer, or `all`.
        signer: String,
        /// The latch: `all`, `wallet:NAME`, `asset:NAME`, `customer:NAME`, `clock` or `journal-behind`.
        latch: String,
        /// Why it may be opened.
        reason: String,
    },
    /// Let a destination into a customer's address book.
    AddressEntry {
        /// Whose.
        customer: String,
        /// The address.
        address: String,
    },
    /// Let an instruction be signed without its anchor, which can no longer exist.
    AnchorRelease {
        /// The instruction.
        instruction: String,
        /// The anchor, TXID:VOUT.
        anchor: String,
    },
    /// Let the key of a wallet be opened at its signers, for a time and a number of signatures.
    Activation {
        /// The wallet.
        wallet: String,
        /// For how long, in seconds.
        #[arg(long, default_value_t = 86_400)]
        seconds: u64,
        /// How many signatures, one for each input.
        #[arg(long, default_value_t = 10_000)]
        signatures: u64,
        /// One signer only.
        #[arg(long, default_value = types::EVERY_SIGNER)]
        signer: String,
        /// Why.
        reason: String,
    },
    /// Another step in the life of a signer's keys: suspend-key, suspend-seed, resume-seed, derive-account, backup, rehearse, reseal, restore.
    KeyStep {
        /// The signer, or `all`.
        signer: String,
        /// The step.
        step: String,
        /// The wallet, for `suspend-key`.
        #[arg(long, default_value = "")]
        wallet: String,
        /// Why.
        reason: String,
    },
    /// The next charter; version and predecessor are filled in.
    Charter {
        /// The edited charter as JSON, as `claviger charter` prints it.
        file: PathBuf,
    },
}

/// What the charter can be asked.
#[derive(Subcommand)]
pub enum Policy {
    /// Which rule would decide about a payment, and what would be missing. Asks for nothing (operators).
    Explain {
        /// The wallet that would pay.
        wallet: String,
        /// The address; for a transfer our wallet that would be paid.
        destination: String,
        /// How much, in the unit that people speak of.
        amount: String,
        /// The customer who would withdraw; without one it is a transfer between our wallets.
        #[arg(long, default_value = "")]
        customer: String,
        /// Somebody who would approve; once for each.
        #[arg(long = "approver")]
        approvers: Vec<String>,
    },
    /// Print which role may do what.
    Roles,
}

const SESSION: &[Column] = &[
    ("SESSION", "id"),
    ("OPERATOR", "operator"),
    ("SOURCE", "source"),
    ("SINCE", "created"),
    ("LAST USED", "seen"),
    ("EXPIRES", "expires"),
    ("ENDED", "ended"),
    ("TERMINAL", "terminal"),
];
const WEBHOOK: &[Column] = &[
    ("URL", "url"),
    ("DELIVERED", "delivered"),
    ("NEWEST", "newest"),
    ("FAILURES", "failures"),
    ("NEXT", "next"),
    ("PROBLEM", "problem"),
    ("PUBLIC KEY", "public_key"),
];
const PROPOSAL: &[Column] = &[
    ("id", "id"),
    ("kind", "kind"),
    ("state", "state"),
    ("sentence", "sentence"),
    ("changes", "changes"),
    ("words", "words"),
    ("digest", "digest"),
    ("asked by", "requester"),
    ("approved by", "approvals"),
    ("refused", "refused"),
    ("missing", "missing"),
    ("outcome", "outcome"),
];

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

pub fn run(client: &Client, printer: &Printer, request: PeopleRequest) -> Outcome {
    match request {
        PeopleRequest::Operators => {
            let columns = [
                ("OPERATOR", "operator"),
                ("NAME", "name"),
                ("ORGANISATION", "organisation"),
                ("ROLES", "roles"),
                ("EXPIRES", "expires"),
                ("REVIEW", "review"),
            ];
            printer.list(&client.get("/v1/operators")?, &columns)
        }
        PeopleRequest::Invite { operator } => {
            let answer = client.post("/v1/invitations", &fresh_key(None)?, &json!({"operator": operator}))?;
            printer.one(&answer, &[("operator", "operator"), ("link", "link"), ("expires", "expires")])
        }
        PeopleRequest::Lost { passkey } => {
            let answer = client.post(&format!("/v1/passkeys/{passkey}/lost"), &fresh_key(None)?, &Value::Null)?;
            let ended = answer.get("revoked").and_then(Value::as_bool) == Some(true);
            printer.put(&answer, || {
                if ended { "revoked; its sessions have ended\n" } else { "noted; one more person has to say so\n" }
                    .to_owned()
            })
        }
        PeopleRequest::Sessions => printer.list(&client.get("/v1/sessions")?, SESSION),
        PeopleRequest::EndSession { session } => {
            let answer = client.post(&format!("/v1/sessions/{session}/end"), &fresh_key(None)?, &Value::Null)?;
            printer.one(&answer, SESSION)
        }
        PeopleRequest::Propose(what) => {
            let body = match what {
                Propose::Unfreeze { signer, latch, reason } => {
                    json!({"unfreeze": {"signer": signer, "latch": latch, "reason": reason}})
                }
                Propose::AddressEntry { customer, address } => {
                    json!({"address-entry": {"customer": customer, "address": address}})
                }
                Propose::AnchorRelease { instruction, anchor } => {
                    json!({"anchor-release": {"instruction": instruction, "anchor": anchor}})
                }
                Propose::Activation { wallet, seconds, signatures, signer, reason } => json!({"key-step": {
                    "signer": signer, "step": types::Step::Activate.as_str(), "wallet": wallet, "seconds": seconds,
                    "signatures": signatures, "reason": reason,
                }}),
                Propose::KeyStep { signer, step, wallet, reason } => {
                    json!({"key-step": {"signer": signer, "step": step, "wallet": wallet, "reason": reason}})
                }
                Propose::Charter { file } => {
                    let held = serde_json::to_vec(&client.get("/v1/charter")?).map_err(|error| error.to_string())?;
                    let held = Charter::from_bytes(&held).map_err(|error| error.to_string())?;
                    json!({"charter": {"charter": read(&file)?, "base": held.digest().to_string()}})
                }
            };
            printer.one(&client.post("/v1/proposals", &fresh_key(None)?, &body)?, PROPOSAL)
        }
        PeopleRequest::Proposals => {
            let columns = [
                ("ID", "id"),
                ("KIND", "kind"),
                ("STATE", "state"),
                ("ASKED BY", "requester"),
                ("APPROVED BY", "approvals"),
                ("MISSING", "missing"),
                ("OUTCOME", "outcome"),
            ];
            printer.list(&client.get("/v1/proposals")?, &columns)
        }
        PeopleRequest::Proposal { id, save } => {
            let answer = client.get(&format!("/v1/proposals/{id}"))?;
            if let Some(path) = save {
                std::fs::write(&path, text(&answer, "canonical"))
                    .map_err(|error| format!("{}: {error}", path.display()))?;
            }
            printer.one(&answer, PROPOSAL)
        }
        PeopleRequest::ApproveProposal { id, ssh_key } => {
            let shown = client.get(&format!("/v1/proposals/{id}"))?;
            let (namespace, digest, words) = read_here(&shown)?;
            if !printer.json {
                println!("{words}\n{}\n", types::words(&digest).join(" "));
            }
            let signature = ssh_sign(&ssh_key, namespace, &digest.to_string())?;
            let path = format!("/v1/proposals/{id}/approvals");
            printer.one(&client.post(&path, &format!("approve-{id}"), &json!({"signature": signature}))?, PROPOSAL)
        }
        PeopleRequest::CarryOut { id, force } => {
            let answer =
                client.post(&format!("/v1/proposals/{id}/carry-out"), &fresh_key(None)?, &json!({"force": force}))?;
            printer.one(&answer, PROPOSAL)
        }
        PeopleRequest::WithdrawProposal { id } => {
            let path = format!("/v1/proposals/{id}/withdraw");
            printer.one(&client.post(&path, &format!("withdraw-{id}"), &Value::Null)?, PROPOSAL)
        }
        PeopleRequest::Webhooks => printer.list(&client.get("/v1/webhooks")?, WEBHOOK),
        PeopleRequest::ReplayEvents { url, after } => {
            let body = json!({"url": url, "after": after});
            printer.one(&client.post("/v1/webhooks/replay", &fresh_key(None)?, &body)?, WEBHOOK)
        }
        PeopleRequest::Policy(Policy::Roles) => printer.put(&Value::String(policy::role_table()), policy::role_table),
        PeopleRequest::Policy(Policy::Explain { wallet, destination, amount, customer, approvers }) => {
            let body = json!({
                "wallet": wallet, "destination": destination, "amount": base_units(&amount, 8)?,
                "customer": customer, "approvers": approvers,
            });
            let answer = client.post("/v1/policy/explain", &fresh_key(None)?, &body)?;
            printer.put(&answer, || {
                let lines = answer.get("explanation").and_then(Value::as_array).into_iter().flatten();
                let lines: String = lines.filter_map(Value::as_str).map(|line| format!("  {line}\n")).collect();
                format!("{}: {}\n{lines}", text(&answer, "outcome"), text(&answer, "rule"))
            })
        }
    }
}

/// Reads and digests a proposal here: the server's own words for it are not what is signed.
fn read_here(shown: &Value) -> Outcome<(&'static str, Digest, String)> {
    let canonical = text(shown, "canonical").as_bytes();
    if text(shown, "kind") == "charter" {
        let charter = Charter::from_bytes(canonical).map_err(|error| error.to_string())?;
        let words =
            format!("charter version {}; claviger-verify charter --current shows what it changes", charter.version);
        return Ok(("claviger-charter", charter.digest(), words));
    }
    let instruction = Instruction::from_canonical(canonical).map_err(|error| error.to_string())?;
    Ok(("claviger-approval", instruction.digest(), types::sentence(&instruction)))
}
