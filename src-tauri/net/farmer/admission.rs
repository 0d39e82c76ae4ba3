//! How many requests are served at once: in all, of one peer, of one subnet, and of strangers. A permit gives its place
//! back when dropped.
//!
//! A request that has not wholly come yet gives its place up to the next one when no other is left: what drips in keeps
//! nobody waiting. Only those of strangers give theirs up to a stranger. A stranger becomes a customer when the node says
//! that its owner has a contract here. Strangers never get more than a part of the places, however many keys they make:
//! customers go on being served. Addresses without a subnet, such as loopback, are counted by peer alone.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use libp2p::PeerId;

use crate::{Bounds, address::Subnet, limits};

/// The places there are, and who is known.
#[derive(Debug)]
pub(crate) struct Admission {
    bounds: Bounds,
    served: Mutex<Served>,
}

#[derive(Debug, Default)]
struct Served {
    all: usize,
    strangers: usize,
    by_peer: HashMap<PeerId, usize>,
    by_subnet: HashMap<Subnet, usize>,
    customers: HashMap<PeerId, u64>,
    welcomed: u64,
}

/// What a peer is to this node; the lesser first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Regard {
    /// Nobody, and nothing is under way.
    Idle,
    /// Nobody, but a request of its is being served.
    Served,
    /// Its owner has a contract here.
    Customer,
}

/// Why a request gets no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// Its peer or subnet has as many as it may.
    OwnShare,
    /// All places are taken, or, for a stranger, all those of strangers.
    Full {
        /// Whether a stranger asked: it has no claim to a customer's place.
        stranger: bool,
    },
}

/// One place.
#[derive(Debug)]
pub(super) struct Permit {
    admission: Arc<Admission>,
    peer: PeerId,
    subnet: Option<Subnet>,
    stranger: bool,
}

impl Admission {
    pub(crate) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self { bounds, served: Mutex::default() })
    }

    fn served(&self) -> MutexGuard<'_, Served> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a request of this peer.
    ///
    /// # Errors
    /// [`Denied`] if all, or those for its kind, are taken.
    pub(super) fn admit(self: &Arc<Self>, peer: PeerId, subnet: Option<Subnet>) -> Result<Permit, Denied> {
        let mut served = self.served();
        let stranger = !served.customers.contains_key(&peer);
        let of_peer = served.by_peer.get(&peer).copied().unwrap_or_default();
        let of_subnet = subnet.and_then(|subnet| served.by_subnet.get(&subnet).copied()).unwrap_or_default();
        if of_peer >= self.bounds.requests_per_peer || of_subnet >= self.bounds.requests_per_subnet {
            return Err(Denied::OwnShare);
        }
        if served.all >= self.bounds.requests
            || (stranger && served.strangers >= self.bounds.requests_of_strangers)
        {
            return Err(Denied::Full { stranger });
        }
        served.all += 1;
        served.strangers += usize::from(stranger);
        served.by_peer.insert(peer, of_peer + 1);
        subnet.map(|subnet| served.by_subnet.insert(subnet, of_subnet + 1));
        Ok(Permit { admission: self.clone(), peer, subnet, stranger })
    }

    /// Remembers a customer; of too many, the one welcomed longest ago is forgotten.
    pub(super) fn welcome(&self, peer: PeerId) {
        let mut served = self.served();
        served.welcomed += 1;
        let now = served.welcomed;
        served.customers.insert(peer, now);
        if served.customers.len() > limits::CUSTOMERS_KNOWN {
            let oldest = served.customers.iter().min_by_key(|(_, at)| **at).map(|(peer, _)| *peer);
            oldest.map(|oldest| served.customers.remove(&oldest));
        }
    }

    /// What a peer is to this node now.
    pub(crate) fn regard(&self, peer: &PeerId) -> Regard {
        let served = self.served();
        if served.customers.contains_key(peer) {
            Regard::Customer
        } else if served.by_peer.contains_key(peer) {
            Regard::Served
        } else {
            Regard::Idle
        }
    }
}

impl Permit {
    /// Whether the place counts among those of strangers.
    pub(super) fn is_strangers(&self) -> bool {
        self.stranger
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut served = self.admission.served();
        served.all -= 1;
        served.strangers -= usize::from(self.stranger);
        leave(&mut served.by_peer, self.peer);
        if let Some(subnet) = self.subnet {
            leave(&mut served.by_subnet, subnet);
        }
    }
}

fn leave<K: std::hash::Hash + Eq>(places: &mut HashMap<K, usize>, key: K) {
    if let Some(taken) = places.get_mut(&key) {
        *taken -= 1;
        if *taken == 0 {
            places.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(requests: usize, requests_of_strangers: usize) -> Arc<Admission> {
        let few = Bounds {
            requests,
            requests_of_strangers,
            requests_per_peer: 2,
            requests_per_subnet: 3,
            ..Bounds::default()
        };
        Admission::new(few)
    }

    #[test]
    fn places_are_bounded_in_all_and_by_peer_and_come_back() {
        let admission = admission(3, 3);
        let [a, b, c] = [PeerId::random(), PeerId::random(), PeerId::random()];
        let first = admission.admit(a, None).unwrap();
        let _second = admission.admit(a, None).unwrap();
        assert_eq!(admission.admit(a, None).unwrap_err(), Denied::OwnShare, "a third of one peer");
        let _third = admission.admit(b, None).unwrap();
        assert_eq!(admission.admit(c, None).unwrap_err(), Denied::Full { stranger: true }, "a fourth in all");
        drop(first);
        assert!(admission.admit(c, None).is_ok());
        assert_eq!(admission.served().by_peer.len(), 2, "an idle peer leaves no trace");
    }

    #[test]
    fn many_keys_of_one_subnet_share_its_places() {
        let admission = admission(100, 100);
        let subnet_of = |ip: &str| crate::address::subnet_of(ip.parse().unwrap());
        let crowded = subnet_of("198.51.100.7");
        let held: Vec<_> = (0..50).flat_map(|_| admission.admit(PeerId::random(), crowded)).collect();
        assert_eq!(held.len(), 3);
        assert!(admission.admit(PeerId::random(), subnet_of("198.51.101.7")).is_ok(), "another subnet");
        assert!(admission.admit(PeerId::random(), subnet_of("127.0.0.1")).is_ok(), "loopback has none");
        drop(held);
        assert!(admission.served().by_subnet.is_empty());
    }

    #[test]
    fn strangers_never_take_the_places_of_customers() {
        let admission = admission(4, 2);
        let strangers: Vec<_> = (0..50).flat_map(|_| admission.admit(PeerId::random(), None)).collect();
        assert_eq!(strangers.len(), 2);
        let customer = PeerId::random();
        assert_eq!(admission.regard(&customer), Regard::Idle);
        admission.welcome(customer);
        assert_eq!(admission.regard(&customer), Regard::Customer);
        let held = [admission.admit(customer, None), admission.admit(customer, None)];
        assert!(held.iter().all(Result::is_ok));
        let other = PeerId::random();
        admission.welcome(other);
        assert_eq!(admission.admit(other, None).unwrap_err(), Denied::Full { stranger: false });
        drop((held, strangers));
        assert_eq!(admission.served().strangers, 0);
    }

    #[test]
    fn customers_known_are_bounded_and_the_newest_stay() {
        let admission = admission(1, 1);
        let first = PeerId::random();
        admission.welcome(first);
        for _ in 0..limits::CUSTOMERS_KNOWN {
            admission.welcome(PeerId::random());
        }
        assert_eq!(admission.served().customers.len(), limits::CUSTOMERS_KNOWN);
        assert_eq!(admission.regard(&first), Regard::Idle);
    }
}
