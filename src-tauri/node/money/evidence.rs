//! What an auditor's own books say of a contract's audits, once it is to be paid for: each verdict is recomputed from its
//! receipt, by public data alone.
//!
//! Invariants: a pass counts only if a receipt proves it that the farmer signed for that contract, epoch and revision, over
//! the shards of the revision that both signed; another verdict counts as it was said, unless it has a receipt that shows
//! something else. What was found right is not looked at again while the node runs. What was not is, and while it stands there
//! nothing is signed that rests on the contract's books.
//!
//! Cost: some tens of milliseconds for each receipt, more with many shards, off the runtime, one receipt after the other; the
//! shards of a revision follow from those before it, page by page.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use hayloft_core::{
    ContractId, ShardId,
    audit::{Evidence, Receipt, ReceiptError, VerifierKey},
    auditor::{
        Judgement, Verdict,
        exported::{NotBorneOut, Shown},
    },
    contract::{ShardEntry, SignedRevision, SignedTerms},
};
use hayloft_net::limits::REVISIONS_PER_PAGE;
use hayloft_store::auditor::{AuditorError, Exhibit};

use super::{Money, MoneyError, Refused};
use crate::{identity::off_the_runtime, owner::lock};

/// Receipts that are known to be right; beyond, all are looked at once more.
const VERIFIED_KEPT: usize = 65_536;

/// Why a verdict is not borne out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unproved {
    /// A pass without a receipt.
    #[error("there is no receipt of it")]
    NoReceipt,
    /// A receipt that shows nothing.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// A receipt of something else.
    #[error(transparent)]
    NotBorneOut(#[from] NotBorneOut),
    /// It is about a revision that both have not signed.
    #[error("the revision that it is about is not known here")]
    NoRevision,
}

/// Which verdicts were found to be borne out, by the hash of all that was looked at.
#[derive(Debug, Default)]
pub(super) struct Verified(HashSet<[u8; 32]>);

impl Verified {
    fn has(&self, contract: ContractId, exhibit: &Exhibit) -> bool {
        self.0.contains(&mark(contract, exhibit))
    }

    fn keep(&mut self, contract: ContractId, exhibit: &Exhibit) {
        if self.0.len() >= VERIFIED_KEPT {
            self.0.clear();
        }
        self.0.insert(mark(contract, exhibit));
    }
}

/// The receipt names the keys that it was judged by.
fn mark(contract: ContractId, exhibit: &Exhibit) -> [u8; 32] {
    let all = (contract, exhibit.judgement, &exhibit.receipt);
    *blake3::hash(&hayloft_core::codec::encode(1, &all)).as_bytes()
}

impl Money {
    /// This auditor's verdicts on a contract, borne out by its receipts.
    ///
    /// # Errors
    /// [`Refused::Unproved`] for the first that is not.
    pub(super) async fn proved_verdicts(&self, contract: ContractId) -> Result<Vec<Judgement>, Refused> {
        let books = |error: AuditorError| MoneyError::Books(error.to_string());
        let store = self.inner.store.auditor();
        let exhibits = store.exhibits(contract).await.map_err(books)?;
        let judgements = exhibits.iter().map(|exhibit| exhibit.judgement).collect();
        let mut due: BTreeMap<u64, Vec<Exhibit>> = BTreeMap::new();
        for exhibit in exhibits.into_iter().filter(needs_proof) {
            if !lock(&self.inner.verified).has(contract, &exhibit) {
                due.entry(exhibit.judgement.revision).or_default().push(exhibit);
            }
        }
        if !due.is_empty() {
            let followed = store.followed(contract).await.map_err(books)?.ok_or(Refused::Unknown)?;
            self.prove(contract, followed.terms, due).await?;
        }
        Ok(judgements)
    }

    /// Verifies what is due, by revision. Whoever asks may go away: what was found until then is kept.
    async fn prove(
        &self,
        contract: ContractId,
        terms: SignedTerms,
        mut due: BTreeMap<u64, Vec<Exhibit>>,
    ) -> Result<(), Refused> {
        let mut shards: BTreeMap<ShardId, ShardEntry> = BTreeMap::new();
        let mut next = 0;
        while let Some(first) = due.first_entry().map(|first| first.get()[0].judgement.epoch.0) {
            let most = REVISIONS_PER_PAGE as u32;
            let page = self.inner.store.funds().revisions(contract, next, most).await;
            let page = page.map_err(MoneyError::from)?;
            if page.is_empty() {
                return Err(Refused::Unproved { epoch: first, why: Unproved::NoRevision });
            }
            for revision in page {
                let changes = &revision.revision;
                for gone in &changes.removed {
                    shards.remove(gone);
                }
                shards.extend(changes.added.iter().map(|shard| (shard.id, shard.clone())));
                next = changes.number.saturating_add(1);
                let Some(exhibits) = due.remove(&changes.number) else { continue };
                let listed = shards.values().cloned().collect();
                let case = Arc::new(Case { terms: terms.clone(), revision, shards: listed });
                for exhibit in exhibits {
                    self.prove_one(contract, &case, exhibit).await?;
                }
            }
        }
        Ok(())
    }

    /// One receipt at a time is looked at, whoever asks: its place is held by the work itself, so that asking and going away
    /// frees nothing early.
    async fn prove_one(
        &self,
        contract: ContractId,
        case: &Arc<Case>,
        exhibit: Exhibit,
    ) -> Result<(), Refused> {
        let (case, turn) = (case.clone(), self.inner.proving.clone().lock_owned().await);
        let work = move || {
            let borne_out = case.bears_out(&exhibit);
            drop(turn);
            Ok((exhibit, borne_out))
        };
        let done = off_the_runtime(work).await;
        let (exhibit, borne_out) = done.map_err(|error| MoneyError::Books(error.message))?;
        borne_out.map_err(|why| Refused::Unproved { epoch: exhibit.judgement.epoch.0, why })?;
        lock(&self.inner.verified).keep(contract, &exhibit);
        Ok(())
    }
}

/// A pass, or what has a receipt.
fn needs_proof(exhibit: &Exhibit) -> bool {
    exhibit.judgement.verdict == Verdict::Passed || exhibit.receipt.is_some()
}

/// What all receipts of a revision are judged by.
struct Case {
    terms: SignedTerms,
    revision: SignedRevision,
    shards: Vec<ShardEntry>,
}

impl Case {
    fn bears_out(&self, exhibit: &Exhibit) -> Result<(), Unproved> {
        let receipt = Receipt::decode(exhibit.receipt.as_ref().ok_or(Unproved::NoReceipt)?)?;
        // What it lists itself is what it would like to be judged by.
        let receipt = Receipt { shards: None, ..receipt };
        let keys: Vec<VerifierKey> = exhibit.keys.iter().flat_map(|key| VerifierKey::decode(key)).collect();
        let Self { terms, revision, shards } = self;
        let finding = receipt.judge(&Evidence { terms, revision, shards: Some(shards), keys: &keys })?;
        Ok(Shown { terms: terms.clone(), receipt, finding }.bears_out(&exhibit.judgement)?)
    }
}
