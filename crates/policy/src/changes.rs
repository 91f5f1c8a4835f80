//! What a charter changes, in words: read by those who are asked to sign it.

use serde_json::Value;

use crate::charter::Charter;

/// Every value that differs between two charters: its place, and what becomes of it.
pub fn changes(before: &Charter, after: &Charter) -> Vec<(String, String)> {
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
