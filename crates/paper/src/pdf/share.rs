use std::fmt;

use zeroize::Zeroizing;

use super::document::{Document, Page, WIDTH};
use super::{Font, PdfError, Style};
use crate::qr::{Correction, QUIET_MODULES, Qr};

/// Most words of a share: SLIP-39 needs 59 for a secret of 512 bits.
pub const WORDS_MAX: usize = 60;
const WORD_LENGTH_MAX: usize = 11;

/// What the page of one holder says. Everything but the words is public.
#[derive(Clone, Copy)]
pub struct SharePage<'a> {
    /// Whose backup of what, as the heading: at most two lines.
    pub title: &'a str,
    /// Who keeps this share: at most two lines.
    pub holder: &'a str,
    /// Which set the share belongs to: shares of two sets must not be mixed.
    pub set: &'a str,
    /// Which share, from 1.
    pub number: u16,
    /// Of how many.
    pub count: u16,
    /// How many restore the key.
    pub threshold: u16,
    /// When the set was made, in the caller's words.
    pub created: &'a str,
    /// Whose key it is.
    pub signer: &'a str,
    /// On which network the key is used.
    pub network: &'a str,
    /// The secret: 1 to 60 words of 1 to 11 letters from a to z.
    pub words: &'a [&'a str],
    /// Public facts by name, such as a fingerprint.
    pub notes: &'a [(&'a str, &'a str)],
    /// What the holder is to do, one paragraph each.
    pub instructions: &'a [&'a str],
}

impl fmt::Debug for SharePage<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SharePage")
            .field("set", &self.set)
            .field("number", &self.number)
            .field("count", &self.count)
            .field("threshold", &self.threshold)
            .finish_non_exhaustive()
    }
}

const LEFT: f32 = 56.0;
const INNER: f32 = WIDTH - 2.0 * LEFT;
const RIGHT: f32 = WIDTH - LEFT;

const BAND: Style = Style::new(Font::SansBold, 9.0).grey(1.0);
const TITLE: Style = Style::new(Font::SansBold, 18.0);
const STATEMENT: Style = Style::new(Font::Sans, 10.5);
const LABEL: Style = Style::new(Font::Sans, 7.5).grey(0.35);
const VALUE: Style = Style::new(Font::Sans, 10.0);
const NAME: Style = Style::new(Font::SansBold, 12.0);
const EXACT: Style = Style::new(Font::Mono, 9.5);
const HEADING: Style = Style::new(Font::SansBold, 10.5);
const BODY: Style = Style::new(Font::Sans, 9.5);
const FOOT: Style = Style::new(Font::Sans, 7.5).grey(0.35);

/// Least distance between texts side by side.
const GAP: f32 = 12.0;
const WORD_COLUMNS: usize = 3;
const CODE_SIDE: f32 = 172.0;
/// Where the boxes to fill in begin, and where the footer stands.
const BOXES_TOP: f32 = 706.0;
const BOX_HEIGHT: f32 = 62.0;
const FOOT_LINE: f32 = 798.0;

/// The page of one holder, as a PDF of exactly one A4 page: who, what, the words in numbered columns, the same words as a QR code
/// (separated by spaces), what to do, and boxes to fill in by hand.
///
/// # Errors
/// [`PdfError`]: letters that cannot be printed, what does not fit, words that are none and numbers that cannot be.
pub fn share_page(share: &SharePage) -> Result<Zeroizing<Vec<u8>>, PdfError> {
    validate(share)?;
    let mut page = Page::new();
    let y = heading(&mut page, share)?;
    let y = facts(&mut page, share, y)?;
    let y = words(&mut page, share, y)?;
    if y > BOXES_TOP - 16.0 {
        return Err(PdfError::TooLong("list of facts and words"));
    }
    instructions(&mut page, share, y)?;
    boxes(&mut page)?;
    footer(&mut page, share)?;
    let mut document = Document::new(&format!("{}, share {} of {}", share.title, share.number, share.count));
    document.add(page);
    Ok(document.finish())
}

fn validate(share: &SharePage) -> Result<(), PdfError> {
    let SharePage { number, count, threshold, words, .. } = *share;
    if number == 0 || number > count || threshold == 0 || threshold > count {
        return Err(PdfError::Numbers { number, count, threshold });
    }
    if words.is_empty() || words.len() > WORDS_MAX {
        return Err(PdfError::WordCount(words.len()));
    }
    let is_word = |word: &&str| {
        (1..=WORD_LENGTH_MAX).contains(&word.len()) && word.bytes().all(|letter| letter.is_ascii_alphabetic())
    };
    match words.iter().position(|word| !is_word(word)) {
        Some(place) => Err(PdfError::Word(place + 1)),
        None => Ok(()),
    }
}

/// The black band, the title and what the share is one of.
fn heading(page: &mut Page, share: &SharePage) -> Result<f32, PdfError> {
    page.fill(LEFT, 40.0, INNER, 20.0, 0.0);
    page.text(LEFT + 8.0, 53.3, BAND, "SECRET: FOR ITS HOLDER ONLY")?;
    let which = format!("SHARE {} OF {}", share.number, share.count);
    page.text_right(RIGHT - 8.0, 53.3, BAND, &which)?;
    let title = at_most(2, TITLE, INNER, share.title, "title")?;
    let mut y = 88.0;
    for line in title {
        page.text(LEFT, y, TITLE, line)?;
        y += 22.0;
    }
    page.text(LEFT, y - 2.0, STATEMENT, &statement(share))?;
    Ok(y + 10.0)
}

fn statement(share: &SharePage) -> String {
    let SharePage { number, count, threshold, .. } = share;
    match (*threshold, *count) {
        (1, _) => format!("Share {number} of {count}. It restores the key by itself."),
        (threshold, count) if threshold == count => {
            format!("Share {number} of {count}. All {count} shares together restore the key.")
        }
        _ => format!("Share {number} of {count}. Any {threshold} of the {count} shares together restore the key."),
    }
}

/// A public fact, and what to call it when it is too long.
#[derive(Clone, Copy)]
struct Fact<'a> {
    label: &'a str,
    value: &'a str,
    style: Style,
    what: &'static str,
}

/// The public facts, in rows between fine rules: two in a row where both are short.
fn facts(page: &mut Page, share: &SharePage, y: f32) -> Result<f32, PdfError> {
    let holder = Fact { label: "Holder", value: share.holder, style: NAME, what: "holder's name" };
    let mut y = fact_row(page, y, &[holder], 2)?;
    let named = [
        Fact { label: "Set of shares", value: share.set, style: EXACT, what: "name of the set" },
        Fact { label: "Created", value: share.created, style: VALUE, what: "time of creation" },
        Fact { label: "Signer", value: share.signer, style: VALUE, what: "signer's name" },
        Fact { label: "Network", value: share.network, style: VALUE, what: "network's name" },
    ];
    let notes = share.notes.iter().map(|(label, value)| Fact { label, value, style: EXACT, what: "value of a note" });
    let mut waiting = None;
    for fact in named.into_iter().chain(notes) {
        let is_short = fact.style.width(fact.value)? <= INNER / 2.0 - GAP;
        match (waiting.take(), is_short) {
            (None, true) => waiting = Some(fact),
            (Some(before), true) => y = fact_row(page, y, &[before, fact], 1)?,
            (before, false) => {
                if let Some(before) = before {
                    y = fact_row(page, y, &[before], 1)?;
                }
                y = fact_row(page, y, &[fact], 3)?;
            }
        }
    }
    if let Some(last) = waiting {
        y = fact_row(page, y, &[last], 1)?;
    }
    page.rule(LEFT, y, INNER, 0.5, 0.6);
    Ok(y)
}

/// One row of facts under its rule.
fn fact_row(page: &mut Page, y: f32, facts: &[Fact], lines_max: usize) -> Result<f32, PdfError> {
    page.rule(LEFT, y, INNER, 0.5, 0.6);
    let column = INNER / facts.len() as f32;
    let mut lower = y;
    for (place, Fact { label, value, style, what }) in facts.iter().enumerate() {
        let left = LEFT + column * place as f32;
        for label in at_most(1, LABEL, column - GAP, label, "name of a note")? {
            page.text(left, y + 10.0, LABEL, label)?;
        }
        let mut line = y + 11.5 + style.size;
        for text in at_most(lines_max, *style, column - GAP, value, what)? {
            page.text(left, line, *style, text)?;
            line += style.size + 2.5;
        }
        lower = lower.max(line - style.size + 3.5);
    }
    Ok(lower)
}

/// The secret: words at the left, their code at the right.
fn words(page: &mut Page, share: &SharePage, y: f32) -> Result<f32, PdfError> {
    let y = y + 20.0;
    page.text(LEFT, y, HEADING, "The words of this share")?;
    page.text_right(RIGHT, y, LABEL, "The same words, to be read by a camera")?;
    let width = INNER - CODE_SIDE - 6.0;
    let leading = if share.words.len() > 13 * WORD_COLUMNS { 12.5 } else { 16.5 };
    let lower = page.words((LEFT, y + 5.0), width, leading, WORD_COLUMNS, share.words)?;
    let mut text = Zeroizing::new(String::with_capacity(WORDS_MAX * (WORD_LENGTH_MAX + 1)));
    for (place, word) in share.words.iter().enumerate() {
        if place > 0 {
            text.push(' ');
        }
        text.push_str(word);
    }
    let code = Qr::new(&text, Correction::Quartile)?;
    // Its dark modules end where the text ends; the quiet zone beyond is the margin.
    let quiet = CODE_SIDE * QUIET_MODULES as f32 / (code.size() + 2 * QUIET_MODULES) as f32;
    page.qr(RIGHT - CODE_SIDE + quiet, y + 2.0, CODE_SIDE, &code);
    Ok(lower.max(y + CODE_SIDE))
}

fn instructions(page: &mut Page, share: &SharePage, y: f32) -> Result<(), PdfError> {
    const INDENT: f32 = 16.0;
    if share.instructions.is_empty() {
        return Ok(());
    }
    let mut y = y + 18.0;
    page.text(LEFT, y, HEADING, "What its holder does")?;
    y += 16.0;
    for (place, instruction) in share.instructions.iter().enumerate() {
        page.text(LEFT, y, BODY, &format!("{}.", place + 1))?;
        y = page.paragraph((LEFT + INDENT, y), INNER - INDENT, 12.5, BODY, instruction)? + 2.5;
    }
    if y > BOXES_TOP - 6.0 {
        return Err(PdfError::TooLong("instruction text"));
    }
    Ok(())
}

/// What is written by hand when the page is sealed.
fn boxes(page: &mut Page) -> Result<(), PdfError> {
    page.text(LEFT, BOXES_TOP, HEADING, "To be filled in by hand")?;
    let mut left = LEFT;
    for (label, share) in
        [("Number of the seal", 0.22), ("Place", 0.25), ("Date", 0.17), ("Signature of the holder", 0.36)]
    {
        let width = INNER * share;
        page.frame(left, BOXES_TOP + 8.0, width, BOX_HEIGHT, 0.6);
        page.text(left + 5.0, BOXES_TOP + 19.0, LABEL, label)?;
        left += width;
    }
    Ok(())
}

fn footer(page: &mut Page, share: &SharePage) -> Result<(), PdfError> {
    let which = format!("share {} of {}, page 1 of 1", share.number, share.count);
    page.rule(LEFT, FOOT_LINE - 12.0, INNER, 0.5, 0.6);
    page.text_right(RIGHT, FOOT_LINE, FOOT, &which)?;
    let set = format!("Set {}", share.set);
    let room = INNER - FOOT.width(&which)? - GAP;
    let line = at_most(1, FOOT, room, &set, "name of the set")?;
    line.iter().try_for_each(|line| page.text(LEFT, FOOT_LINE, FOOT, line))
}

/// The lines of a text that may take so many.
fn at_most<'a>(
    most: usize,
    style: Style,
    width: f32,
    text: &'a str,
    what: &'static str,
) -> Result<Vec<&'a str>, PdfError> {
    let lines = style.lines(width, text)?;
    if lines.len() > most { Err(PdfError::TooLong(what)) } else { Ok(lines) }
}
