//! Offers, certificates, manifests, and the names of things.

use super::{canonical, farmer, network, next, owner, rng, split};
use crate::{
    ContractId, DeviceId, NetworkName, ShardId, codec,
    content::ItemOpener,
    keys::{ContentRoot, RecoveryPhrase, RepairRoot},
    manifest::{ContentRecord, PlacementRecord, open_notes, seal_notes, sign_roots},
    record::{
        DeviceCertificate, MAX_CERTIFICATE_SECONDS, MAX_OPERATOR_BYTES, SignedAuditorRecord,
        SignedFarmerRecord,
    },
};

/// Farmers' offers and devices' certificates.
pub fn records(bytes: &[u8]) {
    if let Some(signed) = canonical::<SignedFarmerRecord>(bytes) {
        offer(signed);
    }
    if let Some(signed) = canonical::<SignedAuditorRecord>(bytes) {
        auditor(signed);
    }
    if let Some(certificate) = canonical::<DeviceCertificate>(bytes) {
        certify(certificate);
    }
}

fn offer(signed: SignedFarmerRecord) {
    let found = &signed.record;
    let _ = signed.verify(&found.network, &found.device, found.at);
    let mut record = signed.record;
    record.device = farmer().id();
    let mut again = record.clone().sign(&farmer());
    let Ok(counted) = again.verify(&record.network, &record.device, record.at) else { return };
    assert_eq!(counted, &record);
    assert!(record.operator.as_ref().is_none_or(|name| (1..=MAX_OPERATOR_BYTES).contains(&name.len())));
    assert!(record.expires > record.at);
    again.record.free_bytes ^= 1;
    again.verify(&record.network, &record.device, record.at).expect_err("it was changed after it was signed");
}

fn auditor(signed: SignedAuditorRecord) {
    let found = &signed.record;
    let _ = signed.verify(&found.network, &found.device, found.at);
    let mut record = signed.record;
    record.device = farmer().id();
    let mut again = record.clone().sign(&farmer());
    let Ok(counted) = again.verify(&record.network, &record.device, record.at) else { return };
    assert_eq!(counted, &record);
    assert!(record.operator.as_ref().is_none_or(|name| (1..=MAX_OPERATOR_BYTES).contains(&name.len())));
    again.record.shortest_epoch ^= 1;
    again.verify(&record.network, &record.device, record.at).expect_err("it was changed after it was signed");
}

fn certify(certificate: DeviceCertificate) {
    let DeviceCertificate { network, device, from, until, .. } = certificate.clone();
    let _ = certificate.verify(&network, &device, from);
    let issued = DeviceCertificate::issue(&owner(), &network, device, from, until.0.saturating_sub(from.0));
    let Ok(by) = issued.verify(&network, &device, from) else { return };
    assert_eq!(by, owner().id());
    assert!(issued.until.0 - from.0 <= MAX_CERTIFICATE_SECONDS);
    let longer = DeviceCertificate { until: issued.until.plus_seconds(1), ..issued };
    longer.verify(&network, &device, from).expect_err("it was changed after it was signed");
}

/// Content and placement records, sealed and plain, and an owner's notes.
pub fn manifests(bytes: &[u8]) {
    let (content_root, repair_root) = (ContentRoot::from_bytes(&[3; 32]), RepairRoot::from_bytes(&[4; 32]));
    ContentRecord::open(bytes, &content_root, &network()).expect_err("nobody sealed it");
    PlacementRecord::open(bytes, &repair_root, &network(), &owner().id()).expect_err("nobody sealed it");
    if let Some(record) = canonical::<ContentRecord>(bytes) {
        content(&record, &content_root);
    }
    if let Some(record) = canonical::<PlacementRecord>(bytes) {
        placement(record, &repair_root);
    }
    let sealed = seal_notes(&bytes, &content_root, &network(), &mut rng());
    let notes: Vec<u8> = open_notes(&sealed, &content_root, &network()).expect("what was sealed opens");
    assert_eq!(notes, bytes);
}

fn content(record: &ContentRecord, root: &ContentRoot) {
    let mut sealed = record.seal(root, &network(), &mut rng());
    if let Ok(opened) = ContentRecord::open(&sealed, root, &network()) {
        assert_eq!(&opened, record);
        let mut plain = 0;
        for item in &opened.items {
            let needs = ItemOpener::new(item).needs(0..item.bytes);
            assert_eq!(needs, item.offset..item.offset + item.sealed_bytes());
            plain += item.bytes;
        }
        assert_eq!(plain, opened.bytes);
    }
    let other: NetworkName = "there".parse().expect("a name");
    ContentRecord::open(&sealed, root, &other).expect_err("another network");
    let last = sealed.len() - 1;
    sealed[last] ^= 1;
    ContentRecord::open(&sealed, root, &network()).expect_err("a flipped bit");
}

fn placement(mut record: PlacementRecord, root: &RepairRoot) {
    // Signed as if the owner had coded it so; only then are its figures looked at.
    let signed = (record.segment, record.k, record.n, record.bytes, &record.roots);
    record.signature = owner().sign("segment roots", &network(), 1, &signed);
    let sealed = record.seal(root, &network(), &mut rng());
    let Ok(opened) = PlacementRecord::open(&sealed, root, &network(), &owner().id()) else { return };
    assert_eq!(opened, record);
    let (layout, coding) = (opened.layout().expect("checked"), opened.coding().expect("checked"));
    assert_eq!((layout.k(), layout.bytes()), (coding.k(), opened.bytes));
    assert!(opened.shards.iter().all(|shard| shard.column < coding.n()));
    assert_eq!(opened.roots.len(), usize::from(coding.n()));
    if opened.bytes <= 4096 && coding.n() <= 8 {
        rebuild(opened);
    }
}

fn rebuild(mut record: PlacementRecord) {
    let coder = crate::content::Coder::new(record.coding().expect("checked"));
    let sealed = vec![7; usize::try_from(record.bytes).expect("small")];
    let coded = coder.encode(sealed.clone()).expect("it has bytes");
    let same = record.roots == coded.roots();
    assert_eq!(record.rebuild(&coder, sealed.clone()).is_ok(), same);
    record.roots = coded.roots().to_vec();
    record.signature = sign_roots(&owner(), &network(), record.segment, &coded);
    record.rebuild(&coder, sealed).expect("these have the signed roots");
}

/// Names of networks, identifiers and recovery phrases as text.
pub fn names(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(name) = text.parse::<NetworkName>() {
        assert_eq!(name.as_str(), text);
        assert_eq!(codec::decode(1, &codec::encode(1, &name), LIMIT), Ok(name));
    }
    if let Ok(id) = text.parse::<ShardId>() {
        assert_eq!(id.to_string(), text.to_ascii_lowercase());
    }
    let _ = (text.parse::<ContractId>(), text.parse::<DeviceId>());
    if let Ok(phrase) = RecoveryPhrase::parse(text) {
        let words: Vec<&str> = phrase.words().collect();
        let again = RecoveryPhrase::parse(&words.join(" ")).expect("its own words");
        assert!(again.words().eq(words));
    }
    // Words of the list in any order: most have a wrong check sum.
    let (indices, _) = split(bytes);
    let mut indices = indices;
    let all: Vec<&str> = RecoveryPhrase::random(&mut rng()).words().collect();
    let mut words = Vec::new();
    while !indices.is_empty() && words.len() < 30 {
        words.push(all[usize::from(next::<1>(&mut indices)[0]) % all.len()]);
    }
    let _ = RecoveryPhrase::parse(&words.join(" "));
}

const LIMIT: usize = 1024;
