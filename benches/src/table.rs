//! The table of a run, for a terminal and for the documentation.

use std::fmt::Write as _;

use crate::row::{HEADS, Row};

/// For a terminal: columns under their heads.
#[must_use]
pub fn text(rows: &[Row]) -> String {
    let lines: Vec<[String; 7]> = rows.iter().map(Row::columns).collect();
    let mut widths = HEADS.map(|head| head.chars().count());
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let mut write = |cells: &[String; 7]| {
        let mut line = String::new();
        for (at, (cell, width)) in cells.iter().zip(widths).enumerate() {
            let fill = " ".repeat(width - cell.chars().count());
            // Text stands at the left, numbers at the right.
            if matches!(at, 0 | 2 | 6) {
                let _ = write!(line, "{cell}{fill}  ");
            } else {
                let _ = write!(line, "{fill}{cell}  ");
            }
        }
        let _ = writeln!(text, "{}", line.trim_end());
    };
    write(&HEADS.map(str::to_owned));
    lines.iter().for_each(write);
    text
}

/// For the documentation: Markdown, one table for each suite.
#[must_use]
pub fn markdown(rows: &[Row]) -> String {
    let mut text = String::new();
    let mut suite = "";
    for row in rows {
        if row.suite != suite {
            suite = row.suite;
            let _ =
                writeln!(text, "\n### {suite}\n\n| {} |\n|{}", HEADS.join(" | "), "---|".repeat(HEADS.len()));
        }
        let _ = writeln!(text, "| {} |", row.columns().join(" | "));
    }
    text
}

/// Puts `part` between the two marks of `document`; nothing when a mark is missing.
#[must_use]
pub fn put_between(document: &str, begin: &str, end: &str, part: &str) -> Option<String> {
    let (before, rest) = document.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    Some(format!("{before}{begin}\n{}\n\n{end}{after}", part.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let document = "a\n<!-- b -->\nold\n<!-- e -->\nz";
        let changed = put_between(document, "<!-- b -->", "<!-- e -->", "new").unwrap();
        assert_eq!(changed, "a\n<!-- b -->\nnew\n\n<!-- e -->\nz");
        assert_eq!(put_between(document, "<!-- x -->", "<!-- e -->", "new"), None);
    }
}
