//! Which fragments a part mixes. Writer and reader compute it alike from the part's number and the message's checksum
//! (BCR-2024-001, "The Consensus Stack"); the choice is not secret and needs no good randomness, only the same.

use sha2::{Digest as _, Sha256};

/// The generator Xoshiro256** of Blackman and Vigna, seeded by SHA-256.
pub(super) struct Generator([u64; 4]);

impl Generator {
    pub(super) fn new(seed: &[u8]) -> Generator {
        let digest: [u8; 32] = Sha256::digest(seed).into();
        let mut state = [0; 4];
        for (word, bytes) in state.iter_mut().zip(digest.as_chunks::<8>().0) {
            *word = u64::from_be_bytes(*bytes);
        }
        Generator(state)
    }

    fn next(&mut self) -> u64 {
        let [a, b, c, d] = self.0;
        let (c, d) = (c ^ a, d ^ b);
        self.0 = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        b.wrapping_mul(5).rotate_left(7).wrapping_mul(9)
    }

    /// From 0 to 1, rounded as the standard's double is.
    fn fraction(&mut self) -> f64 {
        self.next() as f64 / (u64::MAX as f64 + 1.0)
    }

    /// A number below `bound`. Rounding can bring the fraction to 1 once in 2^54 times, where the standard's code would fail.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        ((self.fraction() * bound as f64) as usize).min(bound.saturating_sub(1))
    }
}

/// Draws numbers by their weights with the alias method of Walker and Vose, every step in the standard's order.
struct Sampler(Vec<Slot>);

#[derive(Clone, Copy, Default)]
struct Slot {
    share: f64,
    alias: usize,
}

impl Sampler {
    fn new(weights: &[f64]) -> Sampler {
        let sum: f64 = weights.iter().sum();
        let count = weights.len();
        let mut scaled: Vec<f64> = weights.iter().map(|weight| weight * count as f64 / sum).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..count).rev().partition(|place| scaled.get(*place).is_some_and(|share| *share < 1.0));
        // What is left over at the end is whole: rounding alone keeps it from being so.
        let mut slots = vec![Slot { share: 1.0, alias: 0 }; count];
        while let (Some(low), Some(high)) = (small.last().copied(), large.last().copied()) {
            small.pop();
            large.pop();
            let share = scaled.get(low).copied().unwrap_or_default();
            if let Some(slot) = slots.get_mut(low) {
                *slot = Slot { share, alias: high };
            }
            if let Some(rest) = scaled.get_mut(high) {
                *rest += share - 1.0;
                if *rest < 1.0 { small.push(high) } else { large.push(high) }
            }
        }
        Sampler(slots)
    }

    fn draw(&self, generator: &mut Generator) -> usize {
        let place = generator.below(self.0.len());
        let second = generator.fraction();
        self.0.get(place).map_or(0, |slot| if second < slot.share { place } else { slot.alias })
    }
}

/// Chooses the fragments of each part of one message.
pub(super) struct Chooser {
    degrees: Sampler,
    count: usize,
    checksum: u32,
}

impl Chooser {
    /// Of a message in `count` fragments, at least one, with this CRC-32.
    pub(super) fn new(count: usize, checksum: u32) -> Chooser {
        let weights: Vec<f64> = (1..=count).map(|degree| 1.0 / degree as f64).collect();
        Chooser { degrees: Sampler::new(&weights), count, checksum }
    }

    /// The fragments of part `number`, counted from 0, in no order.
    pub(super) fn choose(&self, number: u32) -> Vec<usize> {
        if let Some(fragment) = self.plain(number) {
            return vec![fragment];
        }
        let (mut generator, degree) = self.draw(number);
        let mut left: Vec<usize> = (0..self.count).collect();
        (0..degree).map(|_| left.remove(generator.below(left.len()))).collect()
    }

    /// How many fragments part `number` mixes.
    pub(super) fn degree(&self, number: u32) -> usize {
        self.plain(number).map_or_else(|| self.draw(number).1, |_| 1)
    }

    /// The parts of the first pass are the fragments themselves.
    fn plain(&self, number: u32) -> Option<usize> {
        usize::try_from(number).ok().and_then(|number| number.checked_sub(1)).filter(|place| *place < self.count)
    }

    fn draw(&self, number: u32) -> (Generator, usize) {
        let mut generator = Generator::new(&[number.to_be_bytes(), self.checksum.to_be_bytes()].concat());
        let degree = self.degrees.draw(&mut generator) + 1;
        (generator, degree)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ur::bytewords::crc32;

    /// The standard's test messages: so many bytes of the generator seeded with a word.
    fn message(length: usize) -> Vec<u8> {
        let mut generator = Generator::new(b"Wolf");
        (0..length).map(|_| u8::try_from(generator.below(256)).unwrap()).collect()
    }

    /// BCR-2024-001, "The Xoshiro256** Pseudorandom Number Generator" (the first numbers of each list) and "Buffer XOR".
    #[test]
    fn published_vectors_of_the_generator() {
        let mut generator = Generator::new(b"Wolf");
        let numbers: Vec<u64> = (0..20).map(|_| generator.next() % 100).collect();
        assert_eq!(numbers, [42, 81, 85, 8, 82, 84, 76, 73, 70, 88, 2, 74, 40, 48, 77, 54, 88, 7, 5, 88]);
        let mut generator = Generator::new(&crc32(b"Wolf").to_be_bytes());
        let numbers: Vec<u64> = (0..20).map(|_| generator.next() % 100).collect();
        assert_eq!(numbers, [88, 44, 94, 74, 0, 99, 7, 77, 68, 35, 47, 78, 19, 21, 50, 15, 42, 36, 91, 11]);
        let mut generator = Generator::new(b"Wolf");
        let numbers: Vec<usize> = (0..20).map(|_| generator.below(10) + 1).collect();
        assert_eq!(numbers, [6, 5, 8, 4, 10, 5, 7, 10, 4, 9, 10, 9, 7, 7, 1, 1, 2, 9, 9, 2]);
        assert_eq!(hex::encode(message(20)), "916ec65cf77cadf55cd7f9cda1a1030026ddd42e");
    }

    /// BCR-2024-001, "Random Sampler" (the first 50 samples, and how often each of 500 comes).
    #[test]
    fn published_vectors_of_the_sampler() {
        let sampler = Sampler::new(&[1.0, 2.0, 4.0, 8.0]);
        let mut generator = Generator::new(b"Wolf");
        let samples: Vec<usize> = (0..500).map(|_| sampler.draw(&mut generator)).collect();
        let first = [
            3, 3, 3, 3, 3, 3, 3, 0, 2, 3, 3, 3, 3, 1, 2, 2, 1, 3, 3, 2, 3, 3, 1, 1, 2, 1, 1, 3, 1, 3, 1, 2, 0, 2, 1, 0,
            3, 3, 3, 1, 3, 3, 3, 3, 1, 3, 2, 3, 2, 2,
        ];
        assert_eq!(samples[..50], first);
        let often = |wanted| samples.iter().filter(|sample| **sample == wanted).count();
        assert_eq!([often(0), often(1), often(2), often(3)], [28, 68, 130, 274]);
    }

    /// BCR-2024-001, "Degree Chooser" (the first 50 of 1000 degrees, and how often each comes).
    #[test]
    fn published_vectors_of_degrees() {
        let chooser = Chooser::new(11, 0);
        let mut generator = Generator::new(b"Wolf");
        let degrees: Vec<usize> = (0..1000).map(|_| chooser.degrees.draw(&mut generator) + 1).collect();
        let first = [
            7, 9, 2, 1, 4, 2, 1, 1, 3, 10, 7, 1, 1, 4, 3, 8, 6, 2, 3, 2, 1, 1, 4, 5, 8, 4, 4, 1, 6, 1, 5, 2, 3, 3, 5,
            2, 1, 10, 2, 5, 1, 1, 1, 5, 5, 11, 1, 1, 8, 2,
        ];
        assert_eq!(degrees[..50], first);
        let often: Vec<usize> = (1..=11).map(|wanted| degrees.iter().filter(|one| **one == wanted).count()).collect();
        assert_eq!(often, [328, 151, 116, 77, 71, 54, 52, 55, 33, 33, 30]);
    }

    /// BCR-2024-001, "Fragment Chooser".
    #[test]
    fn published_vectors_of_fragments() {
        let chooser = Chooser::new(11, crc32(&message(1024)));
        let mixed: [&[usize]; 39] = [
            &[9],
            &[2, 5, 6, 8, 9, 10],
            &[8],
            &[1, 5],
            &[1],
            &[0, 2, 4, 5, 8, 10],
            &[5],
            &[2],
            &[2],
            &[0, 1, 3, 4, 5, 7, 9, 10],
            &[0, 1, 2, 3, 5, 6, 8, 9, 10],
            &[0, 2, 4, 5, 7, 8, 9, 10],
            &[3, 5],
            &[4],
            &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
            &[0, 1, 3, 4, 5, 6, 7, 9, 10],
            &[6],
            &[5, 6],
            &[7],
            &[4, 9, 10],
            &[5],
            &[10],
            &[1, 3, 4, 5],
            &[6, 8],
            &[9],
            &[4, 5, 6, 8],
            &[4],
            &[0, 10],
            &[2, 5, 7, 10],
            &[4],
            &[0, 2, 4, 6, 7, 10],
            &[9],
            &[1],
            &[3, 6],
            &[3, 8],
            &[1, 2, 6, 9],
            &[0, 2, 4, 5, 6, 7, 9],
            &[0, 4],
            &[9],
        ];
        for number in 1..=11 {
            assert_eq!(chooser.choose(number), [usize::try_from(number).unwrap() - 1]);
        }
        for (number, expected) in (12..).zip(mixed) {
            let mut chosen = chooser.choose(number);
            chosen.sort_unstable();
            assert_eq!(chosen, expected, "part {number}");
            assert_eq!(chooser.degree(number), expected.len());
        }
    }
}
