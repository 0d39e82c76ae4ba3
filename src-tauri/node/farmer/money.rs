//! What a farmer or auditor is asked about money: its account, taking note of an escrow, signing a settlement, and the
//! revisions that it counts.

use hayloft_core::{
    Amount, ContractId, DeviceId, OwnerId, Signature,
    contract::{Revision, Terms, check_terms},
};
use hayloft_net::{
    Inbound, NetError,
    messages::{Answer, Refusal, RefusalCode, Request},
};
use hayloft_store::outbox::Role;

use super::{Shared, refuse, serve::working};
use crate::money::{Party, Refused};

/// Whether a contract costs something.
pub(crate) fn is_priced(terms: &Terms) -> bool {
    terms.storage_price > Amount(0) || terms.egress_price > Amount(0)
}

impl Shared {
    pub(super) async fn answer_money(&self, mut inbound: Inbound, request: Request) -> Result<(), NetError> {
        let (from, owner) = (inbound.from, self.owner_of(&inbound));
        let answering = async {
            match request {
                Request::Payee => self.payee().await,
                Request::Fund { terms, plan, assigned } => {
                    self.fund((from, owner.ok()), *terms, &plan, &assigned).await
                }
                Request::Cosign { contract, newest, settlement, vouchers } => {
                    let party = self.party(contract, from, owner.ok()).await?;
                    let money = &self.parts.money;
                    let signed = money.cosign(contract, (from, party), newest, &settlement, &vouchers).await;
                    signed.map(|settlement| Answer::Cosigned { settlement }).map_err(|error| refused(&error))
                }
                Request::History { contract, from: first } => {
                    self.history(contract, from, owner.ok(), first).await
                }
                Request::Vouchers { contract, after } => {
                    self.vouchers(contract, from, owner.ok(), after).await
                }
                _ => Err(refuse::refuse(RefusalCode::BadRequest, "That is no question about money.")),
            }
        };
        let answer = working(&mut inbound, answering).await?;
        inbound.answer(answer.unwrap_or_else(Answer::Refused)).await
    }

    async fn payee(&self) -> Result<Answer, Refusal> {
        let farms = self.settings.borrow().enabled;
        let account = self.parts.money.own_account(farms).await.map_err(|error| refused(&error))?;
        Ok(Answer::Payee { account: account.0 })
    }

    /// An escrow is taken note of by whom the terms name. The owner tells of it, and the farmer tells the auditor.
    async fn fund(
        &self,
        (from, owner): (DeviceId, Option<OwnerId>),
        terms: Terms,
        plan: &[u8],
        assigned: &Signature,
    ) -> Result<Answer, Refusal> {
        let own = self.parts.device.id();
        let is_party = owner == Some(terms.owner) || terms.farmer == from;
        if !is_party || terms.network != self.parts.network || !is_priced(&terms) {
            return Err(refuse::refuse(
                RefusalCode::NotAllowed,
                "The terms name another owner than your certificate, another network, or no price.",
            ));
        }
        let money = &self.parts.money;
        let noted = if terms.farmer == own {
            if self.parts.store.farmer().contract(terms.id()).await.map_err(refuse::store)?.is_none() {
                self.permitted()?;
                check_terms(&terms, &self.terms_offered(), self.parts.clock.now())
                    .map_err(|error| refuse::terms(&error))?;
            }
            money.take_note(Role::Farmer, from, &terms, plan, assigned).await
        } else if terms.auditor == Some(own) && self.auditor.is_enabled() {
            money.take_note(Role::Auditor, from, &terms, plan, assigned).await
        } else {
            return Err(refuse::refuse(
                RefusalCode::NotAllowed,
                "The terms name neither this farmer nor this auditor.",
            ));
        };
        noted.map(|()| Answer::Funded).map_err(|error| refused(&error))
    }

    /// Who asks, as the contract names it. Who stores with whom is nobody else's business.
    async fn party(
        &self,
        contract: ContractId,
        from: DeviceId,
        owner: Option<OwnerId>,
    ) -> Result<Party, Refusal> {
        let terms = self.parts.money.terms_of(contract).await.map_err(|error| refused(&error))?;
        if terms.farmer == from {
            Ok(Party::Farmer)
        } else if owner == Some(terms.owner) {
            Ok(Party::Owner)
        } else {
            Err(refused(&Refused::Unknown))
        }
    }

    async fn history(
        &self,
        contract: ContractId,
        from: DeviceId,
        owner: Option<OwnerId>,
        first: u64,
    ) -> Result<Answer, Refusal> {
        self.concerned(contract, from, owner).await?;
        let page = self.parts.money.history_of(contract, first).await.map_err(|error| refused(&error))?;
        Ok(Answer::History { revisions: page.0, more: page.1 })
    }

    async fn vouchers(
        &self,
        contract: ContractId,
        from: DeviceId,
        owner: Option<OwnerId>,
        after: Option<(u32, DeviceId)>,
    ) -> Result<Answer, Refusal> {
        self.concerned(contract, from, owner).await?;
        let page = self.parts.money.vouchers_after(contract, after).await;
        let (vouchers, more) = page.map_err(|error| refused(&error))?;
        Ok(Answer::Vouchers { vouchers, more })
    }

    /// Whoever asks is a party to the contract, or its auditor.
    async fn concerned(
        &self,
        contract: ContractId,
        from: DeviceId,
        owner: Option<OwnerId>,
    ) -> Result<(), Refusal> {
        let terms = self.parts.money.terms_of(contract).await.map_err(|error| refused(&error))?;
        if terms.auditor != Some(from) {
            self.party(contract, from, owner).await?;
        }
        Ok(())
    }

    /// A contract with a price is agreed on only once an escrow pays for it.
    pub(super) async fn check_funded(&self, terms: &Terms) -> Result<(), Refusal> {
        if !is_priced(terms) {
            return Ok(());
        }
        self.parts.money.pays_for(terms).await.map_err(|error| refused(&error))
    }

    /// And nothing more or longer is kept under it than its escrows pay for.
    pub(super) async fn check_paid(
        &self,
        terms: &Terms,
        before: Option<&Revision>,
        next: &Revision,
    ) -> Result<(), Refusal> {
        let grows = before.is_none_or(|before| {
            next.capacity_bytes > before.capacity_bytes || next.end > before.end || !next.added.is_empty()
        });
        if !is_priced(terms) || !grows {
            return Ok(());
        }
        self.parts.money.pays_for_revision(terms, next).await.map_err(|error| refused(&error))
    }
}

fn refused(error: &Refused) -> Refusal {
    let code = match error {
        Refused::Disagreed(_)
        | Refused::Unproved { .. }
        | Refused::AuditorAwaited
        | Refused::NoSettlement => RefusalCode::Disagreed,
        Refused::Unknown => RefusalCode::UnknownContract,
        Refused::TooMany => RefusalCode::NoSpace,
        Refused::Own(_) => {
            tracing::debug!(%error, "a question about money could not be answered");
            RefusalCode::NotFunded
        }
        Refused::NoAccount
        | Refused::NoPlan
        | Refused::WrongPlan(_)
        | Refused::NotBorneOut { .. }
        | Refused::Fault(_)
        | Refused::NotFunded
        | Refused::TooLittle => RefusalCode::NotFunded,
    };
    refuse::refuse(code, format!("Refused: {error}."))
}
