//! One question and its answer, both bounded.

use std::time::Duration;

use reqwest::{RequestBuilder, StatusCode, Url, header::RETRY_AFTER};
use serde::{Deserialize, de::DeserializeOwned};

use super::{Horizon, HorizonError};

/// Characters of a refusal's words that are passed on.
const TITLE_CHARS: usize = 120;
/// Longest pause that a server can ask for.
const MAX_RETRY_SECONDS: u64 = 3600;

/// An answer, read whole.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
    retry_seconds: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Problem {
    title: String,
}

impl Answer {
    /// What a status that is no success means.
    pub(super) fn refusal(&self) -> HorizonError {
        match self.status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                HorizonError::Busy { retry_seconds: self.retry_seconds }
            }
            StatusCode::GATEWAY_TIMEOUT => HorizonError::Silent,
            status => {
                let problem: Problem = serde_json::from_slice(&self.body).unwrap_or_default();
                HorizonError::Refused { status: status.as_u16(), title: plain(&problem.title) }
            }
        }
    }
}

/// A stranger's words as one short line.
fn plain(text: &str) -> String {
    text.chars().filter(|sign| !sign.is_control()).take(TITLE_CHARS).collect()
}

/// The record that an answer holds.
pub(super) fn record<T: DeserializeOwned>(body: &[u8], what: &'static str) -> Result<T, HorizonError> {
    serde_json::from_slice(body).map_err(|_| HorizonError::Rubbish { what })
}

impl Horizon {
    pub(super) fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Asks, and reads the answer whole within the limits.
    pub(super) async fn exchange(
        &self,
        request: RequestBuilder,
        patience: Duration,
    ) -> Result<Answer, HorizonError> {
        let limit = self.limits.body_bytes;
        let whole = async {
            let mut response = request.send().await?;
            let header = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            let retry_seconds =
                header.and_then(|text| text.parse().ok()).map(|s: u64| s.min(MAX_RETRY_SECONDS));
            let mut body = Vec::new();
            while let Some(part) = response.chunk().await? {
                if body.len() + part.len() > limit {
                    return Err(HorizonError::TooLong { limit_bytes: limit });
                }
                body.extend_from_slice(&part);
            }
            Ok(Answer { status: response.status(), body, retry_seconds })
        };
        tokio::time::timeout(patience, whole).await.unwrap_or(Err(HorizonError::Silent))
    }

    async fn ask(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Answer, HorizonError> {
        self.exchange(self.http.get(self.url(path, query)), self.limits.answer).await
    }

    /// The body of an answer that is a success.
    pub(super) async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Vec<u8>, HorizonError> {
        let answer = self.ask(path, query).await?;
        if answer.status.is_success() { Ok(answer.body) } else { Err(answer.refusal()) }
    }

    /// One record; none if there is no such thing.
    pub(super) async fn find<T: DeserializeOwned>(
        &self,
        path: &[&str],
        what: &'static str,
    ) -> Result<Option<T>, HorizonError> {
        let answer = self.ask(path, &[]).await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => record(&answer.body, what).map(Some),
            _ => Err(answer.refusal()),
        }
    }
}
