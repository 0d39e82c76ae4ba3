//! The node inside the app and how far it has come. It may be opening, open, refused because another process runs on
//! the same home, or failed; the window shows each of these.

use std::{path::Path, sync::Arc, time::Duration};

use hayloft_gateway::{Client, Gateway};
use hayloft_node::{
    Node, NodeOptions,
    model::{ApiError, ErrorCode, Event},
};
use serde::{Deserialize, Serialize};
use specta::Type;
use tauri::{AppHandle, Manager};
use tauri_specta::Event as _;
use tokio::{
    sync::{Mutex, RwLock, broadcast::error::RecvError, oneshot},
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::{notifications, window};

/// How long another process on this home may take to end once it was asked to.
const TAKE_OVER_TIMEOUT: Duration = Duration::from_secs(20);
const TAKE_OVER_STEP: Duration = Duration::from_millis(250);

/// How far the node has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type, tauri_specta::Event)]
#[serde(rename_all = "snake_case", tag = "phase", content = "error")]
pub(crate) enum Phase {
    /// Reading the home and joining the network.
    Opening,
    /// Running.
    Open,
    /// Another process runs a node on this home.
    Held(ApiError),
    /// It could not be opened.
    Failed(ApiError),
}

/// News from the node, passed on as it came.
#[derive(Debug, Clone, Serialize, Deserialize, Type, tauri_specta::Event)]
pub(crate) struct News(pub(crate) Event);

/// A running node with its door for the command line, which a task keeps until told to close it.
struct Open {
    node: Node,
    close_gateway: oneshot::Sender<()>,
    gateway: JoinHandle<()>,
}

/// Keeps the app's one node. Opening and closing take turns.
pub(crate) struct Home {
    options: NodeOptions,
    phase: RwLock<Phase>,
    open: Mutex<Option<Open>>,
    app: AppHandle,
}

impl Home {
    pub(crate) fn new(app: AppHandle, options: NodeOptions) -> Arc<Self> {
        Arc::new(Self { options, phase: RwLock::new(Phase::Opening), open: Mutex::new(None), app })
    }

    /// How far the node has come.
    pub(crate) async fn phase(&self) -> Phase {
        self.phase.read().await.clone()
    }

    /// The home folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.options.home
    }

    /// The running node.
    ///
    /// # Errors
    /// [`ApiError`] while it is not open.
    pub(crate) async fn node(&self) -> Result<Node, ApiError> {
        if let Some(open) = &*self.open.lock().await {
            return Ok(open.node.clone());
        }
        match self.phase().await {
            Phase::Held(error) | Phase::Failed(error) => Err(error),
            Phase::Opening | Phase::Open => Err(not_open_yet()),
        }
    }

    /// Opens the node unless it is open already, and tells the window what came of it.
    pub(crate) async fn open(&self) {
        self.enter(Phase::Opening).await;
        let phase = self.attempt().await;
        self.enter(phase).await;
    }

    /// Stops the node that another process runs on this home, cleanly, and opens it here.
    ///
    /// # Errors
    /// [`ApiError`] if the other process refuses to end.
    pub(crate) async fn take_over(&self) -> Result<(), ApiError> {
        if let Ok(client) = Client::connect(&self.options.home).await {
            client.shutdown().await?;
        }
        self.enter(Phase::Opening).await;
        let patience = Instant::now() + TAKE_OVER_TIMEOUT;
        let mut phase = self.attempt().await;
        while phase != Phase::Open && Instant::now() < patience {
            sleep(TAKE_OVER_STEP).await;
            phase = self.attempt().await;
        }
        self.enter(phase).await;
        Ok(())
    }

    /// Ends the node cleanly; nothing happens if none is open.
    pub(crate) async fn close(&self) {
        let Some(Open { node, close_gateway, gateway }) = self.open.lock().await.take() else { return };
        // An error says that the gateway has closed already, because somebody asked over it.
        let _ = close_gateway.send(());
        if let Err(error) = gateway.await {
            tracing::error!(%error, "the local API did not end cleanly");
        }
        if let Err(error) = node.shutdown().await {
            tracing::error!(%error, "the node did not end cleanly");
        }
    }

    async fn attempt(&self) -> Phase {
        let mut open = self.open.lock().await;
        if open.is_some() {
            return Phase::Open;
        }
        match self.start().await {
            Ok(started) => {
                *open = Some(started);
                Phase::Open
            }
            Err(error) if Client::connect(&self.options.home).await.is_ok() => Phase::Held(error),
            Err(error) => Phase::Failed(error),
        }
    }

    async fn start(&self) -> Result<Open, ApiError> {
        let node = Node::open(self.options.clone()).await?;
        let gateway = Gateway::start(node.clone(), self.options.home.clone()).await.map_err(internal)?;
        self.pass_on_news(&node);
        let (close_gateway, closing) = oneshot::channel();
        let gateway = tokio::spawn(keep_gateway(gateway, closing, self.app.clone()));
        Ok(Open { node, close_gateway, gateway })
    }

    /// Sends the node's news to the window until the node ends. News that came too fast are replaced by a request to
    /// look again.
    fn pass_on_news(&self, node: &Node) {
        let (app, mut news) = (self.app.clone(), node.subscribe());
        tauri::async_runtime::spawn(async move {
            loop {
                let events = match news.recv().await {
                    Ok(event) => vec![event],
                    Err(RecvError::Lagged(_)) => vec![Event::FilesChanged, Event::StatusChanged],
                    Err(RecvError::Closed) => return,
                };
                for event in events {
                    notifications::tell(&app, &event);
                    News(event)
                        .emit(&app)
                        .unwrap_or_else(|error| tracing::warn!(%error, "the window was not told"));
                }
            }
        });
    }

    async fn enter(&self, phase: Phase) {
        *self.phase.write().await = phase.clone();
        phase.emit(&self.app).unwrap_or_else(|error| tracing::warn!(%error, "the window was not told"));
    }
}

/// Keeps the door open until this process ends it, or somebody asks over it that the node stop: then the app quits.
async fn keep_gateway(gateway: Gateway, closing: oneshot::Receiver<()>, app: AppHandle) {
    let asked = tokio::select! {
        () = gateway.stop_asked() => true,
        _ = closing => false,
    };
    gateway.close().await;
    if asked {
        window::quit_soon(&app);
    }
}

/// The app's one home.
pub(crate) fn home(app: &AppHandle) -> Arc<Home> {
    app.state::<Arc<Home>>().inner().clone()
}

fn not_open_yet() -> ApiError {
    ApiError {
        code: ErrorCode::Internal,
        message: "Hayloft is still starting. Try again in a moment.".into(),
    }
}

fn internal(error: impl std::fmt::Display) -> ApiError {
    ApiError { code: ErrorCode::Internal, message: error.to_string() }
}
