//! A range of a shard on its way here.
//!
//! Under a limit the range is asked for piece by piece, each only once the limit has room for it: a farmer sends nothing
//! that this node must then leave unread, which would fill buffers on the way and look like silence on both sides.

use std::sync::{Arc, atomic::AtomicU64};

use bytes::Bytes;
use hayloft_core::DeviceId;

use super::{client::Talk, wire::Broken};
use crate::{
    error::{Fault, NetError},
    handle::Net,
    messages::{Answer, Envelope, Request},
};

/// A piece that is asked for takes as long as so many of those that are sent: each costs a request.
const PIECES_AT_ONCE: usize = 4;

/// A range of a shard on its way here. Dropping it cancels it.
#[derive(Debug)]
pub struct Download {
    talk: Talk,
    rest: Envelope,
    /// Bytes still to come, of the piece that was asked for and of those after it.
    left: u64,
    later: u64,
    paid: bool,
    ended: bool,
    arrived: Option<Arc<AtomicU64>>,
}

/// A piece that a farmer has begun to send.
struct Piece {
    talk: Talk,
    bytes: u64,
    paid: bool,
}

/// Asks for as much of what the envelope names as the limit lets come at once, and leaves the rest in it.
async fn ask(net: &Net, device: DeviceId, rest: &mut Envelope) -> Result<Piece, NetError> {
    let mut now = rest.clone();
    let (Request::Download { bytes, .. }, Request::Download { offset, bytes: left, .. }) =
        (&mut now.request, &mut rest.request)
    else {
        return Err(NetError::Protocol(Fault::WrongAnswer));
    };
    let most = net.shared.rates.down.piece().map(|piece| piece * PIECES_AT_ONCE);
    *bytes = most.map_or(*left, |most| (*left).min(most as u64));
    let wanted = *bytes;
    (*offset, *left) = (offset.saturating_add(wanted), *left - wanted);
    if most.is_some() {
        let taken = net.shared.rates.down.take(usize::try_from(wanted).unwrap_or(usize::MAX));
        net.shared.until_stopped(taken).await.ok_or(NetError::Cancelled)?;
    }
    match Talk::open(net, device, &now).await? {
        (talk, Answer::Sending { bytes }) if bytes == wanted => {
            Ok(Piece { talk, bytes, paid: most.is_some() })
        }
        _ => Err(NetError::Protocol(Fault::WrongAnswer)),
    }
}

impl Download {
    pub(super) async fn begin(net: &Net, device: DeviceId, envelope: &Envelope) -> Result<Self, NetError> {
        let Request::Download { bytes, .. } = envelope.request else {
            return Err(NetError::Protocol(Fault::WrongAnswer));
        };
        let mut rest = envelope.clone();
        let Piece { talk, bytes: left, paid } = ask(net, device, &mut rest).await?;
        Ok(Self { talk, rest, left, later: bytes - left, paid, ended: false, arrived: None })
    }

    /// Bytes still to come.
    pub fn left(&self) -> u64 {
        self.left + self.later
    }

    /// From now on, `arrived` counts the bytes that come, parts of unfinished frames among them.
    pub fn tell(&mut self, arrived: Arc<AtomicU64>) {
        self.talk.wire.count_into(arrived.clone());
        self.arrived = Some(arrived);
    }

    /// The next bytes, at most [`crate::limits::DATA_FRAME`]; none after exactly as many as were asked for. Only then is
    /// it sure that the farmer did not send too many.
    ///
    /// # Errors
    /// [`NetError`]; [`Fault::TooManyBytes`] and [`Fault::EndedEarly`] among the farmer's faults.
    pub async fn next(&mut self) -> Result<Option<Bytes>, NetError> {
        if self.left == 0 && self.later > 0 {
            let net = self.talk.net.clone();
            let Piece { talk, bytes, paid } = ask(&net, self.talk.device, &mut self.rest).await?;
            (self.talk, self.left, self.paid) = (talk, bytes, paid);
            self.later -= bytes;
            if let Some(arrived) = &self.arrived {
                self.talk.wire.count_into(arrived.clone());
            }
        }
        if self.left == 0 {
            return self.end().await.map(|()| None);
        }
        let frame = self.frame().await?;
        self.left -= frame.len() as u64;
        if !self.paid {
            self.talk.net.shared.rates.down.take(frame.len()).await;
        }
        self.talk.hears();
        Ok(Some(frame))
    }

    async fn frame(&mut self) -> Result<Bytes, NetError> {
        let shared = self.talk.net.shared.clone();
        let _awaited = shared.awaits(self.talk.device);
        let mut patience = shared.bounds.progress;
        let mut doubted = false;
        loop {
            let frame = shared.until_stopped(self.talk.wire.data(self.left, patience)).await;
            match frame.unwrap_or(Err(Broken::Lost)).and_then(|frame| frame.ok_or(Broken::Cut)) {
                Err(Broken::Stalled) if !doubted => {
                    self.talk.doubt().await?;
                    (patience, doubted) = (self.talk.last_patience(), true);
                }
                Err(broken) => return Err(self.talk.blame(broken).await),
                Ok(frame) => return Ok(frame),
            }
        }
    }

    async fn end(&mut self) -> Result<(), NetError> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(());
        }
        let shared = self.talk.net.shared.clone();
        match shared.until_stopped(self.talk.wire.ended()).await {
            Some(Err(Broken::Fault(fault))) => Err(NetError::Protocol(fault)),
            _ => Ok(()),
        }
    }
}
