//! The test command: everything that must hold, one step after the other, each with its time.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use crate::{Outcome, deps, nodes, root};

const CARGO_DENY: &str = "0.20.2";

/// Runs every check; stops at the first that fails.
pub fn test() -> Outcome {
    step("format", || cargo(&["fmt", "--all", "--check"]))?;
    step("lints", || cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"]))?;
    step("import table", deps::check)?;
    step("licences and sources", licences)?;
    step("bitcoind", || nodes::bitcoind().map(|_| ()))?;
    step("programs", || cargo(&["build", "--workspace", "--bins", "--locked"]))?;
    step("tests", || cargo(&["test", "--workspace", "--locked"]))
}

fn step(name: &str, work: impl FnOnce() -> Outcome) -> Outcome {
    eprintln!("== {name}");
    let start = Instant::now();
    work().map_err(|error| format!("{name} failed: {error}"))?;
    eprintln!("== {name}: {} s", start.elapsed().as_secs());
    Ok(())
}

fn cargo(arguments: &[&str]) -> Outcome {
    let status = Command::new(env!("CARGO")).args(arguments).current_dir(root()).status();
    if status.map_err(|error| error.to_string())?.success() {
        Ok(())
    } else {
        Err(format!("cargo {}", arguments.join(" ")))
    }
}

/// Licences, duplicates and sources by cargo-deny. The database of advisories is not a package and has to be fetched from
/// elsewhere: it is checked where it is present, and said so where it is not.
fn licences() -> Outcome {
    let tool = deny()?;
    let check = |what: &[&str]| {
        let status = Command::new(&tool)
            .args(["--offline", "check", "--hide-inclusion-graph"])
            .args(what)
            .current_dir(root())
            .status();
        if status.map_err(|error| error.to_string())?.success() { Ok(()) } else { Err("see above".to_owned()) }
    };
    check(&["licenses", "bans", "sources"])?;
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let present = home.is_some_and(|home| {
        home.join("advisory-dbs")
            .read_dir()
            .is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(|entry| entry.path().is_dir())))
    });
    if present {
        return check(&["advisories"]);
    }
    eprintln!("   advisories were NOT checked: no database on this machine; `cargo deny fetch` gets it");
    Ok(())
}

fn deny() -> Outcome<PathBuf> {
    let home = root().join("target/tools");
    let tool = home.join("bin/cargo-deny");
    if !tool.is_file() {
        let home = home.to_string_lossy().into_owned();
        cargo(&["install", "--quiet", "--debug", "--locked", "--root", &home, "--version", CARGO_DENY, "cargo-deny"])?;
    }
    Ok(tool)
}
