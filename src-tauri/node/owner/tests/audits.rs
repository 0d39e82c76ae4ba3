//! Audits that an owner makes by itself: of one file or of all, and the receipts of them.

use super::bed::{Bed, noise};
use crate::{
    model::{AuditReport, ErrorCode, ReceiptWish, VerdictWord},
    receipts,
};

fn verdicts(report: &AuditReport, wanted: VerdictWord) -> usize {
    report.verdicts.iter().filter(|one| one.verdict == wanted).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_files_are_audited_at_once_and_a_farmer_that_is_gone_proves_nothing() {
    let bed = Bed::new(4).await;
    bed.put_bytes("one", &noise(1, 300_000)).await;
    bed.put_bytes("two", &noise(2, 40_000)).await;
    let before = bed.node.audit_history(None).await.expect("a history");
    let farmers = before.farmers.len();
    assert!(before.own.is_empty() && farmers > 1, "farmers are known before they are asked: {before:?}");

    let all = bed.node.audit(None).await.expect("an audit");
    assert_eq!((all.verdicts.len(), verdicts(&all, VerdictWord::Passed)), (farmers, farmers), "{all:?}");
    let one = bed.node.audit(Some("one".into())).await.expect("an audit");
    assert_eq!(verdicts(&one, VerdictWord::Passed), one.verdicts.len(), "{one:?}");
    let names = |own: &[crate::model::OwnAudit]| {
        own.iter().map(|audit| audit.name.clone()).collect::<std::collections::BTreeSet<_>>()
    };
    let of_one = bed.node.audit_history(Some("one".into())).await.expect("a history");
    assert_eq!(names(&of_one.own), [None, Some("one".into())].into());
    assert_eq!(of_one.own.len(), 2 * one.verdicts.len(), "of all, what concerns its farmers");
    let of_two = bed.node.audit_history(Some("two".into())).await.expect("a history");
    assert_eq!(names(&of_two.own), [None].into());
    let unknown = bed.node.audit(Some("three".into())).await.expect_err("no such file");
    assert_eq!(unknown.code, ErrorCode::NotFound);

    let mut gone = 0;
    while !before.farmers.contains(&bed.farms[gone].node.status().await.expect("a status").device) {
        gone += 1;
    }
    bed.kill(gone).await;
    let all = bed.node.audit(None).await.expect("an audit");
    assert_eq!((verdicts(&all, VerdictWord::Passed), verdicts(&all, VerdictWord::Missed)), (farmers - 1, 1));
    assert!(all.verdicts.iter().all(|one| one.reason.is_some() == (one.verdict != VerdictWord::Passed)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saved_receipt_holds_for_anybody_says_when_it_was_asked_and_fails_once_changed() {
    let bed = Bed::new(3).await;
    bed.put_bytes("one", &noise(1, 300_000)).await;
    bed.node.audit(None).await.expect("an audit");
    let history = bed.node.audit_history(None).await.expect("a history");
    let audit = history.own.iter().find(|audit| audit.receipt).expect("a receipt");
    let wish =
        ReceiptWish { farmer: audit.farmer.clone(), contract: Some(audit.contract.clone()), epoch: None };
    let path = bed.disk().join("receipt.json");
    receipts::save(&bed.node.audit_export(wish.clone()).await.expect("exported"), &path).expect("saved");
    let shown = receipts::verify(&path).expect("it holds");
    assert_eq!(
        (shown.verdict, &shown.farmer, &shown.contract),
        (VerdictWord::Passed, &audit.farmer, &audit.contract)
    );
    assert!((shown.asked.0..shown.asked.1).contains(&audit.at), "{shown:?}");
    assert!(
        !shown.stands_for_epoch && !shown.publicly_random,
        "it was asked for on demand, and drawn together"
    );

    let text = std::fs::read_to_string(&path).expect("read");
    std::fs::write(&path, text.replacen("\"terms\": \"01", "\"terms\": \"02", 1)).expect("written");
    assert_eq!(receipts::verify(&path).expect_err("changed").code, ErrorCode::BadRequest);
    let elsewhere = ReceiptWish { contract: Some("00".repeat(32)), ..wish };
    assert_eq!(bed.node.audit_export(elsewhere).await.expect_err("none").code, ErrorCode::NotFound);
}
