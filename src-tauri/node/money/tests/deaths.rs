//! Owner, farmer and auditor, each in a process of its own with its own keys and nobody else's, go through the whole life of
//! an escrow: setup, settlements, closing. One of them dies between two steps, and goes on from what is on its disk. Then the
//! books agree with the ledger, everything was paid once, and nothing is left locked.
//!
//! Time goes on when all three have done what they could in the second before: none of them can be late, however slow the
//! machine is.

mod books;
mod player;
mod stage;

use std::path::PathBuf;

use futures::{StreamExt as _, stream};
use hayloft_payments::wallet::Role;
use tokio::sync::watch;

use self::{
    player::{Player, STAGE},
    stage::{PATIENCE, Part, Stage},
};
use super::bed::{BriskLedger, START};
use crate::crash::Point;

/// Seconds within which all is over: a setup that never got in is given up after two minutes.
const LIFE_SECONDS: u64 = 600;
/// Just before the first period can be settled, when most of it has been judged.
const VANISHES: u64 = 9;
/// Scenes at once.
const AT_ONCE: usize = 5;

/// Who dies where, while an escrow is set up.
const SETUP: &[(Role, Point)] = &[
    (Role::Owner, Point::FundingKept),
    (Role::Owner, Point::EscrowRaised),
    (Role::Farmer, Point::FundingNoted),
    (Role::Farmer, Point::EscrowNoted),
    (Role::Owner, Point::FarmerTold),
    (Role::Auditor, Point::FundingNoted),
    (Role::Auditor, Point::EscrowNoted),
    (Role::Owner, Point::FurtherRaised),
];
/// And while it is settled and closed.
const SETTLEMENT: &[(Role, Point)] = &[
    (Role::Auditor, Point::SettlementSigned),
    (Role::Farmer, Point::SettlementCosigned),
    (Role::Farmer, Point::SettlementHandedIn),
    (Role::Owner, Point::SettlementCosigned),
    (Role::Owner, Point::SettlementHandedIn),
    (Role::Owner, Point::MergeSubmitted),
];

/// A ledger, and the three that use it.
struct Scene {
    ledger: BriskLedger,
    folder: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temp folder can be made");
        Self { ledger: BriskLedger::at(START).await, folder }
    }

    fn home(&self, part: Part) -> PathBuf {
        self.folder.path().join(format!("{part:?}").to_lowercase())
    }

    async fn start(&self, part: Part, others: &[&Player], dies: Option<(Role, Point)>) -> Player {
        let auditor = others.iter().find(|other| other.stage.part == Part::Auditor);
        let stage = Stage {
            part,
            home: self.home(part),
            ledger: self.ledger.url().to_owned(),
            now: START,
            listen: None,
            others: others.iter().map(|other| other.address.clone()).collect(),
            auditor: auditor.map(|auditor| auditor.address.clone()),
            further: dies.is_some_and(|(_, point)| point == Point::FurtherRaised),
        };
        let at = dies.filter(|(who, _)| Part::from(*who) == part).map(|(_, point)| point);
        Player::start(stage, at).await
    }

    /// Owner, farmer and auditor.
    async fn all(&self, dies: Option<(Role, Point)>) -> [Player; 3] {
        let auditor = self.start(Part::Auditor, &[], dies).await;
        let farmer = self.start(Part::Farmer, &[&auditor], dies).await;
        let owner = self.start(Part::Owner, &[&auditor, &farmer], dies).await;
        [owner, farmer, auditor]
    }

    /// Plays a second; for whom all is over then.
    async fn second(&self, second: u64, [owner, farmer, auditor]: &mut [Player; 3]) -> [bool; 3] {
        let now = START.plus_seconds(second);
        self.ledger.set_time(Some(now.0));
        self.ledger.close_ledger().await.expect("closes");
        let over = watch::Sender::new([None; 3]);
        let mut said = over.subscribe();
        let playing =
            async { tokio::join!(auditor.play(now, &over), farmer.play(now, &over), owner.play(now, &over)) };
        let all = said.wait_for(|over| over.iter().all(Option::is_some));
        let over = tokio::select! {
            _ = playing => unreachable!("they play until no more is told"),
            over = tokio::time::timeout(2 * PATIENCE, all) => *over.expect("it goes on").expect("is told"),
        };
        over.map(|over| over == Some(true))
    }

    /// Plays to the end.
    async fn play(&self, dies: (Role, Point)) {
        let mut players = self.all(Some(dies)).await;
        let mut seconds = 0..LIFE_SECONDS;
        let is_over = async |second| self.second(second, &mut players).await == [true; 3];
        assert!(reaches(&mut seconds, is_over).await, "{dies:?}: it is never over");
        for player in players {
            assert!(!player.dies, "{dies:?}: nothing comes by it");
            player.end().await;
        }
    }

    /// Plays to the end, though from one second on a stranger is where the auditor was.
    async fn play_without_auditor(&self) {
        let mut players = self.all(None).await;
        for second in 0..VANISHES {
            self.second(second, &mut players).await;
        }
        let [owner, farmer, auditor] = players;
        let stranger = auditor.stranger(self.folder.path().join("stranger"), START.plus_seconds(VANISHES));
        auditor.end().await;
        let mut players = [owner, farmer, Player::start(stranger, None).await];
        let mut seconds = VANISHES..LIFE_SECONDS;
        let is_over = async |second| self.second(second, &mut players).await[..2] == [true; 2];
        assert!(reaches(&mut seconds, is_over).await, "it is never over");
        for player in players {
            player.end().await;
        }
    }
}

/// Whether it is so in one of these seconds.
async fn reaches(seconds: &mut std::ops::Range<u64>, mut is_so: impl AsyncFnMut(u64) -> bool) -> bool {
    for second in seconds {
        if is_so(second).await {
            return true;
        }
    }
    false
}

/// Plays all deaths, some side by side: most of their time they wait. Or one of the parts, if this process was started for it.
#[test]
fn whoever_dies_between_two_steps_everything_is_paid_once_and_nothing_is_stuck() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    if let Ok(stage) = std::env::var(STAGE) {
        let stage: Stage = serde_json::from_str(&stage).expect("a stage");
        return runtime.block_on(stage.play());
    }
    let scenes = SETUP.iter().chain(SETTLEMENT).map(async |dies| {
        let scene = Scene::new().await;
        scene.play(*dies).await;
        scene.check(*dies).await;
    });
    runtime.block_on(stream::iter(scenes).buffer_unordered(AT_ONCE).collect::<()>());
}

/// Two of three signatures are left, and what the auditor had said.
#[test]
fn an_auditor_that_vanishes_costs_no_farmer_what_it_had_judged() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let scene = Scene::new().await;
        scene.play_without_auditor().await;
        scene.check_without_auditor().await;
    });
}

#[test]
fn every_point_about_money_is_somebodys_death() {
    for point in crate::crash::MONEY {
        assert!(SETUP.iter().chain(SETTLEMENT).any(|(_, named)| named == point), "{point:?}");
    }
}
