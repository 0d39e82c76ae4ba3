//! Event streams: what is there after the cursor, then whatever each ledger adds.
//!
//! Invariant: a stream holds no lock and no database connection while it waits, and ends when the server closes.

use std::{collections::VecDeque, sync::Arc};

use axum::{
    body::Body,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use futures::stream;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::{Problem, Shared, lists::List};
use crate::db::history::Page;

/// Records read at once.
const BATCH: i64 = 50;

/// Whether the request asks for a stream.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/event-stream"))
}

struct Open {
    shared: Arc<Shared>,
    list: List,
    page: Page,
    ledgers: watch::Receiver<u32>,
    ready: VecDeque<String>,
    ended: bool,
    _permit: OwnedSemaphorePermit,
}

/// Opens a stream. A client that was cut off says in `Last-Event-ID` what it saw last.
pub(super) fn open(
    shared: Arc<Shared>,
    list: List,
    page: Page,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let permit = Arc::clone(&shared.streams).try_acquire_owned();
    let permit = permit.map_err(|_| Problem::unavailable("Too many event streams are open."))?;
    let last =
        headers.get("last-event-id").and_then(|value| value.to_str().ok()).and_then(|id| id.parse().ok());
    let page = Page { cursor: last.unwrap_or(page.cursor), limit: BATCH, ..page };
    let hello = "retry: 1000\nevent: open\ndata: \"hello\"\n\n".to_owned();
    let ledgers = shared.engine.watch();
    let open =
        Open { shared, list, page, ledgers, ready: VecDeque::from([hello]), ended: false, _permit: permit };
    let events = stream::unfold(open, next);
    let kind =
        [(header::CONTENT_TYPE, "text/event-stream; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")];
    Ok((kind, Body::from_stream(events)).into_response())
}

async fn next(mut open: Open) -> Option<(Result<String, std::convert::Infallible>, Open)> {
    loop {
        if let Some(event) = open.ready.pop_front() {
            return Some((Ok(event), open));
        }
        if open.ended {
            return None;
        }
        open.ledgers.mark_unchanged();
        let goes_on = open.fill().await && (!open.ready.is_empty() || open.wait().await);
        if !goes_on {
            open.ended = true;
            open.ready.push_back("event: close\ndata: \"byebye\"\n\n".to_owned());
        }
    }
}

impl Open {
    /// Reads what came after the cursor. False when it cannot.
    async fn fill(&mut self) -> bool {
        let Ok(records) = self.list.page(&self.shared, self.page).await else { return false };
        for record in records {
            let id = record["paging_token"].as_str().unwrap_or_default();
            if let Ok(cursor) = id.parse() {
                self.page.cursor = cursor;
            }
            self.ready.push_back(format!("id: {id}\ndata: {record}\n\n"));
        }
        true
    }

    /// Waits for the next ledger. False when there will be none.
    async fn wait(&mut self) -> bool {
        tokio::select! {
            changed = self.ledgers.changed() => changed.is_ok(),
            () = self.shared.closing.cancelled() => false,
        }
    }
}
