//! The safety brake: when many farmers seem to fail at once, it is more likely the one who asks that fails.
//!
//! ```text
//! holds  ⇔  bad ≥ 5 and bad > usual + all / 5,   all = farmers asked in the epoch, bad = those that seem to fail or are
//!           silent, usual = all · share of them that was bad in the epochs before
//! ```
//! It holds on, from one round of farmers to the next, as long as `bad` is too many, however few were asked.
//!
//! While it holds, no verdict has consequences: each waits until a second auditor has asked the same. Its price is
//! that a fifth of an auditor's farmers, run by one hand, can put off their punishment by failing together; they
//! cannot escape it, and repair does not wait where too little redundancy is left.
//!
//! Deliberately absent: the second auditor, which the node finds.

/// Fewer bad farmers than this never trip it.
pub const LEAST_BAD: usize = 5;

/// Whether so many bad farmers of so many asked are too many to be believed by one auditor alone. `usual` is the share
/// of bad ones in the epochs before, between 0 and 1.
pub fn holds(asked: usize, bad: usize, usual: f64) -> bool {
    bad >= LEAST_BAD && holds_on(asked, bad, usual)
}

/// The same of a brake that held already.
pub fn holds_on(asked: usize, bad: usize, usual: f64) -> bool {
    let usual = if usual.is_finite() { usual.clamp(0.0, 1.0) } else { 0.0 } * asked as f64;
    bad as f64 > usual + asked as f64 / 5.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_bad_farmers_never_trip_it() {
        assert!(!holds(4, 4, 0.0));
        assert!(!holds(1000, 30, 0.0));
        assert!(!holds(0, 0, f64::NAN));
    }

    #[test]
    fn an_auditor_whose_own_line_is_down_trips_it() {
        assert!(holds(5, 5, 0.0));
        assert!(holds(1000, 1000, 0.3));
        assert!(holds(1000, 201, 0.0));
    }

    #[test]
    fn what_is_usual_is_believed() {
        assert!(!holds(1000, 250, 0.24));
        assert!(holds(1000, 500, 0.24));
    }

    #[test]
    fn a_brake_that_held_holds_on_while_the_few_that_are_asked_are_bad() {
        assert!(holds_on(3, 3, 0.0) && !holds(3, 3, 0.0));
        assert!(!holds_on(10, 2, 0.0));
    }
}
