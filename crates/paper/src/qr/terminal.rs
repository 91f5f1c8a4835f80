use zeroize::Zeroizing;

use super::{QUIET_MODULES, Qr};

/// Black on white from the fixed part of the 256 colours, which themes do not bend.
const COLOURS: &str = "\x1b[38;5;16m\x1b[48;5;231m";
const RESET: &str = "\x1b[0m";
/// Longest character, in bytes.
const BLOCK_BYTES: usize = 3;

/// What a terminal without colours draws on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Background {
    /// Light letters on a dark ground: the light modules are drawn.
    Dark,
    /// Dark letters on a light ground: the dark modules are drawn.
    Light,
}

impl Qr {
    /// Lines of half blocks with the quiet zone, two rows of modules in each line. They set their own colours, and so read alike on
    /// dark and on light terminals.
    pub fn to_terminal(&self) -> Zeroizing<String> {
        self.lines(COLOURS, RESET, true)
    }

    /// The same without colours, for terminals that have none and for files; it has to be told on what it is drawn.
    pub fn to_terminal_plain(&self, background: Background) -> Zeroizing<String> {
        self.lines("", "", background == Background::Light)
    }

    /// `inked` is the kind of modules that is drawn.
    fn lines(&self, before: &str, after: &str, inked: bool) -> Zeroizing<String> {
        let side = self.size() + 2 * QUIET_MODULES;
        let line_bytes = before.len() + side * BLOCK_BYTES + after.len() + 1;
        let mut text = Zeroizing::new(String::with_capacity(side.div_ceil(2) * line_bytes));
        let is_inked = |x: usize, y: usize| {
            let inside = x.checked_sub(QUIET_MODULES).zip(y.checked_sub(QUIET_MODULES));
            inside.is_some_and(|(x, y)| self.is_dark(x, y)) == inked
        };
        for y in (0..side).step_by(2) {
            text.push_str(before);
            for x in 0..side {
                text.push(match (is_inked(x, y), is_inked(x, y + 1)) {
                    (true, true) => '\u{2588}',
                    (true, false) => '\u{2580}',
                    (false, true) => '\u{2584}',
                    (false, false) => ' ',
                });
            }
            text.push_str(after);
            text.push('\n');
        }
        text
    }
}
