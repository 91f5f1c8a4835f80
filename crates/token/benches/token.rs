//! Signatures and wrappings per second of a token in SoftHSM, beside libsecp256k1 without a token and PKCS #11 without
//! our checks, in the same run.
//!
//! `cargo bench --package token --bench token -- [--seconds 2] [--keys 200]`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a benchmark that cannot run ends with the reason"
)]

use std::time::{Duration, Instant};

use cryptoki::context::Pkcs11;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass};
use secp256k1::{Message, PublicKey, Secp256k1, SecretKey};
use testkit::SoftHsm;
use token::{Export, KeyId, KeyKind, Token};
use zeroize::Zeroizing;

struct Options {
    seconds: f64,
    /// Other keys in the token.
    keys: usize,
}

impl Options {
    fn read() -> Options {
        let mut options = Options { seconds: 2.0, keys: 200 };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().expect("the option needs a value");
            match name.as_str() {
                "--seconds" => options.seconds = value().parse().expect("seconds"),
                "--keys" => options.keys = value().parse().expect("a number of keys"),
                // Cargo says this to every benchmark.
                "--bench" => {}
                other => panic!("unknown option {other}"),
            }
        }
        options
    }
}

struct Bench {
    seconds: f64,
    /// What the others are measured against.
    base: Option<Duration>,
}

impl Bench {
    /// The median tells what one call costs on a machine that does other things as well; the ratio is of medians.
    fn row(&mut self, what: &str, mut work: impl FnMut(u8)) {
        work(0);
        let start = Instant::now();
        let mut times = Vec::new();
        while start.elapsed().as_secs_f64() < self.seconds {
            let one = Instant::now();
            work(u8::try_from(times.len() % 251).expect("below 251"));
            times.push(one.elapsed());
        }
        let per_second = times.len() as f64 / start.elapsed().as_secs_f64();
        times.sort_unstable();
        let median = times[times.len() / 2];
        let slowest = times[times.len() - 1].as_secs_f64() * 1e3;
        let ratio = self.base.get_or_insert(median).as_secs_f64() / median.as_secs_f64();
        let median = median.as_secs_f64() * 1e6;
        println!("{what:44} {per_second:>10.0}/s {median:>10.0} us {slowest:>9.1} ms {ratio:>9.4}");
    }
}

fn id(text: &str) -> KeyId {
    text.parse().expect("a name")
}

fn body(hsm: &SoftHsm, options: &Options) {
    hsm.make_token("alpha", "a pin of benches").unwrap();
    let module = SoftHsm::module().unwrap();
    let token = Token::open(&module, "alpha", None, Zeroizing::new(b"a pin of benches".to_vec())).unwrap();
    let (sign, wrap) = (id("sign"), id("wrap"));
    let public = PublicKey::from_slice(&token.create_signing_key(&sign, Export::Never).unwrap()).unwrap();
    token.create_wrapping_key(&wrap).unwrap();
    for number in 0..options.keys {
        token.create_wrapping_key(&id(&format!("other-{number}"))).unwrap();
    }
    let curve = Secp256k1::new();
    let secret = SecretKey::from_slice(&[0x5a; 32]).unwrap();
    let raw = Pkcs11::new(&module).unwrap();
    let slot = raw.get_slots_with_initialized_token().unwrap()[0];
    let session = raw.open_rw_session(slot).unwrap();
    let wanted = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Id(b"sign".to_vec())];
    let handle = session.find_objects(&wanted).unwrap()[0];

    println!("{} keys in the token, {} s each", options.keys + 2, options.seconds);
    println!("{:44} {:>12} {:>13} {:>12} {:>9}", "what", "rate", "median", "slowest", "of first");
    let mut bench = Bench { seconds: options.seconds, base: None };
    bench.row("libsecp256k1: sign", |n| {
        curve.sign_ecdsa(&Message::from_digest([n; 32]), &secret);
    });
    let known = curve.sign_ecdsa(&Message::from_digest([1; 32]), &secret);
    let known_public = PublicKey::from_secret_key(&curve, &secret);
    bench.row("libsecp256k1: verify", |_| {
        curve.verify_ecdsa(&Message::from_digest([1; 32]), &known, &known_public).unwrap();
    });
    bench.row("PKCS #11 alone: sign", |n| {
        session.sign(&Mechanism::Ecdsa, handle, &[n; 32]).unwrap();
    });
    bench.row("token: sign, lower s, verify", |n| {
        token.sign_ecdsa(&sign, &[n; 32]).unwrap();
    });
    bench.row("token: wrap a secret (and unwrap it once)", |n| {
        token.wrap(&wrap, &[n; 32], b"seed").unwrap();
    });
    let wrapped = token.wrap(&wrap, &[7; 32], b"seed").unwrap();
    bench.row("token: unwrap a secret", |_| {
        token.unwrap(&wrap, &wrapped, b"seed").unwrap();
    });
    bench.row("token: make and destroy a signing key", |_| {
        token.create_signing_key(&id("new"), Export::Never).unwrap();
        token.destroy(&id("new"), KeyKind::Signing).unwrap();
    });
    bench.row("token: list its keys", |_| {
        token.keys().unwrap();
    });
    assert_eq!(token.public_key(&sign).unwrap(), public.serialize());
    drop((session, token));
    bench.row("token: open, first signature, close", |n| {
        let pin = Zeroizing::new(b"a pin of benches".to_vec());
        let token = Token::open(&module, "alpha", None, pin).unwrap();
        token.sign_ecdsa(&sign, &[n; 32]).unwrap();
    });
}

fn main() {
    let options = Options::read();
    SoftHsm::run_program(|hsm| body(hsm, &options)).expect("the benchmark runs");
}
