//! Event streams (server-sent events): reconnected whenever they break or fall silent, and gone on with where they were.
//!
//! Invariant: each record is told once and in order, however often the connection breaks and whatever the server repeats.

use std::{collections::VecDeque, marker::PhantomData, time::Duration};

use reqwest::{Response, header};
use tokio::time::timeout;

use super::{Cursor, Horizon, HorizonError, Order, http, list::Listing};

const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Records as they come. [`Events::next`] never ends: it tells what went wrong and goes on when called again.
pub struct Events<T> {
    horizon: Horizon,
    path: Vec<String>,
    place: Cursor,
    connection: Option<Response>,
    parser: Parser,
    /// Pause before the next connection; none while all is well.
    pause: Option<Duration>,
    kind: PhantomData<T>,
}

#[allow(private_bounds, reason = "how a record is read is this module's own affair")]
impl<T: Listing> Events<T> {
    pub(super) fn new(horizon: Horizon, path: Vec<String>, place: Cursor) -> Self {
        let parser = Parser::new(horizon.limits.event_bytes);
        Self { horizon, path, place, connection: None, parser, pause: None, kind: PhantomData }
    }

    /// Where the stream is: after everything that it told.
    pub fn place(&self) -> &Cursor {
        &self.place
    }

    /// The next record. Loses nothing when it is dropped before it is done.
    ///
    /// # Errors
    /// [`HorizonError`] each time a connection cannot be made or breaks; the next call waits a little and tries again.
    pub async fn next(&mut self) -> Result<T, HorizonError> {
        loop {
            while let Some(event) = self.parser.ready.pop_front() {
                if let Some(record) = self.take(&event)? {
                    return Ok(record);
                }
            }
            if let Err(error) = self.read_on().await {
                self.break_off();
                return Err(error);
            }
        }
    }

    fn break_off(&mut self) {
        self.connection = None;
        self.parser = Parser::new(self.horizon.limits.event_bytes);
        let doubled = self.pause.map_or(self.horizon.limits.reconnect, |pause| pause.saturating_mul(2));
        self.pause = Some(doubled.min(LONGEST_PAUSE));
    }

    /// A record that was told already is passed over: servers begin again where they like.
    fn take(&mut self, event: &Event) -> Result<Option<T>, HorizonError> {
        if event.kind != "message" {
            return Ok(None);
        }
        let record = http::record(event.data.as_bytes(), T::WHAT).and_then(T::read);
        let record = record.inspect_err(|_| self.break_off())?;
        if !self.place.precedes(record.token(), Order::OldestFirst) {
            return Ok(None);
        }
        self.place = Cursor::After(record.token().to_owned());
        self.pause = None;
        Ok(Some(record))
    }

    async fn read_on(&mut self) -> Result<(), HorizonError> {
        let idle = self.horizon.limits.idle;
        if self.connection.is_none() {
            if let Some(pause) = self.pause {
                tokio::time::sleep(pause).await;
            }
            let opened = timeout(idle, open(&self.horizon, &self.path, &self.place)).await;
            self.connection = Some(opened.unwrap_or(Err(HorizonError::Silent))?);
        }
        let Some(connection) = &mut self.connection else { return Ok(()) };
        match timeout(idle, connection.chunk()).await {
            Err(_) => Err(HorizonError::Silent),
            Ok(Err(error)) => Err(error.into()),
            Ok(Ok(Some(part))) => self.parser.push(&part),
            // Horizon ends each stream after a while.
            Ok(Ok(None)) => {
                self.connection = None;
                self.parser.begin_again();
                self.pause = Some(self.pause.unwrap_or(self.horizon.limits.reconnect));
                Ok(())
            }
        }
    }
}

async fn open(horizon: &Horizon, path: &[String], place: &Cursor) -> Result<Response, HorizonError> {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let query: Vec<(&str, &str)> = place.text().map(|text| ("cursor", text)).into_iter().collect();
    let request = horizon.http.get(horizon.url(&path, &query)).header(header::ACCEPT, "text/event-stream");
    let response = request.send().await?;
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    match response.status() {
        status if status.as_u16() == 429 || status.as_u16() == 503 => {
            Err(HorizonError::Busy { retry_seconds: None })
        }
        status if !status.is_success() => {
            Err(HorizonError::Refused { status: status.as_u16(), title: String::new() })
        }
        _ if !kind.is_some_and(|kind| kind.starts_with("text/event-stream")) => {
            Err(HorizonError::Rubbish { what: "event stream" })
        }
        _ => Ok(response),
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Event {
    kind: String,
    data: String,
}

/// Cuts bytes into events, holding at most the limit of an unfinished one.
struct Parser {
    line: Vec<u8>,
    event: Event,
    ready: VecDeque<Event>,
    limit: usize,
}

impl Parser {
    fn new(limit: usize) -> Self {
        Self { line: Vec::new(), event: Event::default(), ready: VecDeque::new(), limit }
    }

    /// Forgets an unfinished event.
    fn begin_again(&mut self) {
        self.line.clear();
        self.event = Event::default();
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), HorizonError> {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.line.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            self.end_line()?;
        }
        self.line.extend_from_slice(rest);
        self.bounded()
    }

    fn bounded(&self) -> Result<(), HorizonError> {
        let held = self.line.len() + self.event.data.len() + self.event.kind.len();
        if held > self.limit { Err(HorizonError::TooLong { limit_bytes: self.limit }) } else { Ok(()) }
    }

    fn end_line(&mut self) -> Result<(), HorizonError> {
        self.bounded()?;
        let line = std::mem::take(&mut self.line);
        let line = std::str::from_utf8(&line).map_err(|_| HorizonError::Rubbish { what: "event stream" })?;
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            let mut event = std::mem::take(&mut self.event);
            if !event.data.is_empty() {
                if event.kind.is_empty() {
                    event.kind = "message".to_owned();
                }
                self.ready.push_back(event);
            }
            return Ok(());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.event.kind = value.to_owned(),
            "data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            // Records carry their place themselves; how soon to come back is decided here; the rest is comment.
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events(parts: &[&[u8]]) -> Result<Vec<(String, String)>, HorizonError> {
        let mut parser = Parser::new(64);
        for part in parts {
            parser.push(part)?;
        }
        Ok(parser.ready.into_iter().map(|event| (event.kind, event.data)).collect())
    }

    proptest! {
        #[test]
        fn events_are_the_same_however_they_are_cut(cut in 0usize..52) {
            let text = b"retry: 1000\nevent: open\ndata: \"hello\"\n\nid: 5\r\ndata:{}\r\n\r\n";
            let (left, right) = text.split_at(cut.min(text.len()));
            let told = events(&[left, right]).unwrap();
            let expected = [("open", "\"hello\""), ("message", "{}")];
            prop_assert!(told.iter().map(|(kind, data)| (&**kind, &**data)).eq(expected));
        }

        #[test]
        fn any_bytes_are_events_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = events(&[&bytes]);
        }
    }

    #[test]
    fn an_event_or_a_line_without_end_is_refused() {
        assert!(matches!(events(&[&[b'a'; 65]]), Err(HorizonError::TooLong { .. })));
        let line = [b"data: ".as_slice(), &[b'a'; 50], b"\n"].concat();
        assert!(matches!(events(&[&line, &line]), Err(HorizonError::TooLong { .. })));
        assert!(matches!(events(&[b"data: \xff\n"]), Err(HorizonError::Rubbish { .. })));
    }
}
