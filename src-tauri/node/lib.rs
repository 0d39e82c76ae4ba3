//! A running node: owner, farmer or neither, wired from `core`'s decisions, `store` and `net`; [`Node`] is the one
//! door for every front end.
//!
//! Deliberately absent: HTTP, terminals, windows (front ends), libp2p (`net`), SQL (`store`).

#[macro_use]
mod crash;

mod api;
mod auditor;
mod clock;
mod errors;
mod farmer;
mod file_limit;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod identity;
mod jobs;
mod lifecycle;
mod locks;
mod memory;
pub mod model;
mod money;
mod notices;
mod options;
mod owner;
mod parts;
pub mod receipts;
pub mod settings;
mod witness;

pub use api::Node;
pub use clock::Clock;
pub use hayloft_core::{Amount, NetworkName, Timestamp, auditor::exported::Exported};
pub use hayloft_store::home::create_private_folder as make_home;
pub use money::Money;
pub use options::NodeOptions;
pub use parts::{OwnerParts, Parts};
pub use witness::Witness;
