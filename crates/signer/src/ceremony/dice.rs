//! Dice: randomness that people make and see, mixed into a seed. What is typed is a secret.
//!
//! Rolls are counted at log2(6) bits each, and what no fair die does is refused: too few, a face too often, long runs, a pattern that
//! repeats. Somebody who invents rolls cleverly is not found out; that is why they are mixed, and never the only source.

use zeroize::Zeroizing;

use crate::refusal::{Code, Refused};

/// Fewest rolls: 99 times log2(6) are 255.9 bits.
pub const ROLLS_MIN: usize = 99;
/// Most rolls.
pub const ROLLS_MAX: usize = 10_000;
/// log2(6), in thousandths of a bit, rounded down.
const MILLIBITS: usize = 2_584;
/// Chi-square with five degrees of freedom is above this once in a million (NIST/SEMATECH e-Handbook, 1.3.6.7.4, computed further).
const CHI_SQUARE_MAX: f64 = 35.89;
/// Rolls equal to those some rolls before, beyond the expected share, in standard deviations: six are one in a billion.
const SIGMAS_MAX: f64 = 6.0;
/// Longest pattern that is looked for.
const PERIOD_MAX: usize = 33;

/// Rolls of dice, wiped when dropped.
pub struct Dice(Zeroizing<Vec<u8>>);

impl std::fmt::Debug for Dice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dice").field("rolls", &self.0.len()).finish()
    }
}

impl Dice {
    /// Reads rolls: the digits 1 to 6; spaces, line ends and commas do not count.
    ///
    /// # Errors
    /// `dice-form`, `dice-few`, `dice-uneven`, `dice-run`, `dice-pattern`.
    pub fn read(text: &str) -> Result<Dice, Refused> {
        let mut rolls = Zeroizing::new(Vec::with_capacity(text.len()));
        for letter in text.bytes().filter(|letter| !letter.is_ascii_whitespace() && *letter != b',') {
            if !(b'1'..=b'6').contains(&letter) {
                return Err(Refused::new(
                    Code::DiceForm,
                    "rolls of dice are the digits 1 to 6, and spaces between them",
                ));
            }
            rolls.push(letter);
        }
        check(&rolls)?;
        Ok(Dice(rolls))
    }

    /// How many rolls.
    pub fn rolls(&self) -> usize {
        self.0.len()
    }

    /// Entropy of that many rolls of a fair die, in whole bits.
    pub fn bits(&self) -> usize {
        self.0.len() * MILLIBITS / 1_000
    }

    /// The digits, to be mixed.
    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }
}

fn check(rolls: &[u8]) -> Result<(), Refused> {
    let count = rolls.len();
    if !(ROLLS_MIN..=ROLLS_MAX).contains(&count) {
        let reason = format!("{count} rolls; {ROLLS_MIN} are needed for 256 bits, and at most {ROLLS_MAX} are taken");
        return Err(Refused::new(Code::DiceFew, reason));
    }
    let expected = count as f64 / 6.0;
    let chi_square: f64 = (b'1'..=b'6')
        .map(|face| rolls.iter().filter(|roll| **roll == face).count() as f64)
        .map(|seen| (seen - expected).powi(2) / expected)
        .sum();
    if chi_square > CHI_SQUARE_MAX {
        return Err(Refused::new(
            Code::DiceUneven,
            "some faces come far too often: no fair die rolls like this; roll anew",
        ));
    }
    // A run of this length comes less than once in a million sequences.
    let run_max = (1..).find(|run| count as f64 * 6f64.powi(1 - *run) < 1e-6).unwrap_or(12);
    if rolls.chunk_by(|one, next| one == next).any(|run| i32::try_from(run.len()).unwrap_or(i32::MAX) >= run_max) {
        return Err(Refused::new(
            Code::DiceRun,
            "one face comes too often in a row: no fair die rolls like this; roll anew",
        ));
    }
    // Up and down: differences between neighbours that are always the same make a pattern of six.
    for period in 1..=PERIOD_MAX.min(count / 3) {
        let (pairs, p) = ((count - period) as f64, 1.0 / 6.0);
        let equal = rolls.iter().zip(rolls.iter().skip(period)).filter(|(one, later)| one == later).count() as f64;
        if equal > pairs * p + SIGMAS_MAX * (pairs * p * (1.0 - p)).sqrt() {
            let reason = format!("the rolls repeat after {period}: this is a pattern and no die; roll anew");
            return Err(Refused::new(Code::DicePattern, reason));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rolls of the system's randomness.
    fn fair(count: usize) -> String {
        let mut rolls = String::new();
        while rolls.len() < count {
            let mut byte = [0];
            crate::vault::random(&mut byte).unwrap();
            if byte[0] < 252 {
                rolls.push(char::from(b'1' + byte[0] % 6));
            }
        }
        rolls
    }

    #[test]
    fn fair_rolls_are_taken_and_counted() {
        for _ in 0..200 {
            let dice = Dice::read(&fair(99)).unwrap();
            assert_eq!((dice.rolls(), dice.bits()), (99, 255));
        }
        assert_eq!(Dice::read(&fair(120)).unwrap().bits(), 310);
        let spaced: String = fair(100).chars().flat_map(|roll| [roll, ' ']).collect();
        assert_eq!(Dice::read(&spaced).unwrap().rolls(), 100);
        assert!(!format!("{:?}", Dice::read(&fair(100)).unwrap()).contains("[4"));
    }

    #[test]
    fn what_no_die_rolls_is_refused_by_name() {
        let refused = |text: &str| Dice::read(text).unwrap_err().code.to_string();
        assert_eq!(refused(&fair(98)), "dice-few");
        assert_eq!(refused(""), "dice-few");
        assert_eq!(refused(&fair(10_001)), "dice-few");
        assert_eq!(refused(&format!("{}7", fair(99))), "dice-form");
        assert_eq!(refused(&"1".repeat(120)), "dice-uneven");
        assert_eq!(refused(&"12".repeat(60)), "dice-uneven");
        assert_eq!(refused(&"123456".repeat(20)), "dice-pattern");
        assert_eq!(refused(&"163524".repeat(20)), "dice-pattern");
        assert_eq!(refused(&fair(33).repeat(3)), "dice-pattern");
        assert_eq!(refused(&format!("{}{}{}", "123456".repeat(9), "333333333333", fair(60))), "dice-run");
    }
}
