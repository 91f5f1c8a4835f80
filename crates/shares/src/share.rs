//! One share, as bits and as words: 15 bits identifier, 1 extendable flag, 4 iteration exponent; 4 each for group index, group
//! threshold, group count, member index and member threshold (counts less one); padding and value; three words of checksum.

use std::fmt;
use std::str::FromStr;

use zeroize::Zeroizing;

use crate::words::{WORD_BITS, WORD_LETTERS_MAX, number, word};
use crate::{SECRET_BYTES_MAX, SECRET_BYTES_MIN, ShareError, checksum};

/// Words before the value.
const HEADER_WORDS: usize = 4;
/// Words besides the value.
const FRAME_WORDS: usize = HEADER_WORDS + checksum::CHECKSUM_WORDS;
/// Padding of a well-formed share, in bits: at most a byte, so that the number of words tells the length.
const PADDING_BITS_MAX: u32 = 8;

/// What a share says about itself and its backup. Not secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub identifier: u16,
    pub extendable: bool,
    pub exponent: u8,
    pub group_index: u8,
    pub group_threshold: u8,
    pub group_count: u8,
    pub member_index: u8,
    pub member_threshold: u8,
}

impl Header {
    fn from_words(words: &[u16]) -> Header {
        let bits = words.iter().fold(0u64, |bits, word| (bits << WORD_BITS) | u64::from(*word));
        let four = |shift: u32| u8::try_from((bits >> shift) & 0xf).unwrap_or_default();
        Header {
            identifier: u16::try_from(bits >> 25).unwrap_or_default(),
            extendable: (bits >> 24) & 1 == 1,
            exponent: four(20),
            group_index: four(16),
            group_threshold: four(12) + 1,
            group_count: four(8) + 1,
            member_index: four(4),
            member_threshold: four(0) + 1,
        }
    }

    fn to_words(self) -> [u16; HEADER_WORDS] {
        let start = (u64::from(self.identifier) << 1) | u64::from(self.extendable);
        let bits = [
            self.exponent,
            self.group_index,
            self.group_threshold - 1,
            self.group_count - 1,
            self.member_index,
            self.member_threshold - 1,
        ]
        .into_iter()
        .fold(start, |bits, field| (bits << 4) | u64::from(field));
        [30, 20, 10, 0].map(|shift| u16::try_from((bits >> shift) & 0x3ff).unwrap_or_default())
    }
}

/// One share of a secret. Its value is wiped when it is dropped and never shown by `Debug`.
///
/// Written and read as words: `parse` takes them in capitals or not, with any white space between, and finds wrong ones.
pub struct Share {
    pub(crate) header: Header,
    pub(crate) value: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Share").field("header", &self.header).finish_non_exhaustive()
    }
}

impl Share {
    /// The backup's random number, 15 bits: the same in all its shares, and all that their first word tells.
    pub const fn identifier(&self) -> u16 {
        self.header.identifier
    }

    /// Whether backups of the same secret made later give the same secret under every passphrase: the identifier is no part of
    /// the encryption.
    pub const fn extendable(&self) -> bool {
        self.header.extendable
    }

    /// The iteration exponent e, 0 to 15: bringing the secret back takes 10 000 * 2^e iterations of PBKDF2.
    pub const fn iteration_exponent(&self) -> u8 {
        self.header.exponent
    }

    /// Which group, 0 to 15.
    pub const fn group_index(&self) -> u8 {
        self.header.group_index
    }

    /// Groups that bring the secret back, 1 to 16.
    pub const fn group_threshold(&self) -> u8 {
        self.header.group_threshold
    }

    /// Groups there are, 1 to 16.
    pub const fn group_count(&self) -> u8 {
        self.header.group_count
    }

    /// Which member of the group, 0 to 15.
    pub const fn member_index(&self) -> u8 {
        self.header.member_index
    }

    /// Members that complete the group, 1 to 16. How many there are stands in no share.
    pub const fn member_threshold(&self) -> u8 {
        self.header.member_threshold
    }

    /// Length of the shared secret, in bytes.
    pub fn secret_bytes(&self) -> usize {
        self.value.len()
    }

    /// The share as words of the standard's list, in small letters with one space between.
    pub fn to_words(&self) -> Zeroizing<String> {
        let mut numbers = Zeroizing::new(Vec::with_capacity(words_of(self.value.len()) + FRAME_WORDS));
        numbers.extend(self.header.to_words());
        push_value(&mut numbers, &self.value);
        let check = checksum::create(&numbers, self.header.extendable);
        numbers.extend(check);
        // Never grows, so that no copy is left behind.
        let mut text = Zeroizing::new(String::with_capacity(numbers.len() * (WORD_LETTERS_MAX + 1)));
        for number in numbers.iter() {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(word(*number));
        }
        text
    }
}

impl FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Share, ShareError> {
        let count = text.split_whitespace().count();
        let bytes = value_bytes(count).ok_or(ShareError::WordCount(count))?;
        let mut numbers = Zeroizing::new(Vec::with_capacity(count));
        for (position, word) in text.split_whitespace().enumerate() {
            numbers.push(number(word).ok_or(ShareError::UnknownWord(position + 1))?);
        }
        let (start, rest) = numbers.split_at(HEADER_WORDS);
        let header = Header::from_words(start);
        if !checksum::holds(&numbers, header.extendable) {
            let suspect = checksum::locate(&numbers, header.extendable).map(|position| position + 1);
            return Err(ShareError::Damaged { suspect });
        }
        let (threshold, count) = (header.group_threshold, header.group_count);
        if threshold > count {
            return Err(ShareError::GroupThreshold { threshold, count });
        }
        let (value, _) = rest.split_at(rest.len() - checksum::CHECKSUM_WORDS);
        Ok(Share { header, value: read_value(value, bytes)? })
    }
}

/// Words of a value.
fn words_of(bytes: usize) -> usize {
    (bytes * 8).div_ceil(WORD_BITS as usize)
}

/// Length of the value in a share of `words` words: the one even number of bytes that they hold with less than a byte to spare.
fn value_bytes(words: usize) -> Option<usize> {
    let bits = words.checked_sub(FRAME_WORDS)? * WORD_BITS as usize;
    let bytes = bits / 16 * 2;
    let fits = (SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&bytes);
    (fits && bits - bytes * 8 <= PADDING_BITS_MAX as usize).then_some(bytes)
}

/// Appends the value as words, zero bits first to fill whole words.
fn push_value(numbers: &mut Vec<u16>, value: &[u8]) {
    let mut open = Zeroizing::new(0u32);
    let mut bits = u32::try_from(words_of(value.len()) * WORD_BITS as usize - value.len() * 8).unwrap_or_default();
    for byte in value {
        *open = (*open << 8) | u32::from(*byte);
        bits += 8;
        while bits >= WORD_BITS {
            bits -= WORD_BITS;
            numbers.push(u16::try_from(*open >> bits).unwrap_or_default());
            *open &= (1 << bits) - 1;
        }
    }
}

/// The last `bytes` bytes of the words; what stands before is padding, and zero.
fn read_value(numbers: &[u16], bytes: usize) -> Result<Zeroizing<Vec<u8>>, ShareError> {
    let mut value = Zeroizing::new(Vec::with_capacity(bytes));
    let mut open = Zeroizing::new(0u32);
    let mut padding = u32::try_from(numbers.len() * WORD_BITS as usize - bytes * 8).unwrap_or_default();
    let mut bits = 0;
    for number in numbers {
        *open = (*open << WORD_BITS) | u32::from(*number);
        bits += WORD_BITS - padding;
        if padding > 0 && *open >> bits != 0 {
            return Err(ShareError::Padding);
        }
        padding = 0;
        while bits >= 8 {
            bits -= 8;
            value.push(u8::try_from(*open >> bits).unwrap_or_default());
            *open &= (1 << bits) - 1;
        }
    }
    Ok(value)
}
