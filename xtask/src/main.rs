//! `cargo xtask`: the project's own chores.

mod deps;
mod nodes;
mod steps;

use std::path::PathBuf;
use std::process::ExitCode;

/// What went wrong, in words.
type Outcome<T = ()> = Result<T, String>;

const USAGE: &str = "\
cargo xtask COMMAND

  test        everything that must hold: format, lints, import table, licences, all tests
  nodes       find bitcoind, or fetch it into target/nodes; prints its path
  check-deps  the import table of ARCHITECTURE.md against the manifests";

fn main() -> ExitCode {
    let command = std::env::args().nth(1);
    let outcome = match command.as_deref() {
        Some("test") => steps::test(),
        Some("nodes") => nodes::bitcoind().map(|path| println!("{}", path.display())),
        Some("check-deps") => deps::check().map(|()| println!("the import table and the map hold")),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's root.
fn root() -> PathBuf {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    own.parent().map(PathBuf::from).unwrap_or(own)
}
