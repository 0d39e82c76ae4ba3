//! What discovery finds: farmers and auditors that were dialled and that signed a fresh record, and where they were heard of.

use std::{collections::BTreeSet, net::IpAddr};

use hayloft_core::{
    DeviceId, Timestamp,
    record::{SignedAuditorRecord, SignedFarmerRecord},
};

/// Where a farmer was heard of. Whoever owns one bucket or sits in one region of the key space controls one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A bucket key of the DHT, by its number.
    Bucket(u8),
    /// A walk to a random key in this sixteenth of the key space.
    Walk(u8),
    /// Known from an earlier run.
    Remembered,
    /// The local network.
    Mdns,
    /// Merely met: it was connected for some other reason.
    Met,
}

impl Source {
    /// A number of its own, for rules that only count sources.
    pub fn number(self) -> u32 {
        match self {
            Self::Bucket(number) => u32::from(number),
            Self::Walk(region) => 0x100 + u32::from(region),
            Self::Remembered => 0x200,
            Self::Mdns => 0x201,
            Self::Met => 0x202,
        }
    }
}

/// A farmer that answered a dial with a freshly signed record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Who it is.
    pub device: DeviceId,
    /// Its offer; the signature, network and device have been verified.
    pub record: SignedFarmerRecord,
    /// The address that the connection shows, whatever the farmer announces; none for in-process connections.
    pub address: Option<IpAddr>,
    /// Everywhere it was heard of; never empty.
    pub sources: BTreeSet<Source>,
    /// When it answered.
    pub seen: Timestamp,
}

/// An auditor that answered a dial with a freshly signed record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundAuditor {
    /// Who it is.
    pub device: DeviceId,
    /// What it says; the signature, network and device have been verified.
    pub record: SignedAuditorRecord,
    /// The address that the connection shows, whatever it announces; none for in-process connections.
    pub address: Option<IpAddr>,
    /// When it answered.
    pub seen: Timestamp,
}

/// A peer worth remembering over a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// Who it is.
    pub device: DeviceId,
    /// Multiaddresses it was reached by, at most [`crate::limits::ADDRESSES_PER_PEER`].
    pub addresses: Vec<String>,
}
