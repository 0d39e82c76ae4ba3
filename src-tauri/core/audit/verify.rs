//! Verification, by anyone, from public data.
//!
//! ```text
//! e(σ, g2) = e(∏ H(id ‖ i)^ν · g1^y · ψ^{−r}, g2^x) · e(ψ, g2^{xα})
//! ```
//! All of ψ's exponents are on the side of G1, so no multiplication in G2 is needed. Nearly all of the time goes into
//! the hashes, which no batch can save: so a proof is first prepared, on any core, and what is prepared is then
//! checked in batches, in which culprits are found by halving.

use blstrs::{G1Projective, G2Prepared, Scalar};
use rand::CryptoRng;
use serde::{Deserialize, Serialize};

use super::{
    Proof, VerifierKey,
    challenge::Part,
    curve::{self, MINUS_G2, PointError},
};
use crate::manifest::random;

/// Why a proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ProofError {
    /// The key given is not the one that the challenge is for.
    #[error("the challenge is for another tag key")]
    WrongKey,
    /// No block is challenged.
    #[error("no block is challenged")]
    Empty,
    /// σ is no good point.
    #[error("σ is {0}")]
    BadSigma(PointError),
    /// ψ is no good point.
    #[error("ψ is {0}")]
    BadPsi(PointError),
    /// y is not below the group's order.
    #[error("y is no number of the field")]
    BadValue,
    /// The equation does not hold: at least one challenged block is missing or wrong.
    #[error("the proof does not fit the challenged blocks")]
    DoesNotFit,
}

/// A proof whose points are checked singly, with all that its equation needs.
#[derive(Debug, Clone)]
pub struct Prepared<'a> {
    key: &'a VerifierKey,
    sigma: G1Projective,
    psi: G1Projective,
    /// ∏ H^ν · g1^y · ψ^{−r}.
    content: G1Projective,
}

impl<'a> Prepared<'a> {
    /// Checks each point of a proof for curve and subgroup, and hashes the challenged blocks' names.
    ///
    /// # Errors
    /// [`ProofError`] if the proof is malformed or the key another one.
    pub fn new(key: &'a VerifierKey, part: &Part, proof: &Proof) -> Result<Self, ProofError> {
        if part.tag_key() != key.id() {
            return Err(ProofError::WrongKey);
        }
        if part.blocks().is_empty() {
            return Err(ProofError::Empty);
        }
        let sigma = curve::g1_finite(proof.sigma()).map_err(ProofError::BadSigma)?.into();
        let psi: G1Projective = curve::g1(proof.psi()).map_err(ProofError::BadPsi)?.into();
        let y: Option<Scalar> = Scalar::from_bytes_le(proof.y()).into();
        let value = curve::generator_times(&y.ok_or(ProofError::BadValue)?);
        let hashes: Vec<_> =
            part.blocks().iter().map(|block| curve::hash_block(&block.shard, block.index)).collect();
        let coefficients: Vec<u128> = part.blocks().iter().map(|block| block.coefficient).collect();
        let names = curve::combine_short(&curve::affine(&hashes), &coefficients);
        Ok(Self { key, sigma, psi, content: names + value - psi * part.r })
    }

    /// Whether the proof holds.
    ///
    /// # Errors
    /// [`ProofError::DoesNotFit`] if not.
    pub fn check(&self) -> Result<(), ProofError> {
        let terms = [(self.sigma, &*MINUS_G2), (self.content, self.key.g2x()), (self.psi, self.key.g2xa())];
        if curve::pairings_cancel(&terms) { Ok(()) } else { Err(ProofError::DoesNotFit) }
    }
}

/// Verifies one proof.
///
/// # Errors
/// [`ProofError`] says why it proves nothing.
pub fn verify(key: &VerifierKey, part: &Part, proof: &Proof) -> Result<(), ProofError> {
    Prepared::new(key, part, proof)?.check()
}

/// Checks prepared proofs together and returns the indices of those that do not hold, in ascending order. The
/// coefficients are 128 random bits each of the checker's own, drawn when all proofs are fixed.
pub fn check_batch(proofs: &[Prepared<'_>], rng: &mut impl CryptoRng) -> Vec<usize> {
    match proofs {
        [] => Vec::new(),
        [proof] => proof.check().err().map(|_| 0).into_iter().collect(),
        _ if all_hold(proofs, rng) => Vec::new(),
        _ => {
            let (left, right) = proofs.split_at(proofs.len() / 2);
            let mut culprits = check_batch(left, rng);
            culprits.extend(check_batch(right, rng).into_iter().map(|index| index + left.len()));
            culprits
        }
    }
}

/// ∏ over proofs, each under its own power ρ: the pairings of one key come together.
fn all_hold(proofs: &[Prepared<'_>], rng: &mut impl CryptoRng) -> bool {
    let coefficients: Vec<u128> = proofs.iter().map(|_| u128::from_le_bytes(random(rng))).collect();
    let sum = |point: fn(&Prepared<'_>) -> G1Projective, key: Option<&VerifierKey>| {
        let of_key = proofs.iter().zip(&coefficients);
        let of_key = of_key.filter(|(proof, _)| key.is_none_or(|key| key.id() == proof.key.id()));
        let (points, coefficients): (Vec<_>, Vec<_>) =
            of_key.map(|(proof, coefficient)| (point(proof), *coefficient)).unzip();
        curve::combine_short(&curve::affine(&points), &coefficients)
    };
    let mut keys: Vec<&VerifierKey> = proofs.iter().map(|proof| proof.key).collect();
    keys.sort_unstable_by_key(|key| key.id());
    keys.dedup_by_key(|key| key.id());
    let mut terms: Vec<(G1Projective, &G2Prepared)> = vec![(sum(|proof| proof.sigma, None), &MINUS_G2)];
    for key in keys {
        terms.push((sum(|proof| proof.content, Some(key)), key.g2x()));
        terms.push((sum(|proof| proof.psi, Some(key)), key.g2xa()));
    }
    curve::pairings_cancel(&terms)
}
