//! What the machine can do at this very moment: AES-256-GCM on one core, a sequential write with fsync, and a plain copy
//! over one QUIC stream between two processes with the same libp2p that nodes use.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::{Child, Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result};
use hayloft_core::{ContractId, NetworkName, ShardId, keys::DeviceKey};
use hayloft_net::{
    Net, NetConfig,
    messages::{Envelope, Request},
};
use rand::Rng as _;
use serde::{Deserialize, Serialize};

use crate::{
    coding,
    table::{Reference, Table},
    usage::cpu_seconds,
    work,
};

/// The word that makes this program the receiving side of the copy.
pub(crate) const SINK: &str = "quic-sink";
const NETWORK: &str = "bench-reference";
const QUIC_BYTES: u64 = 1 << 30;
const DISK_BYTES: usize = 512 << 20;
const FRAME: usize = 64 * 1024;

#[derive(Serialize, Deserialize)]
struct Sink {
    device: [u8; 32],
    addresses: Vec<String>,
}

/// Measures all three.
pub(crate) fn measure(runtime: &tokio::runtime::Runtime, table: &mut Table) -> Result<()> {
    table.refer(Reference::Aes, "AES-256-GCM, one core", aes(), "64 KiB at a time".into());
    table.refer(Reference::Disk, "sequential write with fsync", disk()?, "512 MiB".into());
    let (rate, sent, received) = runtime.block_on(quic())?;
    let note = format!("CPU s per GiB: {sent:.2} sending, {received:.2} receiving");
    table.refer(Reference::Quic, "plain copy over one QUIC stream", rate, note);
    Ok(())
}

fn aes() -> f64 {
    let mut bytes = work::plain();
    coding::rate_of(|| work::aes(&mut bytes))
}

fn disk() -> Result<f64> {
    let mut file = tempfile::tempfile()?;
    let mut piece = vec![0; 1 << 20];
    rand::rng().fill_bytes(&mut piece);
    let begun = Instant::now();
    for _ in 0..DISK_BYTES / piece.len() {
        file.write_all(&piece)?;
    }
    file.sync_all()?;
    Ok(DISK_BYTES as f64 / 1e6 / begun.elapsed().as_secs_f64())
}

async fn node(listen: &[&str]) -> Result<(Net, hayloft_net::Incoming)> {
    let mut secret = [0; 32];
    rand::rng().fill_bytes(&mut secret);
    let network: NetworkName = NETWORK.parse()?;
    let listen = listen.iter().map(|address| (*address).to_owned()).collect();
    let config = NetConfig { listen, ..NetConfig::new(network) };
    Ok(Net::start(config, &DeviceKey::from_bytes(&secret)).await?)
}

/// The receiving side: takes bytes and forgets them, until its input closes.
pub(crate) async fn sink() -> Result<()> {
    let (net, mut incoming) = node(&["/ip4/127.0.0.1/udp/0/quic-v1"]).await?;
    net.announce_farmer(true);
    let sink = Sink { device: net.local_id().0, addresses: net.addresses() };
    println!("{}", serde_json::to_string(&sink)?);
    tokio::spawn(async move {
        while let Some(inbound) = incoming.next().await {
            tokio::spawn(async move {
                let mut receiving = inbound.ready(0).await?;
                while receiving.next().await?.is_some() {}
                receiving.stored([0; 32]).await
            });
        }
    });
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    net.shutdown().await;
    Ok(())
}

/// MB/s, and processor seconds per GiB of both sides.
async fn quic() -> Result<(f64, f64, f64)> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg(SINK)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let measured = copy_to(&mut child).await;
    drop(child.stdin.take());
    child.wait()?;
    measured
}

async fn copy_to(child: &mut Child) -> Result<(f64, f64, f64)> {
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
    let sink: Sink = serde_json::from_str(&line)?;
    let (net, _incoming) = node(&[]).await?;
    let device = hayloft_core::DeviceId(sink.device);
    net.hint(device, &sink.addresses);
    let own = std::process::id();
    let (sent, received) = (cpu_seconds(own)?, cpu_seconds(child.id())?);
    let begun = Instant::now();
    let request = Request::Upload {
        contract: ContractId([0; 32]),
        shard: ShardId([0; 32]),
        bytes: QUIC_BYTES,
        tag_bytes: 0,
    };
    let mut upload = net.upload(device, &Envelope { certificate: None, request }).await?;
    let frame = vec![7; FRAME];
    for _ in 0..QUIC_BYTES / FRAME as u64 {
        upload.send(&frame).await?;
    }
    upload.finish().await?;
    let seconds = begun.elapsed().as_secs_f64();
    let (sent, received) = (cpu_seconds(own)? - sent, cpu_seconds(child.id())? - received);
    net.shutdown().await;
    Ok((QUIC_BYTES as f64 / 1e6 / seconds, sent, received))
}
