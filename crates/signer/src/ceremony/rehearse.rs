//! Rehearsal: shares are tried, and nobody sees the seed. What is compared is the seed's fingerprint with the journal's, and every
//! account's public key with the enrolment's.

use types::{Network, Step};

use super::sheet::Sheets;
use super::{Begun, Bench, backup, same_seed};
use crate::refusal::{Code, Refused};
use crate::seed::Seed;

/// Tries shares, and says what was recorded.
///
/// # Errors
/// `share-missing`, `share-mixed`, `share-network`, `seed-differs`, and those of the quorum.
pub fn hold(bench: &mut Bench<'_>, sheets: &Sheets, said: Option<Network>) -> Result<String, Refused> {
    let id = match bench.begin(Step::Rehearse)? {
        Begun::Now(id, _) => id,
        Begun::Before(held) => return Ok(held.detail),
    };
    let made_for = sheets.network(said)?.unwrap_or(bench.core.network());
    if made_for != bench.core.network() {
        let reason = format!("the shares are of a seed for {made_for}, this signer is on {}", bench.core.network());
        return Err(Refused::new(Code::ShareNetwork, reason));
    }
    let bytes = sheets.secret()?;
    let seed =
        Seed::from_bytes(&bytes, made_for).map_err(|error| Refused::new(Code::SeedDiffers, error.to_string()))?;
    drop(bytes);
    let (fingerprint, same) = same_seed(bench.core, &seed)?;
    drop(seed);
    if !same {
        let own = bench.core.seed_name().map_or_else(|| "none".to_owned(), |name| name.name);
        let reason =
            format!("the shares give the seed {fingerprint}, this signer's is {own}: they are another signer's");
        return Err(Refused::new(Code::SeedDiffers, reason));
    }
    bench.done("compared")?;
    let set = sheets.set();
    let known = if backup::sets(bench.core).any(|one| one == set) { "" } else { ", which no record here speaks of" };
    let detail = format!("set {set}: {} shares gave seed {fingerprint}{known}", sheets.count());
    let by = bench.actor(&id);
    // A crash before this leaves nothing.
    bench.core.finish_step(&id, Step::Rehearse, &detail, Vec::new(), &by, bench.now)?;
    bench.done("recorded")?;
    Ok(detail)
}
