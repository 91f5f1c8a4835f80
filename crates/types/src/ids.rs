use std::fmt;
use std::str::FromStr;

/// Why a text is not an identifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Empty or longer than 64 characters.
    #[error("an identifier has 1 to 64 characters, this one has {0}")]
    Length(usize),
    /// A character other than `a-z`, `0-9` and `-`, or a `-` at an end.
    #[error("an identifier holds a-z, 0-9 and '-', neither first nor last a '-'")]
    Characters,
    /// A party that is neither `customer:…` nor `operator:…`.
    #[error("a party is written customer:NAME or operator:NAME")]
    Party,
}

fn check(text: &str) -> Result<(), IdError> {
    if text.is_empty() || text.len() > 64 {
        return Err(IdError::Length(text.chars().count()));
    }
    let known = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !known || text.starts_with('-') || text.ends_with('-') {
        return Err(IdError::Characters);
    }
    Ok(())
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The identifier as text.
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
            type Err = IdError;

            fn from_str(text: &str) -> Result<$name, IdError> {
                check(text).map(|()| $name(text.to_owned()))
            }
        }
    };
}

identifier!(
    /// Names one instruction for ever; for a withdrawal it follows from customer and idempotency key.
    InstructionId
);
identifier!(
    /// Names a customer for whom coins are held.
    CustomerId
);
identifier!(
    /// Names a person who operates the system.
    OperatorId
);
identifier!(
    /// Names a wallet: one descriptor in one tier.
    WalletId
);
identifier!(
    /// Names a signer.
    SignerId
);

/// Who asks for something: a customer or an operator.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// A customer.
    Customer(CustomerId),
    /// An operator.
    Operator(OperatorId),
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Party::Customer(id) => write!(f, "customer:{id}"),
            Party::Operator(id) => write!(f, "operator:{id}"),
        }
    }
}

impl FromStr for Party {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Party, IdError> {
        match text.split_once(':') {
            Some(("customer", id)) => id.parse().map(Party::Customer),
            Some(("operator", id)) => id.parse().map(Party::Operator),
            _ => Err(IdError::Party),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_could_be_read_two_ways() {
        for text in ["", "-a", "a-", "A", "a b", "a/b", "ä", "a\n", &"a".repeat(65)] {
            assert!(text.parse::<WalletId>().is_err(), "{text:?}");
        }
        assert_eq!("hot-1".parse::<WalletId>().map(|id| id.to_string()), Ok("hot-1".to_owned()));
        assert_eq!("customer:alice".parse::<Party>().map(|party| party.to_string()), Ok("customer:alice".to_owned()));
        assert_eq!("alice".parse::<Party>(), Err(IdError::Party));
    }
}
