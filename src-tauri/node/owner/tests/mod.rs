//! The owner over a real network in one process.

mod audits;
mod bed;
mod clocks;
mod crash;
mod damage;
mod folders;
mod gathering;
mod jobs;
mod judged;
mod lied_to;
mod loss;
mod month;
mod prices;
mod repair;
mod repair_deaths;
mod transfers;
mod upkeep;
