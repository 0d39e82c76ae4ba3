//! The DHT keys under which farmers are found: [`limits::BUCKETS`] a day, salted with the network's name.
//!
//! `key = BLAKE3("hayloft bucket" ‖ u8 length ‖ network ‖ u64 LE day ‖ u8 number)`. One well-known key could be
//! occupied in seconds: a DHT node keeps twenty providers per key and refuses newcomers.

use hayloft_core::{DeviceId, NetworkName, Timestamp};

use crate::limits;

const DAY_SECONDS: u64 = 86_400;

/// The key of one bucket.
pub(super) fn key(network: &NetworkName, day: u64, number: u8) -> [u8; 32] {
    let name = network.as_str().as_bytes();
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"hayloft bucket");
    hasher.update(&[u8::try_from(name.len()).expect("a network's name has at most 32 bytes")]);
    hasher.update(name);
    hasher.update(&day.to_le_bytes());
    hasher.update(&[number]);
    *hasher.finalize().as_bytes()
}

/// The day that a time belongs to.
pub(super) fn day(now: Timestamp) -> u64 {
    now.0 / DAY_SECONDS
}

/// The numbers of the buckets that a farmer provides in; distinct.
pub(super) fn numbers_of(device: &DeviceId) -> Vec<u8> {
    let hash = blake3::hash(device.as_bytes());
    let mut numbers = Vec::new();
    for byte in hash.as_bytes() {
        let number = byte % limits::BUCKETS;
        if numbers.len() < limits::BUCKETS_PER_FARMER && !numbers.contains(&number) {
            numbers.push(number);
        }
    }
    numbers
}

/// The keys that a farmer provides under: today's, and near midnight tomorrow's too.
pub(super) fn keys_of(network: &NetworkName, device: &DeviceId, now: Timestamp) -> Vec<[u8; 32]> {
    let (today, soon) = (day(now), day(now.plus_seconds(limits::NEXT_DAY_AHEAD_SECONDS)));
    let days = today..=soon;
    days.flat_map(|day| numbers_of(device).into_iter().map(move |number| (day, number)))
        .map(|(day, number)| key(network, day, number))
        .collect()
}

/// Whether a key is a bucket of yesterday, today or tomorrow: others are not kept for anybody.
pub(crate) fn is_bucket(network: &NetworkName, bytes: &[u8], now: Timestamp) -> bool {
    let today = day(now);
    (today.saturating_sub(1)..=today + 1)
        .any(|day| (0..limits::BUCKETS).any(|number| key(network, day, number) == bytes))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const NOON: Timestamp = Timestamp(20_000 * DAY_SECONDS + DAY_SECONDS / 2);

    fn network(name: &str) -> NetworkName {
        name.parse().unwrap()
    }

    #[test]
    fn keys_differ_by_network_day_and_number() {
        let mut keys = HashSet::new();
        for name in ["a", "b"] {
            for day in 0..3 {
                for number in 0..limits::BUCKETS {
                    assert!(keys.insert(key(&network(name), day, number)));
                }
            }
        }
    }

    #[test]
    fn farmer_provides_in_two_buckets_and_before_midnight_in_those_of_tomorrow_too() {
        let (network, device) = (network("net"), DeviceId([7; 32]));
        assert_eq!(keys_of(&network, &device, NOON).len(), limits::BUCKETS_PER_FARMER);
        let evening = NOON.plus_seconds(DAY_SECONDS / 2 - 60);
        let keys = keys_of(&network, &device, evening);
        assert_eq!(keys.len(), 2 * limits::BUCKETS_PER_FARMER);
        assert!(keys.iter().all(|key| is_bucket(&network, key, evening)));
    }

    #[test]
    fn foreign_keys_are_no_buckets() {
        let ours = key(&network("ours"), day(NOON), 3);
        assert!(is_bucket(&network("ours"), &ours, NOON));
        assert!(!is_bucket(&network("theirs"), &ours, NOON));
        assert!(!is_bucket(&network("ours"), &key(&network("ours"), day(NOON) + 2, 3), NOON));
        assert!(!is_bucket(&network("ours"), b"anything", NOON));
    }
}
