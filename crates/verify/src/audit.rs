//! The audit log, checked line by line.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use audit_log::Verifier;

use crate::report::Report;

/// Checks an export.
pub fn run(path: &Path, head: Option<&str>) -> Result<Report, String> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut verifier = Verifier::default();
    let mut report = Report::default();
    for line in BufReader::new(file).lines() {
        let line = line.map_err(|error| format!("{}: {error}", path.display()))?;
        if let Err(error) = verifier.line(&line) {
            report.refuse(error.to_string());
            break;
        }
    }
    let Some(verdict) = verifier.verdict() else {
        report.refuse("there is no entry that holds");
        return Ok(report);
    };
    if report.holds() {
        report.line("entries", verdict.entries);
    }
    report.line("last good entry", verdict.seq);
    report.line("its hash", verdict.head);
    if head.is_some_and(|head| head != verdict.head.to_string()) && report.holds() {
        report.refuse("the last entry's hash is not the one that was noted: the log was cut, or written anew");
    }
    Ok(report)
}
