//! How much of this computer audits may take: work that computes and reads for long runs off the async workers, few at
//! once, and with few of one hand, so that a flood keeps nobody from being served.
//!
//! Invariants: a place is held by the work itself, not by whoever waits for it: asking and going away frees nothing early.
//! Work learns that nobody waits any more and stops. Subnets take turns, and each one's work goes in order of arrival: who
//! has much waiting, under however many names, waits behind itself. Auditors that contracts name, and those whom they send,
//! have places that no owner can take. Anybody may be named, so these are bounded too: who fills them all, from many subnets,
//! makes this farmer say that it is busy, and still leaves reads and uploads alone.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use hayloft_core::{DeviceId, OwnerId, placement::Subnet};
use hayloft_net::messages::{Refusal, RefusalCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::refuse;

/// Who has work done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Worker {
    /// The key that the connection proved.
    pub(super) device: DeviceId,
    pub(super) hand: Hand,
    pub(super) subnet: Subnet,
}

/// In whose name: many devices may be of one hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Hand {
    /// An owner, and its devices.
    Owner(OwnerId),
    /// The auditor that a contract names.
    Auditor(DeviceId),
    /// Those whom that auditor sends.
    Sent(DeviceId),
}

/// Places of those who work or wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places {
    pub(super) of_device: usize,
    pub(super) of_hand: usize,
    /// Owners' in a subnet, and as many for auditors.
    pub(super) of_subnet: usize,
    /// Owners', and as many for auditors.
    pub(super) in_all: usize,
}

/// Work of one kind.
#[derive(Debug)]
pub(super) struct Labours {
    running: Arc<Semaphore>,
    places: Places,
    admitted: Mutex<Admitted>,
}

#[derive(Debug, Default)]
struct Admitted {
    of_device: HashMap<DeviceId, usize>,
    of_hand: HashMap<Hand, usize>,
    of_subnet: HashMap<(Subnet, Side), usize>,
    in_all: HashMap<Side, usize>,
    /// Who of a subnet is next to wait for a turn among all; gone with the last of them.
    next: HashMap<Subnet, Weak<Semaphore>>,
}

/// Neither takes the other's places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Side {
    Owners,
    Auditors,
}

/// A place among those who work or wait, given up when dropped.
#[derive(Debug)]
pub(super) struct Place {
    labours: Arc<Labours>,
    worker: Worker,
    next: Arc<Semaphore>,
}

/// A place whose turn it is.
#[derive(Debug)]
pub(super) struct Turn {
    // Dropped in this order: whoever comes next shall find the place free.
    _running: OwnedSemaphorePermit,
    _place: Place,
}

impl Admitted {
    fn leave(&mut self, worker: &Worker) {
        give_up(&mut self.of_device, worker.device);
        give_up(&mut self.of_hand, worker.hand);
        give_up(&mut self.of_subnet, (worker.subnet, worker.hand.side()));
        give_up(&mut self.in_all, worker.hand.side());
    }

    fn enter(&mut self, worker: &Worker) -> Arc<Semaphore> {
        *self.of_device.entry(worker.device).or_default() += 1;
        *self.of_hand.entry(worker.hand).or_default() += 1;
        *self.of_subnet.entry((worker.subnet, worker.hand.side())).or_default() += 1;
        *self.in_all.entry(worker.hand.side()).or_default() += 1;
        if let Some(next) = self.next.get(&worker.subnet).and_then(Weak::upgrade) {
            return next;
        }
        self.next.retain(|_, next| next.strong_count() > 0);
        let next = Arc::new(Semaphore::new(1));
        self.next.insert(worker.subnet, Arc::downgrade(&next));
        next
    }
}

fn held<K: Hash + Eq>(places: &HashMap<K, usize>, key: &K) -> usize {
    places.get(key).copied().unwrap_or_default()
}

fn give_up<K: Hash + Eq>(places: &mut HashMap<K, usize>, key: K) {
    if let Some(taken) = places.get_mut(&key) {
        *taken -= 1;
        if *taken == 0 {
            places.remove(&key);
        }
    }
}

impl Hand {
    fn side(self) -> Side {
        match self {
            Self::Owner(_) => Side::Owners,
            Self::Auditor(_) | Self::Sent(_) => Side::Auditors,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.labours.admitted().leave(&self.worker);
    }
}

/// Whether somebody still waits for the work.
#[derive(Debug, Clone)]
pub(super) struct Wanted(Weak<()>);

impl Wanted {
    /// As long as this is there.
    pub(super) fn by(waiting: &Arc<()>) -> Self {
        Self(Arc::downgrade(waiting))
    }

    pub(super) fn still(&self) -> bool {
        self.0.strong_count() > 0
    }
}

impl Labours {
    /// So many run at once, and so many have a place.
    pub(super) fn new(at_once: usize, places: Places) -> Arc<Self> {
        let running = Arc::new(Semaphore::new(at_once));
        Arc::new(Self { running, places, admitted: Mutex::default() })
    }

    /// Half of this computer's cores, and at least one.
    pub(super) fn half_of_the_cores() -> usize {
        std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2))
    }

    fn admitted(&self) -> MutexGuard<'_, Admitted> {
        self.admitted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place, from which to wait for a turn.
    ///
    /// # Errors
    /// [`RefusalCode::Busy`] if there is none for this worker.
    pub(super) fn admit(self: &Arc<Self>, worker: Worker) -> Result<Place, Refusal> {
        let (mut admitted, side, places) = (self.admitted(), worker.hand.side(), self.places);
        let full = held(&admitted.of_device, &worker.device) >= places.of_device
            || held(&admitted.of_hand, &worker.hand) >= places.of_hand
            || held(&admitted.of_subnet, &(worker.subnet, side)) >= places.of_subnet
            || held(&admitted.in_all, &side) >= places.in_all;
        if full {
            return Err(refuse::refuse(RefusalCode::Busy, "Too much is asked of this farmer at once."));
        }
        let next = admitted.enter(&worker);
        Ok(Place { labours: self.clone(), worker, next })
    }

    /// Does the work when its turn comes.
    ///
    /// # Errors
    /// [`RefusalCode::Busy`] if there is no place, [`RefusalCode::Internal`] if the work failed.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        worker: Worker,
        work: impl FnOnce(&Wanted) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        self.admit(worker)?.turn().await?.run(work).await
    }
}

impl Place {
    /// Waits for its turn.
    ///
    /// # Errors
    /// [`RefusalCode::Busy`] if none comes any more.
    pub(super) async fn turn(self) -> Result<Turn, Refusal> {
        let over = |_| refuse::refuse(RefusalCode::Busy, "This farmer is shutting down.");
        let _next = self.next.clone().acquire_owned().await.map_err(over)?;
        let running = self.labours.running.clone().acquire_owned().await.map_err(over)?;
        Ok(Turn { _running: running, _place: self })
    }
}

impl Turn {
    /// Does the work.
    ///
    /// # Errors
    /// [`RefusalCode::Internal`] if it failed.
    pub(super) async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce(&Wanted) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let waiting = Arc::new(());
        let wanted = Wanted::by(&waiting);
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&wanted);
            drop(self);
            done
        });
        let done = done.await.map_err(|error| {
            tracing::error!(%error, "work for an audit failed");
            refuse::refuse(RefusalCode::Internal, "This farmer failed.")
        });
        drop(waiting);
        done
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures::FutureExt as _;

    use super::*;

    const FEW: Places = Places { of_device: 2, of_hand: 3, of_subnet: 4, in_all: 5 };

    fn subnet(number: u8) -> Subnet {
        Subnet::V4([203, 0, number])
    }

    fn device(device: u8, owner: u8, subnet: Subnet) -> Worker {
        let hand = Hand::Owner(OwnerId([owner; 32]));
        Worker { device: DeviceId([device; 32]), hand, subnet }
    }

    /// Each device of an owner and in a subnet of its own.
    fn stranger(seed: u8) -> Worker {
        device(seed, seed, subnet(seed))
    }

    fn auditor(seed: u8, subnet: Subnet) -> Worker {
        let device = DeviceId([seed; 32]);
        Worker { device, hand: Hand::Auditor(device), subnet }
    }

    fn is_busy<T: std::fmt::Debug>(result: Option<Result<T, Refusal>>) -> bool {
        matches!(result, Some(Err(Refusal { code: RefusalCode::Busy, .. })))
    }

    #[test]
    fn places_are_bounded_by_device_hand_subnet_and_in_all_and_come_back() {
        let labours = Labours::new(1, FEW);
        let admitted = |workers: &[Worker]| -> Vec<Place> {
            workers.iter().flat_map(|worker| labours.admit(*worker)).collect()
        };
        assert_eq!(admitted(&[device(1, 1, subnet(1)); 9]).len(), 2, "of one device");
        let devices: Vec<Worker> = (0..9).map(|seed| device(seed, 1, subnet(seed))).collect();
        assert_eq!(admitted(&devices).len(), 3, "of one owner");
        let neighbours: Vec<Worker> = (0..9).map(|seed| device(seed, seed, subnet(1))).collect();
        assert_eq!(admitted(&neighbours).len(), 4, "of one subnet");
        let strangers: Vec<Worker> = (0..9).map(stranger).collect();
        assert_eq!(admitted(&strangers).len(), 5, "in all");
        let left = labours.admitted();
        assert!(left.of_device.is_empty() && left.of_hand.is_empty());
        assert!(left.of_subnet.is_empty() && left.in_all.is_empty());
    }

    #[test]
    fn an_auditor_finds_its_own_place_whatever_owners_and_those_that_it_sends_do() {
        let labours = Labours::new(1, FEW);
        let strangers = (0..9).map(stranger).chain((0..9).map(|seed| device(seed, seed, subnet(100))));
        let _held: Vec<Place> = strangers.flat_map(|worker| labours.admit(worker)).collect();
        let auditor = auditor(200, subnet(100));
        let sent = (0..9).map(|seed| Worker { hand: Hand::Sent(auditor.device), ..stranger(seed + 50) });
        let sent: Vec<Place> = sent.flat_map(|worker| labours.admit(worker)).collect();
        assert_eq!(sent.len(), 3, "they share places");
        let own: Vec<Place> = (0..9).flat_map(|_| labours.admit(auditor)).collect();
        assert_eq!(own.len(), 2, "and are bounded themselves");
    }

    #[test]
    fn whoever_is_named_an_auditor_cannot_take_all_places() {
        let labours = Labours::new(1, FEW);
        let named = |subnet: fn(u8) -> Subnet| -> Vec<Place> {
            (0..9).flat_map(|seed| labours.admit(auditor(seed, subnet(seed)))).collect()
        };
        assert_eq!(named(|_| subnet(1)).len(), 4, "of one subnet");
        let held = named(subnet);
        assert_eq!(held.len(), 5, "in all");
        assert!(labours.admit(stranger(100)).is_ok(), "owners have their own");
    }

    #[tokio::test]
    async fn subnets_take_turns_and_each_keeps_its_order() {
        let labours = Labours::new(1, Places { of_subnet: 9, in_all: 9, ..FEW });
        let mut now = Some(labours.admit(stranger(9)).expect("free").turn().await.expect("free"));
        let crowd = (0..4).map(|seed| (seed, device(seed, seed, subnet(1))));
        let others = [(10, stranger(10)), (11, auditor(11, subnet(11)))];
        let mut waiting: Vec<_> = crowd
            .chain(others)
            .map(|(name, worker)| (name, Box::pin(labours.admit(worker).expect("a place").turn())))
            .collect();
        let mut order = Vec::new();
        while !waiting.is_empty() {
            for (_, turn) in &mut waiting {
                assert!(turn.as_mut().now_or_never().is_none(), "one at a time");
            }
            now.take();
            let mut index = 0;
            while index < waiting.len() {
                match waiting[index].1.as_mut().now_or_never() {
                    Some(turn) => {
                        now = Some(turn.expect("not over"));
                        order.push(waiting.remove(index).0);
                    }
                    None => index += 1,
                }
            }
        }
        assert_eq!(order, [0, 10, 11, 1, 2, 3]);
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_learns_of_it_and_holds_its_place_until_it_stops() {
        let labours = Labours::new(1, Places { of_device: 1, ..FEW });
        let (said, stopped) = mpsc::channel();
        let running = tokio::spawn({
            let labours = labours.clone();
            async move {
                let work = move |wanted: &Wanted| {
                    said.send(()).expect("the test listens");
                    while wanted.still() {
                        std::thread::yield_now();
                    }
                };
                labours.run(stranger(1), work).await
            }
        });
        let stopped = tokio::task::spawn_blocking(move || stopped.recv()).await;
        assert!(matches!(stopped, Ok(Ok(()))), "the work began");
        assert!(is_busy(labours.run(stranger(1), |_| ()).now_or_never()));
        running.abort();
        while !labours.admitted().in_all.is_empty() {
            tokio::task::yield_now().await;
        }
        assert!(labours.run(stranger(1), |_| ()).await.is_ok());
    }
}
