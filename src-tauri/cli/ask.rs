//! Asking a person before something is done that cannot be undone.

use std::io::IsTerminal;

use anyhow::Result;
use console::Term;

use crate::output::Refusal;

/// Whether the person says yes to the question; only a clear yes counts.
///
/// # Errors
/// A refusal that says `why` and names `--yes`, if nobody can be asked.
pub(crate) fn confirmed(question: &str, why: &str) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        let message = format!("{why}, and nobody can be asked here. To do it without asking, add --yes.");
        return Err(Refusal { code: "bad_request", message }.into());
    }
    let terminal = Term::stderr();
    terminal.write_str(&format!("{question} [y/N] "))?;
    let answer = terminal.read_line()?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
