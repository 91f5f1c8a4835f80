//! Arithmetic in GF(256) with the polynomial of Rijndael, x^8 + x^4 + x^3 + x + 1, and Lagrange's interpolation over it. No branch
//! and no table depends on a secret byte.

use zeroize::Zeroizing;

/// A point of the polynomials through a secret's bytes: all of them at one `x`.
#[derive(Clone, Copy)]
pub(crate) struct Point<'a> {
    /// Where. Not secret.
    pub x: u8,
    /// The values there, one for each byte of the secret.
    pub values: &'a [u8],
}

fn multiply(a: u8, b: u8) -> u8 {
    let (mut product, mut shifted) = (0, a);
    for bit in 0..8 {
        product ^= shifted & ((b >> bit) & 1).wrapping_neg();
        shifted = (shifted << 1) ^ (0x1b & (shifted >> 7).wrapping_neg());
    }
    product
}

/// The inverse, a^254; of zero, zero.
fn invert(a: u8) -> u8 {
    let (mut product, mut power) = (1, a);
    for _ in 1..8 {
        power = multiply(power, power);
        product = multiply(product, power);
    }
    product
}

/// The values at `x` of the polynomials of lowest degree through `points`, whose own `x` all differ.
pub(crate) fn interpolate(points: &[Point<'_>], x: u8) -> Zeroizing<Vec<u8>> {
    let mut values = Zeroizing::new(vec![0; points.first().map_or(0, |point| point.values.len())]);
    for point in points {
        let others = points.iter().filter(|other| other.x != point.x);
        let weight =
            others.fold(1, |product, other| multiply(product, multiply(x ^ other.x, invert(point.x ^ other.x))));
        for (sum, value) in values.iter_mut().zip(point.values) {
            *sum ^= multiply(weight, *value);
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The product by long multiplication and division of polynomials.
    fn schoolbook(a: u8, b: u8) -> u8 {
        let mut product = (0..8).filter(|bit| b & (1 << bit) != 0).fold(0u16, |sum, bit| sum ^ (u16::from(a) << bit));
        for bit in (8..16).rev() {
            if product & (1 << bit) != 0 {
                product ^= 0x11b << (bit - 8);
            }
        }
        u8::try_from(product).unwrap()
    }

    #[test]
    fn every_product_and_inverse_is_right() {
        // FIPS 197, section 4.2: {57} times {83} is {c1}; and {53} and {ca} are inverses.
        assert_eq!((multiply(0x57, 0x83), invert(0x53)), (0xc1, 0xca));
        for a in 0..=255 {
            assert_eq!(multiply(a, invert(a)), u8::from(a != 0));
            for b in 0..=255 {
                assert_eq!(multiply(a, b), schoolbook(a, b), "{a} {b}");
            }
        }
    }

    proptest! {
        #[test]
        fn as_many_points_as_coefficients_give_the_polynomial_back(
            coefficients in proptest::collection::vec(any::<u8>(), 1..=16),
            places in proptest::collection::btree_set(any::<u8>(), 16),
            x: u8,
        ) {
            // Horner's rule, with the other multiplication.
            let at = |x| coefficients.iter().rev().fold(0, |sum, coefficient| schoolbook(sum, x) ^ coefficient);
            let values: Vec<_> = places.iter().map(|place| (*place, [at(*place)])).collect();
            let points: Vec<_> = values.iter().map(|(x, values)| Point { x: *x, values }).collect();
            prop_assert_eq!(interpolate(&points[..coefficients.len()], x)[0], at(x));
            prop_assert_eq!(interpolate(&points, x)[0], at(x));
        }
    }
}
