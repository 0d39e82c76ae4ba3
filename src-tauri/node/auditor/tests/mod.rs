//! The auditor over a real network in one process, with farmers that follow a script and prove, or do not, from real tags.

mod bench;
mod crash;
mod following;
mod hooks;
mod judging;
mod ordeal;
mod second;
mod vetting;
