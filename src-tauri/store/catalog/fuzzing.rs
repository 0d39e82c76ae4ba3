//! The catalog log read from any bytes: raw, and with checks that fit, so that what lies in the batches is reached.

use hayloft_core::codec;

use super::log::{Batch, Reading, VERSION, check_of, start};

const MARKER: [u8; 16] = [7; 16];

/// A log of batches with these payloads.
pub(crate) fn framed<'a>(payloads: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let (mut log, mut check) = start(&MARKER);
    for payload in payloads {
        let batch = [&(payload.len() as u32).to_le_bytes()[..], payload].concat();
        check = check_of(&check, &batch);
        log.extend([&batch[..], &check].concat());
    }
    log
}

/// Reads a log to its end: what is read of it is written as it came, and a torn log tells no more than a whole one.
pub(crate) fn read(log: &[u8]) {
    let Some((written, batches)) = rewritten(log) else { return };
    assert!(log.starts_with(&written), "what was read is not what was written");
    if let Some((torn, fewer)) = log.split_last().and_then(|(_, torn)| rewritten(torn)) {
        assert!(fewer <= batches && written.starts_with(&torn));
    }
}

/// What is written again of all that is read, and how many batches that is.
fn rewritten(log: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut reading = Reading::of(log, log.len() as u64, &MARKER).expect("memory does not fail")?;
    let mut payloads = Vec::new();
    while let Some(entries) = reading.next().expect("memory does not fail") {
        payloads.push(codec::encode(VERSION, &Batch { number: reading.head.number, entries }));
    }
    let written = framed(payloads.iter().map(Vec::as_slice));
    assert_eq!(
        (reading.head.len, reading.unread_bytes()),
        (written.len() as u64, (log.len() - written.len()) as u64)
    );
    Some((written, payloads.len()))
}

#[cfg(test)]
mod tests {
    use hayloft_core::{DeviceId, SegmentId, Timestamp};

    use super::*;
    use crate::{
        catalog::Entry,
        files::Removal,
        samples::{contract_id, entry, revision, shard_id, terms},
    };

    fn seeds() -> Vec<Vec<u8>> {
        let first = vec![
            Entry::Contract { id: contract_id(1), terms: Box::new(terms(1)) },
            Entry::Denied { id: contract_id(1), at: Timestamp(5) },
        ];
        let second = vec![Entry::Revision(Box::new(revision(1, 0, vec![entry(1, 10)], vec![])))];
        let removal = Removal { farmer: DeviceId([9; 32]), contract: contract_id(1), shard: shard_id(1) };
        let third = vec![
            Entry::Moved { segment: SegmentId([1; 32]), placement: vec![1, 2, 3] },
            Entry::Kept { name_key: [2; 32], content: vec![4], keep_until: Timestamp(9), renew: true },
            Entry::Released(3),
            Entry::GivenUp(vec![removal]),
            Entry::Gone(vec![removal.shard]),
        ];
        let batches = [first, second, third].into_iter().zip(1..);
        batches.map(|(entries, number)| codec::encode(VERSION, &Batch { number, entries })).collect()
    }

    /// Seeds as the target takes them; `UPDATE_CORPUS=1` writes them where cargo-fuzz takes them up.
    #[test]
    fn the_catalogs_target_survives_its_seeds() {
        let payloads = seeds();
        let pieces = payloads.iter().flat_map(|payload| {
            [&u16::try_from(payload.len()).expect("short").to_le_bytes()[..], payload].concat()
        });
        let all = [pieces.collect(), framed(payloads.iter().map(Vec::as_slice))];
        assert_eq!(rewritten(&all[1]).expect("a log").1, 3);
        for seed in all {
            crate::fuzzing::catalogs(&seed);
            if std::env::var_os("UPDATE_CORPUS").is_some() {
                let folder =
                    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus/catalogs");
                std::fs::create_dir_all(&folder).expect("a folder");
                let name = format!("seed-{}", &blake3::hash(&seed).to_hex()[..12]);
                std::fs::write(folder.join(name), seed).expect("written");
            }
        }
    }
}
