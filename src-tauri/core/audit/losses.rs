//! What a farmer says it has lost, before anybody challenges it: a loss told beforehand costs less than a failed audit.
//!
//! ```text
//! report    = network ‖ contract ‖ farmer ‖ after ‖ shards in ascending order ‖ whether more follow ‖ time
//! signature = the farmer's, under "lost shards by farmer"
//! ```
//! Signed, so that an auditor can show later what it was told and when. An auditor asks for it before it reveals its
//! nonce: by then the farmer cannot know which blocks the challenge will name.

use serde::{Deserialize, Serialize};

use crate::{
    ContractId, DeviceId, NetworkName, ShardId, Signature, Timestamp,
    keys::{BadSignature, DeviceKey},
};

const BY_FARMER: &str = "lost shards by farmer";
const VERSION: u8 = 1;

/// A page of the shards under a contract that its farmer has lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossReport {
    /// The network.
    pub network: NetworkName,
    /// The contract.
    pub contract: ContractId,
    /// Who lost them.
    pub farmer: DeviceId,
    /// The page has those with greater ids than this; none if it is the first.
    pub after: Option<ShardId>,
    /// In ascending order.
    pub shards: Vec<ShardId>,
    /// Whether there are more.
    pub more: bool,
    /// When the farmer said so.
    pub at: Timestamp,
}

/// A [`LossReport`] with its farmer's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedLossReport {
    /// What is signed.
    pub report: LossReport,
    /// The farmer's.
    pub signature: Signature,
}

/// Why a report says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LossReportError {
    /// It is about another contract, farmer or network, or another page.
    #[error("the report is about something else")]
    AboutOther,
    /// Its shards are out of order, or before the page's begin.
    #[error("the report's shards are out of order")]
    OutOfOrder,
    /// The farmer did not sign it.
    #[error("the farmer's signature under the report does not fit")]
    BadSignature,
}

impl LossReport {
    /// The report, signed by its farmer.
    pub fn sign(self, key: &DeviceKey) -> SignedLossReport {
        let signature = key.sign(BY_FARMER, &self.network, VERSION, &self);
        SignedLossReport { report: self, signature }
    }
}

impl SignedLossReport {
    /// The page, if it is the one asked for and signed by that farmer.
    ///
    /// # Errors
    /// [`LossReportError`] if it says nothing.
    pub fn verify(
        &self,
        network: &NetworkName,
        contract: &ContractId,
        farmer: &DeviceId,
        after: Option<ShardId>,
    ) -> Result<&LossReport, LossReportError> {
        let report = &self.report;
        let about = (&report.network, &report.contract, &report.farmer, report.after);
        if about != (network, contract, farmer, after) {
            return Err(LossReportError::AboutOther);
        }
        let follows = report.shards.first().is_none_or(|first| after.is_none_or(|after| after < *first));
        if !follows || !report.shards.is_sorted_by(|a, b| a < b) {
            return Err(LossReportError::OutOfOrder);
        }
        let signed = farmer.verify(BY_FARMER, network, VERSION, report, &self.signature);
        signed.map(|()| report).map_err(|BadSignature| LossReportError::BadSignature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_says_nothing_about_other_contracts_farmers_networks_and_pages() {
        let key = DeviceKey::from_bytes(&[7; 32]);
        let (network, contract): (NetworkName, _) = ("test".parse().expect("a name"), ContractId([1; 32]));
        let after = Some(ShardId([1; 32]));
        let report = |shards: &[u8]| LossReport {
            network: network.clone(),
            contract,
            farmer: key.id(),
            after,
            shards: shards.iter().map(|seed| ShardId([*seed; 32])).collect(),
            more: false,
            at: Timestamp(9),
        };
        let signed = report(&[2, 3]).sign(&key);
        assert_eq!(signed.verify(&network, &contract, &key.id(), after), Ok(&signed.report));
        let other_network: NetworkName = "other".parse().expect("a name");
        for verified in [
            signed.verify(&other_network, &contract, &key.id(), after),
            signed.verify(&network, &ContractId([2; 32]), &key.id(), after),
            signed.verify(&network, &contract, &DeviceKey::from_bytes(&[8; 32]).id(), after),
            signed.verify(&network, &contract, &key.id(), None),
        ] {
            assert_eq!(verified, Err(LossReportError::AboutOther));
        }
        let mut forged = signed.clone();
        forged.report.at = Timestamp(8);
        let verified = forged.verify(&network, &contract, &key.id(), after);
        assert_eq!(verified, Err(LossReportError::BadSignature));
        for shards in [[3, 2], [2, 2], [1, 2]] {
            let signed = report(&shards).sign(&key);
            let verified = signed.verify(&network, &contract, &key.id(), after);
            assert_eq!(verified, Err(LossReportError::OutOfOrder), "{shards:?}");
        }
    }
}
