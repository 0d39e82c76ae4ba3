//! How many transactions a second the ledger sustains: ten thousand accounts, each paying another, submitted over HTTP
//! and closed every second, client and server on the same cores. Printed beside ed25519 verification on one core of
//! the same run, because machines differ.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use data_encoding::BASE64;
use ed25519_dalek::{Signature, Signer, SigningKey, Verifier as _, VerifyingKey};
use hayloft_ledger::{
    Closing, Ledger, LedgerOptions,
    rules::{entry::account_id, envelope::Envelope, sha256},
};
use stellar_base::xdr::{
    Asset, CreateAccountOp, DecoratedSignature, Limits, Memo, MuxedAccount, Operation, OperationBody,
    PaymentOp, Preconditions, SequenceNumber, Signature as XdrSignature, SignatureHint, Transaction,
    TransactionEnvelope, TransactionExt, TransactionV1Envelope, Uint256, WriteXdr,
};

const ACCOUNTS: usize = 10_000;
const TRANSACTIONS: usize = 20_000;
/// Requests under way: as many as a few ledgers' worth, since each waits for its ledger.
const AT_ONCE: usize = 4_000;
const FUNDS: i64 = 1_000_000_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let verify = verifications_per_second();
    let rate = runtime.block_on(run());
    println!("ed25519 verify_strict on one core: {verify:.0} a second");
    println!("transactions: {rate:.0} a second; ratio to one core's verifications {:.3}", rate / verify);
}

fn verifications_per_second() -> f64 {
    let key = SigningKey::from_bytes(&[1; 32]);
    let signature: Signature = key.sign(b"a transaction's hash, 32 bytes long");
    let public: VerifyingKey = key.verifying_key();
    assert!(public.verify(b"a transaction's hash, 32 bytes long", &signature).is_ok());
    let (count, begun) = (20_000, Instant::now());
    for _ in 0..count {
        let verified =
            std::hint::black_box(&public).verify_strict(b"a transaction's hash, 32 bytes long", &signature);
        assert!(verified.is_ok());
    }
    f64::from(count) / begun.elapsed().as_secs_f64()
}

fn key(index: usize) -> SigningKey {
    SigningKey::from_bytes(&sha256(&[b"bench", &index.to_be_bytes()]))
}

fn signed(network: &[u8; 32], key: &SigningKey, sequence: i64, operations: Vec<OperationBody>) -> Vec<u8> {
    let public = key.verifying_key().to_bytes();
    let operations: Vec<_> =
        operations.into_iter().map(|body| Operation { source_account: None, body }).collect();
    let tx = Transaction {
        source_account: MuxedAccount::Ed25519(Uint256(public)),
        fee: 100 * u32::try_from(operations.len()).expect("few operations"),
        seq_num: SequenceNumber(sequence),
        cond: Preconditions::None,
        memo: Memo::None,
        operations: operations.try_into().expect("at most a hundred"),
        ext: TransactionExt::V0,
    };
    let bare = TransactionV1Envelope { tx, signatures: Vec::new().try_into().expect("none") };
    let hash = Envelope::new(TransactionEnvelope::Tx(bare.clone()), network).hash();
    let signature = XdrSignature(key.sign(&hash).to_bytes().to_vec().try_into().expect("64 bytes"));
    let [.., a, b, c, d] = public;
    let signatures = vec![DecoratedSignature { hint: SignatureHint([a, b, c, d]), signature }];
    let envelope = TransactionV1Envelope { signatures: signatures.try_into().expect("one"), ..bare };
    TransactionEnvelope::Tx(envelope).to_xdr(Limits::none()).expect("writes into memory")
}

fn pay(to: usize) -> OperationBody {
    let destination = MuxedAccount::Ed25519(Uint256(key(to).verifying_key().to_bytes()));
    OperationBody::Payment(PaymentOp { destination, asset: Asset::Native, amount: 1 })
}

async fn submit(client: &reqwest::Client, url: &str, envelope: &[u8]) {
    let body =
        format!("tx={}", BASE64.encode(envelope).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D"));
    let mut tries = 0;
    let answer = loop {
        let request = client.post(format!("{url}/transactions")).body(body.clone());
        match request.header("content-type", "application/x-www-form-urlencoded").send().await {
            Ok(answer) => break answer,
            // Thousands of connections at once overflow the socket's queue; the identical envelope may be sent again.
            Err(error) => assert!(tries < 20, "{error:?}"),
        }
        tries += 1;
    };
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap_or_default());
    answer.bytes().await.expect("a body");
}

async fn run() -> f64 {
    let home = tempfile::tempdir().expect("a folder");
    let options = LedgerOptions {
        closing: Closing::Every(Duration::from_secs(1)),
        ..LedgerOptions::new(home.path().to_owned())
    };
    let ledger = Arc::new(Ledger::start(options).await.expect("a ledger"));
    let network = sha256(&[ledger.passphrase().as_bytes()]);
    let client = reqwest::Client::builder().pool_max_idle_per_host(AT_ONCE).build().expect("a client");
    let first = found(&ledger, &client, &network).await;
    let rounds = TRANSACTIONS / ACCOUNTS;
    let envelopes: Vec<Vec<u8>> = (0..rounds)
        .flat_map(|round| (0..ACCOUNTS).map(move |index| (round, index)))
        .map(|(round, index)| {
            let sequence = first[index] + 1 + i64::try_from(round).expect("few rounds");
            signed(&network, &key(index), sequence, vec![pay((index + 1) % ACCOUNTS)])
        })
        .collect();
    let envelopes = Arc::new(envelopes);
    let next = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let cpu = cpu_seconds();
    let workers = (0..AT_ONCE).map(|_| {
        let (client, url) = (client.clone(), ledger.url().to_owned());
        let (envelopes, next) = (Arc::clone(&envelopes), Arc::clone(&next));
        tokio::spawn(async move {
            while let Some(envelope) = envelopes.get(next.fetch_add(1, Ordering::Relaxed)) {
                submit(&client, &url, envelope).await;
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.expect("a worker");
    }
    let elapsed = begun.elapsed().as_secs_f64();
    if let (Some(before), Some(after)) = (cpu, cpu_seconds()) {
        println!(
            "{:.2} CPU seconds per thousand transactions, the client's share included",
            (after - before) * 1000.0 / TRANSACTIONS as f64
        );
    }
    if let Some(peak) = peak_memory() {
        println!("peak memory, client and all envelopes included: {peak}");
    }
    TRANSACTIONS as f64 / elapsed
}

/// Founds the accounts and returns their sequence numbers.
async fn found(ledger: &Ledger, client: &reqwest::Client, network: &[u8; 32]) -> Vec<i64> {
    let url = ledger.url();
    let makers = ACCOUNTS / 100;
    let mut sequences = Vec::with_capacity(ACCOUNTS);
    let friends = (0..makers).map(async |maker| {
        let address = account_id(key(ACCOUNTS + maker).verifying_key().to_bytes());
        let asked = client.get(format!("{url}/friendbot?addr={address}")).send();
        assert!(asked.await.expect("an answer").status().is_success());
    });
    futures::future::join_all(friends).await;
    let made = (0..makers).map(async |maker| {
        let maker_key = key(ACCOUNTS + maker);
        let sequence = sequence(client, url, &maker_key).await;
        let create = |index| {
            let destination = account_id(key(index).verifying_key().to_bytes());
            OperationBody::CreateAccount(CreateAccountOp { destination, starting_balance: FUNDS / 2 })
        };
        let operations = (maker * 100..(maker + 1) * 100).map(create).collect();
        submit(client, url, &signed(network, &maker_key, sequence + 1, operations)).await;
    });
    futures::future::join_all(made).await;
    for index in 0..ACCOUNTS {
        sequences.push(sequence(client, url, &key(index)).await);
    }
    sequences
}

async fn sequence(client: &reqwest::Client, url: &str, key: &SigningKey) -> i64 {
    let address = account_id(key.verifying_key().to_bytes());
    let answer = client.get(format!("{url}/accounts/{address}")).send().await.expect("an answer");
    let account: serde_json::Value = answer.json().await.expect("an account");
    account["sequence"].as_str().and_then(|text| text.parse().ok()).expect("a sequence number")
}

/// Processor time of this process, where the system tells.
fn cpu_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = text.rsplit(')').next()?.split_whitespace().skip(11);
    let ticks: f64 = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
    Some(ticks / 100.0)
}

fn peak_memory() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.trim_start_matches("VmHWM:").trim().to_owned())
}
