//! Servers that lie, are silent, are slow, answer rubbish or never end.

use std::time::Duration;

use hayloft_core::Amount;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::bed::random_key;
use crate::{
    Address, Draft, Horizon, HorizonError, Network,
    envelope::{Do, Memo, Step, Window},
    horizon::{BalanceId, Cursor, HorizonOptions, Limits, Page, Submission},
    network::{Kind, NetworkError, test_network},
};

const PATIENT: Limits = Limits {
    connect: Duration::from_secs(20),
    answer: Duration::from_secs(20),
    submit: Duration::from_secs(20),
    idle: Duration::from_secs(20),
    reconnect: Duration::from_millis(1),
    body_bytes: 64 << 10,
    event_bytes: 8 << 10,
};

/// For servers that are waited for in vain.
const HASTY: Limits = Limits {
    answer: Duration::from_millis(300),
    submit: Duration::from_millis(300),
    idle: Duration::from_millis(300),
    ..PATIENT
};

/// How a server behaves once it has heard a request.
#[derive(Clone)]
enum Way {
    /// Answers with this status and body.
    Answers(u16, String),
    /// Says nothing and keeps the line open.
    Silent,
    /// Hangs up.
    HangsUp,
    /// Sends the beginning of an answer, then these bytes for ever.
    Endless(Vec<u8>),
    /// Sends a byte of an answer now and then.
    Drips,
    /// Sends these bytes as they are and hangs up.
    Raw(Vec<u8>),
}

async fn hear(socket: &mut TcpStream) -> Option<()> {
    let mut heard = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = socket.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
        heard.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&heard);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return Some(());
        }
    }
}

async fn behave(mut socket: TcpStream, way: Way) -> std::io::Result<()> {
    if hear(&mut socket).await.is_none() {
        return Ok(());
    }
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    match way {
        Way::Answers(status, body) => {
            let kind = if body.contains("data:") { "text/event-stream" } else { "application/json" };
            let text = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            socket.write_all(text.as_bytes()).await
        }
        Way::Silent => std::future::pending().await,
        Way::HangsUp => Ok(()),
        Way::Raw(bytes) => socket.write_all(&bytes).await,
        Way::Endless(bytes) => {
            socket.write_all(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes()).await?;
            loop {
                socket.write_all(format!("{:x}\r\n", bytes.len()).as_bytes()).await?;
                socket.write_all(&bytes).await?;
                socket.write_all(b"\r\n").await?;
            }
        }
        Way::Drips => {
            socket.write_all(format!("{head}content-length: 1000\r\n\r\n").as_bytes()).await?;
            let mut pause = tokio::time::interval(Duration::from_millis(50));
            loop {
                pause.tick().await;
                socket.write_all(b" ").await?;
            }
        }
    }
}

/// A client of a server that behaves so, to each request alike.
async fn client(way: Way) -> Horizon {
    clients(vec![way]).await
}

/// A client of a server that behaves in these ways one after the other, and in the last one from then on.
async fn clients(ways: Vec<Way>) -> Horizon {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let limits = if matches!(ways[0], Way::Silent | Way::Drips) { HASTY } else { PATIENT };
    tokio::spawn(async move {
        let mut at = 0;
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(behave(socket, ways[at].clone()));
            at = (at + 1).min(ways.len() - 1);
        }
    });
    Horizon::new(&HorizonOptions { limits, ..HorizonOptions::local(&url) }).unwrap()
}

fn answers(body: &Value) -> Way {
    Way::Answers(200, body.to_string())
}

/// What comes of every kind of question.
async fn ask_all(horizon: &Horizon) -> Vec<HorizonError> {
    let who = Address([1; 32]);
    let page = Page::default();
    vec![
        horizon.root().await.unwrap_err(),
        horizon.account(who).await.unwrap_err(),
        horizon.fees().await.unwrap_err(),
        horizon.ledger(1).await.unwrap_err(),
        horizon.newest_ledger().await.unwrap_err(),
        horizon.transaction(&[1; 32]).await.unwrap_err(),
        horizon.balance(BalanceId([1; 32])).await.unwrap_err(),
        horizon.transactions(who, &page).await.unwrap_err(),
        horizon.operations(who, &page).await.unwrap_err(),
        horizon.payments(who, &page).await.unwrap_err(),
        horizon.balances(who, &page).await.unwrap_err(),
    ]
}

#[tokio::test]
async fn silence_and_slowness_end_in_time() {
    for way in [Way::Silent, Way::Drips] {
        let horizon = client(way).await;
        assert!(matches!(horizon.root().await, Err(HorizonError::Silent)));
        assert!(matches!(horizon.account(Address([1; 32])).await, Err(HorizonError::Silent)));
        assert!(horizon.payment_events(Address([1; 32]), Cursor::Now).next().await.is_err());
    }
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    for bytes in [vec![b' '; 4096], b"{\"a\":".to_vec(), vec![b'['; 100]] {
        let horizon = client(Way::Endless(bytes)).await;
        for error in ask_all(&horizon).await {
            assert!(matches!(error, HorizonError::TooLong { .. }), "{error:?}");
        }
    }
}

#[tokio::test]
async fn rubbish_of_any_kind_is_refused_by_its_name() {
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    let odd = [
        String::new(),
        "<html>".to_owned(),
        "null".to_owned(),
        "{}".to_owned(),
        "[]".to_owned(),
        "\u{0}\u{0}".to_owned(),
        deep,
        json!({ "_embedded": { "records": [{}] } }).to_string(),
        json!({ "_embedded": { "records": "many" } }).to_string(),
    ];
    for body in odd {
        let horizon = client(Way::Answers(200, body.clone())).await;
        for error in ask_all(&horizon).await {
            assert!(matches!(error, HorizonError::Rubbish { .. }), "{body}: {error:?}");
        }
    }
    for bytes in [&b"SSH-2.0-x\r\n"[..], b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{", &[0xff; 300]] {
        let horizon = client(Way::Raw(bytes.to_vec())).await;
        for error in ask_all(&horizon).await {
            assert!(matches!(error, HorizonError::Unreachable(_)), "{error:?}");
        }
    }
    for error in ask_all(&client(Way::HangsUp).await).await {
        assert!(matches!(error, HorizonError::Unreachable(_)), "{error:?}");
    }
}

#[tokio::test]
async fn refusals_are_told_apart_and_their_words_are_cut_short() {
    let long = json!({ "title": format!("No\n{}", "x".repeat(5000)) }).to_string();
    let error = client(Way::Answers(400, long)).await.root().await.unwrap_err();
    let HorizonError::Refused { status: 400, title } = error else { panic!("{error:?}") };
    assert!(title.len() == 120 && !title.contains('\n'));
    for (status, busy) in [(429, true), (503, true), (500, false), (302, false)] {
        let error = client(Way::Answers(status, String::new())).await.root().await.unwrap_err();
        assert_eq!(matches!(error, HorizonError::Busy { .. }), busy, "{error:?}");
    }
    let gone = client(Way::Answers(404, "{}".to_owned())).await;
    assert_eq!(gone.account(Address([1; 32])).await.unwrap(), None);
}

#[tokio::test]
async fn the_public_network_is_refused() {
    let root = |passphrase: &str| {
        answers(&json!({
            "network_passphrase": passphrase, "history_latest_ledger": 9, "history_elder_ledger": 1
        }))
    };
    let refused =
        |asked| matches!(asked, Err(HorizonError::Network(error)) if error != NetworkError::Unnamed);
    let public = "Public Global Stellar Network ; September 2015";
    for passphrase in [public, test_network::PASSPHRASE] {
        let horizon = client(root(passphrase)).await;
        assert!(refused(horizon.network().await));
        assert!(horizon.anchor().await.is_err());
    }
    assert!(client(root("mine")).await.network().await.is_ok());
}

#[tokio::test]
async fn answers_about_something_else_are_not_believed() {
    let somebody = Address([1; 32]);
    let account = |address: Address, sequence: &str, balance: &str| {
        answers(&json!({
            "account_id": address.to_string(), "sequence": sequence, "subentry_count": 0,
            "thresholds": { "low_threshold": 0, "med_threshold": 0, "high_threshold": 0 },
            "balances": [{ "asset_type": "native", "balance": balance }], "signers": []
        }))
    };
    let honest = client(account(somebody, "5", "1.0000000")).await.account(somebody).await.unwrap().unwrap();
    assert_eq!((honest.sequence, honest.balance), (5, Amount(10_000_000)));
    for lie in [
        account(Address([2; 32]), "5", "1.0000000"),
        account(somebody, "-5", "1.0000000"),
        account(somebody, "99999999999999999999", "1.0000000"),
        account(somebody, "5", "-1.0000000"),
        account(somebody, "5", "1e9"),
    ] {
        let told = client(lie).await.account(somebody).await;
        assert!(matches!(told, Err(HorizonError::Rubbish { .. })), "{told:?}");
    }
    let payment = |token: &str| {
        json!({
            "transaction_hash": "00".repeat(32), "transaction_successful": true,
            "created_at": "2026-11-21T00:00:00Z", "source_account": somebody.to_string(),
            "type": "payment", "asset_type": "native", "paging_token": token,
            "from": somebody.to_string(), "to": somebody.to_string(), "amount": "1.0"
        })
    };
    let page = |records: Vec<Value>| answers(&json!({ "_embedded": { "records": records } }));
    let asked = Page { cursor: Cursor::After("5".to_owned()), limit: 3, ..Page::default() };
    let honest = page(vec![payment("6"), payment("7")]);
    assert_eq!(client(honest).await.payments(somebody, &asked).await.unwrap().len(), 2);
    for tokens in
        [&["5"][..], &["4"], &["6", "6"], &["7", "6"], &["6", "7", "8", "9"], &[""], &["6", "x", "6"]]
    {
        let lie = page(tokens.iter().map(|token| payment(token)).collect());
        let told = client(lie).await.payments(somebody, &asked).await;
        assert!(matches!(told, Err(HorizonError::Rubbish { .. })), "{tokens:?}: {told:?}");
    }
}

#[tokio::test]
async fn a_stream_survives_what_its_server_does_and_tells_each_record_once() {
    let ledger = |number: u32| {
        json!({
            "sequence": number, "hash": "00".repeat(32), "closed_at": "2026-11-21T00:00:00Z",
            "total_coins": "1.0", "fee_pool": "0.0", "base_fee_in_stroops": 100,
            "base_reserve_in_stroops": 5_000_000, "paging_token": number.to_string()
        })
    };
    let event = |number: u32| format!("id: {number}\ndata: {}\n\n", ledger(number));
    let stream = |text: String| Way::Answers(200, text);
    let horizon = clients(vec![
        stream(format!("event: open\ndata: \"hello\"\n\n{}{}", event(1), event(2))),
        // Begins again from the start, breaks off within a record.
        stream(format!("{}{}data: {{\"seq", event(1), event(3))),
        Way::HangsUp,
        Way::Answers(429, String::new()),
        stream("data: rubbish\n\n".to_owned()),
        stream(format!("data: {}\n\n", "x".repeat(9000))),
        stream(format!("{}{}", event(2), event(4))),
    ])
    .await;
    let mut events = horizon.ledger_events(Cursor::Start);
    let (mut seen, mut troubles) = (Vec::new(), 0);
    while seen.len() < 4 {
        match events.next().await {
            Ok(record) => seen.push(record.number),
            Err(_) => troubles += 1,
        }
    }
    assert_eq!((seen, troubles), (vec![1, 2, 3, 4], 4));
}

#[tokio::test]
async fn what_came_of_a_transaction_is_unknown_unless_the_answer_is_about_it() {
    let key = random_key();
    let network = Network::new("mine", Kind::Local).unwrap();
    let draft = Draft {
        source: Address::of(&key),
        sequence: 1,
        fee: 100,
        window: Window::until(hayloft_core::Timestamp(9)),
        memo: Memo::None,
        steps: vec![Step { by: None, deed: Do::Pay { to: Address([1; 32]), amount: Amount(1) } }],
    };
    let hash = draft.hash(&network);
    let signed = draft.unsigned().signed(&key, &network);
    let name = data_encoding::HEXLOWER.encode(&hash);
    let honest = json!({ "hash": name, "ledger": 5, "successful": true });
    let other = json!({ "hash": "00".repeat(32), "ledger": 5, "successful": true });
    let failed = json!({ "hash": name, "ledger": 5, "successful": false });
    let applied = client(answers(&honest)).await.submit(&signed, &hash).await.unwrap();
    assert_eq!(applied, Submission::Applied { ledger: 5 });
    for way in [
        answers(&other),
        answers(&failed),
        answers(&json!({})),
        Way::Answers(504, String::new()),
        Way::Answers(503, String::new()),
        Way::Answers(429, String::new()),
        Way::Answers(500, "x".to_owned()),
        Way::Silent,
        Way::Drips,
        Way::HangsUp,
        Way::Endless(vec![b' '; 4096]),
        Way::Raw(b"x".to_vec()),
    ] {
        assert_eq!(client(way).await.submit(&signed, &hash).await.unwrap(), Submission::Unknown);
    }
    let codes = |transaction: &str| {
        let codes = json!({ "transaction": transaction, "operations": vec!["op_x\u{7}"; 500] });
        Way::Answers(400, json!({ "extras": { "result_codes": codes } }).to_string())
    };
    let declined = client(codes("tx_failed")).await.submit(&signed, &hash).await.unwrap();
    let Submission::Declined(codes) = declined else { panic!("{declined:?}") };
    assert_eq!((codes.operations.len(), codes.operations[0].as_str()), (100, "op_x"));
    let refused = client(Way::Answers(400, "{}".to_owned())).await.submit(&signed, &hash).await;
    assert!(matches!(refused, Err(HorizonError::Refused { .. })));
}
