//! A running ledger: its folder, its socket, and the clock that closes it.
//!
//! Invariant: one process per folder, held by a lock file; when [`Ledger::shutdown`] returns, the socket and the database
//! are closed and everything that was answered is on the disk.

use std::{
    fs::{File, TryLockError},
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::TcpListener,
    sync::Semaphore,
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use crate::{
    db::DatabaseError,
    engine::Engine,
    http::{Shared, router},
};

/// Most event streams at once.
const MAX_STREAMS: usize = 1000;
/// How long requests under way may take to finish once the ledger shuts down.
const CLOSING_GRACE: Duration = Duration::from_secs(3);

/// When ledgers close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// Each time this much has passed.
    Every(Duration),
    /// When [`Ledger::close_ledger`] is called.
    ByHand,
}

/// How a ledger is started.
#[derive(Debug, Clone)]
pub struct LedgerOptions {
    /// Folder of its database; made if missing.
    pub home: PathBuf,
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// When its ledgers close.
    pub closing: Closing,
}

impl LedgerOptions {
    /// On a free loopback port, closing every second as people expect of it.
    pub fn new(home: PathBuf) -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { home, listen, closing: Closing::Every(Duration::from_secs(1)) }
    }
}

/// Why a ledger cannot run.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Its folder cannot be used.
    #[error("the ledger's folder {folder} cannot be used: {cause}")]
    Folder {
        /// Which folder.
        folder: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Another process has it.
    #[error("another ledger runs in {folder}")]
    Busy {
        /// Which folder.
        folder: PathBuf,
    },
    /// No socket.
    #[error("the ledger cannot listen on {address}: {cause}")]
    Listen {
        /// Where it should have listened.
        address: SocketAddr,
        /// What the system said.
        cause: io::Error,
    },
    /// Its database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// A running ledger.
pub struct Ledger {
    engine: Arc<Engine>,
    url: String,
    closing: CancellationToken,
    server: Option<JoinHandle<io::Result<()>>>,
    clock: Option<JoinHandle<()>>,
    _lock: File,
}

impl Ledger {
    /// Opens the folder, founding a new network in an empty one, and serves it.
    ///
    /// # Errors
    /// [`LedgerError`]; nothing that was stored is lost by it.
    pub async fn start(options: LedgerOptions) -> Result<Self, LedgerError> {
        let lock = lock(&options.home)?;
        let strict_times =
            matches!(options.closing, Closing::Every(pause) if pause >= Duration::from_secs(1));
        let engine = Arc::new(Engine::open(&options.home, strict_times).await?);
        let address = options.listen;
        let failed = |cause| LedgerError::Listen { address, cause };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let url = format!("http://{}", listener.local_addr().map_err(failed)?);
        let closing = CancellationToken::new();
        let shared = Shared {
            engine: Arc::clone(&engine),
            url: url.clone(),
            closing: closing.clone(),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
        };
        let server = axum::serve(listener, router(Arc::new(shared)))
            .with_graceful_shutdown(closing.clone().cancelled_owned());
        let clock = match options.closing {
            Closing::ByHand => None,
            Closing::Every(pause) => Some(tokio::spawn(tick(Arc::clone(&engine), pause, closing.clone()))),
        };
        let server = Some(tokio::spawn(server.into_future()));
        Ok(Self { engine, url, closing, server, clock, _lock: lock })
    }

    /// Where it is reached, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What makes signatures for this network valid on no other.
    pub fn passphrase(&self) -> &str {
        &self.engine.passphrase
    }

    /// Closes a ledger now and returns its number.
    ///
    /// # Errors
    /// The database's; the ledger is not closed then, and those who waited for it are told to try again.
    pub async fn close_ledger(&self) -> Result<u32, DatabaseError> {
        self.engine.close().await
    }

    /// Makes the ledger's clock stand at this Unix second, or follow the system's again. Close times never go back.
    pub fn set_time(&self, seconds: Option<u64>) {
        self.engine.set_time(seconds);
    }

    /// The number and close time of the newest ledger.
    pub fn newest(&self) -> (u32, u64) {
        let state = self.engine.state();
        (state.header().ledger_seq, state.close_time())
    }

    /// Returns once at least this many transactions wait for the next ledger: what a test that closes by hand needs to
    /// know.
    pub async fn until_waiting(&self, count: usize) {
        self.engine.until_waiting(count).await;
    }

    /// How many transactions wait for the next ledger.
    pub fn waiting(&self) -> usize {
        self.engine.waiting()
    }

    /// Finishes requests under way within a few seconds, and closes socket and database.
    pub async fn shutdown(mut self) {
        self.closing.cancel();
        if let Some(clock) = self.clock.take() {
            // It ends between two ledgers.
            let _ = clock.await;
        }
        self.engine.refuse_waiting();
        if let Some(mut server) = self.server.take()
            && tokio::time::timeout(CLOSING_GRACE, &mut server).await.is_err()
        {
            server.abort();
        }
        self.engine.db.close().await;
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

fn lock(home: &PathBuf) -> Result<File, LedgerError> {
    let failed = |cause| LedgerError::Folder { folder: home.clone(), cause };
    std::fs::create_dir_all(home).map_err(failed)?;
    let file = File::create(home.join("ledger.lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LedgerError::Busy { folder: home.clone() }),
        Err(TryLockError::Error(cause)) => Err(failed(cause)),
    }
}

async fn tick(engine: Arc<Engine>, pause: Duration, closing: CancellationToken) {
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = closing.cancelled() => return,
        }
        if let Err(error) = engine.close().await {
            tracing::error!(%error, "a ledger could not be closed; trying again");
        }
    }
}
