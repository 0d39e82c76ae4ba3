//! What owners and farmers say to each other: one request frame, one answer frame, then data frames for the two
//! transfers. What is signed in them is defined in `core`; this file defines only what is sent.
//!
//! Who may ask what:
//! * [`Request::Offer`] and [`Request::Audited`]: anybody;
//! * [`Request::Contract`], [`Request::Shards`], [`Request::AuditKeys`], [`Request::Lost`], [`Request::Commit`] and
//!   [`Request::Challenge`]: devices that the contract's owner certified, and the auditor that its terms name, without a
//!   certificate;
//! * [`Request::Mandated`]: whoever has a mandate of the contract's auditor;
//! * of an auditor, [`Request::Standing`]: anybody; [`Request::Relay`]: the auditor that the terms in it name; [`Request::Follow`], [`Request::Verdicts`], [`Request::Receipt`] and
//!   [`Request::RevisionShards`]: devices that the contract's owner certified; the last three also its farmer;
//! * all others: devices that the owner certified. The farmer checks that the certificate names the peer at the other
//!   end of the connection.
//!
//! * about money, of farmers and auditors: [`Request::Payee`]: anybody; [`Request::Fund`]: devices that the contract's owner
//!   certified, and of an auditor the contract's farmer; [`Request::Cosign`], [`Request::History`] and [`Request::Vouchers`]: its farmer, its auditor, and devices that
//!   its owner certified.
//!
//! A challenge, where there is no ledger:
//! ```text
//! auditor                                             farmer
//! Lost { contract }                   ────►
//!                                     ◄────           Lost: what it admits beforehand, signed
//! Commit { commitment to a nonce }    ────►
//!                                     ◄────           Committed { commitment to its own }
//! Challenge { question, the nonce }   ────►           makes the transcript of both nonces, reads, proves
//!                                     ◄────           Working, Working, … Proved { its nonce, signed answer }
//! ```
//! With a ledger the first `Commit` is left out, and the answer has no nonce.
//!
//! Where many farmers seem to fail at once, a second auditor asks the same over its own line:
//! ```text
//! auditor                        second auditor                     farmer
//! Relay { terms, mandate, ask } ────►
//!                               ◄──── Working…   Mandated { mandate, ask } ────►
//!                               ◄──── Relayed(what it answered, or silence) ◄────
//! ```

use hayloft_core::{
    ContractId, DeviceId, ShardId, Signature, Timestamp,
    audit::{self, Commitment, Epoch, Question, SignedLossReport, SignedMandate},
    auditor::{Judgement, record::Account},
    contract::{Revision, ShardEntry, SignedRevision, SignedTerms, Terms},
    record::{DeviceCertificate, SignedAuditorRecord, SignedFarmerRecord},
    voucher::SignedVoucher,
};
use serde::{Deserialize, Serialize};

/// A voucher, and the owner's word for the device that signed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownVoucher {
    /// The voucher.
    pub voucher: SignedVoucher,
    /// By the contract's owner.
    pub certificate: DeviceCertificate,
}

/// A request and who sends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The owner's word for the sending device; only [`Request::Offer`] does without.
    pub certificate: Option<DeviceCertificate>,
    /// What is asked.
    pub request: Request,
}

/// What an owner asks of a farmer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// What you are, freshly signed: a farmer's offer, an auditor's record, or both. Answer: [`Answer::Offer`].
    Offer,
    /// Sign these terms, which the owner has signed. The same terms again get the same answer. Answer:
    /// [`Answer::Agreed`].
    Agree {
        /// The proposed terms.
        terms: Terms,
        /// The owner's signature over them.
        owner: Signature,
    },
    /// The contract as you know it. Answer: [`Answer::Contract`].
    Contract {
        /// Which one.
        contract: ContractId,
    },
    /// The contract's shards in order of id. Answer: [`Answer::Shards`].
    Shards {
        /// Which contract.
        contract: ContractId,
        /// Those with greater ids than this; none begins at the first.
        after: Option<ShardId>,
    },
    /// Hold space for shards that are about to come. Answer: [`Answer::Reserved`].
    Reserve {
        /// Under which contract.
        contract: ContractId,
        /// The shards' `core::contract::quota_bytes`, on top of what this contract has already reserved.
        bytes: u64,
    },
    /// Take this shard out of the reserved space. Answer: [`Answer::Ready`]; then the owner sends the missing bytes
    /// as data frames, those of the tags after those of the shard, and the farmer closes with [`Answer::Stored`].
    Upload {
        /// Under which contract.
        contract: ContractId,
        /// The sealing.
        shard: ShardId,
        /// Sealed bytes in all.
        bytes: u64,
        /// Bytes of its tags, one tag for each block; 0 if it has none.
        tag_bytes: u64,
    },
    /// Sign this revision, which the owner has signed. All added shards must have been stored, and the tags of those
    /// with a tag key must be right, which the farmer checks now. The same revision again gets the same answer. Answer:
    /// [`Answer::Working`] while it checks, [`Answer::Revised`].
    Revise {
        /// The proposed revision.
        revision: Revision,
        /// The owner's signature over it.
        owner: Signature,
    },
    /// Send these bytes of a shard. Answer: [`Answer::Sending`], then data frames.
    Download {
        /// Under which contract.
        contract: ContractId,
        /// The sealing.
        shard: ShardId,
        /// First byte wanted.
        offset: u64,
        /// Bytes wanted.
        bytes: u64,
    },
    /// Free what is reserved under this contract and taken by no shard, and forget those of these shards that no
    /// revision includes, with what is reserved for them. Answer: [`Answer::Released`].
    Release {
        /// Under which contract.
        contract: ContractId,
        /// At most `limits::SHARDS_PER_PAGE`; unknown ones and those under contract are left alone.
        shards: Vec<ShardId>,
    },
    /// Keep this audit key of mine: shards are tagged with it. Once is enough for as long as there is a contract. Answer:
    /// [`Answer::Working`] while it is checked, [`Answer::KeyKept`].
    AuditKey {
        /// What provers need, as `core::audit::ProverKey` encodes it.
        key: Vec<u8>,
    },
    /// What a verifier needs of the keys that the contract's shards are tagged with. Answer: [`Answer::AuditKeys`].
    AuditKeys {
        /// Which contract.
        contract: ContractId,
    },
    /// The contracts that name the asking device as their auditor, in order of id. Answer: [`Answer::Audited`].
    Audited {
        /// Those with greater ids than this; none begins at the first.
        after: Option<ContractId>,
    },
    /// The shards under the contract that this farmer knows it has lost. Answer: [`Answer::Lost`].
    Lost {
        /// Which contract.
        contract: ContractId,
        /// Those with greater ids than this; none begins at the first.
        after: Option<ShardId>,
    },
    /// Commit to a nonce for an audit, as I do. Answer: [`Answer::Committed`].
    Commit {
        /// Which contract is to be audited.
        contract: ContractId,
        /// The epoch.
        epoch: Epoch,
        /// The auditor's.
        commitment: Commitment,
    },
    /// Prove that you have these blocks. The same question again gets the same answer as long as the revision is the
    /// newest. Answer: [`Answer::Working`] while it reads, [`Answer::Proved`].
    Challenge(Box<Question>),
    /// Follow this contract, whose terms name you as its auditor; said again after each revision. The same again is no
    /// error. Answer: [`Answer::Following`].
    Follow(Box<Followed>),
    /// What you have judged under this contract. Answer: [`Answer::Verdicts`].
    Verdicts {
        /// Which contract.
        contract: ContractId,
        /// Those of epochs before this one; none begins with the newest.
        before: Option<Epoch>,
    },
    /// The receipt of an epoch. Answer: [`Answer::Receipt`].
    Receipt {
        /// Under which contract.
        contract: ContractId,
        /// The epoch.
        epoch: Epoch,
    },
    /// The shards under a revision that you have judged. Answer: [`Answer::Shards`].
    RevisionShards {
        /// Which contract.
        contract: ContractId,
        /// The revision's number.
        number: u64,
        /// Those with greater ids than this; none begins at the first.
        after: Option<ShardId>,
    },
    /// What you know of a farmer. Answer: [`Answer::Standing`].
    Standing {
        /// The farmer.
        farmer: DeviceId,
    },
    /// By which account you are paid and sign on the ledger. Answer: [`Answer::Payee`].
    Payee,
    /// An escrow pays for a contract that names you as its farmer or auditor, agreed on or about to be. Answer:
    /// [`Answer::Funded`], once the ledger shows the escrow as it is planned.
    Fund {
        /// The contract's terms.
        terms: Box<Terms>,
        /// The escrow's plan, as `payments::wallet::encode` writes it; at most `limits::PLAN_BYTES`.
        plan: Vec<u8>,
        /// By the plan's owner, as `payments::escrow::assign` makes it.
        assigned: Signature,
    },
    /// Sign this settlement, if your own records bear it out. Answer: [`Answer::Cosigned`].
    Cosign {
        /// Under which contract.
        contract: ContractId,
        /// The newest revision that it counts; what you do not know of those up to it, ask of me.
        newest: u64,
        /// The transaction as XDR, without signatures; at most `limits::TRANSACTION_BYTES`.
        settlement: Vec<u8>,
        /// Vouchers that it counts and that you may not know, the newest, at most `limits::VOUCHERS_PER_PAGE`.
        vouchers: Vec<ShownVoucher>,
    },
    /// The revisions of a contract from this number on. Answer: [`Answer::History`].
    History {
        /// Which contract.
        contract: ContractId,
        /// The first number.
        from: u64,
    },
    /// What this device has vouched for in a settlement period, and was served beyond. Answer: [`Answer::Tab`].
    Tab {
        /// Under which contract.
        contract: ContractId,
        /// In which settlement period, counted from the contract's start.
        period: u32,
    },
    /// A voucher for what this device was served. Answer: [`Answer::Tab`].
    Vouch(Box<SignedVoucher>),
    /// The vouchers under a contract, by period and device. Answer: [`Answer::Vouchers`].
    Vouchers {
        /// Under which contract.
        contract: ContractId,
        /// Those after this period and device; none begins at the first.
        after: Option<(u32, DeviceId)>,
    },
    /// Asked in the place of a contract's auditor. Answer: as its own question would be answered.
    Mandated {
        /// By whose right.
        mandate: Box<SignedMandate>,
        /// What is asked.
        ask: Box<Mandated>,
    },
    /// Ask this contract's farmer in my place, over your line, and tell me what it says. Answer: [`Answer::Working`] while it
    /// is asked, [`Answer::Relayed`].
    Relay(Box<Relay>),
}

/// What may be asked in an auditor's place. Nothing of it is about another contract than the mandate's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mandated {
    /// As [`Request::AuditKeys`].
    AuditKeys,
    /// As [`Request::Lost`].
    Lost {
        /// Those with greater ids than this; none begins at the first.
        after: Option<ShardId>,
    },
    /// As [`Request::Commit`], about the mandate's epoch.
    Commit(Commitment),
    /// As [`Request::Challenge`], about the mandate's contract and epoch.
    Challenge(Box<Question>),
}

/// What a second auditor is asked to ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relay {
    /// The contract's terms, which name farmer and first auditor.
    pub terms: SignedTerms,
    /// The first auditor's word for the second.
    pub mandate: SignedMandate,
    /// What is asked.
    pub ask: Mandated,
}

/// What a farmer answered to a second auditor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Relayed {
    /// Nothing, or nothing that can be understood.
    Silence,
    /// No, and why.
    Refused(Refusal),
    /// As [`Answer::AuditKeys`].
    AuditKeys(Vec<Vec<u8>>),
    /// As [`Answer::Lost`].
    Lost(Box<SignedLossReport>),
    /// As [`Answer::Committed`].
    Committed(Commitment),
    /// As [`Answer::Proved`].
    Proved {
        /// The farmer's nonce.
        nonce: Option<[u8; 32]>,
        /// The signed answer.
        answer: Box<audit::Answer>,
    },
}

impl Request {
    /// Whether this is about money: asked of farmers and auditors alike.
    pub fn is_about_money(&self) -> bool {
        matches!(
            self,
            Self::Payee
                | Self::Fund { .. }
                | Self::Cosign { .. }
                | Self::History { .. }
                | Self::Vouchers { .. }
        )
    }

    /// Whether this is asked of auditors, rather than of farmers.
    pub fn is_for_auditors(&self) -> bool {
        matches!(
            self,
            Self::Follow(_)
                | Self::Verdicts { .. }
                | Self::Receipt { .. }
                | Self::RevisionShards { .. }
                | Self::Standing { .. }
                | Self::Relay(_)
        )
    }
}

/// A contract as its auditor is told of it. All of it is signed or follows from what is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Followed {
    /// As both signed them.
    pub terms: SignedTerms,
    /// As both signed it.
    pub revision: SignedRevision,
    /// All shards under it, if they are at most `limits::SHARDS_PER_PAGE`: of more the farmer is asked.
    pub shards: Option<Vec<ShardEntry>>,
}

/// What a node says of itself; never nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offered {
    /// If it farms.
    pub farmer: Option<SignedFarmerRecord>,
    /// If it audits.
    pub auditor: Option<SignedAuditorRecord>,
}

impl From<SignedFarmerRecord> for Offered {
    fn from(record: SignedFarmerRecord) -> Self {
        Self { farmer: Some(record), auditor: None }
    }
}

/// What a farmer answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// What the node is.
    Offer(Box<Offered>),
    /// The terms with both signatures.
    Agreed(Box<SignedTerms>),
    /// The contract's terms and newest revision; none before the first.
    Contract {
        /// As both signed them.
        terms: Box<SignedTerms>,
        /// As both signed it.
        revision: Option<Box<SignedRevision>>,
    },
    /// At most `limits::SHARDS_PER_PAGE` shards, and whether more follow.
    Shards {
        /// In ascending order of id.
        shards: Vec<ShardEntry>,
        /// Whether there are more.
        more: bool,
    },
    /// Space is held until then; a shard that is sent holds its part for as long as enough bytes flow.
    Reserved {
        /// End of the reservation.
        until: Timestamp,
    },
    /// Send the shard from this byte on; earlier ones have arrived before.
    Ready {
        /// Bytes that the farmer already has.
        have: u64,
        /// Bytes of the shard that may be sent before the farmer says more.
        room: u64,
    },
    /// While an upload flows: so much of it has arrived. Said again and again, also while the farmer keeps to a limit of
    /// its own, so that the owner can tell a slow line or farmer from a silent one.
    Received {
        /// Bytes of the shard that have arrived, earlier ones among them.
        bytes: u64,
        /// Bytes of the shard that may be sent before the farmer says more; never less than before.
        room: u64,
    },
    /// The whole shard is on disk, synced.
    Stored {
        /// BLAKE3 of its sealed bytes and, behind them, those of its tags.
        hash: [u8; 32],
    },
    /// The farmer's signature over the revision.
    Revised {
        /// By the farmer's device key.
        farmer: Signature,
    },
    /// So many bytes follow.
    Sending {
        /// Bytes that follow.
        bytes: u64,
    },
    /// No, and why.
    Refused(Refusal),
    /// It is free again.
    Released,
    /// The audit key is sound and kept.
    KeyKept,
    /// At most `core::audit::MAX_TAG_KEYS` keys, as `core::audit::VerifierKey` encodes them, in order of their ids.
    AuditKeys(Vec<Vec<u8>>),
    /// At most `limits::CONTRACTS_PER_PAGE` contracts, and whether more follow.
    Audited {
        /// In ascending order.
        contracts: Vec<ContractId>,
        /// Whether there are more.
        more: bool,
    },
    /// At most `limits::SHARDS_PER_PAGE` shards that the farmer has lost.
    Lost(Box<SignedLossReport>),
    /// The farmer has committed to its nonce.
    Committed {
        /// The farmer's.
        commitment: Commitment,
    },
    /// Still at it: the answer comes. Said every `limits::WORKING_PAUSE`.
    Working,
    /// The proof.
    Proved {
        /// The farmer's nonce, to which it has committed; none if a ledger was the beacon.
        nonce: Option<[u8; 32]>,
        /// The proofs, with the farmer's signature over transcript and proofs.
        answer: Box<audit::Answer>,
    },
    /// This revision is the newest that the auditor follows.
    Following {
        /// Its number.
        number: u64,
    },
    /// At most `limits::VERDICTS_PER_PAGE` verdicts, in descending order of epoch, and whether more follow.
    Verdicts {
        /// Each, and whether there is a receipt.
        verdicts: Vec<(Judgement, bool)>,
        /// Whether there are older ones.
        more: bool,
    },
    /// A receipt and the revision it is about.
    Receipt {
        /// As both signed it.
        revision: Box<SignedRevision>,
        /// As `core::audit::Receipt` encodes it, without the shards.
        receipt: Vec<u8>,
    },
    /// What an auditor knows of a farmer; none if it has never asked it.
    Standing(Option<Box<Account>>),
    /// The public key of the account.
    Payee {
        /// Ed25519.
        account: [u8; 32],
    },
    /// The escrow stands, and is kept.
    Funded,
    /// The settlement with one signature.
    Cosigned {
        /// The transaction as XDR; at most `limits::TRANSACTION_BYTES`.
        settlement: Vec<u8>,
    },
    /// Revisions in ascending order of number, at most `limits::REVISIONS_PER_PAGE`, and whether more follow.
    History {
        /// As both signed them.
        revisions: Vec<SignedRevision>,
        /// Whether there are more.
        more: bool,
    },
    /// What the device has vouched for in the period, and was served beyond that.
    Tab {
        /// Bytes of its newest voucher.
        vouched: u64,
        /// Bytes that it owes a voucher for.
        ahead: u64,
    },
    /// Vouchers in ascending order of period and device, at most `limits::VOUCHERS_PER_PAGE`, and whether more follow.
    Vouchers {
        /// Each with the owner's word for its device.
        vouchers: Vec<ShownVoucher>,
        /// Whether there are more.
        more: bool,
    },
    /// What the farmer answered to a second auditor.
    Relayed(Box<Relayed>),
}

/// Why a farmer refuses: a code from a closed set, and a sentence a person understands (at most
/// `limits::REFUSAL_SENTENCE_BYTES`; shown as the farmer's words, never trusted).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{sentence}")]
pub struct Refusal {
    /// For programs.
    pub code: RefusalCode,
    /// For people.
    pub sentence: String,
}

/// The closed set of refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RefusalCode {
    /// The request cannot be understood or breaks a limit.
    BadRequest,
    /// The certificate is missing, expired, or names somebody else.
    NotAllowed,
    /// Paused, outside its hours, the contract at its end, or shutting down: try another farmer.
    NotAccepting,
    /// Quota or disk is full, for all or for this owner or subnet.
    NoSpace,
    /// The terms are not what the farmer offers.
    TermsNotOffered,
    /// No such contract, or it is over.
    UnknownContract,
    /// No such shard here.
    UnknownShard,
    /// The farmer's disk lost that shard, and the farmer knows it.
    ShardLost,
    /// Nothing, or too little, was reserved.
    NotReserved,
    /// The revision does not follow the newest one: ask for it and propose anew.
    StaleRevision,
    /// The revision contradicts itself or the shards that arrived.
    WrongRevision,
    /// Too many requests or transfers at once: try again later.
    Busy,
    /// The farmer's own disk or database failed.
    Internal,
    /// The farmer has no audit key of that name: send it, and ask again.
    UnknownKey,
    /// The audit key is malformed or unsound, or the owner has as many here as it may.
    BadKey,
    /// A shard's tags are not those of its bytes under the key that the revision names.
    BadTags,
    /// There is nothing to prove: no shard asked for has tags.
    NothingToAudit,
    /// No escrow pays for it as was agreed, or less than it would cost.
    NotFunded,
    /// The settlement is not what one's own records say.
    Disagreed,
    /// No more is served before what was served is vouched for, or than the escrow pays for in this period.
    NotVouched,
}
