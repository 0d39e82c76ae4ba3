//! The group operations that the scheme needs, over blst's safe wrappers.
//!
//! Invariant: every point that comes from bytes was checked singly for curve and subgroup, unless its name says
//! otherwise. G1's cofactor has small factors, so that a batch alone would let a part of order 3 through one time in
//! three.

use std::sync::LazyLock;

use blst::{MultiPoint, blst_p1, blst_p1_affine, p1_affines};
use blstrs::{Bls12, G1Affine, G1Projective, G2Affine, G2Prepared, Gt, Scalar};
use group::{Group, prime::PrimeCurveAffine};
use pairing::{MillerLoopResult, MultiMillerLoop};
use serde::{Deserialize, Serialize};

use crate::ShardId;

/// Domain of the hash to the curve; no other use of RFC 9380 in Hayloft has it.
pub(super) const HASH_DOMAIN: &[u8] = b"HAYLOFT-V01-AUDIT-BLOCK-with-BLS12381G1_XMD:SHA-256_SSWU_RO_";

/// Bytes of a point of G1.
pub(super) const G1_BYTES: usize = 48;
/// Bytes of a point of G2.
pub(super) const G2_BYTES: usize = 96;

/// Why bytes are no point that the scheme takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum PointError {
    /// Not the one compressed encoding of a point of the curve; also the two points of order 3, with x = 0.
    #[error("not the encoding of a point of the curve")]
    NotOnCurve,
    /// On the curve, but outside the group of prime order.
    #[error("a point outside the group of prime order")]
    WrongGroup,
    /// The point at infinity, where it has no place.
    #[error("the point at infinity")]
    Infinity,
}

/// A point of G1, checked for curve and subgroup; infinity passes.
pub(super) fn g1(bytes: &[u8; G1_BYTES]) -> Result<G1Affine, PointError> {
    let point = g1_on_curve(bytes)?;
    if bool::from(point.is_torsion_free()) { Ok(point) } else { Err(PointError::WrongGroup) }
}

/// A point of G1 other than infinity.
pub(super) fn g1_finite(bytes: &[u8; G1_BYTES]) -> Result<G1Affine, PointError> {
    let point = g1(bytes)?;
    if bool::from(point.is_identity()) { Err(PointError::Infinity) } else { Ok(point) }
}

/// A point of the curve, perhaps outside G1: only for sums that are checked themselves.
pub(super) fn g1_on_curve(bytes: &[u8; G1_BYTES]) -> Result<G1Affine, PointError> {
    Option::from(G1Affine::from_compressed_unchecked(bytes)).ok_or(PointError::NotOnCurve)
}

/// A point of G2 other than infinity.
pub(super) fn g2_finite(bytes: &[u8; G2_BYTES]) -> Result<G2Affine, PointError> {
    let point: Option<G2Affine> = G2Affine::from_compressed_unchecked(bytes).into();
    let point = point.ok_or(PointError::NotOnCurve)?;
    if !bool::from(point.is_torsion_free()) {
        return Err(PointError::WrongGroup);
    }
    if bool::from(point.is_identity()) { Err(PointError::Infinity) } else { Ok(point) }
}

/// H(id ‖ index): RFC 9380, SSWU, random oracle.
pub(super) fn hash_block(ShardId(id): &ShardId, index: u64) -> G1Projective {
    let mut message = [0; 40];
    message[..32].copy_from_slice(id);
    message[32..].copy_from_slice(&index.to_le_bytes());
    G1Projective::hash_to_curve(&message, HASH_DOMAIN, &[])
}

/// All points in affine form, by one inversion.
pub(super) fn affine(points: &[G1Projective]) -> Vec<G1Affine> {
    if points.is_empty() {
        return Vec::new();
    }
    let raw: Vec<blst_p1> = points.iter().map(|point| *point.as_ref()).collect();
    p1_affines::from(&raw).as_slice().iter().map(from_raw).collect()
}

fn from_raw(raw: &blst_p1_affine) -> G1Affine {
    let mut point = G1Affine::identity();
    *point.as_mut() = *raw;
    point
}

/// Σ coefficient · point, over coefficients of 128 bits.
pub(super) fn combine_short(points: &[G1Affine], coefficients: &[u128]) -> G1Projective {
    let bytes: Vec<u8> = coefficients.iter().flat_map(|coefficient| coefficient.to_le_bytes()).collect();
    combine(points, &bytes, 128)
}

/// Σ scalar · point.
pub(super) fn combine_full(points: &[G1Affine], scalars: &[Scalar]) -> G1Projective {
    let bytes: Vec<u8> = scalars.iter().flat_map(Scalar::to_bytes_le).collect();
    combine(points, &bytes, 255)
}

fn combine(points: &[G1Affine], scalars: &[u8], bits: usize) -> G1Projective {
    assert_eq!(points.len() * bits.div_ceil(8), scalars.len(), "one scalar for each point");
    let mut sum = G1Projective::identity();
    if !points.is_empty() {
        let raw: Vec<blst_p1_affine> = points.iter().map(|point| *point.as_ref()).collect();
        *sum.as_mut() = raw.as_slice().mult(scalars, bits);
    }
    sum
}

const WINDOWS: usize = 32;
const DIGITS: usize = 255;

/// d · 256^w · g1 for each window w and digit d > 0: 780 KB, made once.
static GENERATOR_TABLE: LazyLock<Vec<G1Affine>> = LazyLock::new(|| {
    let mut points = Vec::with_capacity(WINDOWS * DIGITS);
    let mut base = G1Projective::generator();
    for _ in 0..WINDOWS {
        let mut multiple = base;
        for _ in 0..DIGITS {
            points.push(multiple);
            multiple += base;
        }
        base = multiple;
    }
    affine(&points)
});

/// scalar · g1, with a table. Its accesses to memory depend on the scalar.
pub(super) fn generator_times(scalar: &Scalar) -> G1Projective {
    let windows = GENERATOR_TABLE.chunks_exact(DIGITS).zip(scalar.to_bytes_le());
    let digits = windows.filter_map(|(window, digit)| window.get(usize::from(digit).checked_sub(1)?));
    digits.fold(G1Projective::identity(), |sum, point| sum + point)
}

/// −g2, ready for pairings.
pub(super) static MINUS_G2: LazyLock<G2Prepared> = LazyLock::new(|| (-G2Affine::generator()).into());

/// Whether ∏ e(point, other) = 1.
pub(super) fn pairings_cancel(terms: &[(G1Projective, &G2Prepared)]) -> bool {
    let points: Vec<G1Projective> = terms.iter().map(|(point, _)| *point).collect();
    let points = affine(&points);
    let terms: Vec<_> = points.iter().zip(terms).map(|(point, (_, other))| (point, *other)).collect();
    Bls12::multi_miller_loop(&terms).final_exponentiation() == Gt::identity()
}
