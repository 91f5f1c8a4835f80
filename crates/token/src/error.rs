//! Why a token does not do what it was asked.

use std::fmt;
use std::path::PathBuf;

use crate::keys::{KeyId, KeyKind};

/// How many tries are left for the PIN, as far as the token's flags say (`CKF_USER_PIN_COUNT_LOW`,
/// `CKF_USER_PIN_FINAL_TRY`, `CKF_USER_PIN_LOCKED`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinTries {
    /// The token does not say.
    NotSaid,
    /// Fewer than at first: a wrong PIN was given since the last right one.
    Fewer,
    /// One.
    One,
    /// None: the token is locked.
    None,
}

impl PinTries {
    pub(crate) const fn of(low: bool, last: bool, locked: bool) -> PinTries {
        match (locked, last, low) {
            (true, _, _) => PinTries::None,
            (_, true, _) => PinTries::One,
            (_, _, true) => PinTries::Fewer,
            _ => PinTries::NotSaid,
        }
    }
}

impl PinTries {
    /// Why a program must not try a PIN now. A wrong PIN in a configuration, tried at every restart, must not lock a
    /// token.
    pub(crate) fn refusal(self, label: &str) -> Option<TokenError> {
        match self {
            PinTries::None => Some(TokenError::PinLocked(label.to_owned())),
            PinTries::One => Some(TokenError::PinLastTry(label.to_owned())),
            PinTries::Fewer | PinTries::NotSaid => None,
        }
    }
}

impl fmt::Display for PinTries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PinTries::NotSaid => "the token does not say how many tries are left",
            PinTries::Fewer => "fewer tries are left than before; the token does not say how many",
            PinTries::One => "one try is left",
            PinTries::None => "no try is left: the token is locked",
        })
    }
}

/// Why a token does not do what it was asked. Where several apply, opening names the first in the order of this list.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The PIN is one that devices and manuals come with.
    #[error("the PIN is a default one; set one of the token's own with its tool, then try again")]
    DefaultPin,
    /// The path is not absolute: the system would search for the library by its own rules.
    #[error("the module's path {0} is not absolute")]
    ModulePath(PathBuf),
    /// No library there.
    #[error(
        "there is no PKCS #11 module at {0}; install the device's driver (for SoftHSM: scripts/setup, or Debian's package \
         softhsm2) or correct the path"
    )]
    ModuleMissing(PathBuf),
    /// The library does not load or does not start.
    #[error("{path} does not start as a PKCS #11 module")]
    Module {
        /// Which.
        path: PathBuf,
        /// What it said.
        #[source]
        source: cryptoki::error::Error,
    },
    /// No token of that name.
    #[error("no token {wanted} is there; there are: {found}")]
    TokenMissing {
        /// Label, and serial number if one was given.
        wanted: String,
        /// Labels and serial numbers.
        found: String,
    },
    /// Several tokens have the label.
    #[error("several tokens are called {wanted} ({found}); give the serial number too")]
    TokenAmbiguous {
        /// The label.
        wanted: String,
        /// Labels and serial numbers.
        found: String,
    },
    /// The token was never initialised, or has no user PIN.
    #[error("the token {0} is not initialised or has no user PIN; initialise it with its tool")]
    NotInitialised(String),
    /// The token says that its PIN is a default one or has expired (`CKF_USER_PIN_TO_BE_CHANGED`).
    #[error("the token {0} wants its PIN to be changed; change it with its tool")]
    PinToBeChanged(String),
    /// The token is locked after too many wrong PINs.
    #[error("the PIN of the token {0} is locked; its security officer can unlock it")]
    PinLocked(String),
    /// One try is left, and a program does not take it.
    #[error("one try is left for the PIN of the token {0}; log in once by hand with its tool")]
    PinLastTry(String),
    /// This process has the token open already: it would let everybody in without looking at the PIN.
    #[error("the token {0} is open in this process already; close it first")]
    AlreadyOpen(String),
    /// The PIN is wrong.
    #[error("the PIN of the token {label} is wrong; {tries}")]
    WrongPin {
        /// Which token.
        label: String,
        /// How many are left.
        tries: PinTries,
    },
    /// The token is not there any more, or another one is.
    #[error("the token {0} was removed; put it back and open it again")]
    Removed(String),
    /// No such key.
    #[error("the token has no {kind} key {id}")]
    KeyMissing {
        /// Its name.
        id: KeyId,
        /// Its kind.
        kind: KeyKind,
    },
    /// There is such a key already, of whatever kind.
    #[error("the token has a key {0} already; choose another name")]
    KeyExists(KeyId),
    /// Several keys have one name.
    #[error("the token has several keys {0}; remove all but one with its tool")]
    KeyAmbiguous(KeyId),
    /// The key is not as it must be for its use.
    #[error("the key {id} must not be used: {why}")]
    KeyUnfit {
        /// Which.
        id: KeyId,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The key was not made to be cloned, or was sealed since.
    #[error("the key {0} cannot leave the token: it was not made to be cloned, or is sealed")]
    NotExtractable(KeyId),
    /// What was given as wrapped is not what this key wrapped for this purpose.
    #[error(
        "the token does not open this with the key {0}: it was changed, or wrapped by another key or for another \
         purpose"
    )]
    NotAuthentic(KeyId),
    /// The token's signature is not that of the key's public half.
    #[error("the token answered with a signature that is not of the key {0}; do not trust this device")]
    WrongSignature(KeyId),
    /// The token does not give back what it has just wrapped.
    #[error("the token does not unwrap what it has wrapped with the key {0}; do not trust this device")]
    WrongWrapping(KeyId),
    /// The device cannot do this at all.
    #[error("the token cannot do this: {0}")]
    Unsupported(&'static str),
    /// A public key that is none.
    #[error("this is no public key of the expected kind: {0}")]
    PublicKey(&'static str),
    /// The system gives no randomness.
    #[error("the system gives no randomness")]
    Random,
    /// Anything else that the device refuses; trying again may help.
    #[error("the token failed: {doing}")]
    Device {
        /// What it was asked.
        doing: &'static str,
        /// What it said.
        #[source]
        source: cryptoki::error::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_flag_counts() {
        let of = PinTries::of;
        assert_eq!(of(false, false, false), PinTries::NotSaid);
        assert_eq!(of(true, false, false), PinTries::Fewer);
        assert_eq!(of(true, true, false), PinTries::One);
        assert_eq!(of(true, true, true), PinTries::None);
        assert_eq!(of(false, false, true), PinTries::None);
    }

    #[test]
    fn the_last_try_is_left_to_people() {
        let refusal = |tries: PinTries| tries.refusal("alpha");
        assert!(refusal(PinTries::NotSaid).is_none() && refusal(PinTries::Fewer).is_none());
        assert!(matches!(refusal(PinTries::One), Some(TokenError::PinLastTry(_))));
        assert!(matches!(refusal(PinTries::None), Some(TokenError::PinLocked(_))));
    }
}
