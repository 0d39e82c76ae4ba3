//! The wallet: one account, what it holds told apart, and sending from it.
//!
//! Invariants: its key leaves it only as signatures; everything that it sends goes through the [`Outbox`], which keeps
//! the spending limits.

mod history;

use hayloft_core::{
    Amount, Timestamp,
    keys::StellarKey,
    spending::{self, Limits},
};
use hayloft_store::outbox::{EscrowRow, OutboxError};
pub use hayloft_store::outbox::{EscrowState, Fate, Role};

pub use history::{Entry, Kind, csv};

use crate::{
    Address, Draft, Horizon, HorizonError, Network,
    envelope::{Do, MAX_MEMO_BYTES, Memo, Signed, Step, Window},
    escrow::{Fault, Plan, PlanError, look, recovery},
    horizon::Page,
    outbox::{Outbox, Purpose, SendError},
};

/// How long a transaction may take to get into a ledger.
pub const PATIENCE_SECONDS: u64 = 180;
/// A step never costs more than this many times the least fee.
const FEE_FACTOR: u64 = 100;

/// What an account holds, told apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Can be spent.
    pub free: Amount,
    /// Locked by the network for what the account keeps.
    pub reserved: Amount,
}

/// Why something was not sent.
#[derive(Debug, thiserror::Error)]
pub enum WalletError {
    /// Nothing, or more than a ledger can count.
    #[error("this amount cannot be sent")]
    BadAmount,
    /// To itself.
    #[error("this is the wallet's own address")]
    ToItself,
    /// There is no such account.
    #[error("there is no account at that address: look for a mistake in it")]
    NoDestination,
    /// Its holder, such as an exchange, tells payments apart by their memo.
    #[error("whoever holds that address only takes payments with a memo")]
    MemoRequired,
    /// Too long.
    #[error("a memo has at most {MAX_MEMO_BYTES} bytes")]
    LongMemo,
    /// Too little is free.
    #[error("only {free} are free, and {needed} are needed")]
    TooLittle {
        /// What is free.
        free: Amount,
        /// What it would take, fee included.
        needed: Amount,
    },
    /// The escrow's plan is none.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The escrow is not as planned.
    #[error(transparent)]
    Escrow(#[from] Fault),
    /// A settlement that nobody else signed, or more than one.
    #[error("the settlement is not signed by exactly one of the two others")]
    NotCosigned,
    /// It was not handed in.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The ledger cannot be asked.
    #[error(transparent)]
    Horizon(#[from] HorizonError),
}

impl From<hayloft_store::DatabaseError> for WalletError {
    fn from(error: hayloft_store::DatabaseError) -> Self {
        Self::Send(error.into())
    }
}

/// A wallet. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Wallet {
    key: StellarKey,
    outbox: Outbox,
}

impl Wallet {
    /// The wallet of this key.
    pub fn new(key: StellarKey, outbox: Outbox) -> Self {
        Self { key, outbox }
    }

    /// Where it is paid.
    pub fn address(&self) -> Address {
        Address::of(&self.key)
    }

    /// Where its transactions go.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    fn horizon(&self) -> &Horizon {
        self.outbox.horizon()
    }

    fn network(&self) -> &Network {
        self.outbox.network()
    }

    /// Adds its signature to what was found to be right.
    pub fn sign(&self, signed: Signed) -> Signed {
        signed.signed(&self.key, self.network())
    }

    /// What it holds; nothing while its account does not exist.
    ///
    /// # Errors
    /// The ledger cannot be asked.
    pub async fn holdings(&self) -> Result<Holdings, HorizonError> {
        let newest = self.horizon().newest_ledger().await?;
        let Some(account) = self.horizon().account(self.address()).await? else {
            return Ok(Holdings::default());
        };
        let free = account.free(newest.base_reserve);
        Ok(Holdings { free, reserved: Amount(account.balance.0 - free.0) })
    }

    /// Has the account created, where lumens are given away. Nothing is done if it exists.
    ///
    /// # Errors
    /// The ledger cannot be asked, or gives nothing.
    pub async fn fund(&self) -> Result<(), HorizonError> {
        if self.horizon().account(self.address()).await?.is_some() {
            return Ok(());
        }
        match self.horizon().befriend(self.address()).await {
            // Another device of this owner may have been first.
            Err(error) => match self.horizon().account(self.address()).await? {
                Some(_) => Ok(()),
                None => Err(error),
            },
            Ok(()) => Ok(()),
        }
    }

    /// What a step may cost now.
    ///
    /// # Errors
    /// The ledger cannot be asked.
    pub async fn step_fee(&self) -> Result<Amount, HorizonError> {
        let fees = self.horizon().fees().await?;
        Ok(Amount(fees.usual.0.clamp(fees.base.0, fees.base.0.saturating_mul(FEE_FACTOR))))
    }

    /// Sends lumens to an account that exists.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn send(
        &self,
        to: Address,
        amount: Amount,
        memo: Option<&str>,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<Fate, WalletError> {
        if amount.0 == 0 || i64::try_from(amount.0).is_err() {
            return Err(WalletError::BadAmount);
        }
        if to == self.address() {
            return Err(WalletError::ToItself);
        }
        let memo = memo.filter(|memo| !memo.is_empty());
        if memo.is_some_and(|memo| memo.len() > MAX_MEMO_BYTES) {
            return Err(WalletError::LongMemo);
        }
        let destination = self.horizon().account(to).await?.ok_or(WalletError::NoDestination)?;
        if destination.memo_required && memo.is_none() {
            return Err(WalletError::MemoRequired);
        }
        let step = Step { by: None, deed: Do::Pay { to, amount } };
        let text = memo.map_or(Memo::None, |memo| Memo::Text(memo.to_owned()));
        let draft = Draft { memo: text, ..self.draft(vec![step], now).await? };
        let purpose = Purpose::Sent { to, memo: memo.map(str::to_owned) };
        self.hand_in(draft.unsigned(), &purpose, limits, now).await
    }

    /// A transaction of this account, not yet signed.
    async fn draft(&self, steps: Vec<Step>, now: Timestamp) -> Result<Draft, WalletError> {
        let fee = self.step_fee().await?.0.saturating_mul(steps.len() as u64);
        Ok(Draft {
            source: self.address(),
            sequence: self.outbox.next_sequence(self.address()).await?,
            fee: u32::try_from(fee).unwrap_or(u32::MAX),
            window: Window::until(now.plus_seconds(PATIENCE_SECONDS)),
            memo: Memo::None,
            steps,
        })
    }

    /// Whether what is to be locked is free now, and what counts of it as spent is within the limits; fees aside.
    ///
    /// # Errors
    /// [`WalletError::TooLittle`], or which limit it would pass.
    pub async fn can_lock(
        &self,
        locked: Amount,
        spends: Amount,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<(), WalletError> {
        let free = self.holdings().await?.free;
        if free < locked {
            return Err(WalletError::TooLittle { free, needed: locked });
        }
        let spent = self.outbox.rows().spent(now).await?;
        let allowed = spending::allow(limits, &spent, spends);
        Ok(allowed.map_err(|over| SendError::from(OutboxError::from(over)))?)
    }

    /// Signs and hands in; refused before if too little is free.
    async fn hand_in(
        &self,
        unsigned: Signed,
        purpose: &Purpose,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<Fate, WalletError> {
        let draft = unsigned.draft();
        let needed = Amount(draft.spends().0.saturating_add(draft.fee.into()));
        let free = self.holdings().await?.free;
        if free < needed {
            return Err(WalletError::TooLittle { free, needed });
        }
        Ok(self.outbox.send(&self.sign(unsigned), purpose, limits, now).await?)
    }

    /// Sets an escrow up. `key` is its own key, made for this alone. The plan is kept before anything is handed in.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn set_up(
        &self,
        plan: &Plan,
        key: &StellarKey,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<Fate, WalletError> {
        plan.check()?;
        let fee = self.step_fee().await?;
        let until = now.plus_seconds(PATIENCE_SECONDS);
        let signed = plan.setup_signed_by_escrow(key, self.network(), fee, until);
        let needed = signed.draft().spends().0.saturating_add(plan.locks().0 + u64::from(signed.draft().fee));
        let free = self.holdings().await?.free;
        if free.0 < needed {
            return Err(WalletError::TooLittle { free, needed: Amount(needed) });
        }
        self.keep(plan, Role::Owner, EscrowState::Expected).await?;
        crash_point!(EscrowKept);
        let purpose = Purpose::Setup { escrow: plan.escrow };
        let fate = self.outbox.send(&self.sign(signed), &purpose, limits, now).await?;
        if matches!(fate, Fate::Applied { .. }) {
            self.keep(plan, Role::Owner, EscrowState::Seen).await?;
        }
        Ok(fate)
    }

    /// Keeps an escrow that this node has a part in.
    ///
    /// # Errors
    /// The store's.
    pub async fn keep(&self, plan: &Plan, role: Role, state: EscrowState) -> Result<(), WalletError> {
        let row = EscrowRow { account: plan.escrow.0, plan: encode(plan), role, state };
        Ok(self.outbox.rows().keep_escrow(&row).await?)
    }

    /// The escrows that this node has or had a part in.
    ///
    /// # Errors
    /// The store's.
    pub async fn escrows(&self) -> Result<Vec<(Plan, Role, EscrowState)>, WalletError> {
        let rows = self.outbox.rows().escrows().await?;
        let read = |row: EscrowRow| Some((decode(&row.plan)?, row.role, row.state));
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// Brings the books in line with the ledger after a start or a doubt: asks what came of every open transaction, and of
    /// every escrow that was begun. One is over only when the ledger shows that its setup can no longer get in and nothing is
    /// locked for it: then its money never left. While it is not known what came of its setup, nothing else is either.
    ///
    /// # Errors
    /// [`WalletError`]; what was brought in line stays so.
    pub async fn reconcile(&self) -> Result<(), WalletError> {
        self.outbox.resume().await?;
        let open = self.outbox.rows().open().await?;
        let open: Vec<Purpose> =
            open.iter().filter_map(|row| Purpose::decode(&row.row.purpose).ok()).collect();
        for (plan, role, state) in self.escrows().await? {
            let is_open = open.contains(&Purpose::Setup { escrow: plan.escrow });
            if role != Role::Owner || state != EscrowState::Expected || is_open {
                continue;
            }
            // Asked before E is looked for: a setup that got in until then is seen.
            let may_come = self.may_set_up(&plan).await?;
            let state = match look(self.horizon(), self.network(), &plan).await? {
                Err(Fault::Missing) if may_come => continue,
                Err(Fault::Missing) if !self.is_locked(&plan).await? => EscrowState::Over,
                Ok(_) | Err(_) => EscrowState::Seen,
            };
            self.keep(&plan, role, state).await?;
        }
        Ok(())
    }

    /// Whether a plan's setup can still get into a ledger.
    async fn may_set_up(&self, plan: &Plan) -> Result<bool, HorizonError> {
        let newest = self.horizon().newest_ledger().await?.number;
        let account = self.horizon().account(plan.owner).await?;
        let is_free = account.is_none_or(|account| account.sequence < plan.setup_sequence);
        Ok(is_free && newest < plan.merge_ledger)
    }

    /// Whether the ledger holds anything for a period of a plan.
    async fn is_locked(&self, plan: &Plan) -> Result<bool, HorizonError> {
        for period in 0..plan.periods() {
            if self.horizon().balance(plan.balance(period)).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Hands in a settlement that two of three have signed with this wallet.
    ///
    /// # Errors
    /// [`WalletError::NotCosigned`] unless somebody else's signature is right.
    pub async fn hand_in_settlement(
        &self,
        plan: &Plan,
        through: u32,
        cosigned: Signed,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<Fate, WalletError> {
        let others = [plan.owner, plan.farmer, plan.auditor].into_iter().filter(|who| *who != self.address());
        let right = others.filter(|who| cosigned.is_signed_by(*who, self.network())).count();
        if right != 1 || cosigned.signatures() != 1 {
            return Err(WalletError::NotCosigned);
        }
        let purpose = Purpose::Settlement { escrow: plan.escrow, through };
        Ok(self.outbox.send(&self.sign(cosigned), &purpose, limits, now).await?)
    }

    /// Takes back what of an escrow nobody settled in time. None if there is nothing to take.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn recover(
        &self,
        plan: &Plan,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<Option<Fate>, WalletError> {
        let mut open = std::collections::BTreeSet::new();
        for period in (0..plan.periods()).filter(|period| plan.recovers(*period) <= now) {
            if self.horizon().balance(plan.balance(period)).await?.is_some() {
                open.insert(period);
            }
        }
        let Some(steps) = recovery(plan, &open, now) else { return Ok(None) };
        let draft = self.draft(steps, now).await?;
        let purpose = Purpose::Recovery { escrow: plan.escrow };
        self.hand_in(draft.unsigned(), &purpose, limits, now).await.map(Some)
    }

    /// What is locked in escrows that this wallet pays into, reserves included.
    ///
    /// # Errors
    /// The ledger or the store cannot be asked.
    pub async fn in_escrow(&self) -> Result<Amount, WalletError> {
        let mut sum = 0u64;
        for (plan, role, state) in self.escrows().await? {
            if role != Role::Owner || state == EscrowState::Over {
                continue;
            }
            if let Ok(standing) = look(self.horizon(), self.network(), &plan).await? {
                let of = |period: &u32| plan.amounts.get(*period as usize).map_or(0, |amount| amount.0);
                sum = sum.saturating_add(standing.open.iter().map(of).sum::<u64>());
                sum = sum.saturating_add(plan.reserve().0);
            }
        }
        Ok(Amount(sum))
    }

    /// What happened to the account, as far as this page of its payments goes, each with what it was for.
    ///
    /// # Errors
    /// The ledger or the store cannot be asked.
    pub async fn history(&self, page: &Page) -> Result<Vec<Entry>, WalletError> {
        Ok(self.history_page(page).await?.0)
    }

    /// The same, and the page that follows; none after the last.
    ///
    /// # Errors
    /// As [`Wallet::history`].
    pub async fn history_page(&self, page: &Page) -> Result<(Vec<Entry>, Option<Page>), WalletError> {
        let records = self.horizon().payments(self.address(), page).await?;
        let next = page.after(&records);
        let escrows = self.escrows().await?;
        let mut entries = Vec::with_capacity(records.len());
        for record in &records {
            let row = self.outbox.rows().get(&record.transaction).await?;
            let purpose = row.and_then(|row| Purpose::decode(&row.row.purpose).ok());
            entries.extend(history::entry(self.address(), record, purpose, &escrows));
        }
        Ok((entries, next))
    }
}

const PLAN_VERSION: u8 = 1;
const PLAN_BYTES: usize = 8192;

/// A plan as it is kept and told.
pub fn encode(plan: &Plan) -> Vec<u8> {
    hayloft_core::codec::encode(PLAN_VERSION, plan)
}

/// A plan that came from somewhere else, such as a store or another node; only one that can be a plan is given.
pub fn decode(bytes: &[u8]) -> Option<Plan> {
    let plan: Plan = hayloft_core::codec::decode(PLAN_VERSION, bytes, PLAN_BYTES).ok()?;
    plan.check().ok().map(|()| plan)
}
