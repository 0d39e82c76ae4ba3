//! A party in a process of its own, which makes its keys and is the only one that ever has them. It is asked in lines, and
//! answers each with one.

use std::{path::PathBuf, process::Stdio};

use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines, Stdin},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::Mutex,
};

/// By which a process is told its home and its part.
const PART: &str = "HAYLOFT_PARTY";
/// Before an answer.
const ANSWER: &str = "answers ";
/// Where a party listens.
pub(crate) const LOOPBACK: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

/// A process, as others see it.
pub(crate) struct Process {
    lines: Mutex<(ChildStdin, Lines<BufReader<ChildStdout>>)>,
    _child: Child,
    _home: tempfile::TempDir,
}

impl Process {
    /// Starts this program again, with an empty home, for the one test that plays the part there.
    pub(crate) fn start(test: &str, part: &impl Serialize) -> Self {
        let home = tempfile::tempdir().expect("a temp folder");
        let mut command = Command::new(std::env::current_exe().expect("this test"));
        command.args(["--exact", test, "--nocapture"]);
        command.env(PART, serde_json::to_string(&(home.path(), part)).expect("it can be written"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("it can be started");
        let questions = child.stdin.take().expect("piped");
        let answers = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self { lines: Mutex::new((questions, answers)), _child: child, _home: home }
    }

    pub(crate) async fn ask<A: DeserializeOwned>(&self, question: &impl Serialize) -> A {
        let mut lines = self.lines.lock().await;
        let (questions, answers) = &mut *lines;
        let question = serde_json::to_string(question).expect("it can be written");
        questions.write_all(format!("{question}\n").as_bytes()).await.expect("it is there");
        loop {
            let line = answers.next_line().await.expect("it can be read").expect("it is there");
            if let Some(answer) = line.strip_prefix(ANSWER) {
                return serde_json::from_str(answer).expect("an answer");
            }
        }
    }
}

/// The home and the part of this process, if it was started for one.
pub(crate) fn part<P: DeserializeOwned>() -> Option<(PathBuf, P)> {
    std::env::var(PART).ok().map(|part| serde_json::from_str(&part).expect("a part"))
}

/// What this process is asked.
pub(crate) struct Asked(Lines<BufReader<Stdin>>);

impl Asked {
    pub(crate) fn new() -> Self {
        Self(BufReader::new(tokio::io::stdin()).lines())
    }

    /// The next question, once the one before is answered; none when nobody asks any more.
    pub(crate) async fn next<Q: DeserializeOwned>(&mut self) -> Option<Q> {
        let line = self.0.next_line().await.expect("it can be read")?;
        Some(serde_json::from_str(&line).expect("a question"))
    }
}

pub(crate) fn answer(answer: &impl Serialize) {
    println!("\n{ANSWER}{}", serde_json::to_string(answer).expect("it can be written"));
}
