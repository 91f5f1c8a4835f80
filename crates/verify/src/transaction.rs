//! `claviger-verify transaction`.

use std::path::{Path, PathBuf};

use bitcoin::psbt::Psbt;
use chains::bitcoin::{Caps, Payment, inspect, parse_address};
use types::{Instruction, grouped, words};

use crate::address::wallet;
use crate::report::{Report, read, read_charter, read_instruction};

/// Decodes the transaction from its bytes and compares it with the instructions.
pub fn run(charter: &Path, psbt: &Path, instructions: &[PathBuf]) -> Result<Report, String> {
    let charter = read_charter(charter)?;
    let instructions = instructions.iter().map(|path| read_instruction(path)).collect::<Result<Vec<_>, _>>()?;
    let psbt = read_psbt(psbt)?;
    let name = instructions.first().and_then(Instruction::wallet).ok_or("the instruction moves no coins")?;
    if instructions.iter().any(|instruction| instruction.wallet() != Some(name)) {
        return Err("a transaction carries out payments of one wallet".to_owned());
    }
    let gap_limit = charter.wallet(name).map_or(0, |wallet| wallet.gap_limit);
    let descriptor = wallet(&charter, name.as_str())?;
    let mut report = Report::default();
    let mut payments = Vec::new();
    for instruction in &instructions {
        let destination = instruction.destination().unwrap_or_default();
        let script = parse_address(destination, charter.network).map_err(|error| error.to_string())?;
        let sats = instruction
            .amount()
            .and_then(|amount| amount.to_sats().ok())
            .ok_or("the amount is no count of satoshis")?;
        report.line(
            "pays",
            format!(
                "{sats} sat to {} for {} ({})",
                grouped(destination),
                instruction.id,
                words(&instruction.digest()).join(" ")
            ),
        );
        payments.push(Payment { script, sats });
    }
    let caps = Caps {
        fee_sats_max: charter.fee.sats_max,
        sats_per_kvb_max: charter.fee.sats_per_kvb_max,
        // Only signers remember the highest change index; what is shown here is for people to judge.
        change_index_max: u32::MAX >> 1,
    };
    let effects = match inspect(&psbt, &descriptor, &payments, &caps) {
        Ok(effects) => effects,
        Err(refusal) => {
            report.refuse(format!("{} ({})", refusal, refusal.code()));
            return Ok(report);
        }
    };
    for input in &effects.inputs {
        report.line("spends", format!("{} sat of {} (address {})", input.sats, input.outpoint, input.index));
    }
    if let Some(change) = effects.change {
        report.line("returns", format!("{} sat to our change address {}", change.sats, change.index));
        if change.index > gap_limit {
            report.line("look", format!("change address {} is far: the gap limit is {gap_limit}", change.index));
        }
    }
    let rate = effects.fee_sats.saturating_mul(1000).checked_div(effects.vbytes).unwrap_or_default();
    report.line("fee", format!("{} sat, {rate} sat per 1,000 virtual bytes", effects.fee_sats));
    report.line("transaction", effects.txid);
    let shares = u64::try_from(instructions.len()).unwrap_or(1);
    let share = types::Amount::from_sats(effects.fee_sats.div_ceil(shares));
    for instruction in instructions.iter().filter(|instruction| instruction.fee_max().is_none_or(|most| share > most)) {
        report.refuse(format!("the fee's share of {share} sat is more than {} allows", instruction.id));
    }
    Ok(report)
}

fn read_psbt(path: &Path) -> Result<Psbt, String> {
    let text = String::from_utf8(read(path)?).map_err(|_| format!("{} is not text", path.display()))?;
    let bytes = hex::decode(text.trim()).map_err(|error| format!("{}: {error}", path.display()))?;
    chains::bitcoin::read_psbt(&bytes).map_err(|error| format!("{}: {error}", path.display()))
}
