//! `hayloft-liar`: a farmer in a process of its own that speaks the real protocol over the real network, signs real
//! contracts, and then breaks its word in the one way that it is told to. Shards live in memory.
//!
//! It prints `{"id": DEVICE}` once it can be found, and ends when its standard input closes.

mod farm;
mod lie;

use std::{io::Write as _, sync::Arc};

use anyhow::{Context as _, Result};
use hayloft_core::{NetworkName, keys::DeviceKey};
use hayloft_net::{Net, NetConfig};
use tokio::io::AsyncReadExt as _;

use crate::{farm::Farm, lie::Lie};

#[tokio::main]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let mut next = |what: &'static str| args.next().context(what);
    let network: NetworkName = next("NETWORK BOOTSTRAP LIE")?.parse()?;
    let bootstrap = next("BOOTSTRAP LIE")?;
    let lie: Lie = serde_json::from_value(next("LIE")?.into())?;

    let device = DeviceKey::random(&mut rand::rng());
    let config = NetConfig {
        listen: vec!["/ip4/127.0.0.1/udp/0/quic-v1".to_owned()],
        bootstrap: vec![bootstrap],
        ..NetConfig::new(network.clone())
    };
    let (net, mut incoming) = Net::start(config, &device).await?;
    net.announce_farmer(true);
    println!("{}", serde_json::json!({ "id": device.id().to_string() }));
    std::io::stdout().flush()?;

    let farm = Arc::new(Farm::new(network, device, lie));
    let mut stdin = tokio::io::stdin();
    let mut closed = [0; 1];
    loop {
        tokio::select! {
            inbound = incoming.next() => match inbound {
                Some(inbound) => {
                    let farm = farm.clone();
                    tokio::spawn(async move { farm.serve(inbound).await });
                }
                None => break,
            },
            _ = stdin.read(&mut closed) => break,
        }
    }
    net.shutdown().await;
    Ok(())
}
