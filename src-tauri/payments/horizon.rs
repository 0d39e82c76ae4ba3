//! A Horizon, at any address: what accounts hold, what happened to them, and taking transactions in.
//!
//! An answer is checked before anyone sees it: its length, its counts, each field, and that pages go on and never back.
//! Addresses of further pages are made here and never taken from an answer. Whatever goes wrong is one of
//! [`HorizonError`], also with a Horizon that lies, is silent, is slow or never ends.
//!
//! Deliberately absent: belief. Whether a payment counts is asked of the ledger by its hash; who signs what is decided
//! elsewhere, from one's own records.

pub mod anchor;
mod error;
mod http;
mod list;
mod records;
mod stream;
mod submit;

use std::time::Duration;

use reqwest::{StatusCode, Url};

pub use error::HorizonError;
pub use list::{Cursor, HasToken, MAX_LIMIT, Order, Page};
pub use records::{
    Account, BalanceId, ClaimableBalance, Claimant, Deed, Fees, LedgerRecord, Operation, Predicate, Root,
    Signer, Transaction,
};
pub use stream::Events;
pub use submit::{Codes, Submission};

use crate::{
    Address,
    network::{Kind, Network, test_network},
};
use list::Listing;

/// How long and how much is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For a connection.
    pub connect: Duration,
    /// For a whole answer.
    pub answer: Duration,
    /// For the answer to a transaction, which Horizon gives after its ledger or with a 504 of its own.
    pub submit: Duration,
    /// For a sign of life of an event stream.
    pub idle: Duration,
    /// For the first try to reconnect a stream; each further one waits twice as long, up to a minute.
    pub reconnect: Duration,
    /// Bytes of an answer.
    pub body_bytes: usize,
    /// Bytes of one event.
    pub event_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            submit: Duration::from_secs(90),
            idle: Duration::from_secs(60),
            reconnect: Duration::from_secs(1),
            body_bytes: 4 << 20,
            event_bytes: 256 << 10,
        }
    }
}

/// Where a Horizon is.
#[derive(Debug, Clone)]
pub struct HorizonOptions {
    /// Its address.
    pub url: String,
    /// Where new accounts get lumens; none where there is no such place.
    pub friendbot: Option<String>,
    /// Which kind of network it must belong to.
    pub kind: Kind,
    /// How patient to be.
    pub limits: Limits,
}

impl HorizonOptions {
    /// The test network.
    pub fn test_network() -> Self {
        Self {
            url: test_network::HORIZON.to_owned(),
            friendbot: Some(test_network::FRIENDBOT.to_owned()),
            kind: Kind::Test,
            limits: Limits::default(),
        }
    }

    /// A local ledger, which has a friendbot of its own.
    pub fn local(url: &str) -> Self {
        let url = url.trim_end_matches('/').to_owned();
        let friendbot = Some(format!("{url}/friendbot"));
        Self { url, friendbot, kind: Kind::Local, limits: Limits::default() }
    }
}

/// A client of one Horizon. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Horizon {
    http: reqwest::Client,
    base: Url,
    friendbot: Option<Url>,
    kind: Kind,
    limits: Limits,
}

impl Horizon {
    /// A client; nothing is asked yet.
    ///
    /// # Errors
    /// [`HorizonError::BadAddress`].
    pub fn new(options: &HorizonOptions) -> Result<Self, HorizonError> {
        let address = |text: &str| {
            let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
            url.filter(|url| !url.cannot_be_a_base()).ok_or(HorizonError::BadAddress)
        };
        let base = address(&options.url)?;
        let friendbot = options.friendbot.as_deref().map(address).transpose()?;
        let secure =
            [Some(&base), friendbot.as_ref()].into_iter().flatten().any(|url| url.scheme() == "https");
        // A redirect could lead to anybody; each answer is asked for where the settings say.
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(options.limits.connect)
            .user_agent(concat!("hayloft/", env!("CARGO_PKG_VERSION")));
        // Plain HTTP, to a ledger on this machine, needs no certificates and no proxy.
        let http = if secure { http.https_only(true) } else { http.no_proxy().tls_certs_only([]) };
        let http = http.build().map_err(HorizonError::Unreachable)?;
        Ok(Self { http, base, friendbot, kind: options.kind, limits: options.limits })
    }

    /// The root document.
    ///
    /// # Errors
    /// [`HorizonError`].
    pub async fn root(&self) -> Result<Root, HorizonError> {
        let answer = self.get(&[], &[]).await?;
        http::record(&answer, "root document").and_then(Root::read)
    }

    /// The network that it belongs to, if that is of the kind that was asked for.
    ///
    /// # Errors
    /// [`HorizonError::Network`] for the public network, or another than was asked for.
    pub async fn network(&self) -> Result<Network, HorizonError> {
        Ok(Network::new(&self.root().await?.passphrase, self.kind)?)
    }

    /// Its address, without what may be secret in it.
    pub fn place(&self) -> String {
        let mut place = self.base.clone();
        // A base has a host, so both can be taken away.
        let _ = (place.set_username(""), place.set_password(None));
        place.into()
    }

    /// Which kind of network it was told to belong to.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether accounts can be given lumens.
    pub fn has_friendbot(&self) -> bool {
        self.friendbot.is_some()
    }

    /// An account; none if it does not exist.
    ///
    /// # Errors
    /// [`HorizonError`].
    pub async fn account(&self, address: Address) -> Result<Option<Account>, HorizonError> {
        let found = self.find(&["accounts", &address.to_string()], "account").await?;
        let account = found.map(Account::read).transpose()?;
        match account {
            Some(account) if account.address != address => {
                Err(HorizonError::Rubbish { what: "account that was asked for" })
            }
            account => Ok(account),
        }
    }

    /// What fees are paid.
    ///
    /// # Errors
    /// [`HorizonError`].
    pub async fn fees(&self) -> Result<Fees, HorizonError> {
        let answer = self.get(&["fee_stats"], &[]).await?;
        http::record(&answer, "list of fees").and_then(Fees::read)
    }

    /// A closed ledger; none if there is none of that number here.
    ///
    /// # Errors
    /// [`HorizonError`].
    pub async fn ledger(&self, number: u32) -> Result<Option<LedgerRecord>, HorizonError> {
        let found = self.find(&["ledgers", &number.to_string()], "ledger").await?;
        match found.map(LedgerRecord::read).transpose()? {
            Some(ledger) if ledger.number != number => {
                Err(HorizonError::Rubbish { what: "ledger that was asked for" })
            }
            ledger => Ok(ledger),
        }
    }

    /// The newest ledger.
    ///
    /// # Errors
    /// [`HorizonError`].
    pub async fn newest_ledger(&self) -> Result<LedgerRecord, HorizonError> {
        let page = self.ledgers(&Page { order: Order::NewestFirst, limit: 1, ..Page::default() }).await?;
        page.into_iter().next().ok_or(HorizonError::Rubbish { what: "newest ledger" })
    }

    /// A transaction that is in a ledger, successful or failed; none if there is none of that hash.
    ///
    /// # Errors
    /// [`HorizonError`].
    pub async fn transaction(&self, hash: &[u8; 32]) -> Result<Option<Transaction>, HorizonError> {
        let name = data_encoding::HEXLOWER.encode(hash);
        let found = self.find(&["transactions", &name], "transaction").await?;
        match found.map(Transaction::read).transpose()? {
            Some(transaction) if transaction.hash != *hash => {
                Err(HorizonError::Rubbish { what: "transaction that was asked for" })
            }
            transaction => Ok(transaction),
        }
    }

    /// A claimable balance; none if it is claimed or never was.
    ///
    /// # Errors
    /// [`HorizonError`].
    pub async fn balance(&self, id: BalanceId) -> Result<Option<ClaimableBalance>, HorizonError> {
        let found = self.find(&["claimable_balances", &id.to_string()], "claimable balance").await?;
        match found.map(ClaimableBalance::read).transpose()? {
            Some(balance) if balance.id != id => {
                Err(HorizonError::Rubbish { what: "balance that was asked for" })
            }
            balance => Ok(balance),
        }
    }

    /// A page of ledgers.
    ///
    /// # Errors
    /// [`HorizonError`].
    pub async fn ledgers(&self, page: &Page) -> Result<Vec<LedgerRecord>, HorizonError> {
        self.list(&["ledgers"], &[], page).await
    }

    /// A page of what concerns an account, failed transactions included.
    ///
    /// # Errors
    /// [`HorizonError`].
    pub async fn transactions(&self, of: Address, page: &Page) -> Result<Vec<Transaction>, HorizonError> {
        self.list(&["accounts", &of.to_string(), "transactions"], &[("include_failed", "true")], page).await
    }

    /// A page of the operations that concern an account and took effect.
    ///
    /// # Errors
    /// [`HorizonError`].
    pub async fn operations(&self, of: Address, page: &Page) -> Result<Vec<Operation>, HorizonError> {
        self.list(&["accounts", &of.to_string(), "operations"], &[], page).await
    }

    /// A page of the operations that moved money to or from an account.
    ///
    /// # Errors
    /// [`HorizonError`].
    pub async fn payments(&self, of: Address, page: &Page) -> Result<Vec<Operation>, HorizonError> {
        self.list(&["accounts", &of.to_string(), "payments"], &[], page).await
    }

    /// A page of the balances that an account may claim, now or later.
    ///
    /// # Errors
    /// [`HorizonError`].
    pub async fn balances(
        &self,
        claimant: Address,
        page: &Page,
    ) -> Result<Vec<ClaimableBalance>, HorizonError> {
        self.list(&["claimable_balances"], &[("claimant", &claimant.to_string())], page).await
    }

    /// Each payment to or from an account after the cursor, as it happens.
    pub fn payment_events(&self, of: Address, after: Cursor) -> Events<Operation> {
        let path = ["accounts".to_owned(), of.to_string(), "payments".to_owned()];
        Events::new(self.clone(), path.to_vec(), after)
    }

    /// Each ledger after the cursor, as it closes.
    pub fn ledger_events(&self, after: Cursor) -> Events<LedgerRecord> {
        Events::new(self.clone(), vec!["ledgers".to_owned()], after)
    }

    /// Has friendbot create the account.
    ///
    /// # Errors
    /// [`HorizonError::NoFriendbot`], [`HorizonError::Refused`] when it exists already.
    pub async fn befriend(&self, address: Address) -> Result<(), HorizonError> {
        let mut url = self.friendbot.clone().ok_or(HorizonError::NoFriendbot)?;
        url.query_pairs_mut().append_pair("addr", &address.to_string());
        let answer = self.exchange(self.http.get(url), self.limits.submit).await?;
        match answer.status {
            status if status.is_success() => Ok(()),
            StatusCode::GATEWAY_TIMEOUT => Err(HorizonError::Silent),
            _ => Err(answer.refusal()),
        }
    }

    async fn list<T: Listing>(
        &self,
        path: &[&str],
        extra: &[(&str, &str)],
        page: &Page,
    ) -> Result<Vec<T>, HorizonError> {
        let mut query = page.query();
        query.extend(extra.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let query: Vec<(&str, &str)> = query.iter().map(|(name, value)| (&**name, &**value)).collect();
        let answer = self.get(path, &query).await?;
        list::read(&answer, page)
    }
}
