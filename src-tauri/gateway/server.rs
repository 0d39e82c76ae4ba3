//! The listening side: one loopback socket, one token, one door file.
//!
//! Invariant: when [`Gateway::close`] returns, no request is being served and the door file is gone. A door file that cannot
//! be written, as on a full disk, stops nobody's node: it is tried again.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hayloft_node::Node;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::callers::Callers;
use crate::door::ApiFile;
use crate::routes;

/// How long requests under way may take to finish once the gateway closes.
const CLOSING_GRACE: Duration = Duration::from_secs(3);
/// Connections served at once, so that nobody without a token takes the descriptors that files and farmers need.
pub(crate) const CONNECTIONS: usize = 64;
/// How long a connection may take over the head of its next request.
pub(crate) const HEAD: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });
/// How long is waited when the door file could not be written.
const DOOR_PAUSE: Duration = Duration::from_millis(if cfg!(test) { 50 } else { 5_000 });
/// How long is waited when no connection can be taken.
const AGAIN: Duration = Duration::from_millis(100);

/// The running HTTP API of a node.
pub struct Gateway {
    home: PathBuf,
    /// What its door file opens with.
    token: String,
    address: SocketAddr,
    closing: CancellationToken,
    stop_asked: CancellationToken,
    server: Option<JoinHandle<()>>,
    door: Option<JoinHandle<()>>,
}

/// Why the API could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// No loopback socket.
    #[error("the local API could not listen on this computer: {0}")]
    Listen(#[source] std::io::Error),
}

impl Gateway {
    /// Opens the API of `node` on a free loopback port and leaves the door file in its home.
    pub async fn start(node: Node, home: PathBuf) -> Result<Self, GatewayError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(GatewayError::Listen)?;
        let address = listener.local_addr().map_err(GatewayError::Listen)?;
        let door = ApiFile::new(address.port());
        let token = door.token.clone();
        let closing = CancellationToken::new();
        let stop_asked = CancellationToken::new();
        let state = routes::Shared::new(node, &door, closing.clone(), stop_asked.clone());
        let app = routes::router(Arc::new(state));
        let server = tokio::spawn(serve(listener, app, closing.clone()));
        let door = match door.write(&home) {
            Ok(()) => None,
            Err(error) => {
                tracing::warn!(%error, "no command finds this node until its door can be written");
                let opening = open_later(door, home.clone());
                let opening = closing.clone().run_until_cancelled_owned(opening);
                Some(tokio::spawn(async { opening.await.unwrap_or_default() }))
            }
        };
        Ok(Self { home, token, address, closing, stop_asked, server: Some(server), door })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns when somebody asked over the API that this node stop.
    pub async fn stop_asked(&self) {
        self.stop_asked.cancelled().await;
    }

    /// Removes the door file, finishes requests under way within a few seconds, and closes the socket.
    pub async fn close(mut self) {
        self.closing.cancel();
        if let Some(door) = self.door.take() {
            let _ = door.await;
        }
        ApiFile::remove(&self.home, &self.token);
        let Some(mut server) = self.server.take() else { return };
        if tokio::time::timeout(CLOSING_GRACE, &mut server).await.is_err() {
            server.abort();
        }
    }
}

/// Writes the door file as soon as it can be written.
async fn open_later(door: ApiFile, home: PathBuf) {
    while door.write(&home).is_err() {
        tokio::time::sleep(DOOR_PAUSE).await;
    }
    tracing::info!("commands find this node now");
}

/// Serves until it closes, and then what is under way.
async fn serve(listener: TcpListener, app: Router, closing: CancellationToken) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD);
    let (graceful, mut callers) = (GracefulShutdown::new(), Callers::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    while let Some(accepted) = closing.run_until_cancelled(listener.accept()).await {
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                let Some(Some(caller)) = closing.run_until_cancelled(callers.admit()).await else { break };
                let (routes, introduction) =
                    (TowerToHyperService::new(app.clone()), caller.introduction.clone());
                let service = service_fn(move |mut request: Request<Incoming>| {
                    request.extensions_mut().insert(introduction.clone());
                    routes.call(request)
                });
                let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
                connections.spawn(async move {
                    if let Some(Err(error)) = caller.introduction.leave.run_until_cancelled(connection).await
                    {
                        tracing::debug!(%error, "a connection to the local API broke off");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no connection to the local API can be taken");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
    drop(listener);
    graceful.shutdown().await;
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if self.server.is_some() {
            ApiFile::remove(&self.home, &self.token);
            self.closing.cancel();
        }
    }
}
