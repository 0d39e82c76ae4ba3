//! What this owner thinks of farmers: who is there, who lied, who does not answer just now.
//!
//! A lie is remembered in the store and outlives a restart; silence of the line is forgotten after a while. Neither
//! rules a farmer out where there is no other: it only comes last.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Mutex,
    time::Duration,
};

use hayloft_core::{
    DeviceId, Timestamp,
    placement::{self, Candidate, Seen},
    record::FarmerRecord,
};
use hayloft_net::{Net, Source};
use hayloft_store::{DatabaseError, Peers, peers::Mark};
use tokio::time::Instant;

use super::lock;
use crate::Clock;

/// The word for a farmer that sent or signed something wrong.
const BLAMED: &str = "blamed";
/// For how long a lie counts.
const BLAME_SECONDS: u64 = 30 * 24 * 60 * 60;
/// For how long a farmer that did not answer is asked last: each time in a row twice as long, up to the second.
const DOWN: Duration = Duration::from_secs(30);
const DOWN_AT_MOST: Duration = Duration::from_secs(600);
/// Who did not answer so lately is not asked the same again.
const JUST: Duration = Duration::from_secs(5);
/// How long farmers are looked for when there are fewer than wanted.
const SEARCH: Duration = Duration::from_secs(3);
/// With so many others, farmers with demerits are left out of a placement.
const ENOUGH_WITHOUT: usize = 3;

#[derive(Debug, Clone, Copy, Default)]
struct Standing {
    blames: u32,
    down_until: Option<Instant>,
    /// Times in a row that it did not answer.
    silences: u32,
    no_answer: Option<Instant>,
    latency_ms: Option<u32>,
}

/// A farmer that could take a shard, and its offer.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    pub(crate) candidate: Candidate,
    pub(crate) record: FarmerRecord,
}

/// All farmers as this owner sees them.
pub(crate) struct Farmers {
    net: Net,
    peers: Peers,
    clock: Clock,
    standing: Mutex<HashMap<DeviceId, Standing>>,
}

impl Farmers {
    /// Takes up what was remembered.
    pub(crate) async fn load(net: Net, peers: Peers, clock: Clock) -> Result<Self, DatabaseError> {
        let since = Timestamp(clock.now().0.saturating_sub(BLAME_SECONDS));
        let mut standing: HashMap<DeviceId, Standing> = HashMap::new();
        for mark in peers.marks(BLAMED, since).await? {
            standing.entry(mark.farmer).or_default().blames += 1;
        }
        Ok(Self { net, peers, clock, standing: Mutex::new(standing) })
    }

    /// Remembers that a farmer sent or signed something wrong.
    pub(crate) async fn blame(&self, farmer: DeviceId, reason: &str) {
        tracing::info!(%farmer, reason, "a farmer is blamed");
        lock(&self.standing).entry(farmer).or_default().blames += 1;
        let mark = Mark { farmer, kind: BLAMED.into(), reason: reason.into(), at: self.clock.now() };
        if let Err(error) = self.peers.mark(&mark).await {
            tracing::warn!(%farmer, %error, "a lie could not be written down");
        }
    }

    /// Asks this farmer last for a while: it does not answer, and nobody is to blame.
    pub(crate) fn is_down(&self, farmer: DeviceId) {
        lock(&self.standing).entry(farmer).or_default().goes_down(Instant::now());
    }

    /// The farmer answered, so long after it was asked.
    pub(crate) fn answered(&self, farmer: DeviceId, after: Duration) {
        let mut standing = lock(&self.standing);
        let standing = standing.entry(farmer).or_default();
        (standing.down_until, standing.silences, standing.no_answer) = (None, 0, None);
        standing.latency_ms = Some(u32::try_from(after.as_millis()).unwrap_or(u32::MAX));
    }

    /// How gladly a farmer is asked for a shard: lower is better.
    pub(crate) fn reluctance(&self, farmer: DeviceId) -> (bool, u32, u32) {
        let standing = self.standing_of(farmer);
        (standing.is_down(), standing.blames, standing.latency_ms.unwrap_or(0) / 20)
    }

    /// A farmer that was asked for a cell of what it keeps did not answer.
    pub(crate) fn no_answer(&self, farmer: DeviceId) {
        let mut standing = lock(&self.standing);
        let standing = standing.entry(farmer).or_default();
        standing.goes_down(Instant::now());
        standing.no_answer = Some(Instant::now());
    }

    /// Whether it did not answer when it was last asked for a cell, just before. That it is asked last for a while says less:
    /// others may only have been faster.
    pub(crate) fn is_silent(&self, farmer: DeviceId) -> bool {
        self.standing_of(farmer).no_answer.is_some_and(|at| at.elapsed() < JUST)
    }

    /// Whether it lied, or does not answer just now.
    pub(crate) fn has_demerits(&self, farmer: DeviceId) -> bool {
        let (down, blames, _) = self.reluctance(farmer);
        down || blames > 0
    }

    /// How long these farmers usually take to answer; nothing if none was asked before, and never more than a second.
    pub(crate) fn usual_latency(&self, farmers: impl Iterator<Item = DeviceId>) -> Duration {
        let mut known: Vec<u32> = farmers.filter_map(|farmer| self.standing_of(farmer).latency_ms).collect();
        known.sort_unstable();
        let middle = known.get(known.len() / 2).copied().unwrap_or(0);
        Duration::from_millis(u64::from(middle).min(1000))
    }

    fn standing_of(&self, farmer: DeviceId) -> Standing {
        lock(&self.standing).get(&farmer).copied().unwrap_or_default()
    }

    /// Farmers with a valid offer, at least `want` if they can be found soon; those with demerits only where there are few
    /// others.
    pub(crate) async fn offers(&self, want: usize) -> Vec<Offer> {
        without_demerits(self.all_offers(want).await)
    }

    /// All farmers with a valid offer, at least `want` if they can be found soon.
    pub(crate) async fn all_offers(&self, want: usize) -> Vec<Offer> {
        let found = self.net.find_farmers(want, SEARCH).await;
        let now = self.clock.now();
        let offers = found.into_iter().filter(|found| found.record.record.expires > now);
        offers.map(|found| self.offer(found)).collect()
    }

    fn offer(&self, found: hayloft_net::Candidate) -> Offer {
        let standing = self.standing_of(found.device);
        let record = found.record.record;
        let seen = Seen { device: found.device, address: found.address, operator: record.operator.clone() };
        let candidate = Candidate {
            seen,
            sources: source_numbers(&found.sources),
            free_bytes: record.free_bytes,
            storage_price: record.storage_price,
            accepting: record.accepting,
            demerits: standing.blames.saturating_add(u32::from(standing.is_down())),
            latency_ms: standing.latency_ms,
        };
        Offer { candidate, record }
    }
}

impl Standing {
    /// Who asks several times at once hears several times that nobody answers: that counts as once.
    fn goes_down(&mut self, now: Instant) {
        if self.down_until.is_none_or(|until| until <= now) {
            let span = DOWN * 2_u32.saturating_pow(self.silences.min(16));
            self.down_until = Some(now + span.min(DOWN_AT_MOST));
            self.silences += 1;
        }
    }

    fn is_down(&self) -> bool {
        self.down_until.is_some_and(|until| until > Instant::now())
    }
}

/// Leaves out farmers with demerits if enough others take new data.
fn without_demerits(offers: Vec<Offer>) -> Vec<Offer> {
    let clean = |offer: &Offer| offer.candidate.demerits == 0;
    let enough =
        offers.iter().filter(|offer| clean(offer) && offer.candidate.accepting).count() >= ENOUGH_WITHOUT;
    if enough { offers.into_iter().filter(clean).collect() } else { offers }
}

/// How many usable farmers each failure group has, for choosing the redundancy: counted as the placement counts them.
pub(crate) fn group_sizes(offers: &[Offer], shard_bytes: u64) -> Vec<usize> {
    let candidates: Vec<Candidate> = offers.iter().map(|offer| offer.candidate.clone()).collect();
    placement::group_sizes(&candidates, shard_bytes)
}

/// Numbers for the sources that strangers can occupy; farmers known from earlier runs need none.
fn source_numbers(sources: &BTreeSet<Source>) -> BTreeSet<u32> {
    let number = |source: &Source| match source {
        Source::Bucket(bucket) => Some(u32::from(*bucket)),
        Source::Walk(region) => Some(0x100 + u32::from(*region)),
        Source::Mdns => Some(0x200),
        Source::Met => Some(0x201),
        Source::Remembered => None,
    };
    sources.iter().filter_map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_farmer_that_never_answers_is_asked_ever_more_rarely_but_always_again() {
        let mut standing = Standing::default();
        let mut now = Instant::now();
        let mut spans = Vec::new();
        for _ in 0..8 {
            standing.goes_down(now);
            standing.goes_down(now);
            let until = standing.down_until.expect("it is down");
            spans.push(until.duration_since(now).as_secs());
            now = until;
        }
        assert_eq!(spans, [30, 60, 120, 240, 480, 600, 600, 600]);
    }
}
