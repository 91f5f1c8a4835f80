//! Shamir's scheme for one secret: values of random polynomials, of which `threshold` give the secret back, and the digest that tells
//! whether they do.

use hmac::digest::generic_array::GenericArray;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::field::{Point, interpolate};
use crate::{RandomError, SECRET_BYTES_MAX};

/// Where the polynomials have the secret, and where its digest.
const SECRET_X: u8 = 255;
const DIGEST_X: u8 = 254;
/// Length of the digest, in bytes. The random bytes that key it follow.
const DIGEST_BYTES: usize = 4;

/// Length of a block of SHA-256, in bytes.
const BLOCK_BYTES: usize = 64;
/// A shorter key of HMAC is one that zero bytes fill up to a block (RFC 2104, section 2); a longer one would be another.
const _: () = assert!(SECRET_BYTES_MAX - DIGEST_BYTES <= BLOCK_BYTES);

/// Fills the whole slice with unpredictable bytes.
pub(crate) type Random<'a> = dyn FnMut(&mut [u8]) -> Result<(), RandomError> + 'a;

/// Why points do not lead to a secret.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Those needed do not fit together.
    Digest,
    /// They do, but contradict the further one at this position.
    Stray(usize),
}

fn mac(random_part: &[u8], secret: &[u8]) -> Hmac<Sha256> {
    let mut key = Zeroizing::new([0; BLOCK_BYTES]);
    key.iter_mut().zip(random_part).for_each(|(key, byte)| *key = *byte);
    let mut mac = Hmac::new(GenericArray::from_slice(key.as_slice()));
    mac.update(secret);
    mac
}

/// Deals a secret out: the values at 0, 1, ... `count - 1`, any `threshold` of which give it back. A threshold of 1 deals copies.
pub(crate) fn deal(
    threshold: u8,
    count: u8,
    secret: &[u8],
    random: &mut Random<'_>,
) -> Result<Vec<Zeroizing<Vec<u8>>>, RandomError> {
    if threshold < 2 {
        return Ok((0..count).map(|_| Zeroizing::new(secret.to_vec())).collect());
    }
    // With the secret and its digest, these fix polynomials whose other coefficients are as random.
    let mut values = Vec::with_capacity(usize::from(count));
    for _ in 0..threshold - 2 {
        let mut value = Zeroizing::new(vec![0; secret.len()]);
        random(&mut value)?;
        values.push(value);
    }
    let mut digested = Zeroizing::new(vec![0; secret.len()]);
    let (digest, random_part) = digested.split_at_mut(DIGEST_BYTES.min(secret.len()));
    random(random_part)?;
    digest.iter_mut().zip(mac(random_part, secret).finalize().into_bytes()).for_each(|(to, byte)| *to = byte);

    let mut points: Vec<_> = (0..).zip(&values).map(|(x, values)| Point { x, values }).collect();
    points.push(Point { x: DIGEST_X, values: &digested });
    points.push(Point { x: SECRET_X, values: secret });
    let further: Vec<_> = (threshold - 2..count).map(|x| interpolate(&points, x)).collect();
    values.extend(further);
    Ok(values)
}

/// Brings a secret back from `threshold` points or more, whose `x` all differ. Further points have to lie on the same polynomials.
pub(crate) fn recover(threshold: u8, points: &[Point<'_>]) -> Result<Zeroizing<Vec<u8>>, Flaw> {
    let (needed, further) = points.split_at(points.len().min(usize::from(threshold)));
    let secret = interpolate(needed, SECRET_X);
    if threshold > 1 {
        let digested = interpolate(needed, DIGEST_X);
        let (digest, random_part) = digested.split_at(DIGEST_BYTES.min(digested.len()));
        mac(random_part, &secret).verify_truncated_left(digest).map_err(|_| Flaw::Digest)?;
    }
    match further.iter().position(|point| *interpolate(needed, point.x) != point.values) {
        Some(position) => Err(Flaw::Stray(needed.len() + position)),
        None => Ok(secret),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha2::Digest as _;

    use super::*;

    /// Randomness that can be had again.
    fn stream(seed: u64) -> impl FnMut(&mut [u8]) -> Result<(), RandomError> {
        let mut bytes = (0u64..).flat_map(move |at| Sha256::digest([seed.to_be_bytes(), at.to_be_bytes()].concat()));
        move |slice| {
            slice.fill_with(|| bytes.next().unwrap());
            Ok(())
        }
    }

    fn points(values: &[Zeroizing<Vec<u8>>], chosen: impl Fn(u8) -> bool) -> Vec<Point<'_>> {
        (0..).zip(values).filter(|(x, _)| chosen(*x)).map(|(x, values)| Point { x, values }).collect()
    }

    /// Every threshold of every number of people up to eight, and every choice of them.
    #[test]
    fn every_choice_of_enough_gives_the_secret_and_no_choice_of_fewer() {
        let secret: Vec<u8> = (100..132).collect();
        for count in 1..=8 {
            for threshold in 2..=count {
                let values = deal(threshold, count, &secret, &mut stream(u64::from(threshold))).unwrap();
                for choice in 1u32..1 << count {
                    let chosen = points(&values, |x| choice & (1 << x) != 0);
                    let found = recover(threshold, &chosen).map(|found| found.to_vec());
                    // A lie about the threshold helps nobody: the digest is not that of the polynomials' secret.
                    let enough = chosen.len() >= usize::from(threshold);
                    assert_eq!(
                        found,
                        if enough { Ok(secret.clone()) } else { Err(Flaw::Digest) },
                        "{threshold} {choice:b}"
                    );
                }
            }
        }
    }

    #[test]
    fn one_of_many_is_a_copy_and_a_copy_that_differs_is_found() {
        let mut values = deal(1, 3, b"sixteen bytes ..", &mut stream(0)).unwrap();
        assert_eq!(recover(1, &points(&values, |_| true)).unwrap().as_slice(), b"sixteen bytes ..");
        values[2][15] ^= 1;
        assert_eq!(recover(1, &points(&values, |_| true)).err(), Some(Flaw::Stray(2)));
    }

    #[test]
    fn without_randomness_nothing_is_dealt() {
        for fails_at in 0..4 {
            let mut calls = 0;
            let dealt = deal(5, 6, &[0; 16], &mut |slice: &mut [u8]| {
                slice.fill(7);
                calls += 1;
                if calls > fails_at { Err(RandomError) } else { Ok(()) }
            });
            assert_eq!(dealt.err(), Some(RandomError), "{fails_at}");
        }
    }

    proptest! {
        #[test]
        fn a_changed_value_is_found(
            secret in proptest::collection::vec(any::<u8>(), 16..=64),
            threshold in 2u8..=16,
            seed: u64,
            place in any::<proptest::sample::Index>(),
            byte in any::<proptest::sample::Index>(),
            change in 1u8..,
        ) {
            let mut values = deal(threshold, 16, &secret, &mut stream(seed)).unwrap();
            prop_assert_eq!(&*recover(threshold, &points(&values, |_| true)).unwrap(), &secret);
            let place = place.index(16);
            values[place][byte.index(secret.len())] ^= change;
            let found = if place < usize::from(threshold) { Flaw::Digest } else { Flaw::Stray(place) };
            prop_assert_eq!(recover(threshold, &points(&values, |_| true)).err(), Some(found));
        }

        #[test]
        fn fewer_values_are_as_random_for_one_secret_as_for_another(
            secret in proptest::collection::vec(any::<u8>(), 16),
            other in proptest::collection::vec(any::<u8>(), 16),
            seed: u64,
        ) {
            // All but two of the values needed are the random bytes themselves: nothing of the secret is in them.
            let one = deal(6, 10, &secret, &mut stream(seed)).unwrap();
            let two = deal(6, 10, &other, &mut stream(seed)).unwrap();
            prop_assert_eq!(&one[..4], &two[..4]);
            prop_assert_eq!(one[4..] == two[4..], secret == other);
        }
    }
}
