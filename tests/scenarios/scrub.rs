//! What a disk loses is noticed by the farmer itself, seen by the owner, and costs no file.

use anyhow::{Context, Result, ensure};
use hayloft_tests::{Devnet, hayloft, shard_files};

#[test]
fn a_flipped_bit_is_found_by_the_farmer_itself_and_costs_no_file() -> Result<()> {
    let devnet = Devnet::start(5, None)?;
    let owner = devnet.owner_home()?;
    let file = devnet.scratch()?.join("file");
    std::fs::write(&file, vec![9; 1_000_000])?;
    let put = hayloft(owner, ["put", file.to_str().context("a path")?])?.done()?;
    ensure!(put["segments"] == 1 && put["n"] == 5, "{put}");
    let farmer = &devnet.farmers()[2].home;
    let whole = hayloft(farmer, ["farm", "scrub"])?.done()?;
    ensure!(whole["lost_shards"] == 0 && whole["ended"].is_u64(), "{whole}");

    let mut shards = shard_files(farmer)?;
    ensure!(shards.len() == 1, "{shards:?}");
    let shard = shards.remove(0);
    let mut bytes = std::fs::read(&shard)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&shard, bytes)?;
    let found = hayloft(farmer, ["farm", "scrub"])?.done()?;
    ensure!(found["lost_shards"] == 1, "{found}");

    let health = hayloft(owner, ["health", "file"])?.done()?;
    ensure!(health["segments"][0]["alive"] == 4, "{health}");
    let output = devnet.scratch()?.join("back");
    hayloft(owner, ["get", "file", "--output", output.to_str().context("a path")?])?.done()?;
    ensure!(std::fs::read(output)? == std::fs::read(file)?, "the file came back changed");
    Ok(())
}
