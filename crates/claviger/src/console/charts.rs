//! Charts as SVG, made here from numbers alone.

use std::fmt::Write as _;

/// How much of a limit is used: two bars in one.
pub fn bar(used: u128, limit: u128) -> String {
    let share = if limit == 0 { 1.0 } else { ratio(used, limit).min(1.0) };
    let class = if used > limit { "over" } else { "used" };
    format!(
        "<svg class=\"chart\" viewBox=\"0 0 400 12\" role=\"img\" aria-label=\"{:.0} percent used\">\
         <rect class=\"track\" width=\"400\" height=\"12\" rx=\"6\"/><rect class=\"{class}\" width=\"{:.1}\" height=\"12\" rx=\"6\"/></svg>",
        share * 100.0,
        share * 400.0
    )
}

fn ratio(part: u128, whole: u128) -> f64 {
    // Only for drawing: amounts themselves are never floats.
    part as f64 / whole as f64
}

/// A day's sums.
pub struct Day {
    /// Its name, such as `11-24`.
    pub name: String,
    /// In, in base units.
    pub inward: u128,
    /// Out, in base units.
    pub outward: u128,
}

/// Bars for each day: in upward, out beside it.
pub fn flows(days: &[Day]) -> String {
    let most = days.iter().flat_map(|day| [day.inward, day.outward]).max().unwrap_or(0).max(1);
    let mut svg = String::from(
        "<svg class=\"chart\" viewBox=\"0 0 560 150\" role=\"img\" aria-label=\"coins credited and paid out, by day\">\
         <line class=\"axis\" x1=\"0\" y1=\"125.5\" x2=\"560\" y2=\"125.5\"/>",
    );
    let width = 560.0 / days.len().max(1) as f64;
    for (place, day) in days.iter().enumerate() {
        let left = place as f64 * width;
        for (class, value, shift) in [("in", day.inward, 0.18), ("out", day.outward, 0.52)] {
            let height = ratio(value, most) * 115.0;
            // Writing into a String cannot fail.
            let _ = write!(
                svg,
                "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\" rx=\"2\"/>",
                left + width * shift,
                125.0 - height,
                width * 0.3
            );
        }
        if place % 2 == days.len().saturating_sub(1) % 2 {
            let _ = write!(
                svg,
                "<text x=\"{:.1}\" y=\"142\" text-anchor=\"middle\">{}</text>",
                left + width / 2.0,
                day.name
            );
        }
    }
    svg.push_str("</svg>");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_never_leave_their_track() {
        for (used, limit, width) in [
            (0, 10, "width=\"0.0\""),
            (5, 10, "width=\"200.0\""),
            (20, 10, "width=\"400.0\""),
            (1, 0, "width=\"400.0\""),
        ] {
            assert!(bar(used, limit).contains(width), "{used} of {limit}");
        }
        assert!(bar(11, 10).contains("class=\"over\""));
        assert!(flows(&[]).ends_with("</svg>"));
        let day = |inward, outward| Day { name: "11-24".to_owned(), inward, outward };
        let svg = flows(&[day(u128::MAX, 0), day(0, 1)]);
        assert!(svg.contains("height=\"115.0\"") && !svg.contains("NaN"), "{svg}");
    }
}
