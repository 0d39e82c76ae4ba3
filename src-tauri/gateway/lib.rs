//! The node's loopback HTTP API and its client.
//!
//! Owns: the only place that speaks HTTP. Routes are one-to-one with the methods of [`hayloft_node::Node`], so that the
//! command line, scripts and tests drive a running node exactly as the window does.
//!
//! Invariants: the server listens on 127.0.0.1 alone; every route needs the random token of this run, kept in a file only
//! the user can read; a request whose `Host` is not this loopback address is refused, so that a web page cannot reach the
//! node by rebinding its own name. Deliberately absent: decisions. A route decodes, calls the node once, and encodes.

mod callers;
mod client;
mod door;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod routes;
mod server;

pub use client::{Client, ConnectError, Events};
pub use door::{ApiFile, DoorError};
pub use server::{Gateway, GatewayError};

#[cfg(test)]
mod tests;
