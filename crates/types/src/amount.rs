use std::fmt;
use std::str::FromStr;

/// A quantity of one asset in its base unit (satoshi, wei), never negative. Which asset is the context's affair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(u128);

/// Why a text is not an amount, or a sum is not representable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// The text is empty.
    #[error("the amount is empty; write a whole number of base units, such as 150000")]
    Empty,
    /// The text holds something other than the digits 0 to 9.
    #[error("the amount must be a whole number of base units with digits only (no sign, point, space or exponent)")]
    NotDigits,
    /// The text starts with a zero that is not its only digit.
    #[error("the amount must not start with a zero")]
    LeadingZero,
    /// The value does not fit 128 bits.
    #[error("the amount does not fit 128 bits")]
    Overflow,
    /// A subtraction would pass below zero.
    #[error("the amount would pass below zero")]
    Underflow,
    /// A decimal text has more digits after the point than the asset has.
    #[error("the amount has more decimals than the asset allows ({allowed})")]
    TooPrecise {
        /// Decimals of the asset.
        allowed: u8,
    },
}

impl Amount {
    /// Nothing.
    pub const ZERO: Amount = Amount(0);
    /// The largest amount.
    pub const MAX: Amount = Amount(u128::MAX);

    /// An amount of `units` base units.
    pub const fn from_units(units: u128) -> Amount {
        Amount(units)
    }

    /// An amount of `sats` satoshis.
    pub const fn from_sats(sats: u64) -> Amount {
        Amount(sats as u128)
    }

    /// The count of base units.
    pub const fn units(self) -> u128 {
        self.0
    }

    /// The amount as satoshis; [`AmountError::Overflow`] above 64 bits.
    pub fn to_sats(self) -> Result<u64, AmountError> {
        u64::try_from(self.0).map_err(|_| AmountError::Overflow)
    }

    /// True for nothing.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, or [`AmountError::Overflow`].
    pub fn checked_add(self, other: Amount) -> Result<Amount, AmountError> {
        self.0.checked_add(other.0).map(Amount).ok_or(AmountError::Overflow)
    }

    /// The difference, or [`AmountError::Underflow`].
    pub fn checked_sub(self, other: Amount) -> Result<Amount, AmountError> {
        self.0.checked_sub(other.0).map(Amount).ok_or(AmountError::Underflow)
    }

    /// The sum of all, or [`AmountError::Overflow`].
    pub fn checked_sum(amounts: impl IntoIterator<Item = Amount>) -> Result<Amount, AmountError> {
        amounts.into_iter().try_fold(Amount::ZERO, Amount::checked_add)
    }

    /// Sixteen bytes, most significant first: they sort as the amounts do.
    pub const fn to_be_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The inverse of [`Amount::to_be_bytes`].
    pub const fn from_be_bytes(bytes: [u8; 16]) -> Amount {
        Amount(u128::from_be_bytes(bytes))
    }

    /// Reads a decimal such as `0.0015` of an asset with `decimals` places. For people at a command line only: the API
    /// and instructions speak base units.
    pub fn from_decimal(text: &str, decimals: u8) -> Result<Amount, AmountError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        if whole.is_empty() || (text.contains('.') && fraction.is_empty()) {
            return Err(AmountError::Empty);
        }
        if fraction.len() > usize::from(decimals) {
            return Err(AmountError::TooPrecise { allowed: decimals });
        }
        if !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
            return Err(AmountError::NotDigits);
        }
        let padded = format!("{whole}{fraction:0<width$}", width = usize::from(decimals));
        let digits = padded.trim_start_matches('0');
        if digits.is_empty() { Ok(Amount::ZERO) } else { digits.parse() }
    }

    /// Writes the amount as a decimal with all `decimals` places, such as `0.00150000`.
    pub fn to_decimal(self, decimals: u8) -> String {
        if decimals == 0 {
            return self.0.to_string();
        }
        let width = usize::from(decimals);
        let digits = format!("{:0>width$}", self.0, width = width + 1);
        let (whole, fraction) = digits.split_at(digits.len() - width);
        format!("{whole}.{fraction}")
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    /// Accepts exactly the text that `Display` writes, so that one amount has one spelling.
    fn from_str(text: &str) -> Result<Amount, AmountError> {
        if text.is_empty() {
            return Err(AmountError::Empty);
        }
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(AmountError::NotDigits);
        }
        if text.len() > 1 && text.starts_with('0') {
            return Err(AmountError::LeadingZero);
        }
        text.parse().map(Amount).map_err(|_| AmountError::Overflow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_what_is_not_a_plain_count() {
        for (text, error) in [
            ("", AmountError::Empty),
            ("-1", AmountError::NotDigits),
            ("+1", AmountError::NotDigits),
            ("1.0", AmountError::NotDigits),
            ("1e3", AmountError::NotDigits),
            (" 1", AmountError::NotDigits),
            ("٣", AmountError::NotDigits),
            ("01", AmountError::LeadingZero),
            ("340282366920938463463374607431768211456", AmountError::Overflow),
        ] {
            assert_eq!(text.parse::<Amount>(), Err(error), "{text:?}");
        }
        assert_eq!("340282366920938463463374607431768211455".parse(), Ok(Amount::MAX));
    }

    #[test]
    fn decimals_never_round() {
        assert_eq!(Amount::from_decimal("0.0015", 8), Ok(Amount::from_sats(150_000)));
        assert_eq!(Amount::from_decimal("0.123456789", 8), Err(AmountError::TooPrecise { allowed: 8 }));
        assert_eq!(Amount::from_decimal("-1", 8), Err(AmountError::NotDigits));
        assert_eq!(Amount::from_decimal("1.", 8), Err(AmountError::Empty));
        assert_eq!(Amount::from_sats(150_000).to_decimal(8), "0.00150000");
    }

    proptest! {
        #[test]
        fn text_bytes_and_decimals_round_trip(units: u128, decimals in 0u8..30) {
            let amount = Amount::from_units(units);
            prop_assert_eq!(amount.to_string().parse(), Ok(amount));
            prop_assert_eq!(Amount::from_be_bytes(amount.to_be_bytes()), amount);
            prop_assert_eq!(Amount::from_decimal(&amount.to_decimal(decimals), decimals), Ok(amount));
        }

        #[test]
        fn bytes_sort_as_amounts(a: u128, b: u128) {
            let (a, b) = (Amount::from_units(a), Amount::from_units(b));
            prop_assert_eq!(a.to_be_bytes().cmp(&b.to_be_bytes()), a.cmp(&b));
        }
    }
}
