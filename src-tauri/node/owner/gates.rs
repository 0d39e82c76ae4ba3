//! Asking a farmer to hold something for an upload, and to give back what is held, one after the other for each contract.
//!
//! Invariant: nothing is given back while a farmer may still be about to hold something, and the other way round. Each request
//! travels on a stream of its own, so the later one may be heard first; what is held after all was given back stays held until
//! its time is over.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use hayloft_core::ContractId;
use tokio::{sync::RwLock, task::JoinError};

use super::lock;

/// One gate for each contract: many hold at once, who gives back is alone.
#[derive(Debug, Default)]
pub(super) struct Gates(Mutex<HashMap<ContractId, Arc<RwLock<()>>>>);

impl Gates {
    /// Asks for something to be held: to the end, even if nobody waits for it any more.
    ///
    /// # Errors
    /// If this node stops.
    pub(super) async fn hold<T: Send + 'static>(
        &self,
        contract: ContractId,
        asking: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        to_the_end(self.of(contract).read_owned().await, asking).await
    }

    /// Asks for what is held and not taken to be given back: to the end too, so that nobody holds something anew that is then
    /// given back unseen.
    ///
    /// # Errors
    /// If this node stops.
    pub(super) async fn give_back<T: Send + 'static>(
        &self,
        contract: ContractId,
        asking: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        to_the_end(self.of(contract).write_owned().await, asking).await
    }

    pub(super) fn forget(&self, contract: ContractId) {
        lock(&self.0).remove(&contract);
    }

    fn of(&self, contract: ContractId) -> Arc<RwLock<()>> {
        lock(&self.0).entry(contract).or_default().clone()
    }
}

/// Keeps the gate as it is until what is asked has been answered.
async fn to_the_end<T: Send + 'static>(
    gate: impl Send + 'static,
    asking: impl Future<Output = T> + Send + 'static,
) -> Result<T, JoinError> {
    tokio::spawn(async move {
        let _gate = gate;
        asking.await
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::poll;
    use tokio::{sync::oneshot, time::timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_nobody_waits_for_any_more_is_answered_before_anything_is_given_back() {
        let (gates, contract) = (Gates::default(), ContractId([1; 32]));
        let (answer, answered) = oneshot::channel::<()>();
        {
            let mut holding = std::pin::pin!(gates.hold(contract, answered));
            assert!(poll!(&mut holding).is_pending());
        }
        let mut giving_back = std::pin::pin!(gates.give_back(contract, async {}));
        assert!(timeout(Duration::from_secs(1), &mut giving_back).await.is_err());
        gates.give_back(ContractId([2; 32]), async {}).await.expect("another contract");
        answer.send(()).expect("it is still waited for");
        giving_back.await.expect("nothing is awaited any more");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_being_given_back_is_so_before_anything_is_held_anew() {
        let (gates, contract) = (Gates::default(), ContractId([1; 32]));
        let (answer, answered) = oneshot::channel::<()>();
        {
            let mut giving_back = std::pin::pin!(gates.give_back(contract, answered));
            assert!(poll!(&mut giving_back).is_pending());
        }
        let mut holding = std::pin::pin!(gates.hold(contract, async {}));
        assert!(timeout(Duration::from_secs(1), &mut holding).await.is_err());
        answer.send(()).expect("it is still waited for");
        holding.await.expect("it was given back");
    }
}
