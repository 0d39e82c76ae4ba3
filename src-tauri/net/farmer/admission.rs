//! How many requests are served at once, in all and of one peer. A permit gives its place back when dropped.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use libp2p::PeerId;

/// The places there are.
#[derive(Debug)]
pub(super) struct Admission {
    all: usize,
    per_peer: usize,
    served: Mutex<Served>,
}

#[derive(Debug, Default)]
struct Served {
    all: usize,
    by_peer: HashMap<PeerId, usize>,
}

/// One place.
#[derive(Debug)]
pub(super) struct Permit {
    admission: Arc<Admission>,
    peer: PeerId,
}

impl Admission {
    pub(super) fn new(all: usize, per_peer: usize) -> Arc<Self> {
        Arc::new(Self { all, per_peer, served: Mutex::default() })
    }

    /// A place for a request of this peer; none if all, or all of this peer's, are taken.
    pub(super) fn admit(self: &Arc<Self>, peer: PeerId) -> Option<Permit> {
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        let of_peer = served.by_peer.get(&peer).copied().unwrap_or_default();
        if served.all >= self.all || of_peer >= self.per_peer {
            return None;
        }
        served.all += 1;
        served.by_peer.insert(peer, of_peer + 1);
        Some(Permit { admission: self.clone(), peer })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut served = self.admission.served.lock().unwrap_or_else(PoisonError::into_inner);
        served.all -= 1;
        if let Some(of_peer) = served.by_peer.get_mut(&self.peer) {
            *of_peer -= 1;
            if *of_peer == 0 {
                served.by_peer.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_in_all_and_by_peer_and_come_back() {
        let admission = Admission::new(3, 2);
        let [a, b, c] = [PeerId::random(), PeerId::random(), PeerId::random()];
        let first = admission.admit(a).unwrap();
        let _second = admission.admit(a).unwrap();
        assert!(admission.admit(a).is_none(), "a third of one peer");
        let _third = admission.admit(b).unwrap();
        assert!(admission.admit(c).is_none(), "a fourth in all");
        drop(first);
        assert!(admission.admit(c).is_some());
        assert_eq!(admission.served.lock().unwrap().by_peer.len(), 2, "an idle peer leaves no trace");
    }
}
