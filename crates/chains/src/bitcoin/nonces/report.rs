use std::fmt;

use super::Form;
use super::statistics::{BIT_Z, BYTE_COUNT_MIN, BYTE_Z};

/// What chance, or RFC 6979, would not give. Signatures are counted from 1 in the order in which they were taken in.
#[derive(Clone, Debug, PartialEq)]
pub enum NonceFinding {
    /// Signatures that are none: R or S is zero.
    Malformed {
        /// How many.
        count: u64,
        /// The first.
        first: u64,
    },
    /// One nonce under two signatures: whoever has both has the key.
    Repeated {
        /// How often.
        count: u64,
        /// The first two.
        numbers: [u64; 2],
    },
    /// Nonces that are not those of RFC 6979.
    NotRfc6979 {
        /// How many.
        count: u64,
        /// The first.
        first: u64,
    },
    /// A bit that is set too often or too seldom.
    BitBias {
        /// Which; 0 is the least significant.
        bit: u32,
        /// How often it is set.
        ones: u64,
        /// Of how many.
        of: u64,
        /// Standard deviations from half.
        z: f64,
    },
    /// A byte some of whose values come too often.
    ByteBias {
        /// Which; 0 is the least significant.
        byte: u32,
        /// Standard deviations of its chi-square.
        z: f64,
    },
    /// Too many short nonces.
    Short {
        /// Leading zero bits, beyond those that every nonce has.
        bits: u32,
        /// How many nonces have them.
        count: u64,
        /// How many chance gives.
        expected: f64,
    },
    /// Two nonces lie close together.
    Near {
        /// How often.
        count: u64,
        /// The first two.
        numbers: [u64; 2],
    },
    /// Each nonce follows from the one before it.
    Recurrence {
        /// How often.
        count: u64,
        /// The fourth of the first four.
        first: u64,
    },
}

impl NonceFinding {
    /// A stable name for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            NonceFinding::Malformed { .. } => "signature-malformed",
            NonceFinding::Repeated { .. } => "nonce-repeated",
            NonceFinding::NotRfc6979 { .. } => "nonce-not-rfc6979",
            NonceFinding::BitBias { .. } => "nonce-bit-bias",
            NonceFinding::ByteBias { .. } => "nonce-byte-bias",
            NonceFinding::Short { .. } => "nonce-short",
            NonceFinding::Near { .. } => "nonce-near",
            NonceFinding::Recurrence { .. } => "nonce-recurrence",
        }
    }
}

impl fmt::Display for NonceFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.code())?;
        match self {
            NonceFinding::Malformed { count, first } => write!(f, "{count} signatures are none, first number {first}"),
            NonceFinding::Repeated { count, numbers: [one, two] } => {
                write!(f, "{count} times one nonce made two signatures, first numbers {one} and {two}")
            }
            NonceFinding::NotRfc6979 { count, first } => {
                write!(f, "{count} nonces are not those of RFC 6979, first number {first}")
            }
            NonceFinding::BitBias { bit, ones, of, z } => {
                write!(f, "bit {bit} is set {ones} times of {of}, {z:.1} standard deviations from half")
            }
            NonceFinding::ByteBias { byte, z } => {
                write!(f, "byte {byte} is {z:.1} standard deviations from even")
            }
            NonceFinding::Short { bits, count, expected } => {
                write!(f, "{count} nonces begin with {bits} zero bits, chance gives {expected:.1}")
            }
            NonceFinding::Near { count, numbers: [one, two] } => {
                write!(f, "{count} times two nonces lie close together, first numbers {one} and {two}")
            }
            NonceFinding::Recurrence { count, first } => {
                write!(f, "{count} nonces follow from those before them, first number {first}")
            }
        }
    }
}

/// The largest deviations, whether they mean anything or not.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Figures {
    /// How many bits were looked at.
    pub(super) bits: usize,
    /// The most biased bit, in standard deviations.
    pub(super) bit_z: f64,
    /// The least even byte, in standard deviations; none with too few signatures.
    pub(super) byte_z: Option<f64>,
    /// The most leading zero bits, beyond those that every nonce has.
    pub(super) zeros: u32,
}

/// What an audit found. `Display` is for people, in several lines; nothing in it is secret.
#[derive(Clone, Debug, PartialEq)]
pub struct NonceReport {
    /// Signatures that were taken in.
    pub signatures: u64,
    /// How they were made.
    pub form: Form,
    /// Whether each nonce was held against RFC 6979.
    pub deterministic: bool,
    /// What was found; empty when all is well.
    pub findings: Vec<NonceFinding>,
    pub(super) figures: Figures,
}

impl NonceReport {
    /// Whether nothing was found.
    pub const fn passed(&self) -> bool {
        self.findings.is_empty()
    }

    /// The names of what was found, each once.
    pub fn codes(&self) -> Vec<&'static str> {
        let mut codes: Vec<_> = self.findings.iter().map(NonceFinding::code).collect();
        codes.dedup();
        codes
    }
}

impl fmt::Display for NonceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { bits, bit_z, byte_z, zeros } = &self.figures;
        let form = match self.form {
            Form::AsMade => "as made",
            Form::LowS => "with low S, so nonces up to sign",
        };
        writeln!(f, "{} signatures, {form}", self.signatures)?;
        let held = if self.deterministic { "every nonce held against RFC 6979" } else { "nonces may be random" };
        writeln!(f, "{held}; repeats, neighbours and recurrences looked for")?;
        writeln!(f, "most biased of {bits} bits: {bit_z:+.2} standard deviations (accused from {BIT_Z} on)")?;
        match byte_z {
            Some(z) => writeln!(f, "least even of 32 bytes: {z:+.2} standard deviations (accused from {BYTE_Z} on)")?,
            None => writeln!(f, "bytes: not looked at, that takes {BYTE_COUNT_MIN} signatures")?,
        }
        writeln!(f, "shortest nonce: {zeros} leading zero bits more than every nonce has")?;
        for finding in &self.findings {
            writeln!(f, "FOUND {finding}")?;
        }
        let verdict = if self.passed() { "nothing found" } else { "do not sign with this machine" };
        write!(f, "{verdict}; chance alone is accused in fewer than 1 of 1,000,000 audits")
    }
}
