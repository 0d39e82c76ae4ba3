//! What people ask of the wallet: what it holds, what happened, sending, and bringing an account here.

use hayloft_core::{Amount, keys::StellarKey, spending::Limits};
use hayloft_payments::{
    Address,
    address::parse_secret,
    horizon::{Order, Page},
    wallet::{Entry, EscrowState, Fate, Kind, Role, csv},
};

use super::{Money, MoneyError, Most};
use crate::{
    errors::sentence,
    model::{
        self, ApiError, Earning, EntryKind, Payout, Recipient, SendReport, SendRequest, SendState,
        SpendingLimits, WalletEntry, WalletStatus,
    },
    owner::lock,
};

/// Payments shown: pages of 200, the newest first.
const SHOWN_PAGES: usize = 5;
/// Payments in a table: pages of 200.
const TABLE_PAGES: usize = 250;

impl Money {
    /// The wallet with all that is told apart.
    ///
    /// # Errors
    /// [`ApiError`] if there is no ledger, it does not answer, or the wallet is locked.
    pub(crate) async fn show(&self) -> Result<model::Wallet, ApiError> {
        Ok(self.shown().await?)
    }

    async fn shown(&self) -> Result<model::Wallet, MoneyError> {
        let wallet = self.wallet().await?;
        let horizon = wallet.outbox().horizon();
        let holdings = wallet.holdings().await?;
        let payout = self.other_payout(&wallet, wallet.outbox())?;
        let payout = match payout {
            None => None,
            Some(payout) => {
                let free = payout.holdings().await?.free.0;
                Some(Payout { address: payout.address().to_string(), free })
            }
        };
        let escrows = self.escrows(wallet.outbox()).await?;
        let of = |role, part: fn(&model::Escrow) -> u64| {
            escrows.iter().filter(|escrow| escrow.role == role).map(part).fold(0, u64::saturating_add)
        };
        let owed = of(model::EscrowRole::Owner, |escrow| escrow.owed)
            .saturating_add(of(model::EscrowRole::Farmer, |escrow| escrow.owed));
        let status = WalletStatus {
            network: self.inner.network.to_string(),
            address: wallet.address().to_string(),
            free: holdings.free.0.saturating_add(payout.as_ref().map_or(0, |payout| payout.free)),
            escrow: of(model::EscrowRole::Owner, |escrow| escrow.locked + escrow.reserve),
            owed,
            paid: of(model::EscrowRole::Owner, |escrow| escrow.paid),
            earned: of(model::EscrowRole::Farmer, |escrow| escrow.paid),
        };
        let exists = horizon.account(wallet.address()).await?.is_some();
        let spent = self.inner.store.outbox().spent(self.inner.clock.now()).await?;
        let problem = lock(&self.inner.problem).clone();
        Ok(model::Wallet {
            status,
            reserved: holdings.reserved.0,
            exists,
            payout,
            gives: self.inner.link.gives(),
            limits: shown_limits(self.most()),
            spent: model::Spent { today: spent.today.0, in_all: spent.in_all.0 },
            safe_until: self.safe_until().await?.map(|at| at.0),
            problem,
            escrows,
        })
    }

    /// Has the account created, where lumens are given away.
    ///
    /// # Errors
    /// [`ApiError`] if nothing is given, or the ledger does not answer.
    pub(crate) async fn fund(&self) -> Result<model::Wallet, ApiError> {
        let wallet = self.wallet().await?;
        wallet.fund().await.map_err(MoneyError::from)?;
        self.show().await
    }

    /// Sends lumens to an account that exists.
    ///
    /// # Errors
    /// [`ApiError`]; nothing was sent then.
    pub(crate) async fn send(&self, request: &SendRequest) -> Result<SendReport, ApiError> {
        let to = read_address(&request.to)?;
        let wallet = self.wallet().await?;
        let from = match self.other_payout(&wallet, wallet.outbox())? {
            Some(payout) if request.from_payout => payout,
            None if request.from_payout => {
                return Err(ApiError::bad_request(
                    "This home has no account of its own for what farming earns: leave that out.",
                ));
            }
            _ => wallet,
        };
        let now = self.inner.clock.now();
        let sent = from.send(to, Amount(request.amount), request.memo.as_deref(), &self.limits(), now).await;
        let fate = sent.map_err(MoneyError::from)?;
        self.inner.wake.notify_one();
        Ok(report(fate))
    }

    /// What is known of an address before anything is sent there.
    ///
    /// # Errors
    /// [`ApiError`] if it is none, or the ledger does not answer.
    pub(crate) async fn look_up(&self, address: &str) -> Result<Recipient, ApiError> {
        let wallet = self.wallet().await?;
        let address = read_address(address)?;
        let account = wallet.outbox().horizon().account(address).await.map_err(MoneyError::from)?;
        Ok(Recipient {
            exists: account.is_some(),
            memo_required: account.is_some_and(|account| account.memo_required),
            own: address == wallet.address(),
            fee: wallet.step_fee().await.map_err(MoneyError::from)?.0,
        })
    }

    /// What farming earned, payment by payment, the oldest first.
    ///
    /// # Errors
    /// As [`Money::history`].
    pub(crate) async fn earnings(&self) -> Result<Vec<Earning>, ApiError> {
        let mut total = 0u64;
        let mut earnings = Vec::new();
        for entry in self.entries(Order::OldestFirst, TABLE_PAGES).await? {
            if let (Kind::Earned, Some(amount)) = (&entry.kind, entry.amount) {
                total = total.saturating_add(amount.0);
                earnings.push(Earning { at: entry.at.0, amount: amount.0, total });
            }
        }
        Ok(earnings)
    }

    /// What happened, the newest first.
    ///
    /// # Errors
    /// [`ApiError`] if the ledger does not answer, or the wallet is locked.
    pub(crate) async fn history(&self) -> Result<Vec<WalletEntry>, ApiError> {
        let entries = self.entries(Order::NewestFirst, SHOWN_PAGES).await?;
        let known = self.inner.store.funds().list(None).await.map_err(MoneyError::from)?;
        let contract = |with: Address| {
            known.iter().find(|known| known.escrow.account == with.0).map(|known| known.contract.to_string())
        };
        Ok(entries.iter().map(|one| WalletEntry { contract: contract(one.with), ..entry(one) }).collect())
    }

    /// All that happened, the oldest first, as comma-separated values.
    ///
    /// # Errors
    /// As [`Money::history`].
    pub(crate) async fn table(&self) -> Result<String, ApiError> {
        Ok(csv(&self.entries(Order::OldestFirst, TABLE_PAGES).await?))
    }

    async fn entries(&self, order: Order, pages: usize) -> Result<Vec<Entry>, MoneyError> {
        let wallet = self.wallet().await?;
        let accounts = [Some(wallet.clone()), self.other_payout(&wallet, wallet.outbox())?];
        let mut all = Vec::new();
        for account in accounts.iter().flatten() {
            let mut page = Page { order, ..Page::default() };
            for _ in 0..pages {
                let (entries, next) = account.history_page(&page).await?;
                all.extend(entries);
                match next {
                    Some(next) => page = next,
                    None => break,
                }
            }
        }
        match order {
            Order::OldestFirst => all.sort_by_key(|entry| entry.at),
            Order::NewestFirst => all.sort_by_key(|entry| std::cmp::Reverse(entry.at)),
        }
        Ok(all)
    }

    /// Makes an account that is there the wallet from now on. Refused while contracts are paid from the present one.
    ///
    /// # Errors
    /// [`ApiError`] if the secret is none, or money of the present wallet is locked.
    pub(crate) async fn bring(&self, secret: &str) -> Result<String, ApiError> {
        let key: StellarKey =
            parse_secret(secret).map_err(|error| ApiError::bad_request(sentence(&error)))?;
        let rows = self.inner.store.outbox();
        let escrows = rows.escrows().await.map_err(MoneyError::from)?;
        let open = rows.open().await.map_err(MoneyError::from)?;
        let pays = escrows.iter().any(|row| row.role == Role::Owner && row.state != EscrowState::Over);
        if pays || !open.is_empty() {
            return Err(ApiError::bad_request(
                "Contracts are paid from the present wallet, or a payment is under way. Wait until they are over.",
            ));
        }
        self.inner.store.home().keep_wallet_secret(key.expose()).map_err(MoneyError::from)?;
        let address = Address::of(&key).to_string();
        lock(&self.inner.keys).brought = Some(key);
        self.inner.wake.notify_one();
        Ok(address)
    }
}

fn read_address(text: &str) -> Result<Address, ApiError> {
    text.trim().parse().map_err(|error| ApiError::bad_request(sentence(&error)))
}

/// Limits as front ends see them.
pub(crate) fn shown_limits(most: Most) -> SpendingLimits {
    let stroops = |limit: Option<Amount>| limit.map(|limit| limit.0);
    let spending = most.spending;
    SpendingLimits {
        per_day: stroops(spending.per_day),
        in_all: stroops(spending.in_all),
        price: stroops(most.price),
    }
}

/// Limits as they are kept.
pub(crate) fn kept_limits(limits: SpendingLimits) -> Most {
    let spending = Limits { per_day: limits.per_day.map(Amount), in_all: limits.in_all.map(Amount) };
    Most { spending, price: limits.price.map(Amount) }
}

fn shown_kind(kind: &Kind) -> EntryKind {
    match kind {
        Kind::Funded => EntryKind::Funded,
        Kind::Sent { .. } => EntryKind::Sent,
        Kind::Received => EntryKind::Received,
        Kind::Escrow => EntryKind::Escrow,
        Kind::Earned => EntryKind::Earned,
        Kind::Returned => EntryKind::Returned,
        Kind::Closed => EntryKind::Closed,
        Kind::Elsewhere => EntryKind::Elsewhere,
    }
}

fn report(fate: Fate) -> SendReport {
    let (state, reason) = match fate {
        Fate::Applied { .. } => (SendState::Done, None),
        Fate::Open => (SendState::UnderWay, None),
        Fate::Failed { reason, .. } | Fate::Void { reason } => (SendState::Failed, Some(sentence(&reason))),
    };
    SendReport { state, reason }
}

fn entry(entry: &Entry) -> WalletEntry {
    let memo = match &entry.kind {
        Kind::Sent { memo } => memo.clone(),
        _ => None,
    };
    WalletEntry {
        at: entry.at.0,
        kind: shown_kind(&entry.kind),
        incoming: entry.incoming,
        amount: entry.amount.map(|amount| amount.0),
        with: entry.with.to_string(),
        memo,
        contract: None,
        transaction: data_encoding::HEXLOWER.encode(&entry.transaction),
    }
}
