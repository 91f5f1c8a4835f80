//! What the tests share.

#![allow(clippy::unwrap_used, reason = "a helper of tests: failing here is the test failing")]

use sha2::{Digest as _, Sha256};
use shares::RandomError;

/// Randomness that can be had again: SHA-256(start) || SHA-256(start + 1) || ..., the counter as eight bytes, most significant first.
pub fn stream(start: u64) -> impl FnMut(&mut [u8]) -> Result<(), RandomError> {
    let mut bytes = (start..).flat_map(|counter| Sha256::digest(counter.to_be_bytes()));
    move |slice| {
        slice.fill_with(|| bytes.next().unwrap());
        Ok(())
    }
}
