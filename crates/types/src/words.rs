use crate::Digest;

/// Six words of the digest, for comparing across screens: its first 66 bits, eleven a word, from BIP-39's English list.
///
/// Two people who read the same six words look at the same instruction, unless somebody computed about 2^66 digests.
pub fn words(digest: &Digest) -> [&'static str; 6] {
    let list = bip39::Language::English.word_list();
    let mut bits = digest.as_bytes().iter().take(9).fold(0u128, |bits, byte| (bits << 8) | u128::from(*byte));
    bits >>= 6;
    let mut chosen = [""; 6];
    for word in chosen.iter_mut().rev() {
        let index = usize::try_from(bits & 0x7ff).unwrap_or_default();
        *word = list.get(index).copied().unwrap_or_default();
        bits >>= 11;
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_follow_the_bits() {
        assert_eq!(words(&Digest::from_bytes([0; 32])), ["abandon"; 6]);
        assert_eq!(words(&Digest::from_bytes([0xff; 32])), ["zoo"; 6]);
        let mut bytes = [0; 32];
        // The eleventh bit alone is word 1 ("ability") in first place; the last of the 66 bits is in byte 8.
        bytes[1] = 0b0010_0000;
        bytes[8] = 0b0100_0000;
        assert_eq!(
            words(&Digest::from_bytes(bytes)),
            ["ability", "abandon", "abandon", "abandon", "abandon", "ability"]
        );
    }
}
