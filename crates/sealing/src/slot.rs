//! Slots: the ways to open an envelope, and who holds each.

use std::collections::BTreeSet;

use types::OperatorId;

use crate::age::{self, RECIPIENTS_MAX};
use crate::cipher::Sealed;
use crate::error::SealingError;
use crate::keys::{Kek, Random};
use crate::names::SlotName;
use crate::passphrase::{self, Argon2Parameters};

/// Most holders of one slot.
pub const HOLDERS_MAX: usize = 32;
/// Fewest shares that may open a slot: one would be no sharing.
pub const THRESHOLD_MIN: u8 = 2;
/// Most shares that a slot may ask for (SLIP-39 knows no more).
pub const THRESHOLD_MAX: u8 = 16;
/// Longest text of a token or share set, in bytes. PKCS#11 gives labels 32.
pub const TEXT_BYTES_MAX: usize = 64;
/// Longest identifier of a key in a token, in bytes.
pub const KEY_ID_BYTES_MAX: usize = 64;
/// Longest key as a token wrapped it, in bytes.
pub const WRAPPED_BYTES_MAX: usize = 1_024;

/// Which rule a slot breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SlotRule {
    /// Nobody, or a crowd.
    #[error("a slot names 1 to {HOLDERS_MAX} holders")]
    Holders,
    /// Too few or too many shares.
    #[error("a slot of shares asks for {THRESHOLD_MIN} to {THRESHOLD_MAX} of them")]
    Threshold,
    /// It could be opened by fewer people than shares.
    #[error("a slot of shares names as many holders as it asks for shares, or more")]
    FewerHoldersThanShares,
    /// A text.
    #[error("its {0} has 1 to {TEXT_BYTES_MAX} bytes without control characters")]
    Text(&'static str),
    /// Bytes.
    #[error("its {0} is empty or too long")]
    Bytes(&'static str),
    /// Recipients of `age`.
    #[error("a slot of age names 1 to {RECIPIENTS_MAX} recipients, each once: age1..., or an SSH public key")]
    Recipients,
    /// A ciphertext of `age`.
    #[error("its ciphertext is not armoured output of age")]
    Ciphertext,
    /// Argon2id would be too easy.
    #[error("its Argon2id is weaker than 64 MiB, three passes and one lane; somebody may want to guess the passphrase")]
    WeakArgon2,
    /// Argon2id would ask for too much.
    #[error(
        "its Argon2id asks for more than 1 GiB, ten passes or sixteen lanes; somebody may want to stop the machine"
    )]
    AbsurdArgon2,
}

/// Where a slot's key-encryption key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotKind {
    /// Derived from a passphrase.
    Passphrase(Argon2Parameters),
    /// Random, and split among the holders.
    Shares {
        /// Identifies the set of shares.
        set: String,
        /// How many of them make the key.
        threshold: u8,
    },
    /// Random, and wrapped by a key in a PKCS#11 token.
    Token(TokenKey),
    /// Random, and encrypted with `age`. Recipients are public, so that anybody can make such a slot for a key of their own:
    /// compare the envelope's [`K3Id`](crate::K3Id) with the one that was noted when it was made.
    Age {
        /// To whom: `age1...`, or SSH public keys.
        recipients: Vec<String>,
        /// The key, encrypted and armoured.
        ciphertext: String,
    },
}

/// A key in a PKCS#11 token, and what it wrapped. The caller speaks to the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenKey {
    /// The token's label.
    pub label: String,
    /// Its serial number.
    pub serial: String,
    /// Its model.
    pub model: String,
    /// The wrapping key's `CKA_ID`.
    pub key_id: Vec<u8>,
    /// The mechanism, such as `CKM_AES_KEY_WRAP`.
    pub mechanism: String,
    /// The key-encryption key as the token wrapped it, with whatever the mechanism needs beside it.
    pub wrapped: Vec<u8>,
}

impl SlotKind {
    fn check(&self, holders: &BTreeSet<OperatorId>) -> Result<(), SlotRule> {
        match self {
            // Checked when they were made.
            SlotKind::Passphrase(_) => Ok(()),
            SlotKind::Shares { set, threshold } => {
                text("share set", set)?;
                if !(THRESHOLD_MIN..=THRESHOLD_MAX).contains(threshold) {
                    return Err(SlotRule::Threshold);
                }
                if holders.len() < usize::from(*threshold) {
                    return Err(SlotRule::FewerHoldersThanShares);
                }
                Ok(())
            }
            SlotKind::Token(token) => {
                text("token's label", &token.label)?;
                text("token's serial number", &token.serial)?;
                text("token's model", &token.model)?;
                text("mechanism", &token.mechanism)?;
                bytes("token key's identifier", &token.key_id, KEY_ID_BYTES_MAX)?;
                bytes("wrapped key", &token.wrapped, WRAPPED_BYTES_MAX)
            }
            SlotKind::Age { recipients, ciphertext } => {
                let distinct = recipients.iter().collect::<BTreeSet<_>>().len() == recipients.len();
                let count = (1..=RECIPIENTS_MAX).contains(&recipients.len());
                if !count || !distinct || !recipients.iter().all(|recipient| age::is_recipient(recipient)) {
                    return Err(SlotRule::Recipients);
                }
                if age::is_ciphertext(ciphertext) { Ok(()) } else { Err(SlotRule::Ciphertext) }
            }
        }
    }
}

fn text(what: &'static str, text: &str) -> Result<(), SlotRule> {
    let fits = (1..=TEXT_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
    if fits { Ok(()) } else { Err(SlotRule::Text(what)) }
}

fn bytes(what: &'static str, bytes: &[u8], bytes_max: usize) -> Result<(), SlotRule> {
    if (1..=bytes_max).contains(&bytes.len()) { Ok(()) } else { Err(SlotRule::Bytes(what)) }
}

/// What a slot says of itself, bound to the data key that it wraps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SlotHeader {
    pub(crate) name: SlotName,
    pub(crate) holders: BTreeSet<OperatorId>,
    pub(crate) kind: SlotKind,
}

impl SlotHeader {
    pub(crate) fn check(&self) -> Result<(), SealingError> {
        let counted = (1..=HOLDERS_MAX).contains(&self.holders.len());
        let rule = if counted { self.kind.check(&self.holders) } else { Err(SlotRule::Holders) };
        rule.map_err(|rule| SealingError::Slot { slot: self.name.clone(), rule })
    }
}

/// One way to open an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    pub(crate) header: SlotHeader,
    /// The data key under the slot's key-encryption key.
    pub(crate) wrapped: Sealed,
}

impl Slot {
    /// Its name, which no other slot of the envelope has.
    pub const fn name(&self) -> &SlotName {
        &self.header.name
    }

    /// The operators who hold it.
    pub const fn holders(&self) -> &BTreeSet<OperatorId> {
        &self.header.holders
    }

    /// Where its key-encryption key comes from.
    pub const fn kind(&self) -> &SlotKind {
        &self.header.kind
    }
}

/// A slot to be added, with its key-encryption key.
#[derive(Debug)]
pub struct NewSlot {
    pub(crate) header: SlotHeader,
    pub(crate) kek: Kek,
}

impl NewSlot {
    /// A slot that a passphrase opens. Refuses passphrases that are guessed at once; derives, so it takes a good part of a second.
    pub fn passphrase(
        name: SlotName,
        holders: BTreeSet<OperatorId>,
        passphrase: &str,
        random: &mut Random<'_>,
    ) -> Result<NewSlot, SealingError> {
        passphrase::check_new(passphrase)?;
        let parameters = Argon2Parameters::recommended(random)?;
        let kek = parameters.derive(passphrase)?;
        NewSlot::checked(name, holders, SlotKind::Passphrase(parameters), kek)
    }

    /// A slot whose random key the caller has split among the holders, `threshold` of whom put it together again.
    pub fn shares(
        name: SlotName,
        holders: BTreeSet<OperatorId>,
        set: String,
        threshold: u8,
        kek: Kek,
    ) -> Result<NewSlot, SealingError> {
        NewSlot::checked(name, holders, SlotKind::Shares { set, threshold }, kek)
    }

    /// A slot whose random key a token has wrapped.
    pub fn token(
        name: SlotName,
        holders: BTreeSet<OperatorId>,
        token: TokenKey,
        kek: Kek,
    ) -> Result<NewSlot, SealingError> {
        NewSlot::checked(name, holders, SlotKind::Token(token), kek)
    }

    /// A slot whose random key `age` has encrypted.
    pub fn age(
        name: SlotName,
        holders: BTreeSet<OperatorId>,
        recipients: Vec<String>,
        ciphertext: String,
        kek: Kek,
    ) -> Result<NewSlot, SealingError> {
        NewSlot::checked(name, holders, SlotKind::Age { recipients, ciphertext }, kek)
    }

    fn checked(
        name: SlotName,
        holders: BTreeSet<OperatorId>,
        kind: SlotKind,
        kek: Kek,
    ) -> Result<NewSlot, SealingError> {
        let header = SlotHeader { name, holders, kind };
        header.check()?;
        Ok(NewSlot { header, kek })
    }
}
