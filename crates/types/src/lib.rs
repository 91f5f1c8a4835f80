//! The words that every room of Claviger shares: amounts, assets, identifiers, moments, and the instruction with its
//! canonical form, digest, sentence and words.
//!
//! This crate opens no file or socket and reads no clock; facts come in, values go out.

mod amount;
mod approval;
mod asset;
mod canonical;
mod digest;
mod ids;
mod instruction;
mod key_step;
mod latch;
mod lifecycle;
mod moment;
mod refusal;
mod sentence;
mod words;

pub use amount::{Amount, AmountError};
pub use approval::{Approval, CustomerRequest, Evidence};
pub use asset::{Asset, AssetError, Network};
pub use canonical::{CanonicalError, CanonicalObject};
pub use digest::{Digest, DigestError};
pub use ids::{CustomerId, IdError, InstructionId, OperatorId, Party, SignerId, WalletId};
pub use instruction::{Body, EVERY_SIGNER, Freeze, Instruction, InstructionError, Payment, Transfer};
pub use key_step::{EVERY_WALLET, KeyStep, Step};
pub use latch::{Latch, LatchError};
pub use lifecycle::{ForbiddenMove, KeyKind, KeyState, UnknownWord};
pub use moment::{Moment, MomentError};
pub use refusal::{RefusalCode, UnknownCode};
pub use sentence::{grouped, sentence};
pub use words::words;
