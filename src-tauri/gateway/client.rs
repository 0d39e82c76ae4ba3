//! The calling side: the same methods as [`hayloft_node::Node`], over the loopback API of a node that runs on a home.
//!
//! Invariant: a failure of the connection itself also arrives as an [`ApiError`], so that a front end handles one kind of
//! error. Deliberately absent: starting a node. Whoever wants one running starts it.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt, TryStreamExt, stream};
use hayloft_node::Exported;
use hayloft_node::identity::NewIdentity;
use hayloft_node::model::{
    ApiError, AuditHistory, AuditReport, ErrorCode, Event, FarmSettings, FarmStatus, FileEntry, FileHealth,
    GetRequest, Job, JobReport, PutRequest, Quote, ReceiptWish, SendReport, SendRequest, SpendingLimits,
    Status, Wallet, WalletEntry,
};
use reqwest::{Method, RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::AsyncBufReadExt;
use tokio_util::io::StreamReader;

use crate::door::{ApiFile, DoorError};
use crate::routes::{Account, Begun, Leave, Made, Name, Names, Renewal, Secret};
use crate::server;

/// How long the first question to a door that may be stale waits.
const KNOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// News of a running node, until it stops or the connection breaks.
pub type Events = Pin<Box<dyn Stream<Item = Event> + Send>>;

/// A connection to the node that runs on a home.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
    pid: u32,
}

/// Why no node could be reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nothing runs on that home, or what ran there crashed and left its door file.
    #[error("no Hayloft node is running on {home}")]
    NotRunning {
        /// Which home.
        home: PathBuf,
    },
    /// Something listens where it should be, and says nothing.
    #[error(
        "nothing answers where the Hayloft node on {home} left word that it listens: if its process {pid} is running, try \
         again in a minute; if not, delete api.json there"
    )]
    DoesNotAnswer {
        /// Which home.
        home: PathBuf,
        /// Its process.
        pid: u32,
    },
    /// The door file is unreadable.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// This computer cannot even make a loopback request.
    #[error("the local API cannot be reached: {0}")]
    Http(#[source] reqwest::Error),
}

impl Client {
    /// Finds the node that runs on `home` and makes sure that it answers.
    pub async fn connect(home: &Path) -> Result<Self, ConnectError> {
        let missing = || ConnectError::NotRunning { home: home.to_owned() };
        let door = ApiFile::read(home)?.ok_or_else(missing)?;
        // Never through a proxy: the token must not leave this computer. Plain HTTP needs no certificates.
        let http =
            reqwest::Client::builder().no_proxy().tls_certs_only([]).pool_idle_timeout(server::HEAD / 2);
        let http = http.build().map_err(ConnectError::Http)?;
        let base = format!("http://127.0.0.1:{}/v1", door.port);
        let client = Self { http, base, token: door.token, pid: door.pid };
        let knock = client.request(Method::GET, "/status").timeout(KNOCK_TIMEOUT).send().await;
        match knock {
            // Another program took the port of a node that crashed: it does not know the token.
            Ok(answer) if answer.status().as_u16() == 401 || answer.status().as_u16() == 403 => {
                Err(missing())
            }
            Ok(answer) if is_api(&answer) => Ok(client),
            Ok(_) => Err(missing()),
            Err(error) if error.is_connect() => Err(missing()),
            Err(error) if error.is_timeout() => {
                Err(ConnectError::DoesNotAnswer { home: home.to_owned(), pid: client.pid })
            }
            Err(error) => Err(ConnectError::Http(error)),
        }
    }

    /// Process of the node.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What the node is and how it is connected.
    pub async fn status(&self) -> Result<Status, ApiError> {
        self.fetch("/status").await
    }

    /// Makes an identity and gives its recovery phrase, this once.
    pub async fn create_identity(&self, passphrase: &str, keychain: bool) -> Result<NewIdentity, ApiError> {
        let secret = Secret { passphrase: passphrase.to_owned().into(), keychain };
        let made: Made = self.post("/identity", &secret).await?;
        Ok(NewIdentity { owner: made.owner, words: made.words, protection: made.protection })
    }

    /// Unseals the seed.
    pub async fn unlock(&self, passphrase: &str) -> Result<(), ApiError> {
        self.post("/unlock", &Secret { passphrase: passphrase.to_owned().into(), keychain: false }).await
    }

    /// The farmer side.
    pub async fn farm_status(&self) -> Result<FarmStatus, ApiError> {
        self.fetch("/farm").await
    }

    /// Sets what is offered.
    pub async fn farm_set(&self, settings: FarmSettings) -> Result<FarmStatus, ApiError> {
        self.send(Method::PUT, "/farm", &settings).await
    }

    /// Begins to read everything kept for others again.
    pub async fn farm_scrub(&self) -> Result<FarmStatus, ApiError> {
        self.post("/farm/scrub", &()).await
    }

    /// Begins to leave as a farmer, or stays after all.
    pub async fn farm_leave(&self, leave: bool) -> Result<FarmStatus, ApiError> {
        self.post("/farm/leave", &Leave { leave }).await
    }

    /// Begins to repair a file; returns the job.
    pub async fn repair(&self, name: &str) -> Result<u32, ApiError> {
        self.post("/repair", &Name { name: name.to_owned() }).await.map(|begun: Begun| begun.job)
    }

    /// Audits a file's shards, or all, now.
    pub async fn audit(&self, name: Option<&str>) -> Result<AuditReport, ApiError> {
        self.post("/audit", &name.map(|name| Name { name: name.to_owned() })).await
    }

    /// What audits found so far.
    pub async fn audit_history(&self, name: Option<&str>) -> Result<AuditHistory, ApiError> {
        self.post("/audit/history", &name.map(|name| Name { name: name.to_owned() })).await
    }

    /// A receipt that shows everything by itself.
    pub async fn audit_export(&self, wish: &ReceiptWish) -> Result<Exported, ApiError> {
        self.post("/audit/export", wish).await
    }

    /// What a put would do.
    pub async fn quote(&self, request: PutRequest) -> Result<Quote, ApiError> {
        self.post("/quote", &request).await
    }

    /// Begins to store; returns the job.
    pub async fn put(&self, request: PutRequest) -> Result<u32, ApiError> {
        self.post("/put", &request).await.map(|begun: Begun| begun.job)
    }

    /// Begins to bring a file back; returns the job.
    pub async fn get(&self, request: GetRequest) -> Result<u32, ApiError> {
        self.post("/get", &request).await.map(|begun: Begun| begun.job)
    }

    /// All transfers known.
    pub async fn jobs(&self) -> Result<Vec<Job>, ApiError> {
        self.fetch("/jobs").await
    }

    /// One transfer.
    pub async fn job(&self, id: u32) -> Result<Job, ApiError> {
        self.fetch(&format!("/jobs/{id}")).await
    }

    /// What a transfer did; none while it is not done.
    pub async fn job_report(&self, id: u32) -> Result<Option<JobReport>, ApiError> {
        self.fetch(&format!("/jobs/{id}/report")).await
    }

    /// Pauses a transfer.
    pub async fn pause(&self, id: u32) -> Result<(), ApiError> {
        self.post(&format!("/jobs/{id}/pause"), &()).await
    }

    /// Goes on with a paused transfer.
    pub async fn resume(&self, id: u32) -> Result<(), ApiError> {
        self.post(&format!("/jobs/{id}/resume"), &()).await
    }

    /// Ends a transfer.
    pub async fn cancel(&self, id: u32) -> Result<(), ApiError> {
        self.post(&format!("/jobs/{id}/cancel"), &()).await
    }

    /// All stored files.
    pub async fn files(&self) -> Result<Vec<FileEntry>, ApiError> {
        self.fetch("/files").await
    }

    /// Removes files by name.
    pub async fn remove(&self, names: Vec<String>) -> Result<(), ApiError> {
        self.post("/remove", &Names { names }).await
    }

    /// Health of one file, asked of its farmers now.
    pub async fn health(&self, name: &str) -> Result<FileHealth, ApiError> {
        self.post("/health", &Name { name: name.to_owned() }).await
    }

    /// Keeps a file for longer, and by itself from now on or no more.
    pub async fn renew(
        &self,
        name: &str,
        keep_seconds: u64,
        auto: Option<bool>,
    ) -> Result<FileEntry, ApiError> {
        self.post("/renew", &Renewal { name: name.to_owned(), keep_seconds, auto }).await
    }

    /// The wallet.
    pub async fn wallet(&self) -> Result<Wallet, ApiError> {
        self.fetch("/wallet").await
    }

    /// What happened to the wallet, the newest first.
    pub async fn wallet_history(&self) -> Result<Vec<WalletEntry>, ApiError> {
        self.fetch("/wallet/history").await
    }

    /// All that happened to the wallet, as comma-separated values.
    pub async fn wallet_export(&self) -> Result<String, ApiError> {
        self.fetch("/wallet/export").await
    }

    /// Has the wallet's account created.
    pub async fn wallet_fund(&self) -> Result<Wallet, ApiError> {
        self.post("/wallet/fund", &()).await
    }

    /// Sends lumens.
    pub async fn wallet_send(&self, request: &SendRequest) -> Result<SendReport, ApiError> {
        self.post("/wallet/send", request).await
    }

    /// Makes an account that exists already the wallet; gives its address.
    pub async fn wallet_import(&self, secret: &str) -> Result<String, ApiError> {
        self.post("/wallet/import", &Account { secret: secret.to_owned().into() }).await
    }

    /// Sets what may be spent.
    pub async fn wallet_limits(&self, limits: SpendingLimits) -> Result<SpendingLimits, ApiError> {
        self.send(Method::PUT, "/wallet/limits", &limits).await
    }

    /// Asks the node to stop.
    pub async fn shutdown(&self) -> Result<(), ApiError> {
        self.post("/shutdown", &()).await
    }

    /// News from now on. Lines that are not news (keep-alives) are passed over.
    pub async fn events(&self) -> Result<Events, ApiError> {
        let answer = self.request(Method::GET, "/events").send().await.map_err(|error| gone(&error))?;
        if !answer.status().is_success() {
            return Err(refusal(answer).await);
        }
        let bytes = answer.bytes_stream().map_err(std::io::Error::other);
        let lines = StreamReader::new(bytes).lines();
        let news = stream::unfold(lines, |mut lines| async move {
            loop {
                let line = lines.next_line().await.ok()??;
                let event = line.strip_prefix("data:").and_then(|json| serde_json::from_str(json).ok());
                if let Some(event) = event {
                    return Some((event, lines));
                }
            }
        });
        Ok(news.boxed())
    }

    async fn fetch<T: DeserializeOwned>(&self, route: &str) -> Result<T, ApiError> {
        decode(self.request(Method::GET, route)).await
    }

    async fn post<T: DeserializeOwned>(&self, route: &str, body: &impl Serialize) -> Result<T, ApiError> {
        self.send(Method::POST, route, body).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        route: &str,
        body: &impl Serialize,
    ) -> Result<T, ApiError> {
        // Encoded here rather than by reqwest, so that a path that is not Unicode is told in a sentence.
        let body = serde_json::to_vec(body).map_err(|error| ApiError {
            code: ErrorCode::BadRequest,
            message: format!("This cannot be sent to the node: {error}."),
        })?;
        let request = self.request(method, route).header("content-type", "application/json");
        decode(request.body(body)).await
    }

    fn request(&self, method: Method, route: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{route}", self.base)).bearer_auth(&self.token)
    }
}

async fn decode<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, ApiError> {
    let answer = request.send().await.map_err(|error| gone(&error))?;
    if answer.status().is_success() {
        answer.json().await.map_err(|error| gone(&error))
    } else {
        Err(refusal(answer).await)
    }
}

async fn refusal(answer: Response) -> ApiError {
    let status = answer.status();
    answer.json().await.unwrap_or_else(|_| ApiError {
        code: ErrorCode::Internal,
        message: format!("The node answered with status {status} and no reason."),
    })
}

fn is_api(answer: &Response) -> bool {
    let kind = answer.headers().get("content-type").and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("application/json"))
}

fn gone(error: &reqwest::Error) -> ApiError {
    let message = if error.is_connect() {
        "The node has stopped. Start it again and repeat the command.".to_owned()
    } else {
        format!("The node broke off in the middle of its answer: {error}.")
    };
    ApiError { code: ErrorCode::Internal, message }
}
