//! Passphrases: which ones are taken, and the key that follows from one by Argon2id (RFC 9106).
//!
//! Whoever copies the file guesses at leisure. The rule keeps out what is guessed at once; strength comes from words chosen by
//! dice. It binds new passphrases only: an old one opens for ever what it once opened.

use std::collections::BTreeSet;

use argon2::{Algorithm, Argon2, Block, Params, Version};

use crate::error::SealingError;
use crate::keys::{KEY_BYTES, Kek, NoRandomness, Random};
use crate::slot::SlotRule;

/// Fewest characters of a new passphrase.
pub const PASSPHRASE_CHARACTERS_MIN: usize = 20;
/// Fewest different characters of a new passphrase.
pub const PASSPHRASE_DISTINCT_MIN: usize = 8;
/// Most characters of a new passphrase.
pub const PASSPHRASE_CHARACTERS_MAX: usize = 1_024;
/// Floor of the memory, in KiB: 64 MiB, the second recommendation of RFC 9106 (section 4).
pub const ARGON2_MEMORY_KIB_MIN: u32 = 65_536;
/// Ceiling of the memory, in KiB: a changed file cannot ask for more than 1 GiB.
pub const ARGON2_MEMORY_KIB_MAX: u32 = 1_048_576;
/// Floor of the passes over the memory, from the same recommendation.
pub const ARGON2_PASSES_MIN: u32 = 3;
/// Ceiling of the passes.
pub const ARGON2_PASSES_MAX: u32 = 10;
/// Lanes of the same recommendation. They are computed one after the other here.
pub const ARGON2_LANES: u32 = 4;
/// Ceiling of the lanes.
pub const ARGON2_LANES_MAX: u32 = 16;
/// Bytes of a salt, from the same recommendation: 128 bits.
pub const SALT_BYTES: usize = 16;

/// Why a new passphrase is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PassphraseRule {
    /// Too short or absurdly long.
    #[error(
        "a passphrase has {PASSPHRASE_CHARACTERS_MIN} to {PASSPHRASE_CHARACTERS_MAX} characters; take seven words chosen by dice"
    )]
    Length,
    /// A few characters over and over.
    #[error("a passphrase has {PASSPHRASE_DISTINCT_MIN} different characters or more; take seven words chosen by dice")]
    Repetitive,
    /// Other characters than those that every keyboard and system spells alike.
    #[error("a passphrase is made of the letters, digits, signs and spaces of ASCII, without a space at either end")]
    Characters,
}

pub(crate) fn check_new(passphrase: &str) -> Result<(), PassphraseRule> {
    if !(PASSPHRASE_CHARACTERS_MIN..=PASSPHRASE_CHARACTERS_MAX).contains(&passphrase.chars().count()) {
        return Err(PassphraseRule::Length);
    }
    let plain = passphrase.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    if !plain || passphrase.starts_with(' ') || passphrase.ends_with(' ') {
        return Err(PassphraseRule::Characters);
    }
    if passphrase.bytes().collect::<BTreeSet<u8>>().len() < PASSPHRASE_DISTINCT_MIN {
        return Err(PassphraseRule::Repetitive);
    }
    Ok(())
}

/// How a passphrase becomes a key: Argon2id, version 0x13, 32 bytes long. Never weaker than the floors, never beyond the ceilings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2Parameters {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: [u8; SALT_BYTES],
}

impl Argon2Parameters {
    /// The second recommendation of RFC 9106 (64 MiB, three passes, four lanes) with a fresh salt.
    pub(crate) fn recommended(random: &mut Random<'_>) -> Result<Argon2Parameters, NoRandomness> {
        let mut salt = [0; SALT_BYTES];
        random(&mut salt)?;
        Ok(Argon2Parameters { memory_kib: ARGON2_MEMORY_KIB_MIN, passes: ARGON2_PASSES_MIN, lanes: ARGON2_LANES, salt })
    }

    pub(crate) fn new(
        memory_kib: u32,
        passes: u32,
        lanes: u32,
        salt: [u8; SALT_BYTES],
    ) -> Result<Argon2Parameters, SlotRule> {
        if memory_kib < ARGON2_MEMORY_KIB_MIN || passes < ARGON2_PASSES_MIN || lanes == 0 {
            return Err(SlotRule::WeakArgon2);
        }
        if memory_kib > ARGON2_MEMORY_KIB_MAX || passes > ARGON2_PASSES_MAX || lanes > ARGON2_LANES_MAX {
            return Err(SlotRule::AbsurdArgon2);
        }
        Ok(Argon2Parameters { memory_kib, passes, lanes, salt })
    }

    /// Memory in KiB.
    pub const fn memory_kib(&self) -> u32 {
        self.memory_kib
    }

    /// Passes over the memory.
    pub const fn passes(&self) -> u32 {
        self.passes
    }

    /// Lanes.
    pub const fn lanes(&self) -> u32 {
        self.lanes
    }

    /// The salt.
    pub const fn salt(&self) -> &[u8; SALT_BYTES] {
        &self.salt
    }

    /// The key that follows from a passphrase. Takes a good part of a second and all that memory, which is wiped afterwards.
    pub(crate) fn derive(&self, passphrase: &str) -> Result<Kek, SealingError> {
        let no_memory = SealingError::NoMemory(self.memory_kib);
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(KEY_BYTES));
        let params = params.map_err(|_| no_memory.clone())?;
        let mut blocks: Vec<Block> = Vec::new();
        blocks.try_reserve_exact(params.block_count()).map_err(|_| no_memory.clone())?;
        blocks.resize(params.block_count(), Block::new());
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let kek = Kek::fill_with(|out| {
            argon2.hash_password_into_with_memory(passphrase.as_bytes(), &self.salt, out, &mut blocks)
        });
        blocks.iter_mut().for_each(zeroize::Zeroize::zeroize);
        kek.map_err(|_| no_memory)
    }
}

#[cfg(test)]
mod tests {
    use argon2::{AssociatedData, ParamsBuilder};

    use super::*;

    /// RFC 9106, section 5.3.
    #[test]
    fn matches_the_published_vector() {
        let params = ParamsBuilder::new()
            .m_cost(32)
            .t_cost(3)
            .p_cost(4)
            .data(AssociatedData::new(&[0x04; 12]).unwrap())
            .output_len(32)
            .build()
            .unwrap();
        let argon2 = Argon2::new_with_secret(&[0x03; 8], Algorithm::Argon2id, Version::V0x13, params).unwrap();
        let mut tag = [0; 32];
        argon2.hash_password_into_with_memory(&[0x01; 32], &[0x02; 16], &mut tag, &mut [Block::new(); 32]).unwrap();
        assert_eq!(hex::encode(tag), "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659");
    }

    /// From the reference implementation (Debian's `argon2`, 20171227):
    /// `printf %s 'correct horse battery staple' | argon2 0123456789abcdef -id -k 65536 -t 3 -p 4 -l 32 -r`, and with
    /// `-k 131072 -t 4 -p 2`.
    #[test]
    fn derives_what_the_reference_implementation_derives() {
        for (memory_kib, passes, lanes, key) in [
            (65_536, 3, 4, "efb51f9a76584f6dd6a4f7942a1a2f6ae5a6e4ec5142ff674dfd5d27eb45e446"),
            (131_072, 4, 2, "270fa21e256792d5324215e7db456cf15b4bff44075f8e909a7086caaf021c26"),
        ] {
            let parameters = Argon2Parameters::new(memory_kib, passes, lanes, *b"0123456789abcdef").unwrap();
            let kek = parameters.derive("correct horse battery staple").unwrap();
            assert_eq!(hex::encode(kek.expose()), key);
        }
    }

    #[test]
    fn weak_and_absurd_parameters_are_refused() {
        let new = |memory_kib, passes, lanes| Argon2Parameters::new(memory_kib, passes, lanes, [0; SALT_BYTES]).err();
        assert_eq!(new(ARGON2_MEMORY_KIB_MIN, ARGON2_PASSES_MIN, 1), None);
        assert_eq!(new(ARGON2_MEMORY_KIB_MAX, ARGON2_PASSES_MAX, ARGON2_LANES_MAX), None);
        assert_eq!(new(ARGON2_MEMORY_KIB_MIN - 1, 3, 4), Some(SlotRule::WeakArgon2));
        assert_eq!(new(ARGON2_MEMORY_KIB_MAX, ARGON2_PASSES_MIN - 1, 4), Some(SlotRule::WeakArgon2));
        assert_eq!(new(ARGON2_MEMORY_KIB_MIN, 3, 0), Some(SlotRule::WeakArgon2));
        assert_eq!(new(ARGON2_MEMORY_KIB_MAX + 1, 3, 4), Some(SlotRule::AbsurdArgon2));
        assert_eq!(new(u32::MAX, u32::MAX, u32::MAX), Some(SlotRule::AbsurdArgon2));
        assert_eq!(new(ARGON2_MEMORY_KIB_MIN, ARGON2_PASSES_MAX + 1, 4), Some(SlotRule::AbsurdArgon2));
        assert_eq!(new(ARGON2_MEMORY_KIB_MIN, 3, ARGON2_LANES_MAX + 1), Some(SlotRule::AbsurdArgon2));
    }

    #[test]
    fn what_is_guessed_at_once_is_not_taken() {
        for (passphrase, rule) in [
            ("", PassphraseRule::Length),
            ("hunter2", PassphraseRule::Length),
            ("nineteen characters", PassphraseRule::Length),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaa", PassphraseRule::Repetitive),
            ("abcabcabcabcabcabcabcabcabc", PassphraseRule::Repetitive),
            (" correct horse battery staple", PassphraseRule::Characters),
            ("correct horse battery staple ", PassphraseRule::Characters),
            ("corréct horse battery staple", PassphraseRule::Characters),
            ("correct horse\tbattery staple", PassphraseRule::Characters),
            (&"abcdefghij".repeat(103), PassphraseRule::Length),
        ] {
            assert_eq!(check_new(passphrase), Err(rule), "{passphrase:?}");
        }
        assert_eq!(check_new("correct horse battery staple"), Ok(()));
    }
}
