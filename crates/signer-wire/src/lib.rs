//! What the online system and a signer say to each other: versioned messages in frames of bounded size.
//!
//! Nothing here is trusted: every field is a text that the receiver parses and checks again.

mod bundle;
mod frame;
mod message;
mod source;

pub use bundle::recall_nonce;
pub use bundle::{Answer, Bundle, CARRIED_BYTES_MAX, CARRIED_ITEMS_MAX, CARRIED_VERSION, CarriedError, NextCharter};
pub use frame::{FRAME_BYTES_MAX, FrameError, decode, encode, read_frame, write_frame};
pub use message::{
    Approval, Attestation, Ceremony, Customer, Evidence, Fate, Head, Instruction, KeyLine, Limit, Refusal, Reply,
    ReplyBody, Request, RequestBody, Signature, SlotLine, Standing, Statement, VERSION,
};
pub use source::Source;
