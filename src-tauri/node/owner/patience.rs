//! How long a transfer under way waits for farmers to come back before it gives up.

use std::time::Duration;

use tokio::time::Instant;

/// From the first failure on; what moves meanwhile begins it anew.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long after its start a node may still be looking for farmers.
const STARTING: Duration = Duration::from_secs(30);
/// Before the second try; each wait is twice the one before, up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What is left of it. There is none for a transfer that nothing has ever come of: its person is told at once, unless the
/// node has only just started.
pub(crate) struct Patience {
    under_way: bool,
    started: Instant,
    since: Option<Instant>,
    next: Duration,
}

impl Patience {
    /// Of a transfer that is under way already, or not yet, at a node that started then.
    pub(crate) fn new(under_way: bool, started: Instant) -> Self {
        Self { under_way, started, since: None, next: FIRST_WAIT }
    }

    /// A try has failed, after something moved in it or not. Whether it is worth to wait and try again.
    pub(crate) fn lasts(&mut self, moved: bool) -> bool {
        if moved {
            *self = Self::new(true, self.started);
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        if self.under_way { since.elapsed() < PATIENCE } else { self.started.elapsed() < STARTING }
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
        let mut patience = Patience::new(true, Instant::now());
        let waits: Vec<u128> = (0..7).map(|_| patience.step().as_millis()).collect();
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 5000, 5000]);
    }

    #[tokio::test(start_paused = true)]
    async fn time_that_went_well_uses_no_patience_up_and_what_moves_gives_all_of_it_back() {
        let started = Instant::now();
        assert!(Patience::new(false, started).lasts(false), "farmers are still looked for");
        tokio::time::advance(PATIENCE * 2).await;
        let mut patience = Patience::new(false, started);
        assert!(!patience.lasts(false), "nothing ever moved");
        assert!(patience.lasts(true));
        tokio::time::advance(PATIENCE / 2).await;
        assert!(patience.lasts(false));
        tokio::time::advance(PATIENCE / 2).await;
        assert!(!patience.lasts(false));
        assert!(patience.lasts(true));
    }
}
