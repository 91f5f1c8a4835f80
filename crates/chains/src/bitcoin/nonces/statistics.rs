//! Counts over nonces, and what of them chance would not give.
#![allow(clippy::cast_precision_loss, reason = "counts stay below 2^52")]

use super::Form;
use super::recover::Nonce;
use super::report::{Figures, NonceFinding};

/// From so many standard deviations on a bit is biased: by Hoeffding's bound 2 e^(-z²/2) for each of 256 bits, 1.8 in 10^7 together.
pub(super) const BIT_Z: f64 = 6.6;
/// From so many standard deviations on a byte is biased: 3.7 in 10^11 for each of 32 bytes.
pub(super) const BYTE_Z: f64 = 6.5;
/// Chi-square needs 20 expected in each of 256 cells.
pub(super) const BYTE_COUNT_MIN: u64 = 256 * 20;
/// A count of short nonces is too many when Chernoff's bound on its chance is below e^-20, for each of 64 lengths 1.3 in 10^7 together.
const SHORT_EXPONENT: f64 = 20.0;
/// Numbers of leading zeros that are counted apart.
const ZEROS_MAX: usize = 64;

/// What is counted.
pub(super) struct Statistics {
    form: Form,
    count: u64,
    /// For each byte, most significant first, how often it had each value.
    bytes: Vec<[u64; 256]>,
    /// How many `|k|` begin with exactly so many zero bits more than any `|k|` does; the last counts all that have more.
    zeros: [u64; ZEROS_MAX + 1],
}

/// The bias of one bit.
struct Bit {
    /// 0 is the least significant.
    bit: u32,
    ones: u64,
    z: f64,
}

impl Statistics {
    pub(super) fn new(form: Form) -> Statistics {
        Statistics { form, count: 0, bytes: vec![[0; 256]; 32], zeros: [0; ZEROS_MAX + 1] }
    }

    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    /// Counts a nonce in: `number` as the form says, `size` its `|k|`.
    pub(super) fn count_in(&mut self, number: &Nonce, size: &Nonce) {
        self.count += 1;
        for (cells, byte) in self.bytes.iter_mut().zip(number.bytes()) {
            if let Some(cell) = cells.get_mut(usize::from(*byte)) {
                *cell += 1;
            }
        }
        // `|k|` is below 2^255, so its first bit is zero always.
        let zeros = usize::try_from(size.top().leading_zeros()).unwrap_or_default().saturating_sub(1).min(ZEROS_MAX);
        if let Some(cell) = self.zeros.get_mut(zeros) {
            *cell += 1;
        }
    }

    fn bits(&self) -> impl Iterator<Item = Bit> {
        let deviation = (self.count as f64).sqrt() / 2.0;
        let bit = move |position: usize, bit: usize, cells: &[u64; 256]| {
            let ones =
                cells.iter().enumerate().filter(|(value, _)| value >> bit & 1 == 1).map(|(_, count)| count).sum();
            let z = (ones as f64 - self.count as f64 / 2.0) / deviation;
            Bit { bit: u32::try_from((31 - position) * 8 + bit).unwrap_or_default(), ones, z }
        };
        // The first bit of `|k|` is zero always.
        let highest = if self.form == Form::LowS { 254 } else { 255 };
        self.bytes
            .iter()
            .enumerate()
            .flat_map(move |(position, cells)| (0..8).map(move |one| bit(position, one, cells)))
            .filter(move |bit| bit.bit <= highest)
    }

    /// Standard deviations of each byte's chi-square, by Wilson and Hilferty's cube root; most significant first. Empty when too few were
    /// counted.
    fn byte_deviations(&self) -> Vec<f64> {
        if self.count < BYTE_COUNT_MIN {
            return Vec::new();
        }
        let deviation = |(position, cells): (usize, &[u64; 256])| {
            let possible = if position == 0 && self.form == Form::LowS { 128 } else { 256 };
            let expected = self.count as f64 / f64::from(possible);
            let square = |count: &u64| (*count as f64 - expected).powi(2) / expected;
            let sum: f64 = cells.iter().take(possible as usize).map(square).sum();
            let freedom = f64::from(possible - 1);
            let spread = 2.0 / (9.0 * freedom);
            ((sum / freedom).cbrt() - (1.0 - spread)) / spread.sqrt()
        };
        self.bytes.iter().enumerate().map(deviation).collect()
    }

    /// The number of leading zeros that chance gives least: how many, expected, and the negative logarithm of its chance at most.
    fn shortest(&self) -> Option<(u32, u64, f64, f64)> {
        let total = self.count as f64;
        let mut found: Option<(u32, u64, f64, f64)> = None;
        for bits in 1..=ZEROS_MAX {
            let count: u64 = self.zeros.iter().skip(bits).sum();
            let chance = 0.5_f64.powi(i32::try_from(bits).unwrap_or(i32::MAX));
            let share = count as f64 / total;
            if count == 0 || share <= chance {
                continue;
            }
            let rest = if share < 1.0 { (1.0 - share) * ((1.0 - share) / (1.0 - chance)).ln() } else { 0.0 };
            let exponent = total * (share * (share / chance).ln() + rest);
            if found.is_none_or(|(_, _, _, before)| exponent > before) {
                found = Some((u32::try_from(bits).unwrap_or(u32::MAX), count, total * chance, exponent));
            }
        }
        found
    }

    /// Adds what chance would not give.
    pub(super) fn findings(&self, findings: &mut Vec<NonceFinding>) {
        for Bit { bit, ones, z } in self.bits().filter(|bit| bit.z.abs() >= BIT_Z) {
            findings.push(NonceFinding::BitBias { bit, ones, of: self.count, z });
        }
        for (position, z) in self.byte_deviations().into_iter().enumerate().filter(|(_, z)| *z >= BYTE_Z) {
            findings.push(NonceFinding::ByteBias { byte: u32::try_from(31 - position).unwrap_or_default(), z });
        }
        if let Some((bits, count, expected, exponent)) = self.shortest()
            && exponent >= SHORT_EXPONENT
        {
            findings.push(NonceFinding::Short { bits, count, expected });
        }
    }

    pub(super) fn figures(&self) -> Figures {
        let largest = |one: f64, two: f64| if two.abs() > one.abs() { two } else { one };
        let zeros = self.zeros.iter().rposition(|count| *count > 0).unwrap_or_default();
        Figures {
            bits: self.bits().count(),
            bit_z: self.bits().map(|bit| bit.z).fold(0.0, largest),
            byte_z: self.byte_deviations().into_iter().reduce(f64::max),
            zeros: u32::try_from(zeros).unwrap_or(u32::MAX),
        }
    }
}
