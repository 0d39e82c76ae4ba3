//! Addresses and names of peers: a device id and a libp2p peer id are the same Ed25519 key in two spellings, and an
//! announced address counts only with the IP that the connection shows.

use std::net::IpAddr;

use hayloft_core::DeviceId;
use libp2p::{
    Multiaddr, PeerId,
    identity::{PublicKey, ed25519},
    multiaddr::Protocol,
};

use crate::{error::StartError, limits};

/// The peer id of a device; none if its bytes are no Ed25519 key.
pub(crate) fn peer_of(device: &DeviceId) -> Option<PeerId> {
    let key = ed25519::PublicKey::try_from_bytes(device.as_bytes()).ok()?;
    Some(PublicKey::from(key).to_peer_id())
}

/// The device behind a peer id; none if it is not a plain Ed25519 key.
pub(crate) fn device_of(peer: &PeerId) -> Option<DeviceId> {
    let key = PublicKey::try_decode_protobuf(peer.as_ref().digest()).ok()?;
    Some(DeviceId(key.try_into_ed25519().ok()?.to_bytes()))
}

/// Reads a multiaddress.
pub(crate) fn parse(text: &str) -> Result<Multiaddr, StartError> {
    text.parse().map_err(|_| StartError::BadAddress(text.to_owned()))
}

/// The device that an address ending in `/p2p/ID` names; none if it names none.
pub fn device_in(address: &str) -> Option<DeviceId> {
    device_of(&split_peer(&parse(address).ok()?).1?)
}

/// The address without a trailing `/p2p/ID`, and that id.
pub(crate) fn split_peer(address: &Multiaddr) -> (Multiaddr, Option<PeerId>) {
    let mut bare = address.clone();
    match bare.pop() {
        Some(Protocol::P2p(peer)) => (bare, Some(peer)),
        _ => (address.clone(), None),
    }
}

/// The IP that an address begins with.
pub(crate) fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.to_ipv4_mapped().map_or(ip.into(), IpAddr::from)),
        _ => None,
    }
}

/// What may be believed of announced addresses: their transports and ports, under the IP that the connection shows.
/// In-process addresses are believed only over in-process connections.
pub(crate) fn believable(announced: &[Multiaddr], observed: &Multiaddr) -> Vec<Multiaddr> {
    let mut kept: Vec<Multiaddr> = Vec::new();
    for address in announced.iter().take(4 * limits::ADDRESSES_PER_PEER) {
        let (address, _) = split_peer(address);
        let Some(address) = under_observed_ip(&address, observed) else { continue };
        if kept.len() < limits::ADDRESSES_PER_PEER && !kept.contains(&address) {
            kept.push(address);
        }
    }
    kept
}

fn under_observed_ip(announced: &Multiaddr, observed: &Multiaddr) -> Option<Multiaddr> {
    match (announced.iter().next()?, observed.iter().next()?) {
        (Protocol::Memory(_), Protocol::Memory(_)) => Some(announced.clone()),
        (Protocol::Ip4(_), Protocol::Ip4(ip)) => announced.replace(0, |_| Some(Protocol::Ip4(ip))),
        (Protocol::Ip6(_), Protocol::Ip6(ip)) => announced.replace(0, |_| Some(Protocol::Ip6(ip))),
        _ => None,
    }
}

/// A /24 or /48.
pub(crate) type Subnet = [u8; 7];

/// The /24 or /48 that an IP belongs to; none for loopback, private and link-local ones, which say nothing about
/// who is behind them.
pub(crate) fn subnet_of(ip: IpAddr) -> Option<Subnet> {
    let mut subnet = [0; 7];
    match ip {
        IpAddr::V4(ip)
            if ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified() =>
        {
            return None;
        }
        IpAddr::V6(ip) if ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local() => {
            return None;
        }
        IpAddr::V4(ip) => {
            subnet[0] = 4;
            subnet[1..4].copy_from_slice(&ip.octets()[..3]);
        }
        IpAddr::V6(ip) => {
            subnet[0] = 6;
            subnet[1..].copy_from_slice(&ip.octets()[..6]);
        }
    }
    Some(subnet)
}

#[cfg(test)]
mod tests {
    use libp2p::identity::Keypair;

    use super::*;

    fn address(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    #[test]
    fn device_and_peer_name_the_same_key() {
        let peer = Keypair::generate_ed25519().public().to_peer_id();
        let device = device_of(&peer).unwrap();
        assert_eq!(peer_of(&device), Some(peer));
    }

    #[test]
    fn announced_addresses_are_believed_only_under_the_observed_ip() {
        let announced = [
            address("/ip4/10.0.0.5/udp/4001/quic-v1"),
            address("/ip4/203.0.113.9/udp/4001/quic-v1"),
            address("/ip4/203.0.113.9/tcp/4002"),
            address("/ip6/2001:db8::1/tcp/4002"),
            address("/memory/77"),
            address("/dns4/victim.example/tcp/80"),
        ];
        let observed = address("/ip4/198.51.100.7/udp/50000/quic-v1");
        let believed = [address("/ip4/198.51.100.7/udp/4001/quic-v1"), address("/ip4/198.51.100.7/tcp/4002")];
        assert_eq!(believable(&announced, &observed), believed);
    }

    #[test]
    fn announced_addresses_are_bounded_in_number() {
        let announced: Vec<_> =
            (1..1000).map(|port| address(&format!("/ip4/127.0.0.1/tcp/{port}"))).collect();
        let kept = believable(&announced, &address("/ip4/127.0.0.1/tcp/9"));
        assert_eq!(kept.len(), limits::ADDRESSES_PER_PEER);
    }

    #[test]
    fn loopback_and_private_addresses_have_no_subnet() {
        for ip in ["127.0.0.1", "10.1.2.3", "192.168.0.1", "::1", "fd00::1", "fe80::1"] {
            assert_eq!(subnet_of(ip.parse().unwrap()), None, "{ip}");
        }
        let [a, b, c] =
            ["198.51.100.1", "198.51.100.200", "198.51.101.1"].map(|ip| subnet_of(ip.parse().unwrap()));
        assert!(a.is_some() && a == b && a != c);
    }
}
