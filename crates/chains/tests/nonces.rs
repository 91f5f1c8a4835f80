//! The audit of nonces on 100,000 real signatures at a time: good ones pass, and every kind of bad one is called by its name.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test, failing here is the test failing")]

use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::secp256k1::constants::CURVE_ORDER;
use bitcoin::secp256k1::ecdsa::Signature;
use bitcoin::secp256k1::{All, Message, PublicKey, Scalar, Secp256k1, SecretKey};
use chains::bitcoin::{Form, NonceAudit, NonceFinding, NonceReport, Signed, sign_digest};

const COUNT: usize = 100_000;

fn hash(label: &str, number: usize) -> [u8; 32] {
    sha256::Hash::hash(format!("{label} {number}").as_bytes()).to_byte_array()
}

fn scalar(label: &str, number: usize) -> SecretKey {
    SecretKey::from_slice(&hash(label, number)).unwrap()
}

fn key() -> SecretKey {
    scalar("a key of a test", 0)
}

fn plus(one: &SecretKey, two: &SecretKey) -> SecretKey {
    one.add_tweak(&Scalar::from(*two)).unwrap()
}

fn times(one: &SecretKey, two: &SecretKey) -> SecretKey {
    one.mul_tweak(&Scalar::from(*two)).unwrap()
}

/// To the power n - 2.
fn inverse(number: &SecretKey) -> SecretKey {
    let mut exponent = CURVE_ORDER;
    exponent[31] -= 2;
    let bits = exponent.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1));
    bits.skip(1).fold(*number, |power, bit| {
        let square = times(&power, &power);
        if bit { times(&square, number) } else { square }
    })
}

/// Signs as somebody does who chooses nonces: S stays as it comes out.
struct Chooser {
    secp: Secp256k1<All>,
    key: SecretKey,
    signatures: Vec<([u8; 32], Signature)>,
}

impl Chooser {
    fn new() -> Chooser {
        Chooser { secp: Secp256k1::new(), key: key(), signatures: Vec::new() }
    }

    /// `inverse` is the nonce's, `point` its point.
    fn sign(&mut self, digest: [u8; 32], inverse: &SecretKey, point: &PublicKey) {
        let r = SecretKey::from_slice(&point.serialize()[1..]).unwrap();
        let digest_number = SecretKey::from_slice(&digest).unwrap();
        let s = times(&plus(&times(&self.key, &r), &digest_number), inverse);
        let bytes = [r.secret_bytes(), s.secret_bytes()].concat();
        self.signatures.push((digest, Signature::from_compact(&bytes).unwrap()));
    }

    fn sign_one(&mut self, digest: [u8; 32], nonce: &SecretKey) {
        let point = nonce.public_key(&self.secp);
        self.sign(digest, &inverse(nonce), &point);
    }

    /// Signs with every nonce, whose points are known already.
    fn sign_all(&mut self, nonces: &[(SecretKey, PublicKey)]) {
        for (chunk, nonces) in nonces.chunks(500).enumerate() {
            let mut products = vec![nonces[0].0];
            products.extend(nonces.iter().skip(1).scan(nonces[0].0, |product, (nonce, _)| {
                *product = times(product, nonce);
                Some(*product)
            }));
            let mut rest = inverse(products.last().unwrap());
            let mut inverses = vec![rest; nonces.len()];
            for place in (1..nonces.len()).rev() {
                inverses[place] = times(&rest, &products[place - 1]);
                rest = times(&rest, &nonces[place].0);
            }
            inverses[0] = rest;
            for (place, ((_, point), inverse)) in nonces.iter().zip(&inverses).enumerate() {
                self.sign(hash("chosen", chunk * 500 + place), inverse, point);
            }
        }
        // They are real: the curve's own library takes some of them, once S is low.
        let public = self.key.public_key(&self.secp);
        for (digest, signature) in self.signatures.iter().step_by(997) {
            let mut low = *signature;
            low.normalize_s();
            self.secp.verify_ecdsa(&Message::from_digest(*digest), &low, &public).unwrap();
        }
    }

    fn audit(&self, mut audit: NonceAudit, form: Form) -> NonceReport {
        let low = |signature: &Signature| {
            let mut signature = *signature;
            if form == Form::LowS {
                signature.normalize_s();
            }
            signature
        };
        let signed: Vec<_> = self
            .signatures
            .iter()
            .map(|(digest, signature)| Signed { key: &self.key, digest: *digest, signature: low(signature) })
            .collect();
        signed.chunks(512).for_each(|chunk| audit.add(chunk));
        audit.report()
    }

    fn random(&self, form: Form) -> NonceReport {
        self.audit(NonceAudit::random(form), form)
    }
}

/// So many nonces as sums of few, whose points are sums too: a step of 3 us instead of 20. Any two of the sums are independent.
fn grid(label: &str, zeros: usize) -> impl Iterator<Item = (SecretKey, PublicKey)> {
    let secp = Secp256k1::new();
    let side = |label: &str| {
        (0..325)
            .map(|number| {
                let mut bytes = hash(label, number);
                // One more, since two are added.
                (0..if zeros == 0 { 0 } else { zeros + 1 }).for_each(|bit| bytes[bit / 8] &= !(0x80 >> (bit % 8)));
                let number = SecretKey::from_slice(&bytes).unwrap();
                (number, number.public_key(&secp))
            })
            .collect::<Vec<_>>()
    };
    let (left, right) = (side(&format!("{label}, left")), side(&format!("{label}, right")));
    left.into_iter().flat_map(move |(one, point)| {
        right.clone().into_iter().map(move |(two, other)| (plus(&one, &two), point.combine(&other).unwrap()))
    })
}

fn beginning_with_zeros(zeros: usize) -> Chooser {
    let mut chooser = Chooser::new();
    chooser.sign_all(&grid("short", zeros).take(COUNT).collect::<Vec<_>>());
    chooser
}

#[test]
fn what_we_sign_passes_and_one_bad_signature_among_100_000_is_found() {
    let key = key();
    let half = |first: usize| {
        move || {
            let secp = Secp256k1::new();
            let public = key.public_key(&secp);
            let digests = (first..first + COUNT / 2).map(|number| hash("honest", number));
            digests
                .map(|digest| Signed {
                    key: &key,
                    digest,
                    signature: sign_digest(&digest, &key, &public, &secp).unwrap(),
                })
                .map(|signed| (signed.digest, signed.signature))
                .collect::<Vec<_>>()
        }
    };
    let signatures = std::thread::scope(|scope| {
        let other = scope.spawn(half(COUNT / 2));
        let mut all = half(0)();
        all.extend(other.join().unwrap());
        all
    });
    let mut audit = NonceAudit::rfc6979(Form::LowS);
    let signed: Vec<_> = signatures
        .iter()
        .map(|(digest, signature)| Signed { key: &key, digest: *digest, signature: *signature })
        .collect();
    signed.chunks(512).for_each(|chunk| audit.add(chunk));
    // The same signature again says nothing new, whether it was asked for again or sent again.
    audit.add(&signed[..10]);
    let report = audit.report();
    assert!(report.passed(), "{report}");
    assert_eq!(report.signatures, 100_010);
    println!("{report}");

    // A nonce under 2^200, once.
    let mut bad = Chooser::new();
    let mut short = hash("short", 0);
    short[..7].fill(0);
    bad.sign_one(hash("another", 1), &SecretKey::from_slice(&short).unwrap());
    audit.add(&[Signed { key: &key, digest: bad.signatures[0].0, signature: bad.signatures[0].1 }]);
    let report = audit.report();
    assert_eq!(report.codes(), ["nonce-not-rfc6979", "nonce-short"], "{report}");
    assert!(matches!(report.findings[0], NonceFinding::NotRfc6979 { count: 1, first: 100_011 }));

    // The nonce of the 18th signature once more, with its sign turned, and for another digest.
    let (digest, signature) = &signatures[17];
    let bytes = signature.serialize_compact();
    let [r, s] = [0, 32].map(|start| SecretKey::from_slice(&bytes[start..start + 32]).unwrap());
    let nonce = times(&plus(&times(&key, &r), &SecretKey::from_slice(digest).unwrap()), &inverse(&s));
    bad.sign_one(hash("another", 2), &nonce.negate());
    audit.add(&[Signed { key: &key, digest: bad.signatures[1].0, signature: bad.signatures[1].1 }]);
    let report = audit.report();
    assert_eq!(report.codes(), ["nonce-repeated", "nonce-not-rfc6979", "nonce-short"], "{report}");
    assert_eq!(report.findings[0], NonceFinding::Repeated { count: 1, numbers: [18, 100_012] });
    let text = report.to_string();
    for secret in [key, nonce, nonce.negate()] {
        let digits = hex::encode(secret.secret_bytes());
        assert!(!text.contains(&digits[..8]) && !text.contains(&digits[56..]), "{text}");
    }
}

#[test]
fn nonces_that_begin_with_eight_zeros_are_found() {
    let chooser = beginning_with_zeros(8);
    for form in [Form::AsMade, Form::LowS] {
        let report = chooser.random(form);
        assert_eq!(report.codes(), ["nonce-bit-bias", "nonce-byte-bias", "nonce-short"], "{report}");
        // With low S one of the eight bits cannot be told: the first, which says which of k and n - k it was.
        let bits = if form == Form::AsMade { 8 } else { 7 };
        let biased = report.findings.iter().filter(|finding| matches!(finding, NonceFinding::BitBias { ones: 0, .. }));
        assert_eq!(biased.count(), bits, "{report}");
    }
}

#[test]
fn nonces_that_begin_with_two_zeros_are_found() {
    let chooser = beginning_with_zeros(2);
    let report = chooser.random(Form::LowS);
    assert_eq!(report.codes(), ["nonce-bit-bias", "nonce-byte-bias", "nonce-short"], "{report}");
    let known = chooser.audit(NonceAudit::rfc6979(Form::LowS), Form::LowS);
    assert!(matches!(known.findings[0], NonceFinding::NotRfc6979 { count: 100_000, first: 1 }), "{known}");
}

/// Bit 100 set in `ones` of all.
fn biased(ones: usize) -> Chooser {
    let (mut ones, mut zeros) = (ones, COUNT - ones);
    let wanted = |(number, _): &(SecretKey, PublicKey)| {
        let left = if number.secret_bytes()[31 - 100 / 8] >> (100 % 8) & 1 == 1 { &mut ones } else { &mut zeros };
        let wanted = *left > 0;
        *left = left.saturating_sub(1);
        wanted
    };
    let nonces: Vec<_> = grid("biased", 0).filter(wanted).collect();
    assert_eq!(nonces.len(), COUNT);
    let mut chooser = Chooser::new();
    chooser.sign_all(&nonces);
    chooser
}

#[test]
fn one_bit_that_is_set_in_52_of_100_is_found_where_it_can_be_known() {
    let chooser = biased(52_000);
    let report = chooser.random(Form::AsMade);
    assert_eq!(report.codes().first(), Some(&"nonce-bit-bias"), "{report}");
    assert!(
        matches!(report.findings[0], NonceFinding::BitBias { bit: 100, ones: 52_000, of: 100_000, .. }),
        "{report}"
    );
    // Low S washes it out, for everybody; that these nonces are not what we make is plain all the same.
    assert!(chooser.random(Form::LowS).passed());
    let known = chooser.audit(NonceAudit::rfc6979(Form::LowS), Form::LowS);
    assert_eq!(known.codes(), ["nonce-not-rfc6979"], "{known}");
}

#[test]
fn the_least_bias_of_a_bit_that_is_found_is_where_the_documentation_says() {
    // 6.6 standard deviations of 158.1.
    let found = biased(51_044).random(Form::AsMade);
    assert!(matches!(found.findings[..], [NonceFinding::BitBias { bit: 100, ones: 51_044, .. }]), "{found}");
    let even = biased(51_043).random(Form::AsMade);
    assert!(even.passed(), "{even}");
}

#[test]
fn counters_and_linear_congruences_are_found() {
    let secp = Secp256k1::new();
    let one = SecretKey::from_slice(&bitcoin::secp256k1::constants::ONE).unwrap();
    let step = one.public_key(&secp);
    let first = scalar("counter", 0);
    let counter: Vec<_> = std::iter::successors(Some((first, first.public_key(&secp))), |(nonce, point)| {
        Some((plus(nonce, &one), point.combine(&step).unwrap()))
    })
    .take(COUNT)
    .collect();
    let mut chooser = Chooser::new();
    chooser.sign_all(&counter);
    for form in [Form::AsMade, Form::LowS] {
        let report = chooser.random(form);
        assert!(report.codes().ends_with(&["nonce-near", "nonce-recurrence"]), "{report}");
        let recurrence = report.findings.last().unwrap();
        assert_eq!(*recurrence, NonceFinding::Recurrence { count: 99_997, first: 4 });
    }

    let (factor, sum) = (scalar("factor", 0), scalar("sum", 0));
    let congruence = std::iter::successors(Some(first), |nonce| Some(plus(&times(nonce, &factor), &sum)));
    let mut chooser = Chooser::new();
    chooser.sign_all(&congruence.take(2_000).map(|nonce| (nonce, nonce.public_key(&secp))).collect::<Vec<_>>());
    for form in [Form::AsMade, Form::LowS] {
        let report = chooser.random(form);
        assert_eq!(report.codes(), ["nonce-recurrence"], "{report}");
    }
}

#[test]
fn what_is_no_signature_is_named_and_few_are_enough_for_what_is_certain() {
    let key = key();
    let none = Signature::from_compact(&[0; 64]).unwrap();
    let mut audit = NonceAudit::rfc6979(Form::LowS);
    assert!(audit.report().passed(), "nothing was taken in");
    audit.add(&[Signed { key: &key, digest: hash("x", 0), signature: none }]);
    assert_eq!(audit.report().findings, [NonceFinding::Malformed { count: 1, first: 1 }]);
    let mut chooser = Chooser::new();
    let nonce = scalar("nonce", 0);
    chooser.sign_one(hash("x", 1), &nonce);
    chooser.sign_one(hash("x", 2), &nonce);
    assert_eq!(chooser.random(Form::LowS).codes(), ["nonce-repeated"]);
    assert_eq!(chooser.random(Form::AsMade).codes(), ["nonce-repeated"]);
}
