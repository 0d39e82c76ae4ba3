//! What an auditor thinks of this farmer reaches its person once, with why and what restores it.

use std::sync::{Arc, Mutex};

use hayloft_core::{
    ContractId,
    audit::Epoch,
    auditor::record::{Account, Event as Happening, Origin, Record, apply},
    contract::Terms,
    keys::DeviceKey,
    score::Observation,
};
use hayloft_net::{
    Incoming, Net, NetConfig,
    messages::{Answer, Request},
};

use super::bench::{Bench, MIB, PATIENCE, START, network, noise, offering};
use crate::model::{Event, StandingWord};

/// An auditor that says of every farmer what a test puts here.
type Opinion = Arc<Mutex<Account>>;

async fn serve(mut incoming: Incoming, opinion: Opinion) {
    while let Some(inbound) = incoming.next().await {
        if matches!(inbound.envelope.request, Request::Standing { .. }) {
            let account = opinion.lock().expect("no panic").clone();
            tokio::spawn(inbound.answer(Answer::Standing(Some(Box::new(account)))));
        }
    }
}

/// The record after these, one a day.
fn after(observations: &[Observation]) -> Account {
    let mut record = Record::new(START);
    for (day, observation) in (0..).zip(observations.iter().copied()) {
        let (contract, epoch) = (ContractId([1; 32]), Epoch(day));
        let event =
            Happening::Observed { contract, epoch, observation, origin: Origin::Vetting, braked: false };
        record = apply(record, event, START.plus_seconds(day * super::bench::DAY)).0;
    }
    record.account(1, MIB)
}

#[tokio::test]
async fn a_fall_is_told_once_also_over_a_restart_and_a_suspension_says_what_restores_it() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let config = NetConfig { memory: true, listen: vec!["/memory/0".into()], ..NetConfig::new(network()) };
    let key = DeviceKey::random(&mut rand::rng());
    let (auditor, incoming) = Net::start(config, &key).await.expect("starts");
    auditor.announce_farmer(true);
    let opinion: Opinion = Arc::new(Mutex::new(after(&[Observation::Passed; 3])));
    tokio::spawn(serve(incoming, opinion.clone()));
    let owner = bench.owner().await;
    let terms = Terms { auditor: Some(auditor.local_id()), ..owner.terms() };
    owner.stored_under(terms, &noise(1_000)).await;

    let bench = hear(bench, &auditor).await;
    let status = bench.node.farm_status().await.expect("status");
    assert_eq!(status.standings.len(), 1);
    assert_eq!(status.standings[0].standing, StandingWord::Good);

    *opinion.lock().expect("no panic") =
        after(&[Observation::Passed, Observation::Passed, Observation::Missed]);
    let [told] = &notices(&bench).await[..] else { panic!("one notice") };
    assert!(told.contains("being reachable fell to 65 %") && told.contains("did not answer"), "{told}");
    assert_eq!(notices(&bench).await, Vec::<String>::new(), "told once");
    let bench = hear(bench.restart().await, &auditor).await;
    assert_eq!(notices(&bench).await, Vec::<String>::new(), "a restart tells nothing twice");

    *opinion.lock().expect("no panic") = after(&[Observation::Passed, Observation::Failed]);
    let [told] = &notices(&bench).await[..] else { panic!("one notice") };
    assert!(told.contains("nothing new to keep") && told.contains("audits passed in a row"), "{told}");
    let standing = bench.node.farm_status().await.expect("status").standings.remove(0);
    assert_eq!(standing.standing, StandingWord::Suspended);
    assert!(standing.notice_until.is_some_and(|until| Some(until) > standing.since));
}

/// Returns once the farmer has heard of the auditor.
async fn hear(bench: Bench, auditor: &Net) -> Bench {
    let status = bench.node.status().await.expect("status");
    auditor.hint(status.device.parse().expect("a device"), &status.addresses);
    let heard = async {
        while bench.node.farm_status().await.expect("status").standings.is_empty() {
            // Whom one asks is thereby known to it.
            let _ = auditor.ask(status.device.parse().expect("a device"), &offer()).await;
            bench.node.hear_auditors().await;
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.expect("the auditor is heard");
    bench
}

fn offer() -> hayloft_net::messages::Envelope {
    hayloft_net::messages::Envelope { certificate: None, request: Request::Offer }
}

/// What is told when the auditors are heard again.
async fn notices(bench: &Bench) -> Vec<String> {
    let mut news = bench.node.subscribe();
    bench.node.hear_auditors().await;
    let mut told = Vec::new();
    while let Ok(event) = news.try_recv() {
        if let Event::Notice(sentence) = event {
            told.push(sentence);
        }
    }
    told
}
