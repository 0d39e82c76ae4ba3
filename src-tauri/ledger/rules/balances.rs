//! Finding claimable balances by age, claimant or sponsor, in the order in which Horizon lists them.

use std::{collections::BTreeSet, ops::Bound};

use stellar_base::xdr::{Claimant, ClaimantV0};

use super::entry::{AccountKey, Balance, BalanceKey, Entry, account_key};

/// Where a balance stands in lists: the ledger that made it, and its name.
pub type Place = (u32, BalanceKey);

/// Which balances are asked for.
#[derive(Debug, Clone, Copy)]
pub enum Filter {
    /// All.
    All,
    /// Those that an account may claim some day.
    Claimant(AccountKey),
    /// Those whose reserves an account holds.
    Sponsor(AccountKey),
}

/// The lists.
#[derive(Debug, Clone, Default)]
pub struct BalanceIndex {
    all: BTreeSet<Place>,
    claimants: BTreeSet<(AccountKey, Place)>,
    sponsors: BTreeSet<(AccountKey, Place)>,
}

fn claimants(balance: &Balance) -> impl Iterator<Item = AccountKey> {
    balance
        .claimants
        .iter()
        .map(|Claimant::ClaimantTypeV0(ClaimantV0 { destination, .. })| account_key(destination))
}

impl BalanceIndex {
    pub(super) fn add(&mut self, entry: &Entry) {
        let Entry::Balance(balance) = entry else { return };
        let place = (balance.modified, balance.key);
        self.all.insert(place);
        self.sponsors.insert((balance.sponsor, place));
        self.claimants.extend(claimants(balance).map(|claimant| (claimant, place)));
    }

    pub(super) fn remove(&mut self, entry: &Entry) {
        let Entry::Balance(balance) = entry else { return };
        let place = (balance.modified, balance.key);
        self.all.remove(&place);
        self.sponsors.remove(&(balance.sponsor, place));
        for claimant in claimants(balance) {
            self.claimants.remove(&(claimant, place));
        }
    }

    /// At most `limit` balances after a place, or before it if `newest_first`.
    pub fn page(
        &self,
        filter: Filter,
        cursor: Option<Place>,
        newest_first: bool,
        limit: usize,
    ) -> Vec<BalanceKey> {
        match filter {
            Filter::All => {
                let (from, to) = bounds(cursor, newest_first, (0, [0; 32]), (u32::MAX, [255; 32]));
                pick(self.all.range((from, to)), newest_first, limit).map(|(_, key)| *key).collect()
            }
            Filter::Claimant(account) => of_account(&self.claimants, account, cursor, newest_first, limit),
            Filter::Sponsor(account) => of_account(&self.sponsors, account, cursor, newest_first, limit),
        }
    }
}

fn of_account(
    set: &BTreeSet<(AccountKey, Place)>,
    account: AccountKey,
    cursor: Option<Place>,
    newest_first: bool,
    limit: usize,
) -> Vec<BalanceKey> {
    let cursor = cursor.map(|place| (account, place));
    let ends = ((account, (0, [0; 32])), (account, (u32::MAX, [255; 32])));
    let (from, to) = bounds(cursor, newest_first, ends.0, ends.1);
    pick(set.range((from, to)), newest_first, limit).map(|(_, (_, key))| *key).collect()
}

fn bounds<T>(cursor: Option<T>, newest_first: bool, first: T, last: T) -> (Bound<T>, Bound<T>) {
    match (cursor, newest_first) {
        (None, _) => (Bound::Included(first), Bound::Included(last)),
        (Some(at), false) => (Bound::Excluded(at), Bound::Included(last)),
        (Some(at), true) => (Bound::Included(first), Bound::Excluded(at)),
    }
}

fn pick<'a, T: 'a>(
    range: impl DoubleEndedIterator<Item = &'a T> + 'a,
    newest_first: bool,
    limit: usize,
) -> Box<dyn Iterator<Item = &'a T> + 'a> {
    if newest_first { Box::new(range.rev().take(limit)) } else { Box::new(range.take(limit)) }
}
