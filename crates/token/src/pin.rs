//! PINs that everybody knows.

/// PINs that devices leave the factory with or that their manuals use in examples: digits in a row or all alike, and
/// `648219` (SmartCard-HSM, Nitrokey HSM), `0001password` (YubiHSM 2), `userpin` and `password` (Luna), `default`,
/// `changeme`, `admin`, `user`.
const DEFAULTS: &[&str] = &[
    "0000",
    "1111",
    "1234",
    "4321",
    "5678",
    "00000",
    "12345",
    "54321",
    "000000",
    "111111",
    "123456",
    "654321",
    "648219",
    "1234567",
    "00000000",
    "11111111",
    "12345678",
    "87654321",
    "123456789",
    "1234567890",
    "0001password",
    "admin",
    "changeme",
    "default",
    "password",
    "user",
    "userpin",
];

/// Whether a PIN is a default one, in whatever case, or none at all.
pub fn is_default(pin: &[u8]) -> bool {
    pin.is_empty() || DEFAULTS.iter().any(|default| pin.eq_ignore_ascii_case(default.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::is_default;

    #[test]
    fn defaults_are_known_and_others_are_not() {
        for pin in ["", "1234", "0000", "123456", "12345678", "648219", "Password", "0001password"] {
            assert!(is_default(pin.as_bytes()), "{pin}");
        }
        for pin in ["12340", "831764", "correct horse", "\u{fc}ber"] {
            assert!(!is_default(pin.as_bytes()), "{pin}");
        }
    }
}
