//! The farmer's side: requests come in through [`Incoming`], each is answered by a method that consumes it. What is
//! dropped unanswered ends the stream; the owner then sees it cut short.

use std::{
    collections::VecDeque,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use hayloft_core::DeviceId;
use libp2p::{PeerId, Stream};
use tokio::sync::{Notify, Semaphore, mpsc};

use super::{
    Receiving,
    admission::{Denied, Permit, Regard},
    wire::{Broken, Wire, bounded},
};
use crate::{
    address,
    error::{Fault, NetError},
    handle::Shared,
    limits,
    messages::{Answer, Envelope, Refusal, RefusalCode, Request},
    swarm::Streams,
};

/// The requests of other nodes, in order of arrival.
#[derive(Debug)]
pub struct Incoming {
    requests: mpsc::Receiver<Inbound>,
}

impl Incoming {
    pub(crate) fn new(requests: mpsc::Receiver<Inbound>) -> Self {
        Self { requests }
    }

    /// The next request; none once the network is shut down.
    pub async fn next(&mut self) -> Option<Inbound> {
        self.requests.recv().await
    }
}

/// A request that waits for its answer.
#[derive(Debug)]
pub struct Inbound {
    /// Who asks: the key that the connection proved.
    pub from: DeviceId,
    /// The address that the connection shows; none for in-process connections.
    pub address: Option<IpAddr>,
    /// What is asked.
    pub envelope: Envelope,
    peer: PeerId,
    talk: Talk,
}

/// The stream of a request, with its place among those served.
#[derive(Debug)]
pub(super) struct Talk {
    from: DeviceId,
    pub(super) wire: Wire,
    pub(super) shared: Arc<Shared>,
    _permit: Permit,
}

impl Inbound {
    /// Whether the asking device is known as a customer already.
    pub fn is_of_customer(&self) -> bool {
        self.talk.shared.admission.regard(&self.peer) == Regard::Customer
    }

    /// Says that the asking device's owner has a contract here: floods of strangers shall not keep it out.
    pub fn welcome(&self) {
        self.talk.shared.admission.welcome(self.peer);
    }

    /// Says that the answer takes a while.
    ///
    /// # Errors
    /// [`NetError`] if nobody waits for it any more.
    pub async fn working(&mut self) -> Result<(), NetError> {
        self.talk.send(&Answer::Working).await
    }

    /// Answers and ends the stream.
    ///
    /// # Errors
    /// [`NetError`] if the answer could not be sent.
    pub async fn answer(mut self, answer: Answer) -> Result<(), NetError> {
        self.talk.answer(answer).await
    }

    /// Refuses and ends the stream.
    ///
    /// # Errors
    /// [`NetError`] if the refusal could not be sent.
    pub async fn refuse(self, code: RefusalCode, sentence: impl Into<String>) -> Result<(), NetError> {
        self.answer(Answer::Refused(Refusal { code, sentence: sentence.into() })).await
    }

    /// Answers a [`Request::Upload`] with what the farmer already `have`s, and receives the rest.
    ///
    /// # Errors
    /// [`NetError`] if the answer could not be sent; [`Fault::WrongAnswer`] if no upload was asked for, or fewer
    /// bytes.
    pub async fn ready(self, have: u64) -> Result<Receiving, NetError> {
        let Request::Upload { bytes, tag_bytes, .. } = self.envelope.request else {
            return Err(NetError::Protocol(Fault::WrongAnswer));
        };
        let left = bytes.checked_add(tag_bytes).and_then(|bytes| bytes.checked_sub(have));
        let left = left.ok_or(NetError::Protocol(Fault::WrongAnswer))?;
        Receiving::begin(self.talk, have, left).await
    }

    /// Answers a [`Request::Download`] and sends the bytes asked for.
    ///
    /// # Errors
    /// [`NetError`] if the answer could not be sent; [`Fault::WrongAnswer`] if no download was asked for.
    pub async fn sending(mut self) -> Result<Sending, NetError> {
        let Request::Download { bytes, .. } = self.envelope.request else {
            return Err(NetError::Protocol(Fault::WrongAnswer));
        };
        self.talk.send(&Answer::Sending { bytes }).await?;
        Ok(Sending { talk: self.talk, left: bytes })
    }
}

/// A shard's bytes on their way out.
#[derive(Debug)]
pub struct Sending {
    talk: Talk,
    left: u64,
}

impl Sending {
    /// Sends bytes, in frames of at most [`limits::DATA_FRAME`].
    ///
    /// # Errors
    /// [`NetError`] if the owner left or takes nothing; [`Fault::TooManyBytes`] beyond what was asked for.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), NetError> {
        let left = self.left.checked_sub(bytes.len() as u64);
        self.left = left.ok_or(NetError::Protocol(Fault::TooManyBytes))?;
        let most = self.talk.shared.rates.up.piece().unwrap_or(usize::MAX).min(limits::DATA_FRAME);
        for frame in bytes.chunks(most) {
            self.talk.shared.rates.up.take(frame.len()).await;
            let sent = tokio::time::timeout(limits::FRAME_TIMEOUT, self.talk.wire.send_data(frame)).await;
            sent.unwrap_or(Err(Broken::Stalled)).map_err(|broken| self.talk.error(broken))?;
        }
        Ok(())
    }

    /// Sends more than was asked for and ends the stream: for the liars of the scenario tests alone.
    ///
    /// # Errors
    /// [`NetError`] if the owner left or takes nothing.
    #[cfg(feature = "misbehave")]
    pub async fn send_beyond(mut self, bytes: &[u8]) -> Result<(), NetError> {
        for frame in bytes.chunks(limits::DATA_FRAME) {
            self.talk.wire.send_data(frame).await.map_err(|broken| self.talk.error(broken))?;
        }
        self.talk.wire.close().await.map_err(|broken| self.talk.error(broken))
    }

    /// Ends the stream after the last byte.
    ///
    /// # Errors
    /// [`NetError`] if not everything could be sent; [`Fault::EndedEarly`] if not everything was.
    pub async fn finish(mut self) -> Result<(), NetError> {
        if self.left > 0 {
            return Err(NetError::Protocol(Fault::EndedEarly));
        }
        self.talk.wire.close().await.map_err(|broken| self.talk.error(broken))
    }
}

impl Talk {
    pub(super) async fn send(&mut self, answer: &Answer) -> Result<(), NetError> {
        self.wire.send_message(answer).await.map_err(|broken| self.error(broken))
    }

    pub(super) async fn answer(&mut self, answer: Answer) -> Result<(), NetError> {
        let answer = match answer {
            Answer::Refused(refusal) => Answer::Refused(bounded(refusal)),
            other => other,
        };
        self.send(&answer).await?;
        self.wire.close().await.map_err(|broken| self.error(broken))
    }

    pub(super) fn error(&self, broken: Broken) -> NetError {
        match broken {
            Broken::Fault(fault) => NetError::Protocol(fault),
            Broken::Cut => NetError::Protocol(Fault::EndedEarly),
            Broken::Stalled => NetError::Silent,
            Broken::Lost => NetError::Unreachable(self.from),
        }
    }
}

/// Accepts the streams of others, and ends with the network. While this node does not farm, none come.
pub(crate) async fn accept(shared: Arc<Shared>, mut streams: Streams, requests: mpsc::Sender<Inbound>) {
    let mut reading = Reading::default();
    let refusals = Arc::new(Semaphore::new(limits::REFUSALS_AT_ONCE));
    while let Some(Some((peer, stream))) = shared.until_stopped(streams.recv()).await {
        let subnet = shared.peers.address_of(&peer).and_then(address::subnet_of);
        let mut admitted = shared.admission.admit(peer, subnet);
        while let Err(Denied::Full { stranger }) = admitted
            && reading.give_up_for(stranger)
        {
            admitted = shared.admission.admit(peer, subnet);
        }
        match admitted {
            Ok(permit) => {
                let place = reading.place(permit);
                tokio::spawn(receive(shared.clone(), peer, stream, place, requests.clone()));
            }
            Err(_) => {
                if let Ok(place) = refusals.clone().try_acquire_owned() {
                    let patience = shared.bounds.request;
                    tokio::spawn(async move {
                        refuse_busy(Wire::new(stream, patience)).await;
                        drop(place);
                    });
                }
            }
        }
    }
}

/// The place of a request that is still coming.
#[derive(Debug)]
struct Place {
    permit: Mutex<Option<Permit>>,
    given_up: Notify,
}

impl Place {
    fn take(&self) -> Option<Permit> {
        self.take_if(|_| true)
    }

    fn take_if(&self, gives: impl Fn(&Permit) -> bool) -> Option<Permit> {
        self.permit.lock().unwrap_or_else(PoisonError::into_inner).take_if(|permit| gives(permit))
    }
}

/// Requests that are still coming, the oldest first; those that have come leave their places empty.
#[derive(Debug, Default)]
struct Reading(VecDeque<Arc<Place>>);

impl Reading {
    fn place(&mut self, permit: Permit) -> Arc<Place> {
        while self.0.front().is_some_and(|place| Arc::strong_count(place) == 1) {
            self.0.pop_front();
        }
        let place = Arc::new(Place { permit: Mutex::new(Some(permit)), given_up: Notify::new() });
        self.0.push_back(place.clone());
        if self.0.len() > 2 * limits::REQUESTS {
            self.0.retain(|place| Arc::strong_count(place) > 1);
        }
        place
    }

    /// Gives up a request for the next one; whether there was any. Strangers' go first, and for a stranger no others.
    fn give_up_for(&mut self, stranger: bool) -> bool {
        self.give_up_oldest(Permit::is_strangers) || (!stranger && self.give_up_oldest(|_| true))
    }

    /// Gives up the request that has been coming for longest, of those that may be; whether there was one.
    fn give_up_oldest(&mut self, may_be: impl Fn(&Permit) -> bool) -> bool {
        let Some(at) = self.0.iter().position(|place| place.take_if(&may_be).is_some()) else { return false };
        if let Some(place) = self.0.remove(at) {
            place.given_up.notify_one();
        }
        true
    }
}

/// Tells one whose request was given up; those that do not take it are dropped soon, for there may be many.
async fn refuse_given_up(wire: Wire) {
    let _ = tokio::time::timeout(limits::CLOSE_TIMEOUT, refuse_busy(wire)).await;
}

async fn refuse_busy(mut wire: Wire) {
    let sentence = "too many requests at once".to_owned();
    let refusal = Answer::Refused(Refusal { code: RefusalCode::Busy, sentence });
    if wire.send_message(&refusal).await.is_ok() {
        let _ = wire.close().await;
    }
}

/// Reads one request and hands it to the node.
async fn receive(
    shared: Arc<Shared>,
    peer: PeerId,
    stream: Stream,
    place: Arc<Place>,
    requests: mpsc::Sender<Inbound>,
) {
    let Some(from) = address::device_of(&peer) else { return drop(place.take()) };
    let mut wire = Wire::new(stream, shared.bounds.progress);
    let read = tokio::time::timeout(shared.bounds.request, wire.message::<Envelope>());
    let read = tokio::select! {
        read = shared.until_stopped(read) => Some(read),
        () = place.given_up.notified() => None,
    };
    // It may have been given up in the moment in which it came.
    let (Some(read), Some(permit)) = (read, place.take()) else { return refuse_given_up(wire).await };
    let envelope = match read {
        Some(Ok(Ok(envelope))) => envelope,
        Some(Ok(Err(Broken::Fault(fault)))) => {
            let refusal = Refusal { code: RefusalCode::BadRequest, sentence: fault.to_string() };
            if wire.send_message(&Answer::Refused(refusal)).await.is_ok() {
                let _ = wire.close().await;
            }
            return;
        }
        // Too late, perhaps through no fault of anybody: who hears nothing would think ill of this node.
        Some(Err(_) | Ok(Err(Broken::Stalled))) => return refuse_given_up(wire).await,
        Some(Ok(Err(Broken::Cut | Broken::Lost))) | None => return,
    };
    let address = shared.peers.address_of(&peer);
    let talk = Talk { from, wire, shared: shared.clone(), _permit: permit };
    let inbound = Inbound { from, address, envelope, peer, talk };
    match requests.try_send(inbound) {
        Ok(()) => {}
        Err(mpsc::error::TrySendError::Full(inbound)) => {
            let _ = inbound.refuse(RefusalCode::Busy, "too many requests at once").await;
        }
        Err(mpsc::error::TrySendError::Closed(inbound)) => {
            // Not "not accepting": whoever reads may be refused for a moment only.
            let _ = inbound.refuse(RefusalCode::Busy, "shutting down").await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bounds, farmer::Admission};

    fn admission(requests: usize, requests_of_strangers: usize) -> Arc<Admission> {
        Admission::new(Bounds { requests, requests_of_strangers, ..Bounds::default() })
    }

    fn customer(admission: &Admission) -> PeerId {
        let customer = PeerId::random();
        admission.welcome(customer);
        customer
    }

    fn is_coming(place: &Place) -> bool {
        place.permit.lock().unwrap().is_some()
    }

    #[test]
    fn strangers_push_out_no_customers_when_their_share_is_being_served() {
        let admission = admission(4, 2);
        let customer = customer(&admission);
        let _served = [0; 2].map(|_| admission.admit(PeerId::random(), None).unwrap());
        let mut reading = Reading::default();
        let coming = reading.place(admission.admit(customer, None).unwrap());
        assert_eq!(admission.admit(PeerId::random(), None).unwrap_err(), Denied::Full { stranger: true });
        assert!(!reading.give_up_for(true));
        assert!(is_coming(&coming));
    }

    #[test]
    fn a_strangers_place_goes_to_the_next_stranger_past_an_older_customers() {
        let admission = admission(4, 1);
        let customer = customer(&admission);
        let mut reading = Reading::default();
        let older = reading.place(admission.admit(customer, None).unwrap());
        let strangers = reading.place(admission.admit(PeerId::random(), None).unwrap());
        assert!(reading.give_up_for(true));
        assert!(is_coming(&older) && !is_coming(&strangers));
        assert!(admission.admit(PeerId::random(), None).is_ok());
        assert!(!reading.give_up_for(true), "given up twice");
    }

    #[test]
    fn for_a_customer_strangers_give_up_first_and_then_whoever_came_first() {
        let admission = admission(3, 1);
        let customer = customer(&admission);
        let mut reading = Reading::default();
        let first = reading.place(admission.admit(customer, None).unwrap());
        let second = reading.place(admission.admit(customer, None).unwrap());
        let strangers = reading.place(admission.admit(PeerId::random(), None).unwrap());
        assert!(reading.give_up_for(false));
        assert!(is_coming(&first) && is_coming(&second) && !is_coming(&strangers));
        assert!(reading.give_up_for(false));
        assert!(!is_coming(&first) && is_coming(&second));
        assert!(reading.give_up_for(false) && !reading.give_up_for(false));
        assert_eq!(admission.admit(customer, None).map(|permit| permit.is_strangers()).ok(), Some(false));
    }
}
