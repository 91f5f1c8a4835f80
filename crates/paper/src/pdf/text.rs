use std::borrow::Cow;
use std::fmt::Write as _;

use super::PdfError;
use super::metrics::{Font, code};

/// How text is set: font, size in points, and grey from 0 (black) to 1 (white).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Style {
    /// Which font.
    pub font: Font,
    /// Size in points.
    pub size: f32,
    /// 0 is black, 1 is white.
    pub grey: f32,
}

impl Style {
    /// Black text.
    pub const fn new(font: Font, size: f32) -> Style {
        Style { font, size, grey: 0.0 }
    }

    /// The same in grey.
    pub const fn grey(self, grey: f32) -> Style {
        Style { grey, ..self }
    }

    /// Width of the text in points.
    ///
    /// # Errors
    /// [`PdfError::Letter`].
    pub fn width(self, text: &str) -> Result<f32, PdfError> {
        let thousandths: Result<f32, PdfError> = text.chars().map(|letter| self.font.width(letter)).sum();
        Ok(thousandths? * self.size / 1000.0)
    }

    /// Breaks the text into lines of at most `width` points, at spaces where there are any and within long words where not. Line
    /// breaks of the text stay.
    ///
    /// # Errors
    /// [`PdfError::Letter`].
    pub fn lines(self, width: f32, text: &str) -> Result<Vec<&str>, PdfError> {
        let mut lines = Vec::new();
        for mut rest in text.lines().map(str::trim) {
            while !rest.is_empty() {
                let (line, after) = rest.split_at(self.fitting(width, rest)?);
                lines.push(line.trim_end());
                rest = after.trim_start();
            }
        }
        Ok(lines)
    }

    /// How many bytes of the text make the next line; at least one letter.
    fn fitting(self, width: f32, text: &str) -> Result<usize, PdfError> {
        let (mut used, mut space) = (0.0, None);
        for (place, letter) in text.char_indices() {
            used += self.font.width(letter)? * self.size / 1000.0;
            if letter == ' ' {
                space = Some(place);
            } else if used > width && place > 0 {
                return Ok(space.unwrap_or(place));
            }
        }
        Ok(text.len())
    }
}

/// Whether the pages can show the text.
///
/// # Errors
/// [`PdfError::Letter`] for the first letter that they cannot.
pub fn check(text: &str) -> Result<(), PdfError> {
    text.chars().filter(|letter| *letter != '\n').try_for_each(|letter| code(letter).map(drop))
}

/// The text with every letter that pages cannot show spelled by its number in Unicode, such as `<U+0141>`. For text that is shown to
/// be compared and that others wrote: nothing is left out, and nothing looks like something else.
pub fn spell_out(text: &str) -> Cow<'_, str> {
    if check(text).is_ok() {
        return Cow::Borrowed(text);
    }
    let mut spelled = String::with_capacity(2 * text.len());
    for letter in text.chars() {
        if letter == '\n' || code(letter).is_ok() {
            spelled.push(letter);
        } else {
            // Writing into a String cannot fail.
            let _ = write!(spelled, "<U+{:04X}>", u32::from(letter));
        }
    }
    Cow::Owned(spelled)
}
