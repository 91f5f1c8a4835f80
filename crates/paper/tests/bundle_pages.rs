//! A message on paper, scanned in and put together again.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "in a test, failing here is the test failing"
)]

#[allow(dead_code, reason = "each test file uses its part of the helpers")]
mod common;

use common::{Area, Code, Printed, nothing_overlaps};
use paper::pdf::{BundlePages, PdfError, WIDTH, bundle_pages};
use paper::ur::{Collector, PAPER_FRAGMENT_BYTES, Parts, Received};

const KIND: &str = "claviger-bundle";
const DIGEST: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
const SENTENCE: &str = "Pay 12.50000000 BTC for customer c-1042 from wallet cold-1 to bc1q w508 d6qe jxtd g4y5 r3za rvar y0c5 xw7k \
                        v8f3 t4, with at most 0.00050000 BTC of network fee. Instruction 0195a7c2-9f1e, charter version 7, valid \
                        until 2026-03-15T10:42:00Z.";

fn bundle(parts: &Parts) -> BundlePages<'_> {
    BundlePages {
        title: "Withdrawal to sign offline",
        sentence: SENTENCE,
        words: &["ocean", "violin", "anchor", "museum", "bridge", "walnut"],
        digest: DIGEST,
        notes: &[
            ("Written by", "claviger at hot-1"),
            ("For", "claviger-signer offline at vault-2, \u{141}\u{f3}d\u{17a}"),
        ],
        instructions: &["Scan the codes in any order, and compare the sentence and the six words with this page."],
        parts,
    }
}

fn payload(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * at / 7).to_le_bytes()[0]).collect()
}

fn parts(payload: &[u8]) -> Parts {
    Parts::new(KIND, payload, PAPER_FRAGMENT_BYTES).unwrap()
}

/// Every caption, and the code above it.
fn captioned(printed: &Printed) -> (Vec<String>, Vec<Code>) {
    let words = printed.words();
    let half = |area: &Area| (area.page, area.left < WIDTH / 2.0, area.top as u32);
    let begins = |text: &str, next: &str| text == "spare:" || text == "part" && next.parse::<usize>().is_ok();
    let (mut captions, mut areas) = (Vec::new(), Vec::new());
    for pair in words.windows(2).filter(|pair| begins(&pair[0].text, &pair[1].text)) {
        let line = words.iter().filter(|word| half(&word.area) == half(&pair[0].area));
        captions.push(line.map(|word| word.text.as_str()).collect::<Vec<&str>>().join(" "));
        let Area { page, left, top, .. } = pair[0].area;
        let left = if left < WIDTH / 2.0 { 0.0 } else { WIDTH / 2.0 };
        areas.push(Area { page, left, top: top - 214.0, right: left + WIDTH / 2.0, bottom: top });
    }
    (captions, printed.codes(&areas))
}

fn collected<'a>(codes: impl IntoIterator<Item = &'a Code>) -> Option<Vec<u8>> {
    let mut collector = Collector::new(KIND).unwrap();
    codes.into_iter().find_map(|code| match collector.receive(&code.text).unwrap() {
        Received::Whole(payload) => Some(payload),
        Received::NotYet { .. } | Received::AlreadyGiven => None,
    })
}

#[test]
fn a_message_comes_back_from_paper_in_any_order_and_without_any_one_part() {
    let payload = payload(3_800);
    let parts = parts(&payload);
    let printed = Printed::new(&bundle_pages(&bundle(&parts)).unwrap());
    assert_eq!((parts.needed(), printed.pages()), (13, 3));
    let (_, codes) = captioned(&printed);
    assert_eq!(codes.len(), 14);
    assert_eq!(collected(&codes), Some(payload.clone()));
    assert_eq!(collected(codes.iter().rev()), Some(payload.clone()));
    for lost in 0..codes.len() {
        let rest = codes.iter().enumerate().filter(|(place, _)| *place != lost).map(|(_, code)| code);
        assert_eq!(collected(rest), Some(payload.clone()), "without code {lost}");
    }
    assert_eq!(collected(&codes[2..]), None);
    nothing_overlaps(&printed, &codes);
}

#[test]
fn every_page_says_to_what_it_belongs() {
    let payload = payload(3_800);
    let parts = parts(&payload);
    let printed = Printed::new(&bundle_pages(&bundle(&parts)).unwrap());
    let text = printed.text();
    let sentence = SENTENCE.split_whitespace().collect::<Vec<&str>>().join(" ");
    let grouped = "9f86 d081 884c 7d65 9a2f eaa0 c55a d015 a3bf 4f1b 2b0b 822c d15d 6c15 b0f0 0a08";
    let said_by = "claviger-signer offline at vault-2, <U+0141>\u{f3}d<U+017A>";
    for part in [&sentence, grouped, said_by, "Withdrawal to sign offline", "Scan the codes in any order"] {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    for number in 1..=13 {
        assert_eq!(text.matches(&format!("part {number} of 13")).count(), 1);
    }
    assert_eq!(text.matches("spare: stands in for any one part").count(), 1);
    for number in 1..=3 {
        assert_eq!(text.matches(&format!("page {number} of 3")).count(), 1);
    }
    assert_eq!(text.matches(DIGEST).count(), 3);
    assert_eq!(text.matches("ocean violin anchor museum bridge walnut").count(), 3);
    assert_eq!(text.matches("13 PARTS AND ONE SPARE").count(), 3);
}

#[test]
fn captions_name_the_codes_above_them() {
    let payload = payload(2_000);
    let parts = parts(&payload);
    let printed = Printed::new(&bundle_pages(&bundle(&parts)).unwrap());
    let (captions, codes) = captioned(&printed);
    assert_eq!(codes.len(), parts.needed() + 1);
    for (caption, code) in captions.iter().zip(&codes) {
        let (number, count) = code.text.split('/').nth(1).unwrap().split_once('-').unwrap();
        let expected = match number.parse::<usize>().unwrap() <= parts.needed() {
            true => format!("part {number} of {count}"),
            false => "spare: stands in for any one part".to_owned(),
        };
        assert_eq!(*caption, expected);
    }
}

#[test]
fn a_short_message_is_one_code_on_one_page() {
    let payload = payload(200);
    let parts = parts(&payload);
    let printed = Printed::new(&bundle_pages(&bundle(&parts)).unwrap());
    assert_eq!(printed.pages(), 1);
    let (_, codes) = captioned(&printed);
    assert_eq!((codes.len(), collected(&codes)), (1, Some(payload)));
    assert!(printed.text().contains("part 1 of 1") && printed.text().contains("ONE PART"));
}

#[test]
fn a_long_sentence_moves_the_codes_to_the_next_page() {
    let payload = payload(500);
    let parts = parts(&payload);
    let sentence = format!("Open the latch because: {}", "so many reasons ".repeat(180));
    let printed = Printed::new(&bundle_pages(&BundlePages { sentence: &sentence, ..bundle(&parts) }).unwrap());
    assert_eq!(printed.pages(), 2);
    let (_, codes) = captioned(&printed);
    assert!(codes.iter().all(|code| code.area.page == 2));
    assert_eq!(collected(&codes), Some(payload));
    nothing_overlaps(&printed, &codes);
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let small = payload(100);
    let parts = parts(&small);
    let refusal = |bundle: BundlePages| bundle_pages(&bundle).unwrap_err();
    let long = "reasons ".repeat(1_000);
    assert_eq!(refusal(BundlePages { title: &long, ..bundle(&parts) }), PdfError::TooLong("title"));
    assert_eq!(refusal(BundlePages { sentence: &long, ..bundle(&parts) }), PdfError::TooLong("text of the bundle"));
    assert_eq!(refusal(BundlePages { digest: &"0".repeat(200), ..bundle(&parts) }), PdfError::TooLong("digest"));
    let large = payload(300_000);
    let many = Parts::new(KIND, &large, PAPER_FRAGMENT_BYTES).unwrap();
    assert!(matches!(refusal(bundle(&many)), PdfError::TooManyPages(100..)));
}
