//! A charter, as those read it who are asked to sign it.

use std::path::Path;

use policy::changes;
use types::words;

use crate::approvals::keys_of;
use crate::report::{Report, read_charter};

/// Shows a charter, and what it changes.
pub fn run(file: &Path, current: Option<&Path>, text_to_sign: Option<&Path>) -> Result<Report, String> {
    let charter = read_charter(file)?;
    let digest = charter.digest();
    let mut report = Report::default();
    report.line("version", charter.version);
    report.line("digest", digest);
    report.line("words", words(&digest).join(" "));
    report.line("people", charter.operators.iter().map(|one| one.id.to_string()).collect::<Vec<_>>().join(", "));
    report.line("customers", charter.customers.len());
    for tier in &charter.tiers {
        let windows: Vec<_> =
            tier.windows.iter().map(|window| format!("{} in {} s", window.amount_max, window.seconds)).collect();
        report.line(
            format!("tier {}", tier.name),
            format!(
                "wallet {}, at most {} each{}{}, {} people of {} organisations{}",
                tier.wallet,
                tier.amount_max,
                if windows.is_empty() { "" } else { ", " },
                windows.join(", "),
                tier.quorum.people,
                tier.quorum.organisations,
                keys_of(tier)
            ),
        );
    }
    if let Some(current) = current {
        let current = read_charter(current)?;
        if current.version.checked_add(1) != Some(charter.version) || charter.previous != Some(current.digest()) {
            report.refuse(format!("it does not follow version {} ({})", current.version, current.digest()));
        }
        for (place, change) in changes(&current, &charter) {
            report.line(place, change);
        }
    }
    if let Some(path) = text_to_sign {
        std::fs::write(path, format!("{digest}\n")).map_err(|error| format!("{}: {error}", path.display()))?;
        report.line("to sign it", format!("ssh-keygen -Y sign -n claviger-charter -f YOUR_KEY {}", path.display()));
    }
    Ok(report)
}
