//! Finding farmers, and being found: bucket keys of the day, walks through the key space, peers met or remembered.
//! Whoever is heard of is only suspected; a farmer is who answers a dial with a freshly signed record.
//!
//! Rounds of questions run only while somebody wants farmers: fast at first, then ever more seldom.

mod announce;
mod buckets;
mod directory;
mod search;

pub(crate) use announce::announce;
pub(crate) use buckets::is_bucket;
pub(crate) use directory::Directory;
pub(crate) use search::search;
