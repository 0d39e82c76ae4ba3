//! The owner and the farmer of a contract, each in a process of its own: what they sign, set up and show when they are asked.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use hayloft_core::{
    Amount, ContractId, DeviceId, ShardId, Signature, Timestamp,
    audit::{self, AuditKey, KeyProof, Sectors, Tagger, Transcript},
    contract::{Revision, SignedRevision, SignedTerms, State, Terms, apply_signed, countersign},
    keys::{DeviceKey, RecoveryPhrase, StellarKey},
    spending::Limits,
};
use hayloft_net::{
    Incoming, Net, NetConfig, NetError,
    messages::{Answer, Envelope, Request},
};
use hayloft_payments::{
    Address, Horizon, Outbox, Wallet,
    escrow::{Plan, assign},
    horizon::HorizonOptions,
    wallet::Fate,
};
use hayloft_store::{Guard, Home, Store, StoreOptions};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::{PATIENCE, SHARD, network, shard};
use crate::money::tests::{
    bed::{DAY, START},
    process::{Asked, LOOPBACK, Process, answer},
};

const NAME: &str =
    "money::tests::cosigning::what_the_auditors_own_books_say_is_signed_and_not_a_stroop_more_or_less";

#[derive(Serialize, Deserialize)]
pub(super) enum Part {
    Owner { ledger: String },
    Farmer { auditor: DeviceId, addresses: Vec<String> },
}

#[derive(Serialize, Deserialize)]
pub(super) enum OfOwner {
    /// Its id, its account, its prover's key, and its shard's tags.
    Who,
    SetUp {
        auditor: Address,
        farmer: Address,
        each: Amount,
        now: Timestamp,
    },
    Recover(Plan, Timestamp),
    Assign(ContractId, Plan),
    Terms(Terms),
    Revision(Box<Terms>, Revision),
}

#[derive(Serialize, Deserialize)]
pub(super) enum OfFarmer {
    /// Its device, and its account.
    Who,
    Terms(Terms),
    Revision {
        terms: Box<SignedTerms>,
        before: Vec<SignedRevision>,
        revision: Box<Revision>,
        owner: Signature,
    },
    Answer(Transcript, Vec<KeyProof>),
    Admission(Transcript, ShardId),
    /// From now on it shows whoever asks these revisions.
    Show(Vec<SignedRevision>),
    /// From now on it lets whoever asks it wait.
    Silence,
    /// Answered as soon as somebody waits.
    UntilAsked,
}

impl Part {
    pub(super) fn start(&self) -> Process {
        Process::start(NAME, self)
    }

    /// Until nobody asks any more.
    pub(super) async fn play(self, home: &Path) {
        match self {
            Self::Owner { ledger } => own(home, &ledger).await,
            Self::Farmer { auditor, addresses } => farm(auditor, &addresses).await,
        }
    }
}

/// The state after these revisions.
pub(super) fn state_after(terms: &SignedTerms, revisions: &[SignedRevision]) -> State {
    let agreed = State::new(terms.clone()).expect("signed by both");
    revisions.iter().fold(agreed, |state, signed| apply_signed(&state, signed, START).expect("it follows"))
}

async fn own(home: &Path, ledger: &str) {
    let keys = RecoveryPhrase::random(&mut rand::rng()).seed().keys(&network());
    let options = StoreOptions::new(None, Guard { bytes: 0, percent: 0 });
    let store = Store::open(Home::open(home).expect("a home"), options).await.expect("opens").0;
    let horizon = Horizon::new(&HorizonOptions::local(ledger)).expect("an address");
    let known = horizon.network().await.expect("a network");
    let wallet = Wallet::new(keys.stellar.clone(), Outbox::new(horizon, known, store.outbox()));
    wallet.fund().await.expect("funded");
    let mut asked = Asked::new();
    while let Some(question) = asked.next().await {
        match question {
            OfOwner::Who => {
                let key = AuditKey::derive(&keys.audit, Sectors::MIN);
                let tags = Tagger::new(&key).tag_shard(SHARD, &shard());
                let tags: Vec<Vec<u8>> = tags.iter().map(|tag| tag.0.to_vec()).collect();
                answer(&(keys.owner.id(), wallet.address(), key.prover_key().encode(), tags));
            }
            OfOwner::SetUp { auditor, farmer, each, now } => {
                answer(&set_up(&wallet, (auditor, farmer), each, now).await);
            }
            OfOwner::Recover(plan, now) => {
                let fate = wallet.recover(&plan, &Limits::default(), now).await;
                assert!(matches!(fate, Ok(Some(Fate::Applied { .. }))), "{fate:?}");
                answer(&());
            }
            OfOwner::Assign(contract, plan) => answer(&assign(&keys.stellar, &network(), contract, &plan)),
            OfOwner::Terms(terms) => answer(&terms.sign_as_owner(&keys.owner)),
            OfOwner::Revision(terms, revision) => answer(&revision.sign_as_owner(&terms, &keys.owner)),
        }
    }
}

/// An escrow whose three periods hold so much each.
async fn set_up(
    wallet: &Wallet,
    (auditor, farmer): (Address, Address),
    each: Amount,
    now: Timestamp,
) -> Plan {
    let key = StellarKey::from_bytes(&rand::random());
    let outbox = wallet.outbox();
    let newest = outbox.horizon().newest_ledger().await.expect("a ledger");
    let plan = Plan {
        escrow: Address::of(&key),
        owner: wallet.address(),
        farmer,
        auditor,
        start: START,
        period_seconds: 3 * DAY,
        grace_seconds: 7 * DAY,
        amounts: vec![each; 3],
        setup_sequence: outbox.next_sequence(wallet.address()).await.expect("a number"),
        merge_ledger: Plan::merge_ledger_after(newest.number),
        base_reserve: newest.base_reserve,
    };
    let fate = wallet.set_up(&plan, &key, &Limits::default(), now).await.expect("handed in");
    assert!(matches!(fate, Fate::Applied { .. }), "{fate:?}");
    plan
}

async fn farm(auditor: DeviceId, addresses: &[String]) {
    let key = DeviceKey::random(&mut rand::rng());
    let account = Address::of(&StellarKey::from_bytes(&rand::random()));
    let config = NetConfig { listen: vec![LOOPBACK.into()], ..NetConfig::new(network()) };
    let (net, incoming) = Net::start(config, &key).await.expect("starts");
    net.hint(auditor, addresses);
    net.announce_farmer(true);
    let (shown, silence) = (Shown::default(), Arc::<Silence>::default());
    tokio::spawn(show(incoming, shown.clone(), silence.clone()));
    let reached = async {
        let offer = Envelope { certificate: None, request: Request::Offer };
        while let Err(NetError::Unreachable(_)) = net.ask(auditor, &offer).await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.expect("the auditor is reached");
    let mut asked = Asked::new();
    while let Some(question) = asked.next().await {
        match question {
            OfFarmer::Who => answer(&(key.id(), account)),
            OfFarmer::Terms(terms) => answer(&terms.sign_as_farmer(&key)),
            OfFarmer::Revision { terms, before, revision, owner } => {
                let state = state_after(&terms, &before);
                answer(&countersign(&state, &revision, &owner, &key, START).expect("countersigned").1);
            }
            OfFarmer::Answer(transcript, proofs) => answer(&audit::Answer::sign(&transcript, proofs, &key)),
            OfFarmer::Admission(transcript, lost) => answer(&audit::Answer::admit(&transcript, lost, &key)),
            OfFarmer::Show(revisions) => {
                *shown.lock().expect("no panic") = revisions;
                answer(&());
            }
            OfFarmer::Silence => {
                silence.is_kept.store(true, Ordering::SeqCst);
                answer(&());
            }
            OfFarmer::UntilAsked => {
                silence.asked.notified().await;
                answer(&());
            }
        }
    }
}

type Shown = Arc<Mutex<Vec<SignedRevision>>>;

/// Whether a farmer lets whoever asks it wait, and that it was asked.
#[derive(Default)]
struct Silence {
    is_kept: AtomicBool,
    asked: Notify,
}

/// Shows these revisions to whoever asks.
async fn show(mut incoming: Incoming, shown: Shown, silence: Arc<Silence>) {
    let mut waiting = Vec::new();
    while let Some(inbound) = incoming.next().await {
        if silence.is_kept.load(Ordering::SeqCst) {
            waiting.push(inbound);
            silence.asked.notify_one();
        } else if let Request::History { from, .. } = inbound.envelope.request {
            let known = shown.lock().expect("no panic").clone();
            let revisions = known.into_iter().filter(|signed| signed.revision.number >= from).collect();
            tokio::spawn(inbound.answer(Answer::History { revisions, more: false }));
        }
    }
}
