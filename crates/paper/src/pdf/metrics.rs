//! Letters of the standard fonts: their codes and their widths.
//!
//! The fonts are four of the fourteen that every PDF reader has (ISO 32000-1, 9.6.2.2), with the letters of WinAnsiEncoding (annex
//! D.2). Nothing is embedded, and so there are no letters beyond those of Western Europe.

use super::PdfError;

/// One of the standard fonts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Font {
    /// Helvetica.
    Sans,
    /// Helvetica-Bold.
    SansBold,
    /// Courier: every letter has the same width, and 0 and O, 1 and l differ.
    Mono,
    /// Courier-Bold.
    MonoBold,
}

impl Font {
    pub(super) const ALL: [Font; 4] = [Font::Sans, Font::SansBold, Font::Mono, Font::MonoBold];

    /// The font's name to the world, and inside the document.
    pub(super) fn names(self) -> (&'static [u8], &'static [u8]) {
        match self {
            Font::Sans => (b"Helvetica", b"F1"),
            Font::SansBold => (b"Helvetica-Bold", b"F2"),
            Font::Mono => (b"Courier", b"F3"),
            Font::MonoBold => (b"Courier-Bold", b"F4"),
        }
    }

    /// Width of a letter in thousandths of the font's size.
    pub(super) fn width(self, letter: char) -> Result<f32, PdfError> {
        let place = usize::from(code(letter)?.saturating_sub(FIRST));
        let widths = match self {
            Font::Sans => &SANS,
            Font::SansBold => &SANS_BOLD,
            Font::Mono | Font::MonoBold => return Ok(600.0),
        };
        Ok(widths.get(place).copied().map_or(0.0, f32::from))
    }
}

/// First code that is a letter: the space.
const FIRST: u8 = 0x20;

/// WinAnsiEncoding's codes from 0x80 to 0x9f; those without a letter stand for none.
const FROM_80: [char; 32] = [
    '€', '\0', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\0', 'Ž', '\0', '\0', '‘', '’', '“', '”', '•',
    '–', '—', '˜', '™', 'š', '›', 'œ', '\0', 'ž', 'Ÿ',
];

/// The code of a letter in WinAnsiEncoding.
pub(super) fn code(letter: char) -> Result<u8, PdfError> {
    match letter {
        ' '..='~' | '\u{a1}'..='\u{ac}' | '\u{ae}'..='\u{ff}' => u8::try_from(letter).ok(),
        _ => (0x80..=0x9f).zip(FROM_80).find(|(_, one)| *one == letter && letter != '\0').map(|(code, _)| code),
    }
    .ok_or(PdfError::Letter(letter))
}

/// Widths from code 0x20 on, from Adobe's metrics of the fourteen fonts (Core14_AFMs, Helvetica.afm).
#[rustfmt::skip]
const SANS: [u16; 224] = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278,
    556, 556, 556, 556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556,
    1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778,
    667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556,
    333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556,
    556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584, 0,
    556, 0, 222, 556, 333, 1000, 556, 556, 333, 1000, 667, 333, 1000, 0, 611, 0,
    0, 222, 222, 333, 333, 350, 556, 1000, 333, 1000, 500, 333, 944, 0, 500, 667,
    278, 333, 556, 556, 556, 556, 260, 556, 333, 737, 370, 556, 584, 333, 737, 333,
    400, 584, 333, 333, 333, 556, 537, 278, 333, 333, 365, 556, 834, 834, 834, 611,
    667, 667, 667, 667, 667, 667, 1000, 722, 667, 667, 667, 667, 278, 278, 278, 278,
    722, 722, 778, 778, 778, 778, 778, 584, 778, 722, 722, 722, 722, 667, 667, 611,
    556, 556, 556, 556, 556, 556, 889, 500, 556, 556, 556, 556, 278, 278, 278, 278,
    556, 556, 556, 556, 556, 556, 556, 584, 611, 556, 556, 556, 556, 500, 556, 500,
];

/// The same of Helvetica-Bold.afm.
#[rustfmt::skip]
const SANS_BOLD: [u16; 224] = [
    278, 333, 474, 556, 556, 889, 722, 238, 333, 333, 389, 584, 278, 333, 278, 278,
    556, 556, 556, 556, 556, 556, 556, 556, 556, 556, 333, 333, 584, 584, 584, 611,
    975, 722, 722, 722, 722, 667, 611, 778, 722, 278, 556, 722, 611, 833, 722, 778,
    667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 333, 278, 333, 584, 556,
    333, 556, 611, 556, 611, 556, 333, 611, 611, 278, 278, 556, 278, 889, 611, 611,
    611, 611, 389, 556, 333, 611, 556, 778, 556, 556, 500, 389, 280, 389, 584, 0,
    556, 0, 278, 556, 500, 1000, 556, 556, 333, 1000, 667, 333, 1000, 0, 611, 0,
    0, 278, 278, 500, 500, 350, 556, 1000, 333, 1000, 556, 333, 944, 0, 500, 667,
    278, 333, 556, 556, 556, 556, 280, 556, 333, 737, 370, 556, 584, 333, 737, 333,
    400, 584, 333, 333, 333, 611, 556, 278, 333, 333, 365, 556, 834, 834, 834, 611,
    722, 722, 722, 722, 722, 722, 1000, 722, 667, 667, 667, 667, 278, 278, 278, 278,
    722, 722, 778, 778, 778, 778, 778, 584, 778, 722, 722, 722, 722, 667, 667, 611,
    556, 556, 556, 556, 556, 556, 889, 556, 556, 556, 556, 556, 278, 278, 278, 278,
    611, 611, 611, 611, 611, 611, 611, 584, 611, 611, 611, 611, 611, 556, 611, 556,
];
