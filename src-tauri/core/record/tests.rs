use serde_json::{Value, json};

use super::*;
use crate::codec;

const NOW: Timestamp = Timestamp(1_800_000_000);

fn network() -> NetworkName {
    "here".parse().unwrap()
}

fn farmer() -> DeviceKey {
    DeviceKey::from_bytes(&[1; 32])
}

fn owner() -> OwnerKey {
    OwnerKey::from_bytes(&[2; 32])
}

fn record() -> FarmerRecord {
    FarmerRecord {
        network: network(),
        device: farmer().id(),
        protocol: 1,
        accepting: true,
        free_bytes: 5_000_000_000,
        storage_price: Amount(0),
        egress_price: Amount(3),
        operator: Some("a".repeat(MAX_OPERATOR_BYTES)),
        country: Some(*b"PT"),
        leaves: Some(NOW.plus_seconds(2_592_000)),
        at: NOW,
        expires: NOW.plus_seconds(600),
    }
}

fn verdict(change: impl Fn(&mut FarmerRecord)) -> Result<(), RecordError> {
    let mut record = record();
    change(&mut record);
    record.sign(&farmer()).verify(&network(), &farmer().id(), NOW).map(|_| ())
}

fn certificate() -> DeviceCertificate {
    DeviceCertificate::issue(&owner(), &network(), farmer().id(), NOW, 1000)
}

#[test]
fn encodings_and_signatures_stay_as_they_are() {
    let signed = record().sign(&farmer());
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    let found = json!({
        "farmer_secret": hex(&[1; 32]),
        "owner_secret": hex(&[2; 32]),
        "farmer_record": hex(&codec::encode(VERSION, &signed)),
        "farmer_record_signature": signed.signature,
        "device_certificate": hex(&codec::encode(VERSION, &certificate())),
        "device_certificate_signature": certificate().signature,
    });
    let kept: Value = serde_json::from_str(include_str!("../../../tests/vectors/record.json")).unwrap();
    assert_eq!(found, kept, "formats changed");
}

#[test]
fn fresh_record_counts_as_do_shortest_and_longest_texts() {
    assert_eq!(verdict(|_| {}), Ok(()));
    assert_eq!(verdict(|r| r.operator = None), Ok(()));
    assert_eq!(verdict(|r| r.country = None), Ok(()));
    assert_eq!(verdict(|r| r.expires = r.at.plus_seconds(MAX_RECORD_SECONDS)), Ok(()));
    assert_eq!(verdict(|r| r.at = NOW.plus_seconds(CLOCK_TOLERANCE_SECONDS)), Err(RecordError::BadSpan));
}

#[test]
fn record_is_refused_for_each_reason() {
    assert_eq!(verdict(|r| r.network = "there".parse().unwrap()), Err(RecordError::WrongNetwork));
    assert_eq!(verdict(|r| r.device = DeviceId([9; 32])), Err(RecordError::WrongDevice));
    assert_eq!(verdict(|r| r.expires = NOW), Err(RecordError::BadSpan));
    assert_eq!(verdict(|r| r.expires = NOW.plus_seconds(MAX_RECORD_SECONDS + 1)), Err(RecordError::BadSpan));
    let late = |r: &mut FarmerRecord, seconds| {
        (r.at, r.expires) = (Timestamp(NOW.0 + seconds), Timestamp(NOW.0 + 900))
    };
    assert_eq!(verdict(|r| late(r, CLOCK_TOLERANCE_SECONDS)), Ok(()));
    assert_eq!(verdict(|r| late(r, CLOCK_TOLERANCE_SECONDS + 1)), Err(RecordError::NotYet));
    let past = |r: &mut FarmerRecord| (r.at, r.expires) = (Timestamp(NOW.0 - 600), NOW);
    assert_eq!(verdict(past), Err(RecordError::Expired));
    assert_eq!(verdict(|r| r.operator = Some(String::new())), Err(RecordError::BadOperator));
    assert_eq!(verdict(|r| r.operator = Some("a".repeat(65))), Err(RecordError::BadOperator));
    assert_eq!(verdict(|r| r.country = Some(*b"pt")), Err(RecordError::BadCountry));
}

#[test]
fn record_changed_after_signing_is_refused() {
    let mut signed = record().sign(&farmer());
    signed.record.free_bytes += 1;
    assert_eq!(signed.verify(&network(), &farmer().id(), NOW), Err(RecordError::BadSignature));
    let forged = record().sign(&DeviceKey::from_bytes(&[3; 32]));
    assert_eq!(forged.verify(&network(), &farmer().id(), NOW), Err(RecordError::BadSignature));
}

#[test]
fn certificate_lets_its_device_act_for_its_owner_within_its_time() {
    let verify = |at: u64| certificate().verify(&network(), &farmer().id(), Timestamp(at));
    assert_eq!(verify(NOW.0), Ok(owner().id()));
    assert_eq!(verify(NOW.0 - CLOCK_TOLERANCE_SECONDS), Ok(owner().id()));
    assert_eq!(verify(NOW.0 - CLOCK_TOLERANCE_SECONDS - 1), Err(RecordError::NotYet));
    assert_eq!(verify(NOW.0 + 999), Ok(owner().id()));
    assert_eq!(verify(NOW.0 + 1000), Err(RecordError::Expired));
}

#[test]
fn certificate_is_never_issued_for_longer_than_allowed() {
    let long = DeviceCertificate::issue(&owner(), &network(), farmer().id(), NOW, u64::MAX);
    assert_eq!(long.until, NOW.plus_seconds(MAX_CERTIFICATE_SECONDS));
    assert_eq!(long.verify(&network(), &farmer().id(), NOW), Ok(owner().id()));
}

#[test]
fn certificate_is_refused_for_each_reason() {
    let verify = |change: &dyn Fn(&mut DeviceCertificate)| {
        let mut certificate = certificate();
        change(&mut certificate);
        certificate.verify(&network(), &farmer().id(), NOW)
    };
    assert_eq!(verify(&|c| c.network = "there".parse().unwrap()), Err(RecordError::WrongNetwork));
    assert_eq!(verify(&|c| c.device = DeviceId([9; 32])), Err(RecordError::WrongDevice));
    assert_eq!(verify(&|c| c.until = c.from), Err(RecordError::BadSpan));
    assert_eq!(verify(&|c| c.until.0 = c.from.0 + MAX_CERTIFICATE_SECONDS + 1), Err(RecordError::BadSpan));
    assert_eq!(verify(&|c| c.until.0 += 1), Err(RecordError::BadSignature));
    assert_eq!(verify(&|c| c.from.0 -= 1), Err(RecordError::BadSignature));
    assert_eq!(verify(&|c| c.owner = OwnerId([9; 32])), Err(RecordError::BadSignature));
    assert_eq!(verify(&|c| c.signature.0[0] ^= 1), Err(RecordError::BadSignature));
    let elsewhere = certificate();
    let there = NetworkName::try_from("there".to_owned()).unwrap();
    let moved = DeviceCertificate { network: there.clone(), ..elsewhere };
    assert_eq!(moved.verify(&there, &farmer().id(), NOW), Err(RecordError::BadSignature));
}
