//! The `hayloft` command as a person or a script runs it.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// How a command ended.
#[derive(Debug)]
pub struct Finished {
    /// Exit code; -1 if a signal ended it.
    pub code: i32,
    /// All of stdout.
    pub stdout: String,
    /// All of stderr.
    pub stderr: String,
}

impl Finished {
    /// The one JSON document on stdout.
    ///
    /// # Errors
    /// If stdout holds anything else.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.stdout).with_context(|| format!("not one JSON document: {self:?}"))
    }

    /// The JSON document of a command that succeeded.
    ///
    /// # Errors
    /// If it did not.
    pub fn done(&self) -> Result<Value> {
        ensure!(self.code == 0, "exit code {}: {self:?}", self.code);
        self.json()
    }

    /// Code and sentence of a command that was refused, with exit code 1 and the same sentence on stderr.
    ///
    /// # Errors
    /// If it ended in any other way.
    pub fn refused(&self) -> Result<(String, String)> {
        ensure!(self.code == 1, "exit code {}: {self:?}", self.code);
        let error = &self.json()?["error"];
        let text =
            |field: &str| error[field].as_str().map(str::to_owned).with_context(|| format!("{self:?}"));
        let (code, message) = (text("code")?, text("message")?);
        ensure!(self.stderr.contains(&message), "the sentence is not on stderr: {self:?}");
        ensure!(message.contains(' '), "not a sentence: {message}");
        Ok((code, message))
    }
}

/// Where the command was built: beside this test, or where `HAYLOFT_BIN` says.
///
/// # Errors
/// If it was not built.
pub fn binary() -> Result<PathBuf> {
    match std::env::var_os("HAYLOFT_BIN") {
        Some(path) => Ok(path.into()),
        None => built("hayloft"),
    }
}

/// Where a program of this workspace was built.
///
/// # Errors
/// If it was not built.
pub fn built(program: &str) -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    // A test lies in target/PROFILE/deps, programs in target/PROFILE.
    let name = format!("{program}{}", std::env::consts::EXE_SUFFIX);
    let found = test.ancestors().skip(1).take(2).map(|folder| folder.join(&name)).find(|path| path.is_file());
    found.with_context(|| format!("{program} is not built: run cargo build --bin {program} first"))
}

/// Runs `hayloft --home HOME --json WORDS` with nothing on stdin.
///
/// # Errors
/// If it cannot be run at all.
pub fn hayloft<S: AsRef<OsStr>>(home: &Path, words: impl IntoIterator<Item = S>) -> Result<Finished> {
    hayloft_fed(home, words, "")
}

/// Runs `hayloft --home HOME --json WORDS` with `stdin` on stdin.
///
/// # Errors
/// If it cannot be run at all.
pub fn hayloft_fed<S: AsRef<OsStr>>(
    home: &Path,
    words: impl IntoIterator<Item = S>,
    stdin: &str,
) -> Result<Finished> {
    let mut child = spawn(home, words)?;
    // A command that does not read its input may have ended already.
    let _ = child.stdin.take().map(|mut pipe| pipe.write_all(stdin.as_bytes()));
    finish(child)
}

/// Runs `hayloft --home HOME --json WORDS` with a stdin that stays open until it has ended.
///
/// # Errors
/// If it cannot be run at all.
pub fn hayloft_held<S: AsRef<OsStr>>(home: &Path, words: impl IntoIterator<Item = S>) -> Result<Finished> {
    let mut child = spawn(home, words)?;
    let pipe = child.stdin.take();
    let finished = finish(child);
    drop(pipe);
    finished
}

fn spawn<S: AsRef<OsStr>>(home: &Path, words: impl IntoIterator<Item = S>) -> Result<Child> {
    let mut command = Command::new(binary()?);
    command.arg("--home").arg(home).arg("--json").args(words);
    Ok(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
}

fn finish(child: Child) -> Result<Finished> {
    let output = child.wait_with_output()?;
    Ok(Finished {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout)?,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
