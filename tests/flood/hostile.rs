//! Farmers that an owner meets, and that treat its questions as badly as they can.

use std::time::Duration;

use anyhow::Result;
use futures::{AsyncWriteExt as _, StreamExt as _, future::join_all};
use hayloft_net::limits;
use libp2p::{Stream, StreamProtocol, identity::Keypair};

use crate::{
    Victim, begun,
    stranger::{Stranger, swarm},
    streams::farmer_protocol,
};

const FARMERS: usize = 60;

pub(crate) async fn farmers(victim: Victim) -> Result<()> {
    let made = join_all((0..FARMERS).map(|number| farmer(number, &victim)));
    let farmers: Vec<Stranger> = made.await.into_iter().collect::<Result<_>>()?;
    begun(farmers.len());
    std::future::pending().await
}

/// A stranger that says it speaks all that a farmer of the network speaks.
async fn farmer(number: usize, victim: &Victim) -> Result<Stranger> {
    let swarm = swarm(Keypair::generate_ed25519())?;
    let mut control = swarm.behaviour().stream.new_control();
    let mut questions = control.accept(farmer_protocol(victim)?)?;
    let kad = StreamProtocol::try_from_owned(format!("/hayloft/{}/kad/1", victim.network))?;
    let mut walks = control.accept(kad)?;
    tokio::spawn(async move {
        while let Some((_, stream)) = questions.next().await {
            tokio::spawn(answer(number, stream));
        }
    });
    tokio::spawn(async move {
        while let Some((_, stream)) = walks.next().await {
            tokio::spawn(answer(number, stream));
        }
    });
    Stranger::connect_as(swarm, &victim.quic, victim.peer).await
}

async fn answer(kind: usize, mut stream: Stream) {
    let most = u32::try_from(limits::CONTROL_FRAME).unwrap_or(u32::MAX);
    let noise = [0x5A; 16 * 1024];
    let mut sent = match kind % 5 {
        0 => stream.write_all(&most.to_be_bytes()).await,
        1 => stream.write_all(&most.to_be_bytes()).await,
        2 => stream.write_all(&u32::MAX.to_be_bytes()).await,
        3 => stream.write_all(&[&300_u32.to_be_bytes()[..], &noise[..300]].concat()).await,
        _ => Ok(()),
    };
    while sent.is_ok() {
        sent = match kind % 5 {
            0 => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let dripped = stream.write_all(&[0]).await;
                let _ = stream.flush().await;
                dripped
            }
            4 => std::future::pending().await,
            _ => stream.write_all(&noise).await,
        };
    }
}
