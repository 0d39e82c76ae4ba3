//! A ledger in this process that closes when a test says so.

use hayloft_core::{Amount, Timestamp, keys::StellarKey};
use hayloft_ledger::{Closing, Ledger, LedgerOptions};

use crate::{
    Address, Draft, Horizon, Network,
    envelope::{Do, Memo, Signed, Step, Window},
    horizon::{Account, HorizonOptions, Submission},
};

/// What friendbot gives, and all else is counted by.
pub(super) const BASE_FEE: u32 = 100;

pub(super) struct Bed {
    pub(super) ledger: Ledger,
    pub(super) horizon: Horizon,
    pub(super) network: Network,
    began: u64,
    _home: tempfile::TempDir,
}

pub(super) fn random_key() -> StellarKey {
    StellarKey::from_bytes(&rand::random())
}

impl Bed {
    pub(super) async fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let options =
            LedgerOptions { closing: Closing::ByHand, ..LedgerOptions::new(home.path().to_owned()) };
        let ledger = Ledger::start(options).await.unwrap();
        let horizon = Horizon::new(&HorizonOptions::local(ledger.url())).unwrap();
        let network = horizon.network().await.unwrap();
        let began = ledger.newest().1;
        ledger.set_time(Some(began));
        Self { ledger, horizon, network, began, _home: home }
    }

    /// Moves the clock so many seconds from the start, and closes a ledger then.
    pub(super) async fn at(&self, seconds: u64) {
        self.ledger.set_time(Some(self.began + seconds));
        self.ledger.close_ledger().await.unwrap();
    }

    pub(super) fn time(&self, seconds: u64) -> Timestamp {
        Timestamp(self.began + seconds)
    }

    /// Does what waits for the next ledger, and closes it as soon as something is handed in.
    pub(super) async fn closing<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = self.ledger.until_waiting(1) => drop(self.ledger.close_ledger().await.unwrap()),
            }
        }
    }

    /// An account with ten thousand lumens.
    pub(super) async fn party(&self) -> StellarKey {
        let key = random_key();
        self.closing(self.horizon.befriend(Address::of(&key))).await.unwrap();
        key
    }

    pub(super) async fn submit(&self, signed: &Signed) -> Submission {
        let hash = signed.draft().hash(&self.network);
        self.closing(self.horizon.submit(signed, &hash)).await.unwrap()
    }

    pub(super) async fn account(&self, address: Address) -> Account {
        self.horizon.account(address).await.unwrap().unwrap()
    }

    pub(super) async fn balance(&self, address: Address) -> Amount {
        self.horizon.account(address).await.unwrap().map_or(Amount(0), |account| account.balance)
    }

    /// The next transaction of an account, not yet signed.
    pub(super) async fn draft(&self, source: Address, steps: Vec<Step>) -> Draft {
        let sequence = self.account(source).await.sequence + 1;
        let fee = BASE_FEE * u32::try_from(steps.len()).unwrap();
        let window = Window::until(Timestamp(self.ledger.newest().1 + 300));
        Draft { source, sequence, fee, window, memo: Memo::None, steps }
    }

    /// Pays from one to another.
    pub(super) async fn pay(&self, from: &StellarKey, to: Address, amount: Amount) -> Submission {
        let step = Step { by: None, deed: Do::Pay { to, amount } };
        let draft = self.draft(Address::of(from), vec![step]).await;
        self.submit(&draft.unsigned().signed(from, &self.network)).await
    }
}
