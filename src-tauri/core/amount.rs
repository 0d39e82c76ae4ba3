//! Money in whole stroops. Prices are per TB (10¹² bytes), and per month of 30 days where something is kept.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An amount of money in stroops (1 XLM = 10,000,000 stroops).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Amount(pub u64);

/// Stroops of one lumen.
const STROOPS_PER_LUMEN: u64 = 10_000_000;
pub(crate) const TB_BYTES: u128 = 1_000_000_000_000;
pub(crate) const MONTH_SECONDS: u128 = 30 * 24 * 60 * 60;

impl Amount {
    /// What keeping `bytes` for `seconds` costs at this price per TB-month: price × bytes × seconds as one exact
    /// fraction, rounded up once. `None` if it is more than any amount.
    pub fn for_storage(self, bytes: u64, seconds: u64) -> Option<Self> {
        let product = u128::from(self.0).checked_mul(bytes.into())?.checked_mul(seconds.into())?;
        u64::try_from(product.div_ceil(TB_BYTES * MONTH_SECONDS)).ok().map(Self)
    }

    /// What serving `bytes` costs at this price per TB, rounded up once. `None` if it is more than any amount.
    pub fn for_egress(self, bytes: u64) -> Option<Self> {
        let product = u128::from(self.0) * u128::from(bytes);
        u64::try_from(product.div_ceil(TB_BYTES)).ok().map(Self)
    }

    /// In lumens, as people write them: without zeros at the end.
    pub fn lumens(self) -> String {
        let text = format!("{}.{:07}", self.0 / STROOPS_PER_LUMEN, self.0 % STROOPS_PER_LUMEN);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }

    /// The sum, unless it is more than any amount.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} XLM", self.lumens())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TB: u64 = 1_000_000_000_000;
    const MONTH: u64 = 2_592_000;

    #[test]
    fn people_read_lumens() {
        let read: Vec<String> =
            [0, 1, 15_000_000, 120_000_000].map(|stroops| Amount(stroops).to_string()).into();
        assert_eq!(read, ["0 XLM", "0.0000001 XLM", "1.5 XLM", "12 XLM"]);
    }

    #[test]
    fn a_terabyte_for_a_month_costs_its_price() {
        assert_eq!(Amount(7).for_storage(TB, MONTH), Some(Amount(7)));
        assert_eq!(Amount(7).for_storage(TB / 2, MONTH * 4), Some(Amount(14)));
        assert_eq!(Amount(7).for_egress(TB * 3), Some(Amount(21)));
    }

    #[test]
    fn parts_of_a_stroop_round_up_once_and_nothing_costs_nothing() {
        assert_eq!(Amount(1).for_storage(1, 1), Some(Amount(1)));
        assert_eq!(Amount(1).for_storage(TB, MONTH + 1), Some(Amount(2)));
        assert_eq!(Amount(0).for_storage(TB, MONTH), Some(Amount(0)));
        assert_eq!(Amount(9).for_storage(0, MONTH), Some(Amount(0)));
        assert_eq!(Amount(1).for_egress(1), Some(Amount(1)));
    }

    #[test]
    fn more_than_any_amount_is_refused_instead_of_wrapped() {
        assert_eq!(Amount(u64::MAX).for_storage(u64::MAX, u64::MAX), None);
        assert_eq!(Amount(u64::MAX).for_egress(u64::MAX), None);
        assert_eq!(Amount(u64::MAX).checked_add(Amount(1)), None);
    }
}
