//! Whom an owner chooses by their prices, and what it is told first.

use hayloft_core::Amount;
use hayloft_ledger::{Ledger, LedgerOptions};

use super::bed::{Bed, base, noise};
use crate::{
    Clock, Node, NodeOptions,
    model::{ApiError, ErrorCode, FarmSettings, PresetName, PutRequest, Quote, SpendingLimits},
};

const PRICE: u64 = 1_000_000_000_000;
const BYTES: usize = 4 << 20;
const MONTH_SECONDS: u64 = 30 * 24 * 60 * 60;

/// An owner, and farmers at these prices.
struct Market {
    bed: Bed,
    request: PutRequest,
    _farmers: Vec<Node>,
    _ledger: (tempfile::TempDir, Ledger),
}

fn farm(storage_price: u64) -> FarmSettings {
    FarmSettings { enabled: true, quota_bytes: 1 << 30, storage_price, ..FarmSettings::default() }
}

impl Market {
    /// Where two copies are kept.
    async fn of(prices: &[u64]) -> Self {
        let folder = tempfile::tempdir().expect("a temp folder can be made");
        let ledger = LedgerOptions::new(folder.path().join("ledger"));
        let ledger = Ledger::start(ledger).await.expect("a ledger");
        let options = NodeOptions { ledger: Some(ledger.url().to_owned()), ..base(Clock::system()) };
        let bed = Bed::planted(folder.path(), 0, options.clone(), None).await;
        let bootstrap = bed.node.status().await.expect("a status").addresses;
        let mut farmers = Vec::new();
        for (number, price) in prices.iter().enumerate() {
            let home = folder.path().join(format!("at-{number}"));
            let bootstrap = bootstrap.clone();
            let farmer = NodeOptions { home, bootstrap, farm: Some(farm(*price)), ..options.clone() };
            farmers.push(Node::open(farmer).await.expect("opens"));
        }
        bed.see_farmers(prices.len() as u32).await;
        let path = bed.file("film", &noise(7, BYTES));
        let request = PutRequest { preset: PresetName::Economy, ..bed.request(path) };
        Self { bed, request, _farmers: farmers, _ledger: (folder, ledger) }
    }

    /// The most that the owner would pay for a TB-month.
    async fn limit(&self, price: Option<u64>) {
        let limits = SpendingLimits { price, ..SpendingLimits::default() };
        self.bed.node.wallet_limits(limits).await.expect("set");
    }

    async fn quote(&self) -> Result<Quote, ApiError> {
        self.bed.node.quote(self.request.clone()).await
    }

    /// A quote for two copies at this price.
    async fn is_quoted(&self, price: u64) {
        let quote = self.quote().await.expect("a quote");
        assert_eq!((quote.n, quote.monthly_price), (2, monthly(price, quote.stored_bytes)));
        assert!(quote.locked > quote.reserves && quote.reserves > 0);
    }
}

fn monthly(price: u64, stored_bytes: u64) -> u64 {
    Amount(price).for_storage(stored_bytes, MONTH_SECONDS).expect("an amount").0
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dearest_stranger_sets_no_price_where_others_are_enough() {
    Market::of(&[PRICE, 1000 * PRICE, PRICE / 2]).await.is_quoted(PRICE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_more_than_the_owner_would_pay_is_not_chosen() {
    let market = Market::of(&[3 * PRICE, 2 * PRICE]).await;
    market.is_quoted(3 * PRICE).await;
    market.limit(Some(2 * PRICE)).await;
    let quote = market.quote().await.expect("a quote");
    assert_eq!((quote.n, quote.monthly_price), (1, monthly(2 * PRICE, quote.stored_bytes)));
    market.limit(Some(PRICE)).await;
    let refused = market.quote().await.expect_err("nobody is cheap enough");
    assert_eq!(refused.code, ErrorCode::NotEnoughFarmers);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_draws_nobody_dearer_than_its_owner_agreed_to() {
    let market = Market::of(&[0, PRICE]).await;
    let quote = market.quote().await.expect("a quote");
    assert_eq!((quote.n, quote.price), (2, PRICE));
    let agreed = PutRequest { price: Some(0), ..market.request.clone() };
    let reports = market.bed.put(agreed).await.expect("for free");
    assert_eq!(reports[0].n, 1, "the dear one is left out");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_that_nobody_keeps_to_any_more_is_told_as_such() {
    let market = Market::of(&[PRICE, 2 * PRICE]).await;
    let at = async |price| {
        let agreed = PutRequest { price: Some(price), ..market.request.clone() };
        market.bed.node.quote(agreed).await
    };
    let cheap = at(PRICE).await.expect("one keeps to it");
    assert_eq!((cheap.n, cheap.price), (1, PRICE));
    let refused = at(PRICE - 1).await.expect_err("nobody does");
    assert_eq!(refused.code, ErrorCode::NotEnoughFarmers);
    assert!(refused.message.contains("more than the price that you agreed to"), "{}", refused.message);
}
