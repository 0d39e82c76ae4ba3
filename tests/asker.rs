//! A second device of an owner, which asks farmers for proofs over the wire and judges their answers from public data: what
//! the owner's books name, the contract as both signed it, and the verifier's part of the owner's key.

use anyhow::{Context, Result, bail, ensure};
use hayloft_core::{
    DeviceId, NetworkName, Timestamp,
    audit::{
        AuditKey, Committer, Epoch, Evidence, Failure, Opening, Question, Receipt, Scope, Sectors,
        VerifierKey,
    },
    contract::{ShardEntry, SignedRevision, SignedTerms},
    keys::{DeviceKey, Seed},
    record::DeviceCertificate,
};
use hayloft_net::{
    Net, NetConfig, NetError,
    messages::{Answer, Envelope, RefusalCode, Request},
};
use hayloft_store::{Guard, Home, Store, StoreOptions, identity};

use crate::{Field, Member};

const DAY_SECONDS: u64 = 24 * 60 * 60;

/// What a challenge came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The proof holds.
    Passed,
    /// The farmer signed a proof that does not.
    Wrong(Failure),
    /// The farmer gave none, and this reason.
    Refused(RefusalCode),
}

/// A contract as the owner's books have it.
#[derive(Debug, Clone)]
pub struct Audited {
    /// The terms.
    pub terms: SignedTerms,
    /// The newest revision.
    pub revision: SignedRevision,
    /// Its shards, in ascending order of id.
    pub shards: Vec<ShardEntry>,
}

/// The device that asks.
pub struct Asker {
    network: NetworkName,
    net: Net,
    certificate: DeviceCertificate,
    key: VerifierKey,
    contracts: Vec<Audited>,
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp(since.map_or(0, |since| since.as_secs()))
}

impl Asker {
    /// Reads the books of an owner that does not run, and meets the farmers that do.
    ///
    /// # Errors
    /// If the books cannot be read or the network does not come up.
    pub async fn of(field: &Field) -> Result<Self> {
        let network: NetworkName = field.network().parse()?;
        let options = StoreOptions::new(None, Guard { bytes: 0, percent: 0 });
        let (store, _) = Store::open(Home::open(field.owner.home())?, options).await?;
        let secret = identity::unseal(store.home(), "")?;
        let seed: &[u8; 64] = secret.as_slice().try_into().context("a seed has 64 bytes")?;
        let keys = Seed::from_bytes(seed).keys(&network);
        let mut contracts = Vec::new();
        for contract in store.owner().contracts(None).await? {
            let mut shards = contract.shards;
            shards.sort_by_key(|shard| shard.id);
            let revision = contract.revision.context("a contract without a revision")?;
            contracts.push(Audited { terms: contract.terms, revision, shards });
        }
        store.close().await;
        store.home().release()?;
        let device = DeviceKey::random(&mut rand::rng());
        let certificate =
            DeviceCertificate::issue(&keys.owner, &network, device.id(), now(), 30 * DAY_SECONDS);
        let (net, _) = Net::start(NetConfig::new(network.clone()), &device).await?;
        let key = AuditKey::derive(&keys.audit, Sectors::DEFAULT).verifier_key();
        let asker = Self { network, net, certificate, key, contracts };
        for farmer in &field.farmers {
            asker.meet(farmer)?;
        }
        Ok(asker)
    }

    /// Learns where a farmer is, now.
    ///
    /// # Errors
    /// If it does not run.
    pub fn meet(&self, farmer: &Member) -> Result<DeviceId> {
        let process = farmer.process()?;
        let id: DeviceId = process.id().parse()?;
        self.net.hint(id, &process.addresses());
        Ok(id)
    }

    /// The contract with a farmer.
    ///
    /// # Errors
    /// If there is not exactly one.
    pub fn contract(&self, farmer: &Member) -> Result<&Audited> {
        let id: DeviceId = farmer.process()?.id().parse()?;
        let mut with = self.contracts.iter().filter(|contract| contract.terms.terms.farmer == id);
        let found = with.next().context("no contract with that farmer")?;
        ensure!(with.next().is_none(), "more than one contract with that farmer");
        Ok(found)
    }

    /// A question about a contract, which asks for so many blocks at random.
    pub fn question(&self, contract: &Audited, blocks: u16) -> Question {
        Question {
            contract: contract.terms.terms.id(),
            revision: contract.revision.revision.number,
            epoch: Epoch::at(&contract.terms.terms, now()).unwrap_or(Epoch(0)),
            beacon: Opening::Revealed { auditor: rand::random() },
            order: None,
            sectors: Sectors::DEFAULT,
            scope: Scope::Epoch,
            blocks,
        }
    }

    /// Asks, and tells what came back.
    ///
    /// # Errors
    /// If the farmer cannot be asked, or breaks the protocol.
    pub async fn challenge(
        &self,
        contract: &Audited,
        question: &Question,
    ) -> Result<(Verdict, Option<Receipt>)> {
        let (farmer, epoch) = (contract.terms.terms.farmer, question.epoch);
        let commitment = question.commitment().context("no nonce")?;
        let id = question.contract;
        let Answer::Committed { commitment } =
            self.ask(farmer, Request::Commit { contract: id, epoch, commitment }).await?
        else {
            bail!("no commitment");
        };
        let (nonce, answer) = match self.ask(farmer, Request::Challenge(Box::new(question.clone()))).await {
            Ok(Answer::Proved { nonce: Some(nonce), answer }) => (nonce, answer),
            Ok(other) => bail!("{other:?}"),
            Err(NetError::Refused(refusal)) => return Ok((Verdict::Refused(refusal.code), None)),
            Err(error) => return Err(error.into()),
        };
        ensure!(commitment.opens_to(&id, epoch, Committer::Farmer, &nonce), "another nonce than promised");
        let root = contract.revision.revision.root;
        let transcript = question.clone().transcript(self.network.clone(), farmer, root, Some(nonce));
        let receipt = Receipt::new(transcript.context("no beacon")?, *answer, &contract.shards);
        let keys = std::slice::from_ref(&self.key);
        let evidence = Evidence { terms: &contract.terms, revision: &contract.revision, shards: None, keys };
        let verdict = match Receipt::decode(&receipt.encode())?.judge(&evidence)?.outcome {
            Ok(()) => Verdict::Passed,
            Err(failure) => Verdict::Wrong(failure),
        };
        Ok((verdict, Some(receipt)))
    }

    async fn ask(&self, farmer: DeviceId, request: Request) -> Result<Answer, NetError> {
        let envelope = Envelope { certificate: Some(self.certificate.clone()), request };
        self.net.ask(farmer, &envelope).await
    }
}
