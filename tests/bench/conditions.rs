//! On what, and beside what, a run was made.

use std::{fs, path::Path, process::Command};

use serde::Serialize;

/// One thing that figures depend on.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Condition {
    pub(crate) what: &'static str,
    pub(crate) value: String,
}

/// What this machine is and does now.
pub(crate) fn look() -> Vec<Condition> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let condition = |what, value: String| Condition { what, value: value.trim().to_owned() };
    vec![
        condition("commit", said("git", &["describe", "--always", "--dirty"])),
        condition("cores", cores.to_string()),
        condition("CPU", field(Path::new("/proc/cpuinfo"), "model name")),
        condition("memory", field(Path::new("/proc/meminfo"), "MemTotal")),
        condition("disk", disk()),
        condition("system", said("uname", &["-sr"])),
        condition("load before", load.split(' ').take(3).collect::<Vec<_>>().join(" ")),
    ]
}

fn field(path: &Path, name: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.split_once(':').map_or_else(String::new, |(_, value)| value.trim().to_owned())
}

/// File system and free space where the networks' homes will be.
fn disk() -> String {
    let folder = std::env::temp_dir();
    let told = said("df", &["--output=fstype,avail", "-BG", &folder.to_string_lossy()]);
    let words: Vec<&str> = told.lines().last().unwrap_or_default().split_whitespace().collect();
    format!("{} free", words.join(", "))
}

fn said(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output();
    output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).into_owned())
}
