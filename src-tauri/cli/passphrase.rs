//! Passphrases: from a file only its user can read, from standard input, or typed unseen. Never from an argument, which
//! every process of the computer can see.

use std::io::{BufRead, IsTerminal, Read};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use console::Term;
use zeroize::Zeroizing;

/// Longest passphrase or recovery phrase read.
const LONGEST_BYTES: u64 = 4096;

/// The passphrase in `path`, without its line end.
///
/// # Errors
/// If the file is missing, too long, not text, or readable by others.
pub(crate) fn from_file(path: &Path) -> Result<Zeroizing<String>> {
    let shown = path.display();
    let file =
        std::fs::File::open(path).with_context(|| format!("The passphrase file {shown} cannot be read"))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::{FileTypeExt, PermissionsExt};
        let metadata =
            file.metadata().with_context(|| format!("The passphrase file {shown} cannot be read"))?;
        let is_file = metadata.is_file() || metadata.file_type().is_fifo();
        ensure!(is_file, "The passphrase file {shown} is no file.");
        ensure!(
            metadata.permissions().mode() & 0o077 == 0,
            "The passphrase file {shown} can be read by others. Close it with: chmod 600 {shown}"
        );
    }
    let text = read_text(file).with_context(|| format!("The passphrase file {shown} cannot be used"))?;
    Ok(without_line_end(&text))
}

/// A new passphrase: typed twice unseen on a terminal, else the first line of standard input.
pub(crate) fn ask_new() -> Result<Zeroizing<String>> {
    if !std::io::stdin().is_terminal() {
        return first_line();
    }
    let first = type_unseen("Passphrase for this computer (empty: not protected): ")?;
    if !first.is_empty() && *first != *type_unseen("The same again: ")? {
        bail!("The two passphrases differ. Nothing was made.");
    }
    Ok(first)
}

/// The passphrase of an identity that is there: typed unseen on a terminal, else the first line of standard input.
pub(crate) fn ask() -> Result<Zeroizing<String>> {
    ask_existing()?.map_or_else(first_line, Ok)
}

/// The passphrase of an identity that is there, if somebody sits at a terminal to type it.
pub(crate) fn ask_existing() -> Result<Option<Zeroizing<String>>> {
    if std::io::stdin().is_terminal() { type_unseen("Passphrase: ").map(Some) } else { Ok(None) }
}

/// A recovery phrase from standard input.
pub(crate) fn read_words() -> Result<Zeroizing<String>> {
    if std::io::stdin().is_terminal() {
        return type_unseen("The 24 words: ");
    }
    read_text(std::io::stdin().lock()).context("The words cannot be read from standard input")
}

/// The secret of an account, from standard input.
pub(crate) fn read_secret() -> Result<Zeroizing<String>> {
    if std::io::stdin().is_terminal() {
        return type_unseen("The account's secret (S…): ");
    }
    read_text(std::io::stdin().lock()).context("The secret cannot be read from standard input")
}

fn type_unseen(prompt: &str) -> Result<Zeroizing<String>> {
    let terminal = Term::stderr();
    terminal.write_str(prompt)?;
    Ok(Zeroizing::new(terminal.read_secure_line().context("The terminal cannot be read")?))
}

fn first_line() -> Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(String::new());
    let mut stdin = std::io::stdin().lock().take(LONGEST_BYTES);
    stdin.read_line(&mut line).context("The passphrase cannot be read from standard input")?;
    Ok(without_line_end(&line))
}

fn read_text(source: impl Read) -> Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    source.take(LONGEST_BYTES + 1).read_to_string(&mut text)?;
    ensure!(text.len() as u64 <= LONGEST_BYTES, "it is longer than {LONGEST_BYTES} bytes");
    Ok(text)
}

fn without_line_end(text: &str) -> Zeroizing<String> {
    let line = text.strip_suffix('\n').unwrap_or(text);
    Zeroizing::new(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_line_end_is_taken_off_a_passphrase() {
        assert_eq!(*without_line_end(" two words \r\n"), " two words ");
        assert_eq!(*without_line_end(""), "");
    }

    #[cfg(unix)]
    #[test]
    fn a_passphrase_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pass");
        std::fs::write(&path, "oats\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(from_file(&path).unwrap_err().to_string().contains("chmod 600"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(*from_file(&path).unwrap(), "oats");
    }

    #[test]
    fn an_endless_passphrase_is_refused() {
        assert!(read_text(std::io::repeat(b'a')).is_err());
    }
}
