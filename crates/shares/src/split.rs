use crate::cipher::Cipher;
use crate::share::{Header, Share};
use crate::sharing::deal;
use crate::{EXPONENT_MAX, MEMBERS_MAX, RandomError, SECRET_BYTES_MAX, SECRET_BYTES_MIN, ShareError};

const IDENTIFIER_MASK: u16 = 0x7fff;

/// Splits a secret among groups of people: `group_threshold` of the groups bring it back, a group with as many of its members as
/// its pair `(member_threshold, member_count)` says. Returns each group's shares.
///
/// The secret has 16 to 64 bytes, and an even number. `passphrase` is of printable ASCII characters and may be empty; whoever brings
/// the secret back needs it besides the shares. `exponent` (0 to 15) doubles the work of each guess at it with each step; 1 is usual.
/// `extendable` is usual today: later backups of the secret then give the same one under every passphrase. `random` fills the whole
/// slice that it is given with unpredictable bytes.
///
/// Before anyone relies on the shares, have them all read back from paper, and bring the secret back from them.
pub fn split(
    secret: &[u8],
    passphrase: &[u8],
    exponent: u8,
    extendable: bool,
    group_threshold: u8,
    groups: &[(u8, u8)],
    random: &mut dyn FnMut(&mut [u8]) -> Result<(), RandomError>,
) -> Result<Vec<Vec<Share>>, ShareError> {
    let group_count = check(secret, exponent, group_threshold, groups)?;
    let mut identifier = [0; 2];
    random(&mut identifier)?;
    let identifier = u16::from_be_bytes(identifier) & IDENTIFIER_MASK;
    let encrypted = Cipher::new(passphrase, identifier, extendable, exponent)?.encrypt(secret);
    let group_secrets = deal(group_threshold, group_count, &encrypted, random)?;
    let mut shares = Vec::with_capacity(groups.len());
    for ((group_index, group_secret), (member_threshold, member_count)) in
        (0..).zip(group_secrets).zip(groups.iter().copied())
    {
        let share = |(member_index, value)| {
            let header = Header {
                identifier,
                extendable,
                exponent,
                group_index,
                group_threshold,
                group_count,
                member_index,
                member_threshold,
            };
            Share { header, value }
        };
        let values = deal(member_threshold, member_count, &group_secret, random)?;
        shares.push((0..).zip(values).map(share).collect());
    }
    Ok(shares)
}

/// Splits a secret among `count` people, any `threshold` of whom bring it back: one group. For the rest see [`split`].
pub fn split_one_group(
    secret: &[u8],
    passphrase: &[u8],
    exponent: u8,
    extendable: bool,
    threshold: u8,
    count: u8,
    random: &mut dyn FnMut(&mut [u8]) -> Result<(), RandomError>,
) -> Result<Vec<Share>, ShareError> {
    let groups = split(secret, passphrase, exponent, extendable, 1, &[(threshold, count)], random)?;
    Ok(groups.into_iter().flatten().collect())
}

/// Whether the standard allows it, before randomness is asked for. Returns the number of groups.
fn check(secret: &[u8], exponent: u8, group_threshold: u8, groups: &[(u8, u8)]) -> Result<u8, ShareError> {
    if !(SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&secret.len()) || !secret.len().is_multiple_of(2) {
        return Err(ShareError::SecretLength(secret.len()));
    }
    if exponent > EXPONENT_MAX {
        return Err(ShareError::Exponent(exponent));
    }
    let within = |threshold: u8, count: u8| threshold >= 1 && threshold <= count && count <= MEMBERS_MAX;
    let group_count = u8::try_from(groups.len()).ok().filter(|count| within(group_threshold, *count));
    let group_count = group_count.ok_or(ShareError::Groups { threshold: group_threshold, count: groups.len() })?;
    for (group, (threshold, count)) in (1..).zip(groups.iter().copied()) {
        if !within(threshold, count) {
            return Err(ShareError::Members { group, threshold, count });
        }
        if threshold == 1 && count > 1 {
            return Err(ShareError::Copies { group, count });
        }
    }
    Ok(group_count)
}
