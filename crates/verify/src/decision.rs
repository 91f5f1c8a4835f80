//! `claviger-verify decision`: all that an approver's page shows, read again here.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use audit_log::{Entry, Verifier};
use policy::{BookEntry, Outcome, Question, Waits, count_approvals, decide};
use types::{Amount, Approval, Moment, grouped};

use crate::approvals::{approval, key_of, now};
use crate::instruction::show;
use crate::report::{Report, read_charter, read_instruction};
use crate::transaction;

/// What is given besides charter and instruction; each is optional.
pub struct Given<'a> {
    /// Approvals, as OPERATOR=FILE.
    pub approvals: &'a [String],
    /// An export of the audit log.
    pub audit: Option<&'a Path>,
    /// Hash of its last entry, noted elsewhere.
    pub head: Option<&'a str>,
    /// The transaction.
    pub psbt: Option<&'a Path>,
    /// Other instructions that the transaction carries out as well.
    pub also: &'a [PathBuf],
}

/// What the log says about the destination and about earlier payments to it.
#[derive(Default)]
struct History {
    /// Payments that were asked for, to this destination.
    asked: Vec<String>,
    /// When those of them were paid that were.
    paid: Vec<Moment>,
    /// When it came into this customer's address book.
    entered: Option<Moment>,
    /// Proposals to let it in.
    proposals: Vec<String>,
}

impl History {
    fn take(&mut self, entry: &Entry, destination: &str, customer: &str) {
        let draft = &entry.draft;
        let mentions = draft.detail.contains(&grouped(destination));
        match draft.action.as_str() {
            "payment.requested" if mentions => self.asked.push(draft.subject.clone()),
            "payment.settled" if self.asked.contains(&draft.subject) => self.paid.push(draft.at),
            "proposal.made" if mentions && draft.detail.contains(&format!("customer {customer}")) => {
                self.proposals.push(draft.subject.clone());
            }
            "proposal.done" if self.proposals.contains(&draft.subject) => {
                self.entered = self.entered.or(Some(draft.at));
            }
            _ => {}
        }
    }
}

/// Reads everything again, and says what the charter says.
pub fn run(charter: &Path, file: &PathBuf, given: &Given<'_>) -> Result<Report, String> {
    let charter_path = charter;
    let charter = read_charter(charter)?;
    let instruction = read_instruction(file)?;
    let mut report = Report::default();
    show(&mut report, &instruction);
    if let Some(fee) = instruction.fee_max() {
        report.line("fee at most", format!("{fee} base units"));
    }
    report.line("charter", format!("version {}, digest {}", charter.version, charter.digest()));
    let customer = match &instruction.body {
        types::Body::CustomerWithdrawal(payment) => Some(payment.customer.clone()),
        _ => None,
    };
    let mut book = Vec::new();
    match (given.audit, instruction.destination()) {
        (Some(path), Some(destination)) => {
            let name = customer.as_ref().map(ToString::to_string).unwrap_or_default();
            let history = history(path, given.head, destination, &name, &mut report)?;
            report.line("this address", used(&history));
            if let (Some(since), Some(customer)) = (history.entered, customer) {
                report.line("address book", format!("let in at {since}"));
                book.push(BookEntry { customer, address: destination.to_owned(), since });
            }
        }
        (None, Some(_)) => {
            report.line("this address", "how often it was paid before stands in the audit log: give --audit")
        }
        _ => {}
    }
    let approvals = given.approvals.iter().map(|text| approval(text)).collect::<Result<Vec<Approval>, _>>()?;
    let at = now()?;
    let counted = count_approvals(&charter, &instruction, &approvals, at);
    for person in &counted.people {
        report.line("approved by", format!("{person}, with {}", key_of(&counted, person)));
    }
    for (person, refusal) in &counted.refused {
        report.refuse(format!("the approval of {person} does not count: {refusal}"));
    }
    let decision = decide(&Question {
        charter: &charter,
        instruction: &instruction,
        counted: &counted,
        // The request itself goes to signers, who verify it; here only people's part is looked at.
        customer_signed: true,
        spent: &[],
        book: &book,
        waits: Waits::Elsewhere,
        fee_share: instruction.fee_max().unwrap_or(Amount::ZERO),
        now: at,
    });
    for line in &decision.trace {
        report.line("the charter", line);
    }
    report.line(
        "not seen here",
        "the customer's request, windows over time, delays: signers know them; balances: the books",
    );
    if let Outcome::Refused { rule, reason } = decision.outcome {
        report.refuse(format!("{reason} ({rule})"));
    }
    if let Some(psbt) = given.psbt {
        let all = [std::slice::from_ref(file), given.also].concat();
        report.append(transaction::run(charter_path, psbt, &all)?);
    }
    Ok(report)
}

fn used(history: &History) -> String {
    match history.paid.first() {
        Some(first) => format!("paid {} times before, first at {first}", history.paid.len()),
        None => "never paid before, as far as this log goes".to_owned(),
    }
}

fn history(
    path: &Path,
    head: Option<&str>,
    destination: &str,
    customer: &str,
    report: &mut Report,
) -> Result<History, String> {
    let wrong = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut verifier = Verifier::default();
    let mut history = History::default();
    for line in BufReader::new(File::open(path).map_err(wrong)?).lines() {
        match verifier.line(&line.map_err(wrong)?) {
            Ok(entry) => history.take(&entry, destination, customer),
            Err(error) => {
                report.refuse(format!("the audit log: {error}"));
                break;
            }
        }
    }
    let last = verifier.verdict().map(|verdict| verdict.head.to_string());
    if head.is_some() && head != last.as_deref() {
        report.refuse("the audit log's last entry does not have the hash that was noted: it was cut, or written anew");
    }
    if let Some(last) = last {
        report.line("audit log up to", last);
    }
    Ok(history)
}
