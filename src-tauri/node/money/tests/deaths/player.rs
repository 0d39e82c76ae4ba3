//! One of the three as the test sees it: a process that is told the time, and starts again after its death.

use std::{path::PathBuf, process::Stdio};

use hayloft_core::Timestamp;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::watch,
    task::JoinHandle,
};

use super::stage::{KEPT_UP, READY, Stage};
use crate::crash::{AT, Point};

/// By which a process is told what to play.
pub(super) const STAGE: &str = "HAYLOFT_MONEY_STAGE";
const NAME: &str =
    "money::tests::deaths::whoever_dies_between_two_steps_everything_is_paid_once_and_nothing_is_stuck";

/// A process, and how it is reached.
pub(super) struct Player {
    pub(super) stage: Stage,
    child: Child,
    pub(super) address: String,
    tells: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    said: JoinHandle<String>,
    /// Whether its death is still to come.
    pub(super) dies: bool,
}

impl Player {
    pub(super) async fn start(stage: Stage, dies_at: Option<Point>) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this test"));
        command.args(["--exact", NAME, "--nocapture"]);
        command.env(STAGE, serde_json::to_string(&stage).expect("it can be written"));
        match dies_at {
            Some(point) => command.env(AT, format!("{point:?} 1")),
            None => command.env_remove(AT),
        };
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("it can be started");
        let mut errors = child.stderr.take().expect("piped");
        let said = tokio::spawn(async move {
            let mut text = String::new();
            let _ = errors.read_to_string(&mut text).await;
            text
        });
        let tells = child.stdin.take().expect("piped");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let dies = dies_at.is_some();
        let mut player = Self { stage, child, address: String::new(), tells, lines, said, dies };
        match player.hear(READY).await {
            Some(address) => player.address = address,
            None => panic!(
                "{:?} did not start: {}",
                player.stage.part,
                player.said.await.expect("it can be read")
            ),
        }
        player
    }

    /// The rest of the next line that begins so; none if the process has ended.
    async fn hear(&mut self, begins: &str) -> Option<String> {
        while let Some(line) = self.lines.next_line().await.expect("it can be read") {
            if let Some(rest) = line.strip_prefix(begins) {
                return Some(rest.to_owned());
            }
        }
        None
    }

    /// Plays a second and says whether all is over for it then; if it dies, before or after, again from what is on its disk.
    pub(super) async fn play(&mut self, now: Timestamp, over: &watch::Sender<[Option<bool>; 3]>) {
        let part = self.stage.part as usize;
        loop {
            let told = self.tells.write_all(format!("{}\n", now.0).as_bytes()).await;
            if told.is_ok()
                && let Some(kept) = self.hear(KEPT_UP).await
            {
                over.send_modify(|over| over[part] = Some(kept.ends_with("true")));
                self.hear(KEPT_UP).await;
            }
            over.send_modify(|over| over[part] = None);
            self.fell().await;
            let listen = Some(without_peer(&self.address));
            *self = Self::start(Stage { now, listen, ..self.stage.clone() }, None).await;
        }
    }

    /// Somebody else, with a home of its own, who is reached where this one was.
    pub(super) fn stranger(&self, home: PathBuf, now: Timestamp) -> Stage {
        Stage { home, now, listen: Some(without_peer(&self.address)), ..self.stage.clone() }
    }

    /// It came by its death, and by no other.
    async fn fell(&mut self) {
        let status = self.child.wait().await.expect("it can be waited for");
        let said = (&mut self.said).await.expect("it can be read");
        let as_wanted = std::mem::take(&mut self.dies) && !status.success() && !said.contains("panicked");
        assert!(as_wanted, "{:?} died by itself: {said}", self.stage.part);
    }

    pub(super) async fn end(self) {
        let Self { mut child, tells, said, stage, .. } = self;
        drop(tells);
        let status = child.wait().await.expect("it can be waited for");
        assert!(status.success(), "{:?}: {}", stage.part, said.await.expect("it can be read"));
    }
}

fn without_peer(address: &str) -> String {
    address.split("/p2p/").next().unwrap_or_default().to_owned()
}
