//! The lives of keys: which states there are, and the moves allowed between them. The one table for everybody.

use std::fmt;
use std::str::FromStr;

/// The kinds of key that the reference model tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// K1: a private key that signs transactions.
    Signature,
    /// K2: its public key, from which addresses follow.
    Verification,
    /// K3: the symmetric key that keeps signature keys and seeds confidential.
    Sealing,
    /// K4: a master seed from which signature keys are derived.
    Seed,
}

/// The states of keys. Which of them a kind knows follows from [`KeyKind::moves`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyState {
    /// Made, and nothing more.
    Generated,
    /// Stored so that it cannot sign.
    Inactive,
    /// Opened for a time; it can sign.
    Active,
    /// In the use that it is for: signing, receiving, sealing, deriving.
    InUse,
    /// Out of use for good, or, for a seed, for a time. It is kept: its address can still receive.
    Suspended,
}

use KeyState::{Active, Generated, InUse, Inactive, Suspended};

impl KeyKind {
    /// Every kind.
    pub const ALL: [KeyKind; 4] = [KeyKind::Signature, KeyKind::Verification, KeyKind::Sealing, KeyKind::Seed];

    /// Every move that a key of this kind can make. There are no others.
    pub const fn moves(self) -> &'static [(KeyState, KeyState)] {
        match self {
            KeyKind::Signature => &[
                (Generated, Inactive),
                (Inactive, Active),
                (Active, InUse),
                (InUse, Inactive),
                (Inactive, Suspended),
                (Active, Suspended),
                (InUse, Suspended),
            ],
            KeyKind::Verification => &[(Generated, InUse), (InUse, Suspended)],
            KeyKind::Sealing => &[(Generated, InUse), (Generated, Suspended), (InUse, Suspended)],
            KeyKind::Seed => &[(Generated, InUse), (InUse, Suspended), (Suspended, InUse), (Generated, Suspended)],
        }
    }

    /// Refuses every move that is not in the table.
    ///
    /// # Errors
    /// [`ForbiddenMove`] names kind, origin and destination.
    pub fn check(self, from: KeyState, to: KeyState) -> Result<(), ForbiddenMove> {
        if self.moves().contains(&(from, to)) { Ok(()) } else { Err(ForbiddenMove { kind: self, from, to }) }
    }

    /// A stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            KeyKind::Signature => "signature",
            KeyKind::Verification => "verification",
            KeyKind::Sealing => "sealing",
            KeyKind::Seed => "seed",
        }
    }
}

impl KeyState {
    /// Every state.
    pub const ALL: [KeyState; 5] = [Generated, Inactive, Active, InUse, Suspended];

    /// A stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Generated => "generated",
            Inactive => "inactive",
            Active => "active",
            InUse => "in-use",
            Suspended => "suspended",
        }
    }
}

/// A move that no table has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a {kind} key that is {from} cannot become {to}")]
pub struct ForbiddenMove {
    /// What kind of key.
    pub kind: KeyKind,
    /// Its state.
    pub from: KeyState,
    /// The state that was asked for.
    pub to: KeyState,
}

/// A text that names no kind or state of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no kind or state of a key has this name")]
pub struct UnknownWord;

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for KeyKind {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<KeyKind, UnknownWord> {
        KeyKind::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(UnknownWord)
    }
}

impl FromStr for KeyState {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<KeyState, UnknownWord> {
        KeyState::ALL.into_iter().find(|state| state.as_str() == text).ok_or(UnknownWord)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The figures of the reference model, drawn a second time as text and independently of the table.
    const FIGURES: &str = "\
signature: generated>inactive inactive>active active>in-use in-use>inactive inactive>suspended active>suspended in-use>suspended
verification: generated>in-use in-use>suspended
sealing: generated>in-use generated>suspended in-use>suspended
seed: generated>in-use in-use>suspended suspended>in-use generated>suspended";

    #[test]
    fn every_arrow_of_the_figures_is_there_and_every_other_pair_is_refused_by_name() {
        for kind in KeyKind::ALL {
            let line = FIGURES.lines().find_map(|line| line.strip_prefix(&format!("{kind}: "))).unwrap();
            for from in KeyState::ALL {
                for to in KeyState::ALL {
                    let drawn = line.split(' ').any(|arrow| arrow == format!("{from}>{to}"));
                    match kind.check(from, to) {
                        Ok(()) => assert!(drawn, "{kind}: {from} > {to}"),
                        Err(error) => {
                            assert!(!drawn, "{kind}: {from} > {to}");
                            let text = error.to_string();
                            assert!([kind.as_str(), from.as_str(), to.as_str()].iter().all(|word| text.contains(word)));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        assert!(KeyKind::ALL.into_iter().all(|kind| kind.to_string().parse() == Ok(kind)));
        assert!(KeyState::ALL.into_iter().all(|state| state.to_string().parse() == Ok(state)));
        assert_eq!("".parse::<KeyState>(), Err(UnknownWord));
    }
}
