//! The farmer's rules, each asked for over the real protocol by an owner who follows a script.

mod asking;
mod audits;
mod bench;
mod contracts;
mod egress;
mod life;
mod money;
mod odds;
mod scrub;
mod space;
mod standings;
mod transfers;
