//! Numbers modulo the order `n` of secp256k1, with libsecp256k1's own arithmetic on private keys.

use bitcoin::secp256k1::constants::{CURVE_ORDER, ONE};
use bitcoin::secp256k1::{Scalar, SecretKey};

use super::Signed;

/// (n - 1) / 2, most significant byte first.
const HALF: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x5d, 0x57, 0x6e,
    0x73, 0x57, 0xa4, 0x50, 0x1d, 0xdf, 0xe9, 0x2f, 0x46, 0x68, 0x1b, 0x20, 0xa0,
];

/// A number from 1 to n - 1 that nobody may learn; wiped when dropped.
pub(super) struct Nonce(SecretKey);

impl Drop for Nonce {
    fn drop(&mut self) {
        self.0.non_secure_erase();
    }
}

impl Nonce {
    pub(super) const fn new(number: SecretKey) -> Nonce {
        Nonce(number)
    }

    /// Most significant byte first.
    pub(super) fn bytes(&self) -> &[u8; 32] {
        self.0.as_ref()
    }

    /// The most significant 128 bits.
    pub(super) fn top(&self) -> u128 {
        self.bytes().first_chunk().map_or(0, |top| u128::from_be_bytes(*top))
    }

    pub(super) fn negated(&self) -> Nonce {
        Nonce(self.0.negate())
    }

    /// The smaller of `k` and `n - k`.
    pub(super) fn size(&self) -> Nonce {
        if *self.bytes() > HALF { self.negated() } else { Nonce(self.0) }
    }

    /// Whether both are the same but for their signs.
    pub(super) fn is(&self, other: &Nonce) -> bool {
        self.bytes() == other.bytes() || self.negated().bytes() == other.bytes()
    }

    /// None when nothing is left.
    pub(super) fn plus(&self, other: &Nonce) -> Option<Nonce> {
        self.0.add_tweak(&Scalar::from(other.0)).ok().map(Nonce)
    }

    /// None when nothing is left.
    pub(super) fn minus(&self, other: &Nonce) -> Option<Nonce> {
        self.plus(&other.negated())
    }

    /// Never none: `n` is prime.
    pub(super) fn times(&self, other: &Nonce) -> Option<Nonce> {
        self.0.mul_tweak(&Scalar::from(other.0)).ok().map(Nonce)
    }
}

/// The number that 32 bytes are modulo `n`.
pub(super) fn reduced(bytes: &[u8; 32]) -> Scalar {
    Scalar::from_be_bytes(*bytes).unwrap_or_else(|_| {
        // Below 2^256 and so below 2n: once is enough.
        let mut less = *bytes;
        let mut borrow = false;
        for (digit, order) in less.iter_mut().zip(CURVE_ORDER).rev() {
            let (first, one) = digit.overflowing_sub(order);
            let (second, two) = first.overflowing_sub(u8::from(borrow));
            (*digit, borrow) = (second, one || two);
        }
        Scalar::from_be_bytes(less).unwrap_or(Scalar::ZERO)
    })
}

fn one() -> Option<Nonce> {
    SecretKey::from_slice(&ONE).ok().map(Nonce)
}

/// The inverses of many numbers with one inversion and three products each (Montgomery's trick).
fn inverses(numbers: &[Nonce]) -> Option<Vec<Nonce>> {
    let mut products = vec![one()?];
    for number in numbers {
        products.push(products.last()?.times(number)?);
    }
    let mut rest = inverse(&products.pop()?)?;
    let mut inverses = Vec::with_capacity(numbers.len());
    for number in numbers.iter().rev() {
        inverses.push(rest.times(&products.pop()?)?);
        rest = rest.times(number)?;
    }
    inverses.reverse();
    Some(inverses)
}

/// `number` to the power n - 2 (Fermat).
fn inverse(number: &Nonce) -> Option<Nonce> {
    let mut exponent = CURVE_ORDER;
    // The order ends in 0x41: no borrow.
    if let Some(last) = exponent.last_mut() {
        *last -= 2;
    }
    let mut power = one()?;
    for digit in exponent {
        for bit in (0..8).rev() {
            power = power.times(&power)?;
            if digit >> bit & 1 == 1 {
                power = power.times(number)?;
            }
        }
    }
    Some(power)
}

/// The nonce of each signature, up to sign where S was made low; none where a signature has no form (R or S is zero), or for the one
/// digest in 2^256 that cancels the key.
pub(super) fn recover(signed: &[Signed<'_>]) -> Vec<Option<Nonce>> {
    let parts = signed.iter().map(|one| {
        let bytes = one.signature.serialize_compact();
        let (r, s) = bytes.split_at(32);
        let s = SecretKey::from_slice(s).ok().map(Nonce)?;
        let product = one.key.mul_tweak(&Scalar::from(SecretKey::from_slice(r).ok()?)).ok().map(Nonce)?;
        let sum = product.0.add_tweak(&reduced(&one.digest)).ok().map(Nonce)?;
        Some((s, sum))
    });
    let (places, parts): (Vec<bool>, Vec<_>) = parts.map(|part| (part.is_some(), part)).unzip();
    let (divisors, sums): (Vec<Nonce>, Vec<Nonce>) = parts.into_iter().flatten().unzip();
    let inverses = inverses(&divisors).unwrap_or_default();
    let mut nonces = sums.iter().zip(&inverses).map(|(sum, inverse)| sum.times(inverse));
    places.into_iter().map(|there| if there { nonces.next().flatten() } else { None }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(bytes: [u8; 32]) -> Nonce {
        Nonce(SecretKey::from_slice(&bytes).unwrap())
    }

    #[test]
    fn an_inverse_times_its_number_is_one_and_half_is_half() {
        let numbers: Vec<Nonce> = (1..50u8).map(|byte| number([byte; 32])).collect();
        for (number, inverse) in numbers.iter().zip(inverses(&numbers).unwrap()) {
            assert_eq!(number.times(&inverse).unwrap().bytes(), &ONE);
        }
        assert!(inverses(&[]).unwrap().is_empty());
        // Twice the half and one more is n, which is zero.
        let half = number(HALF);
        let double = half.plus(&half).unwrap();
        assert!(double.plus(&one().unwrap()).is_none());
        assert_eq!(half.size().bytes(), &HALF);
        let above = half.plus(&one().unwrap()).unwrap();
        assert_eq!(above.size().bytes(), &HALF);
    }

    #[test]
    fn digests_beyond_the_order_are_reduced_once() {
        assert_eq!(reduced(&CURVE_ORDER), Scalar::ZERO);
        let mut more = CURVE_ORDER;
        more[31] += 7;
        let mut seven = [0; 32];
        seven[31] = 7;
        assert_eq!(reduced(&more), Scalar::from_be_bytes(seven).unwrap());
        assert_eq!(reduced(&seven), Scalar::from_be_bytes(seven).unwrap());
        // 2^256 - 1 - n, from the curve's published order (SEC 2).
        let left = [
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x45, 0x51, 0x23, 0x19, 0x50, 0xb7, 0x5f, 0xc4, 0x40, 0x2d,
            0xa1, 0x73, 0x2f, 0xc9, 0xbe, 0xbe,
        ];
        assert_eq!(reduced(&[0xff; 32]), Scalar::from_be_bytes(left).unwrap());
    }
}
