//! Getting a transaction into a ledger once.
//!
//! ```text
//! row on the disk ──► handed in ──► in a ledger: took effect, or failed
//!                        ▲    └───► can no longer get into one: only now another may be signed
//!                        └─ the identical envelope, as often as need be
//! ```
//! A row can no longer apply when the ledger shows so: a ledger closed after its latest time while the account's number was
//! not used, or another transaction has used the number, and **after** that was seen the ledger still knows no transaction of
//! that hash. Evidence comes first and the look for the hash second, so that nothing can slip in between. The other transaction
//! must be there to be seen, with the account's own signature: a number that is used by nothing that is shown was used by what
//! is hidden. And where the number is still free, what is signed next has the same one, and only one of both can apply.
//!
//! What a crash leaves behind is an open row; [`Outbox::resume`] asks the ledger about each. Two devices of one owner that
//! submit at once use the same number: one gets in, the other sees its number taken.
//!
//! Limits: whether a transaction took effect is Horizon's word. One that lies can make a payment seem made, or one that was
//! made seem to have failed, and so be made again. Spending limits bound what that costs.

use std::sync::Arc;

use hayloft_core::{
    Amount, Timestamp,
    codec::{self, CodecError},
    spending::Limits,
};
use hayloft_store::outbox::{EscrowState, Fate, NewRow, OutboxError, OutboxRow};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::{
    Address, Horizon, HorizonError, Network,
    envelope::{EnvelopeError, Signed, Used},
    horizon::{
        Codes, Order, Page, Submission,
        anchor::{Anchor, Continuity, Sign},
    },
};

const VERSION: u8 = 1;
const KNOWN_VERSION: u8 = 2;
const PURPOSE_BYTES: usize = 4096;
const ANCHOR_BYTES: usize = 4096;
/// After so many ledgers a newer one is remembered.
const ANCHOR_LEDGERS: u32 = 100;
/// So far back is looked for what used a number.
const PAGES: usize = 10;

/// How the ledger relates to the one that was seen before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recognised {
    /// None was seen before.
    First,
    /// The same.
    Same,
    /// A little behind: nothing should be done by it yet.
    Behind,
    /// It began anew: nothing that was there before is there now.
    Anew(Sign),
    /// Another one at another address, while something stands on the one that was seen: that is no new beginning.
    Elsewhere {
        /// Where the other was seen.
        place: String,
    },
}

/// A ledger as it was seen, and at which address; version 1 was the anchor alone.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    place: Option<String>,
    anchor: Anchor,
}

impl Known {
    fn read(bytes: &[u8]) -> Option<Self> {
        let before = || codec::decode(VERSION, bytes, ANCHOR_BYTES).ok();
        codec::decode(KNOWN_VERSION, bytes, ANCHOR_BYTES)
            .ok()
            .or_else(|| before().map(|anchor| Self { place: None, anchor }))
    }

    fn write(&self) -> Vec<u8> {
        codec::encode(KNOWN_VERSION, self)
    }
}

/// What a transaction is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// Somebody sent lumens by hand.
    Sent {
        /// To whom.
        to: Address,
        /// With which memo.
        memo: Option<String>,
    },
    /// An escrow was set up.
    Setup {
        /// Which.
        escrow: Address,
    },
    /// An escrow was settled.
    Settlement {
        /// Which.
        escrow: Address,
        /// Up to which period.
        through: u32,
    },
    /// Periods that nobody settled were taken back.
    Recovery {
        /// Of which escrow.
        escrow: Address,
    },
}

impl Purpose {
    fn encode(&self) -> Vec<u8> {
        codec::encode(VERSION, self)
    }

    /// A purpose as a row keeps it.
    ///
    /// # Errors
    /// [`CodecError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(VERSION, bytes, PURPOSE_BYTES)
    }
}

/// Why a transaction was not handed in. If a row was made for it, that row says what came of it.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// It could apply for ever.
    #[error("a payment without a latest time is not made")]
    NoLatestTime,
    /// It is signed for another network, or not at all.
    #[error("the payment is not signed for this network")]
    NotSigned,
    /// There is no such account.
    #[error("this wallet has no account on the ledger yet: it needs lumens first")]
    NoAccount,
    /// The store refuses.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The ledger cannot be asked.
    #[error(transparent)]
    Horizon(#[from] HorizonError),
    /// A row holds what this release cannot read.
    #[error("a payment that was under way cannot be read: {0}")]
    Row(#[from] EnvelopeError),
}

impl From<hayloft_store::DatabaseError> for SendError {
    fn from(error: hayloft_store::DatabaseError) -> Self {
        Self::Outbox(OutboxError::Database(error))
    }
}

/// The one place that hands transactions in. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Outbox {
    horizon: Horizon,
    network: Network,
    rows: hayloft_store::Outbox,
    gate: Arc<Mutex<()>>,
}

impl Outbox {
    /// An outbox on this network.
    pub fn new(horizon: Horizon, network: Network, rows: hayloft_store::Outbox) -> Self {
        Self { horizon, network, rows, gate: Arc::default() }
    }

    /// The rows.
    pub fn rows(&self) -> &hayloft_store::Outbox {
        &self.rows
    }

    /// The network that it signs for.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Its ledger.
    pub fn horizon(&self) -> &Horizon {
        &self.horizon
    }

    /// The number that an account's next transaction must have.
    ///
    /// # Errors
    /// [`SendError::NoAccount`], or the ledger cannot be asked.
    pub async fn next_sequence(&self, source: Address) -> Result<i64, SendError> {
        let account = self.horizon.account(source).await?.ok_or(SendError::NoAccount)?;
        Ok(account.sequence + 1)
    }

    /// Makes a row and hands the transaction in. [`Fate::Open`] means that nobody knows yet: [`Outbox::resume`] asks again.
    ///
    /// # Errors
    /// [`SendError`]; if no row was made, nothing left this process.
    pub async fn send(
        &self,
        signed: &Signed,
        purpose: &Purpose,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<Fate, SendError> {
        let draft = signed.draft();
        let latest = draft.window.until.ok_or(SendError::NoLatestTime)?;
        if !signed.is_signed_by(draft.source, &self.network) {
            return Err(SendError::NotSigned);
        }
        let row = NewRow {
            network: *self.network.id(),
            hash: draft.hash(&self.network),
            source: draft.source.0,
            sequence: draft.sequence,
            latest,
            envelope: signed.to_bytes(),
            purpose: purpose.encode(),
            spends: Amount(draft.spends().0.saturating_add(draft.fee.into())),
        };
        let _one_at_a_time = self.gate.lock().await;
        crash_point!(BeforeRow);
        self.rows.insert(&row, limits, now).await?;
        crash_point!(RowWritten);
        match self.hand_in(&row, signed).await {
            // What is not known now is asked later; the row is there.
            Err(SendError::Horizon(error)) => {
                tracing::warn!(%error, "a payment was handed in, and what came of it is not known yet");
                Ok(Fate::Open)
            }
            fate => fate,
        }
    }

    /// Asks what came of each open row, and hands in again what may still apply. Returns those that closed.
    ///
    /// # Errors
    /// [`SendError`]; rows after the one that failed are not looked at.
    pub async fn resume(&self) -> Result<Vec<OutboxRow>, SendError> {
        let _one_at_a_time = self.gate.lock().await;
        let mut closed = Vec::new();
        for mut row in self.rows.open().await? {
            let mut fate = self.look(&row.row, None).await?;
            if fate == Fate::Open && row.row.network == *self.network.id() {
                fate = self.hand_in(&row.row, &Signed::decode(&row.row.envelope)?).await?;
            }
            if fate != Fate::Open {
                row.fate = fate;
                closed.push(row);
            }
        }
        Ok(closed)
    }

    /// Whether the ledger is still the one that was seen before; from then on the newest of it is known. One that began
    /// anew is told again and again until [`Outbox::begin_anew`].
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn recognise(&self) -> Result<Recognised, SendError> {
        let kept = self.rows.anchor().await?.and_then(|bytes| Known::read(&bytes));
        let here = self.horizon.place();
        let recognised = match &kept {
            None => Recognised::First,
            Some(known) => match self.horizon.continuity(&known.anchor).await? {
                Continuity::Same => Recognised::Same,
                Continuity::Behind => return Ok(Recognised::Behind),
                Continuity::Reset(sign) => {
                    // Another history in the place of what was seen: the network was wiped, wherever it is asked now. A server
                    // elsewhere that has not got so far may only be late.
                    let moved = |place: &String| *place != here && sign != Sign::History;
                    let other = known.place.clone().filter(moved);
                    return Ok(match other {
                        Some(place) if self.has_stakes().await? => Recognised::Elsewhere { place },
                        _ => Recognised::Anew(sign),
                    });
                }
            },
        };
        let newest = Known { place: Some(here), anchor: self.horizon.anchor().await? };
        let is_news = kept.is_none_or(|kept| {
            kept.place != newest.place
                || newest.anchor.ledger.saturating_sub(kept.anchor.ledger) > ANCHOR_LEDGERS
        });
        if is_news {
            self.rows.keep_anchor(&newest.write()).await?;
        }
        Ok(recognised)
    }

    /// Whether anything would be lost with the ledger that is known: an escrow that is not over, or a payment under way.
    async fn has_stakes(&self) -> Result<bool, SendError> {
        let stands = self.rows.escrows().await?.iter().any(|row| row.state != EscrowState::Over);
        Ok(stands || !self.rows.open().await?.is_empty())
    }

    /// Takes a ledger that began anew for the one that is known from now on: every escrow that stood on the old one is over.
    ///
    /// # Errors
    /// [`SendError`]; then nothing has changed.
    pub async fn begin_anew(&self) -> Result<(), SendError> {
        let newest = Known { place: Some(self.horizon.place()), anchor: self.horizon.anchor().await? };
        Ok(self.rows.begin_anew(&newest.write()).await?)
    }

    async fn hand_in(&self, row: &NewRow, signed: &Signed) -> Result<Fate, SendError> {
        let said = self.horizon.submit(signed, &row.hash).await?;
        crash_point!(HandedIn);
        match said {
            Submission::Applied { ledger } => self.close(row, Fate::Applied { ledger }).await,
            Submission::Declined(codes) => self.look(row, Some(&codes)).await,
            Submission::Unknown => self.look(row, None).await,
        }
    }

    /// What the ledger shows of a row.
    async fn look(&self, row: &NewRow, codes: Option<&Codes>) -> Result<Fate, SendError> {
        let newest = self.horizon.newest_ledger().await?;
        let is_here = row.network == *self.network.id();
        let account = if is_here { self.horizon.account(Address(row.source)).await? } else { None };
        if let Some(found) = self.horizon.transaction(&row.hash).await? {
            let reason = codes.map_or_else(|| "it failed in its ledger".to_owned(), ToString::to_string);
            let ledger = found.ledger;
            let fate =
                if found.successful { Fate::Applied { ledger } } else { Fate::Failed { ledger, reason } };
            return self.close(row, fate).await;
        }
        // An account that ended and was made anew has far higher numbers, which no transaction has used.
        let is_used = account.is_some_and(|account| {
            account.sequence >= row.sequence && account.sequence >> 32 == row.sequence >> 32
        });
        let reason = if is_used && self.shows_other(row).await? {
            "another transaction of this account came before it"
        } else if is_used {
            tracing::warn!("the ledger shows that a payment's number was used, and not by what");
            return Ok(Fate::Open);
        } else if newest.closed > row.latest {
            "its time was over before it got into a ledger"
        } else {
            return Ok(Fate::Open);
        };
        let reason = codes.map_or_else(|| reason.to_owned(), |codes| format!("{reason} ({codes})"));
        self.close(row, Fate::Void { reason }).await
    }

    /// Whether the ledger shows that another transaction, which the account itself signed, has used a row's number.
    async fn shows_other(&self, row: &NewRow) -> Result<bool, SendError> {
        let source = Address(row.source);
        let newest = Page { order: Order::NewestFirst, ..Page::default() };
        let mut page = Some(newest);
        for _ in 0..PAGES {
            let Some(asked) = page.take() else { break };
            let records = self.horizon.transactions(source, &asked).await?;
            let used = records.iter().filter_map(|record| Used::read(&record.envelope, &self.network));
            for used in used.filter(|used| used.source == source) {
                if used.sequence <= row.sequence {
                    return Ok(used.sequence == row.sequence && used.hash != row.hash);
                }
            }
            page = asked.after(&records);
        }
        Ok(false)
    }

    async fn close(&self, row: &NewRow, fate: Fate) -> Result<Fate, SendError> {
        crash_point!(BeforeClose);
        self.rows.close(&row.hash, &fate).await?;
        crash_point!(RowClosed);
        Ok(fate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anchor() -> Anchor {
        Anchor { passphrase: "barn".to_owned(), ledger: 5000, hash: [7; 32] }
    }

    #[test]
    fn the_ledger_that_was_seen_is_read_as_it_was_written_then_and_now() {
        let written = [b"\x04barn\x88\x27".as_slice(), &[7; 32]].concat();
        let before = [b"\x01".as_slice(), &written].concat();
        assert_eq!(Known::read(&before), Some(Known { place: None, anchor: anchor() }));
        let known = Known { place: Some("http://127.0.0.1:1".to_owned()), anchor: anchor() };
        let now = [b"\x02\x01\x12http://127.0.0.1:1".as_slice(), &written].concat();
        assert_eq!((Known::read(&now), known.write()), (Some(known), now));
    }

    #[test]
    fn bytes_that_are_no_ledger_that_was_seen_are_read_as_none() {
        let known = Known { place: Some("http://127.0.0.1:1".to_owned()), anchor: anchor() };
        for written in [known.write(), codec::encode(VERSION, &anchor())] {
            for end in 0..written.len() {
                assert_eq!(Known::read(&written[..end]), None, "cut off after {end}");
            }
            assert_eq!(Known::read(&[&written[..], &[0]].concat()), None, "too long");
            for version in [0, 3, u8::MAX] {
                assert_eq!(Known::read(&[&[version], &written[1..]].concat()), None, "version {version}");
            }
        }
        let endless = Anchor { passphrase: "a".repeat(ANCHOR_BYTES), ..anchor() };
        assert_eq!(Known::read(&codec::encode(VERSION, &endless)), None);
        assert_eq!(Known::read(&Known { place: None, anchor: endless }.write()), None);
    }
}
