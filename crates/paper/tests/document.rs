//! The layer under the pages: letters, widths and lines, against poppler's own metrics.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "in a test, failing here is the test failing"
)]

#[allow(dead_code, reason = "each test file uses its part of the helpers")]
mod common;

use common::{Area, Printed, Word};
use paper::pdf::{Document, Font, HEIGHT, Page, PdfError, Style, WIDTH, check, spell_out};
use paper::qr::{Correction, Qr};
use proptest::prelude::*;

const FONTS: [Font; 4] = [Font::Sans, Font::SansBold, Font::Mono, Font::MonoBold];

fn printed(draw: impl FnOnce(&mut Page)) -> Printed {
    let mut page = Page::new();
    draw(&mut page);
    let mut document = Document::new("Test");
    document.add(page);
    Printed::new(&document.finish())
}

/// Every letter that the fonts have.
fn letters() -> Vec<char> {
    (0..=0xffff)
        .filter_map(char::from_u32)
        .filter(|letter| check(&letter.to_string()).is_ok() && *letter != '\n')
        .collect()
}

#[test]
fn every_letter_comes_back_with_the_width_that_poppler_knows() {
    let letters: Vec<char> = letters().into_iter().filter(|letter| *letter != ' ').collect();
    // ISO 32000-1, annex D.2: WinAnsiEncoding without space, no-break space and soft hyphen.
    assert_eq!(letters.len(), 215);
    for font in FONTS {
        let style = Style::new(font, 10.0);
        // Five of each, apart from the others, so that rounding does not hide a wrong width.
        let place = |at: usize| (60.0 + 55.0 * (at % 9) as f32, 60.0 + 25.0 * (at / 9) as f32);
        let text = |letter: &char| String::from_iter([letter; 5]);
        let printed = printed(|page| {
            for (at, letter) in letters.iter().enumerate() {
                let (x, y) = place(at);
                page.text(x, y, style, &text(letter)).unwrap();
            }
        });
        let words = printed.words();
        assert_eq!(words.len(), letters.len(), "{font:?}");
        for (at, letter) in letters.iter().enumerate() {
            let (x, y) = place(at);
            let stands = |word: &&Word| (word.area.left - x).abs() < 1.0 && word.area.top < y && word.area.bottom > y;
            let word = words.iter().find(stands);
            let word = word.unwrap_or_else(|| panic!("{letter:?} of {font:?} is not there"));
            assert_eq!(word.text, text(letter), "{font:?}");
            let (theirs, ours) = (word.area.right - word.area.left, style.width(&text(letter)).unwrap());
            // Poppler has 603 for one letter of Courier, where Adobe has 600 for all.
            let rounding = if matches!(font, Font::Mono | Font::MonoBold) { 0.2 } else { 0.02 };
            assert!((theirs - ours).abs() < rounding, "{letter:?} of {font:?}: {theirs} and {ours}");
        }
    }
}

#[test]
fn letters_beyond_the_fonts_are_refused_or_spelled_out() {
    assert_eq!(check("Z\u{fc}rich, 5 \u{20ac}"), Ok(()));
    let text = "\u{141}\u{f3}d\u{17a} \u{20bf} \u{1f511}\u{a0}\t";
    assert_eq!(check(text), Err(PdfError::Letter('\u{141}')));
    assert_eq!(spell_out(text), "<U+0141>\u{f3}d<U+017A> <U+20BF> <U+1F511><U+00A0><U+0009>");
    assert_eq!(check(&spell_out(text)), Ok(()));
    let mut page = Page::new();
    assert_eq!(page.text(60.0, 60.0, Style::new(Font::Sans, 10.0), text), Err(PdfError::Letter('\u{141}')));
}

#[test]
fn text_stands_where_it_is_put() {
    let style = Style::new(Font::Sans, 12.0);
    let printed = printed(|page| {
        page.text(100.0, 100.0, style, "left").unwrap();
        page.text_right(500.0, 150.0, style, "right").unwrap();
        page.text_centred(WIDTH / 2.0, 200.0, style, "centred").unwrap();
        let below = page.paragraph((100.0, 300.0), 60.0, 15.0, style, "one two three four").unwrap();
        page.text(100.0, below, style, "below").unwrap();
    });
    let words = printed.words();
    let word = |text: &str| words.iter().find(|word| word.text == text).unwrap().area;
    assert!((word("left").left - 100.0).abs() < 0.1 && word("left").bottom > 100.0 && word("left").top < 100.0);
    assert!((word("right").right - 500.0).abs() < 0.1);
    assert!(((word("centred").left + word("centred").right) / 2.0 - WIDTH / 2.0).abs() < 0.1);
    assert!(word("three").top > word("one").bottom - 3.0 && word("below").top > word("three").bottom - 3.0);
    assert!((word("below").top - word("one").top - 30.0).abs() < 0.1);
}

#[test]
fn codes_are_drawn_at_their_place() {
    let text = "UR:CLAVIGER-BUNDLE/HDCXVWSKGSCMFSRSROLUAETTBBOXSNJNFPTBONSSTKTNRNBASGBYJYPAAYBNJZFRFYISECMWBZRK";
    let qr = Qr::new(text, Correction::Medium).unwrap();
    let side = 150.0;
    let module = side / (qr.size() + 8) as f32;
    let quiet = 4.0 * module;
    let printed = printed(|page| {
        page.fill(0.0, 0.0, WIDTH, 40.0, 0.0);
        page.frame(300.0, 500.0, side, side, 0.5);
        page.qr(300.0, 500.0, side, &qr);
        page.rule(60.0, HEIGHT - 60.0, 300.0, 0.5, 0.5);
    });
    let area = Area { page: 1, left: 250.0, top: 450.0, right: 500.0, bottom: 700.0 };
    let code = printed.codes(&[area]).remove(0);
    assert_eq!(code.text, text);
    let expected = [300.0 + quiet, 500.0 + quiet, 300.0 + side - quiet, 500.0 + side - quiet];
    let found = [code.area.left, code.area.top, code.area.right, code.area.bottom];
    for (found, expected) in found.into_iter().zip(expected) {
        assert!((found - expected).abs() < 1.5 * module, "{found} and {expected}");
    }
}

#[test]
fn titles_are_shown_and_documents_of_many_pages_hold_them_in_order() {
    let mut document = Document::new("Zugriff auf \u{141}\u{f3}d\u{17a} (1)");
    for number in 1..=12 {
        let mut page = Page::new();
        page.text(60.0, 60.0, Style::new(Font::Mono, 10.0), &format!("page-{number} (\\ \u{e4}")).unwrap();
        document.add(page);
    }
    let printed = Printed::new(&document.finish());
    assert_eq!(printed.pages(), 12);
    let expected: Vec<String> = (1..=12).map(|number| format!("page-{number} (\\ \u{e4}")).collect();
    assert_eq!(printed.text(), expected.join(" "));
    assert_eq!(printed.title(), "Zugriff auf \u{141}\u{f3}d\u{17a} (1)");
}

proptest! {
    /// Lines hold all that is no space, none is too wide unless it is a single letter, and none could have taken more.
    #[test]
    fn lines_are_full_and_lose_nothing(text in "([a-zA-Z\u{e4}]{1,40} ){0,20}[a-z]{0,90}", width in 5.0_f32..400.0) {
        let style = Style::new(Font::Sans, 10.0);
        let lines = style.lines(width, &text).unwrap();
        let bare = |text: &str| text.chars().filter(|letter| *letter != ' ').collect::<String>();
        prop_assert_eq!(bare(&lines.concat()), bare(&text));
        for line in &lines {
            prop_assert!(!line.is_empty() && line.trim() == *line);
            prop_assert!(style.width(line).unwrap() <= width || line.chars().count() == 1, "{}", line);
        }
        let mut rest = text.as_str();
        for line in &lines {
            rest = rest.trim_start().strip_prefix(line).unwrap();
            if let Some(after) = rest.strip_prefix(' ').filter(|after| !after.is_empty()) {
                let longer = format!("{line} {}", after.split(' ').next().unwrap());
                prop_assert!(style.width(&longer).unwrap() > width, "{} is within {}", longer, width);
            }
        }
    }
}
