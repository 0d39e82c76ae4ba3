//! What a person or a script reads: one result on stdout, everything else on stderr.
//!
//! Invariant: names, which may hold anything, reach a terminal with their control characters escaped.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;

use anyhow::Context as _;
use bytesize::ByteSize;
use hayloft_node::model::{ApiError, ErrorCode};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::json;

/// How results are printed.
#[derive(Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

/// A refusal of this command itself, with a code beyond those of the node.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Refusal {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether it is to be one JSON document.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Prints the result: `value` as one JSON document, or the text made by `human`. A reader that has gone away (`| head`) is
    /// no error.
    pub(crate) fn result(self, value: &impl Serialize, human: impl FnOnce() -> String) -> anyhow::Result<()> {
        match self.once(value, human) {
            Err(gone) if gone.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            printed => printed.context("the result could not be printed"),
        }
    }

    /// Prints a result that can be had but once: a reader that has gone away is an error too.
    pub(crate) fn once(self, value: &impl Serialize, human: impl FnOnce() -> String) -> io::Result<()> {
        let text = if self.json { serde_json::to_string(value)? } else { human() };
        if text.is_empty() { Ok(()) } else { print_bytes(format!("{}\n", text.trim_end()).as_bytes()) }
    }

    /// Says something on the side.
    pub(crate) fn note(self, text: impl Display) {
        eprintln!("{text}");
    }

    /// Prints why nothing came of it.
    pub(crate) fn refuse(self, error: &anyhow::Error) {
        let message = format!("{error:#}");
        if self.json {
            let refusal = json!({"error": {"code": code_of(error), "message": message}});
            // The exit code tells of it too.
            let _ = print_bytes(format!("{refusal}\n").as_bytes());
        }
        eprintln!("hayloft: {message}");
    }

    /// Prints why the words were wrong.
    pub(crate) fn refuse_usage(self, message: &str) {
        let first = message.lines().next().unwrap_or_default().trim_start_matches("error: ");
        let _ =
            print_bytes(format!("{}\n", json!({"error": {"code": "usage", "message": first}})).as_bytes());
        eprint!("{message}");
    }
}

fn code_of(error: &anyhow::Error) -> String {
    if let Some(api) = error.downcast_ref::<ApiError>() {
        return word(&api.code);
    }
    match error.downcast_ref::<Refusal>() {
        Some(refusal) => refusal.code.to_owned(),
        None => word(&ErrorCode::Internal),
    }
}

/// The JSON word of a value that is one.
pub(crate) fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Writes to stdout.
pub(crate) fn print_bytes(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush())
}

/// Bytes for people, in powers of ten as disks are sold.
pub(crate) fn size(bytes: u64) -> String {
    ByteSize::b(bytes).display().si().to_string()
}

/// So many of something, as in "1 file" and "2 files".
pub(crate) fn counted(count: u64, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

/// A path as a word that can be pasted into a shell.
pub(crate) fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |symbol: char| symbol.is_alphanumeric() || "/\\:._-+@%".contains(symbol);
    if !path.is_empty() && path.chars().all(plain) {
        return path;
    }
    format!("'{}'", path.replace('\'', r"'\''"))
}

/// A moment for people, in local time.
pub(crate) fn moment(seconds: u64) -> String {
    let stamp = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    stamp.map_or_else(String::new, |stamp| {
        stamp.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string()
    })
}

/// A day for people, in local time.
pub(crate) fn day(seconds: u64) -> String {
    moment(seconds).split(' ').next().unwrap_or_default().to_owned()
}

/// A name with its control characters escaped, so that it cannot drive the terminal, and those that turn the direction of
/// writing, so that it cannot pass for another one.
pub(crate) fn printable(name: &str) -> String {
    name.chars().fold(String::with_capacity(name.len()), |mut text, symbol| {
        if symbol.is_control() || turns(symbol) {
            text.extend(symbol.escape_unicode())
        } else {
            text.push(symbol)
        }
        text
    })
}

/// Whether a character is unseen itself and turns or breaks the line around it: marks, embeddings, overrides, isolates.
fn turns(symbol: char) -> bool {
    matches!(symbol, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Columns padded to their widest cell, as terminals measure it.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    let lines = || std::iter::once(&head).chain(rows);
    let width = |column: usize| {
        lines()
            .filter_map(|row| row.get(column))
            .map(|cell| console::measure_text_width(cell))
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let padded = cells
            .map(|(cell, &width)| console::pad_str(cell, width, console::Alignment::Left, None).into_owned());
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_drive_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\u{a}");
        assert_eq!(printable("photo\u{202e}gpj.exe"), "photo\\u{202e}gpj.exe");
        assert_eq!(printable("Grüße 🌾 עברית"), "Grüße 🌾 עברית");
    }

    #[test]
    fn a_path_can_be_pasted() {
        assert_eq!(quoted(Path::new("/tmp/devnet-1")), "/tmp/devnet-1");
        assert_eq!(quoted(Path::new("/tmp/dev net/ü's")), r"'/tmp/dev net/ü'\''s'");
    }

    #[test]
    fn columns_line_up_also_with_wide_letters() {
        let rows = vec![vec!["麦".to_owned(), "1".to_owned()], vec!["oats".to_owned(), "2".to_owned()]];
        assert_eq!(table(&["NAME", "N"], &rows), "NAME  N\n麦    1\noats  2");
    }

    #[test]
    fn a_refusal_carries_the_code_of_its_cause() {
        let error = anyhow::Error::from(ApiError::bad_request("No."));
        assert_eq!(code_of(&error), "bad_request");
        assert_eq!(code_of(&Refusal { code: "not_running", message: "No.".into() }.into()), "not_running");
    }
}
