//! Second opinions: while the brake holds, another auditor asks the same over its own line before anything follows from what
//! speaks against a farmer; and this one does so for others.
//!
//! ```text
//! our own line is silent, the other hears the farmer   ──► what it heard counts, verified here like any answer
//! both are silent, or hear it prove wrongly            ──► confirmed: what was held back acts
//! nobody is found, or the other hears nobody either    ──► nothing: it waits
//! ```
//! Invariants: the second one can neither invent an answer, which the farmer signs, nor learn more than the question; it asks
//! nobody but a farmer that has signed the terms it is shown. Its word for silence is believed: with it, what was held back
//! acts as it would have without the brake.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hayloft_core::{
    DeviceId,
    audit::{Commitment, Epoch, MANDATE_SECONDS, Mandate, SignedMandate},
    auditor::{
        choice,
        follow::{self, Action, Event},
        record::speaks_against,
    },
    contract::SignedTerms,
    placement::Seen,
    record::AuditorRecord,
};
use hayloft_net::{
    Fault, FoundAuditor, Net, NetError,
    limits::{RELAY_TIMEOUT, RELAYS, RELAYS_PER_PEER},
    messages::{Answer, Envelope, Mandated, Refusal, RefusalCode, Relay, Relayed, Request},
};
use hayloft_store::auditor::{AuditorError, Followed};

use super::{
    Shared,
    case::{Case, Seen as Observed},
};
use crate::{farmer::refuse, owner::lock};

/// How long another auditor is looked for when none is known.
const SEARCH: Duration = Duration::from_secs(3);

/// An auditor of those that were found and are willing, in no failure group of those it has to be apart from.
pub(crate) fn draw(
    net: &Net,
    willing: impl Fn(&AuditorRecord) -> bool,
    apart_from: &[Seen],
) -> Option<DeviceId> {
    let seen = |auditor: FoundAuditor| Seen {
        device: auditor.device,
        address: auditor.address,
        operator: auditor.record.record.operator,
    };
    let found = net.auditors().into_iter().filter(|auditor| willing(&auditor.record.record));
    let found: Vec<Seen> = found.map(seen).collect();
    choice::pick(&found, apart_from, rand::random())
}

/// A second auditor, who asks about one epoch of one contract in this one's place.
#[derive(Debug)]
pub(crate) struct Through {
    second: DeviceId,
    terms: SignedTerms,
    mandate: SignedMandate,
    silence: AtomicBool,
}

impl Through {
    /// Whether it heard nothing of the farmer either.
    fn heard_silence(&self) -> bool {
        self.silence.load(Ordering::Relaxed)
    }

    /// Has it ask.
    pub(super) async fn ask(
        &self,
        net: &Net,
        farmer: DeviceId,
        request: Request,
    ) -> Result<Answer, NetError> {
        let ask = match request {
            Request::AuditKeys { .. } => Mandated::AuditKeys,
            Request::Lost { after, .. } => Mandated::Lost { after },
            Request::Commit { commitment, .. } => Mandated::Commit(commitment),
            Request::Challenge(question) => Mandated::Challenge(question),
            _ => return Err(NetError::Unreachable(farmer)),
        };
        let relay = Relay { terms: self.terms.clone(), mandate: self.mandate.clone(), ask };
        let envelope = Envelope { certificate: None, request: Request::Relay(Box::new(relay)) };
        let Answer::Relayed(relayed) = net.ask(self.second, &envelope).await? else {
            return Err(NetError::Protocol(Fault::WrongAnswer));
        };
        match *relayed {
            Relayed::Silence => {
                self.silence.store(true, Ordering::Relaxed);
                Err(NetError::Silent)
            }
            Relayed::Refused(refusal) => Err(NetError::Refused(refusal)),
            Relayed::AuditKeys(keys) => Ok(Answer::AuditKeys(keys)),
            Relayed::Lost(report) => Ok(Answer::Lost(report)),
            Relayed::Committed(commitment) => Ok(Answer::Committed { commitment }),
            Relayed::Proved { nonce, answer } => Ok(Answer::Proved { nonce, answer }),
        }
    }
}

/// Questions that are being asked in others' place.
#[derive(Debug, Default)]
pub(super) struct Relaying(Mutex<HashMap<DeviceId, usize>>);

/// One of them; over when dropped.
#[derive(Debug)]
struct Place<'a> {
    relaying: &'a Relaying,
    peer: DeviceId,
}

impl Relaying {
    fn place(&self, peer: DeviceId) -> Result<Place<'_>, Refusal> {
        let mut places = lock(&self.0);
        let of_peer = places.get(&peer).copied().unwrap_or_default();
        if of_peer >= RELAYS_PER_PEER || places.values().sum::<usize>() >= RELAYS {
            return Err(refuse::refuse(RefusalCode::Busy, "Too much is asked of this auditor at once."));
        }
        places.insert(peer, of_peer + 1);
        Ok(Place { relaying: self, peer })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut places = lock(&self.relaying.0);
        if let Some(left) = places.get_mut(&self.peer) {
            *left -= 1;
            if *left == 0 {
                places.remove(&self.peer);
            }
        }
    }
}

impl Shared {
    /// What is seen once another auditor has asked too, if it would speak against the farmer while the brake holds.
    pub(super) async fn with_second(
        &self,
        case: &mut Case,
        epoch: Epoch,
        commitment: Option<Commitment>,
        seen: Observed,
    ) -> Result<Observed, AuditorError> {
        if !self.waits_for_second(case, &seen.event).await? {
            return Ok(seen);
        }
        let Some(through) = self.through(&case.followed, epoch).await else { return Ok(seen) };
        let other = self.see(case, epoch, commitment, Some(&through)).await?;
        crash_point!(SecondHeard);
        let wrong = matches!(other.event, Event::Answered { outcome: Err(_), .. });
        let heard = matches!(other.event, Event::Fixed { .. } | Event::Answered { .. });
        let confirmed = through.heard_silence() || wrong;
        match &seen.event {
            Event::Silent { .. } if heard => Ok(Observed { confirmed, ..other }),
            _ => Ok(Observed { confirmed, ..seen }),
        }
    }

    async fn waits_for_second(&self, case: &Case, event: &Event) -> Result<bool, AuditorError> {
        let against = matches!(event, Event::Silent { .. } | Event::Answered { outcome: Err(_), .. });
        if !against || !self.books.lock().await.brakes() {
            return Ok(false);
        }
        let farmer = self.parts.store.auditor().farmer(case.followed.terms.terms.farmer).await?;
        if farmer.is_some_and(|farmer| farmer.record.held() > 0) {
            return Ok(true);
        }
        let state = case.followed.state.clone();
        let applied = follow::apply(state, &case.subject(), event.clone(), self.parts.clock.now());
        let costs = |action: &Action| match action {
            Action::Observe { observation, .. } => speaks_against(*observation),
            Action::Commit { .. } | Action::Ask { .. } | Action::Judge(_) => false,
        };
        Ok(applied.is_ok_and(|(_, actions)| actions.iter().any(costs)))
    }

    /// Somebody else who may ask about an epoch; none if nobody is found.
    async fn through(&self, followed: &Followed, epoch: Epoch) -> Option<Through> {
        let net = &self.parts.net;
        let seen = |device| Seen { device, address: net.address_of(device), operator: None };
        let apart_from = [seen(net.local_id()), seen(followed.terms.terms.farmer)];
        let second = match draw(net, |_| true, &apart_from) {
            Some(second) => second,
            // What was known of others counts for minutes, and the brake holds seldom.
            None => {
                net.find_auditors(1, SEARCH).await;
                draw(net, |_| true, &apart_from)?
            }
        };
        let until = self.parts.clock.now().plus_seconds(MANDATE_SECONDS);
        let (network, contract) = (self.parts.network.clone(), followed.contract);
        let mandate = Mandate { network, contract, epoch, second, until };
        let mandate = mandate.sign(&self.parts.device);
        Some(Through { second, terms: followed.terms.clone(), mandate, silence: AtomicBool::new(false) })
    }

    /// Asks a farmer in the place of the auditor that its contract names.
    pub(super) async fn relay(&self, first: DeviceId, relay: Relay) -> Result<Answer, Refusal> {
        let Relay { terms: signed, mandate, ask } = relay;
        let (terms, own) = (&signed.terms, self.parts.device.id());
        let farmer = terms.farmer;
        if terms.network != self.parts.network || terms.auditor != Some(first) || farmer == own {
            let sentence = "The terms are of another network, or name another auditor.";
            return Err(refuse::refuse(RefusalCode::NotAllowed, sentence));
        }
        let _place = self.relaying.place(first)?;
        signed.verify().map_err(|error| refuse::terms(&error))?;
        let now = self.parts.clock.now();
        let verified = mandate.verify(&self.parts.network, &terms.id(), &first, &own, now);
        verified.map_err(|error| refuse::refuse(RefusalCode::NotAllowed, format!("Refused: {error}.")))?;
        let request = Request::Mandated { mandate: Box::new(mandate), ask: Box::new(ask) };
        let envelope = Envelope { certificate: None, request };
        let hindered = || refuse::refuse(RefusalCode::Busy, "This auditor could not ask that farmer.");
        let asked = tokio::time::timeout(RELAY_TIMEOUT, self.parts.net.ask(farmer, &envelope)).await;
        let relayed = match asked.map_err(|_| hindered())? {
            Ok(Answer::AuditKeys(keys)) => Relayed::AuditKeys(keys),
            Ok(Answer::Lost(report)) => Relayed::Lost(report),
            Ok(Answer::Committed { commitment }) => Relayed::Committed(commitment),
            Ok(Answer::Proved { nonce, answer }) => Relayed::Proved { nonce, answer },
            Err(NetError::Refused(refusal)) => Relayed::Refused(refusal),
            Err(NetError::Cancelled) => return Err(hindered()),
            // Whoever hears nobody but the one who asks knows nothing of others' silence.
            Err(_) if self.parts.net.peer_count() <= 1 => return Err(hindered()),
            Ok(_) | Err(NetError::Unreachable(_) | NetError::Silent | NetError::Protocol(_)) => {
                Relayed::Silence
            }
        };
        Ok(Answer::Relayed(Box::new(relayed)))
    }
}
