//! The testbed: real `hayloft` processes on loopback, driven through the command line and the local API.
//!
//! Invariants: no port is fixed, nothing is awaited by sleeping, and no process outlives its test: each ends when the pipe
//! to its standard input closes, which also a killed test closes. Deliberately absent: nodes inside the test's process.

mod afar;
mod asker;
mod bed;
mod books;
#[cfg(target_os = "linux")]
mod disk;
mod field;
mod line;
#[cfg(target_os = "linux")]
mod memory;
mod run_command;
mod shards;
mod signals;

pub use afar::{Afar, Distant, begin_get, begin_put, outcome, watch};
pub use asker::{Asker, Audited, Verdict};
pub use bed::{Devnet, Farmer, Flood, Ledger, Liar, NodeProcess, end_of, farmers_seen};
pub use books::{Books, Segments, kept_bytes, segments, settled, unsettled, without_tags};
#[cfg(target_os = "linux")]
pub use disk::SmallDisk;
pub use field::{Field, Member};
pub use line::{Carried, Conditions, Line, Lines, Place};
#[cfg(target_os = "linux")]
pub use memory::{Memory, bytes_written};
pub use run_command::{Finished, binary, built, hayloft, hayloft_fed, hayloft_held};
pub use shards::{exchange, flip_in_one_percent, job_end, noise_file, shard_files};
pub use signals::{go_on, kill_9, pause, terminate};
