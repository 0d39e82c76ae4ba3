//! Sizes, times, prices and hours as people write them, each refused with a sentence.

use bytesize::ByteSize;
use hayloft_node::model::Hours;
use jiff::{Span, Zoned, civil::Time};

use crate::args::WhenOpen;

/// A hundred years: longer than any disk lives, and far from overflow.
const LONGEST_SECONDS: u64 = 100 * 366 * 86_400;
/// Decimal places of an XLM.
const XLM_PLACES: usize = 7;

/// A limit in bytes per second, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) Option<u64>);

/// "100GB", "1.5 GiB" or a plain number of bytes.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    text.parse::<ByteSize>()
        .map(|size| size.as_u64())
        .map_err(|_| "write a size like 500MB, 100GB or 1.5TiB".to_owned())
}

/// A size per second, or "none".
pub(crate) fn limit(text: &str) -> Result<Limit, String> {
    if text.eq_ignore_ascii_case("none") {
        Ok(Limit(None))
    } else {
        size(text).map(|bytes| Limit(Some(bytes)))
    }
}

/// A limit of spending in stroops, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Most(pub(crate) Option<u64>);

/// An amount of XLM, or "none".
pub(crate) fn most(text: &str) -> Result<Most, String> {
    if text.eq_ignore_ascii_case("none") {
        Ok(Most(None))
    } else {
        stroops(text).map(|most| Most(Some(most)))
    }
}

/// "3months", "2 weeks", "1y 6mo" in seconds from now.
pub(crate) fn span(text: &str) -> Result<u64, String> {
    let wrong = || "write a time like 3months, 2weeks or 1year".to_owned();
    let span: Span = text.parse().map_err(|_| wrong())?;
    let duration = span.to_duration(&Zoned::now()).map_err(|_| wrong())?;
    let seconds = u64::try_from(duration.as_secs())
        .map_err(|_| "a file cannot be kept for less than no time".to_owned())?;
    match seconds {
        0 => Err("a file cannot be kept for no time at all".to_owned()),
        1..=LONGEST_SECONDS => Ok(seconds),
        _ => Err("a hundred years is the longest".to_owned()),
    }
}

/// A price in XLM with at most seven decimal places, in stroops.
pub(crate) fn stroops(text: &str) -> Result<u64, String> {
    let wrong = || format!("write an amount of XLM like 2 or 0.25, with at most {XLM_PLACES} decimal places");
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || decimals.len() > XLM_PLACES || !digits(whole) || !digits(decimals) {
        return Err(wrong());
    }
    format!("{whole}{decimals:0<XLM_PLACES$}").parse().map_err(|_| wrong())
}

/// "22:00-06:00" or "always".
pub(crate) fn hours(text: &str) -> Result<WhenOpen, String> {
    if text.eq_ignore_ascii_case("always") {
        return Ok(WhenOpen::Always);
    }
    let wrong = || "write hours like 22:00-06:00, or \"always\"".to_owned();
    let (from, until) = text.split_once('-').ok_or_else(wrong)?;
    let minute = |text: &str| {
        let time = Time::strptime("%H:%M", text.trim()).map_err(|_| wrong())?;
        let minutes = i32::from(time.hour()) * 60 + i32::from(time.minute());
        u16::try_from(minutes).map_err(|_| wrong())
    };
    Ok(WhenOpen::Between(Hours { from_minute: minute(from)?, until_minute: minute(until)? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        assert_eq!(size("100GB"), Ok(100_000_000_000));
        assert_eq!(size("1.5 GiB"), Ok(3 << 29));
        assert_eq!(size("4096"), Ok(4096));
        for wrong in ["", "lots", "-5GB", "10 XB", "GB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn limits_can_be_lifted() {
        assert_eq!(limit("none"), Ok(Limit(None)));
        assert_eq!(limit("5MB"), Ok(Limit(Some(5_000_000))));
        assert_eq!(most("none"), Ok(Most(None)));
        assert_eq!(most("0.5"), Ok(Most(Some(5_000_000))));
        assert!(most("much").is_err());
    }

    #[test]
    fn spans_are_read_as_people_write_them_and_are_never_negative_or_endless() {
        assert_eq!(span("2weeks"), Ok(14 * 86_400));
        assert_eq!(span("90 days").map(|seconds| seconds / 3600 / 24), Ok(90));
        for wrong in ["", "soon", "-3months", "0s", "500 years", "3"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn prices_are_exact_to_the_stroop() {
        assert_eq!(stroops("2"), Ok(20_000_000));
        assert_eq!(stroops("0.0000001"), Ok(1));
        assert_eq!(stroops("1.5"), Ok(15_000_000));
        for wrong in ["", ".5", "-1", "1e3", "0.00000001", "99999999999999999999", "1.2.3"] {
            assert!(stroops(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn hours_may_pass_midnight() {
        let night = Hours { from_minute: 22 * 60, until_minute: 6 * 60 };
        assert_eq!(hours("22:00-06:00"), Ok(WhenOpen::Between(night)));
        assert_eq!(hours("always"), Ok(WhenOpen::Always));
        for wrong in ["", "22:00", "25:00-06:00", "22:60-06:00", "22-6"] {
            assert!(hours(wrong).is_err(), "{wrong}");
        }
    }
}
