//! What must hold when all is over: the books agree with the ledger, and nothing is stuck, lost or paid twice.

use std::path::Path;

use hayloft_core::{
    Amount,
    auditor::{Judgement, Verdict},
};
use hayloft_payments::{
    Address, Horizon,
    escrow::{Payouts, Plan},
    horizon::{HorizonOptions, Page},
    lumens::LUMEN,
    wallet::{EscrowState, Fate, Role, decode},
};
use hayloft_store::{Guard, Home, Store, StoreOptions, funding::Funding};

use super::{
    Scene,
    stage::{FILE_BYTES, Part},
};
use crate::{
    crash::Point,
    money::account::{Account, Periods},
};

/// What friendbot gives, and pays as its own fee.
const GIFT: u64 = 10_000 * LUMEN;
const GIFT_FEE: u64 = 100;

impl Scene {
    async fn books(&self, part: Part) -> Store {
        open(&self.home(part)).await
    }

    /// Everything is where it should be.
    pub(super) async fn check(&self, dies: (Role, Point)) {
        let horizon = Horizon::new(&HorizonOptions::local(self.ledger.url())).expect("an address");
        let (owner, farmer, auditor) =
            (self.books(Part::Owner).await, self.books(Part::Farmer).await, self.books(Part::Auditor).await);
        for store in [&owner, &farmer, &auditor] {
            for row in store.outbox().list().await.expect("rows") {
                let found = horizon.transaction(&row.row.hash).await.expect("asked");
                match row.fate {
                    Fate::Applied { .. } => assert!(found.is_some_and(|found| found.successful), "{dies:?}"),
                    Fate::Failed { .. } => assert!(found.is_some_and(|found| !found.successful), "{dies:?}"),
                    Fate::Void { .. } => assert!(found.is_none(), "{dies:?}"),
                    Fate::Open => panic!("{dies:?}: it is not known what came of a payment"),
                }
            }
        }
        let (mut paid_in_all, mut accounts, mut served) = (0, Vec::new(), 0);
        for funding in owner.funds().list(None).await.expect("funding") {
            let plan: Plan = decode(&funding.escrow.plan).expect("a plan");
            assert_eq!(funding.escrow.state, EscrowState::Over, "{dies:?}");
            accounts.extend([plan.owner, plan.farmer]);
            let stands = horizon.account(plan.escrow).await.expect("asked").is_some();
            let locked = horizon.balances(plan.escrow, &Page::default()).await.expect("asked");
            assert!(!stands && locked.is_empty(), "{dies:?}: something is stuck in an escrow");
            let paid = Payouts::default().catch_up(&horizon, &plan).await.expect("asked");
            paid_in_all += paid.0;
            let egress = farmer.funds().vouched(funding.contract).await.expect("vouchers");
            served = egress.iter().map(|(_, bytes)| bytes).sum::<u64>().max(served);
            for other in [&farmer, &auditor] {
                let known = other.funds().list(Some(funding.contract)).await.expect("funding");
                let noted = known.iter().any(|known| known.escrow.account == funding.escrow.account);
                assert!(noted || paid == Amount(0), "{dies:?}: an escrow paid that not all know of");
                let further = dies.1 == Point::FurtherRaised;
                assert!(noted || !further, "{dies:?}: nobody was told of an escrow");
            }
            let judged = auditor.auditor().verdicts(funding.contract, None, 1000).await.expect("verdicts");
            let verdicts: Vec<_> = judged.into_iter().map(|judged| judged.judgement).collect();
            let most = owed(&verdicts, &farmer, &funding, &plan).await;
            assert!(paid <= most, "{dies:?}: {} was paid and {} owed", paid.0, most.0);
        }
        assert!(paid_in_all > 0, "{dies:?}");
        assert!(served >= FILE_BYTES as u64, "{dies:?}: {served} bytes were vouched for");
        accounts.sort();
        accounts.dedup();
        assert_eq!(accounts.len(), 2, "{dies:?}");
        let mut sum = horizon.newest_ledger().await.expect("asked").fee_pool.0;
        for account in &accounts {
            sum += balance(&horizon, *account).await;
        }
        // Who died before it heard of its gift asks once more, and the giver pays for being refused by the ledger.
        let asked_again = sum.checked_sub(2 * (GIFT + GIFT_FEE)).expect("no lumens are lost");
        let refused = [0, GIFT_FEE, 2 * GIFT_FEE].contains(&asked_again);
        assert!(refused, "{dies:?}: {asked_again} stroops were made");
        for store in [owner, farmer, auditor] {
            store.close().await;
        }
    }

    /// What the owner had heard of was paid to the stroop, and the rest came back.
    pub(super) async fn check_without_auditor(&self) {
        let horizon = Horizon::new(&HorizonOptions::local(self.ledger.url())).expect("an address");
        let (owner, farmer) = (self.books(Part::Owner).await, self.books(Part::Farmer).await);
        let funded = owner.funds().list(None).await.expect("funding");
        assert_eq!(funded.len(), 1);
        let plan: Plan = decode(&funded[0].escrow.plan).expect("a plan");
        let heard = owner.funds().heard(funded[0].contract).await.expect("verdicts");
        let owed = owed(&heard, &farmer, &funded[0], &plan).await;
        let paid = Payouts::default().catch_up(&horizon, &plan).await.expect("asked");
        assert!(paid > Amount(0) && heard.iter().any(|said| said.verdict == Verdict::Passed), "{heard:?}");
        assert_eq!(paid, owed, "{heard:?}");
        let stands = horizon.account(plan.escrow).await.expect("asked").is_some();
        let locked = horizon.balances(plan.escrow, &Page::default()).await.expect("asked");
        assert!(!stands && locked.is_empty(), "something is stuck in the escrow");
        for store in [owner, farmer] {
            store.close().await;
        }
    }
}

async fn open(home: &Path) -> Store {
    let options = StoreOptions::new(None, Guard { bytes: 0, percent: 0 });
    Store::open(Home::open(home).expect("a home"), options).await.expect("opens").0
}

async fn balance(horizon: &Horizon, account: Address) -> u64 {
    horizon.account(account).await.expect("asked").map_or(0, |account| account.balance.0)
}

/// What an escrow owes in all by these verdicts and the farmer's revisions.
async fn owed(verdicts: &[Judgement], farmer: &Store, funding: &Funding, plan: &Plan) -> Amount {
    let spans = farmer.funds().spans(funding.contract).await.expect("spans");
    let periods = Periods::of(plan, &funding.terms).expect("its periods are the contract's");
    let egress = farmer.funds().vouched(funding.contract).await.expect("vouchers");
    let account = Account { terms: &funding.terms, spans: &spans, verdicts, egress: &egress };
    account.owed_so_far(periods).expect("a sum")
}
