//! The little of CBOR (RFC 8949) that parts need: unsigned integers, byte strings and one array, in their only shortest form.

const UNSIGNED: u8 = 0;
const BYTES: u8 = 2;
const ARRAY: u8 = 4;

/// Longest head of an item whose value fits into 32 bits.
pub(super) const HEAD_BYTES_MAX: usize = 5;

/// One part of a message in many parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// From 1 on; up to `count` they are the fragments themselves.
    pub(super) number: u32,
    /// Into how many fragments the message is cut.
    pub(super) count: u32,
    /// Length of the message in bytes, without the zeroes that fill the last fragment.
    pub(super) length: u32,
    /// CRC-32 of the message.
    pub(super) checksum: u32,
    /// A fragment, or several of them added bit by bit.
    pub(super) data: Vec<u8>,
}

impl Part {
    pub(super) fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(6 * HEAD_BYTES_MAX + self.data.len());
        head(ARRAY, 5, &mut bytes);
        for value in [self.number, self.count, self.length, self.checksum] {
            head(UNSIGNED, value, &mut bytes);
        }
        head(BYTES, u32::try_from(self.data.len()).unwrap_or(u32::MAX), &mut bytes);
        bytes.extend_from_slice(&self.data);
        bytes
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Part> {
        let (5, rest) = take(ARRAY, bytes)? else { return None };
        let (number, rest) = take(UNSIGNED, rest)?;
        let (count, rest) = take(UNSIGNED, rest)?;
        let (length, rest) = take(UNSIGNED, rest)?;
        let (checksum, rest) = take(UNSIGNED, rest)?;
        Some(Part { number, count, length, checksum, data: byte_string(rest)?.to_vec() })
    }
}

/// The payload as one byte string.
pub(super) fn wrap(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES_MAX + payload.len());
    head(BYTES, u32::try_from(payload.len()).unwrap_or(u32::MAX), &mut bytes);
    bytes.extend_from_slice(payload);
    bytes
}

/// Length of the byte string that wraps a payload of this length, in bytes. It grows with the payload's.
pub(super) fn wrapped_length(payload: usize) -> usize {
    let head = match payload {
        0..=23 => 1,
        24..=0xff => 2,
        0x100..=0xffff => 3,
        _ => HEAD_BYTES_MAX,
    };
    head + payload
}

/// What is in a byte string that is all there is.
pub(super) fn byte_string(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = take(BYTES, bytes)?;
    (usize::try_from(length) == Ok(rest.len())).then_some(rest)
}

fn head(major: u8, value: u32, bytes: &mut Vec<u8>) {
    let first = major << 5;
    match value {
        0..=23 => bytes.push(first | value.to_be_bytes()[3]),
        24..=0xff => bytes.extend_from_slice(&[first | 24, value.to_be_bytes()[3]]),
        0x100..=0xffff => {
            let [.., high, low] = value.to_be_bytes();
            bytes.extend_from_slice(&[first | 25, high, low]);
        }
        _ => {
            bytes.push(first | 26);
            bytes.extend_from_slice(&value.to_be_bytes());
        }
    }
}

/// The value of an item's head, and what follows; nothing when it is of another major type, longer than 32 bits, or not shortest.
fn take(major: u8, bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    if first >> 5 != major {
        return None;
    }
    let (value, rest, least) = match first & 0x1f {
        short @ 0..=23 => (u32::from(short), rest, 0),
        24 => rest.split_first().map(|(byte, rest)| (u32::from(*byte), rest, 24))?,
        25 => rest.split_first_chunk().map(|(two, rest)| (u32::from(u16::from_be_bytes(*two)), rest, 0x100))?,
        26 => rest.split_first_chunk().map(|(four, rest)| (u32::from_be_bytes(*four), rest, 0x1_0000))?,
        _ => return None,
    };
    (value >= least).then_some((value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BCR-2024-001, "Part Serialization"; BCR-2020-005, "CBOR Examples".
    #[test]
    fn published_vectors() {
        let part = Part { number: 12, count: 8, length: 100, checksum: 0x1234_5678, data: vec![1, 5, 3, 3, 5] };
        assert_eq!(hex::encode(part.write()), "850c0818641a12345678450105030305");
        assert_eq!(Part::read(&part.write()), Some(part));
        let seed = hex::decode("c3fb80bf2c80732f369225e20f7c7aed").unwrap();
        assert_eq!(hex::encode(wrap(&seed)), "50c3fb80bf2c80732f369225e20f7c7aed");
        let seed = hex::decode("3ab1b5980595a6e13112c5739283ff5286379e0beac4f3427352a254c40a39ff").unwrap();
        let wrapped = "58203ab1b5980595a6e13112c5739283ff5286379e0beac4f3427352a254c40a39ff";
        assert_eq!(hex::encode(wrap(&seed)), wrapped);
        assert_eq!(byte_string(&hex::decode(wrapped).unwrap()), Some(seed.as_slice()));
    }

    #[test]
    fn heads_of_every_length_come_back_and_longer_spellings_are_refused() {
        for value in [0, 1, 23, 24, 0xff, 0x100, 0xffff, 0x1_0000, u32::MAX] {
            let mut bytes = Vec::new();
            head(UNSIGNED, value, &mut bytes);
            assert_eq!(take(UNSIGNED, &bytes), Some((value, [].as_slice())), "{value}");
            assert_eq!(take(BYTES, &bytes), None);
            assert_eq!(wrapped_length(usize::try_from(value).unwrap()) - usize::try_from(value).unwrap(), bytes.len());
            for cut in 0..bytes.len() {
                assert_eq!(take(UNSIGNED, &bytes[..cut]), None, "{value} cut to {cut}");
            }
        }
        for longer in ["1817", "1900ff", "1a0000ffff", "1b0000000000000001", "1f"] {
            assert_eq!(take(UNSIGNED, &hex::decode(longer).unwrap()), None, "{longer}");
        }
        for other in ["", "5f", "58", "5803aabb", "42aabbcc", "62aabb", "5b0000000000000001aa"] {
            assert_eq!(byte_string(&hex::decode(other).unwrap()), None, "{other}");
        }
        for other in
            ["", "85", "840c0818641a12345678", "850c0818641a1234567845010503030500", "860c0818641a12345678450105030305"]
        {
            assert_eq!(Part::read(&hex::decode(other).unwrap()), None, "{other}");
        }
    }
}
