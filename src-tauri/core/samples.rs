//! The parties of a contract and its terms, as tests and fuzz targets use them.

use crate::{
    Amount, Timestamp,
    contract::{MIN_GRACE_SECONDS, SignedTerms, Terms},
    keys::{DeviceKey, OwnerKey},
};

pub(crate) const START: Timestamp = Timestamp(1_800_000_000);

pub(crate) fn farmer() -> DeviceKey {
    DeviceKey::from_bytes(&[1; 32])
}

pub(crate) fn owner() -> OwnerKey {
    OwnerKey::from_bytes(&[2; 32])
}

pub(crate) fn terms() -> Terms {
    Terms {
        network: "here".parse().expect("a name"),
        owner: owner().id(),
        farmer: farmer().id(),
        start: START,
        epoch_seconds: 86_400,
        storage_price: Amount(0),
        egress_price: Amount(0),
        audit_share_ppm: 950_000,
        auditor: None,
        escrow: None,
        grace_seconds: MIN_GRACE_SECONDS,
        nonce: [3; 32],
    }
}

/// Both signatures under these terms, whoever's they are.
pub(crate) fn sign(terms: Terms, farmer: &DeviceKey) -> SignedTerms {
    let (owner, farmer) = (terms.sign_as_owner(&owner()), terms.sign_as_farmer(farmer));
    SignedTerms { terms, owner, farmer }
}
