//! Sums of products of plain integers, reduced once at the end: the inner loops of tagging, checking and proving.
//!
//! With m < 2^248 a sector, a < 2^255 a power of α and ν < 2^128 a coefficient, Σ m·a over 4096 sectors stays below
//! 2^515 (nine limbs), and Σ ν·m over 2^72 blocks below 2^448 (seven limbs): nothing overflows, so nothing needs to
//! be reduced on the way, nor brought into Montgomery form.

use blstrs::Scalar;
use ff::Field;

/// An unreduced sum of W little-endian limbs.
#[derive(Clone, Copy)]
pub(super) struct Wide<const W: usize>([u64; W]);

/// Σ sector · power.
pub(super) type Evaluation = Wide<9>;
/// Σ coefficient · sector.
pub(super) type Combination = Wide<7>;

impl<const W: usize> Wide<W> {
    pub(super) const ZERO: Self = Self([0; W]);

    /// Adds a · b. The whole sum must stay below 2^(64 W).
    #[inline(always)]
    pub(super) fn add_product<const N: usize, const M: usize>(&mut self, a: &[u64; N], b: &[u64; M]) {
        const { assert!(N + M <= W, "a product has to fit") };
        let mut product = [0; W];
        for (i, &a) in a.iter().enumerate() {
            let mut carry = 0;
            for (j, &b) in b.iter().enumerate() {
                let sum = u128::from(product[i + j]) + u128::from(a) * u128::from(b) + u128::from(carry);
                (product[i + j], carry) = (sum as u64, (sum >> 64) as u64);
            }
            product[i + M] = carry;
        }
        let mut carry = false;
        for (limb, product) in self.0.iter_mut().zip(product) {
            (*limb, carry) = add(*limb, product, carry);
        }
    }

    /// The sum modulo the group's order.
    pub(super) fn reduce(&self) -> Scalar {
        let shift = Scalar::from(u64::MAX) + Scalar::ONE;
        self.0.iter().rev().fold(Scalar::ZERO, |sum, &limb| sum * shift + Scalar::from(limb))
    }
}

#[inline(always)]
fn add(a: u64, b: u64, carry: bool) -> (u64, bool) {
    let (sum, first) = a.overflowing_add(b);
    let (sum, second) = sum.overflowing_add(carry.into());
    (sum, first | second)
}

/// A coefficient as limbs.
pub(super) fn coefficient_limbs(coefficient: u128) -> [u64; 2] {
    [coefficient as u64, (coefficient >> 64) as u64]
}

/// A scalar as limbs, in plain form.
pub(super) fn scalar_limbs(scalar: &Scalar) -> [u64; 4] {
    let bytes = scalar.to_bytes_le();
    std::array::from_fn(|i| u64::from_le_bytes(bytes[8 * i..8 * i + 8].try_into().expect("eight bytes")))
}

/// Adds `coefficient` times a block's polynomial to the sums, one per sector.
pub(super) fn combine_block(sums: &mut [Combination], coefficient: u128, block: &[u8]) {
    let coefficient = coefficient_limbs(coefficient);
    for (sum, sector) in sums.iter_mut().zip(super::sectors::sectors(block)) {
        sum.add_product(&coefficient, &sector);
    }
}
