//! Whole networks in one process: requests, transfers, liars, discovery.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

mod discovery;
mod liars;
mod network;
mod requests;
mod transfers;
