//! Uniform Resources: a message as text that fits into QR codes, in one part or in many (BCR-2020-005, version 2.1.0).
//!
//! Many parts are shown in turn, and a camera misses some. After the fragments themselves therefore come mixtures of them without
//! end (a fountain code, BCR-2024-001), so that a reader who missed a part need not wait for it to come round again.
//!
//! The message inside is the payload as one CBOR byte string (RFC 8949, shortest form), as the standard wants. Reading needs no
//! trust in what is shown: parts say how long the message is, and that is bounded before anything is kept. The checksums find
//! accidents, not lies.

mod bytewords;
mod cbor;
mod collector;
mod equations;
mod mixing;
mod parts;

pub use collector::{Collector, Progress, Received};
pub use parts::Parts;

/// Longest payload, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// Most fragments that a message is cut into.
pub const FRAGMENTS_MAX: usize = 4_096;
/// Shortest fragment that is asked for, in bytes.
pub const FRAGMENT_BYTES_MIN: usize = 10;
/// Longest fragment that is asked for, in bytes: its part still fits into a QR code with medium error correction.
pub const FRAGMENT_BYTES_MAX: usize = 1_600;
/// A fragment that cameras read well from a moving picture on a screen, in bytes.
pub const SCREEN_FRAGMENT_BYTES: usize = 120;
/// A fragment that scanners read well from paper, in bytes.
pub const PAPER_FRAGMENT_BYTES: usize = 300;

/// Longest name of a kind of message, in characters.
const KIND_LENGTH_MAX: usize = 40;

/// Why a message cannot be cut into parts, or a part is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrError {
    /// The caller's name for the kind of message.
    #[error("the kind of a message is named in at most 40 small letters, digits and hyphens")]
    KindName,
    /// The caller's length of fragments.
    #[error("fragments have from 10 to 1600 bytes, not {0}")]
    FragmentBytes(usize),
    /// More than is carried this way, or more than the reader takes.
    #[error("the message has {bytes} bytes, more than the {limit} that are carried in QR codes; use a file")]
    TooLong {
        /// What it has or claims to have.
        bytes: usize,
        /// What is taken.
        limit: usize,
    },
    /// Too many fragments.
    #[error("the message would come in {0} parts, more than 4096; cut it into longer fragments")]
    TooManyParts(usize),
    /// Another QR code, or other text.
    #[error("this is no part of a message: it does not begin with \"ur:\"")]
    NotUr,
    /// Something else is wanted here.
    #[error("this is part of a \"{found}\", and a \"{expected}\" is wanted here")]
    OtherKind {
        /// What the reader wants.
        expected: String,
        /// What the part says that it is.
        found: String,
    },
    /// Misread.
    #[error("the part was misread: its checksum differs; read it again")]
    Misread,
    /// Read well, and yet not a part as the standard spells it.
    #[error("the part is not spelled as BCR-2020-005 has it; show the message again with a program that does")]
    Form,
    /// Two messages in one reading.
    #[error("the part belongs to another message than those before it; show one message only, or start again")]
    OtherMessage,
    /// Parts that were each read well do not fit together. What was read is forgotten.
    #[error("the parts contradict each other, and were forgotten; start again from any part")]
    Contradiction,
    /// The message is whole and is not one byte string.
    #[error("the message is whole, but it is not one CBOR byte string")]
    NotBytes,
}

/// Whether a name can be the kind of a message.
fn is_kind(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty() && name.len() <= KIND_LENGTH_MAX && name.bytes().all(letter)
}
