//! Random histories: whatever people submit, every ledger keeps what [`super::bed::Bed`] checks, and sequence numbers
//! move as they should.

use proptest::prelude::*;
use stellar_base::xdr::{
    Asset, BumpSequenceOp, ClaimClaimableBalanceOp, ClaimPredicate, ClaimableBalanceId, Claimant, ClaimantV0,
    CreateAccountOp, CreateClaimableBalanceOp, DataValue, Hash, ManageDataOp, MuxedAccount, Operation,
    OperationBody, PaymentOp, Preconditions, SequenceNumber, SetOptionsOp, Signer, SignerKey, String64,
    Uint256,
};

use super::bed::{Bed, account, bump, operation, transaction};
use crate::rules::{
    BASE_FEE,
    close::Fate,
    entry::{Entry, account_id},
};

const PEOPLE: u8 = 5;

#[derive(Debug, Clone)]
enum Deed {
    Create(u8, i64),
    Pay(u8, i64),
    Merge(u8),
    Data(u8, bool),
    Signer(u8, u32),
    Thresholds(u32, u32),
    Bump(i64),
    Lock(i64, Vec<u8>, u64),
    Claim(usize),
}

fn deed() -> impl Strategy<Value = Deed> {
    let who = 0..PEOPLE + 2;
    let amount = prop_oneof![0..200_000_000i64, 9_000_000_000..11_000_000_000i64, Just(i64::MAX)];
    prop_oneof![
        1 => (who.clone(), amount.clone()).prop_map(|(who, amount)| Deed::Create(who, amount)),
        4 => (who.clone(), amount.clone()).prop_map(|(who, amount)| Deed::Pay(who, amount)),
        1 => who.clone().prop_map(Deed::Merge),
        1 => (0..3u8, any::<bool>()).prop_map(|(name, set)| Deed::Data(name, set)),
        1 => (who.clone(), 0..3u32).prop_map(|(who, weight)| Deed::Signer(who, weight)),
        1 => (0..3u32, 0..3u32).prop_map(|(low, high)| Deed::Thresholds(low, high)),
        1 => (-1..50i64).prop_map(Deed::Bump),
        3 => (amount, prop::collection::vec(who, 0..4), 0..20u64).prop_map(|(a, who, wait)| Deed::Lock(a, who, wait)),
        3 => (0..8usize).prop_map(Deed::Claim),
    ]
}

/// Whose transaction, whose operations, in which order of sequence numbers, and who else signs or pays.
type Act = (u8, Vec<(Option<u8>, Deed)>, i64, Vec<u8>, Option<u8>);

fn act() -> impl Strategy<Value = Act> {
    let someone = prop::option::weighted(0.3, 0..PEOPLE);
    let operations = prop::collection::vec((someone.clone(), deed()), 0..4);
    let step = prop_oneof![8 => Just(0i64), 1 => -2..4i64];
    (
        0..PEOPLE,
        operations,
        step,
        prop::collection::vec(0..PEOPLE, 0..2),
        prop::option::weighted(0.2, 0..PEOPLE),
    )
}

fn body(bed: &Bed, deed: &Deed) -> OperationBody {
    let muxed = |who: u8| MuxedAccount::Ed25519(Uint256(account(who)));
    match deed {
        Deed::Create(who, amount) => OperationBody::CreateAccount(CreateAccountOp {
            destination: account_id(account(*who)),
            starting_balance: *amount,
        }),
        Deed::Pay(who, amount) => OperationBody::Payment(PaymentOp {
            destination: muxed(*who),
            asset: Asset::Native,
            amount: *amount,
        }),
        Deed::Merge(who) => OperationBody::AccountMerge(muxed(*who)),
        Deed::Data(name, set) => OperationBody::ManageData(ManageDataOp {
            data_name: String64::try_from(vec![b'a' + name]).unwrap(),
            data_value: set.then(|| DataValue(vec![1].try_into().unwrap())),
        }),
        Deed::Signer(who, weight) => OperationBody::SetOptions(SetOptionsOp {
            signer: Some(Signer { key: SignerKey::Ed25519(Uint256(account(*who))), weight: *weight }),
            ..no_options()
        }),
        Deed::Thresholds(low, high) => OperationBody::SetOptions(SetOptionsOp {
            low_threshold: Some(*low),
            high_threshold: Some(*high),
            ..no_options()
        }),
        Deed::Bump(by) => OperationBody::BumpSequence(BumpSequenceOp { bump_to: SequenceNumber(by << 30) }),
        Deed::Lock(amount, who, wait) => lock(bed, *amount, who, *wait),
        Deed::Claim(index) => {
            let balances = bed.state.entries().filter_map(|(_, entry)| match entry {
                Entry::Balance(balance) => Some(balance.key),
                _ => None,
            });
            let key = balances.into_iter().nth(*index).unwrap_or([9; 32]);
            let balance_id = ClaimableBalanceId::ClaimableBalanceIdTypeV0(Hash(key));
            OperationBody::ClaimClaimableBalance(ClaimClaimableBalanceOp { balance_id })
        }
    }
}

fn no_options() -> SetOptionsOp {
    SetOptionsOp {
        inflation_dest: None,
        clear_flags: None,
        set_flags: None,
        master_weight: None,
        low_threshold: None,
        med_threshold: None,
        high_threshold: None,
        home_domain: None,
        signer: None,
    }
}

fn lock(bed: &Bed, amount: i64, who: &[u8], wait: u64) -> OperationBody {
    let from = i64::try_from(bed.state.close_time() + wait).unwrap();
    let predicate = ClaimPredicate::Not(Some(Box::new(ClaimPredicate::BeforeAbsoluteTime(from))));
    let claimant = |who: &u8| {
        Claimant::ClaimantTypeV0(ClaimantV0 {
            destination: account_id(account(*who)),
            predicate: predicate.clone(),
        })
    };
    OperationBody::CreateClaimableBalance(CreateClaimableBalanceOp {
        asset: Asset::Native,
        amount,
        claimants: who.iter().map(claimant).collect::<Vec<_>>().try_into().unwrap(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn lumens_are_constant_in_every_ledger(ledgers in prop::collection::vec(prop::collection::vec(act(), 0..6), 1..12)) {
        let people: Vec<u8> = (0..PEOPLE).collect();
        let mut bed = Bed::new(&people);
        for acts in ledgers {
            let mut steps = std::collections::HashMap::<u8, i64>::new();
            let envelopes: Vec<_> = acts.iter().map(|(source, deeds, step, others, payer)| {
                let operations: Vec<Operation> =
                    deeds.iter().map(|(by, deed)| operation(*by, body(&bed, deed))).collect();
                let taken = steps.entry(*source).or_default();
                let sequence = (bed.next(*source) + *taken).saturating_add(*step);
                *taken += 1;
                let mut seeds = vec![*source];
                seeds.extend(deeds.iter().filter_map(|(by, _)| *by));
                seeds.extend(others);
                seeds.sort_unstable();
                seeds.dedup();
                let inner = transaction(*source, sequence, Preconditions::None, operations, &seeds);
                match payer {
                    Some(payer) => bump(&inner, *payer, BASE_FEE * inner.fee_operations() + BASE_FEE),
                    None => inner,
                }
            }).collect();
            let before = bed.state.clone();
            let offered: Vec<_> = envelopes.iter().collect();
            let closed = bed.close(&offered, bed.state.close_time() + 5);
            let mut newest = std::collections::HashMap::new();
            for (envelope, fate) in envelopes.iter().zip(&closed.fates) {
                let source = envelope.inner.source();
                let known = newest.get(&source).copied().or(before.account(&source).map(|a| a.sequence));
                if matches!(fate, Fate::Applied { .. }) {
                    prop_assert_eq!(known.map(|known| known + 1), Some(envelope.inner.sequence()));
                    newest.insert(source, envelope.inner.sequence());
                }
            }
        }
    }
}
