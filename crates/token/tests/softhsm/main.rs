//! Everything that a token is asked, tried on SoftHSM.
//!
//! SoftHSM reads its configuration from the environment of its process, so each test runs in a process of its own;
//! tokens are made before the first is opened, since SoftHSM looks for them only when it starts.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "in a test, failing here is the test failing"
)]

mod cloning;
mod opening;
mod signing;
mod wrapping;

use cryptoki::context::Pkcs11;
use cryptoki::session::Session;
use testkit::{SoftHsm, SoftToken};
use token::{KeyId, Token, TokenError};
use zeroize::Zeroizing;

const PIN: &str = "a pin of tests";

/// Runs the body of the test that has this name, with a SoftHSM of its own.
fn alone(name: &str, body: impl FnOnce(&SoftHsm)) {
    if let Err(error) = SoftHsm::run(name, body) {
        panic!("{error}");
    }
}

fn pin(text: &str) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(text.as_bytes().to_vec())
}

fn open_with(label: &str, serial: Option<&str>, text: &str) -> Result<Token, TokenError> {
    Token::open(&SoftHsm::module().unwrap(), label, serial, pin(text))
}

fn open(label: &str) -> Token {
    open_with(label, None, PIN).unwrap()
}

/// A new token, opened; the first in its process.
fn made(hsm: &SoftHsm, label: &str) -> (SoftToken, Token) {
    let device = hsm.make_token(label, PIN).unwrap();
    (device, open(label))
}

fn id(text: &str) -> KeyId {
    text.parse().unwrap()
}

#[test]
fn a_name_that_fits_no_test_has_not_passed() {
    let error = SoftHsm::run("no_such_test", |_| ()).unwrap_err();
    assert!(error.contains("0 passed"), "{error}");
}

/// What somebody can do who is in the process of an open token: everything that its PIN allows, without our rules.
fn intruder(label: &str) -> Session {
    let pkcs11 = Pkcs11::new(SoftHsm::module().unwrap()).unwrap();
    let slots = pkcs11.get_slots_with_token().unwrap();
    let slot = slots.into_iter().find(|slot| pkcs11.get_token_info(*slot).unwrap().label() == label).unwrap();
    pkcs11.open_rw_session(slot).unwrap()
}
