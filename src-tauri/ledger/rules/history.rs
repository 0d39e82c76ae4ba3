//! Who took part in a transaction and in each of its operations, and which operations count as payments.

use std::collections::BTreeSet;

use stellar_base::xdr::{Claimant, ClaimantV0, Operation, OperationBody};

use super::{
    entry::{AccountKey, account_key},
    envelope::{Envelope, key},
    operations,
};

/// Whether Horizon lists the operation among payments.
pub fn is_payment(body: &OperationBody) -> bool {
    matches!(
        body,
        OperationBody::CreateAccount(_) | OperationBody::Payment(_) | OperationBody::AccountMerge(_)
    )
}

/// The account that an operation of this envelope acts for.
pub fn operation_source(envelope: &Envelope, operation: &Operation) -> AccountKey {
    operations::source(operation, &envelope.inner)
}

/// The accounts that take part in an operation.
pub fn operation_accounts(envelope: &Envelope, operation: &Operation) -> BTreeSet<AccountKey> {
    let mut accounts = BTreeSet::from([operation_source(envelope, operation)]);
    match &operation.body {
        OperationBody::CreateAccount(op) => accounts.extend([account_key(&op.destination)]),
        OperationBody::Payment(op) => accounts.extend([key(&op.destination)]),
        OperationBody::AccountMerge(to) => accounts.extend([key(to)]),
        OperationBody::CreateClaimableBalance(op) => {
            let claimant = |Claimant::ClaimantTypeV0(ClaimantV0 { destination, .. }): &Claimant| {
                account_key(destination)
            };
            accounts.extend(op.claimants.iter().map(claimant));
        }
        _ => {}
    }
    accounts
}

/// The accounts that take part in a transaction.
pub fn transaction_accounts(envelope: &Envelope) -> BTreeSet<AccountKey> {
    let mut accounts = BTreeSet::from([envelope.inner.source(), envelope.fee_source()]);
    for operation in envelope.inner.tx.operations.iter() {
        accounts.extend(operation_accounts(envelope, operation));
    }
    accounts
}
