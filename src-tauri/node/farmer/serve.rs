//! Takes requests as they come, checks who asks, and hands them to what answers them.

use std::{pin::pin, sync::Arc};

use hayloft_core::{
    DeviceId, OwnerId, Timestamp,
    audit::{Mandate, SignedMandate},
    placement::Subnet,
    record::SignedFarmerRecord,
};
use hayloft_net::{
    Inbound, Incoming, NetError,
    limits::WORKING_PAUSE,
    messages::{Answer, Mandated, Offered, Refusal, RefusalCode, Request},
};
use hayloft_store::farmer::Contract;
use tokio_util::task::TaskTracker;

use super::{
    Shared,
    contracts::Asker,
    labours::{Hand, Worker},
    offer, refuse,
};
use crate::model::FarmSettings;

/// Serves until the node stops; each request is a task of its own, and `net` bounds how many there are.
pub(super) async fn run(shared: Arc<Shared>, mut incoming: Incoming, tasks: TaskTracker) {
    while let Some(Some(inbound)) = shared.parts.stop.run_until_cancelled(incoming.next()).await {
        tasks.spawn(serve(shared.clone(), inbound));
    }
    shared.parts.net.shutdown().await;
}

async fn serve(shared: Arc<Shared>, inbound: Inbound) {
    let from = inbound.from;
    let mut answering = pin!(shared.answer(inbound));
    let Some(served) = shared.parts.stop.run_until_cancelled(&mut answering).await else {
        // What is under way ends with the connection and not before: whoever asked shall see a node that is gone, and not
        // one that cut its answer short.
        shared.parts.net.shutdown().await;
        return;
    };
    if let Err(error) = served {
        tracing::debug!(%from, %error, "a request ended early");
    }
}

/// Says again and again that the answer takes a while.
pub(crate) async fn working<T>(inbound: &mut Inbound, work: impl Future<Output = T>) -> Result<T, NetError> {
    let mut work = pin!(work);
    loop {
        match tokio::time::timeout(WORKING_PAUSE, &mut work).await {
            Ok(done) => return Ok(done),
            Err(_) => inbound.working().await?,
        }
    }
}

fn worker(inbound: &Inbound, hand: Hand) -> Worker {
    let device = inbound.from;
    Worker { device, hand, subnet: Subnet::observed(device, inbound.address) }
}

impl Shared {
    async fn answer(&self, inbound: Inbound) -> Result<(), NetError> {
        if inbound.envelope.request.is_for_auditors() {
            return self.auditor.answer(inbound).await;
        }
        if inbound.envelope.request.is_about_money() {
            let request = inbound.envelope.request.clone();
            return self.answer_money(inbound, request).await;
        }
        let answer = match inbound.envelope.request.clone() {
            Request::Offer => self.offer().await,
            Request::Audited { after } => self.audited(inbound.from, after).await,
            request @ (Request::Contract { .. }
            | Request::Shards { .. }
            | Request::AuditKeys { .. }
            | Request::Lost { .. }
            | Request::Commit { .. }
            | Request::Challenge(_)
            | Request::Mandated { .. }) => return self.answer_auditor(inbound, request).await,
            request => match self.owner_of(&inbound) {
                Ok(owner) => {
                    self.welcome(&inbound, owner, &request).await;
                    return self.answer_owner(inbound, owner, request).await;
                }
                Err(refusal) => Err(refusal),
            },
        };
        inbound.answer(answer.unwrap_or_else(Answer::Refused)).await
    }

    /// What an owner's devices may ask, and the auditor that a contract names.
    async fn answer_auditor(&self, mut inbound: Inbound, request: Request) -> Result<(), NetError> {
        let asker = Asker { device: inbound.from, owner: self.owner_of(&inbound) };
        let sent = matches!(request, Request::Mandated { .. });
        let admitted = match request {
            Request::Mandated { mandate, ask } => self.mandated(asker.device, &mandate, *ask).await,
            request => self.admitted(&asker, request).await,
        };
        let (contract, request) = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) => return inbound.answer(Answer::Refused(refusal)).await,
        };
        let (id, terms) = (contract.id, &contract.terms.terms);
        let hand = match terms.auditor {
            Some(auditor) if sent => Hand::Sent(auditor),
            Some(auditor) if auditor == asker.device => Hand::Auditor(auditor),
            _ => Hand::Owner(terms.owner),
        };
        let worker = worker(&inbound, hand);
        if !inbound.is_of_customer() {
            inbound.welcome();
        }
        let answer = match request {
            Request::Contract { .. } => {
                let (terms, revision) = (Box::new(contract.terms), contract.revision.map(Box::new));
                Ok(Answer::Contract { terms, revision })
            }
            Request::Shards { after, .. } => self.page(id, after).await,
            Request::AuditKeys { .. } => self.verifier_keys(id).await,
            Request::Lost { after, .. } => self.losses(id, after).await,
            Request::Commit { epoch, commitment, .. } => Ok(self.commit(id, epoch, &commitment)),
            Request::Challenge(question) => {
                let proving = self.prove(worker, &contract, *question);
                working(&mut inbound, proving).await?
            }
            _ => Err(refuse::unknown_contract()),
        };
        inbound.answer(answer.unwrap_or_else(Answer::Refused)).await
    }

    /// The contract that is asked about, for those who may ask by their own right.
    async fn admitted(&self, asker: &Asker, request: Request) -> Result<(Contract, Request), Refusal> {
        let id = match &request {
            Request::Contract { contract }
            | Request::Shards { contract, .. }
            | Request::AuditKeys { contract }
            | Request::Lost { contract, .. }
            | Request::Commit { contract, .. } => *contract,
            Request::Challenge(question) => question.contract,
            _ => {
                let sentence = "That is no question about a contract.";
                return Err(refuse::refuse(RefusalCode::BadRequest, sentence));
            }
        };
        Ok((self.contract_for(asker, id).await?, request))
    }

    /// The same for whom the contract's auditor has sent, with what it may ask.
    async fn mandated(
        &self,
        second: DeviceId,
        signed: &SignedMandate,
        ask: Mandated,
    ) -> Result<(Contract, Request), Refusal> {
        let Mandate { contract: id, epoch, .. } = signed.mandate;
        let asker = |device| Asker { device, owner: Err(refuse::unknown_contract()) };
        let terms = self.parts.store.farmer().contract(id).await.map_err(refuse::store)?;
        let auditor = terms.and_then(|contract| contract.terms.terms.auditor);
        let auditor = auditor.ok_or_else(refuse::unknown_contract)?;
        let contract = self.contract_for(&asker(auditor), id).await?;
        let verified = signed.verify(&self.parts.network, &id, &auditor, &second, self.parts.clock.now());
        verified.map_err(|error| refuse::refuse(RefusalCode::NotAllowed, format!("Refused: {error}.")))?;
        let request = match ask {
            Mandated::AuditKeys => Request::AuditKeys { contract: id },
            Mandated::Lost { after } => Request::Lost { contract: id, after },
            Mandated::Commit(commitment) => Request::Commit { contract: id, epoch, commitment },
            Mandated::Challenge(question) if (question.contract, question.epoch) == (id, epoch) => {
                Request::Challenge(question)
            }
            Mandated::Challenge(_) => {
                let sentence = "The question is about something else than the mandate.";
                return Err(refuse::refuse(RefusalCode::NotAllowed, sentence));
            }
        };
        Ok((contract, request))
    }

    async fn answer_owner(
        &self,
        mut inbound: Inbound,
        owner: OwnerId,
        request: Request,
    ) -> Result<(), NetError> {
        let (device, worker) = (inbound.from, worker(&inbound, Hand::Owner(owner)));
        let answer = match request {
            Request::Upload { contract, shard, bytes, tag_bytes } => {
                return self.take(inbound, owner, contract, shard, bytes, tag_bytes).await;
            }
            Request::Download { contract, shard, offset, bytes } => {
                return self.give(inbound, owner, contract, shard, offset, bytes).await;
            }
            Request::Agree { terms, owner: signature } => {
                self.agree(owner, terms, signature, worker.subnet).await
            }
            Request::Reserve { contract, bytes } => self.reserve(&inbound, owner, contract, bytes).await,
            Request::Revise { revision, owner: signature } => {
                working(&mut inbound, self.revise(worker, owner, revision, signature)).await?
            }
            Request::Release { contract, shards } => self.release(owner, contract, &shards).await,
            Request::Tab { contract, period } => self.tab(owner, device, contract, period).await,
            Request::Vouch(voucher) => match &inbound.envelope.certificate {
                Some(certificate) => self.vouch(owner, device, certificate, &voucher).await,
                None => Err(refuse::not_allowed(None)),
            },
            Request::AuditKey { key } => working(&mut inbound, self.take_key(worker, owner, key)).await?,
            Request::Offer
            | Request::Audited { .. }
            | Request::Contract { .. }
            | Request::Shards { .. }
            | Request::AuditKeys { .. }
            | Request::Lost { .. }
            | Request::Commit { .. }
            | Request::Follow(_)
            | Request::Verdicts { .. }
            | Request::Receipt { .. }
            | Request::RevisionShards { .. }
            | Request::Standing { .. }
            | Request::Payee
            | Request::Fund { .. }
            | Request::Cosign { .. }
            | Request::History { .. }
            | Request::Vouchers { .. }
            | Request::Mandated { .. }
            | Request::Relay(_)
            | Request::Challenge(_) => {
                Err(refuse::refuse(RefusalCode::BadRequest, "That is no request of an owner."))
            }
        };
        inbound.answer(answer.unwrap_or_else(Answer::Refused)).await
    }

    /// An owner with a contract here is no stranger: floods of those shall not keep it out.
    async fn welcome(&self, inbound: &Inbound, owner: OwnerId, request: &Request) {
        let contract = match request {
            Request::Reserve { contract, .. }
            | Request::Upload { contract, .. }
            | Request::Download { contract, .. }
            | Request::Release { contract, .. } => *contract,
            Request::Revise { revision, .. } => revision.contract,
            _ => return,
        };
        if !inbound.is_of_customer() && self.contract_of(owner, contract).await.is_ok() {
            inbound.welcome();
        }
    }

    /// The owner whose certificate names the very device at the other end of the connection.
    pub(super) fn owner_of(&self, inbound: &Inbound) -> Result<OwnerId, Refusal> {
        let certificate = inbound.envelope.certificate.as_ref().ok_or_else(|| refuse::not_allowed(None))?;
        let owner = certificate.verify(&self.parts.network, &inbound.from, self.parts.clock.now());
        owner.map_err(|error| refuse::not_allowed(Some(error)))
    }

    /// A node that neither farms nor audits makes no offer, so that nobody takes it for anything; a farmer that leaves says so.
    async fn offer(&self) -> Result<Answer, Refusal> {
        let (settings, leaves) = (self.settings.borrow().clone(), self.leaves());
        let auditor = self.auditor.record(settings.operator.clone()).await?;
        let farms = settings.enabled || leaves.is_some();
        if !farms && auditor.is_none() {
            return Err(refuse::not_accepting(&offer::NotAccepting::Off));
        }
        let farmer = match farms {
            true => Some(self.farmers_offer(&settings, leaves).await?),
            false => None,
        };
        Ok(Answer::Offer(Box::new(Offered { farmer, auditor })))
    }

    async fn farmers_offer(
        &self,
        settings: &FarmSettings,
        leaves: Option<Timestamp>,
    ) -> Result<SignedFarmerRecord, Refusal> {
        let figures =
            self.parts.store.farmer().room(&offer::limits(settings)).await.map_err(refuse::store)?;
        let (now, device) = (self.parts.clock.now(), &self.parts.device);
        Ok(offer::record(settings, leaves, &figures, &self.parts.network, device, now, &self.zone))
    }
}
