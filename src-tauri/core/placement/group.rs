//! Failure groups: farmers that one event may take away together.
//!
//! A farmer belongs to the subnet that its connection shows; what it announces may merge groups, never split them. An
//! address that is not public shows nothing: such a farmer is a group of its own until an operator merges it.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use crate::DeviceId;

/// Where a connection shows a farmer to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subnet {
    /// The first 24 bits of a public IPv4 address.
    V4([u8; 3]),
    /// The first 48 bits of a public IPv6 address.
    V6([u8; 6]),
    /// Not a public address, or none: only the device itself.
    Device(DeviceId),
}

impl Subnet {
    /// The subnet of `device`, whose connection shows `address`.
    pub fn observed(device: DeviceId, address: Option<IpAddr>) -> Self {
        match address.map(|address| address.to_canonical()) {
            Some(IpAddr::V4(v4)) if is_public_v4(v4) => {
                let [a, b, c, _] = v4.octets();
                Self::V4([a, b, c])
            }
            Some(IpAddr::V6(v6)) if is_public_v6(v6) => {
                let [a, b, c, d, e, f, ..] = v6.octets();
                Self::V6([a, b, c, d, e, f])
            }
            _ => Self::Device(device),
        }
    }
}

/// As farmers' reservations name it on the disk: `a.b.c.0/24`, `a:b:c::/48`, or the device.
impl fmt::Display for Subnet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4([a, b, c]) => write!(formatter, "{a}.{b}.{c}.0/24"),
            Self::V6(bytes) => {
                let [a, b, c] = [0, 2, 4].map(|at| u16::from_be_bytes([bytes[at], bytes[at + 1]]));
                write!(formatter, "{a:x}:{b:x}:{c:x}::/48")
            }
            Self::Device(device) => device.fmt(formatter),
        }
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let shared = v4.octets()[0] == 100 && (64..128).contains(&v4.octets()[1]);
    !(v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_unspecified() || shared)
}

fn is_public_v6(v6: Ipv6Addr) -> bool {
    !(v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_unspecified())
}

/// What is known about a farmer that decides on its failure group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Who.
    pub device: DeviceId,
    /// The address that its connection shows.
    pub address: Option<IpAddr>,
    /// The operator it announces; white space around it and case make no difference.
    pub operator: Option<String>,
}

/// The failure group of each farmer as a number, counted from 0 in order of first appearance: farmers that share a
/// subnet or an announced operator, directly or through others, share a number.
pub fn failure_groups(farmers: &[&Seen]) -> Vec<usize> {
    let mut leader: Vec<usize> = (0..farmers.len()).collect();
    let mut subnets: BTreeMap<Subnet, usize> = BTreeMap::new();
    let mut operators: BTreeMap<String, usize> = BTreeMap::new();
    for (index, farmer) in farmers.iter().enumerate() {
        let first = *subnets.entry(Subnet::observed(farmer.device, farmer.address)).or_insert(index);
        merge(&mut leader, first, index);
        let operator = farmer.operator.as_deref().map(|name| name.trim().to_lowercase());
        if let Some(name) = operator.filter(|name| !name.is_empty()) {
            let first = *operators.entry(name).or_insert(index);
            merge(&mut leader, first, index);
        }
    }
    let mut numbers = BTreeMap::new();
    (0..farmers.len())
        .map(|index| {
            let next = numbers.len();
            *numbers.entry(find(&mut leader, index)).or_insert(next)
        })
        .collect()
}

fn merge(leader: &mut [usize], a: usize, b: usize) {
    let (a, b) = (find(leader, a), find(leader, b));
    leader[a.max(b)] = a.min(b);
}

fn find(leader: &mut [usize], mut index: usize) -> usize {
    while leader[index] != index {
        leader[index] = leader[leader[index]];
        index = leader[index];
    }
    index
}
