//! Points on secp256k1 as devices spell them (SEC 1, section 2.3.3; PKCS #11, section 2.3.3).

use secp256k1::PublicKey;

/// The curve's object identifier 1.3.132.0.10 in DER (SEC 2, appendix A.2.1).
pub const SECP256K1: [u8; 7] = [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a];
/// DER's tag of an octet string.
const OCTETS: u8 = 0x04;

/// Reads `CKA_EC_POINT`: an octet string in DER by the standard, the bare point with some devices; the length tells
/// which.
pub fn read(bytes: &[u8]) -> Option<PublicKey> {
    let point = match bytes {
        [OCTETS, length, point @ ..] if matches!(point.len(), 33 | 65) && usize::from(*length) == point.len() => point,
        bare => bare,
    };
    PublicKey::from_slice(point).ok()
}

/// Writes `CKA_EC_POINT` as the standard has it: uncompressed, in an octet string.
pub fn write(key: &PublicKey) -> Vec<u8> {
    [&[OCTETS, 65], key.serialize_uncompressed().as_slice()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The base point, compressed and whole (SEC 2, section 2.4.1).
    const G: &str = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
    const G_Y: &str = "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8";

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn every_spelling_of_a_point_is_read_and_one_is_written() {
        let compressed = bytes(G);
        let mut whole = vec![4];
        whole.extend_from_slice(&compressed[1..]);
        whole.extend(bytes(G_Y));
        let wrapped = |point: &[u8]| [&[4, u8::try_from(point.len()).unwrap()], point].concat();
        for spelling in [wrapped(&whole), whole.clone(), wrapped(&compressed), compressed.clone()] {
            let key = read(&spelling).unwrap();
            assert_eq!(key.serialize().as_slice(), compressed);
            assert_eq!(write(&key), wrapped(&whole));
        }
        let mut off = whole.clone();
        off[64] ^= 1;
        let mut lying = wrapped(&whole);
        lying[1] = 64;
        for wrong in [vec![], vec![4], vec![4, 65], off, lying, wrapped(&whole[..64]), whole[1..].to_vec()] {
            assert_eq!(read(&wrong), None, "{wrong:?}");
        }
    }
}
