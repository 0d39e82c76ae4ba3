//! Lists page by page: cursor, order and limit, and the links to the pages before and after.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::Problem;
use crate::db::history::Page;

/// Most records in an answer.
const MAX_LIMIT: usize = 200;
const DEFAULT_LIMIT: usize = 10;

/// A request's query.
pub(super) type Query = HashMap<String, String>;

/// Which part of a list is asked for.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// As it was written; none is the beginning.
    pub(super) cursor: Option<String>,
    pub(super) newest_first: bool,
    pub(super) limit: usize,
    pub(super) include_failed: bool,
}

impl Asked {
    pub(super) fn read(query: &Query) -> Result<Self, Problem> {
        let newest_first = match query.get("order").map(String::as_str) {
            None | Some("" | "asc") => false,
            Some("desc") => true,
            Some(_) => return Err(Problem::bad_field("order", "order: invalid value, use asc or desc")),
        };
        let limit = match query.get("limit").map(String::as_str) {
            None | Some("") => DEFAULT_LIMIT,
            Some(text) => text.parse().unwrap_or(0),
        };
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(Problem::bad_field("limit", "limit: must be between 1 and 200"));
        }
        let include_failed = query.get("include_failed").is_some_and(|value| value == "true");
        let cursor = query.get("cursor").filter(|cursor| !cursor.is_empty()).cloned();
        Ok(Self { cursor, newest_first, limit, include_failed })
    }

    /// The same for lists whose cursors are ids. `now` is the id of the newest ledger.
    pub(super) fn by_id(&self, newest_ledger: u32) -> Result<Page, Problem> {
        let cursor =
            match self.cursor.as_deref() {
                None if self.newest_first => i64::MAX,
                None => -1,
                // The last id that the newest ledger could have: the next ledger's own id comes after it.
                Some("now") => ((i64::from(newest_ledger) + 1) << 32) - 1,
                Some(text) => text.parse().ok().filter(|cursor| *cursor >= 0).ok_or_else(|| {
                    Problem::bad_field("cursor", "cursor: the first part should be a number")
                })?,
            };
        let limit = i64::try_from(self.limit).unwrap_or(i64::MAX);
        Ok(Page { cursor, newest_first: self.newest_first, limit, include_failed: self.include_failed })
    }

    /// The page as Horizon answers it. `base` is the list's address without a query, `extra` what else was asked.
    pub(super) fn answer(&self, base: &str, extra: &str, records: Vec<Value>) -> Value {
        let token = |record: Option<&Value>| {
            record.and_then(|record| record["paging_token"].as_str()).map(str::to_owned)
        };
        let here = self.cursor.clone().unwrap_or_default();
        let first = token(records.first()).unwrap_or_else(|| here.clone());
        let last = token(records.last()).unwrap_or_else(|| here.clone());
        let link = |cursor: &str, newest_first: bool| {
            let order = if newest_first { "desc" } else { "asc" };
            let failed = if self.include_failed { "&include_failed=true" } else { "" };
            json!({
                "href": format!("{base}?cursor={cursor}&limit={}&order={order}{failed}{extra}", self.limit)
            })
        };
        json!({
            "_links": {
                "self": link(&here, self.newest_first),
                "next": link(&last, self.newest_first),
                "prev": link(&first, !self.newest_first),
            },
            "_embedded": { "records": records },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &[(&str, &str)]) -> Result<Asked, Problem> {
        Asked::read(&query.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn wrong_orders_limits_and_cursors_are_refused() {
        for wrong in [("order", "up"), ("limit", "0"), ("limit", "201"), ("limit", "x")] {
            assert!(asked(&[wrong]).is_err(), "{wrong:?}");
        }
        for cursor in ["x", "-1", "1-2", "99999999999999999999"] {
            assert!(asked(&[("cursor", cursor)]).unwrap().by_id(1).is_err(), "{cursor}");
        }
    }

    #[test]
    fn now_lies_between_what_closed_and_the_next_ledger() {
        let page = asked(&[("cursor", "now")]).unwrap().by_id(7).unwrap();
        assert_eq!(page.cursor, (7 << 32) | 0xffff_ffff);
    }
}
