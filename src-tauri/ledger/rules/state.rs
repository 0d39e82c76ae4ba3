//! The state after a ledger, and the draft of the next one.
//!
//! Invariant: a draft never touches the state under it, and [`Draft::undo`] takes back exactly what was done since its
//! mark, so that a failed operation or transaction leaves nothing behind.

use std::{collections::BTreeMap, ops::Bound};

use stellar_base::xdr::{DataValue, LedgerHeader, String64};

use super::{
    balances::BalanceIndex,
    entry::{Account, AccountKey, Balance, BalanceKey, Entry, EntryKey},
    sha256, to_xdr,
};

/// Entries that a ledger changed or, where there is none, removed.
pub type Changes = BTreeMap<EntryKey, Option<Entry>>;

/// All entries after a closed ledger, and its header.
#[derive(Debug, Clone)]
pub struct State {
    entries: BTreeMap<EntryKey, Entry>,
    balances: BalanceIndex,
    header: LedgerHeader,
    hash: [u8; 32],
}

impl State {
    /// The state with these entries after the ledger of this header.
    pub fn new(entries: impl IntoIterator<Item = (EntryKey, Entry)>, header: LedgerHeader) -> Self {
        let hash = sha256(&[&to_xdr(&header)]);
        let entries: BTreeMap<_, _> = entries.into_iter().collect();
        let mut balances = BalanceIndex::default();
        for entry in entries.values() {
            balances.add(entry);
        }
        Self { entries, balances, header, hash }
    }

    /// The newest ledger's header.
    pub fn header(&self) -> &LedgerHeader {
        &self.header
    }

    /// Its hash.
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// Close time of the newest ledger.
    pub fn close_time(&self) -> u64 {
        self.header.scp_value.close_time.0
    }

    /// An account.
    pub fn account(&self, key: &AccountKey) -> Option<&Account> {
        match self.entries.get(&EntryKey::Account(*key)) {
            Some(Entry::Account(account)) => Some(account),
            _ => None,
        }
    }

    /// A claimable balance.
    pub fn balance(&self, key: &BalanceKey) -> Option<&Balance> {
        match self.entries.get(&EntryKey::Balance(*key)) {
            Some(Entry::Balance(balance)) => Some(balance),
            _ => None,
        }
    }

    /// Where claimable balances are found by what people ask for.
    pub fn balances(&self) -> &BalanceIndex {
        &self.balances
    }

    /// What an account keeps, by name.
    pub fn data(&self, account: AccountKey) -> impl Iterator<Item = (&String64, &DataValue)> {
        let from = Bound::Included(EntryKey::Data(account, String64::default()));
        let of_account = self.entries.range((from, Bound::Unbounded));
        of_account.map_while(move |(key, entry)| match (key, entry) {
            (EntryKey::Data(owner, name), Entry::Data(value, _)) if *owner == account => Some((name, value)),
            _ => None,
        })
    }

    /// All entries, in the order of their names.
    pub fn entries(&self) -> impl Iterator<Item = (&EntryKey, &Entry)> {
        self.entries.iter()
    }

    /// Moves on to the next ledger.
    pub fn advance(&mut self, changes: Changes, header: LedgerHeader) {
        for (key, entry) in changes {
            if let Some(entry) = &entry {
                self.balances.add(entry);
            }
            let before = match entry {
                Some(entry) => self.entries.insert(key, entry),
                None => self.entries.remove(&key),
            };
            // A balance never changes: what was there before went.
            if let Some(before) = before {
                self.balances.remove(&before);
            }
        }
        self.hash = sha256(&[&to_xdr(&header)]);
        self.header = header;
    }
}

/// The next ledger while it is made.
pub struct Draft<'a> {
    base: &'a State,
    changes: Changes,
    journal: Vec<(EntryKey, Option<Option<Entry>>)>,
}

impl<'a> Draft<'a> {
    /// A draft without changes.
    pub fn new(base: &'a State) -> Self {
        Self { base, changes: Changes::new(), journal: Vec::new() }
    }

    fn get(&self, key: &EntryKey) -> Option<&Entry> {
        if self.changes.is_empty() {
            return self.base.entries.get(key);
        }
        self.changes.get(key).map_or_else(|| self.base.entries.get(key), Option::as_ref)
    }

    fn set(&mut self, key: EntryKey, entry: Option<Entry>) {
        let before = self.changes.insert(key.clone(), entry);
        self.journal.push((key, before));
    }

    /// Where things stand, for [`Self::undo`].
    pub(crate) fn mark(&self) -> usize {
        self.journal.len()
    }

    /// Takes back all changes since the mark.
    pub(crate) fn undo(&mut self, mark: usize) {
        while self.journal.len() > mark {
            let Some((key, before)) = self.journal.pop() else { break };
            match before {
                Some(entry) => self.changes.insert(key, entry),
                None => self.changes.remove(&key),
            };
        }
    }

    /// Makes all changes so far final for this draft.
    pub(crate) fn settle(&mut self) {
        self.journal.clear();
    }

    /// An account.
    pub fn account(&self, key: &AccountKey) -> Option<&Account> {
        match self.get(&EntryKey::Account(*key)) {
            Some(Entry::Account(account)) => Some(account),
            _ => None,
        }
    }

    /// Changes an account, if it exists.
    pub(crate) fn change(&mut self, key: &AccountKey, change: impl FnOnce(&mut Account)) {
        if let Some(mut account) = self.account(key).cloned() {
            change(&mut account);
            self.put_account(account);
        }
    }

    /// Adds or replaces an account.
    pub(crate) fn put_account(&mut self, account: Account) {
        self.set(EntryKey::Account(account.key), Some(Entry::Account(account)));
    }

    /// Removes an account.
    pub(crate) fn remove_account(&mut self, key: &AccountKey) {
        self.set(EntryKey::Account(*key), None);
    }

    /// Whether an account keeps a value under this name.
    pub(crate) fn has_data(&self, account: AccountKey, name: &String64) -> bool {
        self.get(&EntryKey::Data(account, name.clone())).is_some()
    }

    /// Sets or removes a value of an account.
    pub(crate) fn set_data(&mut self, account: AccountKey, name: &String64, value: Option<&DataValue>) {
        let entry = value.map(|value| Entry::Data(value.clone(), 0));
        self.set(EntryKey::Data(account, name.clone()), entry);
    }

    /// A claimable balance.
    pub(crate) fn balance(&self, key: &BalanceKey) -> Option<&Balance> {
        match self.get(&EntryKey::Balance(*key)) {
            Some(Entry::Balance(balance)) => Some(balance),
            _ => None,
        }
    }

    /// Adds a claimable balance.
    pub(crate) fn put_balance(&mut self, balance: Balance) {
        self.set(EntryKey::Balance(balance.key), Some(Entry::Balance(balance)));
    }

    /// Removes a claimable balance.
    pub(crate) fn remove_balance(&mut self, key: &BalanceKey) {
        self.set(EntryKey::Balance(*key), None);
    }

    /// Everything that changed, stamped with the ledger that did it. Entries that came and went are left out.
    pub(crate) fn into_changes(self, ledger: u32) -> Changes {
        let base = self.base;
        let kept =
            self.changes.into_iter().filter(|(key, entry)| entry.is_some() || base.entries.contains_key(key));
        kept.map(|(key, mut entry)| {
            if let Some(entry) = &mut entry {
                entry.stamp(ledger);
            }
            (key, entry)
        })
        .collect()
    }
}
