//! Asking farmers: each request carries the owner's word for this device, each answer is the kind that was asked for.

use std::sync::Arc;

use hayloft_core::{
    ContractId, DeviceId, ShardId, Signature,
    contract::{Revision, ShardEntry, SignedRevision, SignedTerms, Terms},
    placement::Seen,
    record::{AuditorRecord, DeviceCertificate, FarmerRecord, SignedFarmerRecord},
    voucher::SignedVoucher,
};
use hayloft_net::{
    Download, Fault, Net, NetError, Upload,
    limits::SHARDS_PER_PAGE,
    messages::{Answer, Envelope, Request},
};

use crate::auditor::second;

/// How this owner asks.
#[derive(Clone)]
pub(crate) struct Wire {
    net: Net,
    certificate: Arc<DeviceCertificate>,
}

impl Wire {
    pub(crate) fn new(net: Net, certificate: DeviceCertificate) -> Self {
        Self { net, certificate: Arc::new(certificate) }
    }

    fn envelope(&self, request: Request) -> Envelope {
        Envelope { certificate: Some((*self.certificate).clone()), request }
    }

    async fn ask(&self, farmer: DeviceId, request: Request) -> Result<Answer, NetError> {
        self.net.ask(farmer, &self.envelope(request)).await
    }

    /// An auditor for a contract with this farmer, of those that were found; none if nobody can judge it.
    pub(crate) fn auditor_for(&self, farmer: &FarmerRecord, epoch_seconds: u32) -> Option<DeviceId> {
        let willing = |record: &AuditorRecord| record.accepting && record.shortest_epoch <= epoch_seconds;
        let device = farmer.device;
        let address = self.net.address_of(device);
        let judged = Seen { device, address, operator: farmer.operator.clone() };
        let own = Seen { device: self.net.local_id(), address: None, operator: None };
        second::draw(&self.net, willing, &[judged, own])
    }

    /// The farmer's offer, if it makes one, which shows that it is there; the signature is not yet verified.
    pub(crate) async fn offer(&self, farmer: DeviceId) -> Result<Option<SignedFarmerRecord>, NetError> {
        match self.ask(farmer, Request::Offer).await? {
            Answer::Offer(offered) => Ok(offered.farmer),
            _ => Err(NetError::Protocol(Fault::WrongAnswer)),
        }
    }

    /// Both signatures under the proposed terms; the farmer's is not yet verified.
    pub(crate) async fn agree(
        &self,
        farmer: DeviceId,
        terms: Terms,
        owner: Signature,
    ) -> Result<SignedTerms, NetError> {
        match self.ask(farmer, Request::Agree { terms, owner }).await? {
            Answer::Agreed(signed) => Ok(*signed),
            _ => Err(NetError::Protocol(Fault::WrongAnswer)),
        }
    }

    /// The contract as its farmer knows it; nothing of it is verified yet.
    pub(crate) async fn contract(
        &self,
        farmer: DeviceId,
        contract: ContractId,
    ) -> Result<(SignedTerms, Option<SignedRevision>), NetError> {
        match self.ask(farmer, Request::Contract { contract }).await? {
            Answer::Contract { terms, revision } => Ok((*terms, revision.map(|revision| *revision))),
            _ => Err(NetError::Protocol(Fault::WrongAnswer)),
        }
    }

    /// All shards of the contract as its farmer tells, at most `expected`.
    pub(crate) async fn shards(
        &self,
        farmer: DeviceId,
        contract: ContractId,
        expected: u64,
    ) -> Result<Vec<ShardEntry>, NetError> {
        let mut all: Vec<ShardEntry> = Vec::new();
        loop {
            let after = all.last().map(|shard| shard.id);
            let Answer::Shards { shards, more } =
                self.ask(farmer, Request::Shards { contract, after }).await?
            else {
                return Err(NetError::Protocol(Fault::WrongAnswer));
            };
            let moved = !shards.is_empty();
            all.extend(shards);
            match (more, moved, all.len() as u64 <= expected) {
                (false, _, true) => return Ok(all),
                (true, true, true) => {}
                _ => return Err(NetError::Protocol(Fault::WrongAnswer)),
            }
        }
    }

    /// Holds space for shards about to come.
    pub(crate) async fn reserve(
        &self,
        farmer: DeviceId,
        contract: ContractId,
        bytes: u64,
    ) -> Result<(), NetError> {
        match self.ask(farmer, Request::Reserve { contract, bytes }).await? {
            Answer::Reserved { .. } => Ok(()),
            _ => Err(NetError::Protocol(Fault::WrongAnswer)),
        }
    }

    /// Frees what is reserved and taken by no shard, and these shards unless a revision includes them.
    pub(crate) async fn release(
        &self,
        farmer: DeviceId,
        contract: ContractId,
        shards: &[ShardId],
    ) -> Result<(), NetError> {
        for shards in shards.chunks(SHARDS_PER_PAGE) {
            let shards = shards.to_vec();
            let Answer::Released = self.ask(farmer, Request::Release { contract, shards }).await? else {
                return Err(NetError::Protocol(Fault::WrongAnswer));
            };
        }
        Ok(())
    }

    /// The farmer's signature under a revision, not yet verified.
    pub(crate) async fn revise(
        &self,
        farmer: DeviceId,
        revision: Revision,
        owner: Signature,
    ) -> Result<Signature, NetError> {
        match self.ask(farmer, Request::Revise { revision, owner }).await? {
            Answer::Revised { farmer } => Ok(farmer),
            _ => Err(NetError::Protocol(Fault::WrongAnswer)),
        }
    }

    /// Gives the farmer this owner's audit key.
    pub(crate) async fn audit_key(&self, farmer: DeviceId, key: Vec<u8>) -> Result<(), NetError> {
        match self.ask(farmer, Request::AuditKey { key }).await? {
            Answer::KeyKept => Ok(()),
            _ => Err(NetError::Protocol(Fault::WrongAnswer)),
        }
    }

    /// Begins to send a shard and its tags.
    pub(crate) async fn upload(
        &self,
        farmer: DeviceId,
        contract: ContractId,
        shard: ShardId,
        bytes: u64,
        tag_bytes: u64,
    ) -> Result<Upload, NetError> {
        let request = Request::Upload { contract, shard, bytes, tag_bytes };
        self.net.upload(farmer, &self.envelope(request)).await
    }

    /// What this device has vouched for in a settlement period, and was served beyond.
    pub(crate) async fn tab(
        &self,
        farmer: DeviceId,
        contract: ContractId,
        period: u32,
    ) -> Result<(u64, u64), NetError> {
        match self.ask(farmer, Request::Tab { contract, period }).await? {
            Answer::Tab { vouched, ahead } => Ok((vouched, ahead)),
            _ => Err(NetError::Protocol(Fault::WrongAnswer)),
        }
    }

    /// Gives the farmer a voucher.
    pub(crate) async fn vouch(&self, farmer: DeviceId, voucher: SignedVoucher) -> Result<(), NetError> {
        match self.ask(farmer, Request::Vouch(Box::new(voucher))).await? {
            Answer::Tab { .. } => Ok(()),
            _ => Err(NetError::Protocol(Fault::WrongAnswer)),
        }
    }

    /// Begins to read a part of a shard.
    pub(crate) async fn download(
        &self,
        farmer: DeviceId,
        contract: ContractId,
        shard: ShardId,
        offset: u64,
        bytes: u64,
    ) -> Result<Download, NetError> {
        self.net.download(farmer, &self.envelope(Request::Download { contract, shard, offset, bytes })).await
    }
}
