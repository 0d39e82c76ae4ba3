//! The table: each figure with its target and its ratio to a reference, as text, as JSON and as Markdown.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::conditions::Condition;

const BEGIN: &str = "<!-- bench: begin -->";
const END: &str = "<!-- bench: end -->";

/// What a figure is to be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    /// As much or more.
    AtLeast(f64),
    /// As much or less.
    AtMost(f64),
    /// For comparison alone.
    None,
}

impl Target {
    fn is_met(self, value: f64) -> Option<bool> {
        match self {
            Self::AtLeast(least) => Some(value >= least),
            Self::AtMost(most) => Some(value <= most),
            Self::None => None,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(least) => format!("≥ {}", number(least)),
            Self::AtMost(most) => format!("≤ {}", number(most)),
            Self::None => String::new(),
        }
    }
}

/// What a rate is compared with; all of the same run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reference {
    /// AES-256-GCM on one core.
    Aes,
    /// A sequential write with fsync.
    Disk,
    /// A plain copy over one QUIC stream.
    Quic,
}

/// One figure.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Line {
    what: String,
    value: f64,
    unit: &'static str,
    target: Target,
    met: Option<bool>,
    ratio: Option<(Reference, f64)>,
    note: String,
}

/// All figures of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Table {
    conditions: Vec<Condition>,
    references: Vec<(Reference, f64)>,
    lines: Vec<Line>,
}

impl Table {
    pub(crate) fn new(conditions: Vec<Condition>) -> Self {
        Self { conditions, references: Vec::new(), lines: Vec::new() }
    }

    /// Adds a reference, in MB/s.
    pub(crate) fn refer(&mut self, reference: Reference, what: &str, rate: f64, note: String) {
        self.references.push((reference, rate));
        self.add(what, rate, "MB/s", Target::None, None, note);
    }

    /// Adds a rate in MB/s, compared with a reference.
    pub(crate) fn rate(&mut self, what: &str, rate: f64, target: Target, reference: Reference, note: String) {
        let known = self.references.iter().find(|(known, _)| *known == reference);
        let ratio = known.map(|(_, known)| (reference, rate / known));
        self.add(what, rate, "MB/s", target, ratio, note);
    }

    /// Adds milliseconds of one core for so many bytes, compared with AES for as many.
    pub(crate) fn time(&mut self, what: &str, ms: f64, bytes: f64, target: Target, note: String) {
        let known = self.references.iter().find(|(known, _)| *known == Reference::Aes);
        let ratio = known.map(|(_, known)| (Reference::Aes, bytes / 1e3 / ms / known));
        self.add(what, ms, "ms", target, ratio, note);
    }

    /// Adds a figure that nothing can be compared with.
    pub(crate) fn figure(
        &mut self,
        what: &str,
        value: f64,
        unit: &'static str,
        target: Target,
        note: String,
    ) {
        self.add(what, value, unit, target, None, note);
    }

    fn add(
        &mut self,
        what: &str,
        value: f64,
        unit: &'static str,
        target: Target,
        ratio: Option<(Reference, f64)>,
        note: String,
    ) {
        eprintln!("{what}: {} {unit}  {note}", number(value));
        let met = target.is_met(value);
        self.lines.push(Line { what: what.to_owned(), value, unit, target, met, ratio, note });
    }

    fn rows(&self) -> Vec<[String; 6]> {
        let row = |line: &Line| {
            let met = line.met.map_or("", |met| if met { "yes" } else { "no" });
            let ratio = line.ratio.map_or_else(String::new, |(to, ratio)| {
                let name = match to {
                    Reference::Aes => "AES",
                    Reference::Disk => "disk",
                    Reference::Quic => "QUIC",
                };
                format!("{ratio:.2} × {name}")
            });
            let figure = format!("{} {}", number(line.value), line.unit);
            [line.what.clone(), figure, line.target.text(), met.to_owned(), ratio, line.note.clone()]
        };
        let head = ["", "figure", "target", "met", "ratio", "note"].map(str::to_owned);
        std::iter::once(head).chain(self.lines.iter().map(row)).collect()
    }

    /// For a terminal.
    pub(crate) fn text(&self) -> String {
        let rows = self.rows();
        let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
        let widths: [usize; 6] = std::array::from_fn(width);
        let mut text = String::new();
        for Condition { what, value } in &self.conditions {
            let _ = writeln!(text, "{what}: {value}");
        }
        for row in &rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(widths) {
                let _ = write!(line, "{cell:width$}  ");
            }
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text
    }

    /// `text` with the table in place of what stands between the two markers.
    pub(crate) fn within(&self, text: &str) -> Result<String> {
        let missing = || format!("it has no {BEGIN} and {END}");
        let (before, rest) = text.split_once(BEGIN).with_context(missing)?;
        let (_, after) = rest.split_once(END).with_context(missing)?;
        Ok(format!("{before}{BEGIN}\n{}{END}{after}", self.markdown()))
    }

    fn markdown(&self) -> String {
        let conditions: Vec<String> =
            self.conditions.iter().map(|Condition { what, value }| format!("{what}: {value}")).collect();
        let mut text = format!("{}.\n\n", conditions.join("; "));
        for (at, row) in self.rows().iter().enumerate() {
            let _ = writeln!(text, "| {} |", row.join(" | "));
            if at == 0 {
                text.push_str("|---|--:|--:|---|--:|---|\n");
            }
        }
        text
    }
}

/// Three digits that count.
fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        medium if medium >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_replaces_only_what_stands_between_its_markers() {
        let mut table = Table::new(vec![Condition { what: "cores", value: "2".into() }]);
        table.refer(Reference::Aes, "AES", 3000.0, String::new());
        table.rate("encode", 600.0, Target::AtLeast(400.0), Reference::Aes, String::new());
        table.figure("ready", 1.5, "s", Target::AtMost(1.0), String::new());
        let text = table.within(&format!("a\n{BEGIN}\nold\n{END}\nb\n")).unwrap();
        assert!(text.starts_with("a\n") && text.ends_with("\nb\n") && !text.contains("old"));
        assert!(text.contains("| encode | 600 MB/s | ≥ 400 | yes | 0.20 × AES |"), "{text}");
        assert!(text.contains("| ready | 1.50 s | ≤ 1.00 | no |"), "{text}");
        assert!(table.within("no markers").is_err());
    }
}
