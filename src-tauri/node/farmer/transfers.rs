//! Bytes in and out: reserving, receiving and sending shards. Uploads go on where an earlier one stopped; a promise
//! made by a reservation is kept through pause and hours; reads are always served.

use std::time::Duration;

use bytes::Bytes;
use hayloft_core::{
    ContractId, OwnerId, ShardId, Timestamp, audit::Sectors, contract::MAX_SHARD_BYTES, placement::Subnet,
};
use hayloft_net::{
    Inbound, NetError, Receiving, Sending,
    limits::SHARDS_PER_PAGE,
    messages::{Answer, Refusal, RefusalCode},
};
use hayloft_store::farmer::{
    ARRIVED_SECONDS, FarmerError, READ_BYTES, RESERVATION_SECONDS, ShardReader, ShardWriter, Wish,
};

use super::{
    Shared,
    egress::{COUNTED_BYTES, Meter, Tabs, not_vouched},
    flow::Flow,
    offer, refuse,
};

/// Bytes read from the disk at once while sending.
const READ_AHEAD_BYTES: u64 = if READ_BYTES < 1 << 20 { READ_BYTES } else { 1 << 20 };

impl Shared {
    pub(crate) async fn reserve(
        &self,
        inbound: &Inbound,
        owner: OwnerId,
        contract: ContractId,
        bytes: u64,
    ) -> Result<Answer, Refusal> {
        if bytes == 0 {
            return Err(refuse::refuse(RefusalCode::BadRequest, "A reservation holds at least one byte."));
        }
        self.open_contract_of(owner, contract).await?;
        self.permitted()?;
        let limits = offer::limits(&self.settings.borrow());
        let subnet = Subnet::observed(inbound.from, inbound.address).to_string();
        let wish = Wish { contract, owner, subnet, bytes };
        let until = self.parts.store.farmer().reserve(&wish, &limits, self.parts.clock.now()).await;
        self.changed();
        Ok(Answer::Reserved { until: until.map_err(refuse::store)? })
    }

    /// Frees what an upload that came to nothing has left.
    pub(crate) async fn release(
        &self,
        owner: OwnerId,
        contract: ContractId,
        shards: &[ShardId],
    ) -> Result<Answer, Refusal> {
        if shards.len() > SHARDS_PER_PAGE {
            return Err(refuse::refuse(RefusalCode::BadRequest, "Too many shards are named at once."));
        }
        self.contract_of(owner, contract).await?;
        self.parts.store.farmer().release(contract, shards).await.map_err(refuse::store)?;
        self.changed();
        Ok(Answer::Released)
    }

    /// Receives one shard.
    pub(crate) async fn take(
        &self,
        inbound: Inbound,
        owner: OwnerId,
        contract: ContractId,
        shard: ShardId,
        bytes: u64,
        tag_bytes: u64,
    ) -> Result<(), NetError> {
        let writer = match self.writer(owner, contract, shard, bytes, tag_bytes).await {
            Ok(writer) => writer,
            Err(refusal) => return inbound.answer(Answer::Refused(refusal)).await,
        };
        let receiving = match inbound.ready(writer.have()).await {
            Ok(receiving) => receiving,
            Err(error) => {
                keep(writer).await;
                return Err(error);
            }
        };
        self.receive(receiving, writer, shard).await
    }

    async fn writer(
        &self,
        owner: OwnerId,
        contract: ContractId,
        shard: ShardId,
        bytes: u64,
        tag_bytes: u64,
    ) -> Result<ShardWriter, Refusal> {
        if !(1..=MAX_SHARD_BYTES).contains(&bytes) {
            return Err(refuse::refuse(
                RefusalCode::BadRequest,
                "A shard has at least one byte and at most 65 MiB.",
            ));
        }
        if tag_bytes > Sectors::MIN.tag_bytes(bytes) {
            return Err(refuse::refuse(
                RefusalCode::BadRequest,
                "A shard has at most one tag for each block.",
            ));
        }
        self.open_contract_of(owner, contract).await?;
        self.parts.store.farmer().begin_shard(contract, shard, bytes, tag_bytes).await.map_err(refuse::store)
    }

    /// Receives while enough flows: an upload that drips loses its space as one that stands still does.
    async fn receive(
        &self,
        mut receiving: Receiving,
        mut writer: ShardWriter,
        shard: ShardId,
    ) -> Result<(), NetError> {
        let mut flow = Flow::new(writer.until(), self.parts.clock.now());
        let _serving = self.scrub.serving();
        loop {
            let left = Duration::from_secs(flow.left(self.parts.clock.now()));
            let next = tokio::time::timeout(left, receiving.next());
            let chunk = match self.parts.stop.run_until_cancelled(next).await {
                Some(Ok(Ok(Some(chunk)))) => chunk,
                Some(Ok(Ok(None))) => break,
                Some(Ok(Err(error))) => {
                    keep(writer).await;
                    return Err(error);
                }
                Some(Err(_too_slow)) => {
                    keep(writer).await;
                    return receiving.refuse(RefusalCode::NotReserved, "Too little came for too long.").await;
                }
                None => {
                    keep(writer).await;
                    return receiving
                        .refuse(RefusalCode::NotAccepting, "This farmer is shutting down.")
                        .await;
                }
            };
            let writing = self.write(&mut writer, chunk, shard, &mut flow);
            if let Err(error) = receiving.meanwhile(writing).await {
                let refusal = refuse::store(error);
                return receiving.refuse(refusal.code, refusal.sentence).await;
            }
        }
        match receiving.meanwhile(self.finish(writer, shard)).await {
            Ok(hash) => {
                crash_point!(ShardStored);
                receiving.stored(hash).await
            }
            Err(error) => {
                let refusal = refuse::store(error);
                receiving.refuse(refusal.code, refusal.sentence).await
            }
        }
    }

    async fn write(
        &self,
        writer: &mut ShardWriter,
        chunk: Bytes,
        shard: ShardId,
        flow: &mut Flow,
    ) -> Result<(), FarmerError> {
        let (bytes, now) = (chunk.len() as u64, self.parts.clock.now());
        writer.write(chunk).await?;
        if flow.more(bytes, now) {
            let until = self.parts.store.farmer().prolong(shard, now, RESERVATION_SECONDS).await?;
            flow.prolonged(until, now);
        }
        Ok(())
    }

    /// Syncs a shard that has wholly come; from now on it waits for its revision.
    async fn finish(&self, writer: ShardWriter, shard: ShardId) -> Result<[u8; 32], FarmerError> {
        let new = writer.until() < Timestamp(u64::MAX);
        let hash = writer.finish().await?;
        if new {
            self.parts.store.farmer().prolong(shard, self.parts.clock.now(), ARRIVED_SECONDS).await?;
        }
        Ok(hash)
    }

    /// Sends a range of one shard.
    pub(crate) async fn give(
        &self,
        inbound: Inbound,
        owner: OwnerId,
        contract: ContractId,
        shard: ShardId,
        offset: u64,
        bytes: u64,
    ) -> Result<(), NetError> {
        let _serving = self.scrub.serving();
        let (reader, meter) = match self.reader(&inbound, owner, contract, shard, offset, bytes).await {
            Ok(found) => found,
            Err(refusal) => return inbound.answer(Answer::Refused(refusal)).await,
        };
        let sending = Outgoing { reader, at: offset, end: offset + bytes, meter, tabs: &self.tabs };
        if sending.send(inbound.sending().await?).await? == Sent::CutOff {
            self.scrub.suspect(shard);
        }
        Ok(())
    }

    /// The shard, opened, and how serving it is counted. What is counted waits here until its first piece may go out.
    async fn reader(
        &self,
        inbound: &Inbound,
        owner: OwnerId,
        contract: ContractId,
        shard: ShardId,
        offset: u64,
        bytes: u64,
    ) -> Result<(ShardReader, Option<Meter>), Refusal> {
        let terms = self.contract_of(owner, contract).await?.terms.terms;
        let reader = self.parts.store.farmer().open_shard(contract, shard).await;
        if let Err(FarmerError::ShardLost | FarmerError::Io(_)) = &reader {
            self.scrub.suspect(shard);
        }
        let reader = reader.map_err(refuse::store)?;
        let within = offset.checked_add(bytes).is_some_and(|end| end <= reader.bytes());
        if bytes == 0 || !within {
            return Err(refuse::store(FarmerError::OutOfRange));
        }
        let meter = self.meter(&terms, inbound.from).await?;
        if let Some(meter) = &meter
            && !self.tabs.may_serve(meter, bytes.min(COUNTED_BYTES)).await
        {
            return Err(not_vouched());
        }
        Ok((reader, meter))
    }
}

/// How a shard was sent.
#[derive(Debug, PartialEq, Eq)]
enum Sent {
    Whole,
    /// The disk gave no more.
    CutOff,
    /// No voucher came.
    NotVouched,
}

/// What is read from the disk and sent.
struct Outgoing<'a> {
    reader: ShardReader,
    at: u64,
    end: u64,
    /// How it is counted, if it is; its first piece has been.
    meter: Option<Meter>,
    tabs: &'a Tabs,
}

impl Outgoing<'_> {
    /// Sends a bounded piece at a time.
    async fn send(mut self, mut sending: Sending) -> Result<Sent, NetError> {
        let most = if self.meter.is_some() { COUNTED_BYTES } else { READ_AHEAD_BYTES };
        let mut counted = self.meter.is_some();
        while self.at < self.end {
            let bytes = most.min(self.end - self.at);
            if let Some(meter) = self.meter.filter(|_| !std::mem::take(&mut counted))
                && !self.tabs.may_serve(&meter, bytes).await
            {
                return Ok(Sent::NotVouched);
            }
            let piece = match self.reader.read(self.at, bytes).await {
                Ok(piece) if !piece.is_empty() => piece,
                Ok(_) | Err(_) => {
                    tracing::error!("a shard could not be read from the disk; its transfer was cut off");
                    return Ok(Sent::CutOff);
                }
            };
            sending.send(&piece).await?;
            self.at += piece.len() as u64;
        }
        sending.finish().await?;
        Ok(Sent::Whole)
    }
}

/// Keeps what has come, so that the next upload of this shard goes on from there.
async fn keep(writer: ShardWriter) {
    if let Err(error) = writer.pause().await {
        tracing::warn!(%error, "a part of a shard was lost");
    }
}
