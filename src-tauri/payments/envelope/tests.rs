//! What is written is read as the same; what cannot be said is refused.

use proptest::prelude::*;
use stellar_base::xdr::{
    BumpSequenceOp, Memo as XdrMemo, MuxedAccount, MuxedAccountMed25519, Operation, OperationBody,
    Preconditions, SequenceNumber, TransactionV1Envelope, Uint256,
};

use super::*;
use crate::network::{Kind, test_network};

fn network() -> Network {
    Network::new(test_network::PASSPHRASE, Kind::Test).unwrap()
}

fn key(seed: u8) -> StellarKey {
    StellarKey::from_bytes(&[seed; 32])
}

fn address() -> impl Strategy<Value = Address> {
    any::<[u8; 32]>().prop_map(Address)
}

fn money() -> impl Strategy<Value = Amount> {
    (0..=i64::MAX as u64).prop_map(Amount)
}

fn time() -> impl Strategy<Value = Timestamp> {
    (0..=i64::MAX as u64).prop_map(Timestamp)
}

fn deed() -> impl Strategy<Value = Do> {
    let lock = prop_oneof![address().prop_map(Lock::Key), any::<[u8; 32]>().prop_map(Lock::Transaction)];
    prop_oneof![
        (address(), money()).prop_map(|(account, balance)| Do::Create { account, balance }),
        (address(), money()).prop_map(|(to, amount)| Do::Pay { to, amount }),
        (lock, any::<u8>()).prop_map(|(who, weight)| Do::Sign { who, weight }),
        (any::<u8>(), any::<u8>()).prop_map(|(own, needed)| Do::Rule { own, needed }),
        (money(), prop::collection::vec((address(), time()), 0..=10))
            .prop_map(|(amount, claimants)| Do::Lock { amount, claimants }),
        any::<[u8; 32]>().prop_map(|id| Do::Claim { balance: BalanceId(id) }),
        address().prop_map(|into| Do::Merge { into }),
    ]
}

fn draft() -> impl Strategy<Value = Draft> {
    let window = (any::<u64>(), 1u64.., any::<u32>(), prop::option::of(1u32..), any::<bool>()).prop_map(
        |(from, until, from_ledger, before_ledger, skips_numbers)| Window {
            from: Timestamp(from),
            until: Some(Timestamp(until)),
            from_ledger,
            before_ledger,
            skips_numbers,
        },
    );
    let memo = prop_oneof![
        Just(Memo::None),
        "[a-zäöü ]{0,14}".prop_map(Memo::Text),
        any::<[u8; 32]>().prop_map(Memo::Hash)
    ];
    let step = (prop::option::of(address()), deed()).prop_map(|(by, deed)| Step { by, deed });
    let steps = prop::collection::vec(step, 0..20);
    (address(), any::<i64>(), any::<u32>(), window, memo, steps).prop_map(
        |(source, sequence, fee, window, memo, steps)| Draft { source, sequence, fee, window, memo, steps },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_the_same(draft in draft()) {
        let signed = draft.unsigned().signed(&key(1), &network());
        prop_assert_eq!(Signed::decode(&signed.to_bytes()), Ok(signed));
    }

    #[test]
    fn damaged_bytes_are_refused_or_mean_what_they_say(
        draft in draft(),
        at in any::<prop::sample::Index>(),
        flip in 1u8..,
    ) {
        let mut bytes = draft.unsigned().signed(&key(1), &network()).to_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(signed) = Signed::decode(&bytes) {
            prop_assert_eq!(signed.to_bytes(), bytes);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        let _ = Signed::decode(&bytes);
    }
}

fn payment() -> Draft {
    Draft {
        source: Address::of(&key(1)),
        sequence: 7,
        fee: 100,
        window: Window::until(Timestamp(1000)),
        memo: Memo::None,
        steps: vec![Step { by: None, deed: Do::Pay { to: Address::of(&key(2)), amount: Amount(5) } }],
    }
}

#[test]
fn a_signature_counts_for_its_key_its_transaction_and_its_network_alone() {
    let signed = payment().unsigned().signed(&key(1), &network());
    assert!(signed.is_signed_by(Address::of(&key(1)), &network()));
    assert!(!signed.is_signed_by(Address::of(&key(2)), &network()));
    let local = Network::new("another", Kind::Local).unwrap();
    assert!(!signed.is_signed_by(Address::of(&key(1)), &local));
    let mut moved = signed.clone();
    moved.draft.sequence = 8;
    assert!(!moved.is_signed_by(Address::of(&key(1)), &network()));
    assert!(!signed.is_signed_by(Address([0xff; 32]), &network()), "no point of the curve");
}

#[test]
fn what_a_draft_cannot_say_is_refused() {
    let TransactionEnvelope::Tx(good) = write::envelope(&payment().unsigned().signed(&key(1), &network()))
    else {
        unreachable!("a transaction of version 1")
    };
    let refused = |change: &dyn Fn(&mut TransactionV1Envelope)| {
        let mut changed = good.clone();
        change(&mut changed);
        let bytes = TransactionEnvelope::Tx(changed).to_xdr(Limits::none()).unwrap();
        matches!(Signed::decode(&bytes), Err(EnvelopeError::NotUnderstood { .. }))
    };
    let muxed = || MuxedAccount::MuxedEd25519(MuxedAccountMed25519 { id: 1, ed25519: Uint256([1; 32]) });
    let operations = |operation: Operation| vec![operation].try_into().unwrap();
    assert!(refused(&|envelope| envelope.tx.source_account = muxed()));
    assert!(refused(&|envelope| envelope.tx.cond = Preconditions::None));
    assert!(refused(&|envelope| envelope.tx.memo = XdrMemo::Id(5)));
    assert!(refused(&|envelope| {
        let body = OperationBody::BumpSequence(BumpSequenceOp { bump_to: SequenceNumber(5) });
        envelope.tx.operations = operations(Operation { source_account: None, body });
    }));
    assert!(refused(&|envelope| {
        let body = OperationBody::AccountMerge(muxed());
        envelope.tx.operations = operations(Operation { source_account: None, body });
    }));
    assert!(refused(&|envelope| {
        let mut signatures = envelope.signatures.to_vec();
        signatures[0].signature.0 = vec![1, 2, 3].try_into().unwrap();
        envelope.signatures = signatures.try_into().unwrap();
    }));
    let mut longer = payment().unsigned().to_bytes();
    longer.push(0);
    assert_eq!(Signed::decode(&longer), Err(EnvelopeError::Malformed));
    assert_eq!(Signed::decode(&vec![0; MAX_BYTES + 1]), Err(EnvelopeError::TooLong));
}
