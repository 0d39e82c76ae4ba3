//! The owner over a real network in one process.

mod audits;
mod bed;
mod crash;
mod folders;
mod jobs;
mod loss;
mod transfers;
mod upkeep;
