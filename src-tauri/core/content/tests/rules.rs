//! Rules 4 and 5 of the design: no key and nonce ever seal two plaintexts, no shard id is drawn twice, whatever is
//! interrupted, edited, tried again or gone on with.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::content::cipher::observer;

const TARGET: usize = CHUNK + TAG + 5_000;

#[derive(Debug, Clone)]
enum Step {
    /// A file is edited, so that the next try reads other bytes.
    Edit(usize),
    /// All files are put, but after so many pieces the process is killed.
    Put { kill_after: usize },
    /// A placement of the newest segment fails and is tried again under a new outer key.
    Replace,
    /// An upload of a shard breaks, and the cells are sealed again for the same farmer.
    GoOn,
    /// A file turns out to be unreadable half way.
    Unreadable(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0usize..3).prop_map(Step::Edit),
        (0usize..12).prop_map(|kill_after| Step::Put { kill_after }),
        Just(Step::Replace),
        Just(Step::GoOn),
        (0usize..3).prop_map(Step::Unreadable),
    ];
    prop::collection::vec(step, 1..14)
}

struct Owner {
    rng: FixedRng,
    coder: Coder,
    files: Vec<Vec<u8>>,
    edits: usize,
    newest: Option<Arc<CodedSegment>>,
    sealers: Vec<ShardSealer>,
    ids: HashSet<crate::ShardId>,
    drawn: usize,
}

impl Owner {
    fn new() -> Self {
        let files = [100, 70_000, 150_000].map(|len| plain("first", len)).to_vec();
        let coder = Coder::new(Coding::new(2, 3).unwrap());
        let (rng, ids) = (FixedRng::new("rules"), HashSet::new());
        Self { rng, coder, files, edits: 0, newest: None, sealers: Vec::new(), ids, drawn: 0 }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Edit(file) => {
                self.edits += 1;
                self.files[file] = plain(&self.edits.to_string(), self.files[file].len());
            }
            Step::Put { kill_after } => self.put(kill_after, None),
            Step::Unreadable(file) => self.put(usize::MAX, Some(file)),
            Step::Replace => self.seal_shards(),
            Step::GoOn => {
                for sealer in &self.sealers {
                    let mut bytes = Vec::new();
                    (0..sealer.layout().stripes()).rev().for_each(|cell| sealer.seal_cell(cell, &mut bytes));
                }
            }
        }
    }

    fn put(&mut self, kill_after: usize, unreadable: Option<usize>) {
        let mut packer = Packer::new(TARGET, &mut self.rng).unwrap();
        let (mut full, mut pieces) = (Vec::new(), 0);
        'files: for (number, file) in self.files.iter().enumerate() {
            full.extend(packer.begin(file_id(number), file.len() as u64).unwrap());
            for (at, piece) in file.chunks(30_000).enumerate() {
                if pieces == kill_after {
                    break 'files;
                }
                if unreadable == Some(number) && at == 1 {
                    packer.abandon();
                    continue 'files;
                }
                full.extend(packer.push(piece).unwrap());
                pieces += 1;
            }
            packer.end().unwrap();
        }
        drop(packer);
        for segment in full {
            self.newest = Some(Arc::new(self.coder.encode(segment.bytes).unwrap()));
            self.seal_shards();
        }
    }

    fn seal_shards(&mut self) {
        let Some(segment) = self.newest.clone() else { return };
        let outer = SecretKey::random(&mut self.rng);
        for column in 0..segment.coding().n() {
            let sealer = ShardSealer::new(segment.clone(), column, &outer, &mut self.rng);
            let mut bytes = Vec::new();
            (0..segment.layout().stripes()).for_each(|cell| sealer.seal_cell(cell, &mut bytes));
            self.ids.insert(sealer.id());
            self.drawn += 1;
            self.sealers.push(sealer);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_key_and_nonce_ever_seal_two_plaintexts_and_no_id_comes_twice(steps in steps()) {
        let mut owner = Owner::new();
        observer::watch(|| steps.iter().for_each(|step| owner.step(step)));
        prop_assert_eq!(owner.ids.len(), owner.drawn);
    }
}

#[test]
fn the_watch_sees_every_seal_and_would_catch_a_reuse() {
    let key = SecretKey([7; 32]);
    let seal = |byte: u8| {
        super::super::cipher::Stream::new(&key, Vec::new()).seal_tail(3, false, &mut vec![byte], 0)
    };
    assert_eq!(observer::watch(|| (0..3).for_each(|_| seal(1))), 1);
    let reused = std::panic::catch_unwind(|| observer::watch(|| (1..3).for_each(seal)));
    assert!(reused.is_err());
}
