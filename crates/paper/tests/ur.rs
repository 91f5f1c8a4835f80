//! Messages in parts: published vectors, an independent writer and reader, any order and loss, and parts that lie.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test, failing here is the test failing")]

use std::collections::BTreeSet;

use paper::qr::{Correction, Qr};
use paper::ur::{
    Collector, FRAGMENT_BYTES_MAX, FRAGMENTS_MAX, PAPER_FRAGMENT_BYTES, PAYLOAD_BYTES_MAX, Parts, Progress, Received,
    SCREEN_FRAGMENT_BYTES, UrError,
};
use proptest::prelude::*;

const KIND: &str = "claviger-bundle";

/// The message of 256 bytes of BCR-2024-001 and of the reference implementations' tests.
const WOLF: &str = "\
    916ec65cf77cadf55cd7f9cda1a1030026ddd42e905b77adc36e4f2d3ccba44f7f04f2de44f42d84c374a0e149136f25\
    b01852545961d55f7f7a8cde6d0e2ec43f3b2dcb644a2209e8c9e34af5c4747984a5e873c9cf5f965e25ee29039fdf8c\
    a74f1c769fc07eb7ebaec46e0695aea6cbd60b3ec4bbff1b9ffe8a9e7240129377b9d3711ed38d412fbb4442256f1e6f\
    595e0fc57fed451fb0a0101fb76b1fb1e1b88cfdfdaa946294a47de8fff173f021c0e6f65b05c0a494e50791270a0050\
    a73ae69b6725505a2ec8a5791457c9876dd34aadd192a53aa0dc66b556c0c215c7ceb8248b717c22951e65305b56a370\
    6e3e86eb01c803bbf915d80edcd64d4d";

/// Parts of that message in fragments of at most 30 bytes: reference implementation bc-ur, test/test.cpp, `test_ur_encoder`, with
/// the word list of 4 October 2020 as in URKit, URTests.swift.
const WOLF_PARTS: [&str; 20] = [
    "ur:bytes/1-9/lpadascfadaxcywenbpljkhdcahkadaemejtswhhylkepmykhhtsytsnoyoyaxaedsuttydmmhhpktpmsrjtdkgslpgh",
    "ur:bytes/2-9/lpaoascfadaxcywenbpljkhdcagwdpfnsboxgwlbaawzuefywkdplrsrjynbvygabwjldapfcsgmghhkhstlrdcxaefz",
    "ur:bytes/3-9/lpaxascfadaxcywenbpljkhdcahelbknlkuejnbadmssfhfrdpsbiegecpasvssovlgeykssjykklronvsjksopdzmol",
    "ur:bytes/4-9/lpaaascfadaxcywenbpljkhdcasotkhemthydawydtaxneurlkosgwcekonertkbrlwmplssjtammdplolsbrdzcrtas",
    "ur:bytes/5-9/lpahascfadaxcywenbpljkhdcatbbdfmssrkzmcwnezelennjpfzbgmuktrhtejscktelgfpdlrkfyfwdajldejokbwf",
    "ur:bytes/6-9/lpamascfadaxcywenbpljkhdcackjlhkhybssklbwefectpfnbbectrljectpavyrolkzczcpkmwidmwoxkilghdsowp",
    "ur:bytes/7-9/lpatascfadaxcywenbpljkhdcavszmwnjkwtclrtvaynhpahrtoxmwvwatmedibkaegdosftvandiodagdhthtrlnnhy",
    "ur:bytes/8-9/lpayascfadaxcywenbpljkhdcadmsponkkbbhgsoltjntegepmttmoonftnbuoiyrehfrtsabzsttorodklubbuyaetk",
    "ur:bytes/9-9/lpasascfadaxcywenbpljkhdcajskecpmdckihdyhphfotjojtfmlnwmadspaxrkytbztpbauotbgtgtaeaevtgavtny",
    "ur:bytes/10-9/lpbkascfadaxcywenbpljkhdcahkadaemejtswhhylkepmykhhtsytsnoyoyaxaedsuttydmmhhpktpmsrjtwdkiplzs",
    "ur:bytes/11-9/lpbdascfadaxcywenbpljkhdcahelbknlkuejnbadmssfhfrdpsbiegecpasvssovlgeykssjykklronvsjkvetiiapk",
    "ur:bytes/12-9/lpbnascfadaxcywenbpljkhdcarllaluzmdmgstospeyiefmwejlwtpedamktksrvlcygmzemovovllarodtmtbnptrs",
    "ur:bytes/13-9/lpbtascfadaxcywenbpljkhdcamtkgtpknghchchyketwsvwgwfdhpgmgtylctotzopdrpayoschcmhplffziachrfgd",
    "ur:bytes/14-9/lpbaascfadaxcywenbpljkhdcapazewnvonnvdnsbyleynwtnsjkjndeoldydkbkdslgjkbbkortbelomueekgvstegt",
    "ur:bytes/15-9/lpbsascfadaxcywenbpljkhdcaynmhpddpzmversbdqdfyrehnqzlugmjzmnmtwmrouohtstgsbsahpawkditkckynwt",
    "ur:bytes/16-9/lpbeascfadaxcywenbpljkhdcawygekobamwtlihsnpalnsghenskkiynthdzotsimtojetprsttmukirlrsbtamjtpd",
    "ur:bytes/17-9/lpbyascfadaxcywenbpljkhdcamklgftaxykpewyrtqzhydntpnytyisincxmhtbceaykolduortotiaiaiafhiaoyce",
    "ur:bytes/18-9/lpbgascfadaxcywenbpljkhdcahkadaemejtswhhylkepmykhhtsytsnoyoyaxaedsuttydmmhhpktpmsrjtntwkbkwy",
    "ur:bytes/19-9/lpbwascfadaxcywenbpljkhdcadekicpaajootjzpsdrbalpeywllbdsnbinaerkurspbncxgslgftvtsrjtksplcpeo",
    "ur:bytes/20-9/lpbbascfadaxcywenbpljkhdcayapmrleeleaxpasfrtrdkncffwjyjzgyetdmlewtkpktgllepfrltataztksmhkbot",
];

fn wolf() -> Vec<u8> {
    hex::decode(WOLF).unwrap()
}

fn collect(collector: &mut Collector, parts: impl IntoIterator<Item = impl AsRef<str>>) -> Option<Vec<u8>> {
    parts.into_iter().find_map(|part| match collector.receive(part.as_ref()).unwrap() {
        Received::Whole(payload) => Some(payload),
        Received::NotYet { .. } | Received::AlreadyGiven => None,
    })
}

/// A part as anybody could show it.
fn part(place: &str, heads: &str, data: &[u8]) -> String {
    let length = u8::try_from(data.len()).unwrap();
    let bytes = [&hex::decode(heads).unwrap(), [0x58, length].as_slice(), data].concat();
    format!("ur:{KIND}/{place}/{}", ur::bytewords::encode(&bytes, ur::bytewords::Style::Minimal))
}

#[test]
fn published_message_in_one_part() {
    let expected = "ur:bytes/hdeymejtswhhylkepmykhhtsytsnoyoyaxaedsuttydmmhhpktpmsrjtgwdpfnsboxgwlbaawzuefywkdplrsrjynbvygabwjldapfcsdwkbrkch";
    let mut parts = Parts::new("bytes", &wolf()[..50], 1000).unwrap();
    assert_eq!(parts.needed(), 1);
    assert_eq!(parts.spare(), None);
    for _ in 0..3 {
        assert_eq!(parts.next().unwrap().to_ascii_lowercase(), expected);
    }
    let mut collector = Collector::new("bytes").unwrap();
    assert_eq!(collector.receive(expected), Ok(Received::Whole(wolf()[..50].to_vec())));
    assert_eq!(collector.receive(expected), Ok(Received::AlreadyGiven));
}

/// BCR-2020-005, "UR Encoding": the example of a message in one part.
#[test]
fn published_example_of_the_standard_is_read() {
    let text = "ur:bytes/hdcxvwskgscmfsrsroluaettbboxsnjnfptbonsstktnrnbasgbyjypaaybnjzfrfyisecmwbzrk";
    let mut collector = Collector::new("bytes").unwrap();
    let Received::Whole(payload) = collector.receive(text).unwrap() else { unreachable!("one part is all") };
    assert_eq!(payload.len(), 32);
    let again = Parts::new("bytes", &payload, 100).unwrap().next().unwrap();
    assert_eq!(again.to_ascii_lowercase(), text);
}

#[test]
fn published_message_in_many_parts() {
    let parts = Parts::new("bytes", &wolf(), 30).unwrap();
    assert_eq!(parts.needed(), 9);
    let written: Vec<String> = parts.take(20).map(|part| part.to_ascii_lowercase()).collect();
    assert_eq!(written, WOLF_PARTS);
    let mut collector = Collector::new("bytes").unwrap();
    assert_eq!(collect(&mut collector, WOLF_PARTS), Some(wolf()));
    let mut mixed = Collector::new("bytes").unwrap();
    assert_eq!(collect(&mut mixed, &WOLF_PARTS[9..]), None);
    assert_eq!(collect(&mut mixed, &WOLF_PARTS[..6]), Some(wolf()));
}

#[test]
fn a_part_is_capital_letters_that_small_codes_hold() {
    for (fragment, size) in [(SCREEN_FRAGMENT_BYTES, 61), (PAPER_FRAGMENT_BYTES, 85), (FRAGMENT_BYTES_MAX, 177)] {
        let part = Parts::new(KIND, &[7; 20_000], fragment).unwrap().nth(5_000).unwrap();
        let qr = Qr::new(&part, Correction::Medium).unwrap();
        assert!(qr.size() <= size, "{fragment} bytes make {} modules", qr.size());
        let small = Qr::new(&part.to_ascii_lowercase(), Correction::Medium).map_or(usize::MAX, |qr| qr.size());
        assert!(qr.size() < small);
    }
}

#[test]
fn the_spare_part_stands_in_for_any_other() {
    for bytes in [40, 700, 3_000] {
        let payload: Vec<u8> = (0..bytes).map(|at: usize| at.to_le_bytes()[0]).collect();
        let parts = Parts::new(KIND, &payload, 30).unwrap();
        let (all, spare) = (parts.first_pass(), parts.spare().unwrap());
        for lost in 0..all.len() {
            let mut rest = all.clone();
            rest[lost].clone_from(&spare);
            assert_eq!(collect(&mut Collector::new(KIND).unwrap(), rest), Some(payload.clone()), "without {lost}");
        }
    }
}

#[test]
fn progress_counts_what_was_new() {
    let parts: Vec<String> = Parts::new(KIND, &wolf(), 30).unwrap().take(9).collect();
    let mut collector = Collector::new(KIND).unwrap();
    assert_eq!(collector.progress(), None);
    let progress = |received| Progress { received, needed: 9 };
    assert_eq!(collector.receive(&parts[4]), Ok(Received::NotYet { new: true, progress: progress(1) }));
    assert_eq!(collector.receive(&parts[4]), Ok(Received::NotYet { new: false, progress: progress(1) }));
    assert_eq!(collector.receive(&parts[0]), Ok(Received::NotYet { new: true, progress: progress(2) }));
    assert_eq!(collector.progress(), Some(progress(2)));
    assert_eq!(collect(&mut collector, &parts), Some(wolf()));
    assert_eq!(collector.progress(), Some(progress(9)));
    assert_eq!(collector.receive(&parts[4]), Ok(Received::AlreadyGiven));
    assert_eq!(collect(&mut collector, &parts), None);
}

#[test]
fn other_kinds_other_messages_and_other_text_are_refused_by_name() {
    let mut collector = Collector::new(KIND).unwrap();
    let other = Parts::new("claviger-share", &wolf(), 30).unwrap().next().unwrap();
    let refusal = UrError::OtherKind { expected: KIND.to_owned(), found: "claviger-share".to_owned() };
    assert_eq!(refusal.to_string(), "this is part of a \"claviger-share\", and a \"claviger-bundle\" is wanted here");
    assert_eq!(collector.receive(&other), Err(refusal));
    let mut first = Parts::new(KIND, &wolf(), 30).unwrap();
    collector.receive(&first.next().unwrap()).unwrap();
    for payload in [&wolf()[1..], &[&wolf()[1..], &[0]].concat(), &wolf()[..10]] {
        let other = Parts::new(KIND, payload, 30).unwrap().next().unwrap();
        assert_eq!(collector.receive(&other), Err(UrError::OtherMessage));
    }
    let otherwise_cut = Parts::new(KIND, &wolf(), 40).unwrap().next().unwrap();
    assert_eq!(collector.receive(&otherwise_cut), Err(UrError::OtherMessage));
    for text in ["", "ur", "bitcoin:bc1q", "https://example.org", "\u{fc}r:x/y"] {
        assert_eq!(collector.receive(text), Err(UrError::NotUr), "{text}");
    }
    for text in ["ur:", "ur:claviger-bundle", "ur:<b>/aeae", "ur:/aeae", &format!("ur:{}/aeae", "x".repeat(41))] {
        assert_eq!(collector.receive(text), Err(UrError::Form), "{text}");
    }
    assert_eq!(collect(&mut collector, first.take(8)), Some(wolf()));
}

#[test]
fn misread_parts_are_refused_and_do_no_harm() {
    let parts: Vec<String> = Parts::new(KIND, &wolf(), 30).unwrap().take(9).collect();
    let mut collector = Collector::new(KIND).unwrap();
    for part in &parts {
        let letter = part.rfind(|letter: char| letter != 'A').unwrap();
        let misread = [&part[..letter], "A", &part[letter + 1..]].concat();
        assert_eq!(collector.receive(&misread), Err(UrError::Misread));
        assert_eq!(collector.receive(&part[..part.len() - 2]), Err(UrError::Misread));
    }
    assert_eq!(collector.progress(), None);
    // Two places that differ: outside and inside the checksum.
    let (place, rest) = (parts[2].find("/3-9/").unwrap(), "/4-9/");
    let renumbered = [&parts[2][..place], rest, &parts[2][place + rest.len()..]].concat();
    assert_eq!(collector.receive(&renumbered), Err(UrError::Form));
    assert_eq!(collect(&mut collector, &parts), Some(wolf()));
}

#[test]
fn claims_are_bounded_before_memory_is_taken() {
    let mut collector = Collector::new(KIND).unwrap();
    let data = [0xaa; 100];
    // [number, count, length, checksum, data]: 85 01 19xxxx 1axxxxxxxx 00.
    let too_many = part("1-4294967295", "85011affffffff1affffffff00", &data);
    assert_eq!(collector.receive(&too_many), Err(UrError::TooManyParts(4_294_967_295)));
    let too_many = part("1-4097", "85011910011a0006400000", &data);
    assert_eq!(collector.receive(&too_many), Err(UrError::TooManyParts(FRAGMENTS_MAX + 1)));
    let too_long = part("1-2", "8501021affffffff00", &data);
    let limit = PAYLOAD_BYTES_MAX;
    assert_eq!(collector.receive(&too_long), Err(UrError::TooLong { bytes: 4_294_967_295, limit }));
    let text = format!("ur:{KIND}/{}", "ae".repeat(PAYLOAD_BYTES_MAX + 200));
    assert_eq!(collector.receive(&text), Err(UrError::TooLong { bytes: text.len() / 2, limit }));
    // Lengths that the fragments cannot have, and numbers that parts cannot have.
    for (place, heads) in [
        ("1-2", "850102186400"),
        ("1-2", "85010218c900"),
        ("1-0", "850100186400"),
        ("1-1", "8501010000"),
        ("0-2", "85000218c800"),
        ("1-2", "8501021900c800"),
    ] {
        assert_eq!(collector.receive(&part(place, heads, &data)), Err(UrError::Form), "{heads}");
    }
    assert_eq!(collector.receive(&part("1-2", "85010218c800", &[])), Err(UrError::Form));
    assert_eq!(collector.progress(), None);
    let fits = collector.receive(&part("1-2", "85010218c800", &data));
    assert_eq!(fits, Ok(Received::NotYet { new: true, progress: Progress { received: 1, needed: 2 } }));
}

#[test]
fn limits_are_exact() {
    for limit in [0, 1, 10, 23, 24, 200, 255, 256, 1_000] {
        for fragment in [10, 50, 1_500] {
            let payload = vec![9; limit + 1];
            let within: Vec<String> = Parts::new(KIND, &payload[..limit], fragment).unwrap().take(150).collect();
            let mut collector = Collector::with_limit(KIND, limit).unwrap();
            assert_eq!(collect(&mut collector, &within).as_deref(), Some(&payload[..limit]), "{limit}");
            let mut collector = Collector::with_limit(KIND, limit).unwrap();
            let beyond = Parts::new(KIND, &payload, fragment).unwrap().next().unwrap();
            assert!(matches!(collector.receive(&beyond), Err(UrError::TooLong { .. })), "{limit}");
        }
    }
    let most = vec![3; PAYLOAD_BYTES_MAX + 1];
    let mut parts = Parts::new(KIND, &most[1..], FRAGMENT_BYTES_MAX).unwrap();
    assert_eq!(collect(&mut Collector::new(KIND).unwrap(), parts.by_ref().take(700)).as_deref(), Some(&most[1..]));
    let refusal = UrError::TooLong { bytes: PAYLOAD_BYTES_MAX + 1, limit: PAYLOAD_BYTES_MAX };
    assert_eq!(Parts::new(KIND, &most, 1_000).err(), Some(refusal));
    assert_eq!(Parts::new(KIND, &most[..100_000], 10).err(), Some(UrError::TooManyParts(10_001)));
    for fragment in [0, 9, FRAGMENT_BYTES_MAX + 1] {
        assert_eq!(Parts::new(KIND, b"x", fragment).err(), Some(UrError::FragmentBytes(fragment)));
    }
    for kind in ["", "Bundle", "a/b", "b\u{fc}ndel", &"x".repeat(41)] {
        assert_eq!(Parts::new(kind, b"x", 100).err(), Some(UrError::KindName));
        assert_eq!(Collector::new(kind).err(), Some(UrError::KindName));
    }
}

#[test]
fn parts_that_contradict_each_other_are_all_forgotten() {
    let honest: Vec<String> = Parts::new(KIND, &[0; 198], 100).unwrap().take(2).collect();
    let mut collector = Collector::new(KIND).unwrap();
    // Two parts that say that the first fragment is this, and that it is something else.
    assert!(collector.receive(&part("1-2", "85010218c81a12345678", &[1; 100])).is_ok());
    assert_eq!(collector.receive(&part("1-2", "85010218c81a12345678", &[2; 100])), Err(UrError::Contradiction));
    assert_eq!(collector.progress(), None);
    // All parts fit together, and yet the message is not what each of them says it is.
    assert!(collector.receive(&part("1-2", "85010218c81a12345678", &[1; 100])).is_ok());
    assert_eq!(collector.receive(&part("2-2", "85020218c81a12345678", &[2; 100])), Err(UrError::Contradiction));
    assert_eq!(collect(&mut collector, honest), Some(vec![0; 198]));
}

#[test]
fn a_message_that_is_no_byte_string_is_refused() {
    let words = ur::bytewords::encode(b"\x65hello", ur::bytewords::Style::Minimal);
    let mut collector = Collector::new(KIND).unwrap();
    assert_eq!(collector.receive(&format!("ur:{KIND}/{words}")), Err(UrError::NotBytes));
    let mut others = ur::Encoder::new(&[0x65; 60], 20, KIND).unwrap();
    let refusals: Vec<_> = (0..3).filter_map(|_| collector.receive(&others.next_part().unwrap()).err()).collect();
    assert_eq!(refusals, [UrError::NotBytes]);
    assert_eq!(collect(&mut collector, Parts::new(KIND, b"good", 100).unwrap().take(1)), Some(b"good".to_vec()));
}

/// How many of these sets of fragments are independent: elimination as taught at school.
fn rank(mut rows: Vec<Vec<bool>>, columns: usize) -> usize {
    let mut rank = 0;
    for column in 0..columns {
        let Some(found) = (rank..rows.len()).find(|row| rows[*row][column]) else { continue };
        rows.swap(rank, found);
        let pivot = rows[rank].clone();
        for (place, row) in rows.iter_mut().enumerate() {
            if place != rank && row[column] {
                row.iter_mut().zip(&pivot).for_each(|(bit, other)| *bit ^= other);
            }
        }
        rank += 1;
    }
    rank
}

fn wrapped(payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    let head = match payload.len() {
        0..=23 => vec![0x40 | length[1]],
        24..=255 => vec![0x58, length[1]],
        _ => vec![0x59, length[0], length[1]],
    };
    [head, payload.to_vec()].concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Parts come in any order, some often, most never: the message comes exactly when they determine it, and not before.
    #[test]
    fn whatever_comes_gives_the_payload_or_an_honest_not_yet(
        payload in prop::collection::vec(any::<u8>(), 0..600),
        fragment in 10_usize..80,
        numbers in prop::collection::vec(0_usize..120, 1..90),
    ) {
        let all: Vec<String> = Parts::new(KIND, &payload, fragment).unwrap().take(120).collect();
        let needed = Parts::new(KIND, &payload, fragment).unwrap().needed();
        let mut theirs = ur::fountain::Encoder::new(&wrapped(&payload), fragment).unwrap();
        prop_assert_eq!(theirs.fragment_count(), needed);
        let fragments: Vec<Vec<bool>> = (0..120)
            .map(|_| {
                let mixed: BTreeSet<usize> = theirs.next_part().indexes().into_iter().collect();
                (0..needed).map(|place| mixed.contains(&place)).collect()
            })
            .collect();
        let mut collector = Collector::new(KIND).unwrap();
        let mut seen = Vec::new();
        for number in numbers {
            let before = rank(seen.clone(), needed);
            seen.push(fragments[number].clone());
            let received = rank(seen.clone(), needed);
            let expected = match received {
                _ if before == needed => Received::AlreadyGiven,
                _ if received == needed => Received::Whole(payload.clone()),
                _ => Received::NotYet { new: received > before, progress: Progress { received, needed } },
            };
            prop_assert_eq!(collector.receive(&all[number]).unwrap(), expected);
        }
    }

    /// An independent implementation writes the same parts and reads ours, and ours reads its.
    #[test]
    fn an_independent_implementation_agrees(
        payload in prop::collection::vec(any::<u8>(), 80..3_000),
        fragment in 10_usize..80,
        skipped in 0_usize..200,
    ) {
        let mut ours = Parts::new(KIND, &payload, fragment).unwrap();
        let mut theirs = ur::Encoder::new(&wrapped(&payload), fragment, KIND).unwrap();
        for _ in 0..skipped {
            prop_assert_eq!(ours.next().unwrap().to_ascii_lowercase(), theirs.next_part().unwrap());
        }
        let (mut our_reader, mut their_reader) = (Collector::new(KIND).unwrap(), ur::Decoder::default());
        let mut read = None;
        while read.is_none() {
            read = collect(&mut our_reader, [theirs.next_part().unwrap()]);
        }
        prop_assert_eq!(read, Some(payload.clone()));
        while !their_reader.complete() {
            their_reader.receive(&ours.next().unwrap()).unwrap();
        }
        prop_assert_eq!(their_reader.message().unwrap(), Some(wrapped(&payload)));
    }

    #[test]
    fn nonsense_is_refused_and_never_more(text in "(ur:claviger-bundle/)?[0-9]{0,3}-?[0-9]{0,3}/?[a-z ]{0,40}") {
        let mut collector = Collector::new(KIND).unwrap();
        prop_assert!(collector.receive(&text).is_err());
        prop_assert_eq!(collector.progress(), None);
    }
}
