//! When a node dials into its network: from its start until it has met a few peers, and later only while it is alone.
//!
//! Connections that nobody uses close, so whoever has nothing to do is alone now and then. It then dials a few of the peers
//! that it knows; only if none of them is there does it look around as widely as at its start.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits;

/// Whom to dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Some known peers.
    Known,
    /// The bootstrap addresses and more of the known peers; the routing table is refreshed.
    All,
}

/// When to dial next.
#[derive(Debug)]
pub(super) struct Joining {
    begun: Instant,
    met_enough: bool,
    due: Option<Instant>,
    pause: Duration,
    next: Reach,
}

impl Joining {
    /// Due at once.
    pub(super) fn new(now: Instant) -> Self {
        Self { begun: now, met_enough: false, due: Some(now), pause: limits::JOIN_PAUSE, next: Reach::All }
    }

    /// When [`Self::turn`] is due; never while enough peers are connected.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Takes how many peers are connected now; those beyond [`limits::JOIN_ENOUGH`] need not be counted.
    pub(super) fn connected(&mut self, peers: usize, now: Instant) {
        self.met_enough |= peers >= limits::JOIN_ENOUGH || now - self.begun >= limits::JOINING;
        let content = peers >= if self.met_enough { 1 } else { limits::JOIN_ENOUGH };
        if content {
            (self.due, self.pause, self.next) = (None, limits::JOIN_PAUSE, Reach::Known);
        } else if self.due.is_none() {
            self.due = Some(now + self.pause);
        }
    }

    /// Says whom to dial now; the next turn comes twice as late as this one did, unless enough are connected by then.
    pub(super) fn turn(&mut self, now: Instant) -> Reach {
        self.pause = (self.pause * 2).min(limits::JOIN_PAUSE_MOST);
        self.due = Some(now + self.pause);
        std::mem::replace(&mut self.next, Reach::All)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_node_that_has_just_begun_looks_around_widely_until_it_has_met_enough() {
        let begun = Instant::now();
        let mut joining = Joining::new(begun);
        assert_eq!(joining.due(), Some(begun));
        assert_eq!(joining.turn(begun), Reach::All);
        joining.connected(limits::JOIN_ENOUGH - 1, begun + seconds(1));
        assert_eq!(joining.due(), Some(begun + seconds(2)), "one bootstrap node alone is not enough");
        assert_eq!(joining.turn(begun + seconds(2)), Reach::All);
        joining.connected(limits::JOIN_ENOUGH, begun + seconds(3));
        assert_eq!(joining.due(), None);
    }

    #[test]
    fn idle_connections_that_close_make_nobody_look_around_while_one_is_left() {
        let begun = Instant::now();
        let mut joining = Joining::new(begun);
        joining.connected(limits::JOIN_ENOUGH, begun);
        joining.connected(1, begun + seconds(60));
        assert_eq!(joining.due(), None);
    }

    #[test]
    fn whoever_has_become_alone_dials_some_it_knows_and_all_only_if_none_of_them_is_there() {
        let begun = Instant::now();
        let mut joining = Joining::new(begun);
        joining.connected(limits::JOIN_ENOUGH, begun);
        let alone = begun + seconds(60);
        joining.connected(0, alone);
        assert_eq!(joining.due(), Some(alone + limits::JOIN_PAUSE));
        joining.connected(0, alone + seconds(1));
        assert_eq!(joining.due(), Some(alone + limits::JOIN_PAUSE), "what else happens defers nothing");
        assert_eq!(joining.turn(alone + seconds(1)), Reach::Known);
        assert_eq!(joining.due(), Some(alone + seconds(3)));
        assert_eq!(joining.turn(alone + seconds(3)), Reach::All);
        joining.connected(1, alone + seconds(4));
        assert_eq!(joining.due(), None);
        joining.connected(0, alone + seconds(5));
        assert_eq!(joining.due(), Some(alone + seconds(6)), "pauses begin anew");
        assert_eq!(joining.turn(alone + seconds(6)), Reach::Known);
    }

    #[test]
    fn pauses_grow_to_a_minute_and_who_never_met_enough_is_content_with_one_in_the_end() {
        let begun = Instant::now();
        let (mut joining, mut now) = (Joining::new(begun), begun);
        for _ in 0..20 {
            joining.turn(now);
            joining.connected(1, now);
            let Some(due) = joining.due() else { break };
            assert!(due - now <= limits::JOIN_PAUSE_MOST);
            now = due;
        }
        assert!(now - begun >= limits::JOINING && joining.due().is_none());
    }
}
