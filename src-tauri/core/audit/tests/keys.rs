//! Owners' keys that a farmer does not take.

use group::{Curve, Group};

use super::*;

const POWERS: usize = VerifierKey::BYTES;

fn good() -> Vec<u8> {
    audit_key(1).prover_key().encode()
}

fn refuse(bytes: &[u8], error: KeyError) {
    assert_eq!(ProverKey::decode(bytes, &mut rng("keys")).err(), Some(error));
}

#[test]
fn a_sound_key_is_taken_and_comes_out_as_it_went_in() {
    let key = ProverKey::decode(&good(), &mut rng("keys")).unwrap();
    assert_eq!(key.encode(), good());
    let verifier = VerifierKey::decode(&good()[..POWERS]).unwrap();
    assert_eq!((verifier.encode(), verifier.id()), (key.verifier().encode(), key.verifier().id()));
}

#[test]
fn a_key_of_another_length_version_or_block_is_refused() {
    let good = good();
    let expected = POWERS + 16 * 48;
    for found in [POWERS, expected - 1, expected - 48] {
        refuse(&good[..found], KeyError::WrongLength { expected, found });
    }
    refuse(&[good.as_slice(), &[0]].concat(), KeyError::WrongLength { expected, found: expected + 1 });
    for found in [0, 1, POWERS - 1] {
        refuse(&good[..found], KeyError::WrongLength { expected: POWERS, found });
    }
    for head in [[0, 16, 0], [2, 16, 0], [1, 0, 0], [1, 15, 0], [1, 1, 16], [1, 255, 255]] {
        let mut bytes = good.clone();
        bytes[..3].copy_from_slice(&head);
        refuse(&bytes, KeyError::UnknownFormat);
    }
}

#[test]
fn a_verifier_point_at_infinity_off_the_curve_or_outside_its_group_is_refused() {
    let infinity = bls12_381::G2Affine::identity().to_compressed();
    let candidates = (1..).map(|x: u8| {
        let mut bytes = [0; 96];
        (bytes[0], bytes[95]) = (0x80, x);
        bytes
    });
    let candidates: Vec<_> = candidates.take(40).collect();
    let parse = |bytes: &[u8; 96]| {
        Option::<bls12_381::G2Affine>::from(bls12_381::G2Affine::from_compressed_unchecked(bytes))
    };
    let off_curve = candidates.iter().find(|bytes| parse(bytes).is_none()).unwrap();
    let outside = candidates
        .iter()
        .find(|bytes| parse(bytes).is_some_and(|point| !bool::from(point.is_torsion_free())));
    let bad = [
        (infinity, PointError::Infinity),
        (*off_curve, PointError::NotOnCurve),
        (*outside.unwrap(), PointError::WrongGroup),
    ];
    for (point, cause) in bad {
        for at in [3, 99] {
            let mut bytes = good();
            bytes[at..at + 96].copy_from_slice(&point);
            refuse(&bytes, KeyError::BadVerifierPoint(cause));
            assert_eq!(VerifierKey::decode(&bytes[..POWERS]).err(), Some(KeyError::BadVerifierPoint(cause)));
        }
    }
}

#[test]
fn powers_that_do_not_begin_with_the_generator_are_refused() {
    let mut bytes = good();
    let second = bytes[POWERS + 48..POWERS + 96].to_vec();
    bytes[POWERS..POWERS + 48].copy_from_slice(&second);
    refuse(&bytes, KeyError::WrongGenerator);
}

#[test]
fn powers_that_do_not_agree_are_refused_wherever_they_break() {
    let generator = blstrs::G1Projective::generator();
    for broken in 1..16 {
        let mut bytes = good();
        let at = POWERS + broken * 48;
        let point = blstrs::G1Affine::from_compressed(bytes[at..at + 48].try_into().unwrap()).unwrap();
        let moved = (generator + point).to_affine().to_compressed();
        bytes[at..at + 48].copy_from_slice(&moved);
        refuse(&bytes, KeyError::PowersDisagree);
    }
}

#[test]
fn powers_of_another_key_and_verifier_points_that_changed_places_are_refused() {
    let other = audit_key(2).prover_key().encode();
    refuse(&[&good()[..POWERS], &other[POWERS..]].concat(), KeyError::PowersDisagree);
    let mut swapped = good();
    swapped[3..POWERS].rotate_left(96);
    refuse(&swapped, KeyError::PowersDisagree);
}

#[test]
fn keys_of_different_owners_or_block_sizes_have_different_ids() {
    let root = AuditRoot::from_bytes(&[1; 32]);
    let other = AuditKey::derive(&root, Sectors::try_from(17).unwrap());
    let ids = [audit_key(1).verifier_key().id(), audit_key(2).verifier_key().id(), other.verifier_key().id()];
    assert!(ids[0] != ids[1] && ids[0] != ids[2] && ids[1] != ids[2]);
    assert_eq!(format!("{:?}", audit_key(1)), "AuditKey(..)");
}
