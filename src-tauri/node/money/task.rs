//! What is done on the ledger by itself, turn by turn: it is recognised, open payments are followed up, a new account is
//! funded where lumens are given away, and escrows are settled.
//!
//! A turn may be broken off anywhere: the outbox's rows say what is left to do.

use std::{sync::atomic::Ordering, time::Duration};

use hayloft_payments::{Wallet, horizon::anchor::Sign};
use tokio_util::sync::CancellationToken;

use super::{Money, MoneyError};
use crate::{errors::sentence, model::Event, owner::lock};

/// The pause between two turns while nothing is under way.
const QUIET: Duration = Duration::from_secs(600);
/// The pause after a turn that failed: each time twice as long, up to [`QUIET`].
const AGAIN: Duration = Duration::from_secs(2);
/// The pause while a payment is under way.
const UNDER_WAY: Duration = Duration::from_secs(2);

impl Money {
    /// Takes turns until the node stops; ends at once where there is no ledger.
    pub(crate) async fn run(self, stop: CancellationToken) {
        if !self.has_ledger() {
            return;
        }
        let mut again = AGAIN;
        let rounds = self.inner.clock.rounds();
        loop {
            let now = self.inner.clock.now();
            let Some(turn) = stop.run_until_cancelled(self.turn()).await else { return };
            let pause = match turn {
                Ok(pause) => {
                    again = AGAIN;
                    self.tell_problem(None);
                    pause
                }
                Err(error) => {
                    tracing::debug!(%error, "the ledger could not be used");
                    self.tell_problem(Some(sentence(&error)));
                    again = (2 * again).min(QUIET);
                    again
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.inner.wake.notified() => {}
                () = rounds.rest(now, pause) => {}
            }
        }
    }

    fn tell_problem(&self, problem: Option<String>) {
        let mut kept = lock(&self.inner.problem);
        if *kept != problem {
            *kept = problem;
            let _ = self.inner.events.send(Event::StatusChanged);
        }
    }

    /// One turn; how long until the next.
    async fn turn(&self) -> Result<Duration, MoneyError> {
        let found = self.inner.link.recognise().await?;
        let outbox = found.outbox;
        if let Some(sign) = found.anew {
            self.began_anew(&outbox, sign).await?;
        }
        let closed = outbox.resume().await?;
        if !closed.is_empty() {
            let _ = self.inner.events.send(Event::StatusChanged);
        }
        let wallet = match self.wallet_key() {
            Ok(key) => Some(Wallet::new(key, outbox.clone())),
            Err(MoneyError::Locked) => None,
            Err(error) => return Err(error),
        };
        let funds_itself = self.inner.wants_lumens.load(Ordering::SeqCst) && self.inner.link.gives();
        if let Some(wallet) = &wallet {
            wallet.reconcile().await?;
            if funds_itself {
                self.fund_once(wallet).await?;
            }
        }
        if funds_itself && self.inner.store.home().has_payout_secret() {
            self.fund_once(&Wallet::new(self.payout_key()?, outbox.clone())).await?;
        }
        let next = self.settle_all(&outbox).await?;
        let under_way = !outbox.rows().open().await?.is_empty();
        let now = self.inner.clock.now();
        let until = next.map_or(QUIET, |next| Duration::from_secs(next.seconds_since(now).max(1)));
        Ok(if under_way { UNDER_WAY } else { until.min(QUIET) })
    }

    async fn fund_once(&self, wallet: &Wallet) -> Result<(), MoneyError> {
        if wallet.outbox().horizon().account(wallet.address()).await?.is_some() {
            return Ok(());
        }
        wallet.fund().await?;
        let _ = self.inner.events.send(Event::StatusChanged);
        Ok(())
    }

    /// A ledger that began anew holds nothing of what was on it: escrows that stood there are over.
    async fn began_anew(&self, outbox: &hayloft_payments::Outbox, sign: Sign) -> Result<(), MoneyError> {
        tracing::warn!(%sign, "the ledger began anew");
        outbox.begin_anew().await?;
        self.inner.payouts.lock().await.clear();
        lock(&self.inner.seen).clear();
        lock(&self.inner.broken).clear();
        let notice = format!(
            "{} What was locked or paid there is gone with it. The wallet begins again, and new contracts are set up as \
             they are needed.",
            sentence(&sign)
        );
        let _ = self.inner.events.send(Event::Notice(notice));
        self.inner.anew.notify_one();
        Ok(())
    }
}
