//! Finding: rounds of questions to the DHT, and a dial to each device that is heard of.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use futures::{StreamExt as _, stream, stream::FuturesUnordered};
use hayloft_core::{DeviceId, record::RecordError};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};

use super::{Directory, buckets};
use crate::{
    Net,
    error::{Fault, NetError},
    handle::Shared,
    limits,
    messages::{Answer, Envelope, Offered, Request},
    swarm::{Command, Heard, Question},
};

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Keeps the directory while somebody wants farmers; ends with the network.
pub(crate) async fn search(net: Net, heard: mpsc::Receiver<Heard>) {
    let shared = net.shared.clone();
    let _ = shared.until_stopped(Search::new(net).run(heard)).await;
}

struct Search {
    net: Net,
    probes: FuturesUnordered<Task>,
    round: Option<Task>,
    rounds: u64,
    pause: Duration,
    next_round: Instant,
}

impl Search {
    fn new(net: Net) -> Self {
        Self {
            net,
            probes: FuturesUnordered::new(),
            round: None,
            rounds: 0,
            pause: limits::ROUND_PAUSE,
            next_round: Instant::now(),
        }
    }

    fn directory(&self) -> &Directory {
        &self.net.shared.directory
    }

    async fn run(mut self, mut heard: mpsc::Receiver<Heard>) {
        let mut asked = self.directory().asked();
        let mut joined = self.net.shared.peers.joined();
        loop {
            let last_asked = *asked.borrow();
            let wanted = last_asked.is_some_and(|at| at.elapsed() < limits::ROUNDS_AFTER_ASKED);
            if wanted {
                self.probe_more();
            }
            tokio::select! {
                Some(Heard { device, source }) = heard.recv() => self.directory().note(device, source),
                Some(()) = self.probes.next(), if !self.probes.is_empty() => {}
                () = until_done(&mut self.round), if self.round.is_some() => self.round = None,
                () = sleep_until(self.next_round), if wanted && self.round.is_none() && self.probes.is_empty() => {
                    self.turn();
                }
                Ok(()) = asked.changed() => {
                    if self.directory().is_stale() {
                        self.hurry();
                    }
                }
                Ok(()) = joined.changed() => {
                    self.directory().expect_more();
                    self.hurry();
                }
                else => return,
            }
        }
    }

    /// Rounds begin anew, the first at once.
    fn hurry(&mut self) {
        self.pause = limits::ROUND_PAUSE;
        self.next_round = Instant::now();
    }

    /// Ends the round whose answers have all been looked at, and begins the next.
    fn turn(&mut self) {
        let now = Instant::now();
        if self.rounds > 0 && self.directory().end_round(now) {
            self.pause = limits::ROUND_PAUSE;
        }
        self.directory().begin_round();
        let questions = questions(&self.net.shared, self.rounds);
        self.round = Some(Box::pin(ask_all(self.net.shared.clone(), questions)));
        self.rounds += 1;
        self.next_round = now + self.pause;
        self.pause = (self.pause * 2).min(limits::ROUND_PAUSE_MOST);
    }

    fn probe_more(&mut self) {
        while self.probes.len() < limits::PROBES_AT_ONCE {
            let Some(device) = self.directory().next_to_ask(Instant::now()) else { return };
            self.probes.push(Box::pin(probe(self.net.clone(), device)));
        }
    }
}

async fn until_done(round: &mut Option<Task>) {
    match round {
        Some(round) => round.await,
        None => std::future::pending().await,
    }
}

/// The questions of a round: walks through some regions and some of today's buckets, others each time.
fn questions(shared: &Shared, round: u64) -> Vec<Question> {
    let day = buckets::day(shared.wall.now());
    let part = |each: u8, all: u8| {
        (0..each).map(move |i| {
            let index = (round * u64::from(each) + u64::from(i)) % u64::from(all);
            u8::try_from(index).expect("less than a u8")
        })
    };
    // Walks of one round lie far apart.
    let walks = part(limits::WALKS_PER_ROUND, 16).map(|index| Question::Walk { region: index * 5 % 16 });
    let buckets = part(if round == 0 { 0 } else { limits::BUCKETS_PER_ROUND }, limits::BUCKETS)
        .map(|number| Question::Bucket { number, key: buckets::key(&shared.network, day, number) });
    walks.chain(buckets).collect()
}

async fn ask_all(shared: Arc<Shared>, questions: Vec<Question>) {
    let shared = &shared;
    stream::iter(questions)
        .for_each_concurrent(limits::QUERIES_AT_ONCE, |question| async move {
            let (done, finished) = oneshot::channel();
            if shared.commands.send(Command::Ask { question, done }).await.is_ok() {
                let _ = finished.await;
            }
        })
        .await;
}

/// Asks one device what it is and tells the directory.
async fn probe(net: Net, device: DeviceId) {
    let asked = tokio::time::timeout(limits::PROBE_TIMEOUT, ask_record(&net, device)).await;
    if let Err(error) = asked.unwrap_or(Err(NetError::Silent)) {
        tracing::debug!(%device, %error, "no farmer");
        net.shared.directory.unanswered(device, Instant::now());
    }
}

async fn ask_record(net: &Net, device: DeviceId) -> Result<(), NetError> {
    let envelope = Envelope { certificate: None, request: Request::Offer };
    let Answer::Offer(offered) = net.ask(device, &envelope).await? else {
        return Err(NetError::Protocol(Fault::WrongAnswer));
    };
    let (now, network, address) = (net.shared.wall.now(), &net.shared.network, net.address_of(device));
    let counts = |error: RecordError| {
        tracing::debug!(%device, %error, "a record that does not count");
        NetError::Protocol(Fault::BadRecord)
    };
    let Offered { farmer, auditor } = *offered;
    if let Some(record) = &farmer {
        let verified = record.verify(network, &device, now);
        if matches!(verified, Err(RecordError::NotYet | RecordError::Expired)) {
            net.shared.directory.clock_differs(device);
        }
        verified.map_err(counts)?;
    }
    if let Some(record) = &auditor {
        record.verify(network, &device, now).map_err(counts)?;
    }
    if farmer.is_none() && auditor.is_none() {
        return Err(NetError::Protocol(Fault::BadRecord));
    }
    net.shared.directory.audits(device, auditor, address, now);
    match farmer {
        Some(record) => net.shared.directory.answered(device, record, address, now),
        None => net.shared.directory.farms_not(device),
    }
    Ok(())
}
