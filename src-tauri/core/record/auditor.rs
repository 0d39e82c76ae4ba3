//! An auditor's word that it judges farmers for whoever names it, freshly signed whenever somebody asks.

use serde::{Deserialize, Serialize};

use super::{RecordError, Shown};
use crate::{DeviceId, NetworkName, Signature, Timestamp, keys::DeviceKey};

const VERSION: u8 = 1;
const AUDITOR_RECORD: &str = "auditor record";

/// What an auditor takes upon itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditorRecord {
    /// The network whose farmers it judges.
    pub network: NetworkName,
    /// Who it is.
    pub device: DeviceId,
    /// The newest protocol it speaks.
    pub protocol: u16,
    /// Whether it follows new contracts now.
    pub accepting: bool,
    /// Seconds of the shortest epoch that it keeps up with.
    pub shortest_epoch: u32,
    /// Announced operator: auditors of one operator count as one. At most 64 bytes.
    pub operator: Option<String>,
    /// When it was signed.
    pub at: Timestamp,
    /// When it stops counting.
    pub expires: Timestamp,
}

/// An [`AuditorRecord`] with its auditor's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedAuditorRecord {
    /// What is signed.
    pub record: AuditorRecord,
    /// By the record's device.
    pub signature: Signature,
}

impl AuditorRecord {
    /// The record signed by its auditor.
    pub fn sign(self, key: &DeviceKey) -> SignedAuditorRecord {
        let signature = key.sign(AUDITOR_RECORD, &self.network, VERSION, &self);
        SignedAuditorRecord { record: self, signature }
    }
}

impl SignedAuditorRecord {
    /// The record, if it counts at `now` on `network` as the word of `device`, the peer that showed it.
    ///
    /// # Errors
    /// The first [`RecordError`] found.
    pub fn verify(
        &self,
        network: &NetworkName,
        device: &DeviceId,
        now: Timestamp,
    ) -> Result<&AuditorRecord, RecordError> {
        let record = &self.record;
        let AuditorRecord { operator, at, expires, .. } = record;
        let shown =
            Shown { network: &record.network, device: &record.device, operator, at: *at, expires: *expires };
        shown.check(network, device, now)?;
        record.device.verify(AUDITOR_RECORD, network, VERSION, record, &self.signature)?;
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{MAX_OPERATOR_BYTES, MAX_RECORD_SECONDS},
        *,
    };

    const NOW: Timestamp = Timestamp(1_800_000_000);

    fn key() -> DeviceKey {
        DeviceKey::from_bytes(&[6; 32])
    }

    fn record() -> AuditorRecord {
        AuditorRecord {
            network: "here".parse().unwrap(),
            device: key().id(),
            protocol: 1,
            accepting: true,
            shortest_epoch: 60,
            operator: Some("a".repeat(MAX_OPERATOR_BYTES)),
            at: NOW,
            expires: NOW.plus_seconds(600),
        }
    }

    fn verdict(change: impl Fn(&mut AuditorRecord)) -> Result<(), RecordError> {
        let mut record = record();
        change(&mut record);
        record.sign(&key()).verify(&"here".parse().unwrap(), &key().id(), NOW).map(|_| ())
    }

    #[test]
    fn auditors_record_counts_fresh_and_is_refused_for_each_reason() {
        assert_eq!(verdict(|_| {}), Ok(()));
        assert_eq!(verdict(|r| r.network = "there".parse().unwrap()), Err(RecordError::WrongNetwork));
        assert_eq!(verdict(|r| r.device = DeviceId([9; 32])), Err(RecordError::WrongDevice));
        assert_eq!(verdict(|r| r.expires = NOW), Err(RecordError::BadSpan));
        let longest = NOW.plus_seconds(MAX_RECORD_SECONDS);
        assert_eq!(verdict(|r| r.expires = longest.plus_seconds(1)), Err(RecordError::BadSpan));
        let expired = |r: &mut AuditorRecord| (r.at, r.expires) = (Timestamp(NOW.0 - 60), NOW);
        assert_eq!(verdict(expired), Err(RecordError::Expired));
        assert_eq!(verdict(|r| r.operator = Some(String::new())), Err(RecordError::BadOperator));
        let long = "a".repeat(MAX_OPERATOR_BYTES + 1);
        assert_eq!(verdict(|r| r.operator = Some(long.clone())), Err(RecordError::BadOperator));
    }

    #[test]
    fn auditors_record_signed_by_another_or_as_a_farmers_does_not_count() {
        let network = "here".parse().unwrap();
        let other = DeviceKey::from_bytes(&[7; 32]);
        let forged = record().sign(&other);
        assert_eq!(forged.verify(&network, &key().id(), NOW), Err(RecordError::BadSignature));
        let as_farmer = key().sign("farmer record", &network, VERSION, &record());
        let signed = SignedAuditorRecord { record: record(), signature: as_farmer };
        assert_eq!(signed.verify(&network, &key().id(), NOW), Err(RecordError::BadSignature));
        let mut changed = record().sign(&key());
        changed.record.accepting = false;
        assert_eq!(changed.verify(&network, &key().id(), NOW), Err(RecordError::BadSignature));
    }
}
