//! Tags, keys and challenges, asked for by an owner who follows a script. Blocks have 496 bytes here, so that small shards
//! have many; every challenge asks for all blocks unless it says otherwise, so that nothing is left to chance.

use std::{fs, path::PathBuf};

use hayloft_core::{
    ContractId, ShardId,
    audit::{
        AuditKey, Beacon, Challenge, Commitment, Committer, Epoch, Evidence, Failure, Finding,
        MAX_BLOCKS_ASKED, Opening, ProofError, ProverKey, Question, Receipt, ReceiptError, Scope, Sectors,
        Tag, Tagger, VerifierKey,
    },
    contract::{ShardEntry, SignedRevision, SignedTerms, State, quota_bytes},
};
use hayloft_net::{
    NetError,
    limits::AUDIT_KEYS_PER_OWNER,
    messages::{Answer, RefusalCode, Request},
};

use super::bench::{Bench, MIB, Script, noise, offering, refused};

pub(super) const BLOCK: usize = 496;
/// Asks for every block of any contract here.
const ALL: u16 = MAX_BLOCKS_ASKED;

/// What an owner tags with.
struct Tagging {
    tagger: Tagger,
    prover: ProverKey,
}

impl Tagging {
    fn new(owner: &Script, sectors: Sectors) -> Self {
        let key = AuditKey::derive(&owner.keys.audit, sectors);
        Self { tagger: Tagger::new(&key), prover: key.prover_key() }
    }

    fn verifier(&self) -> &VerifierKey {
        self.prover.verifier()
    }
}

/// Shards under contract, with their tags.
pub(super) struct Stored {
    tagging: Tagging,
    pub(super) state: State,
    pub(super) shards: Vec<ShardId>,
}

impl Script {
    async fn send_key(&self, key: Vec<u8>) -> Result<(), NetError> {
        match self.ask(Request::AuditKey { key }).await? {
            Answer::KeyKept => Ok(()),
            other => panic!("{other:?}"),
        }
    }

    async fn upload_tagged(
        &self,
        contract: ContractId,
        id: ShardId,
        bytes: &[u8],
        tags: &[Tag],
    ) -> ShardEntry {
        let tags: Vec<u8> = tags.iter().flat_map(|tag| tag.0).collect();
        let (len, tag_bytes) = (bytes.len() as u64, tags.len() as u64);
        self.reserve(contract, quota_bytes(len + tag_bytes)).await.expect("reserved");
        let request = Request::Upload { contract, shard: id, bytes: len, tag_bytes };
        let mut upload = self.net.upload(self.farmer, &self.envelope(request)).await.expect("ready");
        upload.send(bytes).await.expect("sent");
        upload.send(&tags).await.expect("sent");
        let hash = *blake3::Hasher::new().update(bytes).update(&tags).finalize().as_bytes();
        assert_eq!(upload.finish().await.expect("stored"), hash);
        ShardEntry { id, bytes: len, tag_key: None }
    }

    /// Uploads a shard that its owner tags as it should.
    async fn upload_sound(&self, contract: ContractId, tagging: &Tagging, bytes: &[u8]) -> ShardEntry {
        let id = ShardId(rand::random());
        let tags = tagging.tagger.tag_shard(id, bytes);
        let entry = self.upload_tagged(contract, id, bytes, &tags).await;
        ShardEntry { tag_key: Some(tagging.verifier().id()), ..entry }
    }

    /// Puts shards of so many bytes under a contract.
    pub(super) async fn kept(&self, state: State, sectors: Sectors, sizes: &[usize]) -> Stored {
        let tagging = Tagging::new(self, sectors);
        self.send_key(tagging.prover.encode()).await.expect("sound");
        let mut added = Vec::new();
        for size in sizes {
            added.push(self.upload_sound(state.contract(), &tagging, &noise(*size)).await);
        }
        let shards = added.iter().map(|entry| entry.id).collect();
        let revision = self.propose(&state, added, Vec::new());
        let state = self.revise(&state, &revision).await.expect("revised");
        Stored { tagging, state, shards }
    }

    async fn shown(&self, contract: ContractId) -> (SignedTerms, SignedRevision) {
        match self.ask(Request::Contract { contract }).await.expect("shown") {
            Answer::Contract { terms, revision: Some(revision) } => (*terms, *revision),
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn challenge(&self, question: Question, root: [u8; 32]) -> Result<Receipt, NetError> {
        let (contract, epoch) = (question.contract, question.epoch);
        let mut promised = None;
        if let Some(commitment) = question.commitment() {
            let Answer::Committed { commitment } =
                self.ask(Request::Commit { contract, epoch, commitment }).await?
            else {
                panic!("no commitment");
            };
            promised = Some(commitment);
        }
        match self.ask(Request::Challenge(Box::new(question.clone()))).await? {
            Answer::Proved { nonce, answer } => {
                let opens = |promised: Commitment| {
                    nonce.is_some_and(|nonce| promised.opens_to(&contract, epoch, Committer::Farmer, &nonce))
                };
                assert!(promised.is_none_or(opens), "the farmer shows what it committed to");
                let network = super::bench::network();
                let transcript = question.transcript(network, self.farmer, root, nonce).expect("a beacon");
                Ok(Receipt { transcript, answer: *answer, shards: None })
            }
            other => panic!("{other:?}"),
        }
    }
}

impl Stored {
    pub(super) fn question(&self) -> Question {
        Question {
            contract: self.state.contract(),
            revision: self.state.newest().expect("revised").number,
            epoch: Epoch(0),
            beacon: Opening::Revealed { auditor: rand::random() },
            order: None,
            sectors: self.tagging.verifier().sectors(),
            scope: Scope::Epoch,
            blocks: ALL,
        }
    }

    pub(super) fn root(&self) -> [u8; 32] {
        self.state.newest().expect("revised").root
    }

    fn entries(&self) -> Vec<ShardEntry> {
        self.state.shards().cloned().collect()
    }

    pub(super) async fn judged(&self, asker: &Script, receipt: &Receipt) -> Result<Finding, ReceiptError> {
        let (terms, revision) = asker.shown(self.state.contract()).await;
        let (shards, keys) = (self.entries(), [self.tagging.verifier().clone()]);
        receipt.judge(&Evidence { terms: &terms, revision: &revision, shards: Some(&shards), keys: &keys })
    }

    /// What an audit of every block comes to.
    pub(super) async fn audit(&self, asker: &Script) -> Result<Result<(), Failure>, NetError> {
        let receipt = asker.challenge(self.question(), self.root()).await?;
        Ok(self.judged(asker, &receipt).await.expect("a receipt that shows something").outcome)
    }
}

impl Bench {
    pub(super) fn file(&self, shard: ShardId) -> PathBuf {
        let name = shard.to_string();
        self.home.path().join("shards").join(&name[..2]).join(name)
    }
}

pub(super) async fn bench() -> (Bench, Script) {
    let bench = Bench::new(offering(256 * MIB)).await;
    let owner = bench.owner().await;
    (bench, owner)
}

#[tokio::test]
async fn farmer_proves_what_it_keeps_and_whoever_has_the_public_data_can_check_it() {
    let (bench, owner) = bench().await;
    let sizes = [40 * BLOCK, 1, 17 * BLOCK + 3, 5 * BLOCK];
    let stored = owner.kept(owner.agree().await, Sectors::MIN, &sizes).await;
    assert_eq!(stored.audit(&owner).await, Ok(Ok(())));
    let few = Question { blocks: 3, ..stored.question() };
    let receipt = owner.challenge(few.clone(), stored.root()).await.expect("proved");
    let finding = stored.judged(&owner, &receipt).await.expect("sound");
    assert_eq!((finding.outcome, finding.names_ledger, finding.stands_for_epoch), (Ok(()), false, false));
    let again = owner.challenge(few, stored.root()).await.expect("proved");
    assert_eq!(again, receipt, "the same question gets the same answer");
    let one = Scope::Shards(vec![stored.shards[2]]);
    let receipt =
        owner.challenge(Question { scope: one, ..stored.question() }, stored.root()).await.expect("proved");
    assert_eq!(stored.judged(&owner, &receipt).await.map(|finding| finding.outcome), Ok(Ok(())));
    let bench = bench.restart().await;
    let mut owner = owner;
    owner.meet(&bench).await;
    assert_eq!(stored.audit(&owner).await, Ok(Ok(())), "keys and tags outlive a restart");
    let contract = stored.state.contract();
    let keys = owner.ask(Request::AuditKeys { contract }).await.expect("shown");
    assert_eq!(keys, Answer::AuditKeys(vec![stored.tagging.verifier().encode().to_vec()]));
}

/// Its receipt would pass for publicly random: whoever asks could have chosen the blocks.
#[tokio::test]
async fn a_question_drawn_from_an_invented_ledger_is_not_answered() {
    let (_bench, owner) = bench().await;
    let stored = owner.kept(owner.agree().await, Sectors::MIN, &[5 * BLOCK]).await;
    let ledger = Opening::Ledger { sequence: 7, hash: [7; 32] };
    let question = Question { beacon: ledger, ..stored.question() };
    refused(owner.challenge(question, stored.root()).await, RefusalCode::BadRequest);
    let order = Some(Beacon::Ledger { sequence: 7, hash: [7; 32] });
    let question = Question { order, ..stored.question() };
    refused(owner.challenge(question, stored.root()).await, RefusalCode::BadRequest);
    assert_eq!(stored.audit(&owner).await, Ok(Ok(())), "with nonces it is");
}

#[tokio::test]
async fn blocks_of_the_usual_size_are_proved_too() {
    let (_bench, owner) = bench().await;
    let stored = owner.kept(owner.agree().await, Sectors::DEFAULT, &[300_000, 63_488]).await;
    assert_eq!(stored.audit(&owner).await, Ok(Ok(())));
}

#[tokio::test]
async fn what_the_disk_lost_or_changed_never_passes_and_the_reason_is_told() {
    let (bench, owner) = bench().await;
    let kept = async || owner.kept(owner.agree().await, Sectors::MIN, &[100 * BLOCK; 4]).await;
    let wrong = Ok(Err(Failure::Proof(ProofError::DoesNotFit)));
    let deleted = kept().await;
    fs::remove_file(bench.file(deleted.shards[1])).expect("removed");
    assert_eq!(deleted.audit(&owner).await, Ok(Err(Failure::Lost(deleted.shards[1]))));
    let truncated = kept().await;
    let file = fs::read(bench.file(truncated.shards[2])).expect("read");
    fs::write(bench.file(truncated.shards[2]), &file[..file.len() - 1]).expect("cut");
    assert_eq!(truncated.audit(&owner).await, Ok(Err(Failure::Lost(truncated.shards[2]))));
    let swapped = kept().await;
    let [one, other] = [0, 3].map(|at| bench.file(swapped.shards[at]));
    let (first, second) = (fs::read(&one).expect("read"), fs::read(&other).expect("read"));
    fs::write(&one, second).and_then(|()| fs::write(&other, first)).expect("swapped");
    assert_eq!(swapped.audit(&owner).await, wrong);
    let flipped = kept().await;
    for shard in &flipped.shards {
        // One block of its hundred.
        let mut file = fs::read(bench.file(*shard)).expect("read");
        file[128 + 57 * BLOCK + 31] ^= 1;
        fs::write(bench.file(*shard), file).expect("written");
    }
    assert_eq!(flipped.audit(&owner).await, wrong);
    let tag = kept().await;
    let mut file = fs::read(bench.file(tag.shards[0])).expect("read");
    let (a, b) = (128 + 100 * BLOCK, 128 + 100 * BLOCK + Tag::BYTES);
    for at in 0..Tag::BYTES {
        file.swap(a + at, b + at);
    }
    fs::write(bench.file(tag.shards[0]), file).expect("written");
    assert_eq!(tag.audit(&owner).await, wrong, "tags of two blocks that changed places");
    assert_eq!(kept().await.audit(&owner).await, Ok(Ok(())), "others are not drawn in");
}

#[tokio::test]
async fn a_disk_that_is_not_connected_is_told_from_a_loss() {
    let (bench, owner) = bench().await;
    let stored = owner.kept(owner.agree().await, Sectors::MIN, &[5 * BLOCK]).await;
    let (folder, away) = (bench.home.path().join("shards"), bench.home.path().join("away"));
    fs::rename(&folder, &away).and_then(|()| fs::create_dir(&folder)).expect("unplugged");
    refused(stored.audit(&owner).await, RefusalCode::Internal);
    fs::remove_dir(&folder).and_then(|()| fs::rename(&away, &folder)).expect("plugged in");
    assert_eq!(stored.audit(&owner).await, Ok(Ok(())));
}

/// The system counts what is read: each challenged block once, its tag once, and nothing else.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_answer_reads_the_challenged_blocks_and_their_tags_and_nothing_else() {
    let (bench, owner) = bench().await;
    let sizes = [40 * BLOCK, 25 * BLOCK + 17, 1, 60 * BLOCK];
    let stored = owner.kept(owner.agree().await, Sectors::MIN, &sizes).await;
    for blocks in [1, 20, ALL] {
        let question = Question { blocks, ..stored.question() };
        let receipt = owner.challenge(question.clone(), stored.root()).await.expect("proved");
        let finding = stored.judged(&owner, &receipt).await.expect("sound");
        assert_eq!(finding.outcome, Ok(()));
        let challenge = Challenge::expand(&receipt.transcript, &stored.entries()).expect("as the farmer did");
        let asked: Vec<_> = challenge.parts().iter().flat_map(|part| part.blocks()).collect();
        let bytes = asked.iter().map(|block| block.range.end - block.range.start + Tag::BYTES as u64);
        let (answer, read) = bench.node.farmer_for_tests().answer_with_reads(question).await;
        assert_eq!(answer, receipt.answer, "the very answer that was sent");
        assert_eq!(read, (2 * asked.len() as u64, bytes.sum()), "reads and bytes");
    }
}

#[tokio::test]
async fn a_block_that_is_not_asked_for_is_not_missed() {
    let (bench, owner) = bench().await;
    let stored = owner.kept(owner.agree().await, Sectors::MIN, &[100 * BLOCK, 100 * BLOCK]).await;
    fs::remove_file(bench.file(stored.shards[0])).expect("removed");
    let other = Scope::Shards(vec![stored.shards[1]]);
    let receipt = owner.challenge(Question { scope: other, ..stored.question() }, stored.root()).await;
    let receipt = receipt.expect("only what was asked for is read");
    assert_eq!(stored.judged(&owner, &receipt).await.map(|finding| finding.outcome), Ok(Ok(())));
}

#[tokio::test]
async fn losses_that_a_scrub_found_are_reported_signed_and_before_anybody_asks() {
    let (bench, owner) = bench().await;
    let stored = owner.kept(owner.agree().await, Sectors::MIN, &[BLOCK; 5]).await;
    let contract = stored.state.contract();
    let report = async || match owner.ask(Request::Lost { contract, after: None }).await.expect("told") {
        Answer::Lost(signed) => {
            let network = super::bench::network();
            let report = signed.verify(&network, &contract, &owner.farmer, None).expect("signed").clone();
            assert!(!report.more);
            report.shards
        }
        other => panic!("{other:?}"),
    };
    assert!(report().await.is_empty());
    let mut news = bench.node.subscribe();
    let lost = stored.shards[3];
    fs::remove_file(bench.file(lost)).expect("removed");
    let admitted = Ok(Err(Failure::Lost(lost)));
    assert_eq!(stored.audit(&owner).await, admitted, "signed, as a proof is");
    let found = async {
        while report().await.is_empty() {
            let _ = news.recv().await;
        }
    };
    tokio::time::timeout(super::bench::PATIENCE, found).await.expect("the loss that showed is examined");
    assert_eq!(report().await, [lost]);
    assert_eq!(stored.audit(&owner).await, admitted);
    let removed = owner.propose(&stored.state, Vec::new(), vec![lost]);
    let state = owner.revise(&stored.state, &removed).await.expect("revised");
    let stored = Stored { state, ..stored };
    assert!(report().await.is_empty());
    assert_eq!(stored.audit(&owner).await, Ok(Ok(())), "what is left is proved");
}

#[tokio::test]
async fn planted_tags_are_refused_before_anything_is_signed_and_the_shard_is_named() {
    let (_bench, owner) = bench().await;
    let state = owner.agree().await;
    let contract = state.contract();
    let tagging = Tagging::new(&owner, Sectors::MIN);
    owner.send_key(tagging.prover.encode()).await.expect("sound");
    let key = Some(tagging.verifier().id());
    let bytes = noise(9 * BLOCK);
    let sound = owner.upload_sound(contract, &tagging, &bytes).await;
    let plant = async |change: &dyn Fn(&mut Vec<Tag>)| {
        let id = ShardId(rand::random());
        let mut tags = tagging.tagger.tag_shard(id, &bytes);
        change(&mut tags);
        let entry = owner.upload_tagged(contract, id, &bytes, &tags).await;
        let bad = ShardEntry { tag_key: key, ..entry };
        let mut added = vec![bad.clone(), sound.clone()];
        added.sort_by_key(|entry| entry.id);
        let revision = owner.propose(&state, added, Vec::new());
        let sentence = refused(owner.revise(&state, &revision).await, RefusalCode::BadTags);
        assert!(sentence.contains(&id.to_string()), "{sentence}");
    };
    let infinity: [u8; 48] = std::array::from_fn(|at| if at == 0 { 0xc0 } else { 0 });
    // x = 0: of order 3, on the curve and outside the group.
    let small: [u8; 48] = std::array::from_fn(|at| if at == 0 { 0x80 } else { 0 });
    plant(&|tags| tags.swap(2, 3)).await;
    plant(&|tags| tags[8] = tagging.tagger.tag_shard(ShardId([1; 32]), &bytes)[8]).await;
    plant(&|tags| tags[0] = Tag(infinity)).await;
    plant(&|tags| tags[0] = Tag(small)).await;
    plant(&|tags| tags[5].0[47] ^= 1).await;
    plant(&|tags| tags.truncate(8)).await;
    plant(&|tags| tags.clear()).await;
    // Two blocks whose tags are moved apart by the same point: their plain sum is right.
    plant(&|tags| {
        let other = tagging.tagger.tag_shard(ShardId([2; 32]), &bytes);
        (tags[0], tags[1]) = (other[0], other[1]);
    })
    .await;
    let (shard, bytes, tag_bytes) = (ShardId([3; 32]), bytes.len() as u64, 10 * Tag::BYTES as u64);
    let too_many = Request::Upload { contract, shard, bytes, tag_bytes };
    refused(owner.ask(too_many).await, RefusalCode::BadRequest);
    let untagged = ShardEntry { tag_key: None, ..sound.clone() };
    let revision = owner.propose(&state, vec![untagged], Vec::new());
    refused(owner.revise(&state, &revision).await, RefusalCode::BadTags);
    let revision = owner.propose(&state, vec![sound], Vec::new());
    owner.revise(&state, &revision).await.expect("nothing was signed before: this is number 0");
}

#[tokio::test]
async fn keys_are_checked_when_they_come_and_bounded() {
    let (_bench, owner) = bench().await;
    let key = Tagging::new(&owner, Sectors::MIN).prover.encode();
    refused(owner.send_key(key.clone()).await, RefusalCode::UnknownContract);
    let state = owner.agree().await;
    let mut disagreeing = key.clone();
    let last = key.len() - 48;
    disagreeing.copy_within(last - 48..last, last);
    let mut off_curve = key.clone();
    off_curve[last + 47] ^= 1;
    let small = [&key[..last], &[0x80], &[0; 47]].concat();
    let infinite = [&key[..3], &[0xc0], &[0; 95], &key[99..]].concat();
    let version = [&[9], &key[1..]].concat();
    for bad in [
        Vec::new(),
        key[..key.len() - 1].to_vec(),
        [&key[..], &[0]].concat(),
        vec![0; 250_000],
        disagreeing,
        off_curve,
        small,
        infinite,
        version,
    ] {
        refused(owner.send_key(bad).await, RefusalCode::BadKey);
    }
    let entry =
        owner.upload_sound(state.contract(), &Tagging::new(&owner, Sectors::MIN), &noise(BLOCK)).await;
    let revision = owner.propose(&state, vec![entry], Vec::new());
    refused(owner.revise(&state, &revision).await, RefusalCode::UnknownKey);
    owner.send_key(key.clone()).await.expect("sound");
    owner.revise(&state, &revision).await.expect("revised");
    owner.send_key(key).await.expect("the same again");
    let larger = AuditKey::derive(&owner.keys.audit, Sectors::try_from(17).expect("within bounds"));
    refused(owner.send_key(larger.prover_key().encode()).await, RefusalCode::BadKey);
    for number in 1..=AUDIT_KEYS_PER_OWNER {
        let stranger = owner.housemate().keys.audit;
        let sent = owner.send_key(AuditKey::derive(&stranger, Sectors::MIN).prover_key().encode()).await;
        if number < AUDIT_KEYS_PER_OWNER {
            sent.expect("few enough");
        } else {
            refused(sent, RefusalCode::BadKey);
        }
    }
}
