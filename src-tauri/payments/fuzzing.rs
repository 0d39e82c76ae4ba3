//! What fuzzing does with the bytes it makes up. Each target takes any bytes and panics where a promise of this crate is
//! broken. Compiled for tests and under cargo-fuzz (`cfg(fuzzing)`) alone; corpora are replayed by this crate's tests.

use std::collections::BTreeSet;

use hayloft_core::{Amount, Timestamp};

use crate::{
    Network,
    envelope::Signed,
    escrow::{recovery, settle},
    network::Kind,
    wallet::{decode, encode},
};

/// A target and the name of its program and corpus.
pub type Target = (&'static str, fn(&[u8]));

/// The targets of this crate.
pub const TARGETS: &[Target] = &[("plans", plans), ("transactions", transactions)];

fn network() -> Network {
    Network::new("A network for fuzzing", Kind::Local).expect("not the public network")
}

/// A plan that another node shows is refused, or one of which everything can be computed.
pub fn plans(bytes: &[u8]) {
    let Some(plan) = decode(bytes) else { return };
    assert!(encode(&plan) == bytes, "accepted bytes are not the plan's encoding");
    let open: BTreeSet<u32> = (0..plan.periods()).collect();
    let last = plan.periods() - 1;
    for now in [plan.start, plan.end(0), plan.end(last), plan.recovers(0), plan.merges(), Timestamp(u64::MAX)]
    {
        for (owed, paid) in [(0, 0), (u64::MAX, 0), (0, u64::MAX), (plan.whole().0, 1)] {
            if let Ok(settlement) = settle(&plan, &open, last, Amount(owed), Amount(paid), now) {
                let sum = settlement.pays.0.checked_add(settlement.returns.0);
                assert_eq!(sum, Some(plan.whole().0), "a settlement makes or loses money");
            }
        }
        assert_eq!(recovery(&plan, &open, now).is_some(), plan.recovers(0) <= now);
    }
    let balances: BTreeSet<_> = open.iter().map(|period| plan.balance(*period)).collect();
    assert_eq!(balances.len(), open.len(), "two periods have one balance");
    let _ = (plan.merge().hash(&network()), plan.locks(), plan.reserve());
}

/// A transaction that another node shows is refused, or is put together again to the same bytes.
pub fn transactions(bytes: &[u8]) {
    let Ok(signed) = Signed::decode(bytes) else { return };
    assert!(signed.to_bytes() == bytes, "accepted bytes are not the transaction's encoding");
    let _ = (signed.draft().spends(), signed.draft().hash(&network()), signed.signatures());
}

#[cfg(test)]
#[path = "../../tests/fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod seeds {
    use std::{fs, path::Path};

    use hayloft_core::keys::StellarKey;

    use super::*;
    use crate::{
        Address,
        escrow::{HandedIn, Plan},
    };

    fn plan() -> Plan {
        Plan {
            escrow: Address::of(&StellarKey::from_bytes(&[1; 32])),
            owner: Address::of(&StellarKey::from_bytes(&[2; 32])),
            farmer: Address::of(&StellarKey::from_bytes(&[3; 32])),
            auditor: Address::of(&StellarKey::from_bytes(&[4; 32])),
            start: Timestamp(1_800_000_000),
            period_seconds: 259_200,
            grace_seconds: 604_800,
            amounts: vec![Amount(1_000_000); 3],
            setup_sequence: 77,
            merge_ledger: 999,
            base_reserve: Amount(5_000_000),
        }
    }

    fn seeds() -> [(&'static str, Vec<u8>); 5] {
        let (plan, network) = (plan(), network());
        let settlement =
            settle(&plan, &BTreeSet::from([0, 1, 2]), 1, Amount(1_500_000), Amount(0), plan.end(1))
                .expect("due");
        let handed_in = HandedIn {
            by: plan.farmer,
            sequence: 5,
            step_fee: Amount(100),
            until: plan.end(1).plus_seconds(60),
        };
        let unsigned = settlement.draft(&plan, &handed_in).unsigned();
        let signed = unsigned.clone().signed(&StellarKey::from_bytes(&[4; 32]), &network);
        [
            ("plans", encode(&plan)),
            ("plans", encode(&Plan { amounts: vec![Amount(1)], ..plan.clone() })),
            ("transactions", unsigned.to_bytes()),
            ("transactions", signed.to_bytes()),
            ("transactions", plan.merge().unsigned().to_bytes()),
        ]
    }

    /// `UPDATE_CORPUS=1` writes them where cargo-fuzz takes them up.
    #[test]
    fn every_target_survives_its_seeds_whole_torn_and_bent() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus");
        for (number, (name, seed)) in seeds().into_iter().enumerate() {
            let (_, target) = TARGETS.iter().find(|(target, _)| *target == name).expect("a target");
            target(&seed);
            for at in 0..seed.len() {
                target(&seed[..at]);
                let mut bent = seed.clone();
                bent[at] ^= 1 << (at % 8);
                target(&bent);
            }
            if std::env::var_os("UPDATE_CORPUS").is_some() {
                let folder = corpus.join(name);
                fs::create_dir_all(&folder).expect("a folder");
                fs::write(folder.join(format!("seed-{number}")), seed).expect("written");
            }
        }
    }
}
