//! The crate against a real ledger in this process, and against servers that mean harm.

mod bed;
mod client;
mod crashes;
mod escrow;
mod liars;
mod outbox;
mod wallet;
