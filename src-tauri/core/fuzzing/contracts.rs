//! Terms, revisions, proofs of fraud, and contracts that go on by what strangers propose.

use super::{canonical, farmer, owner, split};
use crate::{
    Amount, Timestamp,
    contract::{
        Change, Equivocation, Revision, SignedRevision, SignedTerms, State, Terms, TermsOffered, apply,
        apply_signed, check_terms, countersign, propose, shard_root,
    },
};

/// Decodes each on its own; then lets a contract live through what the bytes hold.
pub fn contracts(bytes: &[u8]) {
    if let Some(signed) = canonical::<SignedTerms>(bytes) {
        let _ = signed.verify();
        let _ = State::new(signed.clone());
        look_at(&signed.terms);
    }
    if let Some(equivocation) = canonical::<Equivocation>(bytes) {
        let _ = equivocation.verify();
    }
    let (head, mut rest) = split(bytes);
    let Some(mut terms) = canonical::<Terms>(head) else { return };
    look_at(&terms);
    (terms.owner, terms.farmer) = (owner().id(), farmer().id());
    let signed = SignedTerms {
        owner: terms.sign_as_owner(&owner()),
        farmer: terms.sign_as_farmer(&farmer()),
        terms: terms.clone(),
    };
    let Ok(mut state) = State::new(signed) else { return };
    for _ in 0..8 {
        let (one, more) = split(rest);
        if let Some(revision) = canonical::<Revision>(one) {
            state = live(state, revision);
        }
        rest = more;
    }
}

fn look_at(terms: &Terms) {
    let offered = TermsOffered {
        network: terms.network.clone(),
        farmer: terms.farmer,
        storage_price: Amount(0),
        egress_price: Amount(0),
        shortest_epoch_seconds: 60,
    };
    let _ = check_terms(terms, &offered, terms.start);
    let _ = check_terms(terms, &offered, Timestamp(u64::MAX));
    assert_eq!(terms.id(), terms.clone().id());
}

/// One revision as it came, and as an honest side would propose the same change.
fn live(state: State, revision: Revision) -> State {
    let now = revision.at;
    if let Ok(next) = apply(&state, &revision, now) {
        check(&next);
    }
    let Revision { capacity_bytes, end, added, removed, .. } = revision;
    let change = Change { capacity_bytes: Some(capacity_bytes), end: Some(end), added, removed };
    let Ok(proposed) = propose(&state, change, now) else { return state };
    let by_owner = proposed.sign_as_owner(state.terms(), &owner());
    let (next, signed) =
        countersign(&state, &proposed, &by_owner, &farmer(), now).expect("what is proposed is signed");
    assert_eq!(apply_signed(&state, &signed, now).as_ref(), Ok(&next));
    check(&next);
    let loaded = State::load(next.signed_terms().clone(), Some(&signed), next.shards().cloned());
    assert_eq!(loaded.as_ref(), Ok(&next));
    forged(&state, signed, now);
    next
}

fn check(state: &State) {
    let newest = state.newest().expect("a revision was applied");
    let bytes: u64 = state.shards().map(|shard| shard.bytes).sum();
    assert!(bytes <= state.capacity_bytes());
    assert_eq!((newest.bytes, newest.shards), (bytes, state.shards().count() as u64));
    assert_eq!(newest.root, shard_root(state.shards()));
    assert!(state.end() <= state.delete_after());
    let _ = (state.phase(newest.at), state.phase(Timestamp(u64::MAX)));
}

fn forged(state: &State, mut signed: SignedRevision, now: Timestamp) {
    signed.revision.capacity_bytes ^= 1;
    apply_signed(state, &signed, now).expect_err("it was changed after it was signed");
}
