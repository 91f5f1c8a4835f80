//! Answers as people read them.

use serde_json::Value;
use types::{Amount, grouped};

/// A column: its title, and the field that it shows.
pub type Column = (&'static str, &'static str);

/// A cell: amounts in the unit that people speak of, everything else as it is.
fn cell(row: &Value, field: &str) -> String {
    let value = row.get(field).unwrap_or(&Value::Null);
    let decimals = row.get("decimals").and_then(Value::as_u64).and_then(|decimals| u8::try_from(decimals).ok());
    let amounts =
        ["amount", "available", "held", "credits", "debits", "books", "coins", "chain", "uncredited", "unsettled"];
    match (value, decimals) {
        (Value::String(text), Some(decimals)) if amounts.contains(&field) => {
            text.parse::<Amount>().map_or_else(|_| text.clone(), |amount| amount.to_decimal(decimals))
        }
        (Value::String(text), _) => text.clone(),
        (Value::Null, _) => String::new(),
        (Value::Array(items), _) => {
            items.iter().map(|item| item.as_str().unwrap_or_default()).collect::<Vec<_>>().join(", ")
        }
        (other, _) => other.to_string(),
    }
}

/// A table with aligned columns; numbers stand to the right.
pub fn table(rows: &[Value], columns: &[Column]) -> String {
    if rows.is_empty() {
        return "nothing here yet\n".to_owned();
    }
    // A column in which nobody has anything is left out.
    let told = |field: &str| rows.iter().any(|row| !cell(row, field).is_empty());
    let columns: Vec<Column> = columns.iter().filter(|(_, field)| told(field)).copied().collect();
    let cells: Vec<Vec<String>> =
        rows.iter().map(|row| columns.iter().map(|(_, field)| cell(row, field)).collect()).collect();
    let width = |place: usize, title: &str| {
        cells
            .iter()
            .filter_map(|row| row.get(place))
            .map(|cell| cell.chars().count())
            .chain([title.len()])
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = columns.iter().enumerate().map(|(place, (title, _))| width(place, title)).collect();
    let numeric = |place: usize| {
        let mut cells = cells.iter().filter_map(|row| row.get(place)).filter(|cell| !cell.is_empty()).peekable();
        cells.peek().is_some() && cells.all(|cell| cell.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'))
    };
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).enumerate().map(|(place, (cell, width))| {
            if numeric(place) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        format!("{}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    let mut text = line(columns.iter().map(|(title, _)| *title).collect());
    for row in &cells {
        text.push_str(&line(row.iter().map(String::as_str).collect()));
    }
    text
}

/// One thing, a line for each field.
pub fn facts(value: &Value, columns: &[Column]) -> String {
    let width = columns.iter().map(|(title, _)| title.len()).max().unwrap_or(0);
    let lines = columns.iter().filter_map(|(title, field)| {
        let text = cell(value, field);
        let text = if *field == "destination" || *field == "address" { grouped(&text) } else { text };
        (!text.is_empty()).then(|| format!("{title:<width$}  {text}\n"))
    });
    lines.collect()
}
