//! The door from outside: who is let in, who is not, and what they hear.

use std::path::Path;

use futures::{FutureExt as _, StreamExt};
use hayloft_node::model::{ErrorCode, GetRequest};
use hayloft_node::{Node, NodeOptions};
use reqwest::StatusCode;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{ApiFile, Client, ConnectError, Gateway, server};

/// A node with its gateway on a home of its own.
struct Open {
    node: Node,
    gateway: Gateway,
    home: TempDir,
}

impl Open {
    async fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let node = Node::open(options(home.path())).await.unwrap();
        let gateway = Gateway::start(node.clone(), home.path().to_owned()).await.unwrap();
        Self { node, gateway, home }
    }

    async fn close(self) {
        self.gateway.close().await;
        self.node.shutdown().await.unwrap();
    }

    fn door(&self) -> ApiFile {
        ApiFile::read(self.home.path()).unwrap().unwrap()
    }

    fn url(&self) -> String {
        format!("http://{}/v1/status", self.gateway.address())
    }
}

fn options(home: &Path) -> NodeOptions {
    NodeOptions {
        home: home.to_owned(),
        network: Some("test".parse().unwrap()),
        listen: vec!["/ip4/127.0.0.1/tcp/0".into()],
        ..NodeOptions::default()
    }
}

async fn ask(url: &str, token: Option<&str>, host: Option<&str>) -> (StatusCode, serde_json::Value) {
    let mut request = reqwest::Client::builder().no_proxy().build().unwrap().get(url);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if let Some(host) = host {
        request = request.header("host", host);
    }
    let answer = request.send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

/// Whoever is on this computer may connect, and needs no token for it.
#[tokio::test]
async fn connections_that_say_nothing_keep_nobody_out_for_long_and_send_nobody_away() {
    let open = Open::start().await;
    let client = Client::connect(open.home.path()).await.unwrap();
    let mut news = client.events().await.unwrap();
    let mut silent = Vec::new();
    for number in 0..2 * server::CONNECTIONS {
        let mut stream = tokio::net::TcpStream::connect(open.gateway.address()).await.unwrap();
        if number % 2 == 0 {
            stream.write_all(b"GET /v1/status HTTP/1.1\r\n").await.unwrap();
        }
        silent.push(stream);
    }
    assert_eq!(ask(&open.url(), Some(&open.door().token), None).await.0, StatusCode::OK);
    assert!(!matches!(news.next().now_or_never(), Some(None)), "it was here before them");
    drop(news);
    for mut stream in silent {
        // With an answer that it took too long, or with nothing.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
    open.close().await;
}

#[tokio::test]
async fn only_the_token_of_this_run_opens_the_door() {
    let open = Open::start().await;
    let token = open.door().token;
    assert_eq!(ask(&open.url(), Some(&token), None).await.0, StatusCode::OK);
    for wrong in [None, Some(""), Some(&token[1..]), Some(&"0".repeat(64)[..])] {
        let (status, body) = ask(&open.url(), wrong, None).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{wrong:?}");
        assert_eq!(body["code"], "bad_request");
    }
    let unknown = format!("http://{}/v1/nothing", open.gateway.address());
    assert_eq!(ask(&unknown, None, None).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(ask(&unknown, Some(&token), None).await.0, StatusCode::NOT_FOUND);
    open.close().await;
}

#[tokio::test]
async fn a_web_page_that_rebinds_its_name_is_refused_even_with_the_token() {
    let open = Open::start().await;
    let token = open.door().token;
    let port = open.gateway.address().port();
    assert!(open.gateway.address().ip().is_loopback());
    for host in ["evil.example", "127.0.0.1", &format!("evil.example:{port}"), "127.0.0.1:1"] {
        assert_eq!(ask(&open.url(), Some(&token), Some(host)).await.0, StatusCode::FORBIDDEN, "{host}");
    }
    let local = format!("localhost:{port}");
    assert_eq!(ask(&open.url(), Some(&token), Some(&local)).await.0, StatusCode::OK);
    open.close().await;
}

#[tokio::test]
async fn a_body_that_is_too_large_or_not_the_right_json_is_told_so_in_json() {
    let open = Open::start().await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/v1/remove", open.gateway.address());
    for (body, status) in [
        (vec![b' '; 5 << 20], StatusCode::BAD_REQUEST),
        (b"{}".to_vec(), StatusCode::BAD_REQUEST),
        (b"[".to_vec(), StatusCode::BAD_REQUEST),
    ] {
        let request =
            http.post(&url).bearer_auth(open.door().token).header("content-type", "application/json");
        let answer = request.body(body).send().await.unwrap();
        assert_eq!(answer.status(), status);
        assert_eq!(answer.json::<serde_json::Value>().await.unwrap()["code"], "bad_request");
    }
    open.close().await;
}

#[tokio::test]
async fn a_jobs_number_that_is_none_is_told_so_in_json() {
    let open = Open::start().await;
    let url = format!("http://{}/v1/jobs/abc", open.gateway.address());
    let (status, body) = ask(&url, Some(&open.door().token), None).await;
    assert_eq!((status, &body["code"]), (StatusCode::BAD_REQUEST, &"bad_request".into()));
    open.close().await;
}

#[tokio::test]
async fn a_door_that_cannot_be_written_stops_no_node_and_opens_later() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::open(options(home.path())).await.unwrap();
    let in_the_way = ApiFile::path(home.path());
    std::fs::create_dir(&in_the_way).unwrap();
    let said = ApiFile::new(1).write(home.path()).unwrap_err();
    assert!(std::error::Error::source(&said).is_none(), "what the system said is said once");
    let gateway = Gateway::start(node.clone(), home.path().to_owned()).await.unwrap();
    assert!(in_the_way.is_dir());
    std::fs::remove_dir(&in_the_way).unwrap();
    while !in_the_way.is_file() {
        tokio::task::yield_now().await;
    }
    Client::connect(home.path()).await.unwrap().status().await.unwrap();
    gateway.close().await;
    assert!(!in_the_way.exists());
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn the_client_sees_what_the_node_says() {
    let open = Open::start().await;
    let client = Client::connect(open.home.path()).await.unwrap();
    assert_eq!(client.pid(), std::process::id());
    assert_eq!(client.status().await.unwrap(), open.node.status().await.unwrap());
    let request =
        GetRequest { name: "x".into(), output: "/x".into(), overwrite: false, offset: 0, bytes: None };
    let error = client.get(request.clone()).await.unwrap_err();
    assert_eq!(error, open.node.get(request).await.unwrap_err());
    assert_eq!(error.code, ErrorCode::NoIdentity);
    open.close().await;
}

#[tokio::test]
async fn news_end_when_the_node_does() {
    let open = Open::start().await;
    let client = Client::connect(open.home.path()).await.unwrap();
    let news = client.events().await.unwrap();
    open.close().await;
    // All that is asked here is that the stream ends instead of hanging.
    news.count().await;
}

#[tokio::test]
async fn asking_to_stop_reaches_whoever_runs_the_node() {
    let open = Open::start().await;
    Client::connect(open.home.path()).await.unwrap().shutdown().await.unwrap();
    open.gateway.stop_asked().await;
    open.close().await;
}

#[tokio::test]
async fn a_closed_node_is_not_running_and_leaves_no_door() {
    let open = Open::start().await;
    let home = tempfile::tempdir().unwrap();
    // What a crash leaves behind: a door file, and nobody or somebody else at its port.
    std::fs::copy(ApiFile::path(open.home.path()), ApiFile::path(home.path())).unwrap();
    let stale = std::fs::read_to_string(ApiFile::path(home.path())).unwrap();
    let forged = stale.replace(&open.door().token, &"0".repeat(64));
    std::fs::write(ApiFile::path(home.path()), forged).unwrap();
    assert!(matches!(Client::connect(home.path()).await, Err(ConnectError::NotRunning { .. })));
    std::fs::write(ApiFile::path(home.path()), stale).unwrap();
    let old = open.home.path().to_owned();
    open.gateway.close().await;
    assert!(!ApiFile::path(&old).exists());
    assert!(matches!(Client::connect(home.path()).await, Err(ConnectError::NotRunning { .. })));
    assert!(matches!(Client::connect(&old).await, Err(ConnectError::NotRunning { .. })));
    open.node.shutdown().await.unwrap();
}
