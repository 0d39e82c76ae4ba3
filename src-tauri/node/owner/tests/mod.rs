//! The owner over a real network in one process.

mod bed;
mod crash;
mod folders;
mod jobs;
mod loss;
mod repair;
mod transfers;
mod upkeep;
