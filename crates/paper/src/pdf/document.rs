use pdf_writer::{Content, Finish as _, Name, Pdf, Rect, Ref, Str, TextStr};
use zeroize::{Zeroize as _, Zeroizing};

use super::metrics::{Font, code};
use super::{PdfError, Style};
use crate::qr::{QUIET_MODULES, Qr};

/// Width of a page in points of 1/72 inch (A4).
pub const WIDTH: f32 = 595.0;
/// Height of a page in points.
pub const HEIGHT: f32 = 842.0;

/// Room taken for a page at once, in bytes: a growing buffer would leave copies behind. The fullest page of a share needs less.
pub(super) const PAGE_BYTES: usize = 128 << 10;
/// What a document needs beside its pages, and for each of them.
const DOCUMENT_BYTES: usize = 8 << 10;

/// A page that is being drawn. Places are in points from the left and from the upper edge; text stands on its line.
pub struct Page {
    content: Content,
}

impl Default for Page {
    fn default() -> Page {
        Page::new()
    }
}

impl Page {
    /// An empty page.
    pub fn new() -> Page {
        Page { content: Content::with_capacity(PAGE_BYTES) }
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::replace(&mut self.content, Content::with_capacity(0)).finish().into_vec()
    }

    /// Text that begins at `x`, on the line at `y`.
    ///
    /// # Errors
    /// [`PdfError::Letter`].
    pub fn text(&mut self, x: f32, y: f32, style: Style, text: &str) -> Result<(), PdfError> {
        let mut codes = Zeroizing::new(Vec::with_capacity(text.len()));
        for letter in text.chars() {
            codes.push(code(letter)?);
        }
        self.content.begin_text().set_fill_gray(style.grey).set_font(Name(style.font.names().1), style.size);
        self.content.next_line(x, HEIGHT - y).show(Str(&codes)).end_text();
        Ok(())
    }

    /// Text that ends at `x`.
    ///
    /// # Errors
    /// [`PdfError::Letter`].
    pub fn text_right(&mut self, x: f32, y: f32, style: Style, text: &str) -> Result<(), PdfError> {
        self.text(x - style.width(text)?, y, style, text)
    }

    /// Text around `x`.
    ///
    /// # Errors
    /// [`PdfError::Letter`].
    pub fn text_centred(&mut self, x: f32, y: f32, style: Style, text: &str) -> Result<(), PdfError> {
        self.text(x - style.width(text)? / 2.0, y, style, text)
    }

    /// Text in lines of `width` points, `leading` apart; returns the place of the line after the last.
    ///
    /// # Errors
    /// [`PdfError::Letter`].
    pub fn paragraph(
        &mut self,
        (x, y): (f32, f32),
        width: f32,
        leading: f32,
        style: Style,
        text: &str,
    ) -> Result<f32, PdfError> {
        let mut y = y;
        for line in style.lines(width, text)? {
            self.text(x, y, style, line)?;
            y += leading;
        }
        Ok(y)
    }

    /// A horizontal line.
    pub fn rule(&mut self, x: f32, y: f32, length: f32, thickness: f32, grey: f32) {
        self.content.set_stroke_gray(grey).set_line_width(thickness);
        self.content.move_to(x, HEIGHT - y).line_to(x + length, HEIGHT - y).stroke();
    }

    /// An empty box, by its upper left corner.
    pub fn frame(&mut self, x: f32, y: f32, width: f32, height: f32, thickness: f32) {
        self.content.set_stroke_gray(0.0).set_line_width(thickness);
        self.content.rect(x, HEIGHT - y - height, width, height).stroke();
    }

    /// A filled box, by its upper left corner.
    pub fn fill(&mut self, x: f32, y: f32, width: f32, height: f32, grey: f32) {
        self.content.set_fill_gray(grey).rect(x, HEIGHT - y - height, width, height).fill_nonzero();
    }

    /// A QR code by its upper left corner, `side` points wide with its quiet zone.
    pub fn qr(&mut self, x: f32, y: f32, side: f32, qr: &Qr) {
        let modules = qr.size() + 2 * QUIET_MODULES;
        let module = side / modules as f32;
        // One unit is one module from here on, counted downwards.
        self.content.save_state().set_fill_gray(0.0).transform([module, 0.0, 0.0, -module, x, HEIGHT - y]);
        for (column, row, length) in qr.runs() {
            let (left, top) = ((column + QUIET_MODULES) as f32, (row + QUIET_MODULES) as f32);
            self.content.rect(left, top, length as f32, 1.0);
        }
        self.content.fill_nonzero().restore_state();
    }

    /// A table of words by its upper left corner: numbered down the columns, with a fine rule below each row; returns the place of
    /// its lower edge. A row is `leading` points high.
    ///
    /// # Errors
    /// [`PdfError::Letter`].
    pub fn words(
        &mut self,
        (x, y): (f32, f32),
        width: f32,
        leading: f32,
        columns: usize,
        words: &[&str],
    ) -> Result<f32, PdfError> {
        const NUMBER: Style = Style::new(Font::Sans, 7.5).grey(0.35);
        const WORD: Style = Style::new(Font::MonoBold, 11.0);
        const NUMBER_WIDTH: f32 = 14.0;
        const GAP: f32 = 5.0;
        let rows = words.len().div_ceil(columns).max(1);
        let column_width = width / columns as f32;
        for (place, word) in words.iter().enumerate() {
            let left = x + column_width * (place / rows) as f32;
            let line = y + leading * (place % rows + 1) as f32;
            self.text_right(left + NUMBER_WIDTH, line - 4.5, NUMBER, &(place + 1).to_string())?;
            self.text(left + NUMBER_WIDTH + GAP, line - 4.5, WORD, word)?;
            self.rule(left + NUMBER_WIDTH + GAP, line, column_width - NUMBER_WIDTH - 2.0 * GAP, 0.3, 0.7);
        }
        Ok(y + leading * rows as f32)
    }
}

impl Drop for Page {
    /// A page that was given up half drawn is wiped like one that was printed.
    fn drop(&mut self) {
        self.take().zeroize();
    }
}

/// Pages that become a file.
pub struct Document {
    title: String,
    pages: Vec<Zeroizing<Vec<u8>>>,
}

impl Document {
    /// A document without pages. The title is shown by readers in their window, and must not be secret.
    pub fn new(title: &str) -> Document {
        Document { title: title.to_owned(), pages: Vec::new() }
    }

    /// Adds a page at the end.
    pub fn add(&mut self, mut page: Page) {
        self.pages.push(Zeroizing::new(page.take()));
    }

    /// The file, PDF 1.7, uncompressed.
    pub fn finish(self) -> Zeroizing<Vec<u8>> {
        let room = self.pages.iter().map(|page| page.len() + DOCUMENT_BYTES).sum::<usize>() + DOCUMENT_BYTES;
        let mut numbers = (1..).map(Ref::new);
        let mut next = move || numbers.next().unwrap_or(Ref::new(i32::MAX));
        let (catalog, tree, info) = (next(), next(), next());
        let fonts = Font::ALL.map(|font| (font, next()));
        let pages: Vec<(Ref, Ref)> = self.pages.iter().map(|_| (next(), next())).collect();
        let mut pdf = Pdf::with_capacity(room);
        pdf.catalog(catalog).pages(tree).lang(TextStr("en"));
        pdf.document_info(info).title(TextStr(&self.title));
        pdf.pages(tree).kids(pages.iter().map(|(page, _)| *page)).count(i32::try_from(pages.len()).unwrap_or(i32::MAX));
        for (font, place) in fonts {
            let (name, _) = font.names();
            pdf.type1_font(place).base_font(Name(name)).encoding_predefined(Name(b"WinAnsiEncoding"));
        }
        for ((page, content), bytes) in pages.iter().zip(&self.pages) {
            let mut written = pdf.page(*page);
            written.parent(tree).media_box(Rect::new(0.0, 0.0, WIDTH, HEIGHT)).contents(*content);
            let mut resources = written.resources();
            let mut listed = resources.fonts();
            for (font, place) in fonts {
                listed.pair(Name(font.names().1), place);
            }
            listed.finish();
            resources.finish();
            written.finish();
            pdf.stream(*content, bytes);
        }
        Zeroizing::new(pdf.finish())
    }
}
