//! Owners and farmers of one hand, who sign contracts with each other and have an auditor follow them: all of it is sound, none
//! of the farmers is there. Beside them, questions to be asked in others' place, and records of everybody.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use futures::future::join_all;
use hayloft_core::{
    DeviceId, ShardId,
    audit::{Commitment, Epoch, Mandate},
    contract::{Change, ShardEntry, SignedTerms, State, Terms, countersign, propose},
    keys::DeviceKey,
};
use hayloft_net::messages::{Followed, Mandated, Relay, Request};

use crate::{
    Victim, begun,
    customer::{BREATH, Customer, now},
};

const DAY_SECONDS: u64 = 24 * 3600;
const OWNERS: usize = 8;
/// Requests before the attack counts as begun, and how many are under way at once.
const STANDS: usize = 400;
const AT_ONCE: usize = 64;
/// Shards in each contract.
const SHARDS: u64 = 200;

/// A contract with a farmer that nobody will ever reach.
fn contract(customer: &Customer, farmer: &DeviceKey) -> Result<Followed> {
    let terms = Terms { farmer: farmer.id(), auditor: Some(customer.victim_id()), ..customer.terms() };
    let (owner, by_farmer) = (terms.sign_as_owner(customer.owner()), terms.sign_as_farmer(farmer));
    let terms = SignedTerms { terms, owner, farmer: by_farmer };
    let state = State::new(terms.clone())?;
    let shard = |_| ShardEntry { id: ShardId(rand::random()), bytes: 1, tag_key: Some([1; 32]) };
    let mut added: Vec<ShardEntry> = (0..SHARDS).map(shard).collect();
    added.sort_by_key(|entry| entry.id);
    let end = Some(now().plus_seconds(90 * DAY_SECONDS));
    let change = Change { capacity_bytes: Some(1 << 40), end, added: added.clone(), removed: Vec::new() };
    let revision = propose(&state, change, now())?;
    let by_owner = revision.sign_as_owner(&terms.terms, customer.owner());
    let (_, revision) = countersign(&state, &revision, &by_owner, farmer, now())?;
    Ok(Followed { terms, revision, shards: Some(added) })
}

fn request(customer: &Customer, farmer: &DeviceKey, number: usize) -> Result<Request> {
    let told = contract(customer, farmer)?;
    Ok(match number % 4 {
        0 => Request::Standing { farmer: DeviceId(rand::random()) },
        1 => {
            // In the place of whom the terms name, which is not the one who asks.
            let contract = told.terms.terms.id();
            let (network, until) = (told.terms.terms.network.clone(), now().plus_seconds(60));
            let second = customer.victim_id();
            let mandate = Mandate { network, contract, epoch: Epoch(0), second, until }.sign(farmer);
            let ask = Mandated::Commit(Commitment(rand::random()));
            Request::Relay(Box::new(Relay { terms: told.terms, mandate, ask }))
        }
        _ => Request::Follow(Box::new(told)),
    })
}

pub(crate) async fn flood(victim: Victim) -> Result<()> {
    let customers = join_all((0..OWNERS).map(|_| Customer::connect(&victim)));
    let customers: Vec<Customer> = customers.await.into_iter().collect::<Result<_>>()?;
    let asked = AtomicUsize::new(0);
    let flooding = (0..AT_ONCE).map(|place| {
        let (customer, asked) = (&customers[place % OWNERS], &asked);
        let farmer = DeviceKey::random(&mut rand::rng());
        async move {
            loop {
                let number = asked.fetch_add(1, Ordering::Relaxed);
                if let Ok(request) = request(customer, &farmer, number) {
                    let _ = customer.ask(request).await;
                }
                if number == STANDS {
                    begun(number);
                }
                tokio::time::sleep(BREATH).await;
            }
        }
    });
    join_all(flooding).await;
    Ok(())
}
