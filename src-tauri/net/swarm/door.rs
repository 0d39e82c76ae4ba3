//! The door for requests: inbound streams of the farmer protocol, handed over through a queue.
//!
//! libp2p-stream, which opens our outbound streams, keeps one inbound stream waiting and drops the rest unheard: two
//! owners who ask in the same instant would lose one request. This queue holds [`limits::STREAM_QUEUE`] of them.
//! While the door is closed the protocol is not announced, and streams of it are turned away.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    option,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId, Stream, StreamProtocol,
    core::{Endpoint, InboundUpgrade, UpgradeInfo, transport::PortUse, upgrade::DeniedUpgrade},
    swarm::{
        ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
        NetworkBehaviour, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
        handler::{ConnectionEvent, FullyNegotiatedInbound},
    },
};
use tokio::sync::{mpsc, watch};

use crate::limits;

/// Streams that came in, with who opened them.
pub(crate) type Streams = mpsc::Receiver<(PeerId, Stream)>;

/// Takes inbound streams of one protocol while it is open.
pub(crate) struct Door {
    protocol: StreamProtocol,
    open: watch::Receiver<bool>,
    queue: mpsc::Sender<(PeerId, Stream)>,
}

impl Door {
    /// A door that is open whenever `open` says so, and what comes in by it.
    pub(crate) fn new(protocol: StreamProtocol, open: watch::Receiver<bool>) -> (Self, Streams) {
        let (queue, streams) = mpsc::channel(limits::STREAM_QUEUE);
        (Self { protocol, open, queue }, streams)
    }

    fn handler(&self, peer: PeerId) -> Handler {
        Handler { peer, protocol: self.protocol.clone(), open: self.open.clone(), queue: self.queue.clone() }
    }
}

impl NetworkBehaviour for Door {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(peer))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(peer))
    }

    fn on_swarm_event(&mut self, _: FromSwarm) {}

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

/// The door on one connection.
pub(crate) struct Handler {
    peer: PeerId,
    protocol: StreamProtocol,
    open: watch::Receiver<bool>,
    queue: mpsc::Sender<(PeerId, Stream)>,
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Infallible;
    type ToBehaviour = Infallible;
    type InboundProtocol = Doorway;
    type OutboundProtocol = DeniedUpgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Doorway> {
        SubstreamProtocol::new(Doorway(self.open.borrow().then(|| self.protocol.clone())), ())
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<DeniedUpgrade, (), Infallible>> {
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, event: Infallible) {
        match event {}
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Doorway, DeniedUpgrade>) {
        if let ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol: stream, .. }) =
            event
            && self.queue.try_send((self.peer, stream)).is_err()
        {
            tracing::debug!(peer = %self.peer, "too many requests at once: one was dropped unheard");
        }
    }
}

/// The protocol while the door is open, none while it is closed.
pub(crate) struct Doorway(Option<StreamProtocol>);

impl UpgradeInfo for Doorway {
    type Info = StreamProtocol;
    type InfoIter = option::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.clone().into_iter()
    }
}

impl InboundUpgrade<Stream> for Doorway {
    type Output = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Stream, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, _: StreamProtocol) -> Self::Future {
        ready(Ok(stream))
    }
}
