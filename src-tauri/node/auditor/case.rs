//! One contract that is due: from what the state machine says to what is asked of the farmer, and back.

use std::collections::VecDeque;

use hayloft_core::{
    ContractId,
    audit::{Commitment, Epoch, ReceiptError, VerifierKey},
    auditor::{
        follow::{self, Action, Event, Randomness, State, Subject},
        record::Origin,
    },
    contract::{MAX_SHARDS, ShardEntry, SignedRevision},
};
use hayloft_net::{NetError, messages::RefusalCode};
use hayloft_store::auditor::{AuditorError, Followed};
use rand::Rng;

use super::{
    Shared,
    asking::{self, Asking, Heard, Known},
    books::Outcome,
    second::Through,
};
use crate::identity::off_the_runtime;

/// A followed contract with what is needed to ask about it.
pub(super) struct Case {
    pub(super) followed: Followed,
    pub(super) shards: Vec<ShardEntry>,
    pub(super) origin: Origin,
}

impl Case {
    pub(super) fn subject(&self) -> Subject<'_> {
        subject(&self.followed)
    }
}

/// What was seen when something was asked.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) event: Event,
    /// The receipt, if the farmer answered.
    pub(super) receipt: Option<Vec<u8>>,
    /// Whether a second auditor has seen the same.
    pub(super) confirmed: bool,
}

impl Seen {
    fn of(event: Event) -> Self {
        Self { event, receipt: None, confirmed: false }
    }
}

/// What the state machine must know of a contract.
pub(super) fn subject(followed: &Followed) -> Subject<'_> {
    let revision = &followed.revision.revision;
    Subject { terms: &followed.terms.terms, revision, until: revision.end }
}

impl Shared {
    /// Moves a contract on by as much as can be done now.
    pub(super) async fn work_at(&self, contract: ContractId) -> Result<(), AuditorError> {
        let _one_at_a_time = self.lock(contract).await;
        let Some(mut case) = self.open(contract).await? else { return Ok(()) };
        let mut nonce = [0; 32];
        rand::rng().fill_bytes(&mut nonce);
        let mut left = VecDeque::from(self.happens(&mut case, Seen::of(Event::Tick { nonce })).await?);
        let mut silent: Option<Seen> = None;
        while let Some(action) = left.pop_front() {
            let (epoch, commitment) = match action {
                Action::Commit { epoch, commitment } => (epoch, Some(commitment)),
                Action::Ask { epoch } => (epoch, None),
                Action::Judge(_) | Action::Observe { .. } => continue,
            };
            let seen = match silent.take() {
                // Whoever does not answer one question answers no other now.
                Some(before) => Seen { event: Event::Silent { epoch }, ..before },
                None => {
                    let seen = self.see(&mut case, epoch, commitment, None).await?;
                    self.with_second(&mut case, epoch, commitment, seen).await?
                }
            };
            silent = matches!(seen.event, Event::Silent { .. }).then(|| seen.clone());
            left.extend(self.happens(&mut case, seen).await?);
        }
        Ok(())
    }

    /// Commits to a nonce, if there is a commitment, else asks: itself or through another auditor.
    pub(super) async fn see(
        &self,
        case: &mut Case,
        epoch: Epoch,
        commitment: Option<Commitment>,
        through: Option<&Through>,
    ) -> Result<Seen, AuditorError> {
        match commitment {
            Some(commitment) => Ok(Seen::of(self.commit(case, epoch, commitment, through).await)),
            None => self.ask(case, epoch, through).await,
        }
    }

    async fn open(&self, contract: ContractId) -> Result<Option<Case>, AuditorError> {
        let store = self.parts.store.auditor();
        let Some(followed) = store.followed(contract).await? else { return Ok(None) };
        let listed = store.revision(contract, followed.revision.revision.number).await?;
        let origin = store.origin(contract).await?;
        Ok(listed.map(|(_, shards)| Case { followed, shards, origin }))
    }

    /// Applies an event and writes down what follows. An event that came too late changes nothing.
    async fn happens(&self, case: &mut Case, seen: Seen) -> Result<Vec<Action>, AuditorError> {
        let Seen { event, receipt, confirmed } = seen;
        let heard = match &event {
            Event::Fixed { .. } | Event::Answered { .. } => Some(true),
            Event::Silent { .. } => Some(false),
            Event::Tick { .. } | Event::Hindered { .. } | Event::Nothing { .. } => None,
        };
        let now = self.parts.clock.now();
        let before = case.followed.state.clone();
        let (state, actions) = match follow::apply(before.clone(), &case.subject(), event, now) {
            Ok(applied) => applied,
            Err(illegal) => {
                tracing::debug!(contract = %case.followed.contract, %illegal, "nothing changed");
                return Ok(Vec::new());
            }
        };
        let (contract, farmer) = (case.followed.contract, case.followed.terms.terms.farmer);
        let due = state.due(&case.subject());
        let began = newest(&state) > newest(&before);
        let (state, actions) = (&state, &actions);
        let outcome = Outcome {
            origin: case.origin,
            contract,
            farmer,
            state,
            due,
            actions,
            heard,
            confirmed,
            began,
            receipt,
        };
        self.enter(outcome).await?;
        crash_point!(OutcomeEntered);
        case.followed.state = state.clone();
        Ok(actions.clone())
    }

    pub(super) fn asking<'a>(&'a self, followed: &Followed) -> Asking<'a> {
        Asking {
            net: &self.parts.net,
            certificate: None,
            network: &self.parts.network,
            farmer: followed.terms.terms.farmer,
            contract: followed.contract,
            through: None,
            until: asking::until(),
        }
    }

    async fn commit(
        &self,
        case: &Case,
        epoch: Epoch,
        commitment: Commitment,
        through: Option<&Through>,
    ) -> Event {
        if !case.shards.iter().any(|shard| shard.tag_key.is_some()) {
            return Event::Nothing { epoch };
        }
        let asking = Asking { through, ..self.asking(&case.followed) };
        let answers = async {
            let mut lost = asking.lost().await?;
            lost.retain(|id| case.shards.binary_search_by_key(id, |shard| shard.id).is_ok());
            Ok((lost, asking.commit(epoch, commitment).await?))
        };
        let answers = answers.await;
        crash_point!(CommitmentHeard);
        match answers {
            Ok((lost, commitment)) => Event::Fixed { epoch, from: Randomness::Nonces { commitment }, lost },
            Err(error) => self.no_answer(case, epoch, &error),
        }
    }

    /// Silence is the farmer's, unless this auditor hears nobody at all.
    fn no_answer(&self, case: &Case, epoch: Epoch, error: &NetError) -> Event {
        tracing::debug!(contract = %case.followed.contract, ?epoch, %error, "no answer to an audit");
        let hindered = *error == NetError::Cancelled || self.parts.net.peer_count() == 0;
        if hindered { Event::Hindered { epoch } } else { Event::Silent { epoch } }
    }

    /// Asks the epoch's question; of a revision that the farmer has left behind, once more about the newest.
    async fn ask(
        &self,
        case: &mut Case,
        epoch: Epoch,
        through: Option<&Through>,
    ) -> Result<Seen, AuditorError> {
        for last in [false, true] {
            let keys = match self.keys(case, through).await {
                Ok(keys) => keys,
                Err(error) => return Ok(Seen::of(self.no_answer(case, epoch, &error))),
            };
            let Some(sectors) = keys.first().map(VerifierKey::sectors) else {
                return Ok(Seen::of(Event::Nothing { epoch }));
            };
            let question = case.followed.state.question(&case.subject(), sectors, &case.shards, epoch);
            let Ok(Some(question)) = question else { return Ok(Seen::of(Event::Nothing { epoch })) };
            let committed = committed(&case.followed.state, epoch);
            let asking = Asking { through, ..self.asking(&case.followed) };
            match asking.challenge(question.clone()).await {
                Ok((nonce, answer)) => {
                    crash_point!(AnswerHeard);
                    let (known, shards) = (case.followed.clone(), case.shards.clone());
                    let _turn = self.judging.acquire().await;
                    let heard = off_the_runtime(move || {
                        let (terms, revision) = (&known.terms, &known.revision);
                        let known = Known { terms, revision, shards: &shards, keys: &keys };
                        Ok::<_, crate::model::ApiError>(asking::judge(
                            &known, question, committed, nonce, answer,
                        ))
                    });
                    return Ok(self.heard(case, epoch, heard.await.ok().flatten()));
                }
                Err(NetError::Refused(refusal)) if refusal.code == RefusalCode::StaleRevision && !last => {
                    match self.catch_up(case).await {
                        Ok(true) => {}
                        Ok(false) => return Ok(Seen::of(Event::Silent { epoch })),
                        Err(CatchUp::Net(error)) => {
                            return Ok(Seen::of(self.no_answer(case, epoch, &error)));
                        }
                        Err(CatchUp::Books(error)) => return Err(error),
                    }
                }
                Err(error) => return Ok(Seen::of(self.no_answer(case, epoch, &error))),
            }
        }
        Ok(Seen::of(Event::Silent { epoch }))
    }

    /// What an answer comes to. One that the farmer did not sign, or that opens another commitment, is none.
    fn heard(&self, case: &Case, epoch: Epoch, heard: Option<Heard>) -> Seen {
        let Some(Heard { receipt, finding }) = heard else { return Seen::of(Event::Silent { epoch }) };
        match finding {
            Ok(finding) => {
                let beacon = receipt.transcript.beacon.clone();
                let answered = Event::Answered { epoch, beacon, outcome: finding.outcome };
                Seen { receipt: Some(receipt.encode()), ..Seen::of(answered) }
            }
            // Only these two are the farmer's doing: else it could escape every verdict by answering nonsense.
            Err(ReceiptError::BadSignature | ReceiptError::NotAsked(_)) => Seen::of(Event::Silent { epoch }),
            Err(error) => {
                tracing::warn!(contract = %case.followed.contract, %error, "an answer could not be judged");
                Seen::of(Event::Hindered { epoch })
            }
        }
    }

    /// The verifier keys of a contract: those kept if they are enough, else those its farmer gives.
    async fn keys(&self, case: &mut Case, through: Option<&Through>) -> Result<Vec<VerifierKey>, NetError> {
        let kept: Vec<VerifierKey> =
            case.followed.keys.iter().flat_map(|key| VerifierKey::decode(key)).collect();
        let named = |id| kept.iter().any(|key| key.id() == id);
        if case.shards.iter().filter_map(|shard| shard.tag_key).all(named) {
            return Ok(kept);
        }
        let asking = Asking { through, ..self.asking(&case.followed) };
        let keys = asking.keys(&case.shards).await?;
        case.followed.keys = keys.iter().map(|key| key.encode().to_vec()).collect();
        // Whoever is to judge a receipt once more has them at hand.
        if let Err(error) =
            self.parts.store.auditor().keep_keys(case.followed.contract, &case.followed.keys).await
        {
            tracing::error!(%error, "the auditor's books failed");
        }
        Ok(keys)
    }

    /// Takes over the newest revision that the farmer can show; whether there was a newer one.
    async fn catch_up(&self, case: &mut Case) -> Result<bool, CatchUp> {
        let (_, newest) = self.asking(&case.followed).contract().await?;
        let known = case.followed.revision.revision.number;
        let Some(newest) = newest.filter(|newest| newest.revision.number > known) else { return Ok(false) };
        self.take_over(case, newest, None).await?;
        Ok(true)
    }

    /// Makes a verified revision the one that is asked about. Its shards follow from those known, are `given`, or are asked
    /// of the farmer.
    pub(super) async fn take_over(
        &self,
        case: &mut Case,
        newest: SignedRevision,
        given: Option<Vec<ShardEntry>>,
    ) -> Result<(), CatchUp> {
        let known = (&case.followed.revision.revision, &case.shards[..]);
        let shards = asking::following(Some(known), &newest.revision);
        let given = given.filter(|given| asking::fits(given, &newest.revision));
        let shards = match shards.or(given) {
            Some(shards) => shards,
            None if newest.revision.shards > MAX_SHARDS => return Err(AuditorError::OwnersShare.into()),
            None => self.asking(&case.followed).shards(&newest.revision).await?,
        };
        let until = newest.revision.end.plus_seconds(case.followed.terms.terms.grace_seconds);
        let mut followed = Followed { revision: newest, until, ..case.followed.clone() };
        followed.due = followed.state.due(&subject(&followed));
        self.parts.store.auditor().revise(&followed, &shards, self.bounds).await?;
        (case.followed, case.shards) = (followed, shards);
        Ok(())
    }
}

fn newest(state: &State) -> Option<Epoch> {
    state.open().last().map(follow::Open::epoch)
}

fn committed(state: &State, epoch: Epoch) -> Option<Commitment> {
    match state.open_at(epoch).ok()?.randomness()? {
        Randomness::Nonces { commitment } => Some(commitment),
        Randomness::Ledger { .. } => None,
    }
}

/// Why a newer revision could not be taken over.
#[derive(Debug, thiserror::Error)]
pub(super) enum CatchUp {
    /// The farmer did not give its shards.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The books refuse or fail.
    #[error(transparent)]
    Books(#[from] AuditorError),
}
