use zeroize::Zeroizing;

use super::document::{Document, Page, WIDTH};
use super::{Font, PdfError, Style, spell_out};
use crate::qr::{Correction, Qr};
use crate::ur::Parts;

/// What is printed with a message that is carried on paper.
#[derive(Clone, Copy)]
pub struct BundlePages<'a> {
    /// The heading: at most two lines.
    pub title: &'a str,
    /// The sentence that people read before they approve.
    pub sentence: &'a str,
    /// The words of the digest that are compared across screens.
    pub words: &'a [&'a str],
    /// The digest in hexadecimal. It stands on every page.
    pub digest: &'a str,
    /// Further facts by name.
    pub notes: &'a [(&'a str, &'a str)],
    /// What its carrier is to do, one paragraph each.
    pub instructions: &'a [&'a str],
    /// The message, cut for paper ([`crate::ur::PAPER_FRAGMENT_BYTES`]).
    pub parts: &'a Parts,
}

const LEFT: f32 = 56.0;
const INNER: f32 = WIDTH - 2.0 * LEFT;
const RIGHT: f32 = WIDTH - LEFT;
/// Lowest place of what is between heading and footer.
const LOWER: f32 = 780.0;
const FOOT_LINE: f32 = 800.0;

const BAND: Style = Style::new(Font::SansBold, 9.0);
const TITLE: Style = Style::new(Font::SansBold, 18.0);
const SENTENCE: Style = Style::new(Font::Sans, 11.0);
const LABEL: Style = Style::new(Font::Sans, 7.5).grey(0.35);
const WORDS: Style = Style::new(Font::MonoBold, 13.0);
const EXACT: Style = Style::new(Font::Mono, 9.0);
const BODY: Style = Style::new(Font::Sans, 9.5);
const CAPTION: Style = Style::new(Font::SansBold, 9.0);
const FOOT: Style = Style::new(Font::Mono, 7.0).grey(0.35);

const COLUMNS: usize = 2;
const CODE_SIDE: f32 = 204.0;
const ROW_HEIGHT: f32 = CODE_SIDE + 22.0;
const PAGES_MAX: usize = 99;

/// Pages to carry a message on paper: what it says, its words and digest, and its parts as numbered QR codes, with one more that
/// stands in for any one that cannot be read.
///
/// Letters that the fonts lack are spelled by their number ([`spell_out`]), since others wrote them.
///
/// # Errors
/// [`PdfError::TooLong`], [`PdfError::TooManyPages`] and [`PdfError::Qr`].
pub fn bundle_pages(bundle: &BundlePages) -> Result<Zeroizing<Vec<u8>>, PdfError> {
    let codes = codes(bundle.parts)?;
    let (mut first, y) = first_page(bundle)?;
    let rows = |y: f32| ((LOWER - y) / ROW_HEIGHT).max(0.0) as usize;
    let (on_first, on_others) = (COLUMNS * rows(y), COLUMNS * rows(NEXT_TOP));
    let (here, there) = codes.split_at(on_first.min(codes.len()));
    let pages = 1 + there.len().div_ceil(on_others);
    if pages > PAGES_MAX {
        return Err(PdfError::TooManyPages(pages));
    }
    let mut document = Document::new(bundle.title);
    grid(&mut first, y, here)?;
    footer(&mut first, bundle, 1, pages)?;
    document.add(first);
    for (codes, number) in there.chunks(on_others).zip(2..) {
        let mut page = Page::new();
        next_heading(&mut page, bundle)?;
        grid(&mut page, NEXT_TOP, codes)?;
        footer(&mut page, bundle, number, pages)?;
        document.add(page);
    }
    Ok(document.finish())
}

struct Code {
    caption: String,
    qr: Qr,
}

fn codes(parts: &Parts) -> Result<Vec<Code>, PdfError> {
    let count = parts.needed();
    let first =
        parts.first_pass().into_iter().zip(1..).map(|(part, number)| (part, format!("part {number} of {count}")));
    let spare = parts.spare().map(|part| (part, "spare: stands in for any one part".to_owned()));
    let code = |(part, caption): (String, String)| Ok(Code { caption, qr: Qr::new(&part, Correction::Medium)? });
    first.chain(spare).map(code).collect()
}

/// What the message says; returns where its codes may begin.
fn first_page(bundle: &BundlePages) -> Result<(Page, f32), PdfError> {
    let mut page = Page::new();
    band(&mut page, bundle)?;
    let title = spell_out(bundle.title);
    let lines = TITLE.lines(INNER, &title)?;
    if lines.len() > 2 {
        return Err(PdfError::TooLong("title"));
    }
    let mut y = page.paragraph((LEFT, 88.0), INNER, 22.0, TITLE, &title)?;
    y = page.paragraph((LEFT, y + 2.0), INNER, 14.5, SENTENCE, &spell_out(bundle.sentence))?;
    y = labelled(&mut page, y, "Compare these words with those on the other screen", &bundle.words.join(" "), WORDS)?;
    y = labelled(&mut page, y, "Digest (SHA-256)", &grouped(bundle.digest), EXACT)?;
    for (label, value) in bundle.notes {
        y = labelled(&mut page, y, &spell_out(label), &spell_out(value), EXACT)?;
    }
    page.rule(LEFT, y, INNER, 0.5, 0.6);
    y += 16.0;
    for instruction in bundle.instructions {
        y = page.paragraph((LEFT, y), INNER, 12.5, BODY, &spell_out(instruction))? + 2.5;
    }
    if y > LOWER {
        return Err(PdfError::TooLong("text of the bundle"));
    }
    Ok((page, y))
}

/// A fact under its rule.
fn labelled(page: &mut Page, y: f32, label: &str, value: &str, style: Style) -> Result<f32, PdfError> {
    page.rule(LEFT, y, INNER, 0.5, 0.6);
    page.text(LEFT, y + 11.0, LABEL, label)?;
    let leading = style.size + 3.0;
    let last = page.paragraph((LEFT, y + 14.0 + style.size), INNER, leading, style, value)?;
    Ok(last - leading + 8.0)
}

const NEXT_TOP: f32 = 84.0;

/// What says on every further page to which message it belongs.
fn next_heading(page: &mut Page, bundle: &BundlePages) -> Result<(), PdfError> {
    band(page, bundle)?;
    page.text(LEFT, 74.0, Style { size: 10.0, ..WORDS }, &spell_out(&bundle.words.join(" ")))
}

fn band(page: &mut Page, bundle: &BundlePages) -> Result<(), PdfError> {
    page.rule(LEFT, 42.0, INNER, 1.2, 0.0);
    page.text(LEFT, 55.0, BAND, "MESSAGE ON PAPER")?;
    let count = bundle.parts.needed();
    let parts = if count == 1 { "ONE PART".to_owned() } else { format!("{count} PARTS AND ONE SPARE") };
    page.text_right(RIGHT, 55.0, BAND, &parts)?;
    page.rule(LEFT, 61.0, INNER, 0.5, 0.0);
    Ok(())
}

/// Codes in rows, each above its caption.
fn grid(page: &mut Page, top: f32, codes: &[Code]) -> Result<(), PdfError> {
    let column = INNER / COLUMNS as f32;
    for (row, codes) in codes.chunks(COLUMNS).enumerate() {
        let y = top + ROW_HEIGHT * row as f32;
        for (place, code) in codes.iter().enumerate() {
            let centre = LEFT + column * (place as f32 + 0.5);
            page.qr(centre - CODE_SIDE / 2.0, y, CODE_SIDE, &code.qr);
            page.text_centred(centre, y + CODE_SIDE + 6.0, CAPTION, &code.caption)?;
        }
    }
    Ok(())
}

fn footer(page: &mut Page, bundle: &BundlePages, number: usize, pages: usize) -> Result<(), PdfError> {
    page.rule(LEFT, FOOT_LINE - 12.0, INNER, 0.5, 0.6);
    let which = format!("page {number} of {pages}");
    page.text_right(RIGHT, FOOT_LINE, FOOT, &which)?;
    let digest = spell_out(bundle.digest);
    let lines = FOOT.lines(INNER - FOOT.width(&which)? - 12.0, &digest)?;
    if lines.len() > 1 {
        return Err(PdfError::TooLong("digest"));
    }
    page.text(LEFT, FOOT_LINE, FOOT, &digest)
}

/// In groups of four, so that every letter is read.
fn grouped(digest: &str) -> String {
    let letters: Vec<char> = spell_out(digest).chars().collect();
    letters.chunks(4).map(String::from_iter).collect::<Vec<String>>().join(" ")
}
