//! Why a document is not read, changed or opened. Nothing secret stands in any of it.

use crate::envelope::Context;
use crate::keys::NoRandomness;
use crate::names::{ItemName, SlotName};
use crate::passphrase::PassphraseRule;
use crate::slot::SlotRule;

/// Why not. Where two causes cannot be told apart, the message says so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealingError {
    /// Beyond a bound.
    #[error("{what} has {bytes} bytes, at most {bytes_max} are taken")]
    TooLong {
        /// Of what.
        what: &'static str,
        /// How many bytes it has.
        bytes: usize,
        /// How many it may have.
        bytes_max: usize,
    },
    /// Not this kind of document. Its own text is not repeated, since a wrong file may hold a secret in the clear.
    #[error("this is no sealed document, or it is damaged at line {line}, column {column}; restore it from its backup")]
    Form {
        /// Line, from 1.
        line: usize,
        /// Column, from 1; 0 for the line's end.
        column: usize,
    },
    /// A value of another form.
    #[error("the document is damaged: {0} is not written as it should be; restore it from its backup")]
    Value(&'static str),
    /// Of another version.
    #[error("the document is not of version claviger-sealed-v1; a newer program may have written it")]
    Version,
    /// Another spelling than the one that is written.
    #[error("the document was edited after it was written; restore it from its backup")]
    NotCanonical,
    /// A slot breaks a rule.
    #[error("the slot {slot} is refused")]
    Slot {
        /// Which slot.
        slot: SlotName,
        /// Which rule.
        #[source]
        rule: SlotRule,
    },
    /// Too many of them.
    #[error("a document has at most {max} {what}")]
    TooMany {
        /// Slots or items.
        what: &'static str,
        /// How many it may have.
        max: usize,
    },
    /// It could never be opened.
    #[error("a document needs one slot at least, or nobody could ever open it")]
    NoSlot,
    /// The last way in.
    #[error("{0} is the last slot; add another before you remove it, or nobody could ever open the document")]
    LastSlot(SlotName),
    /// The name is taken.
    #[error("there is a slot {0} already; remove it first, or choose another name")]
    SlotExists(SlotName),
    /// No such slot.
    #[error("there is no slot {0}")]
    UnknownSlot(SlotName),
    /// No such item.
    #[error("there is no item {0}")]
    UnknownItem(ItemName),
    /// Another kind of slot.
    #[error("the slot {0} does not open with a passphrase")]
    NotPassphrase(SlotName),
    /// A passphrase that is too easy.
    #[error("choose another passphrase")]
    Passphrase(#[from] PassphraseRule),
    /// No memory for the derivation.
    #[error("deriving a key from this passphrase needs {0} KiB of memory, which the system does not give")]
    NoMemory(u32),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] NoRandomness),
    /// A document of another signer, network or purpose.
    #[error("the document is {found}'s, which is not what was asked for; it was put in the wrong place")]
    OtherContext {
        /// Whose it says it is.
        found: Context,
    },
    /// A wrong key, or a changed slot.
    #[error(
        "the slot {0} does not open: the passphrase or key is wrong, or the slot was changed after it was written, which \
         cannot be told apart; try again, then another slot, then the backup"
    )]
    WrongKey(SlotName),
    /// Somebody made the slot anew.
    #[error(
        "the slot {0} holds another data key than the document names: somebody has made it anew; restore the document from \
         its backup, and treat the machine as taken over"
    )]
    Substituted(SlotName),
    /// A data key of another document.
    #[error("this data key is not the document's; open one of its own slots")]
    OtherDataKey,
    /// The data key is right; something else is not.
    #[error(
        "the data key is right, but the document is not as it was written: a part was changed, added, removed or taken from an \
         older copy; restore it from its backup"
    )]
    Changed,
    /// The data key is right; this item is not.
    #[error("the item {0} is damaged, or was moved here from elsewhere; restore the document from its backup")]
    ItemDamaged(ItemName),
}
