//! Lists, page by page. A page goes on where the one before ended, and never back, whatever the server says.

use std::collections::HashSet;

use serde::{Deserialize, de::DeserializeOwned};

use super::{HorizonError, http};

/// Most records of a page.
pub const MAX_LIMIT: usize = 200;
const MAX_CURSOR_BYTES: usize = 128;

/// A place in a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Cursor {
    /// Before everything, in the order that is asked for.
    #[default]
    Start,
    /// After what there is now: for streams.
    Now,
    /// After the record with this token.
    After(String),
}

/// In which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Oldest first.
    #[default]
    OldestFirst,
    /// Newest first.
    NewestFirst,
}

/// Which part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// After what.
    pub cursor: Cursor,
    /// In which order.
    pub order: Order,
    /// Records at most, up to [`MAX_LIMIT`].
    pub limit: usize,
}

impl Default for Page {
    fn default() -> Self {
        Self { cursor: Cursor::Start, order: Order::OldestFirst, limit: MAX_LIMIT }
    }
}

impl Page {
    /// The page after one that ended with this record; none if it was not full, and so the last.
    pub fn after<T: HasToken>(&self, records: &[T]) -> Option<Self> {
        let last = records.last().filter(|_| records.len() >= self.limit)?;
        Some(Self { cursor: Cursor::After(last.token().to_owned()), ..self.clone() })
    }

    pub(super) fn query(&self) -> Vec<(String, String)> {
        let order = match self.order {
            Order::OldestFirst => "asc",
            Order::NewestFirst => "desc",
        };
        let limit = self.limit.clamp(1, MAX_LIMIT).to_string();
        let mut query = vec![("order".to_owned(), order.to_owned()), ("limit".to_owned(), limit)];
        if let Some(cursor) = self.cursor.text() {
            query.push(("cursor".to_owned(), cursor.to_owned()));
        }
        query
    }
}

impl Cursor {
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Start => None,
            Self::Now => Some("now"),
            Self::After(token) => Some(token),
        }
    }

    /// Whether a record with this token comes after this place.
    pub(super) fn precedes(&self, token: &str, order: Order) -> bool {
        match self {
            Self::Start | Self::Now => true,
            Self::After(place) => goes_on(place, token, order),
        }
    }
}

/// Whether the second token comes after the first. Tokens that are no numbers need only differ: what they mean is known
/// to the server alone.
fn goes_on(from: &str, to: &str, order: Order) -> bool {
    match (from.parse::<u64>(), to.parse::<u64>()) {
        (Ok(from), Ok(to)) if order == Order::OldestFirst => from < to,
        (Ok(from), Ok(to)) => from > to,
        _ => from != to,
    }
}

/// A record that says where in its list it is.
pub trait HasToken {
    /// Its place.
    fn token(&self) -> &str;
}

/// A record of a list.
pub(crate) trait Listing: HasToken + Sized {
    /// As it is written.
    type Raw: DeserializeOwned;
    /// What a list of it is called.
    const WHAT: &'static str;

    /// Checks it.
    fn read(raw: Self::Raw) -> Result<Self, HorizonError>;
}

#[derive(Deserialize)]
struct RawPage<T> {
    _embedded: RawRecords<T>,
}

#[derive(Deserialize)]
struct RawRecords<T> {
    records: Vec<T>,
}

pub(super) fn read<T: Listing>(body: &[u8], page: &Page) -> Result<Vec<T>, HorizonError> {
    let rubbish = || HorizonError::Rubbish { what: T::WHAT };
    let raw: RawPage<T::Raw> = http::record(body, T::WHAT)?;
    if raw._embedded.records.len() > page.limit.clamp(1, MAX_LIMIT) {
        return Err(rubbish());
    }
    let records = raw._embedded.records.into_iter().map(T::read).collect::<Result<Vec<T>, _>>()?;
    let mut place = page.cursor.clone();
    let mut seen = HashSet::new();
    for record in &records {
        let token = record.token();
        if token.is_empty() || token.len() > MAX_CURSOR_BYTES || !place.precedes(token, page.order) {
            return Err(rubbish());
        }
        if !seen.insert(token) {
            return Err(rubbish());
        }
        place = Cursor::After(token.to_owned());
    }
    Ok(records)
}
