//! A charter, as those read it who are asked to sign it.

use std::path::Path;

use policy::Charter;
use serde_json::Value;
use types::words;

use crate::report::{Report, read_charter};

/// Shows a charter, and what it changes.
pub fn run(file: &Path, current: Option<&Path>, text_to_sign: Option<&Path>) -> Result<Report, String> {
    let charter = read_charter(file)?;
    let digest = charter.digest();
    let mut report = Report::default();
    report.line("version", charter.version);
    report.line("digest", digest);
    report.line("words", words(&digest).join(" "));
    report.line("people", charter.operators.iter().map(|one| one.id.to_string()).collect::<Vec<_>>().join(", "));
    report.line("customers", charter.customers.len());
    for tier in &charter.tiers {
        let windows: Vec<_> =
            tier.windows.iter().map(|window| format!("{} in {} s", window.amount_max, window.seconds)).collect();
        report.line(
            format!("tier {}", tier.name),
            format!(
                "wallet {}, at most {} each{}{}, {} people of {} organisations",
                tier.wallet,
                tier.amount_max,
                if windows.is_empty() { "" } else { ", " },
                windows.join(", "),
                tier.quorum.people,
                tier.quorum.organisations
            ),
        );
    }
    if let Some(current) = current {
        let current = read_charter(current)?;
        if current.version.checked_add(1) != Some(charter.version) || charter.previous != Some(current.digest()) {
            report.refuse(format!("it does not follow version {} ({})", current.version, current.digest()));
        }
        for (place, change) in changes(&current, &charter) {
            report.line(place, change);
        }
    }
    if let Some(path) = text_to_sign {
        std::fs::write(path, format!("{digest}\n")).map_err(|error| format!("{}: {error}", path.display()))?;
        report.line("to sign it", format!("ssh-keygen -Y sign -n claviger-charter -f YOUR_KEY {}", path.display()));
    }
    Ok(report)
}

/// Every value that differs, by its place.
fn changes(before: &Charter, after: &Charter) -> Vec<(String, String)> {
    let value = |charter: &Charter| serde_json::from_slice(&charter.to_bytes()).unwrap_or_default();
    let mut changes = Vec::new();
    compare("", &value(before), &value(after), &mut changes);
    changes
}

fn compare(place: &str, before: &Value, after: &Value, changes: &mut Vec<(String, String)>) {
    if before == after {
        return;
    }
    let inside = |name: &str| if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") };
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            for (name, value) in new {
                compare(&inside(name), old.get(name).unwrap_or(&Value::Null), value, changes);
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            let name = |item: &Value| {
                let field = |field: &str| item.get(field).and_then(Value::as_str).map(str::to_owned);
                field("id").or(field("name"))
            };
            let same = |list: &[Value], item: &Value| {
                list.iter().find(|other| *other == item || (name(item).is_some() && name(other) == name(item))).cloned()
            };
            for item in new {
                let at = inside(&name(item).unwrap_or_else(|| item.to_string()));
                compare(&at, &same(old, item).unwrap_or_default(), item, changes);
            }
            for item in old.iter().filter(|item| same(new, item).is_none()) {
                changes.push((inside(&name(item).unwrap_or_else(|| item.to_string())), "is gone".to_owned()));
            }
        }
        (Value::Null, new) => changes.push((place.to_owned(), format!("is new: {new}"))),
        (old, new) => changes.push((place.to_owned(), format!("{old} becomes {new}"))),
    }
}
