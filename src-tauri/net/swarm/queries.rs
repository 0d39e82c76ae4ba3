//! Discovery's questions to the DHT, and which farmers they turn up.

use std::collections::HashMap;

use libp2p::{PeerId, kad};
use rand::RngExt as _;
use tokio::sync::oneshot;

use crate::Source;

/// A question of discovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    /// Who provides in this bucket?
    Bucket {
        /// Its number.
        number: u8,
        /// Its key.
        key: [u8; 32],
    },
    /// Who is close to a random key in this sixteenth of the key space?
    Walk {
        /// 0 to 15.
        region: u8,
    },
}

/// Questions under way.
#[derive(Debug, Default)]
pub(super) struct Questions {
    asked: HashMap<kad::QueryId, (Source, oneshot::Sender<()>)>,
}

impl Questions {
    pub(super) fn ask(
        &mut self,
        kad: &mut kad::Behaviour<kad::store::MemoryStore>,
        question: Question,
        done: oneshot::Sender<()>,
    ) {
        let (query, source) = match question {
            Question::Bucket { number, key } => {
                (kad.get_providers(kad::RecordKey::new(&key)), Source::Bucket(number))
            }
            Question::Walk { region } => (kad.get_closest_peers(random_key(region)), Source::Walk(region)),
        };
        self.asked.insert(query, (source, done));
    }

    /// Where a result comes from; none if discovery did not ask for it.
    pub(super) fn source(&self, query: &kad::QueryId) -> Option<Source> {
        self.asked.get(query).map(|(source, _)| *source)
    }

    /// Tells whoever asked that there is nothing more to come.
    pub(super) fn finish(&mut self, query: &kad::QueryId) {
        if let Some((_, done)) = self.asked.remove(query) {
            let _ = done.send(());
        }
    }
}

/// Random bytes that the DHT's hash puts into this sixteenth of the key space.
fn random_key(region: u8) -> Vec<u8> {
    loop {
        let key: [u8; 32] = rand::rng().random();
        if kad::KBucketKey::new(key.to_vec()).hashed_bytes()[0] >> 4 == region % 16 {
            return key.to_vec();
        }
    }
}

/// The peers that a result names.
pub(super) fn named(result: &kad::QueryResult) -> Vec<PeerId> {
    match result {
        kad::QueryResult::GetProviders(Ok(kad::GetProvidersOk::FoundProviders { providers, .. })) => {
            providers.iter().copied().collect()
        }
        kad::QueryResult::GetClosestPeers(_) => closest(result).iter().map(|info| info.peer_id).collect(),
        _ => Vec::new(),
    }
}

/// The closest peers that a walk or lookup found, before its time ran out or not.
pub(super) fn closest(result: &kad::QueryResult) -> &[kad::PeerInfo] {
    match result {
        kad::QueryResult::GetClosestPeers(Ok(kad::GetClosestPeersOk { peers, .. }))
        | kad::QueryResult::GetClosestPeers(Err(kad::GetClosestPeersError::Timeout { peers, .. })) => peers,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_go_to_the_region_they_are_named_for() {
        for region in 0..16 {
            let key = kad::KBucketKey::new(random_key(region));
            assert_eq!(key.hashed_bytes()[0] >> 4, region);
        }
    }
}
