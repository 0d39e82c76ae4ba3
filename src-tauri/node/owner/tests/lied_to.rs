//! An auditor that lies to an owner: what it says of a farmer is shown as said, and counts for what its receipt shows.

use std::sync::{Arc, Mutex};

use hayloft_core::{
    NetworkName,
    audit::{
        self, BLOCKS_PER_EPOCH, Commitment, Committer, Epoch, Failure, Opening, ProofError, Question,
        Receipt, Scope, Sectors,
    },
    auditor::{Judgement, Reason, Verdict},
    contract::{SignedRevision, SignedTerms},
    keys::DeviceKey,
};
use hayloft_net::{
    Incoming, Net, NetConfig,
    messages::{Answer, Envelope, Followed, Refusal, RefusalCode, Request},
};

use super::bed::{Bed, noise};
use crate::{
    Clock,
    model::{EpochVerdict, ReceiptWish, VerdictWord},
    owner::survey,
};

/// The auditor: it is told of a contract, and says what a test wants.
struct Liar {
    net: Net,
    said: Arc<Mutex<Said>>,
}

#[derive(Default)]
struct Said {
    followed: Option<Followed>,
    verdicts: Vec<(Judgement, bool)>,
    receipt: Option<(SignedRevision, Vec<u8>)>,
    /// Verdicts are told once so many have been asked for.
    together: usize,
}

impl Liar {
    async fn start(network: &NetworkName) -> Self {
        let key = DeviceKey::random(&mut rand::rng());
        let config =
            NetConfig { memory: true, listen: vec!["/memory/0".into()], ..NetConfig::new(network.clone()) };
        let (net, incoming) = Net::start(config, &key).await.expect("starts");
        net.announce_farmer(true);
        let said = Arc::<Mutex<Said>>::default();
        tokio::spawn(serve(incoming, said.clone()));
        Self { net, said }
    }

    fn address(&self) -> String {
        self.net.addresses().remove(0)
    }

    fn says(&self, verdict: Verdict, reason: Option<Reason>, receipt: Option<(SignedRevision, Vec<u8>)>) {
        let mut said = self.said.lock().expect("no panic");
        let revision = said.followed.as_ref().map_or(0, |told| told.revision.revision.number);
        let judgement =
            Judgement { epoch: Epoch(0), revision, verdict, reason, at: hayloft_core::Timestamp(1) };
        said.verdicts = vec![(judgement, receipt.is_some())];
        said.receipt = receipt;
    }

    fn followed(&self) -> (SignedTerms, SignedRevision) {
        let said = self.said.lock().expect("no panic");
        let told = said.followed.clone().expect("it was told of a contract");
        (told.terms, told.revision)
    }

    /// A real answer of the farmer to a question of this auditor.
    async fn asks(&self, scope: Scope) -> (SignedRevision, Vec<u8>) {
        let (terms, revision) = self.followed();
        let (contract, farmer) = (terms.terms.id(), terms.terms.farmer);
        let beacon = Opening::Revealed { auditor: [7; 32] };
        let (number, root) = (revision.revision.number, revision.revision.root);
        let (sectors, blocks, order) = (Sectors::DEFAULT, BLOCKS_PER_EPOCH, None);
        let question =
            Question { contract, revision: number, epoch: Epoch(0), beacon, order, sectors, scope, blocks };
        let commitment = Commitment::to(&contract, Epoch(0), Committer::Auditor, &[7; 32]);
        let ask = async |request| {
            self.net.ask(farmer, &Envelope { certificate: None, request }).await.expect("answered")
        };
        ask(Request::Commit { contract, epoch: Epoch(0), commitment }).await;
        let Answer::Proved { nonce, answer } = ask(Request::Challenge(Box::new(question.clone()))).await
        else {
            panic!("no proof")
        };
        let transcript = question.transcript(terms.terms.network, farmer, root, nonce).expect("both nonces");
        (revision, Receipt { transcript, answer: *answer, shards: None }.encode())
    }
}

async fn serve(mut incoming: Incoming, said: Arc<Mutex<Said>>) {
    let mut waiting = Vec::new();
    while let Some(inbound) = incoming.next().await {
        let answer = {
            let mut said = said.lock().expect("no panic");
            match inbound.envelope.request.clone() {
                Request::Follow(told) => {
                    let number = told.revision.revision.number;
                    said.followed = Some(*told);
                    Answer::Following { number }
                }
                Request::Verdicts { .. } => Answer::Verdicts { verdicts: said.verdicts.clone(), more: false },
                Request::Receipt { .. } => match said.receipt.clone() {
                    Some((revision, receipt)) => Answer::Receipt { revision: Box::new(revision), receipt },
                    None => refusal(),
                },
                _ => refusal(),
            }
        };
        if matches!(answer, Answer::Verdicts { .. }) {
            waiting.push((inbound, answer));
            if waiting.len() >= said.lock().expect("no panic").together {
                waiting.drain(..).for_each(|(inbound, answer)| drop(tokio::spawn(inbound.answer(answer))));
            }
        } else {
            tokio::spawn(inbound.answer(answer));
        }
    }
}

fn refusal() -> Answer {
    Answer::Refused(Refusal { code: RefusalCode::BadRequest, sentence: "No.".into() })
}

async fn shown(bed: &Bed) -> EpochVerdict {
    let history = bed.node.audit_history(None).await.expect("a history");
    history.followed[0].verdicts.as_ref().expect("the auditor answers")[0].clone()
}

async fn exports(bed: &Bed, liar: &Liar) -> bool {
    let farmer = liar.followed().0.terms.farmer.to_string();
    bed.node.audit_export(ReceiptWish { farmer, contract: None, epoch: Some(0) }).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_auditors_accusation_counts_for_what_its_receipt_shows() {
    let liar = Liar::start(&"bed".parse().expect("a name")).await;
    let bed = Bed::audited(1, Clock::system(), &liar.address()).await;
    bed.put_bytes("file", &noise(1, 300_000)).await;
    let told = async {
        while liar.said.lock().expect("no panic").followed.is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), told).await.expect("the auditor is told");
    let farmer = bed.farms[0].node.status().await.expect("a status");
    liar.net.hint(farmer.device.parse().expect("a device"), &farmer.addresses);
    let wrong = Some(Reason::WrongProof(Failure::Proof(ProofError::DoesNotFit)));
    let real = liar.asks(Scope::Epoch).await;
    liar.says(Verdict::Passed, None, Some(real.clone()));
    assert_eq!(shown(&bed).await.verdict, VerdictWord::Passed);
    assert!(exports(&bed, &liar).await, "a real receipt holds");
    // A failure without a receipt.
    liar.says(Verdict::Failed, wrong, None);
    let line = shown(&bed).await;
    assert_eq!(line.verdict, VerdictWord::Undecided);
    assert!(line.reason.is_some_and(|reason| reason.contains("no receipt")));
    // With one that shows a pass.
    liar.says(Verdict::Failed, wrong, Some(real.clone()));
    assert_eq!(shown(&bed).await.verdict, VerdictWord::Undecided);
    // With one that it forged, or moved to this epoch.
    let (revision, bytes) = real.clone();
    let mut forged = Receipt::decode(&bytes).expect("a receipt");
    forged.answer = audit::Answer::sign(&forged.transcript, vec![], &DeviceKey::from_bytes(&[3; 32]));
    liar.says(Verdict::Failed, wrong, Some((revision.clone(), forged.encode())));
    assert_eq!(shown(&bed).await.verdict, VerdictWord::Undecided);
    assert!(!exports(&bed, &liar).await, "a forged receipt is given to nobody");
    let mut moved = Receipt::decode(&bytes).expect("a receipt");
    moved.transcript.epoch = Epoch(5);
    liar.says(Verdict::Failed, wrong, Some((revision, moved.encode())));
    assert_eq!(shown(&bed).await.verdict, VerdictWord::Undecided);
    // Bytes that are no receipt.
    liar.says(Verdict::Failed, wrong, Some((real.0.clone(), vec![1; 1000])));
    assert_eq!(shown(&bed).await.verdict, VerdictWord::Undecided);
    // Silence leaves no receipt: it is shown as the auditor's word, which it is.
    liar.says(Verdict::Failed, Some(Reason::Silence), None);
    assert_eq!(shown(&bed).await.verdict, VerdictWord::Failed);
    bed.close().await;
}

/// Else one that every contract names, and that answers as late as it may, would put off all repairs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_auditor_that_takes_its_time_over_one_contract_keeps_no_other_from_being_looked_into() {
    const FARMERS: usize = 3;
    let liar = Liar::start(&"bed".parse().expect("a name")).await;
    let bed = Bed::audited(FARMERS, Clock::system(), &liar.address()).await;
    bed.put_bytes("file", &noise(2, 300_000)).await;
    liar.said.lock().expect("no panic").together = FARMERS;
    let owner = bed.node.owner_for_tests().await.inner;
    let looked = survey::look_at_all(&owner);
    let looked = tokio::time::timeout(std::time::Duration::from_secs(50), looked).await;
    looked.expect("all contracts are looked into at once").expect("the books are read");
    bed.close().await;
}
