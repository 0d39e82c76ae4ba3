//! Hayloft's decisions, without effects: identity and keys, content coding, manifests, proofs, contracts, placement.
//!
//! Deliberately absent: tokio, files, sockets, clocks. Time, randomness and limits are arguments.

pub mod alarm;
pub mod amount;
pub mod audit;
pub mod auditor;
pub mod brake;
pub mod codec;
pub mod content;
pub mod contract;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod id;
pub mod keys;
pub mod manifest;
pub mod network;
pub mod pace;
pub mod placement;
pub mod presets;
pub mod record;
pub mod repair;
#[cfg(any(test, fuzzing))]
mod samples;
pub mod score;
pub mod settlement;
pub mod spending;
pub mod time;
pub mod voucher;
pub mod warning;
pub mod witness;

pub use amount::Amount;
pub use id::{ContractId, DeviceId, FileId, OwnerId, RevisionHash, SegmentId, ShardId, Signature};
pub use network::NetworkName;
pub use time::Timestamp;
pub use witness::Witness;
