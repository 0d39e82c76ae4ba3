//! The routes: decode, one call into the node, encode. Errors leave as [`ApiError`] in JSON with a fitting status.
//!
//! | route | node method |
//! |---|---|
//! | `GET /v1/status` | `status` |
//! | `POST /v1/identity`, `POST /v1/unlock` | `create_identity`, `unlock` |
//! | `GET /v1/farm`, `PUT /v1/farm`, `POST /v1/farm/scrub` | `farm_status`, `farm_set`, `farm_scrub` |
//! | `POST /v1/farm/leave` | `farm_leave` |
//! | `POST /v1/quote`, `POST /v1/put`, `POST /v1/get` | `quote`, `put`, `get` |
//! | `GET /v1/jobs`, `GET /v1/jobs/{id}`, `GET /v1/jobs/{id}/report` | `jobs`, `job`, `job_report` |
//! | `POST /v1/jobs/{id}/pause`, `…/resume`, `…/cancel` | `pause`, `resume`, `cancel` |
//! | `GET /v1/files`, `POST /v1/remove`, `POST /v1/health`, `POST /v1/renew` | `files`, `remove`, `health`, `renew` |
//! | `POST /v1/repair` | `repair` |
//! | `POST /v1/audit`, `POST /v1/audit/history`, `POST /v1/audit/export` | `audit`, `audit_history`, `audit_export` |
//! | `GET /v1/wallet`, `GET /v1/wallet/history`, `GET /v1/wallet/export` | `wallet`, `wallet_history`, `wallet_export` |
//! | `POST /v1/wallet/fund`, `…/send`, `…/import`, `PUT /v1/wallet/limits` | `wallet_fund`, `wallet_send`, `wallet_import`, `wallet_limits` |
//! | `GET /v1/events` | `subscribe`, as server-sent events |
//! | `POST /v1/shutdown` | asks the process to stop the node |

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header, request::Parts};
use axum::middleware::{self, Next};
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put as put_route};
use axum::{Json, Router};
use futures::{Stream, StreamExt, stream};
use hayloft_node::Exported;
use hayloft_node::Node;
use hayloft_node::identity::NewIdentity;
use hayloft_node::model::{
    ApiError, AuditHistory, AuditReport, ErrorCode, Event, FarmSettings, FarmStatus, FileEntry, FileHealth,
    GetRequest, Job, JobReport, Protection, PutRequest, Quote, ReceiptWish, SendReport, SendRequest,
    SpendingLimits, Status, Wallet, WalletEntry,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::callers::Introduction;
use crate::door::ApiFile;

/// Largest request body: room for some ten thousand paths.
const BODY_LIMIT_BYTES: usize = 4 << 20;

/// What every route sees.
pub(crate) struct Shared {
    node: Node,
    bearer: String,
    hosts: [String; 2],
    closing: CancellationToken,
    stop_asked: CancellationToken,
}

type App = State<Arc<Shared>>;
type Answer<T> = Result<Json<T>, Refusal>;

/// Body of `POST /v1/identity` and `POST /v1/unlock`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Secret {
    pub(crate) passphrase: Zeroizing<String>,
    #[serde(default)]
    pub(crate) keychain: bool,
}

/// Answer to `POST /v1/identity`: the recovery phrase, this once.
#[derive(Serialize, Deserialize)]
pub(crate) struct Made {
    pub(crate) owner: String,
    pub(crate) words: Zeroizing<String>,
    pub(crate) protection: Protection,
}

/// Body of `POST /v1/remove`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Names {
    pub(crate) names: Vec<String>,
}

/// Body of `POST /v1/health` and `POST /v1/repair`; or null, of `POST /v1/audit` and `POST /v1/audit/history`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Name {
    pub(crate) name: String,
}

/// Body of `POST /v1/wallet/import`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) secret: Zeroizing<String>,
}

/// Body of `POST /v1/farm/leave`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Leave {
    pub(crate) leave: bool,
}

/// Body of `POST /v1/renew`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Renewal {
    pub(crate) name: String,
    pub(crate) keep_seconds: u64,
    pub(crate) auto: Option<bool>,
}

/// Answer to `POST /v1/put`, `POST /v1/get` and `POST /v1/repair`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Begun {
    pub(crate) job: u32,
}

impl Shared {
    pub(crate) fn new(
        node: Node,
        door: &ApiFile,
        closing: CancellationToken,
        stop_asked: CancellationToken,
    ) -> Self {
        let hosts = [format!("127.0.0.1:{}", door.port), format!("localhost:{}", door.port)];
        Self { node, bearer: format!("Bearer {}", door.token), hosts, closing, stop_asked }
    }

    /// Refuses a request that a web page or another user could have sent.
    fn admit(&self, headers: &HeaderMap) -> Result<(), (StatusCode, &'static str)> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !self.hosts.iter().any(|host| host == text(header::HOST)) {
            return Err((StatusCode::FORBIDDEN, "This API answers only to its own loopback address."));
        }
        let token = text(header::AUTHORIZATION);
        if bool::from(self.bearer.as_bytes().ct_eq(token.as_bytes())) {
            Ok(())
        } else {
            Err((
                StatusCode::UNAUTHORIZED,
                "This API needs the token that the running node left in its home.",
            ))
        }
    }
}

/// All routes, behind the token and the host check.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/identity", post(create_identity))
        .route("/v1/unlock", post(unlock))
        .route("/v1/farm", get(farm_status).put(farm_set))
        .route("/v1/farm/scrub", post(farm_scrub))
        .route("/v1/farm/leave", post(farm_leave))
        .route("/v1/quote", post(quote))
        .route("/v1/put", post(put))
        .route("/v1/get", post(bring))
        .route("/v1/jobs", get(jobs))
        .route("/v1/jobs/{id}", get(job))
        .route("/v1/jobs/{id}/report", get(job_report))
        .route("/v1/jobs/{id}/pause", post(pause))
        .route("/v1/jobs/{id}/resume", post(resume))
        .route("/v1/jobs/{id}/cancel", post(cancel))
        .route("/v1/files", get(files))
        .route("/v1/remove", post(remove))
        .route("/v1/health", post(health))
        .route("/v1/repair", post(repair))
        .route("/v1/renew", post(renew))
        .route("/v1/audit", post(audit))
        .route("/v1/audit/history", post(audit_history))
        .route("/v1/audit/export", post(audit_export))
        .route("/v1/wallet", get(wallet))
        .route("/v1/wallet/history", get(wallet_history))
        .route("/v1/wallet/export", get(wallet_export))
        .route("/v1/wallet/fund", post(wallet_fund))
        .route("/v1/wallet/send", post(wallet_send))
        .route("/v1/wallet/import", post(wallet_import))
        .route("/v1/wallet/limits", put_route(wallet_limits))
        .route("/v1/events", get(events))
        .route("/v1/shutdown", post(shutdown))
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_route)
        .layer(DefaultBodyLimit::max(BODY_LIMIT_BYTES))
        .layer(middleware::from_fn_with_state(shared.clone(), guard))
        .with_state(shared)
}

async fn guard(State(shared): App, request: Request, next: Next) -> Response {
    match shared.admit(request.headers()) {
        Ok(()) => {
            let introduction = request.extensions().get::<Introduction>();
            match introduction.is_none_or(Introduction::is_known) {
                true => next.run(request).await,
                false => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            }
        }
        Err((status, sentence)) => (status, Json(bad_request(sentence))).into_response(),
    }
}

async fn no_such_route() -> Refusal {
    Refusal(ApiError { code: ErrorCode::NotFound, message: "There is no such route in this API.".into() })
}

async fn status(State(shared): App) -> Answer<Status> {
    answer(shared.node.status().await)
}

async fn create_identity(State(shared): App, Body(secret): Body<Secret>) -> Answer<Made> {
    let made = shared.node.create_identity(&secret.passphrase, secret.keychain).await;
    answer(made.map(|NewIdentity { owner, words, protection }| Made { owner, words, protection }))
}

async fn unlock(State(shared): App, Body(secret): Body<Secret>) -> Answer<()> {
    answer(shared.node.unlock(&secret.passphrase).await)
}

async fn farm_status(State(shared): App) -> Answer<FarmStatus> {
    answer(shared.node.farm_status().await)
}

async fn farm_set(State(shared): App, Body(settings): Body<FarmSettings>) -> Answer<FarmStatus> {
    answer(shared.node.farm_set(settings).await)
}

async fn farm_scrub(State(shared): App) -> Answer<FarmStatus> {
    answer(shared.node.farm_scrub().await)
}

async fn farm_leave(State(shared): App, Body(wish): Body<Leave>) -> Answer<FarmStatus> {
    answer(shared.node.farm_leave(wish.leave).await)
}

async fn quote(State(shared): App, Body(request): Body<PutRequest>) -> Answer<Quote> {
    answer(shared.node.quote(request).await)
}

async fn put(State(shared): App, Body(request): Body<PutRequest>) -> Answer<Begun> {
    answer(shared.node.put(request).await.map(|job| Begun { job }))
}

async fn bring(State(shared): App, Body(request): Body<GetRequest>) -> Answer<Begun> {
    answer(shared.node.get(request).await.map(|job| Begun { job }))
}

async fn jobs(State(shared): App) -> Answer<Vec<Job>> {
    answer(shared.node.jobs().await)
}

async fn job(State(shared): App, JobNumber(id): JobNumber) -> Answer<Job> {
    answer(shared.node.job(id).await)
}

async fn job_report(State(shared): App, JobNumber(id): JobNumber) -> Answer<Option<JobReport>> {
    answer(shared.node.job_report(id).await)
}

async fn pause(State(shared): App, JobNumber(id): JobNumber) -> Answer<()> {
    answer(shared.node.pause(id).await)
}

async fn resume(State(shared): App, JobNumber(id): JobNumber) -> Answer<()> {
    answer(shared.node.resume(id).await)
}

async fn cancel(State(shared): App, JobNumber(id): JobNumber) -> Answer<()> {
    answer(shared.node.cancel(id).await)
}

async fn files(State(shared): App) -> Answer<Vec<FileEntry>> {
    answer(shared.node.files().await)
}

async fn remove(State(shared): App, Body(names): Body<Names>) -> Answer<()> {
    answer(shared.node.remove(names.names).await)
}

async fn health(State(shared): App, Body(name): Body<Name>) -> Answer<FileHealth> {
    answer(shared.node.health(&name.name).await)
}

async fn repair(State(shared): App, Body(name): Body<Name>) -> Answer<Begun> {
    answer(shared.node.repair(&name.name).await.map(|job| Begun { job }))
}

async fn renew(State(shared): App, Body(renewal): Body<Renewal>) -> Answer<FileEntry> {
    answer(shared.node.renew(&renewal.name, renewal.keep_seconds, renewal.auto).await)
}

async fn audit(State(shared): App, Body(name): Body<Option<Name>>) -> Answer<AuditReport> {
    answer(shared.node.audit(name.map(|name| name.name)).await)
}

async fn audit_history(State(shared): App, Body(name): Body<Option<Name>>) -> Answer<AuditHistory> {
    answer(shared.node.audit_history(name.map(|name| name.name)).await)
}

async fn audit_export(State(shared): App, Body(wish): Body<ReceiptWish>) -> Answer<Exported> {
    answer(shared.node.audit_export(wish).await)
}

async fn wallet(State(shared): App) -> Answer<Wallet> {
    answer(shared.node.wallet().await)
}

async fn wallet_history(State(shared): App) -> Answer<Vec<WalletEntry>> {
    answer(shared.node.wallet_history().await)
}

async fn wallet_export(State(shared): App) -> Answer<String> {
    answer(shared.node.wallet_export().await)
}

async fn wallet_fund(State(shared): App) -> Answer<Wallet> {
    answer(shared.node.wallet_fund().await)
}

async fn wallet_send(State(shared): App, Body(request): Body<SendRequest>) -> Answer<SendReport> {
    answer(shared.node.wallet_send(&request).await)
}

async fn wallet_import(State(shared): App, Body(account): Body<Account>) -> Answer<String> {
    answer(shared.node.wallet_import(&account.secret).await)
}

async fn wallet_limits(State(shared): App, Body(limits): Body<SpendingLimits>) -> Answer<SpendingLimits> {
    answer(shared.node.wallet_limits(limits).await)
}

async fn shutdown(State(shared): App) -> Answer<()> {
    shared.stop_asked.cancel();
    Ok(Json(()))
}

async fn events(
    State(shared): App,
) -> Sse<impl Stream<Item = Result<axum::response::sse::Event, axum::Error>> + use<>> {
    let news = news(shared.node.subscribe()).take_until(shared.closing.clone().cancelled_owned());
    Sse::new(news.map(|event| axum::response::sse::Event::default().json_data(event)))
        .keep_alive(KeepAlive::default())
}

/// The node's news as a stream. A reader who fell behind is told to ask for everything again.
fn news(receiver: Receiver<Event>) -> impl Stream<Item = Event> {
    let batches = stream::unfold(receiver, |mut receiver| async move {
        match receiver.recv().await {
            Ok(event) => Some((vec![event], receiver)),
            Err(RecvError::Lagged(_)) => Some((vec![Event::FilesChanged, Event::StatusChanged], receiver)),
            Err(RecvError::Closed) => None,
        }
    });
    batches.flat_map(stream::iter)
}

/// A JSON body whose faults are told as an [`ApiError`] too.
struct Body<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(value)) => Ok(Self(value)),
            Err(fault) => Err(Refusal(bad_request(&fault.body_text()))),
        }
    }
}

/// A job's number in a path, whose faults are told as an [`ApiError`] too.
struct JobNumber(u32);

impl<S: Send + Sync> FromRequestParts<S> for JobNumber {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Path::<u32>::from_request_parts(parts, state).await {
            Ok(Path(number)) => Ok(Self(number)),
            Err(fault) => Err(Refusal(bad_request(&fault.body_text()))),
        }
    }
}

/// An [`ApiError`] on its way out.
struct Refusal(ApiError);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (status_of(self.0.code), Json(self.0)).into_response()
    }
}

fn answer<T>(result: Result<T, ApiError>) -> Answer<T> {
    result.map(Json).map_err(Refusal)
}

fn bad_request(sentence: &str) -> ApiError {
    ApiError { code: ErrorCode::BadRequest, message: sentence.to_owned() }
}

fn status_of(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::BadRequest => StatusCode::BAD_REQUEST,
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::Exists | ErrorCode::NoIdentity | ErrorCode::Cancelled => StatusCode::CONFLICT,
        ErrorCode::Locked => StatusCode::LOCKED,
        ErrorCode::NotEnoughFarmers | ErrorCode::Ledger => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::Money => StatusCode::PAYMENT_REQUIRED,
        ErrorCode::Disk => StatusCode::INSUFFICIENT_STORAGE,
        ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
