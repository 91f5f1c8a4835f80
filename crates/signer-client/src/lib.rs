//! How the online system talks to signers. Holds no rule: what it relays, signers check.

mod connection;
mod session;

pub use connection::{CallError, ClientIdentity, SignerClient};
pub use session::{SessionError, Signed, admit_all, never_signed, settle_all, sign};
