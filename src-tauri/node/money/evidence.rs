//! What an auditor's own books say of a contract's audits, once it is to be paid for: each verdict is recomputed from its
//! receipt, by public data alone.
//!
//! Invariants: a pass counts only if a receipt proves it that the farmer signed for that contract, epoch and revision, over
//! the shards of the revision that both signed; another verdict counts as it was said, unless it has a receipt that shows
//! something else. What was found right is not looked at again while the node runs; what was not is, and is never paid for.
//!
//! Cost: some tens of milliseconds for each receipt, off the runtime, one contract after the other; the shards of a revision
//! follow from those before it, page by page.

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
use hayloft_store::auditor::AuditorError;

use super::{Money, MoneyError, Refused};
use crate::identity::off_the_runtime;

/// Receipts that are known to be right; beyond, all are looked at once more.
const VERIFIED_KEPT: usize = 65_536;

/// Why a verdict counts for nothing.
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

/// A verdict with its receipt.
type Judged = (Judgement, Option<Vec<u8>>);

/// Which verdicts were found to be borne out, by the hash of all that was looked at.
#[derive(Debug, Default)]
pub(super) struct Verified(HashSet<[u8; 32]>);

impl Verified {
    fn has(&self, contract: ContractId, judged: &Judged) -> bool {
        self.0.contains(&mark(contract, judged))
    }

    fn keep(&mut self, contract: ContractId, judged: &Judged) {
        if self.0.len() >= VERIFIED_KEPT {
            self.0.clear();
        }
        self.0.insert(mark(contract, judged));
    }
}

fn mark(contract: ContractId, judged: &Judged) -> [u8; 32] {
    *blake3::hash(&hayloft_core::codec::encode(1, &(contract, judged))).as_bytes()
}

impl Money {
    /// This auditor's verdicts on a contract, borne out by its receipts.
    ///
    /// # Errors
    /// [`Refused::Unproved`] for the first that is not.
    pub(super) async fn proved_verdicts(&self, contract: ContractId) -> Result<Vec<Judgement>, Refused> {
        let books = |error: AuditorError| MoneyError::Books(error.to_string());
        let store = self.inner.store.auditor();
        let judged: Vec<Judged> = store.evidence(contract).await.map_err(books)?;
        let mut verified = self.inner.verified.lock().await;
        let mut due: BTreeMap<u64, Vec<Judged>> = BTreeMap::new();
        for one in judged.iter().filter(|one| needs_proof(one) && !verified.has(contract, one)) {
            due.entry(one.0.revision).or_default().push(one.clone());
        }
        if !due.is_empty() {
            let followed = store.followed(contract).await.map_err(books)?.ok_or(Refused::Unknown)?;
            let keys = followed.keys.iter().flat_map(|key| VerifierKey::decode(key)).collect();
            let case = Case { contract, terms: followed.terms, keys };
            self.prove(Arc::new(case), due, &mut verified).await?;
        }
        Ok(judged.into_iter().map(|(judgement, _)| judgement).collect())
    }

    /// Verifies what is due, by revision.
    async fn prove(
        &self,
        case: Arc<Case>,
        mut due: BTreeMap<u64, Vec<Judged>>,
        verified: &mut Verified,
    ) -> Result<(), Refused> {
        let mut shards: BTreeMap<ShardId, ShardEntry> = BTreeMap::new();
        let mut next = 0;
        while let Some(first) = due.first_entry().map(|first| first.get()[0].0.epoch.0) {
            let most = REVISIONS_PER_PAGE as u32;
            let page = self.inner.store.funds().revisions(case.contract, next, most).await;
            let page = page.map_err(MoneyError::from)?;
            if page.is_empty() {
                return Err(Refused::Unproved { epoch: first, why: Unproved::NoRevision });
            }
            for signed in page {
                let revision = &signed.revision;
                for gone in &revision.removed {
                    shards.remove(gone);
                }
                shards.extend(revision.added.iter().map(|shard| (shard.id, shard.clone())));
                next = revision.number.saturating_add(1);
                let Some(judged) = due.remove(&revision.number) else { continue };
                let listed: Vec<ShardEntry> = shards.values().cloned().collect();
                let judging = case.clone();
                let found = off_the_runtime(move || Ok(judging.judge(&signed, &listed, judged))).await;
                for (judged, borne_out) in found.map_err(|error| MoneyError::Books(error.message))? {
                    borne_out.map_err(|why| Refused::Unproved { epoch: judged.0.epoch.0, why })?;
                    verified.keep(case.contract, &judged);
                }
            }
        }
        Ok(())
    }
}

/// A pass, or what has a receipt.
fn needs_proof((judgement, receipt): &Judged) -> bool {
    judgement.verdict == Verdict::Passed || receipt.is_some()
}

/// What all receipts of a contract are judged by.
struct Case {
    contract: ContractId,
    terms: SignedTerms,
    keys: Vec<VerifierKey>,
}

impl Case {
    /// Judges receipts of one revision, up to the first that bears nothing out.
    fn judge(
        &self,
        revision: &SignedRevision,
        shards: &[ShardEntry],
        judged: Vec<Judged>,
    ) -> Vec<(Judged, Result<(), Unproved>)> {
        let mut found: Vec<(Judged, Result<(), Unproved>)> = Vec::with_capacity(judged.len());
        for one in judged {
            let borne_out = self.bears_out(revision, shards, &one);
            let ends = borne_out.is_err();
            found.push((one, borne_out));
            if ends {
                break;
            }
        }
        found
    }

    fn bears_out(
        &self,
        revision: &SignedRevision,
        shards: &[ShardEntry],
        (said, receipt): &Judged,
    ) -> Result<(), Unproved> {
        let receipt = Receipt::decode(receipt.as_ref().ok_or(Unproved::NoReceipt)?)?;
        // What it lists itself is what it would like to be judged by.
        let receipt = Receipt { shards: None, ..receipt };
        let evidence = Evidence { terms: &self.terms, revision, shards: Some(shards), keys: &self.keys };
        let finding = receipt.judge(&evidence)?;
        Ok(Shown { terms: self.terms.clone(), receipt, finding }.bears_out(said)?)
    }
}
