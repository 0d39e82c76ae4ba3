//! Telling auditors of this owner's contracts: at the start, and after each revision, until they have taken it in. From then on
//! an auditor needs nothing more of the owner. Farmers are told of further escrows with it.

use std::{collections::HashSet, sync::Arc, time::Duration};

use hayloft_core::{ContractId, DeviceId};
use hayloft_net::{
    Fault, Net, NetError,
    limits::SHARDS_PER_PAGE,
    messages::{Answer, Envelope, Followed, Request},
};
use hayloft_store::owner::OwnerContract;

use super::{Inner, OwnerError, contracts::ContractError};

/// The pause after an auditor did not take everything in: each time twice as long, up to the second.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_AT_MOST: Duration = Duration::from_secs(600);

/// The auditor that an address names; the network learns where it is.
pub(super) fn meet(net: &Net, address: Option<&str>) -> Option<DeviceId> {
    let address = address?;
    let auditor = hayloft_net::device_in(address)?;
    net.hint(auditor, &[address.to_owned()]);
    Some(auditor)
}

/// Tells for as long as the node runs.
pub(super) async fn keep_telling(owner: Arc<Inner>) {
    if let Err(error) = owner.contracts.tell_further_again().await {
        tracing::warn!(%error, "what pays for contracts is not told again");
    }
    let mut pause = AGAIN;
    let rounds = owner.clock.rounds();
    loop {
        let now = owner.clock.now();
        let told = tell_all(&owner).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "auditors could not be told of contracts");
            false
        });
        // More revisions meanwhile need not wait for one auditor that is away.
        let rest = if told { AGAIN_AT_MOST } else { pause };
        tokio::select! { () = owner.contracts.revised.notified() => {}, () = rounds.rest(now, rest) => {} }
        pause = if told { AGAIN } else { (2 * pause).min(AGAIN_AT_MOST) };
    }
}

/// Tells whatever is untold; whether nothing is left.
async fn tell_all(owner: &Inner) -> Result<bool, OwnerError> {
    let mut away = HashSet::new();
    let mut all = true;
    for (contract, number) in owner.catalog.store.untold().await? {
        let Some(stored) = owner.catalog.store.contract(contract).await? else { continue };
        let terms = stored.terms.terms.clone();
        let number = match terms.auditor {
            None => number,
            Some(auditor) if away.contains(&auditor) => {
                all = false;
                continue;
            }
            Some(auditor) => match tell(owner, auditor, stored).await {
                Ok(number) => number,
                Err(error) => {
                    tracing::debug!(%auditor, %contract, %error, "an auditor could not be told of a contract");
                    if !matches!(error, NetError::Refused(_)) {
                        away.insert(auditor);
                    }
                    all = false;
                    continue;
                }
            },
        };
        if away.contains(&terms.farmer) {
            all = false;
            continue;
        }
        if let Err(error) = owner.contracts.tell_farmer(&terms).await {
            tracing::debug!(farmer = %terms.farmer, %contract, %error, "a farmer could not be told what pays it");
            if !matches!(error, ContractError::Net(NetError::Refused(_))) {
                away.insert(terms.farmer);
            }
            all = false;
            continue;
        }
        told(owner, contract, number).await?;
    }
    Ok(all)
}

async fn told(owner: &Inner, contract: ContractId, number: u64) -> Result<(), OwnerError> {
    Ok(owner.catalog.store.told(contract, number).await?)
}

/// Tells an auditor of a contract; the number of the revision that it follows now.
async fn tell(owner: &Inner, auditor: DeviceId, stored: OwnerContract) -> Result<u64, NetError> {
    let Some(revision) = stored.revision else { return Err(NetError::Protocol(Fault::WrongAnswer)) };
    let number = revision.revision.number;
    owner.contracts.tell_auditor(auditor, &stored.terms.terms).await?;
    let shards = (stored.shards.len() <= SHARDS_PER_PAGE).then_some(stored.shards);
    let followed = Followed { terms: stored.terms, revision, shards };
    let request = Request::Follow(Box::new(followed));
    let envelope = Envelope { certificate: Some(owner.certificate.clone()), request };
    match owner.net.ask(auditor, &envelope).await? {
        Answer::Following { number: found } if found >= number => Ok(found),
        _ => Err(NetError::Protocol(Fault::WrongAnswer)),
    }
}
