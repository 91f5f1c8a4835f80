//! The page of a holder, read back by poppler and an independent reader of QR codes.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "in a test, failing here is the test failing"
)]

#[allow(dead_code, reason = "each test file uses its part of the helpers")]
mod common;

use common::{Printed, WORDS, nothing_overlaps};
use paper::pdf::{PdfError, SharePage, WORDS_MAX, share_page};
use proptest::prelude::*;

const INSTRUCTIONS: [&str; 3] = [
    "Check the words against the screen of the ceremony before you leave the room, one by one, and fill in the boxes below.",
    "Put this page into the tamper-evident bag, close it, and write the bag's number into the box for the seal. Do not copy, \
     photograph or scan the page, and never type the words into a computer that has a network.",
    "Keep the bag where nobody else has access, apart from every other share of this set.",
];

const NOTES: [(&str, &str); 2] = [
    ("Fingerprint of the key", "73c5da0a"),
    ("Sealed backup, SHA-256", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
];

fn share() -> SharePage<'static> {
    SharePage {
        title: "Backup of a signing key",
        holder: "Anna-Katharina Freifrau von Hohenlohe-Waldenburg",
        set: "7f3a-91c2",
        number: 2,
        count: 5,
        threshold: 3,
        created: "14 March 2026, 10:42 UTC",
        signer: "signer-a (Frankfurt)",
        network: "bitcoin mainnet",
        words: &WORDS,
        notes: &NOTES,
        instructions: &INSTRUCTIONS,
    }
}

#[test]
fn text_and_code_come_back_from_paper() {
    let printed = Printed::new(&share_page(&share()).unwrap());
    assert_eq!(printed.pages(), 1);
    let text = printed.text();
    let numbered: Vec<String> = WORDS.iter().zip(1..).map(|(word, number)| format!("{number} {word}")).collect();
    let expected = [
        "SECRET: FOR ITS HOLDER ONLY",
        "SHARE 2 OF 5",
        "Backup of a signing key",
        "Any 3 of the 5 shares together restore the key.",
        "Holder Anna-Katharina Freifrau von Hohenlohe-Waldenburg",
        "Set of shares 7f3a-91c2",
        "Created 14 March 2026, 10:42 UTC",
        "Signer signer-a (Frankfurt)",
        "Network bitcoin mainnet",
        "Fingerprint of the key 73c5da0a",
        "Sealed backup, SHA-256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        &numbered.join(" "),
        "1. Check the words against the screen",
        "3. Keep the bag where nobody else has access",
        "Number of the seal Place Date Signature of the holder",
        "Set 7f3a-91c2",
        "share 2 of 5, page 1 of 1",
    ];
    for part in expected {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    let code = printed.code();
    assert_eq!(code.text, WORDS.join(" "));
    nothing_overlaps(&printed, &[code]);
}

#[test]
fn shares_of_every_usual_length_and_long_names_fit() {
    let long = SharePage {
        title: "Alpine Digital Assets Custody AG, Z\u{fc}rich: backup of the cold wallet's signing key for customers' bitcoin",
        holder: "Prof. Dr. Maximilian-Alexander Oberndorfer-Schwarzenberg, Notariat Oberndorfer, Schwarzenberg & Partner, Z\u{fc}rich",
        created: "Wednesday, 30 September 2026, 23:59:59 UTC, at the ceremony of the cold wallet",
        ..share()
    };
    for count in [1, 12, 20, 24, 33, 59, WORDS_MAX] {
        let words: Vec<&str> = WORDS.iter().cycle().copied().take(count).collect();
        for page in [SharePage { words: &words, ..share() }, SharePage { words: &words, ..long }] {
            // With so many words there is room for fewer instructions.
            let page = if count > 39 { SharePage { instructions: &INSTRUCTIONS[1..], ..page } } else { page };
            let printed = Printed::new(&share_page(&page).unwrap_or_else(|error| panic!("{count} words: {error}")));
            assert_eq!(printed.pages(), 1);
            let code = printed.code();
            assert_eq!(code.text, words.join(" "));
            nothing_overlaps(&printed, &[code]);
        }
    }
}

#[test]
fn it_says_how_many_shares_restore_the_key() {
    for (threshold, count, sentence) in [
        (1, 1, "Share 1 of 1. It restores the key by itself."),
        (1, 3, "Share 1 of 3. It restores the key by itself."),
        (2, 2, "Share 1 of 2. All 2 shares together restore the key."),
        (2, 3, "Share 1 of 3. Any 2 of the 3 shares together restore the key."),
    ] {
        let page = share_page(&SharePage { number: 1, threshold, count, ..share() }).unwrap();
        assert!(Printed::new(&page).text().contains(sentence), "{sentence}");
    }
}

#[test]
fn what_cannot_be_printed_is_refused_by_name() {
    let refusal = |page: SharePage| share_page(&page).unwrap_err();
    assert_eq!(refusal(SharePage { holder: "\u{141}ukasz", ..share() }), PdfError::Letter('\u{141}'));
    assert_eq!(refusal(SharePage { created: "today\u{7}", ..share() }), PdfError::Letter('\u{7}'));
    let long = "very ".repeat(100);
    assert_eq!(refusal(SharePage { title: &long, ..share() }), PdfError::TooLong("title"));
    assert_eq!(refusal(SharePage { holder: &long, ..share() }), PdfError::TooLong("holder's name"));
    assert_eq!(refusal(SharePage { network: &long, ..share() }), PdfError::TooLong("network's name"));
    assert_eq!(refusal(SharePage { set: &long, ..share() }), PdfError::TooLong("name of the set"));
    assert_eq!(refusal(SharePage { notes: &[("Note", &long)], ..share() }), PdfError::TooLong("value of a note"));
    assert_eq!(refusal(SharePage { notes: &[(&long, "value")], ..share() }), PdfError::TooLong("name of a note"));
    let many = [INSTRUCTIONS[1]; 12];
    assert_eq!(refusal(SharePage { instructions: &many, ..share() }), PdfError::TooLong("instruction text"));
    let notes = [("Note", "value"); 40];
    assert_eq!(refusal(SharePage { notes: &notes, ..share() }), PdfError::TooLong("list of facts and words"));
    for (number, count, threshold) in [(0, 5, 3), (6, 5, 3), (1, 5, 0), (1, 5, 6), (0, 0, 0)] {
        let numbers = SharePage { number, count, threshold, ..share() };
        assert_eq!(refusal(numbers), PdfError::Numbers { number, count, threshold });
    }
    assert_eq!(refusal(SharePage { words: &[], ..share() }), PdfError::WordCount(0));
    assert_eq!(refusal(SharePage { words: &["acid"; WORDS_MAX + 1], ..share() }), PdfError::WordCount(61));
    for word in ["", "two words", "acid1", "s\u{e9}same", "abcdefghijkl"] {
        let words = ["acid", "alto", word, "acne"];
        let error = refusal(SharePage { words: &words, ..share() });
        assert_eq!(error, PdfError::Word(3));
        assert_eq!(error.to_string(), "word 3 is not one of 1 to 11 letters from a to z");
    }
}

#[test]
fn debug_shows_no_word() {
    let shown = format!("{:?}", share());
    assert_eq!(shown, "SharePage { set: \"7f3a-91c2\", number: 2, count: 5, threshold: 3, .. }");
}

#[test]
fn the_fullest_page_needs_no_second_buffer() {
    // Buffers that grow leave copies of the words behind; 128 KiB are taken at once.
    let words = ["zzzzzzzzzzz"; WORDS_MAX];
    let page = share_page(&SharePage { words: &words, instructions: &INSTRUCTIONS[..2], ..share() }).unwrap();
    assert!(page.len() < 128 << 10, "{} bytes", page.len());
}

#[test]
fn the_same_share_is_the_same_bytes() {
    let (one, other) = (share_page(&share()).unwrap(), share_page(&share()).unwrap());
    assert!(*one == *other);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever it is given, a page either says what does not fit or holds everything, apart and in its place.
    #[test]
    fn any_text_is_refused_or_printed_without_overlap(
        title in "[A-Za-z\u{e4}\u{f6}\u{fc} ]{1,120}",
        holder in "[A-Za-z\u{e9}\u{f1}., -]{1,160}",
        signer in "[a-z0-9-]{1,70}",
        note in "[a-f0-9]{1,200}",
        instructions in prop::collection::vec("[a-z]{1,12}( [a-z]{1,12}){0,40}", 0..8),
        count in 1_usize..=WORDS_MAX,
    ) {
        let words: Vec<&str> = WORDS.iter().cycle().copied().take(count).collect();
        let instructions: Vec<&str> = instructions.iter().map(String::as_str).collect();
        let notes = [("Note", note.as_str()), ("Fingerprint", "73c5da0a")];
        let page = SharePage {
            title: &title, holder: &holder, signer: &signer, words: &words, notes: &notes, instructions: &instructions, ..share()
        };
        match share_page(&page) {
            Ok(pdf) => {
                let printed = Printed::new(&pdf);
                prop_assert_eq!(printed.pages(), 1);
                let code = printed.code();
                prop_assert_eq!(&code.text, &words.join(" "));
                nothing_overlaps(&printed, &[code]);
                let text = printed.text().replace(' ', "");
                for expected in [&title, &holder, &note].into_iter().chain([&signer]) {
                    let expected: String = expected.chars().filter(|letter| !letter.is_whitespace()).collect();
                    prop_assert!(text.contains(&expected), "{} is not in {}", expected, text);
                }
            }
            Err(error) => prop_assert!(matches!(error, PdfError::TooLong(_)), "{}", error),
        }
    }
}
