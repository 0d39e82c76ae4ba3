//! A small Horizon-compatible ledger, for machines without internet and for tests: same bytes and same rules as a
//! Stellar network, so that whoever speaks to one speaks to the other.
//!
//! Rooms: [`rules`] decides, without clock, file or socket; `db` keeps it; `engine` closes ledgers; `http` answers as
//! Horizon does; [`Ledger`] is all of it running.
//!
//! **Rules that a Stellar network has and this ledger lacks:**
//! * Consensus. One process closes ledgers alone; there are no peers, no upgrades and no history archives.
//! * Trust lines, offers, pools, contracts, clawback and sponsoring operations, and inflation: each such operation is
//!   refused with `opNOT_SUPPORTED`. Credit can be named in payments and claimable balances, with the answers that a
//!   network gives on which nobody trusts anybody.
//! * Surge pricing. A ledger takes twenty thousand operations in the order in which they came, and each pays the base
//!   fee; several transactions of one account may enter one ledger.
//! * The bucket list and generalised transaction sets. `bucketListHash` is a chain over what each ledger changed, and
//!   `txSetHash` covers the previous hash and the envelopes; skip lists are empty.
//! * Meta of results: `result_meta_xdr` is left out, as Horizon does when told to, and `fee_meta_xdr` is empty. There are
//!   no effects, no asynchronous submission, and no lists of accounts, offers, trades and assets.
//! * Close times later than the one before, when ledgers close more often than once a second or by hand.
//!
//! A result for an operation of a kind that is not supported says so even where an earlier operation's failure would
//! have kept a Stellar network from reaching it.

mod db;
mod engine;
mod http;
pub mod rules;
mod server;
#[cfg(test)]
mod tests;

pub use db::DatabaseError;
pub use server::{Closing, Ledger, LedgerError, LedgerOptions};
