//! Freezing without the online system: signers are asked one by one, with nothing but their addresses and our certificate.

use std::path::Path;

use signer_wire::RequestBody;

use crate::Outcome;
use crate::config::Config;
use crate::custody::{connect_signers, explain};

/// Closes a latch at every signer that answers; an error when any of them did not.
pub fn run(path: &Path, latch: &str, reason: &str) -> Outcome {
    let config = Config::read(path)?;
    let mut open = Vec::new();
    for (client, signer) in connect_signers(&config)?.iter_mut().zip(&config.signers) {
        let question = RequestBody::Freeze { latch: latch.to_owned(), reason: reason.to_owned() };
        match client.call(question) {
            Ok(_) => println!("{}: frozen", signer.id),
            Err(error) => {
                println!("{}: NOT frozen: {}", signer.id, explain(error));
                open.push(signer.id.as_str());
            }
        }
    }
    if open.is_empty() { Ok(()) } else { Err(format!("not frozen at {}", open.join(", "))) }
}
