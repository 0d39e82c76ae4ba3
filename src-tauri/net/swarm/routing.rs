//! Which peers may enter the routing table: of one /24 or /48 only a few, so that no single network surrounds a node.

use std::net::IpAddr;

use libp2p::{Multiaddr, PeerId, kad};

use crate::{address, limits};

/// Whether a peer of this address may join those that are in the table already. Addresses without a subnet, such as
/// loopback, are not counted.
pub(super) fn admits(table: impl Iterator<Item = IpAddr>, newcomer: Option<IpAddr>) -> bool {
    let Some(subnet) = newcomer.and_then(address::subnet_of) else { return true };
    table.filter(|ip| address::subnet_of(*ip) == Some(subnet)).count() < limits::ROUTING_PER_SUBNET
}

/// Puts a peer into the table if its subnet has room; says whether it is the table's first.
pub(super) fn insert(
    kad: &mut kad::Behaviour<kad::store::MemoryStore>,
    peer: PeerId,
    observed: &Multiaddr,
    addresses: &[Multiaddr],
) -> bool {
    let mut others = Vec::new();
    let mut empty = true;
    for bucket in kad.kbuckets() {
        for entry in bucket.iter() {
            empty = false;
            if *entry.node.key.preimage() != peer {
                others.extend(address::ip_of(entry.node.value.first()));
            }
        }
    }
    if addresses.is_empty() || !admits(others.into_iter(), address::ip_of(observed)) {
        return false;
    }
    for address in addresses {
        kad.add_address(&peer, address.clone());
    }
    empty
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_subnet_fills_only_its_share_of_the_table() {
        let mut table: Vec<IpAddr> = Vec::new();
        for host in 1..=200 {
            let newcomer: IpAddr = format!("198.51.100.{host}").parse().unwrap();
            if admits(table.iter().copied(), Some(newcomer)) {
                table.push(newcomer);
            }
        }
        assert_eq!(table.len(), limits::ROUTING_PER_SUBNET);
        assert!(
            admits(table.iter().copied(), Some("198.51.101.1".parse().unwrap())),
            "another subnet has room"
        );
    }

    #[test]
    fn loopback_is_not_capped() {
        let table = vec![IpAddr::from([127, 0, 0, 1]); 100];
        assert!(admits(table.into_iter(), Some(IpAddr::from([127, 0, 0, 1]))));
        assert!(admits(std::iter::empty(), None));
    }

    #[test]
    fn swarm_keeps_a_crowded_subnet_out_of_its_table() {
        let local = PeerId::random();
        let mut kad = kad::Behaviour::new(local, kad::store::MemoryStore::new(local));
        for host in 1..=60 {
            let address: Multiaddr = format!("/ip4/198.51.100.{host}/udp/4001/quic-v1").parse().unwrap();
            insert(&mut kad, PeerId::random(), &address, std::slice::from_ref(&address));
        }
        let held: usize = kad.kbuckets().map(|bucket| bucket.num_entries()).sum();
        assert_eq!(held, limits::ROUTING_PER_SUBNET);
    }
}
