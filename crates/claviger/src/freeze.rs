//! Freezing without the online system: signers are asked with nothing but their addresses and our certificate.

use std::path::Path;

use crate::Outcome;
use crate::config::Config;
use crate::custody::freeze_signers;

/// Closes a latch at every signer that answers; an error when any of them did not.
pub fn run(path: &Path, latch: &str, reason: &str) -> Outcome {
    let frozen = freeze_signers(&Config::read(path)?, latch, reason);
    for signer in &frozen.at {
        println!("{signer}: frozen");
    }
    for words in &frozen.failed {
        println!("NOT frozen: {words}");
    }
    if frozen.failed.is_empty() { Ok(()) } else { Err(format!("not frozen at {}", frozen.failed.join("; "))) }
}
