//! Signatures, fees and sequence numbers where several transactions or signers meet.

use ed25519_dalek::Signer as _;
use stellar_base::xdr::{
    BumpSequenceOp, DecoratedSignature, Hash, InnerTransactionResultResult, LedgerBounds, MuxedAccount,
    OperationBody, OperationResult, OperationResultTr, PaymentOp, Preconditions, PreconditionsV2,
    SequenceNumber, SetOptionsOp, Signature, SignatureHint, Signer, SignerKey, TransactionEnvelope,
    TransactionResult, TransactionResultCode as Code, TransactionResultResult, TransactionV1Envelope,
    Uint256,
};

use super::bed::{Bed, NETWORK, ROOT, account, bump, operation, signer, transaction};
use crate::rules::{
    close::{Closed, Fate},
    envelope::Envelope,
    sha256,
};

const ALICE: u8 = 1;
const BOB: u8 = 2;
const EVE: u8 = 3;

fn pay(to: u8, amount: i64) -> OperationBody {
    let destination = MuxedAccount::Ed25519(Uint256(account(to)));
    OperationBody::Payment(PaymentOp { destination, asset: stellar_base::xdr::Asset::Native, amount })
}

fn options(signer: Option<(SignerKey, u32)>, master: Option<u32>, medium: Option<u32>) -> OperationBody {
    OperationBody::SetOptions(SetOptionsOp {
        inflation_dest: None,
        clear_flags: None,
        set_flags: None,
        master_weight: master,
        low_threshold: None,
        med_threshold: medium,
        high_threshold: None,
        home_domain: None,
        signer: signer.map(|(key, weight)| Signer { key, weight }),
    })
}

fn simple(bed: &Bed, source: u8, body: OperationBody) -> Envelope {
    transaction(source, bed.next(source), Preconditions::None, vec![operation(None, body)], &[source])
}

fn code(closed: &Closed, index: usize) -> Code {
    match &closed.fates[index] {
        Fate::Applied { result, .. } => result.result.discriminant(),
        Fate::Refused(outcome) => outcome.code,
    }
}

fn result(closed: &Closed, index: usize) -> &TransactionResult {
    match &closed.fates[index] {
        Fate::Applied { result, .. } => result,
        Fate::Refused(outcome) => panic!("refused: {outcome:?}"),
    }
}

#[test]
fn a_pre_authorised_transaction_needs_no_signature_and_is_used_up_even_if_it_fails() {
    let mut bed = Bed::new(&[ALICE, BOB]);
    let later = transaction(
        ALICE,
        bed.next(ALICE) + 1,
        Preconditions::None,
        vec![operation(None, pay(BOB, i64::MAX / 2))],
        &[],
    );
    let allow = options(Some((SignerKey::PreAuthTx(Uint256(later.hash())), 1)), None, None);
    let allow = simple(&bed, ALICE, allow);
    bed.close(&[&allow], 1010);
    assert_eq!(bed.find(ALICE).unwrap().signers.len(), 1);
    let closed = bed.close(&[&later], 1015);
    assert_eq!(code(&closed, 0), Code::TxFailed);
    let alice = bed.find(ALICE).unwrap();
    assert!(alice.signers.is_empty() && alice.subentries == 0, "{alice:?}");
}

#[test]
fn a_preimage_of_any_length_unlocks_a_hash() {
    for length in [0, 3, 32, 64] {
        let mut bed = Bed::new(&[ALICE, BOB]);
        let preimage = vec![5u8; length];
        let hash = sha256(&[&preimage]);
        let allow = simple(&bed, ALICE, options(Some((SignerKey::HashX(Uint256(hash)), 1)), None, None));
        bed.close(&[&allow], 1010);
        let bare =
            transaction(ALICE, bed.next(ALICE), Preconditions::None, vec![operation(None, pay(BOB, 1))], &[]);
        let [.., a, b, c, d] = hash;
        let shown = DecoratedSignature {
            hint: SignatureHint([a, b, c, d]),
            signature: Signature(preimage.try_into().unwrap()),
        };
        let envelope = with_signatures(&bare, vec![shown]);
        let closed = bed.close(&[&envelope], 1015);
        assert_eq!(code(&closed, 0), Code::TxSuccess, "{length} bytes");
    }
}

fn with_signatures(envelope: &Envelope, signatures: Vec<DecoratedSignature>) -> Envelope {
    let tx = envelope.inner.tx.clone();
    let signatures = signatures.try_into().unwrap();
    Envelope::new(TransactionEnvelope::Tx(TransactionV1Envelope { tx, signatures }), &NETWORK)
}

#[test]
fn weights_add_up_to_thresholds_and_a_master_key_without_weight_signs_nothing() {
    let mut bed = Bed::new(&[ALICE, BOB, EVE]);
    let add =
        |who: u8| operation(None, options(Some((SignerKey::Ed25519(Uint256(account(who))), 1)), None, None));
    let change = vec![add(BOB), add(EVE), operation(None, options(None, Some(0), Some(2)))];
    let change = transaction(ALICE, bed.next(ALICE), Preconditions::None, change, &[ALICE]);
    assert_eq!(code(&bed.close(&[&change], 1010), 0), Code::TxSuccess);
    let wish = |bed: &Bed, seeds: &[u8]| {
        transaction(ALICE, bed.next(ALICE), Preconditions::None, vec![operation(None, pay(BOB, 1))], seeds)
    };
    for (seeds, expected) in [
        (&[ALICE][..], Code::TxBadAuth),
        (&[BOB], Code::TxFailed),
        (&[BOB, EVE], Code::TxSuccess),
        (&[BOB, EVE, ALICE], Code::TxBadAuthExtra),
    ] {
        let envelope = wish(&bed, seeds);
        let closed = bed.close(&[&envelope], bed.state.close_time() + 5);
        assert_eq!(code(&closed, 0), expected, "{seeds:?}");
    }
}

#[test]
fn a_signature_over_another_network_or_by_a_small_order_key_is_none() {
    let mut bed = Bed::new(&[ALICE, BOB]);
    let good = simple(&bed, ALICE, pay(BOB, 1));
    let elsewhere = Envelope::decode(&good.bytes, &[8; 32]).unwrap();
    assert_eq!(code(&bed.close(&[&elsewhere], 1010), 0), Code::TxBadAuth);
    // The identity point as a signer, with the signature that a lax check takes for every message.
    let weak = {
        let mut point = [0; 32];
        point[0] = 1;
        point
    };
    let allow = simple(&bed, ALICE, options(Some((SignerKey::Ed25519(Uint256(weak)), 255)), None, None));
    assert_eq!(code(&bed.close(&[&allow], 1015), 0), Code::TxSuccess);
    let bare =
        transaction(ALICE, bed.next(ALICE), Preconditions::None, vec![operation(None, pay(BOB, 1))], &[]);
    let mut forged = weak.to_vec();
    forged.extend([0; 32]);
    let forged =
        DecoratedSignature { hint: SignatureHint([0; 4]), signature: Signature(forged.try_into().unwrap()) };
    let closed = bed.close(&[&with_signatures(&bare, vec![forged])], 1020);
    assert_eq!(code(&closed, 0), Code::TxBadAuth);
}

#[test]
fn transactions_of_one_account_follow_one_another_in_one_ledger() {
    let mut bed = Bed::new(&[ALICE, BOB]);
    let first = bed.next(ALICE);
    let at = |sequence| {
        transaction(ALICE, sequence, Preconditions::None, vec![operation(None, pay(BOB, 1))], &[ALICE])
    };
    let (one, two, twin, gap) = (at(first), at(first + 1), at(first + 1), at(first + 3));
    let closed = bed.close(&[&one, &two, &twin, &gap], 1010);
    let codes: Vec<_> = (0..4).map(|index| code(&closed, index)).collect();
    assert_eq!(codes, [Code::TxSuccess, Code::TxSuccess, Code::TxBadSeq, Code::TxBadSeq]);
}

#[test]
fn a_transaction_undone_by_an_earlier_one_of_its_ledger_fails_but_pays_and_uses_its_number() {
    let mut bed = Bed::new(&[ALICE, BOB]);
    let first = bed.next(ALICE);
    let bump =
        operation(None, OperationBody::BumpSequence(BumpSequenceOp { bump_to: SequenceNumber(first + 100) }));
    let one = transaction(ALICE, first, Preconditions::None, vec![bump], &[ALICE]);
    let two =
        transaction(ALICE, first + 1, Preconditions::None, vec![operation(None, pay(BOB, 1))], &[ALICE]);
    let pool = bed.state.header().fee_pool;
    let closed = bed.close(&[&one, &two], 1010);
    assert_eq!((code(&closed, 0), code(&closed, 1)), (Code::TxSuccess, Code::TxBadSeq));
    assert!(matches!(closed.fates[1], Fate::Applied { success: false, .. }));
    assert_eq!(bed.state.header().fee_pool, pool + 200);
    assert_eq!(bed.find(ALICE).unwrap().sequence, first + 100);
}

#[test]
fn an_account_merged_away_takes_its_later_transactions_with_it() {
    let mut bed = Bed::new(&[ALICE, BOB]);
    let first = bed.next(ALICE);
    let merge = OperationBody::AccountMerge(MuxedAccount::Ed25519(Uint256(account(BOB))));
    let one = transaction(ALICE, first, Preconditions::None, vec![operation(None, merge)], &[ALICE]);
    let two =
        transaction(ALICE, first + 1, Preconditions::None, vec![operation(None, pay(BOB, 1))], &[ALICE]);
    let closed = bed.close(&[&one, &two], 1010);
    assert_eq!((code(&closed, 0), code(&closed, 1)), (Code::TxSuccess, Code::TxNoAccount));
    assert!(bed.find(ALICE).is_none());
}

#[test]
fn all_operations_answer_also_after_one_that_failed_and_none_is_kept() {
    let mut bed = Bed::new(&[ALICE, BOB]);
    let before = bed.find(BOB).unwrap().balance;
    let operations =
        vec![operation(None, pay(BOB, 5)), operation(None, pay(99, 5)), operation(None, pay(BOB, 7))];
    let tx = transaction(ALICE, bed.next(ALICE), Preconditions::None, operations, &[ALICE]);
    let closed = bed.close(&[&tx], 1010);
    let TransactionResultResult::TxFailed(results) = &result(&closed, 0).result else { panic!() };
    let words: Vec<_> = results.iter().map(crate::rules::codes::operation).collect();
    assert_eq!(words, ["op_success", "op_no_destination", "op_success"]);
    assert_eq!(bed.find(BOB).unwrap().balance, before);
}

#[test]
fn a_fee_bump_pays_for_a_failed_transaction_and_wraps_its_result() {
    let mut bed = Bed::new(&[ALICE, BOB]);
    let (alice, bob) = (bed.find(ALICE).unwrap().balance, bed.find(BOB).unwrap().balance);
    let inner = simple(&bed, ALICE, pay(99, 5));
    let outer = bump(&inner, BOB, 1000);
    let closed = bed.close(&[&outer], 1010);
    let result = result(&closed, 0);
    assert_eq!(result.fee_charged, 200);
    let TransactionResultResult::TxFeeBumpInnerFailed(pair) = &result.result else { panic!("{result:?}") };
    assert_eq!(pair.transaction_hash, Hash(inner.hash()));
    assert!(matches!(pair.result.result, InnerTransactionResultResult::TxFailed(_)));
    assert_eq!(bed.find(ALICE).unwrap().balance, alice);
    assert_eq!(bed.find(BOB).unwrap().balance, bob - 200);
    assert_eq!(bed.next(ALICE), inner.inner.sequence() + 1);
}

#[test]
fn a_fee_bump_must_offer_at_least_the_rate_inside_and_says_what_it_takes() {
    let mut bed = Bed::new(&[ALICE, BOB]);
    let source = bed.next(ALICE);
    let inner = transaction(ALICE, source, Preconditions::None, vec![operation(None, pay(BOB, 5))], &[ALICE]);
    for (fee, needed) in [(199, 200), (0, 200)] {
        let closed = bed.close(&[&bump(&inner, BOB, fee)], bed.state.close_time() + 1);
        let Fate::Refused(outcome) = &closed.fates[0] else { panic!() };
        assert_eq!((outcome.code, outcome.fee, outcome.outer), (Code::TxInsufficientFee, needed, true));
    }
}

#[test]
fn fees_promised_together_must_be_there_together() {
    let mut bed = Bed::new(&[ALICE, BOB]);
    // Alice keeps her reserve and 150 stroops: enough for one transaction's fee, not for two.
    let balance = bed.find(ALICE).unwrap().available();
    let spend = simple(&bed, ALICE, pay(BOB, balance - 250));
    assert_eq!(code(&bed.close(&[&spend], 1010), 0), Code::TxSuccess);
    let first = bed.next(ALICE);
    let at = |sequence| {
        transaction(ALICE, sequence, Preconditions::None, vec![operation(None, pay(BOB, 1))], &[ALICE])
    };
    let closed = bed.close(&[&at(first), &at(first + 1)], 1015);
    assert_eq!((code(&closed, 0), code(&closed, 1)), (Code::TxSuccess, Code::TxInsufficientBalance));
}

#[test]
fn preconditions_hold_to_the_ledger_and_the_number() {
    let none = || PreconditionsV2 {
        time_bounds: None,
        ledger_bounds: None,
        min_seq_num: None,
        min_seq_age: stellar_base::xdr::Duration(0),
        min_seq_ledger_gap: 0,
        extra_signers: Vec::new().try_into().unwrap(),
    };
    let bounds = |min_ledger, max_ledger| PreconditionsV2 {
        ledger_bounds: Some(LedgerBounds { min_ledger, max_ledger }),
        ..none()
    };
    let eve = SignerKey::Ed25519(Uint256(account(EVE)));
    let extra = PreconditionsV2 { extra_signers: vec![eve].try_into().unwrap(), ..none() };
    let gap = PreconditionsV2 { min_seq_ledger_gap: 2, ..none() };
    for (conditions, skip, seeds, expected) in [
        (bounds(4, 0), 0, &[ALICE][..], Code::TxTooEarly),
        (bounds(3, 0), 0, &[ALICE], Code::TxSuccess),
        (bounds(0, 3), 0, &[ALICE], Code::TxTooLate),
        (bounds(0, 4), 0, &[ALICE], Code::TxSuccess),
        (PreconditionsV2 { min_seq_num: Some(SequenceNumber(0)), ..none() }, 50, &[ALICE], Code::TxSuccess),
        (
            PreconditionsV2 { min_seq_num: Some(SequenceNumber(i64::MAX)), ..none() },
            0,
            &[ALICE],
            Code::TxBadSeq,
        ),
        (extra.clone(), 0, &[ALICE], Code::TxBadAuth),
        (extra, 0, &[ALICE, EVE], Code::TxSuccess),
        (gap, 0, &[ALICE], Code::TxSuccess),
    ] {
        let mut bed = Bed::new(&[ALICE, BOB, EVE]);
        let operations = vec![operation(None, pay(BOB, 1))];
        let sequence = bed.next(ALICE) + skip;
        let tx = transaction(ALICE, sequence, Preconditions::V2(conditions.clone()), operations, seeds);
        assert_eq!(code(&bed.close(&[&tx], 1010), 0), expected, "{conditions:?}");
    }
}

#[test]
fn a_signed_payload_stands_for_a_signature() {
    let mut bed = Bed::new(&[ALICE, BOB]);
    for payload in [vec![1, 2, 3], vec![9; 40]] {
        let key = SignerKey::Ed25519SignedPayload(stellar_base::xdr::SignerKeyEd25519SignedPayload {
            ed25519: Uint256(account(EVE)),
            payload: payload.clone().try_into().unwrap(),
        });
        let allow = simple(&bed, ALICE, options(Some((key, 1)), None, None));
        bed.close(&[&allow], bed.state.close_time() + 1);
        let bare =
            transaction(ALICE, bed.next(ALICE), Preconditions::None, vec![operation(None, pay(BOB, 1))], &[]);
        let mut last = [0; 4];
        let tail = &payload[payload.len().saturating_sub(4)..];
        last[..tail.len()].copy_from_slice(tail);
        let [.., a, b, c, d] = account(EVE);
        let hint = SignatureHint([a ^ last[0], b ^ last[1], c ^ last[2], d ^ last[3]]);
        let signature = signer(EVE).sign(&payload).to_bytes().to_vec();
        let signed = DecoratedSignature { hint, signature: Signature(signature.try_into().unwrap()) };
        let closed = bed.close(&[&with_signatures(&bare, vec![signed])], bed.state.close_time() + 1);
        assert_eq!(code(&closed, 0), Code::TxSuccess);
    }
}

#[test]
fn bytes_after_the_envelope_deep_nesting_and_too_many_bytes_are_refused() {
    let bed = Bed::new(&[ALICE]);
    let good = simple(&bed, ALICE, pay(ROOT, 1)).bytes;
    assert!(Envelope::decode(&good, &NETWORK).is_ok());
    assert!(Envelope::decode(&[good.clone(), vec![0; 4]].concat(), &NETWORK).is_err());
    assert!(Envelope::decode(&good[..good.len() - 4], &NETWORK).is_err());
    assert!(Envelope::decode(&vec![0; crate::rules::envelope::MAX_BYTES + 1], &NETWORK).is_err());
}

#[test]
fn the_results_of_a_bad_auth_name_the_operation() {
    let mut bed = Bed::new(&[ALICE, BOB]);
    let operations = vec![operation(None, pay(BOB, 1)), operation(Some(BOB), pay(ALICE, 1))];
    let tx = transaction(ALICE, bed.next(ALICE), Preconditions::None, operations, &[ALICE]);
    let closed = bed.close(&[&tx], 1010);
    let Fate::Refused(outcome) = &closed.fates[0] else { panic!() };
    assert!(matches!(outcome.operations[0], OperationResult::OpInner(OperationResultTr::Payment(_))));
    assert_eq!(outcome.operations[1], OperationResult::OpBadAuth);
}
