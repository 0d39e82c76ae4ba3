//! Points that are none, or in the wrong group, wherever a stranger can put one.

use bls12_381 as slow;
use blstrs::G1Affine;
use group::{Curve, Group};

use super::*;

type G1Bytes = [u8; 48];

/// n · point by doubling and adding, which holds on the whole curve.
fn times(point: slow::G1Projective, big_endian: &[u8]) -> slow::G1Projective {
    let bits = big_endian.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1));
    bits.fold(
        slow::G1Projective::identity(),
        |sum, bit| if bit { sum.double() + point } else { sum.double() },
    )
}

const ORDER: &str = "73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001";

/// A point of the curve outside G1.
fn outside() -> slow::G1Affine {
    let mut bytes = [0; 48];
    bytes[0] = 0x80;
    let candidates = (1..).map(|x: u8| {
        bytes[47] = x;
        Option::<slow::G1Affine>::from(slow::G1Affine::from_compressed_unchecked(&bytes))
    });
    let outside = |point: &slow::G1Affine| !bool::from(point.is_torsion_free());
    candidates.into_iter().flatten().find(outside).unwrap()
}

/// A point of order 3: x = 0, y = 2.
pub(super) fn of_order_3() -> G1Bytes {
    let mut bytes = [0; 48];
    bytes[0] = 0x80;
    let point = slow::G1Affine::from_compressed_unchecked(&bytes).unwrap();
    assert!(bool::from(times(point.into(), &[3]).is_identity()));
    bytes
}

/// A point of order 11: the cofactor is 3 · 11² · 10177² · 859267² · 52437899².
pub(super) fn of_order_11() -> G1Bytes {
    let order = data_encoding::HEXLOWER.decode(ORDER.as_bytes()).unwrap();
    let mut point = times(outside().into(), &order);
    for factor in [3_u32, 10177, 10177, 859267, 859267, 52437899, 52437899] {
        point = times(point, &factor.to_be_bytes());
    }
    assert!(!bool::from(point.is_identity()));
    let eleven = times(point, &[11]);
    let point = if bool::from(eleven.is_identity()) { point } else { eleven };
    assert!(bool::from(times(point, &[11]).is_identity()));
    slow::G1Affine::from(point).to_compressed()
}

/// A good point with a part outside the group.
pub(super) fn plus(good: &G1Bytes, bad: &G1Bytes) -> G1Bytes {
    let point = |bytes| slow::G1Affine::from_compressed_unchecked(bytes).unwrap();
    let sum: slow::G1Projective = slow::G1Projective::from(point(good)) + point(bad);
    slow::G1Affine::from(sum).to_compressed()
}

/// Encodings that are refused, and why; infinity apart.
pub(super) fn bad_points(good: &G1Bytes) -> Vec<(&'static str, G1Bytes, PointError)> {
    let with = |edit: fn(&mut G1Bytes)| {
        let mut bytes = [0; 48];
        edit(&mut bytes);
        bytes
    };
    let off_curve = (1..).map(|x: u8| {
        let mut bytes = [0; 48];
        (bytes[0], bytes[47]) = (0x80, x);
        bytes
    });
    let no_point = |bytes: &G1Bytes| slow::G1Affine::from_compressed_unchecked(bytes).is_none().into();
    let uncompressed_flag = {
        let mut bytes = *good;
        bytes[0] &= 0x7f;
        bytes
    };
    vec![
        ("off the curve", off_curve.into_iter().find(no_point).unwrap(), PointError::NotOnCurve),
        ("x above the modulus", [0x9f; 48], PointError::NotOnCurve),
        ("zeros", [0; 48], PointError::NotOnCurve),
        ("without the flag of compression", uncompressed_flag, PointError::NotOnCurve),
        ("infinity with a sign", with(|bytes| bytes[0] = 0xe0), PointError::NotOnCurve),
        ("infinity with an x", with(|bytes| (bytes[0], bytes[47]) = (0xc0, 1)), PointError::NotOnCurve),
        ("of order 3", of_order_3(), PointError::NotOnCurve), // blst already refuses to decode x = 0
        ("of order 11", of_order_11(), PointError::WrongGroup),
        ("with a part of order 3", plus(good, &of_order_3()), PointError::WrongGroup),
        ("with a part of order 11", plus(good, &of_order_11()), PointError::WrongGroup),
        ("outside the group", outside().to_compressed(), PointError::WrongGroup),
    ]
}

pub(super) const INFINITY: G1Bytes = {
    let mut bytes = [0; 48];
    bytes[0] = 0xc0;
    bytes
};

fn all_bad(good: &G1Bytes) -> Vec<(&'static str, G1Bytes, PointError)> {
    let mut bad = bad_points(good);
    bad.push(("infinity", INFINITY, PointError::Infinity));
    bad
}

#[test]
fn every_bad_point_is_refused_as_a_tag() {
    let world = World::new(&[BLOCK]);
    let Kept { entry, bytes, tags } = &world.shards[0];
    for (name, bad, cause) in all_bad(&tags[0].0) {
        let mut batch = TagBatch::new(&world.provers[0]);
        let refused = batch.add(&entry.id, 0, bytes, &Tag(bad), &mut rng(name));
        assert_eq!(refused, Err(TagError::BadPoint { index: 0, cause }), "{name}");
        let shard = TaggedShard { id: entry.id, bytes, tags: &[Tag(bad)] };
        let refused = check_tags(&world.provers[0], &[shard], &mut rng(name));
        assert_eq!(refused, Err((entry.id, TagError::BadPoint { index: 0, cause })), "{name}");
    }
}

#[test]
fn every_bad_point_is_refused_in_a_proof() {
    let world = World::new(&[3 * BLOCK]);
    let challenge = world.challenge(&world.transcript());
    let part = &challenge.parts()[0];
    let proof = world.prove_part(part);
    for (name, bad, cause) in bad_points(proof.sigma()) {
        let mut wrong = proof;
        wrong.0[..48].copy_from_slice(&bad);
        let refused = verify(&world.verifiers[0], part, &wrong);
        assert_eq!(refused, Err(ProofError::BadSigma(cause)), "{name}");
    }
    for (name, bad, cause) in bad_points(proof.psi()) {
        let mut wrong = proof;
        wrong.0[80..].copy_from_slice(&bad);
        let refused = verify(&world.verifiers[0], part, &wrong);
        assert_eq!(refused, Err(ProofError::BadPsi(cause)), "{name}");
    }
    let mut wrong = proof;
    wrong.0[..48].copy_from_slice(&INFINITY);
    let refused = verify(&world.verifiers[0], part, &wrong);
    assert_eq!(refused, Err(ProofError::BadSigma(PointError::Infinity)));
    let mut wrong = proof;
    wrong.0[80..].copy_from_slice(&INFINITY);
    assert_eq!(verify(&world.verifiers[0], part, &wrong), Err(ProofError::DoesNotFit));
}

#[test]
fn every_bad_point_is_refused_in_an_owners_key() {
    let good = audit_key(1).prover_key().encode();
    let at = VerifierKey::BYTES + 5 * 48;
    for (name, bad, cause) in all_bad(good[at..at + 48].try_into().unwrap()) {
        let mut bytes = good.clone();
        bytes[at..at + 48].copy_from_slice(&bad);
        let refused = ProverKey::decode(&bytes, &mut rng(name)).err();
        assert_eq!(refused, Some(KeyError::BadPower { index: 5, cause }), "{name}");
    }
}

/// Why tags are checked singly: a batch alone sees the part of order 3 only unless 3 divides its coefficient.
#[test]
fn a_batch_alone_would_let_a_part_of_order_three_through_one_time_in_three() {
    let world = World::new(&[BLOCK]);
    let good = world.shards[0].tags[0].0;
    let bad = plus(&good, &of_order_3());
    let combined = |bytes: &G1Bytes, coefficient| {
        let point = curve::g1_on_curve(bytes).unwrap();
        curve::combine_short(&[point], &[coefficient]).to_affine()
    };
    let unseen = (1..=300).filter(|&coefficient| combined(&good, coefficient) == combined(&bad, coefficient));
    assert_eq!(unseen.count(), 100);
}

#[test]
fn sums_with_infinity_in_them_come_out_right() {
    let generator = blstrs::G1Projective::generator();
    let identity = blstrs::G1Projective::identity();
    let points = [identity, generator, identity, generator.double(), identity];
    let affine = curve::affine(&points);
    assert_eq!(affine, points.map(|point| point.to_affine()));
    let sum = curve::combine_short(&affine, &[5, 1, u128::MAX, 2, 0]);
    assert_eq!(sum, generator * blstrs::Scalar::from(5));
    assert_eq!(curve::combine_short(&affine[..1], &[7]), identity);
    assert_eq!(curve::combine_short(&[], &[]), identity);
    let many = vec![G1Affine::from(identity); 600];
    assert_eq!(curve::combine_short(&many, &[3; 600]), identity);
    let same = vec![G1Affine::from(generator); 600];
    assert_eq!(curve::combine_short(&same, &[3; 600]), generator * blstrs::Scalar::from(1800));
}

#[test]
fn the_table_multiplies_as_the_library_does() {
    for scalar in [0, 1, 2, 255, 256, 65_535, u64::MAX].map(blstrs::Scalar::from) {
        for scalar in [scalar, -scalar] {
            let expected = blstrs::G1Projective::generator() * scalar;
            assert_eq!(curve::generator_times(&scalar), expected);
        }
    }
}
