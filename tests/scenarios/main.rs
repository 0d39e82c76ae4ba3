//! Scenarios on networks of real processes; one binary, because each one linked costs as much as many tests.

mod auditing;
mod audits;
mod discovery;
#[cfg(target_os = "linux")]
mod disks;
#[cfg(target_os = "linux")]
mod floods;
mod groups;
mod kill;
mod liars;
mod lines;
mod money;
mod quota;
mod repair;
mod scrub;
