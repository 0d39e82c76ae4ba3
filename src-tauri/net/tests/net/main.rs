//! Whole networks in one process: requests, transfers, liars, discovery.

mod discovery;
mod liars;
mod network;
mod requests;
mod transfers;
