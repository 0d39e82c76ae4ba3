//! Who may ask, what is agreed, and which revisions are signed.

use hayloft_core::{
    Amount, ContractId, DeviceId, ShardId, contract::Change, contract::propose, keys::DeviceKey,
};
use hayloft_net::messages::{Answer, RefusalCode, Request};

use super::bench::{Bench, DAY, MIB, START, Script, entry, noise, offering, refused};

#[tokio::test]
async fn offer_is_freshly_signed_and_needs_no_certificate() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let mut owner = bench.owner().await;
    owner.certificate = None;
    let Answer::Offer(signed) = owner.ask(Request::Offer).await.expect("offered") else {
        panic!("not an offer")
    };
    let signed = signed.farmer.expect("it farms");
    let record = signed.verify(&super::bench::network(), &owner.farmer, START).expect("verifies");
    assert!(record.accepting);
    assert_eq!((record.free_bytes, record.at), (64 * MIB, START));
    bench.clock.advance(60);
    let Answer::Offer(later) = owner.ask(Request::Offer).await.expect("offered") else {
        panic!("not an offer")
    };
    assert_eq!(later.farmer.expect("it farms").record.at, START.plus_seconds(60));
}

#[tokio::test]
async fn only_the_certified_device_itself_is_served() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let mut owner = bench.owner().await;
    let state = owner.agree().await;
    let device = owner.net.local_id();
    let wrong = [
        None,
        Some(owner.certify(DeviceId([9; 32]), START, DAY)),
        Some(owner.certify(device, START.plus_seconds(2 * DAY), DAY)),
        Some(hayloft_core::record::DeviceCertificate {
            owner: owner.housemate().keys.owner.id(),
            ..owner.certify(device, START, DAY)
        }),
    ];
    for certificate in wrong {
        owner.certificate = certificate;
        refused(owner.ask(Request::Contract { contract: state.contract() }).await, RefusalCode::NotAllowed);
    }
    owner.certificate = Some(owner.certify(device, START, DAY));
    owner.ask(Request::Contract { contract: state.contract() }).await.expect("served");
    bench.clock.advance(DAY);
    refused(owner.ask(Request::Contract { contract: state.contract() }).await, RefusalCode::NotAllowed);
}

#[tokio::test]
async fn same_terms_again_get_the_same_answer() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let owner = bench.owner().await;
    let terms = owner.terms();
    let first = owner.agree_to(terms.clone()).await.expect("agreed");
    bench.clock.advance(2 * 3600);
    assert_eq!(owner.agree_to(terms).await.expect("agreed again"), first);
}

#[tokio::test]
async fn terms_that_are_not_offered_are_not_signed() {
    let mut farm = offering(64 * MIB);
    farm.storage_price = 10;
    let bench = Bench::new(farm).await;
    let owner = bench.owner().await;
    let priced = |price| {
        let mut terms = owner.terms();
        terms.storage_price = Amount(price);
        terms
    };
    refused(owner.agree_to(priced(9)).await, RefusalCode::TermsNotOffered);
    refused(owner.agree_to(priced(10)).await, RefusalCode::NotFunded);
    let mut elsewhere = priced(10);
    elsewhere.farmer = DeviceId([3; 32]);
    refused(owner.agree_to(elsewhere).await, RefusalCode::TermsNotOffered);
    let mut hasty = priced(10);
    hasty.grace_seconds = DAY;
    refused(owner.agree_to(hasty).await, RefusalCode::TermsNotOffered);
}

#[tokio::test]
async fn terms_that_their_owner_did_not_sign_are_not_signed() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let (owner, other) = (bench.owner().await, bench.owner().await);
    let terms = owner.terms();
    let forged = Request::Agree { owner: terms.sign_as_owner(&other.keys.owner), terms: terms.clone() };
    refused(owner.ask(forged).await, RefusalCode::NotAllowed);
    let stolen = Request::Agree { owner: terms.sign_as_owner(&owner.keys.owner), terms };
    refused(other.ask(stolen).await, RefusalCode::NotAllowed);
}

#[tokio::test]
async fn one_owner_cannot_fill_the_farmer_with_contracts() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let owner = bench.owner().await;
    for _ in 0..8 {
        owner.agree().await;
    }
    refused(owner.agree_to(owner.terms()).await, RefusalCode::NoSpace);
    bench.owner().await.agree().await;
}

#[tokio::test]
async fn contract_and_its_shards_are_shown_to_their_owner_alone() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let (owner, other) = (bench.owner().await, bench.owner().await);
    let (state, id) = owner.stored(&noise(1000)).await;
    let contract = state.contract();
    match owner.ask(Request::Contract { contract }).await.expect("shown") {
        Answer::Contract { terms, revision } => {
            assert_eq!(*terms, *state.signed_terms());
            assert_eq!(revision.map(|newest| newest.revision), state.newest().cloned());
        }
        other => panic!("{other:?}"),
    }
    match owner.ask(Request::Shards { contract, after: None }).await.expect("shown") {
        Answer::Shards { shards, more: false } => {
            assert_eq!(shards, state.shards().cloned().collect::<Vec<_>>())
        }
        other => panic!("{other:?}"),
    }
    let requests = [
        Request::Contract { contract },
        Request::Shards { contract, after: None },
        Request::Reserve { contract, bytes: 10 },
        Request::Download { contract, shard: id, offset: 0, bytes: 10 },
        Request::Contract { contract: ContractId([0; 32]) },
    ];
    for request in requests {
        refused(other.ask(request).await, RefusalCode::UnknownContract);
    }
    refused(other.upload(contract, ShardId([1; 32]), &[1; 10]).await, RefusalCode::UnknownContract);
    let removal = owner.propose(&state, Vec::new(), vec![id]);
    let signature = removal.sign_as_owner(state.terms(), &other.keys.owner);
    refused(other.revise_raw(&removal, signature).await, RefusalCode::UnknownContract);
}

#[tokio::test]
async fn replayed_revision_gets_the_same_signature() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let owner = bench.owner().await;
    let state = owner.agree().await;
    let revision = owner.propose(&state, Vec::new(), Vec::new());
    let signature = revision.sign_as_owner(state.terms(), &owner.keys.owner);
    let first = owner.revise_raw(&revision, signature).await.expect("signed");
    assert_eq!(owner.revise_raw(&revision, signature).await.expect("signed again"), first);
    let other = bench.owner().await;
    let forged = revision.sign_as_owner(state.terms(), &other.keys.owner);
    refused(owner.revise_raw(&revision, forged).await, RefusalCode::NotAllowed);
}

#[tokio::test]
async fn second_revision_of_one_number_is_stale_and_never_signed() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let owner = bench.owner().await;
    let state = owner.agree().await;
    let first = owner.propose(&state, Vec::new(), Vec::new());
    let mut second = first.clone();
    second.capacity_bytes += 1;
    let next = owner.revise(&state, &first).await.expect("signed");
    refused(owner.revise(&state, &second).await, RefusalCode::StaleRevision);
    let mut strayed = owner.propose(&next, Vec::new(), Vec::new());
    strayed.previous.0[0] ^= 1;
    refused(owner.revise(&next, &strayed).await, RefusalCode::StaleRevision);
    strayed = owner.propose(&next, Vec::new(), Vec::new());
    strayed.number += 1;
    refused(owner.revise(&next, &strayed).await, RefusalCode::StaleRevision);
}

#[tokio::test]
async fn revision_with_wrong_sums_is_refused_and_changes_nothing() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let owner = bench.owner().await;
    let (state, id) = owner.stored(&noise(1000)).await;
    let good = owner.propose(&state, Vec::new(), vec![id]);
    let spoil: [fn(&mut hayloft_core::contract::Revision); 5] = [
        |revision| revision.bytes += 1,
        |revision| revision.shards += 1,
        |revision| revision.root[0] ^= 1,
        |revision| revision.removed.clear(),
        |revision| revision.at.0 += DAY,
    ];
    for spoil in spoil {
        let mut wrong = good.clone();
        spoil(&mut wrong);
        refused(owner.revise(&state, &wrong).await, RefusalCode::WrongRevision);
    }
    assert_eq!(owner.download(state.contract(), id, 0, 1000).await.expect("still there").len(), 1000);
    owner.revise(&state, &good).await.expect("the sound one is signed");
}

#[tokio::test]
async fn shard_that_did_not_arrive_is_not_signed_for() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let owner = bench.owner().await;
    let state = owner.agree().await;
    let bytes = noise(1000);
    let missing = owner.propose(&state, vec![entry(ShardId([5; 32]), &bytes)], Vec::new());
    refused(owner.revise(&state, &missing).await, RefusalCode::WrongRevision);
    owner.reserve_for(state.contract(), 1000).await;
    let id = ShardId([6; 32]);
    let mut arrived = owner.upload(state.contract(), id, &bytes).await.expect("stored");
    arrived.bytes -= 1;
    let shorter = owner.propose(&state, vec![arrived], Vec::new());
    refused(owner.revise(&state, &shorter).await, RefusalCode::WrongRevision);
}

#[tokio::test]
async fn new_price_holds_for_new_contracts_at_once() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let owner = bench.owner().await;
    let old = owner.agree().await;
    bench.set(|farm| farm.storage_price = 7).await;
    refused(owner.agree_to(owner.terms()).await, RefusalCode::TermsNotOffered);
    let change = Change { end: Some(START.plus_seconds(30 * DAY)), ..Change::default() };
    let revision = propose(&old, change, START).expect("sound");
    owner.revise(&old, &revision).await.expect("the old contract keeps its price");
}

#[tokio::test]
async fn second_device_of_an_owner_rebases_on_what_the_farmer_shows() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let first = bench.owner().await;
    let state = first.agree().await;
    let mut second = Script::new(&bench, DeviceKey::random(&mut rand::rng())).await;
    second.keys = first.keys.clone();
    second.certificate = Some(second.certify(second.net.local_id(), START, DAY));
    first.revise(&state, &first.propose(&state, Vec::new(), Vec::new())).await.expect("signed");
    let mut own = second.propose(&state, Vec::new(), Vec::new());
    own.capacity_bytes += 1;
    refused(second.revise(&state, &own).await, RefusalCode::StaleRevision);
    let shown = second.ask(Request::Contract { contract: state.contract() }).await.expect("shown");
    let Answer::Contract { terms, revision: Some(newest) } = shown else { panic!("no revision") };
    let known = hayloft_core::contract::State::load(*terms, Some(&newest), []).expect("sound");
    second.revise(&known, &second.propose(&known, Vec::new(), Vec::new())).await.expect("rebased");
}

#[tokio::test]
async fn one_subnet_cannot_fill_the_farmer_with_owners() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let first = bench.owner().await;
    for _ in 0..32 {
        first.housemate().agree().await;
    }
    let late = first.housemate();
    refused(late.agree_to(late.terms()).await, RefusalCode::Busy);
    bench.owner().await.agree().await;
    bench.clock.advance(DAY);
    late.agree().await;
}
