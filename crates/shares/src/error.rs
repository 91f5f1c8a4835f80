use std::fmt;

use crate::{EXPONENT_MAX, MEMBERS_MAX, SECRET_BYTES_MAX, SECRET_BYTES_MIN};

/// The random source that was passed in gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the random source failed")]
pub struct RandomError;

/// Why a secret is not split, a share not read, or a secret not brought back.
///
/// Shares, groups and words are counted from 1 here, as people do. No variant tells a word or a byte of a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// A line of words has a length that no share has.
    #[error("{0} words are no share: one of a 16-byte secret has 20, of a 32-byte secret 33")]
    WordCount(usize),
    /// A word is not in the list.
    #[error("word {0} is not in the list of SLIP-0039; compare it with the paper")]
    UnknownWord(usize),
    /// The checksum does not fit.
    #[error("the words do not fit together: {}", suspicion(*.suspect))]
    Damaged {
        /// The one word whose change alone explains it, if there is one: probably the wrong word, not certainly.
        suspect: Option<usize>,
    },
    /// The words fit, but the unused bits before the value are not zero.
    #[error("the share is not of SLIP-0039: its padding is not zero")]
    Padding,
    /// The words fit, but ask for more groups than there are.
    #[error("the share is not of SLIP-0039: it asks for {threshold} of {count} groups")]
    GroupThreshold {
        /// Groups asked for.
        threshold: u8,
        /// Groups there are.
        count: u8,
    },

    /// Too short, too long or odd.
    #[error("a secret of {0} bytes cannot be shared: it must have {min} to {max}, and an even number", min = SECRET_BYTES_MIN, max = SECRET_BYTES_MAX)]
    SecretLength(usize),
    /// The iteration exponent.
    #[error("the iteration exponent {0} is too large: at most {max}", max = EXPONENT_MAX)]
    Exponent(u8),
    /// The passphrase: others could not be typed everywhere.
    #[error("the passphrase has other characters than the printable ones of ASCII")]
    Passphrase,
    /// Not that many groups.
    #[error("{threshold} of {count} groups cannot be had: 1 to {max} groups, and no more asked for than there are", max = MEMBERS_MAX)]
    Groups {
        /// Groups asked for.
        threshold: u8,
        /// Groups wanted.
        count: usize,
    },
    /// Not that many members.
    #[error("{threshold} of {count} members cannot be had in group {group}: 1 to {max} members, and no more asked for than there are", max = MEMBERS_MAX)]
    Members {
        /// Which group.
        group: usize,
        /// Members asked for.
        threshold: u8,
        /// Members wanted.
        count: u8,
    },
    /// One of several members would do: they would all hold the same.
    #[error("one of {count} members cannot be had in group {group}: make it one of one, and copy the paper")]
    Copies {
        /// Which group.
        group: usize,
        /// Members wanted.
        count: u8,
    },
    /// No randomness.
    #[error("no shares were made; try again")]
    Random(#[from] RandomError),

    /// Nothing to bring a secret back from.
    #[error("there are no shares")]
    Empty,
    /// Shares of different backups.
    #[error("share {share} is not of the same backup as share {other}: another {parameter}")]
    Mixed {
        /// The share that differs.
        share: usize,
        /// The earlier one from which it differs.
        other: usize,
        /// In what.
        parameter: Parameter,
    },
    /// Two shares claim the same place and are not the same.
    #[error("share {share} has the place of share {other} but another content: one of them is not of this backup")]
    SamePlace {
        /// The later one.
        share: usize,
        /// The earlier one.
        other: usize,
    },
    /// Not enough shares.
    #[error("too few shares: {0}")]
    TooFew(Shortfall),
    /// The shares of a group, or the groups, do not lead to a secret that was shared.
    #[error("{}", digest(*.group))]
    Digest {
        /// Which group; none when each group is sound by itself.
        group: Option<u8>,
    },
    /// One more share than needed, which the others contradict.
    #[error("share {0} contradicts the other shares of its group: it is not of this backup")]
    StrayShare(usize),
    /// One more group than needed, which the others contradict.
    #[error("the shares of group {0} contradict the other groups: they are not of this backup")]
    StrayGroup(u8),
}

fn suspicion(suspect: Option<usize>) -> String {
    match suspect {
        Some(position) => format!("word {position} is probably wrong; compare it with the paper"),
        None => "compare each of them with the paper, and their order".to_owned(),
    }
}

fn digest(group: Option<u8>) -> String {
    match group {
        Some(group) => format!("the shares of group {group} do not fit together: one of them is not of this backup"),
        None => "the groups do not fit together: the shares of one are not of this backup".to_owned(),
    }
}

/// In what a share differs from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// The backup's random number.
    Identifier,
    /// Whether the identifier is left out of the encryption.
    Extendable,
    /// The iteration exponent.
    Exponent,
    /// Groups asked for.
    GroupThreshold,
    /// Groups there are.
    GroupCount,
    /// Members asked for, within one group.
    MemberThreshold,
    /// Length of the secret.
    Length,
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Parameter::Identifier => "identifier",
            Parameter::Extendable => "extendable flag",
            Parameter::Exponent => "iteration exponent",
            Parameter::GroupThreshold => "group threshold",
            Parameter::GroupCount => "number of groups",
            Parameter::MemberThreshold => "member threshold",
            Parameter::Length => "length",
        })
    }
}

/// What is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortfall {
    /// Groups with enough shares.
    pub groups_complete: u8,
    /// Groups asked for.
    pub groups_needed: u8,
    /// Groups of which there are shares, but too few. Of other groups nothing is known.
    pub groups: Vec<GroupShortfall>,
}

/// What is missing of one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupShortfall {
    /// Which group, counted from 1.
    pub group: u8,
    /// Different shares at hand.
    pub present: usize,
    /// Shares asked for.
    pub needed: u8,
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.groups_needed > 1 {
            parts.push(format!("{} of {} groups are complete", self.groups_complete, self.groups_needed));
        }
        let group = |missing: &GroupShortfall| {
            format!("of group {} there are {} of {}", missing.group, missing.present, missing.needed)
        };
        parts.extend(self.groups.iter().map(group));
        f.write_str(&parts.join("; "))
    }
}
