//! How signature keys and seeds are at rest (K3 of the reference model): sealed under a data key that any one of several slots
//! gives to its holders.
//!
//! ```text
//! passphrase (Argon2id) ─┐
//! shares of people ──────┤  key-encryption     data key     ┌─ item "seed"
//! key in a token ────────┼─ key of one slot ── (K3) ────────┼─ item "accounts"
//! recipients of age ─────┘                                  └─ the document's seal
//! ```
//!
//! A document ([`Envelope`]) is JSON in one spelling. All ciphertexts are XChaCha20-Poly1305 with random nonces. Each is bound, as
//! associated data, to a compact JSON array that begins with the version, what it is, the K3's identifier and the context:
//!
//! | ciphertext | under | the array goes on with |
//! |---|---|---|
//! | `"item"` | data key | the item's name |
//! | `"slot"` | the slot's key-encryption key | the slot's name, holders and `opens-with`, as in the document |
//! | `"document"`, an empty text | data key | all slots and items, as in the document |
//!
//! So nothing can be moved between names, slots, files, signers or networks, nor added, removed or taken from an older copy by
//! somebody without the data key. Whoever has the file learns names, holders, times of writing and the lengths of items. Whoever
//! can write it can put an older copy of the whole in its place: the caller notes the [`K3Id`] and what the keys must derive to.
//! Whoever ever held a slot and has a copy of the file from then can open that copy for ever: removing a slot protects what comes
//! later, [`Envelope::rekey`] too, and only new keys protect coins from one who may have copied the old.
//!
//! Everything but [`store`] and [`program`] is bytes in, bytes out; randomness is passed in.

pub mod age;
mod cipher;
mod document;
mod envelope;
mod error;
mod keys;
mod names;
mod passphrase;
pub mod program;
mod slot;
pub mod store;

pub use document::DOCUMENT_BYTES_MAX;
pub use envelope::{Context, Envelope, ITEM_BYTES_MAX, ITEMS_MAX, SLOTS_MAX};
pub use error::SealingError;
pub use keys::{DataKey, K3Id, KEY_BYTES, Kek, NoRandomness, Random};
pub use names::{ItemName, NameError, Purpose, SlotName};
pub use passphrase::{
    ARGON2_LANES, ARGON2_LANES_MAX, ARGON2_MEMORY_KIB_MAX, ARGON2_MEMORY_KIB_MIN, ARGON2_PASSES_MAX, ARGON2_PASSES_MIN,
    Argon2Parameters, PASSPHRASE_CHARACTERS_MAX, PASSPHRASE_CHARACTERS_MIN, PASSPHRASE_DISTINCT_MIN, PassphraseRule,
    SALT_BYTES,
};
pub use slot::{
    HOLDERS_MAX, KEY_ID_BYTES_MAX, NewSlot, Slot, SlotKind, SlotRule, TEXT_BYTES_MAX, THRESHOLD_MAX, THRESHOLD_MIN,
    TokenKey, WRAPPED_BYTES_MAX,
};
