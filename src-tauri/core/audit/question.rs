//! A challenge as it is asked over the wire: all of the transcript that the farmer does not know already.
//!
//! Where there is no ledger, auditor and farmer first exchange commitments. The farmer's nonce is made from its device
//! key and what the auditor committed to:
//! ```text
//! nonce = BLAKE3("hayloft beacon nonce 1" ‖ signature of (contract, epoch, auditor's commitment)
//!                                           under "audit nonce by farmer")
//! ```
//! Such signatures are deterministic (RFC 8032) and this one is shown to nobody, so nobody can foresee the nonce; the
//! farmer has nothing to remember, and a challenge that was not answered can be asked again after a restart.
//! Deliberately absent: when to ask, and what silence means.

use serde::{Deserialize, Serialize};

use super::{Beacon, Commitment, Committer, Epoch, Scope, Sectors, Transcript, transcript::VERSION};
use crate::{ContractId, DeviceId, NetworkName, keys::DeviceKey};

const NONCE: &str = "audit nonce by farmer";

/// The auditor's part of a beacon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Opening {
    /// A ledger is the beacon.
    Ledger {
        /// Its number.
        sequence: u64,
        /// Its hash.
        hash: [u8; 32],
    },
    /// The nonce that the auditor has committed to.
    Revealed {
        /// The nonce.
        auditor: [u8; 32],
    },
}

/// A question to one farmer about one contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The contract.
    pub contract: ContractId,
    /// Number of its newest revision.
    pub revision: u64,
    /// The epoch.
    pub epoch: Epoch,
    /// The epoch's randomness, as far as the auditor gives it.
    pub beacon: Opening,
    /// The randomness of the contract's first audit; none if this is the first.
    pub order: Option<Beacon>,
    /// Sectors per block.
    pub sectors: Sectors,
    /// Which shards are asked.
    pub scope: Scope,
    /// Blocks asked at random.
    pub blocks: u16,
}

impl Question {
    /// What the auditor has committed to before it asked; none if a ledger is the beacon.
    pub fn commitment(&self) -> Option<Commitment> {
        match &self.beacon {
            Opening::Ledger { .. } => None,
            Opening::Revealed { auditor } => {
                Some(Commitment::to(&self.contract, self.epoch, Committer::Auditor, auditor))
            }
        }
    }

    /// The whole question, once the farmer's nonce is known; a ledger needs none.
    pub fn transcript(
        self,
        network: NetworkName,
        farmer: DeviceId,
        root: [u8; 32],
        nonce: Option<[u8; 32]>,
    ) -> Option<Transcript> {
        let beacon = match (self.beacon, nonce) {
            (Opening::Ledger { sequence, hash }, None) => Beacon::Ledger { sequence, hash },
            (Opening::Revealed { auditor }, Some(farmer)) => Beacon::Revealed { auditor, farmer },
            (Opening::Ledger { .. }, Some(_)) | (Opening::Revealed { .. }, None) => return None,
        };
        let order = self.order.unwrap_or_else(|| beacon.clone());
        let Self { contract, revision, epoch, sectors, scope, blocks, .. } = self;
        Some(Transcript {
            network,
            contract,
            revision,
            root,
            farmer,
            epoch,
            beacon,
            order,
            sectors,
            scope,
            blocks,
        })
    }
}

/// The farmer's nonce for an epoch of a contract: fixed by what the auditor has committed to.
pub fn farmer_nonce(
    key: &DeviceKey,
    network: &NetworkName,
    contract: &ContractId,
    epoch: Epoch,
    auditor: &Commitment,
) -> [u8; 32] {
    let signature = key.sign(NONCE, network, VERSION, &(contract, epoch, auditor));
    *blake3::Hasher::new().update(b"hayloft beacon nonce 1").update(&signature.0).finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    fn question(beacon: Opening) -> Question {
        Question {
            contract: ContractId([1; 32]),
            revision: 4,
            epoch: Epoch(7),
            beacon,
            order: None,
            sectors: Sectors::DEFAULT,
            scope: Scope::Epoch,
            blocks: 460,
        }
    }

    fn network() -> NetworkName {
        "test".parse().expect("a name")
    }

    #[test]
    fn farmers_nonce_is_the_same_again_and_another_for_each_commitment_epoch_contract_and_farmer() {
        let key = |seed| DeviceKey::from_bytes(&[seed; 32]);
        let nonce = |seed, contract, epoch, commitment| {
            let contract = ContractId([contract; 32]);
            farmer_nonce(&key(seed), &network(), &contract, Epoch(epoch), &Commitment([commitment; 32]))
        };
        let first = nonce(1, 1, 1, 1);
        assert_eq!(first, nonce(1, 1, 1, 1));
        let others = [nonce(2, 1, 1, 1), nonce(1, 2, 1, 1), nonce(1, 1, 2, 1), nonce(1, 1, 1, 2)];
        assert!(others.iter().all(|other| *other != first));
    }

    #[test]
    fn transcript_needs_the_farmers_nonce_just_where_there_is_no_ledger() {
        let (farmer, root) = (DeviceId([2; 32]), [3; 32]);
        let whole = |beacon, nonce| question(beacon).transcript(network(), farmer, root, nonce);
        let ledger = Opening::Ledger { sequence: 5, hash: [5; 32] };
        let revealed = Opening::Revealed { auditor: [6; 32] };
        assert_eq!(whole(ledger, Some([1; 32])), None);
        assert_eq!(whole(revealed, None), None);
        assert!(whole(ledger, None).is_some_and(|whole| whole.names_ledger()));
        let whole = whole(revealed, Some([7; 32])).expect("both nonces are there");
        assert_eq!(whole.beacon, Beacon::Revealed { auditor: [6; 32], farmer: [7; 32] });
        assert_eq!(whole.order, whole.beacon, "the first audit fixes the order");
        assert_eq!((whole.revision, whole.root, whole.farmer), (4, root, farmer));
    }

    #[test]
    fn a_million_blocks_cannot_even_be_said() {
        let beacon = Opening::Ledger { sequence: 1, hash: [1; 32] };
        let said = codec::encode(1, &question(beacon));
        assert!(said.ends_with(&[0xcc, 0x03]), "460 as a varint, the last of all");
        let million = [&said[..said.len() - 2], &[0xc0, 0x84, 0x3d]].concat();
        assert_eq!(codec::decode::<Question>(1, &said, 1 << 10), Ok(question(beacon)));
        assert!(codec::decode::<Question>(1, &million, 1 << 10).is_err());
    }

    #[test]
    fn commitment_is_the_one_that_the_nonce_opens() {
        let asked = question(Opening::Revealed { auditor: [6; 32] });
        let commitment = asked.commitment().expect("a nonce was revealed");
        assert!(commitment.opens_to(&asked.contract, asked.epoch, Committer::Auditor, &[6; 32]));
        assert!(question(Opening::Ledger { sequence: 1, hash: [0; 32] }).commitment().is_none());
    }
}
