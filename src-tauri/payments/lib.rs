//! A Stellar network as Hayloft uses it, and the only crate that knows one: Horizon's API, transactions, the wallet,
//! escrow, and the outbox that pays once.
//!
//! Rooms: [`horizon`] asks and is never believed further than its answers can be checked; [`envelope`] holds the few kinds
//! of transaction that Hayloft makes and signs; [`escrow`] locks an owner's money so that no one reaches it before it is
//! earned or comes back; [`outbox`] gets a transaction into a ledger once; [`wallet`] is an account and what it is for.
//!
//! Invariants: nothing is signed for the public network; nothing is signed that was not taken apart into types of this
//! crate and put together again to the same bytes; whatever comes from a stranger is bounded.

#[macro_use]
mod crash;

pub mod address;
pub mod envelope;
pub mod escrow;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod horizon;
pub mod lumens;
pub mod network;
pub mod outbox;
pub mod wallet;

pub use address::Address;
pub use envelope::Draft;
pub use horizon::{Horizon, HorizonError};
pub use network::Network;
pub use outbox::Outbox;
pub use wallet::Wallet;

#[cfg(test)]
mod tests;
