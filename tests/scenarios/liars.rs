//! Farmers that break their word: each is a process of its own that speaks the real protocol. A file comes back although
//! one of them keeps a part of it, and is stored although one of them takes no part.

use anyhow::{Context, Result};
use hayloft_tests::{Devnet, farmers_seen, hayloft, kill_9};
use rand::RngExt as _;

/// Enough for several segments, so that every farmer is sure to be asked.
const BYTES: usize = 40 << 20;
/// One honest get may by chance do without the liar; so many in a row cannot.
const GETS: usize = 8;

/// A network of four honest farmers and one liar, and a file.
async fn network_with(lie: &str) -> Result<(Devnet, hayloft_tests::Liar, std::path::PathBuf)> {
    let devnet = Devnet::start(4, None)?;
    let liar = devnet.liar(lie)?;
    farmers_seen(&devnet.owner().await?, 5).await?;
    let file = devnet.scratch()?.join("file");
    let mut bytes = vec![0; BYTES];
    rand::rng().fill(&mut bytes[..]);
    std::fs::write(&file, bytes)?;
    Ok((devnet, liar, file))
}

/// A farmer that took its shards and lies when it should give them back is named, nobody else is, and the file comes back
/// identical each time.
async fn get_names(lie: &str) -> Result<()> {
    let (devnet, liar, file) = network_with(lie).await?;
    let owner = devnet.owner_home()?;
    let put = hayloft(owner, ["put", file.to_str().context("a path")?])?.done()?;
    assert_eq!(put["farmers"], 5, "the liar was honest so far: {put}");
    // Of those that are left each is among those that are asked.
    kill_9(devnet.farmers()[0].pid)?;
    let output = devnet.scratch()?.join("back");
    for _ in 0..GETS {
        let got = hayloft(owner, ["get", "file", "--force", "--output", output.to_str().context("a path")?])?
            .done()?;
        assert!(std::fs::read(&file)? == std::fs::read(&output)?, "the file came back changed");
        let blamed = got["farmers_blamed"].as_array().context("no list")?;
        match blamed.as_slice() {
            [] => {}
            [only] if *only == *liar.id() => return Ok(()),
            others => anyhow::bail!("an honest farmer was blamed: {others:?}"),
        }
    }
    anyhow::bail!("the liar was never named")
}

/// A farmer that fails while a file is stored is replaced, and holds nothing of it.
async fn put_avoids(lie: &str) -> Result<()> {
    let (devnet, liar, file) = network_with(lie).await?;
    let owner = devnet.owner_home()?;
    let put = hayloft(owner, ["put", file.to_str().context("a path")?])?.done()?;
    assert!(put["farmers"].as_u64().is_some_and(|farmers| farmers < 5), "only honest ones hold it: {put}");
    // The liar is gone: what was stored does not need it.
    drop(liar);
    let health = hayloft(owner, ["health", "file"])?.done()?;
    let segments = health["segments"].as_array().context("no segments")?;
    assert!(segments.iter().all(|segment| segment["alive"] == health["n"]), "{health}");
    let output = devnet.scratch()?.join("back");
    hayloft(owner, ["get", "file", "--output", output.to_str().context("a path")?])?.done()?;
    assert!(std::fs::read(&file)? == std::fs::read(&output)?, "the file came back changed");
    Ok(())
}

#[tokio::test]
async fn a_farmer_that_sends_wrong_bytes_is_named() -> Result<()> {
    get_names("wrong-bytes").await
}

#[tokio::test]
async fn a_farmer_that_sends_too_many_bytes_is_named() -> Result<()> {
    get_names("too-many-bytes").await
}

#[tokio::test]
async fn a_farmer_that_sends_nothing_is_named() -> Result<()> {
    get_names("nothing").await
}

#[tokio::test]
async fn a_farmer_that_sends_another_shard_is_named() -> Result<()> {
    get_names("another-shard").await
}

#[tokio::test]
async fn a_farmer_that_denies_having_the_shard_is_named() -> Result<()> {
    get_names("forgets").await
}

#[tokio::test]
async fn a_farmer_that_refuses_after_accepting_is_replaced() -> Result<()> {
    put_avoids("refuses-upload").await
}

#[tokio::test]
async fn a_farmer_that_acknowledges_other_bytes_is_replaced() -> Result<()> {
    put_avoids("wrong-hash").await
}

#[tokio::test]
async fn a_farmer_that_never_reads_is_replaced() -> Result<()> {
    put_avoids("never-reads").await
}

#[tokio::test]
async fn a_farmer_that_does_not_sign_for_what_it_took_is_replaced() -> Result<()> {
    put_avoids("refuses-revision").await
}
