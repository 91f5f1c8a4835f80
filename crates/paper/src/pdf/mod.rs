//! Printed pages: A4, black and grey, in the fonts that every reader of PDF has, with QR codes drawn as squares.
//!
//! Nothing is embedded: the machine that prints brings these fonts or ones of their widths (Debian: `fonts-urw-base35`). On one
//! without any font poppler draws the codes and no text.
//!
//! Documents are the same bytes for the same input: they hold no date, and their identity is what they say. A page can hold a
//! secret; documents come in [`Zeroizing`], and what is written on the way is wiped.

mod bundle;
mod document;
mod metrics;
mod share;
mod text;

pub use bundle::{BundlePages, bundle_pages};
pub use document::{Document, HEIGHT, Page, WIDTH};
pub use metrics::Font;
pub use share::{SharePage, WORDS_MAX, share_page};
pub use text::{Style, check, spell_out};

use crate::qr::QrError;

#[cfg(doc)]
use zeroize::Zeroizing;

/// Why there are no pages. No message repeats a word of a share.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PdfError {
    /// Beyond Western Europe's letters.
    #[error("the letter {0:?} is not in the fonts that every printer has; spell it otherwise")]
    Letter(char),
    /// More than its place holds.
    #[error("the {0} is too long for its place on the page; shorten it")]
    TooLong(&'static str),
    /// A bundle on more sheets than people carry.
    #[error("the bundle would take {0} pages; carry it as a file or over a screen")]
    TooManyPages(usize),
    /// Share of shares.
    #[error("share {number} of {count}, of which {threshold} suffice, cannot be")]
    Numbers {
        /// Which share.
        number: u16,
        /// Of how many.
        count: u16,
        /// As many suffice.
        threshold: u16,
    },
    /// How many words.
    #[error("a share has from 1 to 60 words, not {0}")]
    WordCount(usize),
    /// Not a word of a word list.
    #[error("word {0} is not one of 1 to 11 letters from a to z")]
    Word(usize),
    /// A code cannot hold what it should.
    #[error("a QR code of the page cannot be made")]
    Qr(#[from] QrError),
}
