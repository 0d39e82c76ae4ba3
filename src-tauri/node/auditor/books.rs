//! Farmers' records and the brake: what an event does to them goes to the disk in one transaction with it.
//!
//! Invariants: one event at a time changes them, and memory holds nothing that a crash would lose but whom the round has seen;
//! what the brake holds acts when a round ends without it, and not before.

use hayloft_core::{
    ContractId, DeviceId, Timestamp,
    audit::Epoch,
    auditor::{
        Judgement,
        follow::{Action, State},
        record::{self, Event, Origin, Record},
        round::{Ended, Kept, Round},
    },
    score::{self, Observation},
};
use hayloft_store::auditor::{AuditorError, Known, Step};

use super::Shared;

/// What all contracts share.
pub(super) struct Books {
    round: Round,
}

impl Books {
    pub(super) fn new(round_seconds: u64, kept: Option<Kept>, now: Timestamp) -> Self {
        Self { round: Round::new(round_seconds, kept, now) }
    }

    /// Whether consequences wait for a second auditor.
    pub(super) fn brakes(&self) -> bool {
        self.round.brakes()
    }

    #[cfg(test)]
    pub(super) fn saw_for_tests(&mut self, farmer: DeviceId, bad: bool) {
        self.round.saw(farmer, bad);
    }
}

/// What one event of a contract led to.
pub(super) struct Outcome<'a> {
    pub(super) contract: ContractId,
    pub(super) farmer: DeviceId,
    /// Whose data it is about.
    pub(super) origin: Origin,
    pub(super) state: &'a State,
    pub(super) due: Option<Timestamp>,
    pub(super) actions: &'a [Action],
    /// Whether the farmer answered, if it was asked.
    pub(super) heard: Option<bool>,
    /// Whether a second auditor has seen the same.
    pub(super) confirmed: bool,
    /// Whether a question began.
    pub(super) began: bool,
    /// The receipt of what was judged.
    pub(super) receipt: Option<Vec<u8>>,
}

fn is_bad(observation: Observation) -> Option<bool> {
    match observation {
        Observation::Failed | Observation::Missed => Some(true),
        Observation::Passed | Observation::Answered => Some(false),
        Observation::ReportedLoss | Observation::Served | Observation::NotServed => None,
    }
}

impl Shared {
    /// Writes down all that an event led to, at once.
    pub(super) async fn enter(&self, outcome: Outcome<'_>) -> Result<(), AuditorError> {
        let (store, now) = (self.parts.store.auditor(), self.parts.clock.now());
        let mut books = self.books.lock().await;
        let known = store.farmer(outcome.farmer).await?;
        let before = known.map(|known| known.record);
        let mut record = before.clone().unwrap_or_else(|| Record::new(now));
        let mut said = Vec::new();
        let round = books.round.kept();
        for event in outcome.events() {
            if let Event::Observed { observation, .. } = event
                && let Some(bad) = is_bad(observation)
            {
                books.round.saw(outcome.farmer, bad);
            }
            let event = with_brake(event, books.round.brakes() && !outcome.confirmed);
            let (next, actions) = record::apply(record, event, now);
            record = next;
            said.extend(actions);
        }
        let address = self.parts.net.address_of(outcome.farmer).map(|address| address.to_string());
        let farmer = Known { farmer: outcome.farmer, address, record };
        let step = Step {
            contract: outcome.contract,
            state: outcome.state.clone(),
            due: outcome.due,
            judged: outcome.judged(),
            farmer: (before.as_ref() != Some(&farmer.record)).then_some(farmer),
            round: Some(books.round.kept()).filter(|now| *now != round),
        };
        store.step(&step).await?;
        tell(outcome.farmer, &said);
        if !step.judged.is_empty() {
            let _ = self.parts.events.send(crate::model::Event::StatusChanged);
        }
        Ok(())
    }

    /// Ends the round if its time is over. If it ended without the brake, what was held acts before that is written down: what
    /// an auditor that dies meanwhile still holds acts when the next round ends so.
    pub(super) async fn turn(&self) -> Result<(), AuditorError> {
        let now = self.parts.clock.now();
        let mut books = self.books.lock().await;
        let mut round = books.round.clone();
        let Some(ended) = round.turn(now) else { return Ok(()) };
        if ended == Ended::Free {
            self.let_go(now).await?;
        }
        crash_point!(RoundEnded);
        self.parts.store.auditor().keep_round(&round.kept()).await?;
        books.round = round;
        Ok(())
    }

    /// Writes down what a read of this auditor's own data showed.
    pub(super) async fn probed(
        &self,
        farmer: DeviceId,
        contract: ContractId,
        epoch: Epoch,
        observation: Observation,
    ) -> Result<(), AuditorError> {
        let (store, now) = (self.parts.store.auditor(), self.parts.clock.now());
        let books = self.books.lock().await;
        let known = store.farmer(farmer).await?;
        let record = known.map_or_else(|| Record::new(now), |known| known.record);
        let (origin, braked) = (Origin::Vetting, books.round.brakes());
        let observed = Event::Observed { contract, epoch, observation, origin, braked };
        let (record, said) = record::apply(record, observed, now);
        let address = self.parts.net.address_of(farmer).map(|address| address.to_string());
        store.keep_farmer(&Known { farmer, address, record }).await?;
        tell(farmer, &said);
        Ok(())
    }

    /// The brake has let go: what it held acts now.
    async fn let_go(&self, now: Timestamp) -> Result<(), AuditorError> {
        let store = self.parts.store.auditor();
        for known in store.farmers().await?.into_iter().filter(|known| known.record.held() > 0) {
            let (record, said) = record::apply(known.record, Event::Released, now);
            store.keep_farmer(&Known { record, ..known }).await?;
            tell(known.farmer, &said);
            crash_point!(HeldLetGo);
        }
        Ok(())
    }
}

impl Outcome<'_> {
    fn events(&self) -> Vec<Event> {
        let heard = self.heard.map(|heard| if heard { Event::Heard } else { Event::Unheard });
        let observed = self.actions.iter().filter_map(|action| match action {
            Action::Observe { epoch, observation } => Some(self.observed(*epoch, *observation)),
            Action::Commit { .. } | Action::Ask { .. } | Action::Judge(_) => None,
        });
        self.began
            .then_some(Event::Due)
            .into_iter()
            .chain(heard)
            .chain(self.confirmed.then_some(Event::Confirmed))
            .chain(observed)
            .chain([Event::Tick])
            .collect()
    }

    fn observed(&self, epoch: Epoch, observation: Observation) -> Event {
        let (contract, origin) = (self.contract, self.origin);
        Event::Observed { contract, epoch, observation, origin, braked: false }
    }

    fn judged(&self) -> Vec<(Judgement, Option<Vec<u8>>)> {
        let judged = self.actions.iter().filter_map(|action| match action {
            Action::Judge(judgement) => Some((*judgement, self.receipt.clone())),
            Action::Commit { .. } | Action::Ask { .. } | Action::Observe { .. } => None,
        });
        judged.collect()
    }
}

fn with_brake(event: Event, holds: bool) -> Event {
    match event {
        Event::Observed { contract, epoch, observation, origin, .. } => {
            Event::Observed { contract, epoch, observation, origin, braked: holds }
        }
        other => other,
    }
}

/// Farmers ask for their standing by themselves; here it is only told to whoever runs this auditor.
fn tell(farmer: DeviceId, said: &[score::Action]) {
    for action in said {
        match action {
            score::Action::Warn(kind) => tracing::info!(%farmer, ?kind, "a farmer is suspended"),
            score::Action::Restore => tracing::info!(%farmer, "a farmer is in good standing again"),
            score::Action::Disqualify => tracing::warn!(%farmer, "a farmer is disqualified"),
        }
    }
}
