//! How long a transfer under way waits for farmers to come back before it gives up.

use std::time::Duration;

use tokio::time::Instant;

/// In all.
const PATIENCE: Duration = Duration::from_secs(600);
/// Before the second try; each wait is twice the one before, up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What is left of it.
pub(crate) struct Patience {
    deadline: Instant,
    next: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { deadline: Instant::now() + PATIENCE, next: FIRST_WAIT }
    }
}

impl Patience {
    /// Whether it is worth to try again.
    pub(crate) fn is_left(&self) -> bool {
        Instant::now() < self.deadline
    }

    /// Waits before the next try, longer each time.
    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.step()).await;
    }

    fn step(&mut self) -> Duration {
        let now = self.next;
        self.next = (now * 2).min(LONGEST_WAIT);
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound() {
        let mut patience = Patience::default();
        assert!(patience.is_left());
        let waits: Vec<u128> = (0..7).map(|_| patience.step().as_millis()).collect();
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 5000, 5000]);
    }
}
