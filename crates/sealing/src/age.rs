//! What the stock `age` program (age-encryption.org/v1) is told, and what it is given. Running it is `program`'s business.

use std::ffi::OsString;
use std::path::Path;

/// Most recipients of one slot.
pub const RECIPIENTS_MAX: usize = 16;
/// Longest recipient, in bytes. Those of post-quantum plugins have about 2,000.
pub const RECIPIENT_BYTES_MAX: usize = 4_096;
/// Longest ciphertext of a key, in bytes, armoured.
pub const AGE_BYTES_MAX: usize = 65_536;

const ARMOUR_FIRST: &str = "-----BEGIN AGE ENCRYPTED FILE-----";
const ARMOUR_LAST: &str = "-----END AGE ENCRYPTED FILE-----";

/// Whether a text can be a recipient: `age1...`, of `age` itself or of a plugin, or an SSH public key.
///
/// What cannot begin with `-` cannot be an option, and what names no file has none read.
pub fn is_recipient(text: &str) -> bool {
    let known = ["age1", "ssh-ed25519 ", "ssh-rsa "].iter().any(|prefix| text.starts_with(prefix));
    known && text.len() <= RECIPIENT_BYTES_MAX && text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}

/// Whether a text can be an armoured ciphertext.
pub fn is_ciphertext(text: &str) -> bool {
    let base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=\n".contains(&byte);
    let body = text.strip_prefix(ARMOUR_FIRST).and_then(|rest| rest.trim_end().strip_suffix(ARMOUR_LAST));
    text.len() <= AGE_BYTES_MAX && body.is_some_and(|body| body.len() > 2 && body.bytes().all(base64))
}

/// Arguments that encrypt standard input to `recipients`, armoured, on standard output.
pub fn encrypt_arguments(recipients: &[String]) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["--encrypt".into(), "--armor".into()];
    for recipient in recipients {
        arguments.extend(["--recipient".into(), recipient.into()]);
    }
    arguments
}

/// Arguments that decrypt standard input with the identities in a file, on standard output.
///
/// The path should be absolute: `-` would be standard input.
pub fn decrypt_arguments(identity_file: &Path) -> Vec<OsString> {
    vec!["--decrypt".into(), "--identity".into(), identity_file.into()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_and_files_are_no_recipients() {
        for text in [
            "",
            "-o",
            "--output=/etc/passwd",
            "AGE-SECRET-KEY-1ABC",
            "/etc/passwd",
            "age1\nage1",
            "ssh-dss AAAA",
            "agé1",
        ] {
            assert!(!is_recipient(text), "{text:?}");
        }
        assert!(!is_recipient(&format!("age1{}", "q".repeat(RECIPIENT_BYTES_MAX))));
        assert!(is_recipient("age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"));
        assert!(is_recipient("age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t"));
        assert!(is_recipient("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN alice"));
    }

    #[test]
    fn only_the_armour_is_a_ciphertext() {
        let armoured = format!("{ARMOUR_FIRST}\nYWdlLWVuY3J5cHRpb24=\n{ARMOUR_LAST}\n");
        assert!(is_ciphertext(&armoured));
        for text in [
            String::new(),
            "age-encryption.org/v1\n".to_owned(),
            format!("{ARMOUR_FIRST}\n{ARMOUR_LAST}\n"),
            armoured.replace("YW", "Y-"),
            format!("x{armoured}"),
            format!("{armoured}x"),
            format!("{ARMOUR_FIRST}\n{}\n{ARMOUR_LAST}\n", "A".repeat(AGE_BYTES_MAX)),
        ] {
            assert!(!is_ciphertext(&text), "{text:?}");
        }
    }
}
