//! The encryption under the passphrase: a Feistel network of four rounds over the secret's halves, each round PBKDF2-HMAC-SHA256
//! (SLIP-0039, "Encryption of the master secret").

use pbkdf2::pbkdf2_hmac;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{SECRET_BYTES_MAX, ShareError};

const ROUNDS: [u8; 4] = [0, 1, 2, 3];
/// Iterations of a round at exponent 0; 10 000 in all four.
const ROUND_ITERATIONS: u32 = 2_500;

/// A passphrase that can be typed everywhere, for one backup.
pub(crate) struct Cipher<'a> {
    passphrase: &'a [u8],
    salt: Vec<u8>,
    iterations: u32,
}

impl<'a> Cipher<'a> {
    /// Refuses a passphrase that has other characters than the printable ones of ASCII.
    pub fn new(
        passphrase: &'a [u8],
        identifier: u16,
        extendable: bool,
        exponent: u8,
    ) -> Result<Cipher<'a>, ShareError> {
        if !passphrase.iter().all(|byte| (b' '..=b'~').contains(byte)) {
            return Err(ShareError::Passphrase);
        }
        // Without the identifier, backups that are made later, under another one, give the same secrets under all passphrases.
        let salt = if extendable { Vec::new() } else { [b"shamir", &identifier.to_be_bytes()[..]].concat() };
        Ok(Cipher { passphrase, salt, iterations: ROUND_ITERATIONS << exponent })
    }

    /// Encrypts a secret of an even length.
    pub fn encrypt(&self, secret: &[u8]) -> Zeroizing<Vec<u8>> {
        self.network(secret, ROUNDS)
    }

    /// Decrypts. Under another passphrase than the one that encrypted this gives another secret, and no error.
    pub fn decrypt(&self, encrypted: &[u8]) -> Zeroizing<Vec<u8>> {
        let [first, second, third, fourth] = ROUNDS;
        self.network(encrypted, [fourth, third, second, first])
    }

    fn network(&self, input: &[u8], rounds: [u8; 4]) -> Zeroizing<Vec<u8>> {
        let (left, right) = input.split_at(input.len() / 2);
        let mut left = Zeroizing::new(left.to_vec());
        let mut right = Zeroizing::new(right.to_vec());
        for round in rounds {
            let mask = self.round(round, &right);
            left.iter_mut().zip(mask.iter()).for_each(|(byte, mask)| *byte ^= mask);
            std::mem::swap(&mut left, &mut right);
        }
        Zeroizing::new([right.as_slice(), &left].concat())
    }

    fn round(&self, round: u8, half: &[u8]) -> Zeroizing<Vec<u8>> {
        let mut password = Zeroizing::new(Vec::with_capacity(1 + self.passphrase.len()));
        password.push(round);
        password.extend_from_slice(self.passphrase);
        let mut salt = Zeroizing::new(Vec::with_capacity(self.salt.len() + SECRET_BYTES_MAX));
        salt.extend_from_slice(&self.salt);
        salt.extend_from_slice(half);
        let mut mask = Zeroizing::new(vec![0; half.len()]);
        pbkdf2_hmac::<Sha256>(&password, &salt, self.iterations, &mut mask);
        mask
    }
}
