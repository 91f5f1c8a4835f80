//! A signer without a network: bundles are carried to it and answers carried away.
//!
//! It makes the checks that a connected signer makes, in the same core and with the same journal. What is different: it is told of
//! charters and activations by the bundle, its peers speak through statements over the very instruction, people at its machine read
//! what it read and say yes, and its keys are open for one bundle only.

mod answers;
mod reading;
mod session;

pub use answers::{AnswerError, earlier};
pub use reading::{PaymentReading, Reading, StepReading, read};
pub use session::Session;

use crate::refusal::{Code, Refused};

/// Whether a bundle asks for signatures; others carry charters and steps only.
fn moves_coins(bundle: &signer_wire::Bundle) -> bool {
    !bundle.payments.is_empty() || !bundle.psbt.is_empty()
}

/// Refuses a bundle for another signer.
fn check_addressee(bundle: &signer_wire::Bundle, own: &types::SignerId) -> Result<(), Refused> {
    if bundle.signer == own.as_str() {
        return Ok(());
    }
    Err(Refused::new(Code::Signer, format!("the bundle is for signer {}, this one is {own}", bundle.signer)))
}

/// Refuses to be used where the charter wants a connected signer.
fn check_offline(offline: bool) -> Result<(), Refused> {
    if offline {
        return Ok(());
    }
    Err(Refused::new(Code::Connected, "this signer is connected by its charter: use `claviger-signer run`"))
}
