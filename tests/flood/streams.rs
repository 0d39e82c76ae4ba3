//! Attacks by what is written on streams.

use std::time::Duration;

use anyhow::Result;
use futures::{AsyncReadExt as _, AsyncWriteExt as _, future::join_all};
use hayloft_net::limits;
use libp2p::{Stream, StreamProtocol};

use crate::{Victim, begun, stranger::Stranger};

/// Identities that attack at once.
const STRANGERS: usize = 24;
/// Streams that each opens at once.
const STREAMS: usize = 40;

pub(crate) fn farmer_protocol(victim: &Victim) -> Result<StreamProtocol> {
    Ok(StreamProtocol::try_from_owned(format!("/hayloft/{}/farmer/1", victim.network))?)
}

/// Lets many strangers, half over QUIC and half over TCP, do the same on many streams each, over and over.
async fn on_streams<F>(victim: &Victim, protocol: &StreamProtocol, act: impl Fn(Stream) -> F) -> Result<()>
where
    F: Future<Output = ()>,
{
    let strangers = join_all((0..STRANGERS).map(|number| {
        let address = if number % 2 == 0 { &victim.quic } else { &victim.tcp };
        Stranger::connect(address, victim.peer)
    }));
    let strangers: Vec<Stranger> = strangers.await.into_iter().collect::<Result<_>>()?;
    begun(strangers.len() * STREAMS);
    let (protocol, act) = (&protocol, &act);
    let streams = strangers.iter().flat_map(|stranger| {
        (0..STREAMS).map(move |_| async move {
            loop {
                match stranger.open(protocol).await {
                    Ok(stream) => act(stream).await,
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        })
    });
    join_all(streams).await;
    Ok(())
}

pub(crate) async fn drip(victim: Victim) -> Result<()> {
    let protocol = farmer_protocol(&victim)?;
    on_streams(&victim, &protocol, |mut stream| async move {
        let mut dripping = stream.write_all(&1000_u32.to_be_bytes()).await;
        while dripping.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
            dripping = stream.write_all(&[0]).await;
            let _ = stream.flush().await;
        }
    })
    .await
}

pub(crate) async fn endless(victim: Victim) -> Result<()> {
    let protocol = farmer_protocol(&victim)?;
    let most = u32::try_from(limits::CONTROL_FRAME)?;
    on_streams(&victim, &protocol, |mut stream| async move {
        let noise = [0xA5; 16 * 1024];
        let mut sent = stream.write_all(&most.to_be_bytes()).await;
        while sent.is_ok() {
            sent = stream.write_all(&noise).await;
        }
    })
    .await
}

pub(crate) async fn wrong_lengths(victim: Victim) -> Result<()> {
    let protocol = farmer_protocol(&victim)?;
    let most = u32::try_from(limits::CONTROL_FRAME)?;
    let kind = std::sync::atomic::AtomicUsize::new(0);
    on_streams(&victim, &protocol, |mut stream| {
        let kind = kind.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        async move {
            let frame: Vec<u8> = match kind % 5 {
                0 => 0_u32.to_be_bytes().to_vec(),
                1 => (most + 1).to_be_bytes().to_vec(),
                2 => u32::MAX.to_be_bytes().to_vec(),
                3 => [&500_u32.to_be_bytes()[..], &[1; 499]].concat(),
                _ => vec![0, 0],
            };
            let _ = stream.write_all(&frame).await;
            let _ = stream.close().await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    })
    .await
}

/// Every stream is left open with as much in it as the other side's window takes.
pub(crate) async fn full_windows(victim: Victim) -> Result<()> {
    let farmer = farmer_protocol(&victim)?;
    let kad = StreamProtocol::try_from_owned(format!("/hayloft/{}/kad/1", victim.network))?;
    let fill = |mut stream: Stream| async move {
        // A request without its last byte, a packet without its end: then whatever goes.
        let noise = [0; 16 * 1024];
        let filling = async { while stream.write_all(&noise).await.is_ok() {} };
        let _ = tokio::time::timeout(Duration::from_secs(60), filling).await;
    };
    let all = [farmer, kad].map(|protocol| {
        let victim = victim.clone();
        async move { on_streams(&victim, &protocol, fill).await }
    });
    join_all(all).await.into_iter().collect()
}
