//! `claviger-verify approvals`.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use policy::{PaymentKind, Tier, count_approvals};
use types::{Approval, Body, Instruction, Moment};

use crate::instruction::show;
use crate::report::{Report, read, read_charter, read_instruction};

/// The time of this machine: grants of the charter may have ended.
pub fn now() -> Result<Moment, String> {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| "this machine's clock is before 1970")?;
    Ok(Moment::from_seconds(i64::try_from(passed.as_secs()).unwrap_or(i64::MAX)))
}

/// Counts approvals and says which tiers they open.
pub fn run(charter: &Path, instruction: &Path, approvals: &[String]) -> Result<Report, String> {
    let charter = read_charter(charter)?;
    let instruction = read_instruction(instruction)?;
    let approvals = approvals.iter().map(|text| approval(text)).collect::<Result<Vec<_>, _>>()?;
    let counted = count_approvals(&charter, &instruction, &approvals, now()?);
    let mut report = Report::default();
    show(&mut report, &instruction);
    report.line("charter", format!("version {}, digest {}", charter.version, charter.digest()));
    if instruction.charter != charter.version {
        report.refuse(format!("the instruction was made under charter version {}", instruction.charter));
    }
    for person in &counted.people {
        let name = charter.operator(person).map_or("", |operator| operator.name.as_str());
        report.line("approved by", format!("{person} ({name})"));
    }
    for (person, refusal) in &counted.refused {
        report.refuse(format!("the approval of {person} does not count: {refusal}"));
    }
    let concerns = |tier: &&Tier| concerns(tier, &instruction);
    let mut open = false;
    for tier in charter.tiers.iter().filter(concerns) {
        let met = counted.meets(tier.quorum);
        open |= met;
        let needed = format!("{} people of {} organisations", tier.quorum.people, tier.quorum.organisations);
        report.line(format!("tier {}", tier.name), format!("{}: needs {needed}", if met { "met" } else { "not met" }));
    }
    if instruction.amount().is_none() {
        let quorum = charter.quorum_for(&instruction.body);
        open = counted.meets(quorum);
        report.line(
            if matches!(instruction.body, Body::KeyStep(_)) { "key quorum" } else { "release quorum" },
            format!("needs {} people of {} organisations", quorum.people, quorum.organisations),
        );
    }
    if !open {
        report.refuse("the approvals open no tier for this amount; limits over time are the signers' to know");
    }
    Ok(report)
}

fn concerns(tier: &Tier, instruction: &Instruction) -> bool {
    let kind = match instruction.body {
        Body::CustomerWithdrawal(_) => Some(PaymentKind::CustomerWithdrawal),
        Body::OperatorTransfer(_) => Some(PaymentKind::OperatorTransfer),
        Body::Unfreeze(_) | Body::AnchorRelease { .. } | Body::AddressEntry { .. } | Body::KeyStep(_) => None,
    };
    Some(&tier.wallet) == instruction.wallet()
        && Some(tier.kind) == kind
        && instruction.amount().is_some_and(|amount| amount <= tier.amount_max)
}

/// An approval as OPERATOR=FILE.
pub fn approval(text: &str) -> Result<Approval, String> {
    let (operator, file) = text.split_once('=').ok_or("an approval is written OPERATOR=FILE")?;
    let operator = operator.parse().map_err(|error| format!("{operator}: {error}"))?;
    let signature = String::from_utf8(read(Path::new(file))?).map_err(|_| format!("{file} is not text"))?;
    Ok(Approval { operator, signature })
}
