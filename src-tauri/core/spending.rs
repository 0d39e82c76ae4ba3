//! What a node may spend, whatever its front ends ask for.
//!
//! Deliberately absent: clocks and sums; what was spent is given. What is locked for a contract counts as spent, also
//! where it may return.

use serde::{Deserialize, Serialize};

use crate::Amount;

/// The span that a daily limit looks back on, from any moment.
pub const DAY_SECONDS: u64 = 24 * 60 * 60;

/// Most that may be spent; none is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Within any [`DAY_SECONDS`].
    pub per_day: Option<Amount>,
    /// Ever.
    pub in_all: Option<Amount>,
}

/// What was spent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// Within the last [`DAY_SECONDS`].
    pub today: Amount,
    /// Ever.
    pub in_all: Amount,
}

/// More than may be spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OverLimit {
    /// Of a day.
    #[error("this would spend more than the {limit} a day that are allowed")]
    Day {
        /// The limit.
        limit: Amount,
    },
    /// Of all days.
    #[error("this would spend more than the {limit} in all that are allowed")]
    InAll {
        /// The limit.
        limit: Amount,
    },
}

/// Whether this much more may be spent.
///
/// # Errors
/// [`OverLimit`] names the limit that it would pass.
pub fn allow(limits: &Limits, spent: &Spent, more: Amount) -> Result<(), OverLimit> {
    let passes = |limit: Option<Amount>, spent: Amount| {
        limit.filter(|limit| spent.checked_add(more).is_none_or(|sum| sum > *limit))
    };
    if let Some(limit) = passes(limits.per_day, spent.today) {
        return Err(OverLimit::Day { limit });
    }
    match passes(limits.in_all, spent.in_all) {
        Some(limit) => Err(OverLimit::InAll { limit }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_may_be_reached_and_not_passed() {
        let limits = Limits { per_day: Some(Amount(10)), in_all: Some(Amount(100)) };
        let spent = |today, in_all| Spent { today: Amount(today), in_all: Amount(in_all) };
        assert_eq!(allow(&limits, &spent(4, 4), Amount(6)), Ok(()));
        assert_eq!(allow(&limits, &spent(4, 4), Amount(7)), Err(OverLimit::Day { limit: Amount(10) }));
        assert_eq!(allow(&limits, &spent(0, 95), Amount(5)), Ok(()));
        assert_eq!(allow(&limits, &spent(0, 95), Amount(6)), Err(OverLimit::InAll { limit: Amount(100) }));
        let huge = allow(&limits, &spent(u64::MAX, u64::MAX), Amount(u64::MAX));
        assert_eq!(huge, Err(OverLimit::Day { limit: Amount(10) }));
        assert_eq!(allow(&Limits::default(), &spent(u64::MAX, u64::MAX), Amount(u64::MAX)), Ok(()));
    }
}
