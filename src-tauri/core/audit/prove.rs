//! The farmer's proof, from the challenged blocks alone, one at a time.
//!
//! ```text
//! A = Σ ν_i·f_i        σ = ∏ tag_i^{ν_i}        y = A(r)        ψ = g1^{(A(α) − A(r)) / (α − r)}
//! ```
//! With A = Σ_j a_j X^j, the quotient's coefficients are q_{s−2} = a_{s−1} and q_{j−1} = a_j + r·q_j, and the value
//! is y = a_0 + r·q_0.

use std::fmt;

use blstrs::{G1Affine, G1Projective, Scalar};
use group::{Group, prime::PrimeCurveAffine};
use serde::{Deserialize, Serialize};

use super::{
    ProverKey, Tag,
    challenge::Part,
    curve::{self, G1_BYTES, PointError},
    wide::{Combination, combine_block},
};

/// Why no proof was made. All are the farmer's own trouble: a block or tag that is not as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProveError {
    /// The challenge is for another tag key.
    #[error("the challenge is for another tag key")]
    WrongKey,
    /// Blocks were given that are not asked for.
    #[error("more blocks than are asked for")]
    TooManyBlocks,
    /// Blocks are missing.
    #[error("{found} of {expected} blocks")]
    BlocksMissing {
        /// Blocks asked for.
        expected: usize,
        /// Blocks given.
        found: usize,
    },
    /// A block is shorter or longer than it was.
    #[error("a block of {found} bytes, where {expected} are due")]
    WrongLength {
        /// Bytes due.
        expected: u64,
        /// Bytes given.
        found: u64,
    },
    /// A tag is damaged.
    #[error("the tag of a block is damaged: {cause}")]
    DamagedTag {
        /// Its place in [`Part::blocks`].
        block: usize,
        /// What is wrong with it.
        cause: PointError,
    },
}

/// A proof as it travels, unchecked: σ (48 bytes) ‖ y (32, little-endian) ‖ ψ (48).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "[[u8; 32]; 4]", into = "[[u8; 32]; 4]")]
pub struct Proof(pub [u8; Proof::BYTES]);

impl Proof {
    /// Bytes of a proof, whatever it proves.
    pub const BYTES: usize = 128;

    /// The proof that opens A, whose coefficients go from the constant one up, at r.
    pub(super) fn open(key: &ProverKey, sigma: &G1Projective, polynomial: &[Scalar], r: &Scalar) -> Self {
        let (y, quotient) = divide(polynomial, r);
        let psi = curve::combine_full(&key.powers()[..quotient.len()], &quotient);
        let mut bytes = [0; Self::BYTES];
        bytes[..48].copy_from_slice(&sigma.to_compressed());
        bytes[48..80].copy_from_slice(&y.to_bytes_le());
        bytes[80..].copy_from_slice(&psi.to_compressed());
        Self(bytes)
    }

    pub(super) fn sigma(&self) -> &[u8; G1_BYTES] {
        self.0.first_chunk().expect("128 bytes hold 48")
    }

    pub(super) fn y(&self) -> &[u8; 32] {
        self.0[48..].first_chunk().expect("80 bytes hold 32")
    }

    pub(super) fn psi(&self) -> &[u8; G1_BYTES] {
        self.0.last_chunk().expect("128 bytes hold 48")
    }
}

impl From<[[u8; 32]; 4]> for Proof {
    fn from(quarters: [[u8; 32]; 4]) -> Self {
        let mut bytes = [0; Self::BYTES];
        bytes.copy_from_slice(quarters.as_flattened());
        Self(bytes)
    }
}

impl From<Proof> for [[u8; 32]; 4] {
    fn from(proof: Proof) -> Self {
        std::array::from_fn(|i| proof.0[32 * i..].first_chunk().copied().expect("four quarters"))
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proof({})", data_encoding::HEXLOWER.encode(&self.0))
    }
}

/// A proof on its way; holds sums and tags, no block.
pub struct Prover<'a> {
    key: &'a ProverKey,
    part: &'a Part,
    sums: Vec<Combination>,
    tags: Vec<G1Affine>,
}

impl<'a> Prover<'a> {
    /// Begins the proof that answers this part of a challenge.
    ///
    /// # Errors
    /// [`ProveError::WrongKey`] if the part is for another key.
    pub fn new(key: &'a ProverKey, part: &'a Part) -> Result<Self, ProveError> {
        if part.tag_key != key.verifier().id() {
            return Err(ProveError::WrongKey);
        }
        let sums = vec![Combination::ZERO; key.powers().len()];
        Ok(Self { key, part, sums, tags: Vec::with_capacity(part.blocks.len()) })
    }

    /// Takes the next block of [`Part::blocks`] and its tag.
    ///
    /// # Errors
    /// [`ProveError`] if it cannot be that block, or the tag is no point.
    pub fn push(&mut self, block: &[u8], tag: &Tag) -> Result<(), ProveError> {
        let asked = self.part.blocks.get(self.tags.len()).ok_or(ProveError::TooManyBlocks)?;
        let (expected, found) = (asked.range.end - asked.range.start, block.len() as u64);
        if expected != found {
            return Err(ProveError::WrongLength { expected, found });
        }
        let block_at = self.tags.len();
        let damaged = |cause| ProveError::DamagedTag { block: block_at, cause };
        let tag = curve::g1_on_curve(&tag.0).map_err(damaged)?;
        combine_block(&mut self.sums, asked.coefficient, block);
        self.tags.push(tag);
        Ok(())
    }

    /// The proof. The tags were checked when they came; here only their sum is, against a damaged disk.
    ///
    /// # Errors
    /// [`ProveError`] if blocks are missing, or a tag turns out to be damaged. A block or tag that is wrong in
    /// another way gives a proof that fails.
    pub fn finish(self) -> Result<Proof, ProveError> {
        let (expected, found) = (self.part.blocks.len(), self.tags.len());
        if expected != found {
            return Err(ProveError::BlocksMissing { expected, found });
        }
        let coefficients: Vec<u128> = self.part.blocks.iter().map(|block| block.coefficient).collect();
        let sigma = curve::combine_short(&self.tags, &coefficients);
        if !bool::from(G1Affine::from(sigma).is_torsion_free()) {
            let wrong = |tag: &G1Affine| !bool::from(tag.is_torsion_free());
            let block = self.tags.iter().position(wrong).unwrap_or_default();
            return Err(ProveError::DamagedTag { block, cause: PointError::WrongGroup });
        }
        if bool::from(sigma.is_identity()) {
            let block = self.tags.iter().position(|tag| bool::from(tag.is_identity())).unwrap_or_default();
            return Err(ProveError::DamagedTag { block, cause: PointError::Infinity });
        }
        let polynomial: Vec<Scalar> = self.sums.iter().map(Combination::reduce).collect();
        Ok(Proof::open(self.key, &sigma, &polynomial, &self.part.r))
    }
}

/// A(r), and the coefficients of (A − A(r)) / (X − r).
fn divide(polynomial: &[Scalar], r: &Scalar) -> (Scalar, Vec<Scalar>) {
    let mut quotient = vec![Scalar::default(); polynomial.len() - 1];
    let mut above = Scalar::default();
    for (j, coefficient) in polynomial.iter().enumerate().rev() {
        above = *coefficient + *r * above;
        if j > 0 {
            quotient[j - 1] = above;
        }
    }
    (above, quotient)
}
