//! QR codes are read by a reader that is not ours, from the modules and from what terminals and pages show.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "in a test, failing here is the test failing"
)]

use paper::qr::{Background, Correction, QUIET_MODULES, Qr, QrError};
use proptest::prelude::*;

/// What an independent reader finds in a picture with so many pixels for each module.
fn read(size: usize, pixels: usize, is_dark: impl Fn(usize, usize) -> bool) -> String {
    let side = (size + 2 * QUIET_MODULES) * pixels;
    let mut picture = rqrr::PreparedImage::prepare_from_greyscale(side, side, |x, y| {
        let place = |pixel: usize| (pixel / pixels).checked_sub(QUIET_MODULES);
        let dark = place(x).zip(place(y)).is_some_and(|(x, y)| is_dark(x, y));
        if dark { 0 } else { 255 }
    });
    let grids = picture.detect_grids();
    assert_eq!(grids.len(), 1);
    grids[0].decode().unwrap().1
}

fn modules(qr: &Qr) -> Vec<Vec<bool>> {
    qr.rows().map(<[bool]>::to_vec).collect()
}

/// The modules that half blocks show, without the quiet zone, which has to be light.
fn shown(text: &str, inked: bool) -> Vec<Vec<bool>> {
    let mut rows = Vec::new();
    for line in text.lines() {
        let halves: Vec<(bool, bool)> = line
            .chars()
            .map(|block| match block {
                '\u{2588}' => (inked, inked),
                '\u{2580}' => (inked, !inked),
                '\u{2584}' => (!inked, inked),
                ' ' => (!inked, !inked),
                other => panic!("{other:?} is no half block"),
            })
            .collect();
        rows.push(halves.iter().map(|half| half.0).collect::<Vec<bool>>());
        rows.push(halves.iter().map(|half| half.1).collect());
    }
    let side = rows[0].len();
    assert!(rows.iter().all(|row| row.len() == side));
    assert_eq!(rows.len(), side.next_multiple_of(2));
    let size = side - 2 * QUIET_MODULES;
    let quiet = |place: usize| place < QUIET_MODULES || place >= QUIET_MODULES + size;
    for (y, row) in rows.iter().enumerate() {
        assert!(
            row.iter().enumerate().all(|(x, dark)| !dark || !(quiet(x) || quiet(y))),
            "the quiet zone is not quiet"
        );
    }
    rows[QUIET_MODULES..QUIET_MODULES + size]
        .iter()
        .map(|row| row[QUIET_MODULES..QUIET_MODULES + size].to_vec())
        .collect()
}

#[test]
fn an_independent_reader_reads_what_was_written() {
    let texts = [
        "UR:CLAVIGER-BUNDLE/1-9/LPADASCFADAXCYWENBPLJKHDCAHKADAEMEJTSWHHYLKEPMYKHHTSYTSNOYOYAXAEDSUTTYDMMHHPKTPMSRJTDKGSLPGH",
        "academic acid acne acquire acrobat activity actress adapt adequate adjust admit adorn",
        "31415926535897932384626433832795",
        "Zürich, \u{20bf} 0,5",
    ];
    for text in texts {
        for correction in [Correction::Medium, Correction::Quartile] {
            let qr = Qr::new(text, correction).unwrap();
            assert_eq!(read(qr.size(), 3, |x, y| qr.is_dark(x, y)), text);
        }
    }
}

#[test]
fn capital_letters_take_less_room_and_correction_takes_more() {
    let text = "UR:CLAVIGER-BUNDLE/".repeat(10);
    let size = |text: &str, correction| Qr::new(text, correction).unwrap().size();
    assert!(size(&text, Correction::Medium) < size(&text.to_lowercase(), Correction::Medium));
    assert!(size(&text, Correction::Medium) < size(&text, Correction::Quartile));
}

#[test]
fn stained_codes_are_read_as_far_as_their_correction_goes() {
    let text = "carried by hand, folded and stained ".repeat(4);
    let qr = Qr::new(&text, Correction::Quartile).unwrap();
    let (size, stain) = (qr.size(), qr.size() / 4);
    let stained = |x: usize, y: usize| {
        let on_stain = (size / 2..size / 2 + stain).contains(&x) && (size / 2..size / 2 + stain).contains(&y);
        on_stain || qr.is_dark(x, y)
    };
    assert_eq!(read(size, 4, stained), text);
}

#[test]
fn too_much_is_refused_by_name() {
    // ISO/IEC 18004, table 7: version 40 holds 3391 capital letters or 2331 bytes with medium correction.
    assert_eq!(Qr::new(&"A".repeat(3391), Correction::Medium).unwrap().size(), 177);
    assert_eq!(Qr::new(&"a".repeat(2331), Correction::Medium).unwrap().size(), 177);
    for text in ["A".repeat(3392), "a".repeat(2332), "1".repeat(100_000)] {
        let error = Qr::new(&text, Correction::Medium).unwrap_err();
        assert_eq!(error, QrError::TooMuch { bytes: text.len() });
    }
}

#[test]
fn debug_shows_no_module() {
    let qr = Qr::new("secret", Correction::Medium).unwrap();
    assert_eq!(format!("{qr:?}"), "Qr { size: 21, .. }");
}

#[test]
fn colours_are_set_on_every_line_and_taken_back() {
    let qr = Qr::new("both kinds of terminals", Correction::Medium).unwrap();
    let drawn = qr.to_terminal();
    let mut bare = String::new();
    for line in drawn.lines() {
        let line = line.strip_prefix("\x1b[38;5;16m\x1b[48;5;231m").expect("black on white");
        bare.push_str(line.strip_suffix("\x1b[0m").expect("colours end with the line"));
        bare.push('\n');
    }
    assert_eq!(shown(&bare, true), modules(&qr));
}

#[test]
fn svg_passes_a_strict_policy_and_draws_the_modules() {
    let qr = Qr::new("https://example.org/?a=b&c", Correction::Medium).unwrap();
    let svg = qr.to_svg();
    for refused in ["style", "script", "href", "<!", " on"] {
        let found = svg.match_indices(refused).map(|(place, _)| &svg[place.saturating_sub(1)..]).collect::<Vec<_>>();
        assert!(found.is_empty(), "{refused}: {found:?}");
    }
    let side = qr.size() + 2 * QUIET_MODULES;
    assert!(svg.contains(&format!("viewBox=\"0 0 {side} {side}\"")));
    let path = svg.split(" d=\"").nth(1).unwrap().split('"').next().unwrap();
    let mut drawn = vec![vec![false; qr.size()]; qr.size()];
    for run in path.split('z').filter(|run| !run.is_empty()) {
        let numbers: Vec<usize> =
            run.split(|letter: char| !letter.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect();
        let [x, y, length, 1, back] = numbers[..] else { panic!("{run}") };
        assert_eq!((length, run), (back, format!("M{x} {y}h{length}v1h-{length}").as_str()));
        drawn[y - QUIET_MODULES][x - QUIET_MODULES..x - QUIET_MODULES + length].fill(true);
    }
    assert_eq!(drawn, modules(&qr));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_text_is_read_back_and_terminals_show_the_same_modules(text in "[ -~]{1,200}") {
        let qr = Qr::new(&text, Correction::Medium).unwrap();
        prop_assert_eq!(read(qr.size(), 3, |x, y| qr.is_dark(x, y)), text);
        prop_assert_eq!(shown(&qr.to_terminal_plain(Background::Light), true), modules(&qr));
        prop_assert_eq!(shown(&qr.to_terminal_plain(Background::Dark), false), modules(&qr));
    }
}
