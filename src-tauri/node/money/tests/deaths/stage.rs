//! What each of the three does, second by second, in a process of its own.

use std::{path::PathBuf, time::Duration};

use hayloft_core::{Amount, Timestamp};
use hayloft_payments::wallet::Role;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::{
    Clock, Node, NodeOptions,
    model::{Escrow, EscrowStage, FarmSettings, GetRequest, JobState, PresetName, PutRequest},
};

/// Before the address at which a process is reached.
pub(super) const READY: &str = "reached at ";
/// Before the second for which a process has done all it could, and whether it has anything to do later.
pub(super) const KEPT_UP: &str = "kept up to ";
const EPOCH_SECONDS: u32 = 3;
const PERIODS: u32 = 4;
/// At which an epoch of the file owes more than a hundred fees of its period's settlement.
const PRICE: Amount = Amount(1_000_000_000_000_000);
/// Reading the file once owes a hundred stroops.
const EGRESS_PRICE: Amount = Amount(8_000_000);
pub(super) const FILE_BYTES: usize = 12_000_000;
/// Far longer than anything takes that goes by no clock.
pub(super) const PATIENCE: Duration = Duration::from_secs(300);
/// How often is looked where nothing says that it changed.
const LOOK: Duration = Duration::from_millis(50);

/// What a process plays.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Stage {
    pub(super) part: Part,
    pub(super) home: PathBuf,
    pub(super) ledger: String,
    pub(super) now: Timestamp,
    /// Where it listens; nowhere in particular the first time.
    pub(super) listen: Option<String>,
    /// The others, as far as they are there.
    pub(super) others: Vec<String>,
    /// For the owner.
    pub(super) auditor: Option<String>,
    /// Whether the owner stores its file until a further escrow pays for it.
    pub(super) further: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Part {
    Owner,
    Farmer,
    Auditor,
}

impl From<Role> for Part {
    fn from(role: Role) -> Self {
        match role {
            Role::Owner => Self::Owner,
            Role::Farmer => Self::Farmer,
            Role::Auditor => Self::Auditor,
        }
    }
}

impl Stage {
    /// Plays one second after the other as they are told, until no more is.
    pub(super) async fn play(self) {
        let clock = Clock::by_hand(self.now);
        let farm = FarmSettings {
            enabled: true,
            quota_bytes: 1 << 30,
            storage_price: PRICE.0,
            egress_price: EGRESS_PRICE.0,
            ..FarmSettings::default()
        };
        let options = NodeOptions {
            home: self.home.clone(),
            network: Some("scene".parse().expect("a name")),
            listen: vec![self.listen.clone().unwrap_or_else(|| "/ip4/127.0.0.1/udp/0/quic-v1".into())],
            bootstrap: self.others.clone(),
            farm: (self.part == Part::Farmer).then_some(farm),
            audit: Some(self.part == Part::Auditor),
            vet: Some(false),
            auditor: self.auditor.clone(),
            ledger: Some(self.ledger.clone()),
            epoch_seconds: Some(EPOCH_SECONDS),
            escrow_periods: Some(PERIODS),
            disk_guard_bytes: Some(0),
            clock: clock.clone(),
            ..NodeOptions::default()
        };
        let node = Node::open(options).await.expect("a node opens");
        let addresses = node.status().await.expect("a status").addresses;
        println!("\n{READY}{}", addresses.first().expect("it listens"));
        let mut seconds = BufReader::new(tokio::io::stdin()).lines();
        while let Some(second) = seconds.next_line().await.expect("it can be read") {
            let now = Timestamp(second.parse().expect("a time"));
            clock.advance(now.seconds_since(clock.now()));
            clock.kept_up().await;
            if self.part == Part::Owner {
                self.own(&node).await;
            }
            let open = node.money_for_tests().inner.store.outbox().open().await.expect("rows");
            let over = |escrow: &Escrow| escrow.stage == EscrowStage::Over;
            let is_over = open.is_empty()
                && node
                    .wallet()
                    .await
                    .is_ok_and(|wallet| !wallet.escrows.is_empty() && wallet.escrows.iter().all(over));
            println!("\n{KEPT_UP}{} {is_over}", now.0);
        }
        node.shutdown().await.expect("closes");
    }

    /// Stores a file and reads it, all in one second, and ends it once it was paid for.
    async fn own(&self, node: &Node) {
        if node.status().await.expect("a status").owner.is_none() {
            node.create_identity("", false).await.expect("an identity");
        }
        if !self.home.join("got").exists() {
            self.store(node).await;
        }
        let Ok(wallet) = node.wallet().await else { return };
        let escrows = if self.further { 2 } else { 1 };
        let names: Vec<String> =
            node.files().await.expect("files").into_iter().map(|file| file.name).collect();
        if !names.is_empty() && wallet.status.paid > 0 && wallet.escrows.len() >= escrows {
            node.remove(names).await.expect("removed");
        }
    }

    async fn store(&self, node: &Node) {
        becomes(node, async || node.wallet().await.is_ok_and(|wallet| wallet.exists)).await;
        if node.jobs().await.expect("jobs").is_empty() {
            let path = self.home.join("file");
            let mut noise = vec![0; FILE_BYTES];
            blake3::Hasher::new().finalize_xof().fill(&mut noise);
            std::fs::write(&path, noise).expect("a file can be written");
            let request = PutRequest {
                paths: vec![path],
                name: None,
                keep_seconds: 90 * 24 * 3600,
                renew: false,
                replace: false,
                preset: PresetName::Standard,
                price: None,
            };
            becomes(node, async || node.quote(request.clone()).await.is_ok()).await;
            node.put(request).await.expect("begins");
        }
        // Whose job failed because another was away at the time begins it again, as people do.
        let failed = async || {
            let jobs = node.jobs().await.expect("jobs");
            jobs.into_iter()
                .filter(|job| job.state == JobState::Failed)
                .map(|job| job.id)
                .collect::<Vec<u32>>()
        };
        becomes(node, async || {
            for job in failed().await {
                let _ = node.resume(job).await;
            }
            !node.files().await.expect("files").is_empty()
        })
        .await;
        let get = GetRequest {
            name: "file".into(),
            output: self.home.join("got"),
            overwrite: true,
            offset: 0,
            bytes: None,
        };
        let mut job = node.get(get.clone()).await.expect("begins");
        becomes(node, async || {
            if failed().await.contains(&job) {
                job = node.get(get.clone()).await.expect("begins");
            }
            get.output.exists()
        })
        .await;
    }
}

/// Returns once it is so.
async fn becomes(node: &Node, mut is_so: impl AsyncFnMut() -> bool) {
    let becomes = async {
        while !is_so().await {
            tokio::time::sleep(LOOK).await;
        }
    };
    if tokio::time::timeout(PATIENCE, becomes).await.is_err() {
        panic!("it does not come about: {:?}, {:?}", node.jobs().await, node.wallet().await);
    }
}
