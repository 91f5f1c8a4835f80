use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::cipher::Cipher;
use crate::field::Point;
use crate::share::Share;
use crate::sharing::{Flaw, recover};
use crate::{GroupShortfall, Parameter, ShareError, Shortfall};

/// A group's shares with their places in the list, counted from 1, by member index: a share given twice counts once.
type Group<'a> = BTreeMap<u8, (usize, &'a Share)>;

/// Brings a secret back from the shares of one backup, in any order.
///
/// More shares or groups than needed are welcome: each has to agree with the others, so they tell a wrong one. A group that is not
/// complete does no harm while enough others are. The same share twice counts once.
///
/// Refuses, in this order: no shares; a passphrase that is not of printable ASCII characters; shares of different backups; two
/// contents for one place; too few shares, saying what is missing; shares that do not fit together. Under another passphrase than
/// the one that it was split with another secret comes back, and no error: compare a fingerprint. The work grows with the shares'
/// [`Share::iteration_exponent`]; at 15 it takes minutes.
pub fn combine(shares: &[Share], passphrase: &[u8]) -> Result<Zeroizing<Vec<u8>>, ShareError> {
    let first = shares.first().ok_or(ShareError::Empty)?.header;
    let cipher = Cipher::new(passphrase, first.identifier, first.extendable, first.exponent)?;
    Ok(cipher.decrypt(&encrypted(shares, first.group_threshold)?))
}

/// The encrypted secret.
fn encrypted(shares: &[Share], group_threshold: u8) -> Result<Zeroizing<Vec<u8>>, ShareError> {
    let groups = sort(shares)?;
    let (complete, incomplete): (Vec<_>, Vec<_>) =
        groups.iter().partition(|(_, group)| group.len() >= usize::from(needed(group)));
    if complete.len() < usize::from(group_threshold) {
        let missing = |(index, group): (&u8, &Group<'_>)| GroupShortfall {
            group: index + 1,
            present: group.len(),
            needed: needed(group),
        };
        return Err(ShareError::TooFew(Shortfall {
            groups_complete: u8::try_from(complete.len()).unwrap_or_default(),
            groups_needed: group_threshold,
            groups: incomplete.into_iter().map(missing).collect(),
        }));
    }
    let mut secrets = Vec::with_capacity(complete.len());
    for (index, group) in complete {
        secrets.push((*index, group_secret(*index, group)?));
    }
    let points: Vec<_> = secrets.iter().map(|(x, values)| Point { x: *x, values }).collect();
    recover(group_threshold, &points).map_err(|flaw| match flaw {
        Flaw::Digest => ShareError::Digest { group: None },
        Flaw::Stray(position) => ShareError::StrayGroup(points.get(position).map_or(0, |point| point.x + 1)),
    })
}

/// Sorts shares into groups; refuses those that cannot be of one backup.
fn sort(shares: &[Share]) -> Result<BTreeMap<u8, Group<'_>>, ShareError> {
    let mut groups: BTreeMap<u8, Group<'_>> = BTreeMap::new();
    for (place, share) in (1..).zip(shares) {
        if let Some(parameter) = shares.first().and_then(|first| difference(first, share)) {
            return Err(ShareError::Mixed { share: place, other: 1, parameter });
        }
        let group = groups.entry(share.header.group_index).or_default();
        // The earliest of the group, not that of the lowest index: later ones are measured by it.
        let earliest = group.values().min_by_key(|(place, _)| *place);
        if let Some((other, _)) = earliest.filter(|(_, other)| other.member_threshold() != share.member_threshold()) {
            return Err(ShareError::Mixed { share: place, other: *other, parameter: Parameter::MemberThreshold });
        }
        let (other, present) = *group.entry(share.header.member_index).or_insert((place, share));
        if present.value != share.value {
            return Err(ShareError::SamePlace { share: place, other });
        }
    }
    Ok(groups)
}

/// In what two shares differ that is the same in a whole backup.
fn difference(one: &Share, other: &Share) -> Option<Parameter> {
    let (a, b) = (&one.header, &other.header);
    let differs = [
        (a.identifier != b.identifier, Parameter::Identifier),
        (a.extendable != b.extendable, Parameter::Extendable),
        (a.exponent != b.exponent, Parameter::Exponent),
        (a.group_threshold != b.group_threshold, Parameter::GroupThreshold),
        (a.group_count != b.group_count, Parameter::GroupCount),
        (one.value.len() != other.value.len(), Parameter::Length),
    ];
    differs.into_iter().find_map(|(differs, parameter)| differs.then_some(parameter))
}

/// Members that complete a group.
fn needed(group: &Group<'_>) -> u8 {
    group.values().next().map_or(1, |(_, share)| share.header.member_threshold)
}

fn group_secret(index: u8, group: &Group<'_>) -> Result<Zeroizing<Vec<u8>>, ShareError> {
    let points: Vec<_> = group.iter().map(|(x, (_, share))| Point { x: *x, values: &share.value }).collect();
    recover(needed(group), &points).map_err(|flaw| match flaw {
        Flaw::Digest => ShareError::Digest { group: Some(index + 1) },
        Flaw::Stray(position) => ShareError::StrayShare(group.values().nth(position).map_or(0, |(place, _)| *place)),
    })
}
