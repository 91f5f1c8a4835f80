//! Keys inside a device: a thin face over PKCS #11 (v2.40) for what a signer asks of one, and for nothing else.
//!
//! - Key encryption: an AES-256 key that was made in the device and can never leave it wraps a signer's secrets.
//! - Signatures: ECDSA on secp256k1 by a key that was made in the device.
//! - Cloning: a key that was made to be cloned goes to a second device, wrapped by a key that only devices know.
//!
//! Trusts the device with its secrets and with its random numbers. Does not believe it otherwise: what a new key is
//! like is read back, a signature is verified before it is returned, a wrapped secret is unwrapped once, and a clone
//! proves itself by signing.
//!
//! One key, one use: a key that opens secrets never wraps keys, and the reverse, since a device whose key does both
//! gives every key away in plain to whoever asks it twice (first to wrap, then to decrypt).
//!
//! Whoever holds the PIN on a running machine can use every key, and can export one that is still extractable by
//! wrapping it with a key of his own. Keys are therefore not extractable unless asked for, and are sealed as soon as
//! they are cloned ([`Token::seal`]).

mod cloning;
mod error;
mod facts;
mod gcm;
mod keys;
mod module;
mod pin;
mod point;
mod signing;
mod token;
mod wrapping;

pub use cloning::{ReceptionKey, WrappedKey};
pub use error::{PinTries, TokenError};
pub use facts::{Facts, Flags, Version};
pub use keys::{Export, KeyFacts, KeyId, KeyIdError, KeyKind};
pub use module::load;
pub use token::Token;
pub use wrapping::WRAPPED_BYTES;
