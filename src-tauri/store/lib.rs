//! The node's disk and database: the home folder and its lock, configuration, sealed secrets, shard files, quota and
//! reservations, and every table.
//!
//! Files come first and rows second, one connection writes, and the farmer's index can be rebuilt from the disk.
//! Deliberately absent: plain names and the keys of files. What an owner keeps arrives here as sealed bytes.

#[macro_use]
mod crash;

mod aside;
mod audit_keys;
mod catalog;

pub mod auditor;
pub mod blocks;
pub mod config;
pub mod db;
pub mod farmer;
pub mod files;
pub mod funding;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod holdings;
pub mod home;
pub mod identity;
pub mod jobs;
pub mod outbox;
pub mod owner;
pub mod peers;
pub mod plantings;

pub mod disk;
mod farmer_error;
mod figures;
mod intake;
mod journal;
mod keep;
mod open;
pub mod own_audits;
mod placing;
mod quota;
mod reconcile;
mod reserve;
pub mod scrub;
mod shards;
mod warnings;
mod witness;

#[cfg(test)]
mod audit_tests;
#[cfg(test)]
mod auditor_tests;
#[cfg(test)]
mod crash_scene;
#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod farmer_tests;
#[cfg(test)]
mod older_tests;
#[cfg(test)]
mod owner_tests;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod scrub_tests;

pub use aside::Aside;
pub use auditor::Auditor;
pub use catalog::CatalogState;
pub use db::DatabaseError;
pub use disk::Guard;
pub use farmer::{Farmer, FarmerError};
pub use funding::Funds;
pub use home::{Home, HomeError};
pub use jobs::Jobs;
pub use open::{DatabaseState, OpenError, OpenReport, Store, StoreOptions};
pub use outbox::Outbox;
pub use owner::Owner;
pub use peers::Peers;
