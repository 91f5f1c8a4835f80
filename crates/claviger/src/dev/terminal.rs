//! What the terminal shows: steps with their time, and figures in line.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::Outcome;

fn styled(code: &str, text: &str) -> String {
    let plain = std::env::var_os("NO_COLOR").is_some() || !std::io::stdout().is_terminal();
    if plain { text.to_owned() } else { format!("\x1b[{code}m{text}\x1b[0m") }
}

/// A warning that nobody overlooks.
pub fn warning(text: &str) {
    println!("{}\n", styled("1;33", text));
}

/// A chapter of the story.
pub fn chapter(text: &str) {
    println!("\n{}", styled("1", text));
}

/// A fact with its name.
pub fn fact(name: &str, value: impl std::fmt::Display) {
    println!("    {name:15} {value}");
}

/// Something that every signer refused, as it should be, with the rule's name.
pub fn refused(what: &str, codes: &str) {
    println!("  {} {what} {}", styled("32", "✓ refused:"), styled("2", &format!("({codes})")));
}

/// Does a step and shows how long it took.
pub fn step<T>(name: &str, work: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    let start = Instant::now();
    if std::io::stdout().is_terminal() {
        print!("  … {name}\r");
        let _ = std::io::stdout().flush();
    }
    let outcome = work();
    let mark = if outcome.is_ok() { styled("32", "✓") } else { styled("31", "✗") };
    println!("  {mark} {name} {}", styled("2", &format!("({} ms)", start.elapsed().as_millis())));
    outcome
}

/// How long the story waits for something that should happen by itself: longer than any single call to a node may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// Looks until something is there; `None` means: not yet. Errors of looking count as not yet, and are told at the end.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Outcome<Option<T>>) -> Outcome<T> {
    let start = Instant::now();
    loop {
        let last = match look() {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => "not yet".to_owned(),
            Err(error) => error,
        };
        if start.elapsed() > PATIENCE {
            return Err(format!("waited in vain for: {what} ({last})"));
        }
        std::thread::park_timeout(Duration::from_millis(30));
    }
}
