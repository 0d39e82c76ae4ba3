//! How often an audit catches what a disk lost: as often as the mathematics says, with a real farmer, real files and the
//! question of an epoch.
//!
//! ```text
//! odds of catching = 1 − (share kept)^460        1 % of the blocks lost: 99 %        0.1 %: 37 %
//! ```

use std::fs;

use hayloft_core::audit::{BLOCKS_PER_EPOCH, Failure, ProofError, Question, Sectors};

use super::{
    audits::{BLOCK, bench},
    bench::{Bench, Script},
};

/// Blocks of the contract: many more than an epoch asks for.
const BLOCKS: usize = 10_000;
/// Bytes of a shard's header.
const HEADER: usize = 128;
/// Audits, each with a beacon of its own.
const ROUNDS: usize = 100;

/// Of a hundred audits, how many catch that one bit is flipped in so many of the farmer's blocks.
async fn caught(bench: &Bench, owner: &Script, lost: usize) -> usize {
    let stored = owner.kept(owner.agree().await, Sectors::MIN, &[BLOCKS * BLOCK]).await;
    let path = bench.file(stored.shards[0]);
    let mut file = fs::read(&path).expect("read");
    for block in (0..BLOCKS).step_by(BLOCKS / lost) {
        file[HEADER + block * BLOCK + block % BLOCK] ^= 1;
    }
    fs::write(&path, file).expect("written");
    let mut caught = 0;
    for _ in 0..ROUNDS {
        let question = Question { blocks: BLOCKS_PER_EPOCH, ..stored.question() };
        let receipt = owner.challenge(question, stored.root()).await.expect("proved");
        let finding = stored.judged(owner, &receipt).await.expect("a receipt that shows something");
        assert!(finding.stands_for_epoch);
        match finding.outcome {
            Ok(()) => {}
            Err(Failure::Proof(ProofError::DoesNotFit)) => caught += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    caught
}

/// The bounds are five standard deviations wide and more: one run in some millions leaves them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_one_percent_of_the_blocks_is_caught_as_often_as_mathematics_says() {
    let (bench, owner) = bench().await;
    let much = caught(&bench, &owner, BLOCKS / 100).await;
    assert!(much >= 92, "{much} of {ROUNDS} audits where 99 were due");
    let little = caught(&bench, &owner, BLOCKS / 1000).await;
    assert!((12..=62).contains(&little), "{little} of {ROUNDS} audits where 37 were due");
}
