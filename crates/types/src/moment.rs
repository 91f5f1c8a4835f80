use std::fmt;
use std::str::FromStr;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A point in time: microseconds since 1970-01-01T00:00:00Z. Programs pass it in; nothing here reads a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(i64);

/// Why a text is not a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MomentError {
    /// Not of the form `2026-01-31T23:59:59Z`.
    #[error("a time is written in UTC with whole seconds, such as 2026-01-31T23:59:59Z")]
    Form,
}

const MICROS_PER_SECOND: i64 = 1_000_000;

impl Moment {
    /// A moment from microseconds since 1970.
    pub const fn from_micros(micros: i64) -> Moment {
        Moment(micros)
    }

    /// A moment from whole seconds since 1970, saturating at the ends of the representable range.
    pub const fn from_seconds(seconds: i64) -> Moment {
        Moment(seconds.saturating_mul(MICROS_PER_SECOND))
    }

    /// Microseconds since 1970.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(MICROS_PER_SECOND)
    }

    /// The moment `seconds` later, saturating.
    pub const fn plus_seconds(self, seconds: i64) -> Moment {
        Moment(self.0.saturating_add(seconds.saturating_mul(MICROS_PER_SECOND)))
    }

    /// The same moment without its fraction of a second: what an instruction can carry.
    pub const fn whole_seconds(self) -> Moment {
        Moment::from_seconds(self.seconds())
    }
}

impl fmt::Display for Moment {
    /// RFC 3339 in UTC with whole seconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = OffsetDateTime::from_unix_timestamp(self.seconds()).ok().and_then(|at| at.format(&Rfc3339).ok());
        match text {
            Some(text) => f.write_str(&text),
            None => write!(f, "{} s since 1970", self.seconds()),
        }
    }
}

impl FromStr for Moment {
    type Err = MomentError;

    /// Accepts exactly the text that `Display` writes for a moment of whole seconds.
    fn from_str(text: &str) -> Result<Moment, MomentError> {
        let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| MomentError::Form)?;
        let moment = Moment::from_seconds(at.unix_timestamp());
        if moment.to_string() == text { Ok(moment) } else { Err(MomentError::Form) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_moment_has_one_spelling() {
        let text = "2026-01-31T23:59:59Z";
        assert_eq!(text.parse::<Moment>().map(|moment| moment.to_string()), Ok(text.to_owned()));
        for other in
            ["2026-01-31T23:59:59+00:00", "2026-01-31T23:59:59.5Z", "2026-01-31 23:59:59Z", "2026-02-30T00:00:00Z", ""]
        {
            assert_eq!(other.parse::<Moment>(), Err(MomentError::Form), "{other}");
        }
    }

    #[test]
    fn whole_seconds_round_down() {
        assert_eq!(Moment::from_micros(-1).seconds(), -1);
        assert_eq!(Moment::from_micros(1_999_999).whole_seconds(), Moment::from_seconds(1));
    }
}
