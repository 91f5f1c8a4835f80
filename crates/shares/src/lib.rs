//! Backups that several people keep: a secret becomes shares, each a line of words on paper, and any agreed number of them brings
//! it back (SLIP-0039, "Shamir's Secret-Sharing for Mnemonic Codes"). Shares of other software that follows the standard are read
//! here, and ours there.
//!
//! Fewer shares than agreed do not give the secret. Whoever has only one too few can check a guess at it, because of the digest that
//! tells whether shares fit together: share keys and seeds, which nobody guesses, and not passwords. A wrong passphrase is no error:
//! it brings back another secret of the same length, as the standard wants it, so whoever brings one back compares a fingerprint.
//!
//! This crate opens no file or socket and reads no clock or random source: randomness is passed in. Our buffers are wiped when they
//! are dropped; the hash functions' own are not. The field's arithmetic has no branch and no table that depends on a secret; turning
//! shares into words and back has.

mod checksum;
mod cipher;
mod combine;
mod error;
mod field;
mod share;
mod sharing;
mod split;
mod words;

pub use combine::combine;
pub use error::{GroupShortfall, Parameter, RandomError, ShareError, Shortfall};
pub use share::Share;
pub use split::{split, split_one_group};

/// Shortest secret that can be shared, in bytes.
pub const SECRET_BYTES_MIN: usize = 16;
/// Longest secret that can be shared, in bytes: the longest seed of BIP-32. The standard has no bound of its own.
pub const SECRET_BYTES_MAX: usize = 64;
/// Most groups, and most members of a group.
pub const MEMBERS_MAX: u8 = 16;
/// Largest iteration exponent. The cost of a passphrase's guess doubles with each step; 15 takes minutes.
pub const EXPONENT_MAX: u8 = 15;
