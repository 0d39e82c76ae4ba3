//! Shards that wait to be put under contract together. A farmer checks the tags of all shards that one revision adds in
//! one batch, whose costly part is the same for one shard as for many; so those that arrive shortly after each other at one
//! farmer share a revision, unless nothing more is to come.
//!
//! Invariants: nobody waits for one who went away; a farmer that fails is asked once for all who wait, and each of them is
//! told. Deliberately absent: how a contract is revised.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use hayloft_core::{ContractId, Timestamp, audit::MAX_BATCH_BYTES, contract::ShardEntry};
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    contracts::{ContractError, Contracts, Wish},
    lock,
};

/// How long the first one waits for others: what a crash costs is sending again what arrived within it.
const WAIT: Duration = Duration::from_secs(10);
/// Bytes of shards for which nothing more is waited: by then the costly part has become small.
const ENOUGH_BYTES: u64 = MAX_BATCH_BYTES as u64 / 2;

/// What waits, by contract.
#[derive(Debug, Default)]
pub(crate) struct Gatherings(Mutex<HashMap<ContractId, Gathering>>);

#[derive(Debug, Default)]
struct Gathering {
    members: Vec<Member>,
    bytes: u64,
    enough: Arc<Notify>,
}

/// A shard that waits, and who is told what became of it.
#[derive(Debug)]
struct Member {
    shard: ShardEntry,
    until: Timestamp,
    told: oneshot::Sender<Result<(), ContractError>>,
}

/// The first one's duty to the others. Given up, because its task was dropped, all of them go on alone.
struct Duty<'a> {
    gatherings: &'a Gatherings,
    contract: ContractId,
    enough: Arc<Notify>,
    taken: bool,
}

impl Duty<'_> {
    async fn wait(&self, nothing_more: &CancellationToken) {
        tokio::select! {
            () = self.enough.notified() => {}
            () = nothing_more.cancelled() => {}
            () = tokio::time::sleep(WAIT) => {}
        }
    }

    fn take(mut self) -> Vec<Member> {
        self.taken = true;
        self.gatherings.take(self.contract)
    }
}

impl Drop for Duty<'_> {
    fn drop(&mut self) {
        if !self.taken {
            drop(self.gatherings.take(self.contract));
        }
    }
}

/// What one does who joins.
enum Joined<'a> {
    First(Duty<'a>),
    /// With what wakes the first one.
    Another(Arc<Notify>),
}

impl Gatherings {
    fn join(&self, contract: ContractId, member: Member) -> Joined<'_> {
        let mut all = lock(&self.0);
        let gathering = all.entry(contract).or_default();
        gathering.bytes += member.shard.bytes;
        gathering.members.push(member);
        let enough = gathering.enough.clone();
        if gathering.bytes >= ENOUGH_BYTES {
            enough.notify_one();
        }
        if gathering.members.len() == 1 {
            Joined::First(Duty { gatherings: self, contract, enough, taken: false })
        } else {
            Joined::Another(enough)
        }
    }

    /// All that wait now, without those who went away; who comes from now on begins anew.
    fn take(&self, contract: ContractId) -> Vec<Member> {
        let mut members = lock(&self.0).remove(&contract).unwrap_or_default().members;
        members.retain(|member| !member.told.is_closed());
        members
    }
}

impl Contracts {
    /// Puts a shard under a contract that lasts until then, together with others that arrive soon; at once when
    /// `nothing_more` is cancelled.
    pub(crate) async fn add(
        &self,
        contract: ContractId,
        shard: ShardEntry,
        until: Timestamp,
        nothing_more: &CancellationToken,
    ) -> Result<(), ContractError> {
        let (told, mut hears) = oneshot::channel();
        let member = Member { shard: shard.clone(), until, told };
        match self.gatherings.join(contract, member) {
            Joined::First(duty) => {
                duty.wait(nothing_more).await;
                self.add_all(contract, duty.take()).await;
            }
            Joined::Another(first) => tokio::select! {
                biased;
                heard = &mut hears => return self.heard(heard.ok(), contract, shard, until).await,
                () = nothing_more.cancelled() => first.notify_one(),
            },
        }
        self.heard(hears.await.ok(), contract, shard, until).await
    }

    async fn add_all(&self, contract: ContractId, members: Vec<Member>) {
        let until = members.iter().map(|member| member.until).max();
        let add = members.iter().map(|member| member.shard.clone()).collect();
        let result = self.revise(contract, &Wish { add, until, ..Wish::default() }).await;
        for member in members {
            let told = match &result {
                Ok(()) => Some(Ok(())),
                Err(error) => error.of_the_farmer().map(Err),
            };
            if let Some(told) = told {
                let _ = member.told.send(told);
            }
        }
    }

    /// What the first one says; if it went away, or failed for a reason of its own, the shard goes alone.
    async fn heard(
        &self,
        said: Option<Result<(), ContractError>>,
        contract: ContractId,
        shard: ShardEntry,
        until: Timestamp,
    ) -> Result<(), ContractError> {
        match said {
            Some(result) => result,
            None => {
                let wish = Wish { add: vec![shard], until: Some(until), ..Wish::default() };
                self.revise(contract, &wish).await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use hayloft_core::ShardId;

    use super::*;

    const CONTRACT: ContractId = ContractId([1; 32]);

    fn member(seed: u8, bytes: u64) -> (Member, oneshot::Receiver<Result<(), ContractError>>) {
        let (told, hears) = oneshot::channel();
        let shard = ShardEntry { id: ShardId([seed; 32]), bytes, tag_key: None };
        (Member { shard, until: Timestamp(1), told }, hears)
    }

    fn first(joined: Joined<'_>) -> Duty<'_> {
        match joined {
            Joined::First(duty) => duty,
            Joined::Another(_) => panic!("somebody else was first"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_waits_a_while_or_until_there_is_enough_or_nothing_more_comes() {
        let (gatherings, more) = (Gatherings::default(), CancellationToken::new());
        let duty = first(gatherings.join(CONTRACT, member(1, 1).0));
        let begun = tokio::time::Instant::now();
        duty.wait(&more).await;
        assert_eq!(begun.elapsed(), WAIT);
        let (large, _hears) = member(2, ENOUGH_BYTES);
        assert!(matches!(gatherings.join(CONTRACT, large), Joined::Another(_)));
        let begun = tokio::time::Instant::now();
        duty.wait(&more).await;
        more.cancel();
        duty.wait(&more).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test]
    async fn who_went_away_is_left_out_and_who_comes_later_begins_anew() {
        let gatherings = Gatherings::default();
        let (own, _own) = member(1, 1);
        let duty = first(gatherings.join(CONTRACT, own));
        let (gone, hears) = member(2, 1);
        gatherings.join(CONTRACT, gone);
        drop(hears);
        let (stays, _stays) = member(3, 1);
        gatherings.join(CONTRACT, stays);
        let taken: Vec<u8> = duty.take().iter().map(|member| member.shard.id.0[0]).collect();
        assert_eq!(taken, [1, 3]);
        first(gatherings.join(CONTRACT, member(4, 1).0));
    }

    #[tokio::test]
    async fn nobody_waits_for_a_first_one_that_was_dropped() {
        let gatherings = Gatherings::default();
        let duty = first(gatherings.join(CONTRACT, member(1, 1).0));
        let (another, hears) = member(2, 1);
        gatherings.join(CONTRACT, another);
        drop(duty);
        hears.await.expect_err("it goes on alone");
        first(gatherings.join(CONTRACT, member(3, 1).0));
    }
}
