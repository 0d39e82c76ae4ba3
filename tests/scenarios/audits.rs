//! What an owner put is proved by the farmers that keep it, and what they lost or changed is not: over the wire, between
//! real processes, on real files. Every block is asked for where a verdict is to be certain.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use hayloft_core::audit::{Failure, MAX_BLOCKS_ASKED, ProofError, Question, Scope, Sectors};
use hayloft_tests::{Asker, Field, Member, Verdict, exchange, flip_in_one_percent, hayloft};

const FARMERS: usize = 5;
/// Two of five: shards of some 8 MB, each in a segment of its own.
const FILE_BYTES: usize = 16_000_000;

async fn put(field: &Field, name: &str) -> Result<()> {
    let file = field.scratch()?.join(name);
    let mut bytes = vec![0; FILE_BYTES];
    rand::fill(&mut bytes[..]);
    std::fs::write(&file, bytes)?;
    let (home, file) = (field.owner.home().to_owned(), file.to_str().context("not Unicode")?.to_owned());
    tokio::task::spawn_blocking(move || hayloft(&home, ["put", &file])?.done()).await??;
    Ok(())
}

/// Two files with five farmers, and their owner's books; the owner itself has ended.
async fn kept() -> Result<(Field, Asker)> {
    let mut field = Field::new(FARMERS).await?;
    put(&field, "one").await?;
    put(&field, "two").await?;
    field.owner.stop();
    let asker = Asker::of(&field).await?;
    Ok((field, asker))
}

async fn audit(asker: &Asker, farmer: &Member) -> Result<Verdict> {
    let contract = asker.contract(farmer)?;
    ensure!(contract.shards.len() == 2 && contract.shards.iter().all(|shard| shard.tag_key.is_some()));
    Ok(asker.challenge(contract, &asker.question(contract, MAX_BLOCKS_ASKED)).await?.0)
}

/// The file of a farmer's shard.
fn file(asker: &Asker, farmer: &Member, shard: usize) -> Result<PathBuf> {
    let name = asker.contract(farmer)?.shards[shard].id.to_string();
    Ok(farmer.home().join("shards").join(&name[..2]).join(name))
}

#[tokio::test]
async fn shards_deleted_cut_swapped_or_changed_in_one_bit_are_not_proved_and_the_reason_is_told() -> Result<()>
{
    let (field, asker) = kept().await?;
    for farmer in &field.farmers {
        ensure!(audit(&asker, farmer).await? == Verdict::Passed);
    }
    let [deleted, cut, swapped, flipped, sound] = &field.farmers[..] else { panic!("five farmers") };
    std::fs::remove_file(file(&asker, deleted, 1)?)?;
    let path = file(&asker, cut, 0)?;
    let len = path.metadata()?.len();
    std::fs::OpenOptions::new().write(true).open(path)?.set_len(len - 1)?;
    let (one, two) = (file(&asker, swapped, 0)?, file(&asker, swapped, 1)?);
    exchange(&one, &two)?;
    flip_in_one_percent(&file(&asker, flipped, 0)?)?;
    let wrong = Verdict::Wrong(Failure::Proof(ProofError::DoesNotFit));
    for (farmer, expected) in [(swapped, wrong), (flipped, wrong), (sound, Verdict::Passed)] {
        let verdict = audit(&asker, farmer).await?;
        ensure!(verdict == expected, "{verdict:?} where {expected:?} was due");
    }
    for (farmer, shard) in [(deleted, 1), (cut, 0)] {
        let (verdict, expected) = (audit(&asker, farmer).await?, asker.contract(farmer)?.shards[shard].id);
        ensure!(verdict == Verdict::Wrong(Failure::Lost(expected)), "{verdict:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_farmer_killed_while_it_proves_gives_the_same_answer_when_it_is_back() -> Result<()> {
    let (mut field, asker) = kept().await?;
    let contract = asker.contract(&field.farmers[0])?.clone();
    let question = asker.question(&contract, MAX_BLOCKS_ASKED);
    let (verdict, first) = asker.challenge(&contract, &question).await?;
    ensure!(verdict == Verdict::Passed);
    for _ in 0..3 {
        let asking = asker.challenge(&contract, &question);
        let killing = async {
            tokio::task::yield_now().await;
            field.farmers[0].kill_9()
        };
        let (_, killed) = futures::join!(asking, killing);
        killed?;
        field.farmers[0].start()?;
        asker.meet(&field.farmers[0])?;
        let mut again = asker.challenge(&contract, &question).await;
        for _ in 0..20 {
            // What is left of the old connection must be noticed first.
            if again.is_ok() {
                break;
            }
            again = asker.challenge(&contract, &question).await;
        }
        ensure!(again?.1 == first, "another answer to the same question");
    }
    Ok(())
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_farmer_that_proves_reads_little_more_than_the_blocks_it_is_asked_for() -> Result<()> {
    const BLOCKS: u16 = 10;
    let (field, asker) = kept().await?;
    let farmer = &field.farmers[0];
    let contract = asker.contract(farmer)?.clone();
    let read = || -> Result<u64> {
        let io = std::fs::read_to_string(format!("/proc/{}/io", farmer.process()?.pid()))?;
        let line = io.lines().find_map(|line| line.strip_prefix("rchar: ")).context("no figure")?;
        Ok(line.parse()?)
    };
    // The key is read once.
    asker.challenge(&contract, &asker.question(&contract, 1)).await?;
    let before = read()?;
    let (verdict, _) = asker.challenge(&contract, &asker.question(&contract, BLOCKS)).await?;
    ensure!(verdict == Verdict::Passed);
    // Each shard whose turn it is gives one block more.
    let asked = (u64::from(BLOCKS) + 2) * Sectors::DEFAULT.block_bytes() as u64;
    let (took, kept) = (read()? - before, contract.shards.iter().map(|shard| shard.bytes).sum::<u64>());
    ensure!(took < asked + (2 << 20) && took < kept / 4, "{took} bytes read for {asked} asked of {kept}");
    Ok(())
}

/// How likely it is that so many of `all` blocks, drawn at random, hold one of the `lost` ones.
fn odds(all: u64, lost: u64, asked: u64) -> f64 {
    1.0 - (0..lost).map(|gone| (all - asked - gone) as f64 / (all - gone) as f64).product::<f64>()
}

#[tokio::test]
async fn one_bit_flipped_in_one_percent_of_the_blocks_is_caught_as_often_as_mathematics_says() -> Result<()> {
    const ROUNDS: usize = 100;
    const BLOCKS: u16 = 46;
    let (field, asker) = kept().await?;
    let contract = asker.contract(&field.farmers[0])?;
    let mut lost = 0;
    for shard in 0..2 {
        let path = file(&asker, &field.farmers[0], shard)?;
        let before = std::fs::read(&path)?;
        flip_in_one_percent(&path)?;
        lost +=
            std::fs::read(&path)?.iter().zip(&before).filter(|(now, before)| now != before).count() as u64;
    }
    let all: u64 = contract.shards.iter().map(|shard| Sectors::DEFAULT.blocks(shard.bytes)).sum();
    let scope = Scope::Shards(contract.shards.iter().map(|shard| shard.id).collect());
    let mut caught = 0;
    for _ in 0..ROUNDS {
        let question = Question { scope: scope.clone(), ..asker.question(contract, BLOCKS) };
        match asker.challenge(contract, &question).await?.0 {
            Verdict::Passed => {}
            Verdict::Wrong(Failure::Proof(ProofError::DoesNotFit)) => caught += 1,
            other => anyhow::bail!("{other:?}"),
        }
    }
    let odds = odds(all, lost, BLOCKS.into());
    // Five standard deviations: one run in a million leaves them.
    let slack = 5.0 * (odds * (1.0 - odds) * ROUNDS as f64).sqrt();
    let due = odds * ROUNDS as f64;
    ensure!(
        (f64::from(caught) - due).abs() < slack,
        "{caught} of {ROUNDS} where {due:.0} were due: {lost} of {all} blocks are wrong, {BLOCKS} are asked for"
    );
    ensure!(slack < due.min(ROUNDS as f64 - due), "{due:.0} of {ROUNDS}: it shows nothing");
    Ok(())
}
