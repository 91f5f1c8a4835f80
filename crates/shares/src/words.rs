//! The word list of SLIP-0039: 1024 English words, sorted, each told by its first four letters. `words.txt` is the standard's own file.

use std::sync::LazyLock;

/// Bits that a word stands for.
pub(crate) const WORD_BITS: u32 = 10;
/// Longest word, in letters.
pub(crate) const WORD_LETTERS_MAX: usize = 8;

static WORDS: LazyLock<Vec<&str>> = LazyLock::new(|| include_str!("words.txt").lines().collect());

/// The word with a number below 1024.
pub(crate) fn word(number: u16) -> &'static str {
    WORDS.get(usize::from(number)).copied().unwrap_or_default()
}

/// The number of a word, in capitals or not.
pub(crate) fn number(word: &str) -> Option<u16> {
    let found =
        WORDS.binary_search_by(|listed| listed.bytes().cmp(word.bytes().map(|letter| letter.to_ascii_lowercase())));
    found.ok().and_then(|number| u16::try_from(number).ok())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    fn the_list_is_the_standards_and_its_first_four_letters_tell_words_apart() {
        assert_eq!(WORDS.len(), 1 << WORD_BITS);
        assert!(WORDS.is_sorted());
        assert!(WORDS.iter().all(|word| (4..=WORD_LETTERS_MAX).contains(&word.len())));
        assert!(WORDS.iter().all(|word| word.bytes().all(|letter| letter.is_ascii_lowercase())));
        assert_eq!(WORDS.iter().map(|word| &word[..4]).collect::<BTreeSet<_>>().len(), WORDS.len());
        // SHA-256 of `wordlist.txt` in shamir-mnemonic 0.3.0, the reference implementation.
        let hash = hex::encode(Sha256::digest(include_bytes!("words.txt")));
        assert_eq!(hash, "bcc4555340332d169718aed8bf31dd9d5248cb7da6e5d355140ef4f1e601eec3");
    }

    #[test]
    fn words_and_numbers_turn_into_each_other() {
        for at in 0..1 << WORD_BITS {
            assert_eq!(number(word(at)), Some(at));
            assert_eq!(number(&word(at).to_uppercase()), Some(at));
            assert_eq!(number(&word(at)[1..]).map(word).filter(|other| *other == word(at)), None);
        }
        for none in ["", "acad", "academics", "zzzz", "ácademic", "academic "] {
            assert_eq!(number(none), None, "{none}");
        }
    }
}
