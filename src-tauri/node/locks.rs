//! One at a time on a contract, whatever strangers name.
//!
//! Invariants: a contract waits for itself alone, however ids are chosen; what is kept is as much as is being worked at or
//! waited for, and nothing of it outlives that.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use hayloft_core::ContractId;
use tokio::sync::OwnedMutexGuard;

use crate::owner::lock;

type Locked = Arc<tokio::sync::Mutex<()>>;

/// Locks of contracts.
#[derive(Debug, Default)]
pub(crate) struct Locks(Mutex<HashMap<ContractId, Locked>>);

/// Somebody who works at a contract, or waits for it.
#[derive(Debug)]
struct Place<'a> {
    locks: &'a Locks,
    contract: ContractId,
    own: Locked,
}

/// Nobody else works at the contract until this is dropped.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    // Dropped in this order: a place that is the last one must hold nothing any more.
    _guard: OwnedMutexGuard<()>,
    _place: Place<'a>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut all = lock(&self.locks.0);
        // This one and the map's.
        if Arc::strong_count(&self.own) == 2 {
            all.remove(&self.contract);
        }
    }
}

impl Locks {
    /// Waits for whoever came before.
    pub(crate) async fn lock(&self, contract: ContractId) -> Held<'_> {
        let own = lock(&self.0).entry(contract).or_default().clone();
        let place = Place { locks: self, contract, own };
        Held { _guard: place.own.clone().lock_owned().await, _place: place }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    fn contract(last: u8) -> ContractId {
        let mut id = [7; 32];
        id[31] = last;
        ContractId(id)
    }

    #[tokio::test]
    async fn a_contract_waits_for_itself_alone() {
        let locks = Locks::default();
        let first = locks.lock(contract(1)).await;
        let mut second = pin!(locks.lock(contract(1)));
        assert!(futures::poll!(second.as_mut()).is_pending());
        let other = pin!(locks.lock(contract(2)));
        assert!(futures::poll!(other).is_ready(), "ids that look alike");
        drop(first);
        let _second = second.await;
    }

    #[tokio::test]
    async fn nothing_is_kept_of_what_nobody_works_at_or_waits_for() {
        let locks = Locks::default();
        let first = locks.lock(contract(1)).await;
        {
            let mut given_up = pin!(locks.lock(contract(1)));
            assert!(futures::poll!(given_up.as_mut()).is_pending());
            let mut waiting = Box::pin(locks.lock(contract(1)));
            assert!(futures::poll!(waiting.as_mut()).is_pending());
            drop(first);
            assert!(futures::poll!(waiting.as_mut()).is_pending(), "the one before it is next");
        }
        assert!(lock(&locks.0).is_empty());
    }
}
