//! QR codes (ISO/IEC 18004, model 2) for terminals, pages and paper.
//!
//! What is in a code can be secret: the modules and every drawing of them are wiped when they are dropped, and so is what the
//! encoder works on.

mod svg;
mod terminal;

use std::fmt;

use qrcodegen_no_heap::{DataTooLong, QrCode, QrCodeEcc, Version};
use zeroize::Zeroizing;

pub use terminal::Background;

/// Light modules around the code that readers need (ISO/IEC 18004, 5.3.8).
pub const QUIET_MODULES: usize = 4;

const BUFFER_BYTES: usize = Version::MAX.buffer_len();

/// How much of the code can be lost and read nevertheless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Correction {
    /// 15 %: for screens.
    Medium,
    /// 25 %: for paper, which gets folded and stained.
    Quartile,
}

/// Why there is no code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QrError {
    /// More than the largest code holds.
    #[error("a text of {bytes} bytes is too much for a QR code; cut it into parts")]
    TooMuch {
        /// Length of the text.
        bytes: usize,
    },
}

/// A QR code: a square of dark and light modules.
pub struct Qr {
    size: usize,
    modules: Zeroizing<Vec<bool>>,
}

impl Qr {
    /// The smallest code that holds the text, with at least this correction and more where it costs nothing.
    ///
    /// Text of digits, capital letters, space and `$%*+-./:` alone takes a third less room than other text, which is held as UTF-8.
    ///
    /// # Errors
    /// [`QrError::TooMuch`].
    pub fn new(text: &str, correction: Correction) -> Result<Qr, QrError> {
        let mut scratch = Zeroizing::new([0; BUFFER_BYTES]);
        let mut buffer = Zeroizing::new([0; BUFFER_BYTES]);
        let level = match correction {
            Correction::Medium => QrCodeEcc::Medium,
            Correction::Quartile => QrCodeEcc::Quartile,
        };
        let (least, most) = (Version::MIN, Version::MAX);
        let code = QrCode::encode_text(text, &mut *scratch, &mut *buffer, level, least, most, None, true);
        let code = code.map_err(|_: DataTooLong| QrError::TooMuch { bytes: text.len() })?;
        let modules = (0..code.size()).flat_map(|y| (0..code.size()).map(move |x| (x, y)));
        // Of known length, so that no half-filled copy is left behind.
        let size = usize::try_from(code.size()).unwrap_or_default();
        let mut dark = Zeroizing::new(Vec::with_capacity(size * size));
        dark.extend(modules.map(|(x, y)| code.get_module(x, y)));
        Ok(Qr { size, modules: dark })
    }

    /// Modules along each side, without the quiet zone: from 21 to 177.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The rows from above, each from the left; `true` is dark.
    pub fn rows(&self) -> impl Iterator<Item = &[bool]> {
        self.modules.chunks(self.size)
    }

    /// Whether a module is dark, counted from the upper left corner. All around the code it is light.
    pub fn is_dark(&self, x: usize, y: usize) -> bool {
        x < self.size && self.modules.get(y * self.size + x).is_some_and(|dark| *dark)
    }

    /// The dark stretches of all rows, as (x, y, length).
    pub(crate) fn runs(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        self.rows().enumerate().flat_map(|(y, row)| {
            let mut x = 0;
            row.chunk_by(|one, other| one == other).filter_map(move |run| {
                let start = x;
                x += run.len();
                run.first().is_some_and(|dark| *dark).then_some((start, y, run.len()))
            })
        })
    }
}

impl fmt::Debug for Qr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Qr").field("size", &self.size).finish_non_exhaustive()
    }
}
