//! An audit of ECDSA nonces, for the owner of the keys: from private key, digest and signature the nonce is
//! `k = s⁻¹ (z + r d) mod n`, and what should look like chance can be held against it.
//!
//! Low-S signatures (BIP-62) tell a nonce only up to its sign: `k` and `n - k` give the same signature, to us as to an attacker. In
//! [`Form::LowS`] the audit therefore looks at `|k| = min(k, n - k)`. A bias that both signs wash out, such as one bit of `k` that is
//! set in 52 of 100, can be seen by nobody in low-S signatures; it is seen in [`Form::AsMade`], which a token's own output has. What
//! our signers make is held against RFC 6979 nonce by nonce, which leaves no room for any bias.
//!
//! What is tried, each with its name (see [`NonceFinding`]), and how often it accuses nonces that are pure chance:
//!
//! | finding | accuses when | false alarms in one audit, at most |
//! |---|---|---|
//! | `nonce-repeated` | one nonce point under two different signatures | N² / 2¹²⁹ |
//! | `nonce-not-rfc6979` | a nonce is not the one that RFC 6979 gives | none |
//! | `nonce-bit-bias` | a bit's share of ones is 6.6 or more standard deviations from half | 1.8 / 10⁷ (Hoeffding, for any N) |
//! | `nonce-byte-bias` | a byte's chi-square is 6.5 or more in standard deviations (Wilson-Hilferty); from 5,120 signatures on | 1.2 / 10⁹ |
//! | `nonce-short` | more `\|k\|` begin with some number of zeros than chance gives | 1.3 / 10⁷ (Chernoff, for any N) |
//! | `nonce-near` | two `\|k\|` differ by less than 2¹²⁹ | N² / 2¹²⁴ |
//! | `nonce-recurrence` | four in a row follow `k' = a k + c mod n`, as counters and linear congruences do | 8 N / 2²⁵⁶ |
//!
//! Together below 4 in 10⁷ for up to 2⁴⁸ signatures. BIP-340 nonces are left out: nothing here signs Schnorr yet.
//!
//! The audit keeps hashes of nonces and the last few of them, wiped when it is dropped; its report says nothing of a key.

mod recover;
mod report;
mod rfc6979;
mod statistics;

use bitcoin::hashes::{Hash as _, HashEngine as _, sha256};
use bitcoin::secp256k1::SecretKey;
use bitcoin::secp256k1::ecdsa::Signature;

use recover::{Nonce, recover};
pub use report::{NonceFinding, NonceReport};
use rfc6979::rfc6979_nonce;
use statistics::Statistics;

/// A signature of ours with what it was made from. It must have been verified: a wrong one has no nonce, and what is computed from it
/// looks like chance.
#[derive(Clone, Copy)]
pub struct Signed<'a> {
    /// The private key.
    pub key: &'a SecretKey,
    /// What was signed: 32 bytes, taken as a number, most significant byte first.
    pub digest: [u8; 32],
    /// The signature.
    pub signature: Signature,
}

/// How signatures come out of what makes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// With S as it was computed: half of them are high.
    AsMade,
    /// With S made low (BIP-62), as the network wants it and libsecp256k1 gives it.
    LowS,
}

/// Two nonces and what ties them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    tag: [u8; 16],
    other: [u8; 16],
    number: u64,
}

/// The differences and sums of one nonce with the one before it; none where they vanish.
type Pair = [Option<Nonce>; 2];

/// Takes signatures in, in the order in which they were made.
pub struct NonceAudit {
    form: Form,
    deterministic: bool,
    statistics: Statistics,
    /// Beginnings of nonce points, with the beginnings of low S.
    points: Vec<Seen>,
    /// Hashes of `|k|` without its 130 lowest bits, on two grids half a step apart.
    near: Vec<Seen>,
    last: Option<Nonce>,
    pairs: [Option<Pair>; 2],
    malformed: Marks,
    foreign: Marks,
    recurring: Marks,
}

/// How often something was seen, and where first.
#[derive(Clone, Copy, Default)]
struct Marks {
    count: u64,
    first: u64,
}

impl Marks {
    fn mark(&mut self, number: u64) {
        if self.count == 0 {
            self.first = number;
        }
        self.count += 1;
    }
}

impl std::fmt::Debug for NonceAudit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NonceAudit").field("form", &self.form).field("count", &self.count()).finish_non_exhaustive()
    }
}

impl NonceAudit {
    /// For signatures whose nonces must be those of RFC 6979 with SHA-256.
    pub fn rfc6979(form: Form) -> NonceAudit {
        NonceAudit {
            form,
            deterministic: true,
            statistics: Statistics::new(form),
            points: Vec::new(),
            near: Vec::new(),
            last: None,
            pairs: [None, None],
            malformed: Marks::default(),
            foreign: Marks::default(),
            recurring: Marks::default(),
        }
    }

    /// For signatures whose nonces are random, as a token makes them.
    pub fn random(form: Form) -> NonceAudit {
        NonceAudit { deterministic: false, ..NonceAudit::rfc6979(form) }
    }

    /// How many signatures were taken in.
    pub fn count(&self) -> u64 {
        self.statistics.count() + self.malformed.count
    }

    /// Takes signatures in, of one key or of many. Some hundreds at once go fastest: they share one inversion.
    pub fn add(&mut self, signed: &[Signed<'_>]) {
        for (one, nonce) in signed.iter().zip(recover(signed)) {
            let number = self.count() + 1;
            match nonce {
                Some(nonce) => self.take(one, nonce, number),
                None => self.malformed.mark(number),
            }
        }
    }

    fn take(&mut self, one: &Signed<'_>, nonce: Nonce, number: u64) {
        if self.deterministic && !rfc6979_nonce(one.key, &one.digest).is(&nonce) {
            self.foreign.mark(number);
        }
        self.see_point(one, number);
        let size = nonce.size();
        self.see_near(&size, number);
        self.statistics.count_in(if self.form == Form::LowS { &size } else { &nonce }, &size);
        self.see_recurrence(nonce, number);
    }

    fn see_point(&mut self, one: &Signed<'_>, number: u64) {
        let mut low = one.signature;
        low.normalize_s();
        let bytes = low.serialize_compact();
        let (r, s) = bytes.split_at(32);
        self.points.push(Seen { tag: begin(r), other: begin(s), number });
    }

    fn see_near(&mut self, size: &Nonce, number: u64) {
        // Two numbers less than half a step of 2^130 apart are in one cell of one of two grids that lie half a step apart.
        // The nonce itself, hashed, tells a repeated one, which has a finding of its own, from one that is only near.
        let other = begin(&sha256::Hash::hash(size.bytes()).to_byte_array());
        let top = size.top();
        for (grid, cell) in [(0u8, top >> 2), (1, (top + 2) >> 2)] {
            let mut engine = sha256::Hash::engine();
            engine.input(&[grid]);
            engine.input(&cell.to_be_bytes());
            let hash = sha256::Hash::from_engine(engine);
            self.near.push(Seen { tag: begin(&hash.to_byte_array()), other, number });
        }
    }

    /// `d2² = d1 d3` holds for the differences of four numbers exactly when they follow `k' = a k + c`. With low S each nonce has either
    /// sign, so each difference may be a sum, and the sign of `d1 d3` follows from where sums stand.
    fn see_recurrence(&mut self, nonce: Nonce, number: u64) {
        let pair = self.last.as_ref().map(|last| [nonce.minus(last), nonce.plus(last)]);
        self.last = Some(nonce);
        let signs: &[usize] = if self.form == Form::LowS { &[0, 1] } else { &[0] };
        if let ([Some(first), Some(second)], Some(third)) = (&self.pairs, &pair) {
            let fits = |one: usize, two: usize, three: usize| {
                let d1 = first.get(one)?.as_ref()?;
                let d2 = second.get(two)?.as_ref()?;
                let d3 = third.get(three)?.as_ref()?;
                let (square, product) = (d2.times(d2)?, d1.times(d3)?);
                Some(square.bytes() == if two == three { product } else { product.negated() }.bytes())
            };
            let any = signs
                .iter()
                .any(|one| signs.iter().any(|two| signs.iter().any(|three| fits(*one, *two, *three) == Some(true))));
            if any {
                self.recurring.mark(number);
            }
        }
        let [_, second] = &mut self.pairs;
        self.pairs = [second.take(), pair];
    }

    /// What was found so far.
    pub fn report(&self) -> NonceReport {
        let mut findings = Vec::new();
        if self.malformed.count > 0 {
            findings.push(NonceFinding::Malformed { count: self.malformed.count, first: self.malformed.first });
        }
        if let Some((count, numbers)) = same(&self.points) {
            findings.push(NonceFinding::Repeated { count, numbers });
        }
        if self.foreign.count > 0 {
            findings.push(NonceFinding::NotRfc6979 { count: self.foreign.count, first: self.foreign.first });
        }
        self.statistics.findings(&mut findings);
        if let Some((count, numbers)) = same(&self.near) {
            findings.push(NonceFinding::Near { count, numbers });
        }
        if self.recurring.count > 0 {
            findings.push(NonceFinding::Recurrence { count: self.recurring.count, first: self.recurring.first });
        }
        NonceReport {
            signatures: self.count(),
            form: self.form,
            deterministic: self.deterministic,
            figures: self.statistics.figures(),
            findings,
        }
    }
}

/// The first 16 bytes.
fn begin(bytes: &[u8]) -> [u8; 16] {
    bytes.first_chunk().copied().unwrap_or_default()
}

/// How many share a tag and differ otherwise, and the first two of them.
fn same(seen: &[Seen]) -> Option<(u64, [u64; 2])> {
    let mut sorted = seen.to_vec();
    sorted.sort_unstable();
    let pairs = sorted.iter().zip(sorted.iter().skip(1));
    let twice = pairs.filter(|(one, two)| one.tag == two.tag && one.other != two.other);
    let mut numbers = twice.map(|(one, two)| [one.number.min(two.number), one.number.max(two.number)]);
    let first = numbers.next()?;
    Some(numbers.fold((1, first), |(count, least), numbers| (count + 1, least.min(numbers))))
}
