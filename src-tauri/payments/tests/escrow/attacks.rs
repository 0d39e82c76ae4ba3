//! What each party, and each pair of them, can take; and what is seen of an escrow that is not as it was planned.

use super::*;

#[tokio::test]
async fn nobody_takes_anything_alone() {
    let scene = Scene::new(2).await;
    let plan = &scene.plan;
    scene.bed.at(1 + PERIOD).await;
    for party in [&scene.owner, &scene.farmer, &scene.auditor] {
        let to = party.address();
        let pay = scene.by_escrow(Do::Pay { to, amount: Amount(1) });
        for steps in [
            vec![scene.claim(0), scene.by_escrow(Do::Pay { to, amount: EACH })],
            vec![pay],
            vec![scene.by_escrow(Do::Merge { into: to })],
            vec![scene.by_escrow(Do::Sign { who: Lock::Key(to), weight: 2 })],
            vec![scene.by_escrow(Do::Rule { own: 2, needed: 1 })],
        ] {
            assert!(codes(&scene.try_steps(&[party], steps).await).contains("op_bad_auth"));
        }
        // Signing twice counts once, and makes the whole invalid.
        let steps = vec![scene.claim(0)];
        assert!(matches!(scene.try_steps(&[party, party], steps).await, Submission::Declined(_)));
    }
    // The owner may have kept E's own key.
    let draft = scene.bed.draft(plan.owner, vec![scene.claim(0)]).await;
    let signed = scene.owner.sign(&scene.bed, draft.unsigned()).signed(&scene.escrow, &scene.bed.network);
    assert!(matches!(scene.bed.submit(&signed).await, Submission::Declined(_)));
    // And its own claim has not begun.
    let early = vec![Step { by: None, deed: Do::Claim { balance: plan.balance(0) } }];
    let refused = scene.try_steps(&[&scene.owner], early.clone()).await;
    assert_eq!(codes(&refused), "tx_failed, op_cannot_claim");
    scene.bed.at(PERIOD + GRACE).await;
    let refused = scene.try_steps(&[&scene.owner], early.clone()).await;
    assert_eq!(codes(&refused), "tx_failed, op_cannot_claim", "a second before its grace ends");
    scene.bed.at(1 + PERIOD + GRACE).await;
    for stranger in [&scene.farmer, &scene.auditor] {
        assert_eq!(codes(&scene.try_steps(&[stranger], early.clone()).await), "tx_failed, op_cannot_claim");
    }
    let taken = scene.try_steps(&[&scene.owner], early).await;
    assert!(matches!(taken, Submission::Applied { .. }), "{taken:?}");
    assert_eq!(scene.open().await, BTreeSet::from([1]));
}

#[tokio::test]
async fn each_pair_takes_at_most_what_is_over_and_the_reserve() {
    for pair in 0..3 {
        let scene = Scene::new(3).await;
        let parties = [&scene.owner, &scene.farmer, &scene.auditor];
        let mut pair: Vec<&Party> =
            parties.into_iter().enumerate().filter(|(at, _)| *at != pair).map(|(_, party)| party).collect();
        // Whoever takes it also hands it in.
        pair.reverse();
        let thief = pair[0].address();
        let take = |periods: &[u32]| -> Vec<Step> {
            let mut steps: Vec<Step> = periods.iter().map(|period| scene.claim(*period)).collect();
            let amount = Amount(EACH.0 * periods.len() as u64);
            steps.push(scene.by_escrow(Do::Pay { to: thief, amount }));
            steps
        };
        let before = scene.bed.balance(thief).await;
        let refused = scene.try_steps(&pair, take(&[0])).await;
        assert!(codes(&refused).contains("op_cannot_claim"), "{refused:?}");
        scene.bed.at(1 + 2 * PERIOD).await;
        let refused = scene.try_steps(&pair, take(&[0, 1, 2])).await;
        assert!(codes(&refused).contains("op_cannot_claim"), "{refused:?}");
        let taken = scene.try_steps(&pair, take(&[0, 1])).await;
        assert!(matches!(taken, Submission::Applied { .. }), "{taken:?}");
        // Those two can also shut the third out, which is seen by everybody.
        let steps = vec![scene.by_escrow(Do::Sign { who: Lock::Key(thief), weight: 2 })];
        scene.try_steps(&pair, steps).await;
        assert_eq!(scene.standing().await, Err(Fault::Signers));
        let ended = scene.try_steps(&[pair[0]], vec![scene.by_escrow(Do::Merge { into: thief })]).await;
        assert!(matches!(ended, Submission::Applied { .. }), "{ended:?}");
        assert_eq!(scene.standing().await, Err(Fault::Missing));
        let most = before.0 + 2 * EACH.0 + scene.plan.reserve().0;
        assert!(scene.bed.balance(thief).await.0 <= most);
        // What was not over comes back to the owner.
        scene.bed.at(1 + 3 * PERIOD + GRACE).await;
        let steps =
            recovery(&scene.plan, &scene.open().await, scene.bed.time(1 + 3 * PERIOD + GRACE)).unwrap();
        assert_eq!(steps.len(), 1);
        let recovered = scene.try_steps(&[&scene.owner], steps).await;
        assert!(matches!(recovered, Submission::Applied { .. }), "{recovered:?}");
    }
}

#[tokio::test]
async fn a_settlement_happens_once_and_never_before_its_period_is_over() {
    let scene = Scene::new(2).await;
    let owed = BTreeMap::from([(0, Amount(1000)), (1, Amount(3000))]);
    let open = scene.open().await;
    let now = Timestamp(scene.bed.ledger.newest().1);
    let early = settle(&scene.plan, &open, 0, Amount(1000), Amount(0), now);
    assert_eq!(early, Err(SettlementError::NotOver(0)));
    // Two who do not look: the ledger refuses all the same.
    let forced = settle(&scene.plan, &open, 0, Amount(1000), Amount(0), scene.plan.end(0)).unwrap();
    let draft = forced.draft(&scene.plan, &scene.handed_in(&scene.farmer).await);
    let signed = scene.farmer.sign(&scene.bed, scene.owner.sign(&scene.bed, draft.unsigned()));
    assert!(codes(&scene.bed.submit(&signed).await).starts_with("tx_failed, op_cannot_claim"));
    scene.bed.at(1 + PERIOD).await;
    let (_, draft) = scene.proposal(&scene.farmer, 0, &owed).await;
    scene.settle(&scene.farmer, &scene.owner, 0, &owed).await.unwrap();
    let paid = scene.bed.balance(scene.plan.farmer).await;
    // The same again, under a new number and with two signatures that somebody gave without looking.
    let again = Draft { sequence: draft.sequence + 1, ..draft };
    let signed = scene.farmer.sign(&scene.bed, scene.auditor.sign(&scene.bed, again.clone().unsigned()));
    assert!(codes(&scene.bed.submit(&signed).await).contains("op_does_not_exist"));
    assert_eq!(scene.bed.balance(scene.plan.farmer).await.0, paid.0 - 3 * FEE.0);
    // An honest one does not sign it either.
    let refused = scene.auditor.cosign(&scene.bed, &scene.plan, &again, scene.plan.farmer, &owed).await;
    assert_eq!(refused, Err(Disagreement::Nothing(SettlementError::NothingOpen)));
}

#[tokio::test]
async fn a_co_signer_signs_what_its_own_records_say_and_nothing_else() {
    let scene = Scene::new(3).await;
    scene.bed.at(1 + 2 * PERIOD).await;
    let owed = BTreeMap::from([(0, Amount(1000)), (1, Amount(3000))]);
    let (_, good) = scene.proposal(&scene.farmer, 1, &owed).await;
    let farmer = scene.plan.farmer;
    let ask = async |draft: &Draft, asker| {
        scene.owner.cosign(&scene.bed, &scene.plan, draft, asker, &owed).await.map(|_| ())
    };
    assert_eq!(ask(&good, farmer).await, Ok(()));
    // A stroop more.
    let changed = |change: &dyn Fn(&mut Draft)| {
        let mut draft = good.clone();
        change(&mut draft);
        draft
    };
    let pays = |draft: &mut Draft, at: usize, to, amount| {
        draft.steps[at] = scene.by_escrow(Do::Pay { to, amount: Amount(amount) });
    };
    let more = changed(&|draft| pays(draft, 2, farmer, 3001));
    let disagrees = Disagreement::Amount { asked: Amount(3001), own: Amount(3000) };
    assert_eq!(ask(&more, farmer).await, Err(disagrees));
    // Other audits than the owner knows.
    let elsewhere = BTreeMap::from([(1, Amount(2999))]);
    let refused = scene.auditor.cosign(&scene.bed, &scene.plan, &good, farmer, &elsewhere).await;
    assert!(matches!(refused, Err(Disagreement::Amount { .. })), "{refused:?}");
    let unknown = scene.auditor.cosign(&scene.bed, &scene.plan, &good, farmer, &BTreeMap::new()).await;
    assert_eq!(unknown, Err(Disagreement::NotKnown(1)));
    // Somebody else's return, a claim left out, one too many, and something besides.
    let stolen = changed(&|draft| pays(draft, 3, scene.plan.auditor, 2 * EACH.0 - 3000));
    let left_out = changed(&|draft| drop(draft.steps.remove(0)));
    let besides = changed(&|draft| {
        draft.steps.push(scene.by_escrow(Do::Sign { who: Lock::Key(farmer), weight: 2 }));
    });
    let of_mine = changed(&|draft| {
        draft
            .steps
            .push(Step { by: Some(scene.plan.owner), deed: Do::Pay { to: farmer, amount: Amount(0) } });
    });
    let named = changed(&|draft| draft.memo = Memo::Hash([1; 32]));
    for other in [stolen, left_out, besides, of_mine, named] {
        assert_eq!(ask(&other, farmer).await, Err(Disagreement::Other), "{other:?}");
    }
    let foreign = changed(&|draft| {
        draft.steps.push(scene.by_escrow(Do::Claim { balance: crate::horizon::BalanceId([1; 32]) }));
    });
    let nothing = changed(&|draft| drop(draft.steps.drain(..2)));
    for other in [foreign, nothing] {
        assert_eq!(ask(&other, farmer).await, Err(Disagreement::ForeignClaim));
    }
    // A period that is not over.
    let future = changed(&|draft| draft.steps.insert(2, scene.claim(2)));
    let known = BTreeMap::from([(2, Amount(3000))]);
    let refused = scene.owner.cosign(&scene.bed, &scene.plan, &future, farmer, &known).await;
    assert_eq!(refused, Err(Disagreement::Nothing(SettlementError::NotOver(2))));
    // One's own fee and number, a stranger's, and times without end.
    let mine = changed(&|draft| draft.source = scene.plan.owner);
    for asker in [farmer, scene.plan.owner] {
        assert_eq!(ask(&mine, asker).await, Err(Disagreement::WrongSource));
    }
    let strange = changed(&|draft| draft.source = Address([9; 32]));
    assert_eq!(ask(&strange, Address([9; 32])).await, Err(Disagreement::WrongSource));
    let now = scene.bed.ledger.newest().1;
    for until in [None, Some(Timestamp(now)), Some(Timestamp(now + 3601))] {
        let window = Window { until, ..Window::default() };
        let draft = changed(&|draft| draft.window = window);
        assert_eq!(ask(&draft, farmer).await, Err(Disagreement::BadWindow));
    }
}

#[tokio::test]
async fn a_setup_that_comes_too_late_does_nothing() {
    let scene = Scene::new(1).await;
    let escrow = random_key();
    let mut plan = Plan { escrow: Address::of(&escrow), ..scene.plan.clone() };
    plan.setup_sequence += 1;
    plan.merge_ledger = scene.bed.ledger.newest().0 + 1;
    let signed = plan.setup_signed_by_escrow(&escrow, &scene.bed.network, FEE, scene.bed.time(300));
    let late = scene.bed.submit(&scene.owner.sign(&scene.bed, signed)).await;
    assert_eq!(codes(&late), "tx_too_late");
    assert_eq!(scene.bed.horizon.account(plan.escrow).await.unwrap(), None);
}

#[tokio::test]
async fn an_escrow_that_is_not_as_planned_is_seen() {
    let scene = Scene::new(2).await;
    let network = &scene.bed.network;
    assert_eq!(scene.standing().await, Ok(BTreeSet::from([0, 1])));
    let look = async |plan: &Plan| look(&scene.bed.horizon, network, plan).await.unwrap().map(drop);
    let of = |change: &dyn Fn(&mut Plan)| {
        let mut plan = scene.plan.clone();
        change(&mut plan);
        plan
    };
    assert_eq!(look(&of(&|plan| plan.escrow = Address([9; 32]))).await, Err(Fault::Missing));
    assert_eq!(look(&of(&|plan| plan.farmer = Address([9; 32]))).await, Err(Fault::Signers));
    assert_eq!(look(&of(&|plan| plan.auditor = plan.owner)).await, Err(Fault::Signers));
    // A merge that would come sooner is another hash.
    assert_eq!(look(&of(&|plan| plan.grace_seconds -= 1)).await, Err(Fault::Signers));
    assert_eq!(look(&of(&|plan| plan.merge_ledger -= 1)).await, Err(Fault::Signers));
    assert_eq!(look(&of(&|plan| plan.base_reserve.0 += 1)).await, Err(Fault::Reserve));
    assert_eq!(look(&of(&|plan| plan.amounts[1].0 += 1)).await, Err(Fault::Balance(1)));
    let moved = |plan: &mut Plan| {
        plan.start = Timestamp(plan.start.0 - PERIOD);
        plan.period_seconds += PERIOD / 2;
    };
    assert_eq!(of(&moved).merges(), scene.plan.merges());
    assert_eq!(look(&of(&moved)).await, Err(Fault::Balance(0)));
    // One whose balances are others is simply not filled.
    let looked =
        crate::escrow::look(&scene.bed.horizon, network, &of(&|plan| plan.setup_sequence += 1)).await;
    assert_eq!(looked.unwrap().unwrap().open, BTreeSet::new());
}
