//! Keys: the owner's secret (α, x), what verifiers need of it, and what provers need beside that.
//!
//! ```text
//! α, x            = HKDF of the role "audit key" under "alpha <n>", "x <n>": 32 bytes little-endian, the topmost bit
//!                   cleared, of the first n = 0, 1, … that gives a number from 1 to the group's order − 1
//! verifier key    = 1 ‖ u16 s ‖ g2^x (96) ‖ g2^{xα} (96)
//! its id          = BLAKE3("hayloft audit key 1" ‖ verifier key)
//! prover key      = verifier key ‖ g1^{α^0} (48) ‖ … ‖ g1^{α^{s−1}} (48)
//! ```
//! Integers are little-endian, points compressed as usual for BLS12-381.

use blstrs::{G1Affine, G2Affine, G2Prepared, G2Projective, Scalar};
use ff::Field;
use group::{Curve, Group};
use rand::CryptoRng;
use zeroize::Zeroizing;

use super::{
    Sectors,
    curve::{self, G1_BYTES, G2_BYTES, PointError},
    wide::scalar_limbs,
};
use crate::{
    keys::{AuditRoot, hidden},
    manifest::random,
};

const VERSION: u8 = 1;

/// Names a verifier key: what [`crate::contract::ShardEntry`] has as its tag key.
pub type TagKeyId = [u8; 32];

/// Why a key is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Of a version, or a number of sectors, that this release does not know.
    #[error("an audit key of an unknown format")]
    UnknownFormat,
    /// Too few or too many bytes.
    #[error("an audit key of {found} bytes, where {expected} are due")]
    WrongLength {
        /// Bytes due.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// g2^x or g2^{xα} is no good point.
    #[error("the audit key's verifier part is bad: {0}")]
    BadVerifierPoint(PointError),
    /// A power of α is no good point.
    #[error("power {index} of the audit key is bad: {cause}")]
    BadPower {
        /// Which.
        index: usize,
        /// Why.
        cause: PointError,
    },
    /// The first power is not the generator.
    #[error("the audit key's powers do not begin with the generator")]
    WrongGenerator,
    /// The powers are not the powers of the α in g2^{xα}.
    #[error("the audit key's powers do not agree with each other")]
    PowersDisagree,
}

/// The owner's secret: whoever has it can tag, and forge.
#[derive(Clone)]
pub struct AuditKey {
    sectors: Sectors,
    x: Zeroizing<[u8; 32]>,
    alpha: Zeroizing<[u8; 32]>,
}
hidden!(AuditKey);

impl AuditKey {
    /// The key that comes from an owner's recovery phrase.
    pub fn derive(root: &AuditRoot, sectors: Sectors) -> Self {
        Self { sectors, x: secret(root, "x"), alpha: secret(root, "alpha") }
    }

    /// The secret exponent x.
    pub(super) fn x(&self) -> Scalar {
        scalar(&self.x)
    }

    /// Sectors per block.
    pub fn sectors(&self) -> Sectors {
        self.sectors
    }

    /// α^0, …, α^{s−1}.
    fn powers(&self) -> impl Iterator<Item = Scalar> {
        let alpha = scalar(&self.alpha);
        std::iter::successors(Some(Scalar::ONE), move |power| Some(power * alpha)).take(self.sectors.count())
    }

    pub(super) fn power_limbs(&self) -> Zeroizing<Vec<[u64; 4]>> {
        let mut limbs = Zeroizing::new(Vec::with_capacity(self.sectors.count()));
        limbs.extend(self.powers().map(|power| scalar_limbs(&power)));
        limbs
    }

    /// What verifiers need.
    pub fn verifier_key(&self) -> VerifierKey {
        let g2x = G2Projective::generator() * self.x();
        VerifierKey::new(self.sectors, g2x.to_affine(), (g2x * scalar(&self.alpha)).to_affine())
    }

    /// What provers need.
    pub fn prover_key(&self) -> ProverKey {
        let powers: Vec<_> = self.powers().map(|power| curve::generator_times(&power)).collect();
        ProverKey { verifier: self.verifier_key(), powers: curve::affine(&powers) }
    }
}

fn secret(root: &AuditRoot, name: &str) -> Zeroizing<[u8; 32]> {
    let candidates = (0_u64..).map(|attempt| {
        let mut bytes = root.derive(&format!("{name} {attempt}"));
        bytes[31] &= 0x7f;
        bytes
    });
    let good = |bytes: &Zeroizing<[u8; 32]>| {
        Option::<Scalar>::from(Scalar::from_bytes_le(bytes))
            .is_some_and(|scalar| !bool::from(scalar.is_zero()))
    };
    candidates.into_iter().find(good).expect("nine of ten candidates are good")
}

fn scalar(bytes: &[u8; 32]) -> Scalar {
    Option::from(Scalar::from_bytes_le(bytes)).expect("checked when it was made")
}

/// All that a verifier needs of an owner, ready for pairings.
#[derive(Clone)]
pub struct VerifierKey {
    id: TagKeyId,
    sectors: Sectors,
    bytes: Vec<u8>,
    g2x: G2Prepared,
    g2xa: G2Prepared,
}

impl VerifierKey {
    /// Bytes of its encoding.
    pub const BYTES: usize = 3 + 2 * G2_BYTES;

    fn new(sectors: Sectors, g2x: G2Affine, g2xa: G2Affine) -> Self {
        let mut bytes = vec![VERSION];
        bytes.extend(u16::from(sectors).to_le_bytes());
        bytes.extend(g2x.to_compressed());
        bytes.extend(g2xa.to_compressed());
        let id = *blake3::Hasher::new().update(b"hayloft audit key 1").update(&bytes).finalize().as_bytes();
        Self { id, sectors, bytes, g2x: g2x.into(), g2xa: g2xa.into() }
    }

    /// Accepts a verifier key: both points in their group, neither of them infinity.
    ///
    /// # Errors
    /// [`KeyError`] if it is no sound key.
    pub fn decode(bytes: &[u8]) -> Result<Self, KeyError> {
        if bytes.len() != Self::BYTES {
            return Err(KeyError::WrongLength { expected: Self::BYTES, found: bytes.len() });
        }
        let (head, points) = bytes.split_at(3);
        let sectors = Sectors::try_from(u16::from_le_bytes([head[1], head[2]]));
        let sectors = sectors.ok().filter(|_| head[0] == VERSION).ok_or(KeyError::UnknownFormat)?;
        let point = |at: usize| {
            let bytes = points[at..at + G2_BYTES].try_into().expect("the length was checked");
            curve::g2_finite(bytes).map_err(KeyError::BadVerifierPoint)
        };
        Ok(Self::new(sectors, point(0)?, point(G2_BYTES)?))
    }

    /// The one encoding.
    pub fn encode(&self) -> &[u8] {
        &self.bytes
    }

    /// The name that contracts know it by.
    pub fn id(&self) -> TagKeyId {
        self.id
    }

    /// Sectors per block.
    pub fn sectors(&self) -> Sectors {
        self.sectors
    }

    /// g2^x.
    pub(super) fn g2x(&self) -> &G2Prepared {
        &self.g2x
    }

    /// g2^{xα}.
    pub(super) fn g2xa(&self) -> &G2Prepared {
        &self.g2xa
    }
}

impl std::fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VerifierKey({})", data_encoding::HEXLOWER.encode(&self.id[..4]))
    }
}

/// All that a farmer needs of an owner, to check tags and to prove.
#[derive(Clone, Debug)]
pub struct ProverKey {
    verifier: VerifierKey,
    powers: Vec<G1Affine>,
}

impl ProverKey {
    /// Bytes of the longest encoding.
    pub const MAX_BYTES: usize = VerifierKey::BYTES + 4096 * G1_BYTES;

    /// Accepts an owner's key: each point singly in its group; P₀ = g1; and, under random coefficients,
    /// e(P_{j+1}, g2^x) = e(P_j, g2^{xα}) for each j, so that P_j = g1^{α^j} for the α in g2^{xα}.
    ///
    /// # Errors
    /// [`KeyError`] if it is no sound key.
    pub fn decode(bytes: &[u8], rng: &mut impl CryptoRng) -> Result<Self, KeyError> {
        let (verifier, powers) = bytes.split_at(bytes.len().min(VerifierKey::BYTES));
        let verifier = VerifierKey::decode(verifier)?;
        let count = verifier.sectors.count();
        let expected = VerifierKey::BYTES + count * G1_BYTES;
        if bytes.len() != expected {
            return Err(KeyError::WrongLength { expected, found: bytes.len() });
        }
        let points = powers.chunks_exact(G1_BYTES).enumerate().map(|(index, bytes)| {
            let point = curve::g1_finite(bytes.try_into().expect("chunks are exact"));
            point.map_err(|cause| KeyError::BadPower { index, cause })
        });
        let powers = points.collect::<Result<Vec<_>, _>>()?;
        let key = Self { verifier, powers };
        key.check_powers(rng).map(|()| key)
    }

    fn check_powers(&self, rng: &mut impl CryptoRng) -> Result<(), KeyError> {
        let steps = self.powers.len() - 1;
        if G1Affine::from(curve::generator_times(&Scalar::ONE)) != self.powers[0] {
            return Err(KeyError::WrongGenerator);
        }
        let coefficients: Vec<u128> = (0..steps).map(|_| u128::from_le_bytes(random(rng))).collect();
        let next = curve::combine_short(&self.powers[1..], &coefficients);
        let this = curve::combine_short(&self.powers[..steps], &coefficients);
        let agree = curve::pairings_cancel(&[(next, &self.verifier.g2x), (-this, &self.verifier.g2xa)]);
        if agree { Ok(()) } else { Err(KeyError::PowersDisagree) }
    }

    /// The one encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.verifier.bytes.clone();
        bytes.extend(self.powers.iter().flat_map(G1Affine::to_compressed));
        bytes
    }

    /// The form in which whoever has checked the key keeps it: the powers uncompressed, so that it is read in a moment.
    pub fn to_kept(&self) -> Vec<u8> {
        let mut bytes = self.verifier.bytes.clone();
        bytes.extend(self.powers.iter().flat_map(G1Affine::to_uncompressed));
        bytes
    }

    /// A key from one's own disk, which is trusted for what was checked when the key came: only that the points lie on
    /// the curve is checked again.
    ///
    /// # Errors
    /// [`KeyError`] if it is not what [`Self::to_kept`] gave.
    pub fn from_kept(bytes: &[u8]) -> Result<Self, KeyError> {
        let (verifier, powers) = bytes.split_at(bytes.len().min(VerifierKey::BYTES));
        let verifier = VerifierKey::decode(verifier)?;
        let expected = VerifierKey::BYTES + verifier.sectors.count() * 2 * G1_BYTES;
        if bytes.len() != expected {
            return Err(KeyError::WrongLength { expected, found: bytes.len() });
        }
        let points = powers.chunks_exact(2 * G1_BYTES).enumerate().map(|(index, bytes)| {
            let bytes = bytes.try_into().expect("chunks are exact");
            let point: Option<G1Affine> = G1Affine::from_uncompressed_unchecked(bytes).into();
            point.ok_or(KeyError::BadPower { index, cause: PointError::NotOnCurve })
        });
        Ok(Self { powers: points.collect::<Result<_, _>>()?, verifier })
    }

    /// The part that verifiers need.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// g1^{α^j} for each j.
    pub(super) fn powers(&self) -> &[G1Affine] {
        &self.powers
    }
}
