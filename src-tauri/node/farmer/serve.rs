//! Takes requests as they come, checks who asks, and hands them to what answers them.

use std::sync::Arc;

use hayloft_core::OwnerId;
use hayloft_net::{
    Inbound, Incoming, NetError,
    messages::{Answer, Refusal, RefusalCode, Request},
};
use tokio_util::task::TaskTracker;

use super::{Shared, offer, refuse, transfers::subnet};

/// Serves until the node stops; each request is a task of its own, and `net` bounds how many there are.
pub(super) async fn run(shared: Arc<Shared>, mut incoming: Incoming, tasks: TaskTracker) {
    while let Some(Some(inbound)) = shared.parts.stop.run_until_cancelled(incoming.next()).await {
        tasks.spawn(serve(shared.clone(), inbound));
    }
}

async fn serve(shared: Arc<Shared>, inbound: Inbound) {
    let from = inbound.from;
    let Some(served) = shared.parts.stop.clone().run_until_cancelled(shared.answer(inbound)).await else {
        return;
    };
    if let Err(error) = served {
        tracing::debug!(%from, %error, "a request ended early");
    }
}

impl Shared {
    async fn answer(&self, inbound: Inbound) -> Result<(), NetError> {
        let request = inbound.envelope.request.clone();
        if request == Request::Offer {
            let offer = self.offer().await;
            return inbound.answer(offer.unwrap_or_else(Answer::Refused)).await;
        }
        match self.owner_of(&inbound) {
            Ok(owner) => {
                self.welcome(&inbound, owner, &request).await;
                self.answer_owner(inbound, owner, request).await
            }
            Err(refusal) => inbound.answer(Answer::Refused(refusal)).await,
        }
    }

    async fn answer_owner(&self, inbound: Inbound, owner: OwnerId, request: Request) -> Result<(), NetError> {
        let answer = match request {
            Request::Upload { contract, shard, bytes, tag_bytes: 0 } => {
                return self.take(inbound, owner, contract, shard, bytes).await;
            }
            Request::Download { contract, shard, offset, bytes } => {
                return self.give(inbound, owner, contract, shard, offset, bytes).await;
            }
            Request::Agree { terms, owner: signature } => {
                let subnet = subnet(inbound.address, inbound.from);
                self.agree(owner, terms, signature, subnet).await
            }
            Request::Contract { contract } => self.show(owner, contract).await,
            Request::Shards { contract, after } => self.page(owner, contract, after).await,
            Request::Reserve { contract, bytes } => self.reserve(&inbound, owner, contract, bytes).await,
            Request::Revise { revision, owner: signature } => self.revise(owner, revision, signature).await,
            Request::Release { contract, shards } => self.release(owner, contract, &shards).await,
            Request::Offer => self.offer().await,
            Request::Upload { .. }
            | Request::AuditKey { .. }
            | Request::AuditKeys { .. }
            | Request::Audited { .. }
            | Request::Lost { .. }
            | Request::Commit { .. }
            | Request::Challenge(_) => {
                Err(refuse::refuse(RefusalCode::NothingToAudit, "This farmer keeps no tags yet."))
            }
        };
        inbound.answer(answer.unwrap_or_else(Answer::Refused)).await
    }

    /// An owner with a contract here is no stranger: floods of those shall not keep it out.
    async fn welcome(&self, inbound: &Inbound, owner: OwnerId, request: &Request) {
        let contract = match request {
            Request::Contract { contract }
            | Request::Shards { contract, .. }
            | Request::Reserve { contract, .. }
            | Request::Upload { contract, .. }
            | Request::Download { contract, .. }
            | Request::Release { contract, .. }
            | Request::AuditKeys { contract }
            | Request::Lost { contract, .. }
            | Request::Commit { contract, .. } => *contract,
            Request::Revise { revision, .. } => revision.contract,
            Request::Challenge(question) => question.contract,
            Request::Offer | Request::Agree { .. } | Request::AuditKey { .. } | Request::Audited { .. } => {
                return;
            }
        };
        if !inbound.is_of_customer() && self.contract_of(owner, contract).await.is_ok() {
            inbound.welcome();
        }
    }

    /// The owner whose certificate names the very device at the other end of the connection.
    fn owner_of(&self, inbound: &Inbound) -> Result<OwnerId, Refusal> {
        let certificate = inbound.envelope.certificate.as_ref().ok_or_else(|| refuse::not_allowed(None))?;
        let owner = certificate.verify(&self.parts.network, &inbound.from, self.parts.clock.now());
        owner.map_err(|error| refuse::not_allowed(Some(error)))
    }

    /// A node that does not farm makes no offer, so that nobody takes it for a farmer.
    async fn offer(&self) -> Result<Answer, Refusal> {
        let settings = self.settings.borrow().clone();
        if !settings.enabled {
            return Err(refuse::not_accepting(&offer::NotAccepting::Off));
        }
        let figures =
            self.parts.store.farmer().room(&offer::limits(&settings)).await.map_err(refuse::store)?;
        let (now, device) = (self.parts.clock.now(), &self.parts.device);
        let record = offer::record(&settings, &figures, &self.parts.network, device, now, &self.zone);
        Ok(Answer::Offer(Box::new(record)))
    }
}
