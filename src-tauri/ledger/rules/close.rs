//! Closing a ledger: which transactions it takes, what comes of them, and the header that commits to it all.
//!
//! Invariant: account balances, claimable lumens and the fee pool together stay [`TOTAL_STROOPS`].

use std::collections::HashMap;

use stellar_base::xdr::{
    Hash, LedgerHeader, LedgerHeaderExt, StellarValue, StellarValueExt, TimePoint, TransactionResult,
    TransactionResultPair, TransactionResultSet, VecM,
};

use super::{
    BASE_FEE, BASE_RESERVE, MAX_LEDGER_OPERATIONS, Moment, PROTOCOL, TOTAL_STROOPS,
    entry::{Account, AccountKey, Entry, EntryKey},
    envelope::Envelope,
    sha256,
    state::{Changes, Draft, State},
    to_xdr,
    transaction::{self, Outcome},
};

/// What became of one of the transactions offered.
#[derive(Debug)]
pub enum Fate {
    /// It is in the ledger, with this result.
    Applied {
        /// Whether all its operations succeeded.
        success: bool,
        /// Its result.
        result: TransactionResult,
    },
    /// It was not valid any more and left no trace.
    Refused(Outcome),
}

/// A closed ledger.
#[derive(Debug)]
pub struct Closed {
    /// Its header.
    pub header: LedgerHeader,
    /// What became of the transactions, in the order in which they were offered and applied.
    pub fates: Vec<Fate>,
    /// What it changed.
    pub changes: Changes,
}

/// Judges transactions that wait for the next ledger, in their order: several of one account, and several fees of one
/// payer, count one after another.
#[derive(Debug, Default)]
pub struct Waiting {
    sequences: HashMap<AccountKey, i64>,
    fees: HashMap<AccountKey, i64>,
}

impl Waiting {
    /// The sequence number that an account will have after what was counted; none if nothing of it was.
    pub fn sequence(&self, account: &AccountKey) -> Option<i64> {
        self.sequences.get(account).copied()
    }

    /// Judges one more and, if it is valid, counts it.
    pub fn offer(&mut self, view: &Draft<'_>, moment: Moment, envelope: &Envelope) -> Outcome {
        let source = envelope.inner.source();
        let outcome = transaction::validate(view, moment, envelope, self.sequences.get(&source).copied());
        if !outcome.success() {
            return outcome;
        }
        let payer = envelope.fee_source();
        let promised = self.fees.entry(payer).or_default();
        let due = promised.saturating_add(envelope.full_fee());
        if view.account(&payer).is_none_or(|account| account.available() < due) {
            let code = stellar_base::xdr::TransactionResultCode::TxInsufficientBalance;
            return Outcome { code, operations: Vec::new(), outer: envelope.bump.is_some(), ..outcome };
        }
        *promised = due;
        self.sequences.insert(source, envelope.inner.sequence());
        outcome
    }
}

/// The very first ledger: one account holds everything.
pub fn genesis(root: AccountKey, close_time: u64) -> State {
    let mut account = Account::new(root, TOTAL_STROOPS, 0);
    account.modified = 1;
    let entry = (EntryKey::Account(root), Entry::Account(account));
    let moment = Moment { ledger: 1, close_time };
    let changes: Changes = [(entry.0.clone(), Some(entry.1.clone()))].into_iter().collect();
    State::new([entry], header(moment, [0; 32], [0; 32], &changes, &[], 0))
}

/// Closes the next ledger with those of the transactions that are still valid.
pub fn close(state: &State, offered: &[&Envelope], close_time: u64) -> Closed {
    let moment = Moment { ledger: state.header().ledger_seq + 1, close_time };
    let mut draft = Draft::new(state);
    let mut waiting = Waiting::default();
    let judged: Vec<Outcome> =
        offered.iter().map(|envelope| waiting.offer(&draft, moment, envelope)).collect();
    let fees: Vec<i64> = offered
        .iter()
        .zip(&judged)
        .map(
            |(envelope, judged)| if judged.success() { transaction::charge(&mut draft, envelope) } else { 0 },
        )
        .collect();
    let mut results = Vec::new();
    let mut fates = Vec::with_capacity(offered.len());
    for ((envelope, judged), fee) in offered.iter().zip(judged).zip(&fees) {
        if !judged.success() {
            fates.push(Fate::Refused(judged));
            continue;
        }
        let outcome = transaction::apply(&mut draft, moment, envelope, *fee);
        draft.settle();
        let result = outcome.to_result(envelope);
        results.push((*envelope, result.clone()));
        fates.push(Fate::Applied { success: outcome.success(), result });
    }
    let changes = draft.into_changes(moment.ledger);
    let fee_pool = state.header().fee_pool + fees.iter().sum::<i64>();
    let header =
        header(moment, state.hash(), state.header().bucket_list_hash.0, &changes, &results, fee_pool);
    Closed { header, fates, changes }
}

fn header(
    moment: Moment,
    previous: [u8; 32],
    previous_entries: [u8; 32],
    changes: &Changes,
    results: &[(&Envelope, TransactionResult)],
    fee_pool: i64,
) -> LedgerHeader {
    let pairs: Vec<_> = results
        .iter()
        .map(|(envelope, result)| TransactionResultPair {
            transaction_hash: Hash(envelope.hash()),
            result: result.clone(),
        })
        .collect();
    let results_set = TransactionResultSet { results: VecM::try_from(pairs).unwrap_or_default() };
    let envelopes: Vec<&[u8]> = results.iter().map(|(envelope, _)| envelope.bytes.as_slice()).collect();
    LedgerHeader {
        ledger_version: PROTOCOL,
        previous_ledger_hash: Hash(previous),
        scp_value: StellarValue {
            tx_set_hash: Hash(sha256(&[&[previous.as_slice()], envelopes.as_slice()].concat())),
            close_time: TimePoint(moment.close_time),
            upgrades: VecM::default(),
            ext: StellarValueExt::Basic,
        },
        tx_set_result_hash: Hash(sha256(&[&to_xdr(&results_set)])),
        bucket_list_hash: Hash(entries_hash(previous_entries, changes)),
        ledger_seq: moment.ledger,
        total_coins: TOTAL_STROOPS,
        fee_pool,
        inflation_seq: 0,
        id_pool: 0,
        base_fee: u32::try_from(BASE_FEE).unwrap_or(u32::MAX),
        base_reserve: u32::try_from(BASE_RESERVE).unwrap_or(u32::MAX),
        max_tx_set_size: MAX_LEDGER_OPERATIONS,
        skip_list: std::array::from_fn(|_| Hash([0; 32])),
        ext: LedgerHeaderExt::V0,
    }
}

/// Commits to all entries by a chain over what each ledger changed, in the order of the entries' names.
fn entries_hash(previous: [u8; 32], changes: &Changes) -> [u8; 32] {
    let parts = changes.iter().map(|(key, entry)| match entry {
        Some(entry) => to_xdr(&entry.to_ledger_entry(key)),
        None => removed(key),
    });
    let parts: Vec<Vec<u8>> = std::iter::once(previous.to_vec()).chain(parts).collect();
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    sha256(&parts)
}

fn removed(key: &EntryKey) -> Vec<u8> {
    match key {
        EntryKey::Account(key) => [&[0], key.as_slice()].concat(),
        EntryKey::Data(account, name) => [&[3], account.as_slice(), name.0.as_slice()].concat(),
        EntryKey::Balance(key) => [&[4], key.as_slice()].concat(),
    }
}
