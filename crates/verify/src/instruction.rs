//! `claviger-verify instruction`.

use std::path::Path;

use types::{Instruction, grouped, sentence, words};

use crate::report::{Report, read_instruction};

/// Shows an instruction; writes the text to sign where asked.
pub fn run(file: &Path, text_to_sign: Option<&Path>) -> Result<Report, String> {
    let instruction = read_instruction(file)?;
    let mut report = Report::default();
    show(&mut report, &instruction);
    if let Some(path) = text_to_sign {
        std::fs::write(path, format!("{}\n", instruction.digest()))
            .map_err(|error| format!("{}: {error}", path.display()))?;
        report.line("to approve", format!("ssh-keygen -Y sign -n claviger-approval -f YOUR_KEY {}", path.display()));
    }
    Ok(report)
}

/// The lines that people compare across screens.
pub fn show(report: &mut Report, instruction: &Instruction) {
    report.line("sentence", sentence(instruction));
    if let Some(destination) = instruction.destination() {
        report.line("destination", grouped(destination));
    }
    if let (Some(amount), Some(asset)) = (instruction.amount(), instruction.asset()) {
        report.line(
            "amount",
            format!("{amount} base units = {} {}", amount.to_decimal(asset.decimals()), asset.symbol()),
        );
        report.line("asset", asset);
    }
    report.line("requester", instruction.requester());
    report.line("created", instruction.created);
    report.line("expires", instruction.expires);
    report.line("digest", instruction.digest());
    report.line("words", words(&instruction.digest()).join(" "));
}
