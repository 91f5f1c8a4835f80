//! The checksum RS1024: three symbols of a Reed-Solomon code over GF(1024), which finds every change of up to three words.

/// Words of a checksum.
pub(crate) const CHECKSUM_WORDS: usize = 3;

/// Where the extendable flag stands: the flag chooses the customisation string, so a wrong word there changes both.
const FLAG_POSITION: usize = 1;
const FLAG_MASK: u32 = 1 << 4;

/// The code's generator polynomial, times each power of the field's generator (SLIP-0039, "Checksum").
const GENERATOR: [u32; 10] = [
    0x00e0_e040,
    0x01c1_c080,
    0x0383_8100,
    0x0707_0200,
    0x0e0e_0009,
    0x1c0c_2412,
    0x3808_6c24,
    0x3090_fc48,
    0x21b1_f890,
    0x03f3_f120,
];

const fn customisation(extendable: bool) -> &'static [u8] {
    if extendable { b"shamir_extendable" } else { b"shamir" }
}

/// The remainder after one more symbol.
fn step(remainder: u32, symbol: u32) -> u32 {
    let top = remainder >> 20;
    let shifted = ((remainder & 0xf_ffff) << 10) ^ symbol;
    let used = |bit: usize| ((top >> bit) & 1).wrapping_neg();
    GENERATOR.iter().enumerate().fold(shifted, |sum, (bit, generator)| sum ^ (generator & used(bit)))
}

fn remainder(symbols: &[u16], extendable: bool) -> u32 {
    let prefix = customisation(extendable).iter().map(|byte| u32::from(*byte));
    prefix.chain(symbols.iter().map(|symbol| u32::from(*symbol))).fold(1, step)
}

/// The three symbols that follow `symbols`.
pub(crate) fn create(symbols: &[u16], extendable: bool) -> [u16; CHECKSUM_WORDS] {
    let last = [0; CHECKSUM_WORDS].into_iter().fold(remainder(symbols, extendable), step) ^ 1;
    [20, 10, 0].map(|shift| u16::try_from((last >> shift) & 0x3ff).unwrap_or_default())
}

/// Whether `symbols`, the checksum among them, are as they were made.
pub(crate) fn holds(symbols: &[u16], extendable: bool) -> bool {
    remainder(symbols, extendable) == 1
}

/// The position of the one symbol whose change would make the checksum hold, if there is one. What belongs there is not told.
pub(crate) fn locate(symbols: &[u16], extendable: bool) -> Option<usize> {
    [extendable, !extendable].into_iter().find_map(|flag| {
        let syndrome = remainder(symbols, flag) ^ 1;
        (1..1024).find_map(|error| {
            let mut effect = error;
            (0..symbols.len()).rev().find(|position| {
                let flips = *position == FLAG_POSITION && error & FLAG_MASK != 0;
                let explains = effect == syndrome && flips == (flag != extendable);
                effect = step(effect, 0);
                explains
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Words of a share of a 32-byte secret.
    const WORDS: usize = 33;

    /// Every word of shares of 16 and 32 bytes, and for every other length the word with the flag: elsewhere length plays no part.
    #[test]
    fn every_single_change_is_found() {
        for words in 20..=59 {
            let positions = if matches!(words, 20 | WORDS) { 0..words } else { FLAG_POSITION..FLAG_POSITION + 1 };
            for extendable in [false, true] {
                let mut whole = vec![0; words - CHECKSUM_WORDS];
                whole.extend(create(&whole, extendable));
                for position in positions.clone() {
                    let right = whole[position];
                    for change in 1..1024 {
                        whole[position] = right ^ change;
                        assert!(!holds(&whole, extendable != flips(position, change)), "{words} {position} {change}");
                    }
                    whole[position] = right;
                }
            }
        }
    }

    /// Whether somebody who reads the changed word reads the other flag.
    fn flips(position: usize, change: u16) -> bool {
        position == FLAG_POSITION && u32::from(change) & FLAG_MASK != 0
    }

    proptest! {
        #[test]
        fn up_to_three_changed_symbols_are_found_and_one_is_located(
            mut whole in proptest::collection::vec(0u16..1024, WORDS - CHECKSUM_WORDS),
            extendable: bool,
            changes in proptest::collection::btree_map(0..WORDS, 1u16..1024, 1..=3),
        ) {
            whole.extend(create(&whole, extendable));
            prop_assert!(holds(&whole, extendable));
            prop_assert!(!holds(&whole, !extendable));
            for (position, change) in &changes {
                whole[*position] ^= change;
            }
            prop_assert!(!holds(&whole, extendable));
            if let (1, Some((position, change))) = (changes.len(), changes.first_key_value()) {
                let read = extendable != flips(*position, *change);
                prop_assert_eq!(locate(&whole, read), Some(*position));
            }
        }
    }
}
