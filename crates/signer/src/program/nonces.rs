//! A self-test of the machine before a ceremony: many signatures with a key that is thrown away, and an audit of their nonces.

use std::io::{IsTerminal as _, Write as _};

use bitcoin::secp256k1::{Secp256k1, SecretKey};
use chains::bitcoin::{Form, NonceAudit, Signed, sign_digest};
use clap::Args;
use types::Digest;
use zeroize::Zeroizing;

use super::Outcome;

/// Signatures between two looks at the progress.
const STEP: u64 = 1_000;

/// `nonces`.
#[derive(Args)]
pub struct Nonces {
    /// How many signatures to make; bytes are looked at from 5,120 on.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    count: u64,
}

/// A key that is wiped when dropped.
struct ThrowAway(SecretKey);

impl Drop for ThrowAway {
    fn drop(&mut self) {
        self.0.non_secure_erase();
    }
}

impl Nonces {
    /// Signs, audits, and says what was found; fails when anything was.
    pub fn run(self) -> Outcome {
        let secp = Secp256k1::new();
        let key = ThrowAway(random_key()?);
        let public = key.0.public_key(&secp);
        let mut audit = NonceAudit::rfc6979(Form::LowS);
        let mut done = 0;
        while done < self.count {
            let end = self.count.min(done + STEP);
            let mut signed = Vec::new();
            for number in done..end {
                let digest = *Digest::of(&[b"claviger-nonces-v1\n", &number.to_be_bytes()]).as_bytes();
                // The very function that signs transactions; it verifies as well.
                signed.push(Signed { key: &key.0, digest, signature: sign_digest(&digest, &key.0, &public, &secp)? });
            }
            audit.add(&signed);
            done = end;
            progress(done, self.count)?;
        }
        let report = audit.report();
        println!("{report}");
        if report.passed() { Ok(()) } else { Err(format!("found: {}", report.codes().join(", ")).into()) }
    }
}

/// A key from the system's randomness.
fn random_key() -> Outcome<SecretKey> {
    let mut bytes = Zeroizing::new([0; 32]);
    loop {
        getrandom::fill(bytes.as_mut()).map_err(|_| "the system gives no randomness")?;
        // One in 2^128 is no key.
        if let Ok(key) = SecretKey::from_slice(bytes.as_slice()) {
            return Ok(key);
        }
    }
}

/// On a terminal, one line that moves; elsewhere a line for each tenth.
fn progress(done: u64, count: u64) -> Outcome {
    let mut out = std::io::stderr().lock();
    let percent = done.saturating_mul(100) / count;
    if out.is_terminal() {
        write!(out, "\rsigned {done} of {count} ({percent} %)")?;
        if done == count {
            writeln!(out)?;
        }
    } else if percent / 10 > done.saturating_sub(STEP).saturating_mul(100) / count / 10 {
        writeln!(out, "signed {done} of {count}")?;
    }
    Ok(out.flush()?)
}
