//! The scheme once more: slow, obvious, on another library, importing nothing from `core::audit`. It knows α and x
//! and uses them wherever that makes an equation plainer.

use bls12_381::{
    G1Affine, G1Projective, G2Affine, G2Projective, Scalar,
    hash_to_curve::{ExpandMsgXmd, HashToCurve},
    pairing,
};
use hkdf::Hkdf;
use sha2::Sha256;

pub(super) struct Reference {
    pub(super) s: usize,
    pub(super) x: Scalar,
    pub(super) alpha: Scalar,
}

/// Shard id, index, coefficient.
pub(super) type Asked = ([u8; 32], u64, u128);

/// What one proof answers.
#[derive(Debug, PartialEq)]
pub(super) struct Question {
    pub(super) tag_key: [u8; 32],
    pub(super) blocks: Vec<Asked>,
    pub(super) r: Scalar,
}

/// A transcript's fields in their order; a beacon is a ledger, the scope an epoch.
pub(super) struct Fields {
    pub(super) network: String,
    pub(super) contract: [u8; 32],
    pub(super) revision: u64,
    pub(super) root: [u8; 32],
    pub(super) farmer: [u8; 32],
    pub(super) epoch: u64,
    pub(super) beacon: (u64, [u8; 32]),
    pub(super) order: (u64, [u8; 32]),
    pub(super) sectors: u16,
    pub(super) blocks: u16,
}

pub(super) struct Shard {
    pub(super) id: [u8; 32],
    pub(super) bytes: u64,
    pub(super) tag_key: Option<[u8; 32]>,
}

impl Reference {
    pub(super) fn new(root: &[u8; 32], s: usize) -> Self {
        let secret = |name: &str| {
            let mut attempt = 0;
            loop {
                let mut bytes = [0; 32];
                let label = format!("{name} {attempt}");
                Hkdf::<Sha256>::new(Some(b"hayloft"), root).expand(label.as_bytes(), &mut bytes).unwrap();
                bytes[31] &= 127;
                let scalar: Option<Scalar> = Scalar::from_bytes(&bytes).into();
                match scalar {
                    Some(scalar) if scalar != Scalar::zero() => break scalar,
                    _ => attempt += 1,
                }
            }
        };
        Self { s, x: secret("x"), alpha: secret("alpha") }
    }

    pub(super) fn verifier_key(&self) -> Vec<u8> {
        let mut bytes = vec![1];
        bytes.extend((self.s as u16).to_le_bytes());
        bytes.extend(G2Affine::from(G2Projective::generator() * self.x).to_compressed());
        bytes.extend(G2Affine::from(G2Projective::generator() * self.x * self.alpha).to_compressed());
        bytes
    }

    pub(super) fn key_id(&self) -> [u8; 32] {
        *blake3::hash(&[b"hayloft audit key 1", self.verifier_key().as_slice()].concat()).as_bytes()
    }

    pub(super) fn prover_key(&self) -> Vec<u8> {
        let mut bytes = self.verifier_key();
        for j in 0..self.s {
            let power = power(self.alpha, j);
            bytes.extend(G1Affine::from(G1Projective::generator() * power).to_compressed());
        }
        bytes
    }

    /// The block as field elements.
    fn sectors(&self, block: &[u8]) -> Vec<Scalar> {
        let sector = |j: usize| {
            let mut bytes = [0; 32];
            let there = block.iter().skip(31 * j).take(31);
            bytes.iter_mut().zip(there).for_each(|(byte, there)| *byte = *there);
            Scalar::from_bytes(&bytes).unwrap()
        };
        (0..self.s).map(sector).collect()
    }

    pub(super) fn tag(&self, id: &[u8; 32], index: u64, block: &[u8]) -> [u8; 48] {
        let value = evaluate(&self.sectors(block), self.alpha);
        let point = (hash(id, index) + G1Projective::generator() * value) * self.x;
        G1Affine::from(point).to_compressed()
    }

    pub(super) fn tags(&self, id: &[u8; 32], shard: &[u8]) -> Vec<[u8; 48]> {
        (0..).zip(shard.chunks(31 * self.s)).map(|(i, block)| self.tag(id, i, block)).collect()
    }

    /// σ ‖ y ‖ ψ for these blocks with their coefficients, from the blocks and the secrets.
    pub(super) fn prove(&self, asked: &[(Asked, &[u8])], r: Scalar) -> Vec<u8> {
        let mut sum = vec![Scalar::zero(); self.s];
        let mut sigma = G1Projective::identity();
        for ((id, index, coefficient), block) in asked {
            let coefficient = from_u128(*coefficient);
            for (sum, sector) in sum.iter_mut().zip(self.sectors(block)) {
                *sum += coefficient * sector;
            }
            sigma += G1Projective::from(G1Affine::from_compressed(&self.tag(id, *index, block)).unwrap())
                * coefficient;
        }
        let (at_alpha, y) = (evaluate(&sum, self.alpha), evaluate(&sum, r));
        let psi = G1Projective::generator() * ((at_alpha - y) * (self.alpha - r).invert().unwrap());
        let mut proof = G1Affine::from(sigma).to_compressed().to_vec();
        proof.extend(y.to_bytes());
        proof.extend(G1Affine::from(psi).to_compressed());
        proof
    }
}

/// e(σ, g2) = e(∏ H^ν · g1^y, g2^x) · e(ψ, g2^{xα} · g2^{−xr}), with the multiplication in G2.
pub(super) fn verify(verifier_key: &[u8], question: &Question, proof: &[u8]) -> bool {
    let g2 = |at: usize| G2Affine::from_compressed(verifier_key[at..at + 96].try_into().unwrap());
    let g1 = |at: usize| G1Affine::from_compressed(proof[at..at + 48].try_into().unwrap());
    let (Some(g2x), Some(g2xa)) = (g2(3).into(), g2(99).into()) else { return false };
    let (Some(sigma), Some(psi)) = (g1(0).into(), g1(80).into()) else { return false };
    let y: Option<Scalar> = Scalar::from_bytes(proof[48..80].try_into().unwrap()).into();
    let Some(y) = y else { return false };
    let (sigma, psi, g2x, g2xa): (G1Affine, G1Affine, G2Affine, G2Affine) = (sigma, psi, g2x, g2xa);
    let mut content = G1Projective::generator() * y;
    for (id, index, coefficient) in &question.blocks {
        content += hash(id, *index) * from_u128(*coefficient);
    }
    let opening = G2Affine::from(G2Projective::from(g2xa) - g2x * question.r);
    let right = pairing(&content.into(), &g2x) + pairing(&psi, &opening);
    !bool::from(sigma.is_identity()) && pairing(&sigma, &G2Affine::generator()) == right
}

pub(super) fn hash(id: &[u8; 32], index: u64) -> G1Projective {
    let message = [id.as_slice(), &index.to_le_bytes()].concat();
    let domain = b"HAYLOFT-V01-AUDIT-BLOCK-with-BLS12381G1_XMD:SHA-256_SSWU_RO_";
    <G1Projective as HashToCurve<ExpandMsgXmd<sha2_for_bls12_381::Sha256>>>::hash_to_curve([message], domain)
}

fn from_u128(number: u128) -> Scalar {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&number.to_le_bytes());
    Scalar::from_bytes(&bytes).unwrap()
}

fn power(base: Scalar, exponent: usize) -> Scalar {
    (0..exponent).fold(Scalar::one(), |power, _| power * base)
}

fn evaluate(polynomial: &[Scalar], at: Scalar) -> Scalar {
    (0..)
        .zip(polynomial)
        .map(|(j, coefficient)| *coefficient * power(at, j))
        .fold(Scalar::zero(), |a, b| a + b)
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 128 {
        out.push(number as u8 | 128);
        number >>= 7;
    }
    out.push(number as u8);
}

fn text(out: &mut Vec<u8>, text: &str) {
    varint(out, text.len() as u64);
    out.extend(text.as_bytes());
}

fn ledger(out: &mut Vec<u8>, (sequence, hash): &(u64, [u8; 32])) {
    out.push(0);
    varint(out, *sequence);
    out.extend(hash);
}

pub(super) fn seed(fields: &Fields) -> [u8; 32] {
    let mut out = vec![1];
    text(&mut out, "hayloft");
    text(&mut out, "audit transcript");
    text(&mut out, &fields.network);
    text(&mut out, &fields.network);
    out.extend(fields.contract);
    varint(&mut out, fields.revision);
    out.extend(fields.root);
    out.extend(fields.farmer);
    varint(&mut out, fields.epoch);
    ledger(&mut out, &fields.beacon);
    ledger(&mut out, &fields.order);
    varint(&mut out, fields.sectors.into());
    out.push(0);
    varint(&mut out, fields.blocks.into());
    *blake3::hash(&out).as_bytes()
}

/// The first bytes of a stream, more than anything below needs.
fn stream(seed: &[u8; 32], label: &str, extra: &[u8]) -> std::vec::IntoIter<u8> {
    let mut bytes = vec![0; 1 << 16];
    let input = [format!("hayloft audit {label} 1").as_bytes(), extra].concat();
    blake3::Hasher::new_keyed(seed).update(&input).finalize_xof().fill(&mut bytes);
    bytes.into_iter()
}

fn take<const N: usize>(stream: &mut std::vec::IntoIter<u8>) -> [u8; N] {
    std::array::from_fn(|_| stream.next().unwrap())
}

fn below(stream: &mut std::vec::IntoIter<u8>, bound: u64) -> u64 {
    let bits = (0..=64).find(|bits| (u128::from(bound) - 1) >> bits == 0).unwrap();
    loop {
        let number = (u128::from(u64::from_le_bytes(take(stream))) % (1 << bits)) as u64;
        if number < bound {
            return number;
        }
    }
}

pub(super) fn challenge(fields: &Fields, shards: &[Shard]) -> Vec<Question> {
    let seed = seed(fields);
    let mut all: Vec<([u8; 32], u64, [u8; 32])> = Vec::new();
    let mut touched: Vec<([u8; 32], u64)> = Vec::new();
    let mut order = vec![1];
    ledger(&mut order, &fields.order);
    let order = *blake3::hash(&order).as_bytes();
    for shard in shards {
        let Some(tag_key) = shard.tag_key else { continue };
        let blocks = shard.bytes.div_ceil(31 * u64::from(fields.sectors));
        all.extend((0..blocks).map(|index| (shard.id, index, tag_key)));
        if below(&mut stream(&order, "turn", &shard.id), 30) == fields.epoch % 30 {
            touched.push((shard.id, below(&mut stream(&seed, "touch", &shard.id), blocks)));
        }
    }
    let mut chosen = vec![all.len() <= fields.blocks.into(); all.len()];
    let mut draws = stream(&seed, "blocks", &[]);
    while chosen.iter().filter(|chosen| **chosen).count() < all.len().min(fields.blocks.into()) {
        chosen[below(&mut draws, all.len() as u64) as usize] = true;
    }
    for (chosen, (id, index, _)) in chosen.iter_mut().zip(&all) {
        *chosen |= touched.contains(&(*id, *index));
    }
    let mut coefficients = stream(&seed, "coefficients", &[]);
    let mut questions: Vec<Question> = Vec::new();
    for (_, (id, index, tag_key)) in chosen.iter().zip(all).filter(|(chosen, _)| **chosen) {
        let asked = (id, index, u128::from_le_bytes(take(&mut coefficients)));
        match questions.iter_mut().find(|question| question.tag_key == tag_key) {
            Some(question) => question.blocks.push(asked),
            None => questions.push(Question { tag_key, blocks: vec![asked], r: point(&seed, &tag_key) }),
        }
    }
    questions.sort_by_key(|question| question.tag_key);
    questions
}

fn point(seed: &[u8; 32], tag_key: &[u8; 32]) -> Scalar {
    let mut stream = stream(seed, "point", tag_key);
    loop {
        let mut bytes: [u8; 32] = take(&mut stream);
        bytes[31] &= 127;
        if let Some(point) = Scalar::from_bytes(&bytes).into() {
            return point;
        }
    }
}
