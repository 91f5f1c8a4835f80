use super::bytewords::{self, crc32};
use super::cbor::{self, Part};
use super::mixing::Chooser;
use super::{FRAGMENT_BYTES_MAX, FRAGMENT_BYTES_MIN, FRAGMENTS_MAX, PAYLOAD_BYTES_MAX, UrError, is_kind};

/// How many numbers are tried for a part that mixes all fragments: among 4096 fragments one in 36 000 does.
const SPARE_TRIES: u32 = 1_000_000;

/// A payload as text in parts, without end: first each fragment once, then mixtures of them.
///
/// Every part is in capital letters, so that QR codes take it in their alphanumeric mode. A payload that fits into one fragment is
/// one part, again and again.
pub struct Parts {
    kind: String,
    message: Vec<u8>,
    fragment_bytes: usize,
    count: u32,
    length: u32,
    checksum: u32,
    chooser: Chooser,
    next: u32,
}

impl Parts {
    /// Cuts the payload into as few fragments of equal length as there can be of at most `fragment_bytes` each.
    ///
    /// # Errors
    /// [`UrError::KindName`], [`UrError::FragmentBytes`], [`UrError::TooLong`] and [`UrError::TooManyParts`].
    pub fn new(kind: &str, payload: &[u8], fragment_bytes: usize) -> Result<Parts, UrError> {
        if !is_kind(kind) {
            return Err(UrError::KindName);
        }
        if !(FRAGMENT_BYTES_MIN..=FRAGMENT_BYTES_MAX).contains(&fragment_bytes) {
            return Err(UrError::FragmentBytes(fragment_bytes));
        }
        let too_long = UrError::TooLong { bytes: payload.len(), limit: PAYLOAD_BYTES_MAX };
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(too_long);
        }
        let message = cbor::wrap(payload);
        let count = message.len().div_ceil(fragment_bytes);
        if count > FRAGMENTS_MAX {
            return Err(UrError::TooManyParts(count));
        }
        let fragment_bytes = message.len().div_ceil(count);
        // Fewer fragments can do when each is rounded up.
        let count = message.len().div_ceil(fragment_bytes);
        let checksum = crc32(&message);
        Ok(Parts {
            kind: kind.to_ascii_uppercase(),
            fragment_bytes,
            count: u32::try_from(count).map_err(|_| UrError::TooManyParts(count))?,
            length: u32::try_from(message.len()).map_err(|_| too_long)?,
            checksum,
            chooser: Chooser::new(count, checksum),
            message,
            next: 1,
        })
    }

    /// How many parts suffice when none is lost.
    pub fn needed(&self) -> usize {
        self.message.len().div_ceil(self.fragment_bytes)
    }

    /// The parts that suffice when none is lost, in order.
    pub fn first_pass(&self) -> Vec<String> {
        (1..=self.count).map(|number| self.part(number)).collect()
    }

    /// A part that stands in for any one of the first pass: it mixes every fragment. Nothing when there is one part only.
    pub fn spare(&self) -> Option<String> {
        let mixes_all = |number: &u32| self.chooser.degree(*number) == self.needed();
        let number = (self.count + 1..SPARE_TRIES).find(mixes_all).filter(|_| self.count > 1)?;
        Some(self.part(number))
    }

    fn part(&self, number: u32) -> String {
        if self.count == 1 {
            let mut text = format!("UR:{}/", self.kind);
            bytewords::write(&self.message, &mut text);
            return text;
        }
        let mut data = vec![0; self.fragment_bytes];
        for place in self.chooser.choose(number) {
            if let Some(fragment) = self.message.chunks(self.fragment_bytes).nth(place) {
                data.iter_mut().zip(fragment).for_each(|(sum, byte)| *sum ^= byte);
            }
        }
        let part = Part { number, count: self.count, length: self.length, checksum: self.checksum, data };
        let mut text = format!("UR:{}/{number}-{}/", self.kind, self.count);
        bytewords::write(&part.write(), &mut text);
        text
    }
}

impl Iterator for Parts {
    type Item = String;

    /// The next part; there always is one. After part 2^32 - 1 they begin anew.
    fn next(&mut self) -> Option<String> {
        let part = self.part(self.next);
        self.next = self.next.checked_add(1).unwrap_or(1);
        Some(part)
    }
}
