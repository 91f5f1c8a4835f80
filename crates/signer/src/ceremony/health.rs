//! Health tests of a random source before it makes keys: NIST SP 800-90B, section 4.4, on the source's bytes.
//!
//! They find a source that is stuck, or that prefers some bytes. They cannot find one whose output somebody else can compute: against
//! that stand dice and the other parties' contributions, see [`super::entropy`].

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Random;
use crate::refusal::{Code, Refused};

/// Bytes that are drawn and thrown away. Section 4.3 asks for 1,024 at least.
pub const SAMPLES: usize = 8_192;
/// Cutoff of the repetition count test (4.4.1): C = 1 + ceil(-log2(alpha) / H), with H = 8 bits claimed for each byte, and
/// alpha = 2^-30, which is within the 2^-20 to 2^-40 that the section proposes.
pub const REPETITION_CUTOFF: usize = 5;
/// Window of the adaptive proportion test (4.4.2) for a source of more than two values.
pub const WINDOW: usize = 512;
/// Its cutoff: C = 1 + CRITBINOM(512, 2^-8, 1 - 2^-30). A test computes it again.
pub const PROPORTION_CUTOFF: usize = 16;

/// What the tests saw. Public.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Most often one byte in a window, with the window's first.
    pub proportion_max: String,
    /// Longest run of one byte.
    pub repetition_max: String,
    /// Bytes that were looked at.
    pub samples: String,
}

/// Draws bytes and tests them.
///
/// # Errors
/// `random` when the source gives nothing; `source-stuck`, `source-uneven`: it is not used.
pub fn examine(source: &mut Random<'_>) -> Result<Health, Refused> {
    let mut samples = Zeroizing::new(vec![0; SAMPLES]);
    source(&mut samples).map_err(|error| Refused::new(Code::Random, error.to_string()))?;
    let repetition_max = longest_run(&samples);
    if repetition_max >= REPETITION_CUTOFF {
        let reason = format!(
            "the random source gave one byte {repetition_max} times in a row: it is stuck; use another machine"
        );
        return Err(Refused::new(Code::SourceStuck, reason));
    }
    let first_again = |window: &[u8]| {
        let first = window.first();
        window.iter().filter(|byte| Some(*byte) == first).count()
    };
    let proportion_max = samples.chunks_exact(WINDOW).map(first_again).max().unwrap_or(0);
    if proportion_max >= PROPORTION_CUTOFF {
        let reason = format!(
            "the random source gave one byte {proportion_max} times in {WINDOW}: it is uneven; use another machine"
        );
        return Err(Refused::new(Code::SourceUneven, reason));
    }
    Ok(Health {
        proportion_max: proportion_max.to_string(),
        repetition_max: repetition_max.to_string(),
        samples: SAMPLES.to_string(),
    })
}

fn longest_run(samples: &[u8]) -> usize {
    let (mut longest, mut run, mut before) = (0, 0, None);
    for byte in samples {
        run = if before == Some(byte) { run + 1 } else { 1 };
        before = Some(byte);
        longest = longest.max(run);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cutoffs_are_those_that_the_standard_computes() {
        let bits: f64 = 30.0;
        assert_eq!(REPETITION_CUTOFF, 1 + (bits / 8.0).ceil() as usize);
        // CRITBINOM: the smallest number of successes whose cumulative probability is 1 - alpha or more.
        let (alpha, p, n) = (2f64.powf(-bits), 2f64.powi(-8), WINDOW);
        let mut above = 1.0;
        let mut term = (1.0 - p).powi(i32::try_from(n).unwrap());
        let mut critical = 0;
        for k in 0..=n {
            above -= term;
            if above <= alpha {
                critical = k;
                break;
            }
            term *= (n - k) as f64 / (k + 1) as f64 * p / (1.0 - p);
        }
        assert_eq!(PROPORTION_CUTOFF, 1 + critical);
    }

    #[test]
    fn the_systems_own_source_passes() {
        for _ in 0..50 {
            let health = examine(&mut crate::vault::random).unwrap();
            assert_eq!(health.samples, "8192");
        }
    }

    #[test]
    fn stuck_and_uneven_sources_and_none_are_refused_by_name() {
        let refused = |source: &mut Random<'_>| examine(source).unwrap_err().code.to_string();
        let mut stuck = |bytes: &mut [u8]| {
            bytes.fill(7);
            Ok(())
        };
        assert_eq!(refused(&mut stuck), "source-stuck");
        // Good bytes, then a stuck wire.
        assert_eq!(
            refused(&mut |bytes| {
                crate::vault::random(bytes)?;
                bytes[4_000..4_005].fill(0);
                Ok(())
            }),
            "source-stuck"
        );
        // Four bits of entropy in each byte.
        let mut state = 0_u32;
        assert_eq!(
            refused(&mut |bytes| {
                for byte in bytes {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    *byte = (state >> 28) as u8;
                }
                Ok(())
            }),
            "source-uneven"
        );
        assert_eq!(refused(&mut |_| Err(sealing::NoRandomness)), "random");
    }
}
