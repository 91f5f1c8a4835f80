//! `claviger-verify descriptors`: what a watching wallet needs, and nothing that signs.

use std::path::Path;

use chains::bitcoin::{Branch, WalletDescriptor};
use serde_json::{Value, json};

use crate::address;
use crate::report::{Report, read_charter};

/// How many addresses of each branch a watching wallet looks out for at first.
const RANGE: u32 = 1_000;

const BRANCHES: [(Branch, &str); 2] = [(Branch::Receive, "receive"), (Branch::Change, "change")];

/// Shows each wallet's two descriptors, of one path each (BIP-380, with checksum).
pub fn run(charter: &Path) -> Result<Report, String> {
    let charter = read_charter(charter)?;
    let mut report = Report::default();
    report.line("charter", format!("version {}, digest {}", charter.version, charter.digest()));
    for wallet in &charter.wallets {
        let descriptor = address::wallet(&charter, wallet.id.as_str())?;
        for (branch, name) in BRANCHES {
            report.line(format!("{} {name}", wallet.id), descriptor.single(branch));
        }
    }
    Ok(report)
}

/// The argument of Bitcoin Core's `importdescriptors` for one wallet, whose whole history is looked for.
pub fn import(charter: &Path, wallet: &str) -> Result<Value, String> {
    let descriptor: WalletDescriptor = address::wallet(&read_charter(charter)?, wallet)?;
    let one = |(branch, _): (Branch, &str)| {
        json!({
            "desc": descriptor.single(branch),
            "active": true,
            "internal": branch == Branch::Change,
            "range": [0, RANGE - 1],
            "timestamp": 0,
        })
    };
    Ok(BRANCHES.into_iter().map(one).collect())
}
