//! Amounts as Horizon and people write them: lumens with up to seven decimal places, exactly.

use hayloft_core::Amount;

/// Stroops of one lumen.
pub const LUMEN: u64 = 10_000_000;
const PLACES: usize = 7;
/// The ledger counts in signed 64-bit numbers.
const MOST: u64 = i64::MAX as u64;

/// The amount as text, always with seven places.
pub fn show(amount: Amount) -> String {
    format!("{}.{:07}", amount.0 / LUMEN, amount.0 % LUMEN)
}

/// The amount that the text writes; none if it is no decimal number, has more than seven places, or is more than the
/// ledger can count.
pub fn parse(text: &str) -> Option<Amount> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit());
    if whole.is_empty() || whole.len() > 19 || part.len() > PLACES || !digits(whole) || !digits(part) {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let part: u64 = format!("{part:0<PLACES$}").parse().ok()?;
    let stroops = whole.checked_mul(LUMEN)?.checked_add(part)?;
    (stroops <= MOST).then_some(Amount(stroops))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_amounts_that_a_ledger_can_hold_are_read() {
        for (text, stroops) in [
            ("0", 0),
            ("1", LUMEN),
            ("0.0000001", 1),
            ("12.5", 125_000_000),
            ("922337203685.4775807", i64::MAX as u64),
        ] {
            assert_eq!(parse(text), Some(Amount(stroops)), "{text}");
        }
        for bad in
            ["", ".", ".5", "-1", "+1", "1e3", "1,5", " 1", "1.00000001", "922337203685.4775808", "NaN"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_as_the_same(stroops in 0..=MOST) {
            prop_assert_eq!(parse(&show(Amount(stroops))), Some(Amount(stroops)));
        }
    }
}
