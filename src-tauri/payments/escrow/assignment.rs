//! W's word for which contract an escrow pays. All of a plan stands on the ledger or is told to its farmer: without this
//! word, whoever knows a plan could have the escrow pay for a contract of their own making.
//!
//! ```text
//! assignment = Ed25519 by W's key over signing_bytes("escrow assignment", network, 1, (contract, encoded plan))
//! ```
//! The plan names E and all three accounts, and the contract's id is the hash of terms that name farmer and auditor.

use hayloft_core::{
    ContractId, NetworkName, Signature,
    keys::{BadSignature, StellarKey},
};

use super::Plan;
use crate::{Address, wallet::encode};

const LABEL: &str = "escrow assignment";
const VERSION: u8 = 1;

/// Signs that an escrow pays for a contract; none if the key is not that of the plan's owner.
pub fn assign(
    key: &StellarKey,
    network: &NetworkName,
    contract: ContractId,
    plan: &Plan,
) -> Option<Signature> {
    let signed = || key.sign_value(LABEL, network, VERSION, &(contract, encode(plan)));
    (Address::of(key) == plan.owner).then(signed)
}

/// Whether the owner's account of a plan has signed that it pays for a contract.
///
/// # Errors
/// [`BadSignature`] if it has not.
pub fn check_assigned(
    network: &NetworkName,
    contract: ContractId,
    plan: &Plan,
    assigned: &Signature,
) -> Result<(), BadSignature> {
    let value = (contract, encode(plan));
    StellarKey::verify_value(&plan.owner.0, LABEL, network, VERSION, &value, assigned)
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use hayloft_core::{Amount, Timestamp};

    use super::*;

    const CONTRACT: ContractId = ContractId([5; 32]);
    /// Made when the format was; a change of it is a new version.
    const VECTOR: &str = "f8757af5bf71d1e542112e6503317408c0f074461c7087576f9443836d292098\
                          c66c358c34dce2a9b108426a98cd3e8c4403f7ff3bcb4bc58a8373d29ae7aa0f";

    fn key(seed: u8) -> StellarKey {
        StellarKey::from_bytes(&[seed; 32])
    }

    fn network(name: &str) -> NetworkName {
        name.parse().unwrap()
    }

    fn plan() -> Plan {
        let [escrow, owner, farmer, auditor] = [1, 2, 3, 4].map(|seed| Address::of(&key(seed)));
        Plan {
            escrow,
            owner,
            farmer,
            auditor,
            start: Timestamp(1_800_000_000),
            period_seconds: 259_200,
            grace_seconds: 604_800,
            amounts: vec![Amount(1_000_000); 3],
            setup_sequence: 77,
            merge_ledger: 999,
            base_reserve: Amount(5_000_000),
        }
    }

    #[test]
    fn an_assignment_is_of_one_contract_and_one_plan_by_its_owner_on_one_network() {
        let (here, plan) = (network("here"), plan());
        let assigned = assign(&key(2), &here, CONTRACT, &plan).unwrap();
        assert_eq!(check_assigned(&here, CONTRACT, &plan, &assigned), Ok(()));
        for other in [1, 3, 4, 9] {
            assert_eq!(assign(&key(other), &here, CONTRACT, &plan), None);
            let own = Plan { owner: Address::of(&key(other)), escrow: Address::of(&key(8)), ..plan.clone() };
            let borrowed = assign(&key(other), &here, CONTRACT, &own).unwrap();
            assert_eq!(check_assigned(&here, CONTRACT, &plan, &borrowed), Err(BadSignature), "{other}");
        }
        let wrong = |contract, plan: &Plan, network: &NetworkName| {
            assert_eq!(check_assigned(network, contract, plan, &assigned), Err(BadSignature));
        };
        wrong(ContractId([6; 32]), &plan, &here);
        wrong(CONTRACT, &plan, &network("there"));
        wrong(CONTRACT, &Plan { escrow: Address::of(&key(8)), ..plan.clone() }, &here);
        wrong(CONTRACT, &Plan { farmer: Address::of(&key(8)), ..plan.clone() }, &here);
        wrong(CONTRACT, &Plan { auditor: Address::of(&key(8)), ..plan.clone() }, &here);
        wrong(CONTRACT, &Plan { amounts: vec![Amount(1_000_000); 2], ..plan.clone() }, &here);
        wrong(CONTRACT, &Plan { period_seconds: 86_400, ..plan.clone() }, &here);
    }

    #[test]
    fn its_bytes_are_those_of_its_vector() {
        let assigned = assign(&key(2), &network("here"), CONTRACT, &plan()).unwrap();
        assert_eq!(HEXLOWER.encode(&assigned.0), VECTOR);
    }
}
