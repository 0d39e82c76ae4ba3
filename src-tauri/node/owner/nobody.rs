//! Why no farmer takes what is to be stored: each reason has another remedy.

use std::fmt;

use super::farmers::Offer;
use crate::errors::size;

/// Why nobody takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nobody {
    /// No farmer with a valid offer is known.
    IsKnown,
    /// All ask a price, and this node has no ledger to pay by.
    IsFree {
        /// How many there are.
        farmers: usize,
    },
    /// All ask more than this owner set as the most.
    IsCheap {
        /// How many there are.
        farmers: usize,
    },
    /// All ask more than the price that was agreed to for this.
    KeepsToThePrice {
        /// How many there are.
        farmers: usize,
    },
    /// None takes new data now.
    Takes {
        /// How many there are.
        farmers: usize,
    },
    /// None has room for its part.
    HasRoom {
        /// How many there are.
        farmers: usize,
        /// What the one with most room has left.
        most: u64,
        /// What one of them needs.
        needed: u64,
    },
    /// All that were asked did not answer, or refused.
    Answers {
        /// How many were asked.
        farmers: usize,
    },
}

impl Nobody {
    /// Why none of these has room for `needed` bytes.
    pub(super) fn of(offers: &[Offer], needed: u64) -> Self {
        let taking: Vec<u64> = offers
            .iter()
            .filter(|offer| offer.candidate.accepting)
            .map(|offer| offer.candidate.free_bytes)
            .collect();
        match (offers.len(), taking.iter().max()) {
            (0, _) => Self::IsKnown,
            (farmers, None) => Self::Takes { farmers },
            (_, Some(&most)) => Self::HasRoom { farmers: taking.len(), most, needed },
        }
    }
}

impl fmt::Display for Nobody {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::IsKnown => to.write_str(
                "No farmer is known that takes new data: check the connection, or wait for farmers to appear.",
            ),
            Self::IsFree { farmers } => write!(
                to,
                "{} for a price, and this node has no ledger to pay by: start it with `--ledger URL`, or wait for farmers \
                 that keep files for free.",
                are_there(farmers)
            ),
            Self::IsCheap { farmers } => write!(
                to,
                "{} for more than you allow: allow more (`hayloft wallet limits --price XLM`), or wait for cheaper ones.",
                are_there(farmers)
            ),
            Self::KeepsToThePrice { farmers } => write!(
                to,
                "{} for more than the price that you agreed to: wait for cheaper ones, or cancel this upload and begin it \
                 anew to see what it costs now.",
                are_there(farmers)
            ),
            Self::Takes { farmers } => {
                write!(to, "{}, but none takes new data now: try again later.", are_there(farmers))
            }
            Self::HasRoom { farmers, most, needed } => write!(
                to,
                "{}, but none has room for this: {} are needed on each, and at most {} are left. Wait for farmers with \
                 more room, or store less.",
                are_there(farmers),
                size(needed),
                size(most)
            ),
            Self::Answers { farmers } => write!(
                to,
                "{}, but none answers and takes this now: check the connection, or try again later.",
                are_there(farmers)
            ),
        }
    }
}

fn are_there(farmers: usize) -> String {
    if farmers == 1 { "1 farmer is there".to_owned() } else { format!("{farmers} farmers are there") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_says_what_to_do() {
        let said = Nobody::IsFree { farmers: 5 }.to_string();
        assert!(said.starts_with("5 farmers are there for a price") && said.contains("--ledger"), "{said}");
        let said = Nobody::IsCheap { farmers: 1 }.to_string();
        assert!(said.starts_with("1 farmer is there for more") && said.contains("limits"), "{said}");
        let said = Nobody::KeepsToThePrice { farmers: 2 }.to_string();
        assert!(
            said.starts_with("2 farmers are there for more than the price") && said.contains("anew"),
            "{said}"
        );
        let said = Nobody::HasRoom { farmers: 4, most: 20_000_000, needed: 90_000_000 }.to_string();
        assert!(said.contains("90.0 MB are needed on each, and at most 20.0 MB are left"), "{said}");
        assert!(Nobody::Takes { farmers: 2 }.to_string().contains("none takes new data now"));
        assert!(Nobody::Answers { farmers: 2 }.to_string().contains("answers"));
        assert_eq!(Nobody::of(&[], 1), Nobody::IsKnown);
    }
}
