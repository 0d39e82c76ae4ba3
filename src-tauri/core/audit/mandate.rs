//! An auditor's word that another may ask a farmer in its place, over a line of its own: for one epoch of one contract, and for
//! minutes.
//!
//! ```text
//! mandate   = network ‖ contract ‖ epoch ‖ who may ask ‖ until when
//! signature = by the auditor that the contract's terms name, under "audit mandate by auditor"
//! ```
//! Farmers answer nobody but their owners and the auditor in the terms; by this they also answer whom that auditor sends, and
//! the question stays the auditor's own. Deliberately absent: when a second one is asked ([`crate::brake`]).

use serde::{Deserialize, Serialize};

use super::Epoch;
use crate::{
    ContractId, DeviceId, NetworkName, Signature, Timestamp,
    keys::{BadSignature, DeviceKey},
    record::CLOCK_TOLERANCE_SECONDS,
};

const BY_AUDITOR: &str = "audit mandate by auditor";
const VERSION: u8 = 1;

/// How long a mandate holds.
pub const MANDATE_SECONDS: u64 = 300;

/// Who may ask what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mandate {
    /// The network.
    pub network: NetworkName,
    /// The contract.
    pub contract: ContractId,
    /// The epoch that may be asked about.
    pub epoch: Epoch,
    /// Who may ask.
    pub second: DeviceId,
    /// Until when.
    pub until: Timestamp,
}

/// A [`Mandate`] with its auditor's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedMandate {
    /// What is signed.
    pub mandate: Mandate,
    /// The auditor's.
    pub signature: Signature,
}

/// Why a mandate allows nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MandateError {
    /// It is for another network, contract or asker.
    #[error("the mandate is for something else")]
    AboutOther,
    /// It is over, or claims to hold for too long.
    #[error("the mandate is over, or holds for too long")]
    BadTime,
    /// The contract's auditor did not sign it.
    #[error("the contract's auditor did not sign the mandate")]
    BadSignature,
}

impl Mandate {
    /// The mandate, signed by the auditor that gives it.
    pub fn sign(self, key: &DeviceKey) -> SignedMandate {
        let signature = key.sign(BY_AUDITOR, &self.network, VERSION, &self);
        SignedMandate { mandate: self, signature }
    }
}

impl SignedMandate {
    /// The mandate, if it lets `second` ask about `contract` in the place of `auditor` at `now`.
    ///
    /// # Errors
    /// The first [`MandateError`] found.
    pub fn verify(
        &self,
        network: &NetworkName,
        contract: &ContractId,
        auditor: &DeviceId,
        second: &DeviceId,
        now: Timestamp,
    ) -> Result<&Mandate, MandateError> {
        let mandate = &self.mandate;
        if (&mandate.network, &mandate.contract, &mandate.second) != (network, contract, second) {
            return Err(MandateError::AboutOther);
        }
        let left = mandate.until.seconds_since(now);
        if mandate.until <= now || left > MANDATE_SECONDS + CLOCK_TOLERANCE_SECONDS {
            return Err(MandateError::BadTime);
        }
        let signed = auditor.verify(BY_AUDITOR, network, VERSION, mandate, &self.signature);
        signed.map(|()| mandate).map_err(|BadSignature| MandateError::BadSignature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000);

    #[test]
    fn a_mandate_allows_its_own_second_its_own_contract_for_minutes() {
        let (auditor, second) = (DeviceKey::from_bytes(&[1; 32]), DeviceId([2; 32]));
        let (network, contract): (NetworkName, _) = ("here".parse().unwrap(), ContractId([3; 32]));
        let until = NOW.plus_seconds(MANDATE_SECONDS);
        let mandate = Mandate { network: network.clone(), contract, epoch: Epoch(4), second, until };
        let signed = mandate.clone().sign(&auditor);
        let id = auditor.id();
        assert_eq!(signed.verify(&network, &contract, &id, &second, NOW), Ok(&mandate));
        let there = "there".parse().unwrap();
        for verified in [
            signed.verify(&there, &contract, &id, &second, NOW),
            signed.verify(&network, &ContractId([9; 32]), &id, &second, NOW),
            signed.verify(&network, &contract, &id, &DeviceId([9; 32]), NOW),
        ] {
            assert_eq!(verified, Err(MandateError::AboutOther));
        }
        assert_eq!(signed.verify(&network, &contract, &id, &second, until), Err(MandateError::BadTime));
        let long = NOW.plus_seconds(MANDATE_SECONDS + CLOCK_TOLERANCE_SECONDS + 1);
        let long = Mandate { until: long, ..mandate.clone() }.sign(&auditor);
        assert_eq!(long.verify(&network, &contract, &id, &second, NOW), Err(MandateError::BadTime));
        let other = DeviceKey::from_bytes(&[8; 32]);
        assert_eq!(
            mandate.clone().sign(&other).verify(&network, &contract, &id, &second, NOW),
            Err(MandateError::BadSignature)
        );
        let mut moved = signed;
        moved.mandate.epoch = Epoch(5);
        assert_eq!(moved.verify(&network, &contract, &id, &second, NOW), Err(MandateError::BadSignature));
    }
}
