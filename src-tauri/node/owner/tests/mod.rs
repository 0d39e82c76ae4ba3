//! The owner over a real network in one process.

mod audits;
mod bed;
mod crash;
mod folders;
mod jobs;
mod judged;
mod lied_to;
mod loss;
mod repair;
mod transfers;
mod upkeep;
