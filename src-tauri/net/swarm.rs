//! The swarm: all connections of a node, in one task. Handles reach it by [`Command`]s, and read what it knows of
//! [`Peers`] without asking.

mod behaviour;
mod dials;
mod door;
mod events;
mod gate;
mod joining;
mod peers;
mod queries;
mod routing;
mod task;

pub(crate) use door::{Door, Streams};
pub(crate) use peers::Peers;
pub(crate) use queries::Question;
pub(crate) use task::{Command, Heard, build};
