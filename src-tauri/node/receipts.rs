//! Receipts as files: anyone checks one offline, with no node and no home.

use std::{fs::File, io::Read, path::Path};

use hayloft_core::{
    audit::Epoch,
    auditor::exported::{Exported, MAX_EXPORTED_BYTES},
};

use crate::{
    auditor::shown::wrong,
    errors::sentence,
    model::{ApiError, ReceiptShown, VerdictWord},
};

/// What the receipt in a file shows. Everything in it is verified.
///
/// # Errors
/// [`ApiError`] if it cannot be read, or shows nothing, with the reason.
pub fn verify(path: &Path) -> Result<ReceiptShown, ApiError> {
    let file = File::open(path);
    let mut text = String::new();
    let read = file.and_then(|file| file.take(MAX_EXPORTED_BYTES as u64 + 1).read_to_string(&mut text));
    read.map_err(|error| {
        ApiError::bad_request(format!(
            "{} cannot be read: {}.",
            path.display(),
            hayloft_store::disk::plain(&error)
        ))
    })?;
    if text.len() > MAX_EXPORTED_BYTES {
        return Err(ApiError::bad_request("That is too large for a receipt."));
    }
    let exported: Exported = serde_json::from_str(&text)
        .map_err(|error| ApiError::bad_request(format!("That is no receipt: {error}.")))?;
    show(&exported)
}

/// Writes a receipt to a file, which is replaced if it is there.
///
/// # Errors
/// [`ApiError`] if it cannot be written.
pub fn save(exported: &Exported, path: &Path) -> Result<(), ApiError> {
    let text =
        serde_json::to_string_pretty(exported).map_err(|error| ApiError::internal(sentence(&error)))?;
    std::fs::write(path, text + "\n").map_err(|error| {
        ApiError::disk(format!(
            "{} cannot be written: {}.",
            path.display(),
            hayloft_store::disk::plain(&error)
        ))
    })
}

/// What an exported receipt shows.
///
/// # Errors
/// [`ApiError`] if it shows nothing, with the reason.
pub fn show(exported: &Exported) -> Result<ReceiptShown, ApiError> {
    let shown = exported.judge().map_err(|error| ApiError::bad_request(sentence(&error)))?;
    let (verdict, reason) = match shown.finding.outcome {
        Ok(()) => (VerdictWord::Passed, None),
        Err(failure) => (VerdictWord::Failed, Some(wrong(&failure))),
    };
    let (terms, transcript) = (&shown.terms.terms, &shown.receipt.transcript);
    Ok(ReceiptShown {
        verdict,
        reason,
        farmer: terms.farmer.to_string(),
        owner: terms.owner.to_string(),
        contract: transcript.contract.to_string(),
        revision: transcript.revision,
        epoch: transcript.epoch.0,
        asked: (transcript.epoch.start(terms).0, Epoch(transcript.epoch.0.saturating_add(1)).start(terms).0),
        // What a receipt says of a ledger, only that ledger could confirm, and no node asks it.
        publicly_random: false,
        stands_for_epoch: shown.finding.stands_for_epoch,
    })
}
