//! From where somebody comes: what bounds of connections and questions count by, at signers and at the online system.

use std::net::IpAddr;

/// From where somebody comes, as far as one attacker has many addresses: IPv6 is given out by networks of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source([u8; 8]);

impl Source {
    /// The source that an address belongs to.
    pub fn of(address: IpAddr) -> Source {
        let mut bytes = [0; 8];
        let known = match address.to_canonical() {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        bytes.iter_mut().zip(known).for_each(|(byte, known)| *byte = known);
        Source(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_64_bits_is_one_source_and_so_is_an_address_in_both_spellings() {
        let of = |text: &str| Source::of(text.parse().unwrap());
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_eq!(of("192.0.2.7"), of("::ffff:192.0.2.7"));
        assert_ne!(of("192.0.2.7"), of("192.0.2.8"));
    }
}
