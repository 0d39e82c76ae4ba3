//! Finding peers and moving bytes: the only crate that knows libp2p.
//!
//! One [`Net`] per node. Its swarm runs in one task; every handle talks to that task by channels. Each request is a
//! stream of its own: one frame asks, one answers, data frames may follow. Everything a stranger sends is bounded
//! by a number in [`limits`]. Deliberately absent: who is an owner, what a contract is worth, what is on the disk.

mod address;
mod candidate;
mod config;
mod discovery;
mod error;
pub mod farmer;
mod frames;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod handle;
mod hearing;
pub mod limits;
pub mod messages;
mod rate;
mod swarm;

pub use address::device_in;
pub use candidate::{Candidate, FoundAuditor, Remembered, Source};
pub use config::{Bounds, NetConfig, RateLimits, Wall};
pub use error::{Fault, NetError, StartError};
pub use farmer::{Download, Inbound, Incoming, Receiving, Sending, Upload};
pub use handle::Net;
