//! Names inside a document: one alphabet, so that no two of them look alike.

use std::fmt;
use std::str::FromStr;

/// Longest name, in characters.
const NAME_CHARACTERS_MAX: usize = 64;

/// The text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name has 1 to 64 characters of a-z, 0-9 and '-', neither first nor last a '-'")]
pub struct NameError;

fn check(text: &str) -> Result<(), NameError> {
    let known = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let long = text.is_empty() || text.len() > NAME_CHARACTERS_MAX;
    if long || !known || text.starts_with('-') || text.ends_with('-') { Err(NameError) } else { Ok(()) }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<$name, NameError> {
                check(text).map(|()| $name(text.to_owned()))
            }
        }
    };
}

name!(
    /// Names a secret in an envelope, such as `seed`.
    ItemName
);
name!(
    /// Names one way to open an envelope, such as `alice-passphrase`.
    SlotName
);
name!(
    /// What an envelope is for, such as `seed` or `accounts`.
    Purpose
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_could_be_read_two_ways() {
        for text in ["", "-a", "a-", "A", "a b", "a/b", "ä", "a\n", "a\"", &"a".repeat(65)] {
            assert_eq!(text.parse::<ItemName>(), Err(NameError), "{text:?}");
        }
        for text in ["a", "seed", "alice-passphrase", "0", &"a".repeat(64)] {
            assert_eq!(text.parse::<SlotName>().map(|name| name.to_string()), Ok(text.to_owned()));
        }
    }
}
