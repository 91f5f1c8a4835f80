//! What must hold of every backup, tried through the public face.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests: failing here is the test failing")]

mod common;

use std::collections::BTreeSet;

use common::stream;
use proptest::prelude::*;
use proptest::sample::Index;
use shares::{
    EXPONENT_MAX, GroupShortfall, Parameter, RandomError, Share, ShareError, Shortfall, combine, split, split_one_group,
};

const SECRET: [u8; 32] = *b"a seed that nobody should guess.";

/// A second copy of a share, as its holder would bring it.
fn read(share: &Share) -> Share {
    share.to_words().parse().unwrap()
}

fn backup(seed: u64, group_threshold: u8, groups: &[(u8, u8)]) -> Vec<Vec<Share>> {
    split(&SECRET, b"", 0, true, group_threshold, groups, &mut stream(seed)).unwrap()
}

/// The words of a share with one of them exchanged.
fn exchange(share: &Share, position: usize, word: &str) -> String {
    let text = share.to_words();
    let mut words: Vec<_> = text.split(' ').collect();
    words[position] = word;
    words.join(" ")
}

fn list() -> Vec<&'static str> {
    include_str!("../src/words.txt").lines().collect()
}

/// A shape that the standard allows: group threshold and groups.
fn shape() -> impl Strategy<Value = (u8, Vec<(u8, u8)>)> {
    let group = prop_oneof![Just((1u8, 1u8)), (2u8..=16).prop_flat_map(|threshold| (Just(threshold), threshold..=16))];
    proptest::collection::vec(group, 1..=16)
        .prop_flat_map(|groups| (1..=u8::try_from(groups.len()).unwrap(), Just(groups)))
}

/// The numbers below 16 in any order.
fn order() -> impl Strategy<Value = Vec<usize>> {
    Just((0..16).collect::<Vec<_>>()).prop_shuffle()
}

proptest! {
    // Each case runs PBKDF2 at least twice.
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_enough_of_any_shape_bring_the_secret_back_and_one_fewer_say_what_is_missing(
        (group_threshold, groups) in shape(),
        secret in (8usize..=32).prop_flat_map(|half| proptest::collection::vec(any::<u8>(), 2 * half)),
        passphrase in "[ -~]{0,40}",
        extendable: bool,
        exponent in 0u8..=1,
        seed in 0..1u64 << 32,
        group_order in order(),
        member_order in order(),
        extras: bool,
    ) {
        let passphrase = passphrase.as_bytes();
        let made = split(&secret, passphrase, exponent, extendable, group_threshold, &groups, &mut stream(seed)).unwrap();
        prop_assert_eq!(made.iter().map(Vec::len).collect::<Vec<_>>(), groups.iter().map(|(_, count)| usize::from(*count)).collect::<Vec<_>>());
        let mut chosen = Vec::new();
        for index in group_order.iter().filter(|index| **index < groups.len()).take(usize::from(group_threshold)) {
            let (threshold, count) = groups[*index];
            let members = member_order.iter().filter(|member| **member < usize::from(count));
            let take = usize::from(if extras { count } else { threshold });
            chosen.extend(members.take(take).map(|member| read(&made[*index][*member])));
        }
        prop_assert_eq!(&*combine(&chosen, passphrase).unwrap(), &secret);

        let last = chosen.last().map(|share| share.group_index()).unwrap();
        let needed = groups[usize::from(last)].0;
        while chosen.iter().filter(|share| share.group_index() == last).count() >= usize::from(needed) {
            chosen.pop();
        }
        let present = chosen.iter().filter(|share| share.group_index() == last).count();
        let missing = Shortfall {
            groups_complete: group_threshold - 1,
            groups_needed: group_threshold,
            groups: if present == 0 { Vec::new() } else { vec![GroupShortfall { group: last + 1, present, needed }] },
        };
        let expected = if chosen.is_empty() { ShareError::Empty } else { ShareError::TooFew(missing) };
        prop_assert_eq!(combine(&chosen, passphrase).err(), Some(expected));
    }

    #[test]
    fn words_say_what_was_asked_for(
        (group_threshold, groups) in shape(),
        extendable: bool,
        exponent in 0u8..=1,
        seed in 0..1u64 << 32,
    ) {
        let made = split(&SECRET, b"", exponent, extendable, group_threshold, &groups, &mut stream(seed)).unwrap();
        let mut seen = BTreeSet::new();
        for (group, (shares, (member_threshold, _))) in made.iter().zip(&groups).enumerate() {
            for (member, share) in shares.iter().enumerate() {
                let share = read(share);
                prop_assert_eq!((share.extendable(), share.iteration_exponent(), share.secret_bytes()), (extendable, exponent, 32));
                prop_assert_eq!((share.group_threshold(), usize::from(share.group_count())), (group_threshold, groups.len()));
                prop_assert_eq!((usize::from(share.group_index()), usize::from(share.member_index())), (group, member));
                prop_assert_eq!(share.member_threshold(), *member_threshold);
                prop_assert_eq!(share.identifier(), made[0][0].identifier());
                prop_assert!(share.identifier() < 1 << 15);
                prop_assert_eq!(share.to_words().split(' ').count(), 33);
                prop_assert!(seen.insert(share.to_words().to_string()));
            }
        }
    }

    #[test]
    fn nonsense_is_refused_and_never_more(text in "\\PC{0,400}", words in proptest::collection::vec(any::<Index>(), 0..70)) {
        prop_assert!(text.parse::<Share>().is_err());
        let list = list();
        let words: Vec<_> = words.iter().map(|word| list[word.index(list.len())]).collect();
        prop_assert!(words.join(" ").parse::<Share>().is_err());
    }

    #[test]
    fn swapped_words_are_found(seed in 0..1u64 << 32, one in 0usize..33, two in 0usize..33) {
        let share = &backup(seed, 1, &[(2, 2)])[0][0];
        let text = share.to_words();
        let mut words: Vec<_> = text.split(' ').collect();
        words.swap(one, two);
        let same = words.join(" ") == **text;
        prop_assert_eq!(words.join(" ").parse::<Share>().is_ok(), same);
    }
}

/// A sample of words in every place; that every other is found as well, a test of the checksum tries.
#[test]
fn a_single_changed_word_is_found_and_named() {
    for (length, extendable) in [(16, true), (32, false)] {
        let made = split_one_group(&SECRET[..length], b"", 0, extendable, 2, 2, &mut stream(5)).unwrap();
        let text = made[0].to_words();
        for (position, right) in text.split(' ').enumerate() {
            for word in list().into_iter().skip(position).step_by(61).filter(|word| *word != right) {
                let error = exchange(&made[0], position, word).parse::<Share>().unwrap_err();
                assert_eq!(error, ShareError::Damaged { suspect: Some(position + 1) }, "{word}");
            }
        }
    }
}

#[test]
fn damage_is_told_without_the_words() {
    let made = backup(1, 1, &[(2, 3)]);
    let text = made[0][0].to_words();
    let told = |text: String| text.parse::<Share>().unwrap_err().to_string();
    let unknown = told(exchange(&made[0][0], 6, "korrekt"));
    assert_eq!(unknown, "word 7 is not in the list of SLIP-0039; compare it with the paper");
    let wrong =
        told(exchange(&made[0][0], 6, if text.split(' ').nth(6) == Some("academic") { "zero" } else { "academic" }));
    assert_eq!(wrong, "the words do not fit together: word 7 is probably wrong; compare it with the paper");
    let reversed: Vec<_> = text.split(' ').rev().collect();
    assert_eq!(
        told(reversed.join(" ")),
        "the words do not fit together: compare each of them with the paper, and their order"
    );
    let short = told(text.rsplit_once(' ').unwrap().0.to_owned());
    assert_eq!(short, "32 words are no share: one of a 16-byte secret has 20, of a 32-byte secret 33");
    let lengths: Vec<_> = (0..100).filter(|count| told("nowhere ".repeat(*count)).starts_with("word 1 is")).collect();
    assert_eq!(lengths.len(), 25, "{lengths:?}");
    assert_eq!((lengths.first(), lengths.last()), (Some(&20), Some(&59)));
}

#[test]
fn words_are_read_in_capitals_and_between_any_white_space() {
    let made = backup(1, 1, &[(2, 3)]);
    let typed = format!("\t{}\r\n", made[0][0].to_words().to_uppercase().replace(' ', " \n "));
    assert_eq!(typed.parse::<Share>().unwrap().to_words(), made[0][0].to_words());
}

#[test]
fn shares_of_different_backups_are_refused_by_what_differs() {
    let plain = |exponent, extendable, threshold, groups: &[(u8, u8)]| {
        split(&SECRET, b"", exponent, extendable, threshold, groups, &mut stream(1)).unwrap()
    };
    let usual = plain(0, true, 1, &[(2, 3), (2, 3)]);
    let others = [
        (backup(2, 1, &[(2, 3), (2, 3)]), Parameter::Identifier),
        (plain(0, false, 1, &[(2, 3), (2, 3)]), Parameter::Extendable),
        (plain(1, true, 1, &[(2, 3), (2, 3)]), Parameter::Exponent),
        (plain(0, true, 2, &[(2, 3), (2, 3)]), Parameter::GroupThreshold),
        (plain(0, true, 1, &[(2, 3), (2, 3), (2, 3)]), Parameter::GroupCount),
        (plain(0, true, 1, &[(3, 3), (2, 3)]), Parameter::MemberThreshold),
        (split(&SECRET[..16], b"", 0, true, 1, &[(2, 3), (2, 3)], &mut stream(1)).unwrap(), Parameter::Length),
    ];
    for (other, parameter) in others {
        let shares = [read(&usual[0][0]), read(&usual[1][1]), read(&other[0][2])];
        assert_eq!(
            combine(&shares, b"").err(),
            Some(ShareError::Mixed { share: 3, other: 1, parameter }),
            "{parameter}"
        );
    }
    // With the same random number by chance only the digest tells: another secret, and the same identifier.
    let other = split(&[7; 32], b"", 0, true, 1, &[(2, 3), (2, 3)], &mut stream(1)).unwrap();
    let shares = [read(&usual[1][0]), read(&other[1][1])];
    assert_eq!(combine(&shares, b"").err(), Some(ShareError::Digest { group: Some(2) }));
    let shares = [read(&usual[1][0]), read(&usual[1][1]), read(&other[1][0])];
    assert_eq!(combine(&shares, b"").err(), Some(ShareError::SamePlace { share: 3, other: 1 }));
    let shares = [read(&other[1][2]), read(&usual[1][0]), read(&usual[1][1])];
    assert_eq!(combine(&shares, b"").err(), Some(ShareError::StrayShare(1)));
}

#[test]
fn groups_of_another_backup_are_found_by_the_other_groups() {
    let shape = [(1, 1), (2, 3), (2, 2)];
    let ours = backup(1, 2, &shape);
    let theirs = split(&[7; 32], b"", 0, true, 2, &shape, &mut stream(1)).unwrap();
    let shares = [read(&ours[0][0]), read(&theirs[1][0]), read(&theirs[1][1])];
    assert_eq!(combine(&shares, b"").err(), Some(ShareError::Digest { group: None }));
    let mut shares: Vec<_> = ours[..2].iter().flatten().map(read).collect();
    shares.extend(theirs[2].iter().map(read));
    assert_eq!(combine(&shares, b"").err(), Some(ShareError::StrayGroup(3)));
    // A group that is not complete cannot be judged, and does no harm.
    shares.pop();
    assert_eq!(*combine(&shares, b"").unwrap(), SECRET);
}

#[test]
fn a_share_given_twice_counts_once() {
    let made = backup(1, 1, &[(2, 3)]);
    let twice = [read(&made[0][1]), read(&made[0][1])];
    let error = combine(&twice, b"").unwrap_err();
    assert_eq!(error.to_string(), "too few shares: of group 1 there are 1 of 2");
    assert_eq!(*combine(&[read(&made[0][1]), read(&made[0][1]), read(&made[0][0])], b"").unwrap(), SECRET);
}

#[test]
fn another_passphrase_gives_another_secret_and_backups_agree_only_when_extendable() {
    for extendable in [true, false] {
        let one = split_one_group(&SECRET, b"right", 0, extendable, 2, 3, &mut stream(1)).unwrap();
        let two = split_one_group(&SECRET, b"right", 0, extendable, 2, 3, &mut stream(2)).unwrap();
        assert_eq!(*combine(&one, b"right").unwrap(), SECRET);
        assert_eq!(*combine(&two, b"right").unwrap(), SECRET);
        let (wrong, again) = (combine(&one, b"wrong").unwrap(), combine(&two, b"wrong").unwrap());
        assert!(wrong.len() == 32 && *wrong != SECRET);
        assert_eq!(wrong == again, extendable);
    }
}

#[test]
fn what_the_standard_does_not_allow_is_refused_by_name() {
    let tried = |bytes: usize, passphrase: &[u8], exponent, group_threshold, groups: &[(u8, u8)]| {
        // A refusal comes before any randomness is asked for, but that of the passphrase.
        let mut asked = 0;
        let random = &mut |slice: &mut [u8]| {
            asked += slice.len();
            stream(0)(slice)
        };
        let error = split(&vec![1; bytes], passphrase, exponent, true, group_threshold, groups, random).unwrap_err();
        assert!(asked <= 2);
        error
    };
    for bytes in [0, 2, 14, 15, 17, 31, 63, 65, 66, 1 << 20] {
        assert_eq!(tried(bytes, b"", 0, 1, &[(2, 3)]), ShareError::SecretLength(bytes));
    }
    assert_eq!(tried(32, b"", EXPONENT_MAX + 1, 1, &[(2, 3)]), ShareError::Exponent(16));
    for passphrase in [&b"\n"[..], b"\x7f", b"a\0", "gr\u{fc}n".as_bytes(), b"\xff"] {
        assert_eq!(tried(32, passphrase, 0, 1, &[(2, 3)]), ShareError::Passphrase);
        assert_eq!(combine(&backup(1, 1, &[(2, 3)])[0], passphrase).err(), Some(ShareError::Passphrase));
    }
    for (threshold, count) in [(0, 1), (0, 0), (1, 0), (2, 1), (17, 16), (1, 17), (17, 17), (1, 300)] {
        assert_eq!(tried(32, b"", 0, threshold, &vec![(1, 1); count]), ShareError::Groups { threshold, count });
    }
    for (threshold, count) in [(0, 1), (0, 0), (1, 0), (3, 2), (17, 16), (2, 17), (17, 17), (255, 255)] {
        assert_eq!(
            tried(32, b"", 0, 1, &[(1, 1), (threshold, count)]),
            ShareError::Members { group: 2, threshold, count }
        );
    }
    assert_eq!(tried(32, b"", 0, 1, &[(1, 2)]), ShareError::Copies { group: 1, count: 2 });
    assert_eq!(combine(&[], b"").err(), Some(ShareError::Empty));
}

#[test]
fn without_randomness_there_are_no_shares() {
    // Identifier; group digest; for each group its first value and its digest.
    for fails_at in 0..6 {
        let mut calls = 0;
        let random = &mut |slice: &mut [u8]| {
            calls += 1;
            if calls > fails_at { Err(RandomError) } else { stream(calls)(slice) }
        };
        let error = split(&SECRET, b"", 0, true, 2, &[(3, 3), (3, 4)], random).unwrap_err();
        assert_eq!(error, ShareError::Random(RandomError), "{fails_at}");
    }
}

#[test]
fn a_share_does_not_show_its_value() {
    let share = &backup(1, 1, &[(2, 3)])[0][1];
    let shown = format!("{share:?} {share:#?}");
    assert!(shown.contains("member_threshold: 2"), "{shown}");
    let text = share.to_words();
    assert!(!text.split(' ').skip(4).any(|word| shown.contains(word)), "{shown}");
    assert!(!shown.contains("value"), "{shown}");
}
