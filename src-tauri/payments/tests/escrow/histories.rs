//! Lumens are constant through whatever happens to an escrow.

use super::*;

#[derive(Debug, Clone, Copy)]
enum Move {
    Settle(u32),
    Recover,
    Merge,
    Pay(u8, u64),
    Wait(u64),
    Steal(u8),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        3 => (0u32..4).prop_map(Move::Settle),
        1 => Just(Move::Recover),
        1 => Just(Move::Merge),
        2 => (0u8..3, 1u64..LUMEN).prop_map(|(who, amount)| Move::Pay(who, amount)),
        3 => (1u64..400).prop_map(Move::Wait),
        1 => (0u8..3).prop_map(Move::Steal),
    ];
    prop::collection::vec(one, 1..12)
}

/// All that the parties, the escrow and its balances hold, and what went into the ledger's fees.
async fn everything(scene: &Scene) -> u64 {
    let plan = &scene.plan;
    let mut sum = scene.bed.horizon.newest_ledger().await.unwrap().fee_pool.0;
    for who in [plan.owner, plan.farmer, plan.auditor, plan.escrow] {
        sum += scene.bed.balance(who).await.0;
    }
    sum + EACH.0 * scene.open().await.len() as u64
}

async fn play(moves: Vec<Move>) -> Result<(), TestCaseError> {
    let scene = Scene::new(4).await;
    let all = everything(&scene).await;
    let coins = scene.bed.horizon.newest_ledger().await.unwrap().total_coins;
    let owed: BTreeMap<u32, Amount> =
        (0..4).map(|period| (period, Amount(1_111 * u64::from(period + 1)))).collect();
    let parties = [&scene.owner, &scene.farmer, &scene.auditor];
    let mut seconds = 1;
    for step in moves {
        match step {
            Move::Wait(more) => {
                seconds += more;
                scene.bed.at(seconds).await;
            }
            Move::Settle(through) => {
                let Ok(open) = scene.standing().await else { continue };
                let paid = Payouts::default().catch_up(&scene.bed.horizon, &scene.plan).await.unwrap();
                let now = Timestamp(scene.bed.ledger.newest().1);
                if settle(&scene.plan, &open, through, owed[&through], paid, now).is_ok() {
                    scene.settle(&scene.farmer, &scene.auditor, through, &owed).await.unwrap();
                }
            }
            Move::Recover => {
                let now = Timestamp(scene.bed.ledger.newest().1);
                if let Some(steps) = recovery(&scene.plan, &scene.open().await, now) {
                    scene.try_steps(&[&scene.owner], steps).await;
                }
            }
            Move::Merge => drop(scene.merge().await),
            Move::Pay(who, amount) => {
                let to = parties[usize::from(who + 1) % 3].address();
                let step = Step { by: None, deed: Do::Pay { to, amount: Amount(amount) } };
                scene.try_steps(&[parties[usize::from(who)]], vec![step]).await;
            }
            Move::Steal(who) => {
                let to = parties[usize::from(who)].address();
                let steps = vec![scene.claim(0), scene.by_escrow(Do::Pay { to, amount: EACH })];
                scene.try_steps(&[parties[usize::from(who)], parties[usize::from(who + 1) % 3]], steps).await;
            }
        }
        prop_assert_eq!(everything(&scene).await, all, "after {:?}", step);
        prop_assert_eq!(scene.bed.horizon.newest_ledger().await.unwrap().total_coins, coins);
    }
    Ok(())
}

#[test]
fn lumens_are_neither_made_nor_lost_whatever_happens() {
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 12, max_shrink_iters: 20, ..ProptestConfig::default() });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runner.run(&moves(), |moves| runtime.block_on(play(moves))).unwrap();
}
