//! When a claimable balance may be claimed (CAP-23).

use stellar_base::xdr::{ClaimPredicate, VecM};

/// Deepest nesting of predicates.
const MAX_DEPTH: u32 = 4;

/// Whether the predicate is complete, shallow and has no negative time.
pub(super) fn is_valid(predicate: &ClaimPredicate, depth: u32) -> bool {
    let both = |parts: &VecM<ClaimPredicate, 2>| {
        parts.len() == 2 && parts.iter().all(|part| is_valid(part, depth + 1))
    };
    depth <= MAX_DEPTH
        && match predicate {
            ClaimPredicate::Unconditional => true,
            ClaimPredicate::And(parts) | ClaimPredicate::Or(parts) => both(parts),
            ClaimPredicate::Not(part) => part.as_ref().is_some_and(|part| is_valid(part, depth + 1)),
            ClaimPredicate::BeforeAbsoluteTime(time) | ClaimPredicate::BeforeRelativeTime(time) => *time >= 0,
        }
}

/// The predicate with every relative time counted from this close time.
pub(super) fn absolute(predicate: &ClaimPredicate, close_time: u64) -> ClaimPredicate {
    let both = |parts: &VecM<ClaimPredicate, 2>| {
        let parts: Vec<_> = parts.iter().map(|part| absolute(part, close_time)).collect();
        VecM::try_from(parts).expect("as many parts as before")
    };
    match predicate {
        ClaimPredicate::Unconditional => ClaimPredicate::Unconditional,
        ClaimPredicate::And(parts) => ClaimPredicate::And(both(parts)),
        ClaimPredicate::Or(parts) => ClaimPredicate::Or(both(parts)),
        ClaimPredicate::Not(part) => {
            ClaimPredicate::Not(part.as_ref().map(|part| Box::new(absolute(part, close_time))))
        }
        ClaimPredicate::BeforeAbsoluteTime(time) => ClaimPredicate::BeforeAbsoluteTime(*time),
        ClaimPredicate::BeforeRelativeTime(span) => {
            let from = i64::try_from(close_time).unwrap_or(i64::MAX);
            ClaimPredicate::BeforeAbsoluteTime(from.saturating_add(*span))
        }
    }
}

/// Whether an absolute predicate holds at this close time.
pub(super) fn holds(predicate: &ClaimPredicate, close_time: u64) -> bool {
    match predicate {
        ClaimPredicate::Unconditional => true,
        ClaimPredicate::And(parts) => parts.iter().all(|part| holds(part, close_time)),
        ClaimPredicate::Or(parts) => parts.iter().any(|part| holds(part, close_time)),
        ClaimPredicate::Not(part) => part.as_ref().is_some_and(|part| !holds(part, close_time)),
        ClaimPredicate::BeforeAbsoluteTime(time) => u64::try_from(*time).is_ok_and(|time| time > close_time),
        // Made absolute when the balance was created.
        ClaimPredicate::BeforeRelativeTime(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before(time: i64) -> ClaimPredicate {
        ClaimPredicate::BeforeAbsoluteTime(time)
    }

    fn not(part: ClaimPredicate) -> ClaimPredicate {
        ClaimPredicate::Not(Some(Box::new(part)))
    }

    #[test]
    fn a_window_is_open_from_its_first_second_and_closed_from_its_last() {
        let window = ClaimPredicate::And(vec![not(before(100)), before(200)].try_into().unwrap());
        assert!(is_valid(&window, 1));
        let open: Vec<u64> = (98..203).filter(|time| holds(&window, *time)).collect();
        assert_eq!(open, (100..200).collect::<Vec<_>>());
    }

    #[test]
    fn relative_times_count_from_creation_and_do_not_overflow() {
        assert_eq!(absolute(&ClaimPredicate::BeforeRelativeTime(5), 100), before(105));
        assert_eq!(absolute(&ClaimPredicate::BeforeRelativeTime(i64::MAX), 100), before(i64::MAX));
        let inside = not(ClaimPredicate::BeforeRelativeTime(5));
        assert_eq!(absolute(&inside, 100), not(before(105)));
    }

    #[test]
    fn incomplete_negative_and_too_deep_predicates_are_refused() {
        assert!(!is_valid(&ClaimPredicate::Not(None), 1));
        assert!(!is_valid(&ClaimPredicate::And(vec![before(1)].try_into().unwrap()), 1));
        assert!(!is_valid(&before(-1), 1) && !is_valid(&ClaimPredicate::BeforeRelativeTime(-1), 1));
        assert!(is_valid(&not(not(not(before(1)))), 1));
        assert!(!is_valid(&not(not(not(not(before(1))))), 1));
    }
}
