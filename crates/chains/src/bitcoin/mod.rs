//! Bitcoin: our wallets' descriptors, addresses, transactions as PSBTs (BIP-174), what a transaction really does, and
//! its signatures.

mod address;
mod descriptor;
mod generate;
mod inspect;
mod nonces;
mod select;
mod sign;

pub use address::{AddressError, address_of, parse_address};
pub use descriptor::{AccountKey, AccountPublic, Branch, Derived, DescriptorError, WalletDescriptor};
pub use generate::{Change, GenerateError, Input, SEQUENCE, generate};
pub use inspect::{
    Caps, ChangeOutput, EffectInput, Effects, InspectRefusal, LOCK_HEIGHT_MAX, Payment, PsbtError, inspect, read_psbt,
};
pub use nonces::{Form, NonceAudit, NonceFinding, NonceReport, Signed};
pub use select::{Coin, INPUTS_MAX, SelectError, Selection, Target, fee, select};
pub use sign::{
    Faulty, OutsideError, PartialSignature, SignError, combine, finalize, sign, sign_digest, sign_outside, unlocks,
};
