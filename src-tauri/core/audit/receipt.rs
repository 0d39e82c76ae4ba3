//! Answers that farmers sign, and receipts that anyone can check offline, with public data alone.
//!
//! ```text
//! answer  = proofs, one for each tag key in ascending order, or no proof and the shard that the farmer finds lost; and
//!           the farmer's signature over transcript ‖ proofs ‖ lost shard under "audit answer by farmer"
//! receipt = 1 ‖ transcript ‖ answer ‖ shard list, or nothing where the root in the transcript has to do
//! ```
//! A receipt of a wrong proof is evidence as good as one of a right proof: the farmer checked those tags when it
//! signed the revision, and it signed that proof. So is one in which the farmer admits that a shard is lost: what it did
//! not report beforehand is a failed audit, but an answered one. A receipt that says nothing (not signed by that farmer, or about
//! another contract) is an error, and never counts against anyone. Whether a beacon is the ledger's is for the reader
//! to look up by its number.

use serde::{Deserialize, Serialize};

use super::{
    Challenge, ChallengeError, Proof, ProofError, TagKeyId, Transcript, VerifierKey, transcript::VERSION,
    verify::verify,
};
use crate::{
    ShardId, Signature,
    codec::{self, CodecError},
    contract::{RevisionError, ShardEntry, SignedRevision, SignedTerms, TermsError},
    keys::DeviceKey,
};

const BY_FARMER: &str = "audit answer by farmer";

/// Shards that a receipt lists itself; of more, it has the root alone.
pub const MAX_LISTED_SHARDS: usize = 4096;
/// The longest encoding of a receipt.
pub const MAX_RECEIPT_BYTES: usize = 1 << 20;

/// The proof for the blocks under one tag key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyProof {
    /// The key.
    pub tag_key: TagKeyId,
    /// The proof.
    pub proof: Proof,
}

/// A farmer's answer to a whole challenge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// One proof for each tag key challenged, in ascending order; none with a lost shard.
    pub proofs: Vec<KeyProof>,
    /// A shard asked for that the farmer found lost when it wanted to prove.
    pub lost: Option<ShardId>,
    /// The farmer's, over transcript, proofs and lost shard.
    pub signature: Signature,
}

impl Answer {
    /// The proofs, signed by the farmer as its answer to this question and no other.
    pub fn sign(transcript: &Transcript, proofs: Vec<KeyProof>, key: &DeviceKey) -> Self {
        Self::sign_all(transcript, proofs, None, key)
    }

    /// That the farmer cannot answer this question, because it has lost a shard asked for.
    pub fn admit(transcript: &Transcript, lost: ShardId, key: &DeviceKey) -> Self {
        Self::sign_all(transcript, Vec::new(), Some(lost), key)
    }

    fn sign_all(
        transcript: &Transcript,
        proofs: Vec<KeyProof>,
        lost: Option<ShardId>,
        key: &DeviceKey,
    ) -> Self {
        let signature = key.sign(BY_FARMER, &transcript.network, VERSION, &(transcript, &proofs, &lost));
        Self { proofs, lost, signature }
    }

    /// Bytes of what was answered: proofs and signature.
    pub fn bytes(&self) -> u64 {
        codec::encode(VERSION, self).len() as u64
    }
}

/// What an auditor keeps and shows of one audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The question.
    pub transcript: Transcript,
    /// The answer.
    pub answer: Answer,
    /// The contract's shards in ascending order of id, if they are few enough.
    pub shards: Option<Vec<ShardEntry>>,
}

/// The public data that a receipt is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The contract.
    pub terms: &'a SignedTerms,
    /// The revision that was audited.
    pub revision: &'a SignedRevision,
    /// Its shards in ascending order of id, unless the receipt has them.
    pub shards: Option<&'a [ShardEntry]>,
    /// The owner's keys, and its delegates'.
    pub keys: &'a [VerifierKey],
}

/// Why a farmer's signed answer is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Failure {
    /// Its proofs are not for the tag keys challenged.
    #[error("the answer's proofs are not for the keys challenged")]
    WrongKeys,
    /// A proof proves nothing.
    #[error("{0}")]
    Proof(ProofError),
    /// No proof, but the farmer's word, when it was asked, that a shard is lost.
    #[error("the farmer says that it lost shard {0}, and did not say so before it was asked")]
    Lost(ShardId),
}

/// What a receipt shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// Whether the farmer proved that it had the data.
    pub outcome: Result<(), Failure>,
    /// Whether the challenge is said to come from a ledger, which nothing in a receipt proves.
    pub names_ledger: bool,
    /// Whether it is a whole audit of its epoch, rather than one of fewer blocks or of some shards.
    pub stands_for_epoch: bool,
}

/// Why a receipt shows nothing, for or against the farmer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Not a receipt.
    #[error(transparent)]
    Malformed(#[from] CodecError),
    /// It lists too many shards.
    #[error("the receipt lists {found} shards, at most {MAX_LISTED_SHARDS} are allowed")]
    TooManyShards {
        /// Shards listed.
        found: usize,
    },
    /// The contract's terms are not signed by both.
    #[error(transparent)]
    Terms(#[from] TermsError),
    /// The revision is not signed by both.
    #[error(transparent)]
    Revision(#[from] RevisionError),
    /// It is about another network.
    #[error("the receipt is of another network")]
    WrongNetwork,
    /// It is about another contract.
    #[error("the receipt is about another contract")]
    WrongContract,
    /// It is about another revision.
    #[error("the receipt is about another revision")]
    WrongRevision,
    /// It is about another shard list than the revision commits to.
    #[error("the receipt is about other shards than the revision commits to")]
    WrongRoot,
    /// It is about another farmer.
    #[error("the receipt is about another farmer")]
    WrongFarmer,
    /// The farmer did not sign the answer.
    #[error("the farmer's signature under the answer does not fit")]
    BadSignature,
    /// Neither receipt nor evidence has the shard list.
    #[error("the shard list is missing")]
    ShardsMissing,
    /// A verifier key is missing among the evidence.
    #[error("the audit key of some shards is missing")]
    KeyMissing,
    /// A key has other blocks than the transcript says.
    #[error("the audit key is for blocks of another size")]
    WrongSectors,
    /// It is about the loss of a shard that was not asked for.
    #[error("the answer names shard {0}, which was not asked for")]
    NotAsked(ShardId),
    /// There is no such challenge.
    #[error(transparent)]
    Challenge(#[from] ChallengeError),
}

impl Receipt {
    /// A receipt; it lists the shards if they are few enough.
    pub fn new(transcript: Transcript, answer: Answer, shards: &[ShardEntry]) -> Self {
        let shards = (shards.len() <= MAX_LISTED_SHARDS).then(|| shards.to_vec());
        Self { transcript, answer, shards }
    }

    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(VERSION, self)
    }

    /// A receipt from its encoding.
    ///
    /// # Errors
    /// [`ReceiptError`] if it is none, or above the limits.
    pub fn decode(bytes: &[u8]) -> Result<Self, ReceiptError> {
        let receipt: Self = codec::decode(VERSION, bytes, MAX_RECEIPT_BYTES)?;
        match receipt.shards.as_ref().map_or(0, Vec::len) {
            0..=MAX_LISTED_SHARDS => Ok(receipt),
            found => Err(ReceiptError::TooManyShards { found }),
        }
    }

    /// What this receipt shows, given the contract.
    ///
    /// # Errors
    /// [`ReceiptError`] if it shows nothing.
    pub fn judge(&self, evidence: &Evidence<'_>) -> Result<Finding, ReceiptError> {
        self.check_subject(evidence)?;
        self.check_signature()?;
        let shards = self.shards.as_deref().or(evidence.shards).ok_or(ReceiptError::ShardsMissing)?;
        let challenge = Challenge::expand(&self.transcript, shards)?;
        Ok(Finding {
            outcome: self.outcome(&challenge, evidence.keys)?,
            names_ledger: self.transcript.names_ledger(),
            stands_for_epoch: self.transcript.stands_for_epoch(),
        })
    }

    fn check_subject(&self, evidence: &Evidence<'_>) -> Result<(), ReceiptError> {
        let (terms, revision) = (&evidence.terms.terms, &evidence.revision.revision);
        evidence.terms.verify()?;
        evidence.revision.verify(terms)?;
        let transcript = &self.transcript;
        let checks = [
            (transcript.network == terms.network, ReceiptError::WrongNetwork),
            (transcript.contract == terms.id(), ReceiptError::WrongContract),
            (transcript.contract == revision.contract, ReceiptError::WrongContract),
            (transcript.revision == revision.number, ReceiptError::WrongRevision),
            (transcript.root == revision.root, ReceiptError::WrongRoot),
            (transcript.farmer == terms.farmer, ReceiptError::WrongFarmer),
        ];
        checks.into_iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, error)| Err(error))
    }

    fn check_signature(&self) -> Result<(), ReceiptError> {
        let Self { transcript, answer, .. } = self;
        let signed = (transcript, &answer.proofs, &answer.lost);
        let farmer = &transcript.farmer;
        let verified = farmer.verify(BY_FARMER, &transcript.network, VERSION, &signed, &answer.signature);
        verified.map_err(|_| ReceiptError::BadSignature)
    }

    fn outcome(
        &self,
        challenge: &Challenge,
        keys: &[VerifierKey],
    ) -> Result<Result<(), Failure>, ReceiptError> {
        if let Some(lost) = self.answer.lost {
            let asked = challenge.parts().iter().flat_map(|part| part.blocks());
            let named = asked.into_iter().any(|block| block.shard == lost);
            return if named { Ok(Err(Failure::Lost(lost))) } else { Err(ReceiptError::NotAsked(lost)) };
        }
        let due = challenge.parts().iter().map(|part| part.tag_key());
        let due = due.map(|id| keys.iter().find(|key| key.id() == id).ok_or(ReceiptError::KeyMissing));
        let due = due.collect::<Result<Vec<_>, _>>()?;
        if due.iter().any(|key| key.sectors() != self.transcript.sectors) {
            return Err(ReceiptError::WrongSectors);
        }
        if !due.iter().map(|key| key.id()).eq(self.answer.proofs.iter().map(|proof| proof.tag_key)) {
            return Ok(Err(Failure::WrongKeys));
        }
        let proofs = challenge.parts().iter().zip(due).zip(&self.answer.proofs);
        let mut proofs = proofs.map(|((part, key), KeyProof { proof, .. })| verify(key, part, proof));
        Ok(proofs.try_for_each(|verified| verified).map_err(Failure::Proof))
    }
}
