//! Rehearsal: shares are tried, and nobody sees the seed. What is compared is the seed's fingerprint with the journal's, and every
//! account's public key with the enrolment's. The shares are tried in every call, whatever was recorded before.

use types::{Network, Step};

use super::sheet::Sheets;
use super::{Begun, Bench, Done, backup, held_before, same_seed};
use crate::refusal::{Code, Refused};
use crate::seed::Seed;

/// Tries shares, and says what was recorded.
///
/// # Errors
/// `share-missing`, `share-mixed`, `share-network`, `seed-differs`, `held-before`, and those of the quorum.
pub fn hold(bench: &mut Bench<'_>, sheets: &Sheets, said: Option<Network>) -> Result<Done, Refused> {
    let begun = bench.begin(Step::Rehearse)?;
    let found = try_shares(bench, sheets, said)?;
    let id = match begun {
        Begun::Now(id, _) => id,
        Begun::Before(held) if held.detail.starts_with(&found) => return Ok(Done::before(held, found)),
        // These shares are good as well, but of another rehearsal than the one that the people agreed to and the journal has.
        Begun::Before(held) => return Err(held_before(&held.detail, &format!("these shares: {found}"))),
    };
    let known =
        if backup::sets(bench.core).any(|one| one == sheets.set()) { "" } else { ", which no record here speaks of" };
    let detail = format!("{found}{known}");
    let by = bench.actor(&id);
    // A crash before this leaves nothing.
    bench.core.finish_step(&id, Step::Rehearse, &detail, Vec::new(), &by, bench.now)?;
    bench.done("recorded")?;
    Ok(Done::now(detail))
}

/// Brings the seed back from the shares, and says what they gave if it is this signer's.
fn try_shares(bench: &mut Bench<'_>, sheets: &Sheets, said: Option<Network>) -> Result<String, Refused> {
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
    Ok(format!("set {}: {} shares gave seed {fingerprint}", sheets.set(), sheets.count()))
}
