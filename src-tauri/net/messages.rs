//! What owners and farmers say to each other: one request frame, one answer frame, then data frames for the two
//! transfers. What is signed in them is defined in `core`; this file defines only what is sent.
//!
//! Every request but [`Request::Offer`] comes from a device that an owner certified: the farmer checks that the
//! certificate names the peer at the other end of the connection.

use hayloft_core::{
    ContractId, ShardId, Signature, Timestamp,
    contract::{Revision, ShardEntry, SignedRevision, SignedTerms, Terms},
    record::{DeviceCertificate, SignedFarmerRecord},
};
use serde::{Deserialize, Serialize};

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
    /// Your offer, freshly signed. Answer: [`Answer::Offer`].
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
    /// as data frames and the farmer closes with [`Answer::Stored`].
    Upload {
        /// Under which contract.
        contract: ContractId,
        /// The sealing.
        shard: ShardId,
        /// Sealed bytes in all.
        bytes: u64,
    },
    /// Sign this revision, which the owner has signed. All added shards must have been stored. The same revision
    /// again gets the same answer. Answer: [`Answer::Revised`].
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
}

/// What a farmer answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The farmer's offer.
    Offer(Box<SignedFarmerRecord>),
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
        /// BLAKE3 of its sealed bytes.
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
}
