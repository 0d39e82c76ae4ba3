//! Proofs of retrievability: a farmer shows that it has an owner's blocks, anyone can check, in 128 bytes.
//!
//! # Equations
//! G1, G2 of prime order p with pairing e (BLS12-381), generators g1, g2. A sealed shard is blocks, a block s sectors
//! of 31 bytes, read as the polynomial f = Σ_j sector_j·X^j over the field of p elements.
//! ```text
//! owner     secret α, x;  public for verifiers g2^x, g2^{xα};  for provers also g1^{α^j}, j < s
//! tag       of block i of shard id = (H(id ‖ i) · g1^{f(α)})^x             H: RFC 9380, SSWU, random oracle
//! challenge transcript ⟶ blocks I, coefficients ν_i of 128 bits, point r
//! proof     A = Σ ν_i·f_i:  σ = ∏ tag_i^{ν_i},  y = A(r),  ψ = g1^{(A(α) − A(r)) / (α − r)}
//! verify    e(σ, g2) = e(∏ H(id ‖ i)^{ν_i} · g1^y · ψ^{−r}, g2^x) · e(ψ, g2^{xα})
//! ```
//! It holds for a right proof: the right side is e(∏ H^ν · g1^{A(r)} · ψ^{α − r}, g2^x) = e(∏ H^ν · g1^{A(α)}, g2^x),
//! and so is the left side.
//!
//! Sources: Shacham and Waters, *Compact Proofs of Retrievability*, ASIACRYPT 2008 (homomorphic authenticators,
//! public verification); Yuan and Yu, *Proofs of Retrievability with Public Verifiability and Constant Communication
//! Cost in Cloud*, 2013 (a block as polynomial, opened at one point after Kate, Zaverucha and Goldberg, ASIACRYPT
//! 2010).
//!
//! # Why it is sound, in plain words
//! Tags can be combined, as σ is, but only in the ways in which blocks combine: H gives each block's name a point
//! that nobody knows a relation of, and x is the owner's. To move σ to another content by Δ, a farmer would need
//! g1^{xΔ}, and nothing public holds an x in G1. So the point g1^y · ψ^{α − r} that the equation takes from y and ψ
//! is g1^{A(α)} for the very blocks that were tagged. Then y = A(r): whoever opens one polynomial at one point to two
//! values can compute 1/(α − r) in the exponent, which the powers of α do not allow. So each proof that holds tells
//! one true linear equation about the challenged sectors, with coefficients ν_i·r^j that were drawn after the data
//! was fixed. A farmer that answers many such questions about some blocks thereby gives away enough equations to
//! solve for every one of their sectors: what it can prove, it can also give back. And a farmer without some block
//! can only guess y.
//!
//! With 460 blocks asked at random, one that has lost 1 % of them is caught with 99 %, one that has lost 0.1 % with
//! 37 %; and every shard is touched once in thirty epochs.
//!
//! # What it rests on
//! * the Diffie–Hellman assumption for σ and the s-strong one (bilinear form) for y, in BLS12-381; H and BLAKE3 as
//!   random oracles;
//! * **one shard id, one content.** Two blocks f, f′ tagged under one id and index give g1^{x(f(α) − f′(α))}: just
//!   the g1^{xΔ} above, with which anyone makes tags of f + c·(f − f′) for every c. So an id is 32 random bytes for
//!   each sealing. For the same reason g1^x and its like are never published: x shows in G2 alone;
//! * points that are in their group. Each tag, σ, ψ and key element is checked singly for curve and subgroup before
//!   any batch; coefficients of batches are 128 random bits of the checker's own, drawn after what they check is
//!   fixed;
//! * H as a hash to the curve whose discrete logarithms nobody knows, never a known base raised to a hash;
//! * an owner's key that is sound ([`ProverKey::decode`]) and tags that were checked ([`check_tags`]) **before** the
//!   farmer signs a revision: then a wrong proof is the farmer's fault, and is proof of it;
//! * a beacon that neither side can choose. Receipts say where it was not public.
//!
//! # What it does not cover
//! * An owner who knows (α, x) can make right proofs without the data: passes of an owner's own farmer count for
//!   nothing in public.
//! * A farmer who fetches the data from somebody else's fast disk in time, and several farmers on one disk: no audit
//!   of possession tells them apart.
//! * Serving: whoever can prove may still refuse to send.
//! * Validators of a ledger, and whoever runs a local one, can grind its hash.
//!
//! Vectors: `tests/vectors/audit.json`, and an independent reference on another library. Deliberately absent: clocks,
//! disks, verdicts about silence, scores.

mod beacon;
mod challenge;
mod curve;
mod key;
mod losses;
mod mandate;
mod prove;
mod question;
mod receipt;
mod sectors;
mod tag;
mod tag_check;
mod transcript;
mod verify;
mod wide;

pub use beacon::{Beacon, Commitment, Committer, Epoch};
pub use challenge::{
    Block, Challenge, ChallengeError, MAX_BLOCKS_ASKED, MAX_SHARDS, MAX_SHARDS_NAMED, MAX_TAG_KEYS, Part,
    TURNS,
};
pub use curve::PointError;
pub use key::{AuditKey, KeyError, ProverKey, TagKeyId, VerifierKey};
pub use losses::{LossReport, LossReportError, SignedLossReport};
pub use mandate::{MANDATE_SECONDS, Mandate, MandateError, SignedMandate};
pub use prove::{Proof, ProveError, Prover};
pub use question::{Opening, Question, farmer_nonce};
pub use receipt::{
    Answer, Evidence, Failure, Finding, KeyProof, MAX_LISTED_SHARDS, MAX_RECEIPT_BYTES, Receipt, ReceiptError,
};
pub use sectors::{BadSectors, SECTOR_BYTES, Sectors};
pub use tag::{ShardTagger, Tag, Tagger};
pub use tag_check::{MAX_BATCH_BYTES, TagBatch, TagError, TaggedShard, check_tags};
pub use transcript::{BLOCKS_PER_EPOCH, Scope, Transcript};
pub use verify::{Prepared, ProofError, check_batch, verify};

#[cfg(test)]
mod tests;
