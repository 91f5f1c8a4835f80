//! `claviger-verify address`.

use std::path::Path;

use chains::bitcoin::{Branch, WalletDescriptor, parse_address};
use policy::Charter;

use crate::report::{Report, read_charter};

/// The wallet's descriptor in the charter.
pub fn wallet(charter: &Charter, name: &str) -> Result<WalletDescriptor, String> {
    let id = name.parse().map_err(|error| format!("{name}: {error}"))?;
    let wallet = charter.wallet(&id).ok_or_else(|| format!("the charter knows no wallet {name}"))?;
    WalletDescriptor::parse(&wallet.descriptor, charter.network).map_err(|error| format!("wallet {name}: {error}"))
}

/// Derives the address again and compares.
pub fn run(charter: &Path, name: &str, index: u32, address: &str) -> Result<Report, String> {
    let charter = read_charter(charter)?;
    let derived = wallet(&charter, name)?.derive(Branch::Receive, index).map_err(|error| error.to_string())?;
    let mut report = Report::default();
    report.line("charter", format!("version {}, digest {}", charter.version, charter.digest()));
    report.line(format!("{name} {index}"), types::grouped(&derived.address));
    match parse_address(address, charter.network) {
        Ok(script) if script == derived.script_pubkey => {}
        Ok(_) => report.refuse("the address is another one"),
        Err(error) => report.refuse(error.to_string()),
    }
    Ok(report)
}
