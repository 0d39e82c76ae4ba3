//! What owner, farmer and auditor ask of each other about money.

use std::time::Duration;

use hayloft_core::{
    ContractId, DeviceId, Signature,
    audit::Epoch,
    auditor::Judgement,
    contract::{SignedRevision, Terms},
};
use hayloft_net::{
    Fault, NetError,
    limits::REVISIONS_PER_PAGE,
    messages::{Answer, Envelope, Request, ShownVoucher},
};
use hayloft_payments::{
    Address,
    envelope::Signed,
    escrow::{Plan, assign},
    wallet::encode,
};
use hayloft_store::{auditor::VERDICTS_KEPT, funding::Span};

use super::{Money, MoneyError};
use crate::owner::lock;

/// Revisions that are asked for at once: more have piled up only if somebody plays.
const MOST_REVISIONS: u64 = 65_536;

/// So long an auditor may take to give its verdicts.
const AUDITOR_PATIENCE: Duration = Duration::from_secs(20);

fn wrong() -> NetError {
    NetError::Protocol(Fault::WrongAnswer)
}

impl Money {
    pub(super) async fn ask(&self, whom: DeviceId, request: Request) -> Result<Answer, NetError> {
        let certificate = lock(&self.inner.keys).certificate.clone();
        self.inner.net.ask(whom, &Envelope { certificate, request }).await
    }

    /// By which account another is paid and signs.
    pub(crate) async fn ask_account(&self, whom: DeviceId) -> Result<[u8; 32], NetError> {
        match self.ask(whom, Request::Payee).await? {
            Answer::Payee { account } => Ok(account),
            _ => Err(wrong()),
        }
    }

    /// The owner's word that an escrow pays for a contract.
    ///
    /// # Errors
    /// [`MoneyError::Locked`] if the key that paid for the escrow is not at hand.
    pub(crate) fn assign(&self, contract: ContractId, plan: &Plan) -> Result<Signature, MoneyError> {
        let wallet = self.wallet_key()?;
        let phrase = lock(&self.inner.keys).phrase.clone();
        let key = [Some(wallet), phrase].into_iter().flatten().find(|key| Address::of(key) == plan.owner);
        let assigned = key.and_then(|key| assign(&key, &self.inner.network, contract, plan));
        assigned.ok_or(MoneyError::Locked)
    }

    /// Tells a farmer or auditor which escrow pays for a contract.
    pub(crate) async fn tell_funding(
        &self,
        whom: DeviceId,
        terms: &Terms,
        plan: &Plan,
        assigned: Signature,
    ) -> Result<(), NetError> {
        let request = Request::Fund { terms: Box::new(terms.clone()), plan: encode(plan), assigned };
        match self.ask(whom, request).await? {
            Answer::Funded => Ok(()),
            _ => Err(wrong()),
        }
    }

    /// All verdicts of a contract's auditor that it still keeps.
    async fn ask_verdicts(
        &self,
        auditor: DeviceId,
        contract: ContractId,
    ) -> Result<Vec<Judgement>, NetError> {
        let mut all: Vec<Judgement> = Vec::new();
        loop {
            let before: Option<Epoch> = all.last().map(|judgement| judgement.epoch);
            let answer = self.ask(auditor, Request::Verdicts { contract, before }).await?;
            let Answer::Verdicts { verdicts, more } = answer else { return Err(wrong()) };
            let goes_on = verdicts.iter().map(|(judgement, _)| judgement.epoch).is_sorted_by(|a, b| a > b)
                && verdicts.first().zip(before).is_none_or(|((next, _), before)| next.epoch < before);
            if !goes_on || (more && verdicts.is_empty()) {
                return Err(wrong());
            }
            all.extend(verdicts.into_iter().map(|(judgement, _)| judgement));
            if !more || all.len() as u64 > VERDICTS_KEPT {
                return Ok(all);
            }
        }
    }

    /// The verdicts of a contract's auditor as it gives them now; they are kept, for when it is gone. It has some seconds: other
    /// escrows wait.
    ///
    /// # Errors
    /// [`MoneyError::Net`]: it gave no answer, or none that can be used.
    pub(super) async fn hear_verdicts(
        &self,
        auditor: DeviceId,
        terms: &Terms,
    ) -> Result<Vec<Judgement>, MoneyError> {
        let contract = terms.id();
        let said = tokio::time::timeout(AUDITOR_PATIENCE, self.ask_verdicts(auditor, contract)).await;
        let mut said = said.unwrap_or(Err(NetError::Silent))?;
        // Of what is still to come nobody can say anything.
        let now = self.inner.clock.now();
        said.retain(|judgement| judgement.epoch.start(terms) <= now);
        if let Err(error) = self.inner.store.funds().hear(contract, &said).await {
            tracing::error!(%contract, %error, "what an auditor said could not be kept");
        }
        Ok(said)
    }

    /// The settlement as another signed it.
    pub(super) async fn ask_signature(
        &self,
        whom: DeviceId,
        contract: ContractId,
        newest: u64,
        settlement: &Signed,
        vouchers: Vec<ShownVoucher>,
    ) -> Result<Signed, NetError> {
        let request = Request::Cosign { contract, newest, settlement: settlement.to_bytes(), vouchers };
        let Answer::Cosigned { settlement: signed } = self.ask(whom, request).await? else {
            return Err(wrong());
        };
        let signed = Signed::decode(&signed).map_err(|_| wrong())?;
        if signed.draft() == settlement.draft() { Ok(signed) } else { Err(wrong()) }
    }

    /// Everything that was kept under a contract, up to the newest revision known here and at least this one; what is not known here is asked of `whom` and
    /// believed if both signed it.
    pub(super) async fn spans(
        &self,
        contract: ContractId,
        terms: &Terms,
        whom: DeviceId,
        newest: Option<u64>,
    ) -> Result<Vec<Span>, MoneyError> {
        let funds = self.inner.store.funds();
        let mut spans = funds.spans(contract).await?;
        let stored = self.inner.store.owner().contract(contract).await;
        let stored = stored.map_err(|error| MoneyError::Books(error.to_string()))?;
        let signed = stored.and_then(|stored| stored.revision).map(|signed| signed.revision.number);
        let known = spans.last().map(|last| last.number).max(signed);
        let Some(newest) = known.max(newest) else { return Ok(spans) };
        if newest >= MOST_REVISIONS {
            return Err(MoneyError::History);
        }
        while let Some(from) = first_missing(&spans, newest) {
            let answer = self.ask(whom, Request::History { contract, from }).await?;
            let Answer::History { revisions, .. } = answer else { return Err(wrong().into()) };
            let sound = |signed: &SignedRevision| {
                signed.revision.contract == contract && signed.verify(terms).is_ok()
            };
            let begins = revisions.first().is_some_and(|first| first.revision.number == from);
            if !begins || revisions.len() > REVISIONS_PER_PAGE || !revisions.iter().all(sound) {
                return Err(MoneyError::History);
            }
            funds.learn(&revisions).await?;
            spans = funds.spans(contract).await?;
        }
        Ok(spans)
    }
}

/// The first number up to `newest` that is not there.
fn first_missing(spans: &[Span], newest: u64) -> Option<u64> {
    let first = (0..).zip(spans).find(|(number, span)| span.number != *number).map(|(number, _)| number);
    first.or_else(|| Some(spans.len() as u64).filter(|next| *next <= newest))
}

#[cfg(test)]
mod tests {
    use hayloft_core::Timestamp;

    use super::*;

    #[test]
    fn what_is_missing_between_or_behind_what_is_known_is_found() {
        let spans = |numbers: &[u64]| -> Vec<Span> {
            let span =
                |number: &u64| Span { number: *number, at: Timestamp(0), bytes: 0, until: Timestamp(0) };
            numbers.iter().map(span).collect()
        };
        assert_eq!(first_missing(&spans(&[]), 0), Some(0));
        assert_eq!(first_missing(&spans(&[0, 1]), 1), None);
        assert_eq!(first_missing(&spans(&[0, 1]), 2), Some(2));
        assert_eq!(first_missing(&spans(&[0, 3]), 3), Some(1));
        assert_eq!(first_missing(&spans(&[1]), 1), Some(0));
    }
}
