//! Proof of fraud: two revisions of one contract with one number, both signed by the farmer.

use super::{Revision, SignedTerms, TermsError};
use crate::Signature;

/// Two revisions that no honest farmer signs both of. Anyone can check it offline.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Equivocation {
    /// The contract, as both sides agreed on it.
    pub terms: SignedTerms,
    /// One revision, with the farmer's signature.
    pub one: (Revision, Signature),
    /// The other.
    pub other: (Revision, Signature),
}

/// Why two revisions prove nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotFraud {
    /// The terms are not signed by both.
    #[error(transparent)]
    Terms(#[from] TermsError),
    /// One of them belongs to another contract.
    #[error("a revision belongs to another contract")]
    OtherContract,
    /// Their numbers differ.
    #[error("the revisions have different numbers")]
    OtherNumber,
    /// They are one and the same.
    #[error("both revisions are the same")]
    Same,
    /// The farmer did not sign one of them.
    #[error("the farmer did not sign both revisions")]
    NotSigned,
}

impl Equivocation {
    /// Whether this proves that the farmer signed two revisions under one number.
    ///
    /// # Errors
    /// [`NotFraud`] says what is missing.
    pub fn verify(&self) -> Result<(), NotFraud> {
        let (one, other) = (&self.one.0, &self.other.0);
        let contract = self.terms.terms.id();
        self.terms.verify()?;
        if one.contract != contract || other.contract != contract {
            return Err(NotFraud::OtherContract);
        }
        if one.number != other.number {
            return Err(NotFraud::OtherNumber);
        }
        if one == other {
            return Err(NotFraud::Same);
        }
        for (revision, signature) in [&self.one, &self.other] {
            revision.verify_farmer(&self.terms.terms, signature).map_err(|_| NotFraud::NotSigned)?;
        }
        Ok(())
    }
}
