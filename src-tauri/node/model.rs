//! What front ends see: plain values, the same for window, command line and HTTP. Sizes are bytes, times are seconds
//! since 1970 UTC, identifiers are lower-case hex. What they see of audits is in `audits`.

mod audits;

mod repair;

mod wallet;

use std::path::PathBuf;

pub use repair::{LeavingStatus, RepairReport};
use serde::{Deserialize, Serialize};
use specta::Type;

pub use self::audits::{
    AuditHistory, AuditReport, AuditVerdict, EpochVerdict, FarmerStanding, FollowedContract, OwnAudit,
    ReceiptShown, ReceiptWish, ScoreLine, ScoreWord, StandingWord, VerdictWord,
};
pub use wallet::{
    Earning, EntryKind, Escrow, EscrowRole, EscrowStage, EscrowWait, Payout, Recipient, Reckoning,
    SendReport, SendRequest, SendState, SpendingLimits, Spent, Wallet, WalletEntry, WalletStatus,
};

/// What the node is and how it is connected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct Status {
    /// The network's name.
    pub network: String,
    /// This device.
    pub device: String,
    /// Version of Hayloft.
    pub version: String,
    /// This home's folder.
    pub home: PathBuf,
    /// The owner, if the home has an identity.
    pub owner: Option<OwnerStatus>,
    /// Whether this node offers space.
    pub farming: bool,
    /// Whether this node audits farmers.
    pub auditing: bool,
    /// Whether this node knows a ledger: without one there are no prices, and no wallet.
    pub ledger: bool,
    /// Connected peers.
    pub peers: u32,
    /// Farmers seen with a valid offer lately.
    pub farmers: u32,
    /// Addresses by which others reach this node, each ending in `/p2p/…`.
    pub addresses: Vec<String>,
    /// What the last start found wrong and mended, as sentences.
    pub notices: Vec<String>,
}

/// The owner side in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct OwnerStatus {
    /// The owner's public key.
    pub owner: String,
    /// Whether the seed is unsealed, so that files can be listed and moved.
    pub unlocked: bool,
    /// How the seed is kept.
    pub protection: Protection,
}

/// How the seed is kept at rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum Protection {
    /// In the system's keychain.
    Keychain,
    /// In a file sealed with a passphrase.
    Passphrase,
    /// In a file sealed with an empty passphrase: not protected.
    None,
}

/// The farmer side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct FarmStatus {
    /// What was set.
    pub settings: FarmSettings,
    /// Where shards are kept.
    pub folder: PathBuf,
    /// Bytes of shards under contract.
    pub used_bytes: u64,
    /// Bytes promised to uploads under way.
    pub reserved_bytes: u64,
    /// Quota left: what new data may take, by quota and by the disk's free space.
    pub free_bytes: u64,
    /// Bytes on disk beyond the shards themselves (database, unfinished uploads).
    pub overhead_bytes: u64,
    /// Free bytes of the disk that holds the folder.
    pub disk_free_bytes: u64,
    /// Whether new data is taken now.
    pub accepting: bool,
    /// If not, why, as a sentence.
    pub reason: Option<String>,
    /// How far it has left, if it leaves.
    pub leaving: Option<LeavingStatus>,
    /// All contracts that still hold bytes.
    pub contracts: Vec<FarmContract>,
    /// What re-reading the disk found.
    pub scrub: ScrubStatus,
    /// What the auditors of its contracts know of this farmer, as last heard.
    pub standings: Vec<FarmerStanding>,
}

/// Kept shards are read again in the background, so that what the disk loses is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct ScrubStatus {
    /// Whether a check that a person asked for is under way.
    pub hurried: bool,
    /// When the pass under way began; none between two passes.
    pub begun: Option<u64>,
    /// Shards read in this pass.
    pub checked_shards: u64,
    /// Their bytes.
    pub checked_bytes: u64,
    /// Shards that this pass is about, in all.
    pub total_shards: u64,
    /// Their bytes.
    pub total_bytes: u64,
    /// When the last pass over everything ended; none if there was none yet.
    pub ended: Option<u64>,
    /// Shards that the disk lost.
    pub lost_shards: u64,
    /// Their bytes: they count as used until their owners take them out of the contract.
    pub lost_bytes: u64,
    /// Shards that could not be read just now; they may come back.
    pub unreadable_shards: u64,
    /// The latest of them, at most a hundred.
    pub troubled: Vec<TroubledShard>,
    /// Why the pass cannot go on, as a sentence.
    pub problem: Option<String>,
}

/// A shard that is not as it should be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct TroubledShard {
    /// The shard.
    pub shard: String,
    /// Under which contract.
    pub contract: String,
    /// Its bytes.
    pub bytes: u64,
    /// What is wrong.
    pub trouble: ShardTrouble,
    /// When it was noticed.
    pub noticed: u64,
}

/// What is wrong with a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum ShardTrouble {
    /// Its file is gone or cut off.
    Missing,
    /// Its bytes changed on the disk.
    Damaged,
    /// The disk does not give it just now.
    Unreadable,
}

/// What a farmer offers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct FarmSettings {
    /// Whether space is offered at all.
    pub enabled: bool,
    /// Where shards are kept; none is the home's own folder.
    pub folder: Option<PathBuf>,
    /// Bytes offered.
    pub quota_bytes: u64,
    /// Stroops per TB-month kept.
    pub storage_price: u64,
    /// Stroops per TB served.
    pub egress_price: u64,
    /// Bytes per second sent at most; none is no limit.
    pub upload_limit: Option<u64>,
    /// Bytes per second received at most; none is no limit.
    pub download_limit: Option<u64>,
    /// Local time of day in which new data is taken; none is always.
    pub hours: Option<Hours>,
    /// New data is refused until resumed. Reads go on.
    pub paused: bool,
    /// Announced operator; farmers of one operator count as one failure group.
    pub operator: Option<String>,
}

/// A span of the day in local time; may pass midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Hours {
    /// Minutes after midnight at which it begins, 0 to 1439.
    pub from_minute: u16,
    /// Minutes after midnight at which it ends, 0 to 1439.
    pub until_minute: u16,
}

/// A contract as its farmer sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct FarmContract {
    /// The contract.
    pub contract: String,
    /// Whose data.
    pub owner: String,
    /// Shards kept.
    pub shards: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes the owner may keep.
    pub capacity_bytes: u64,
    /// When it began.
    pub start: u64,
    /// When it ends.
    pub end: u64,
    /// When the bytes are deleted unless it is renewed.
    pub delete_after: u64,
}

/// How much redundancy a file gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum PresetName {
    /// Cheapest that is still reasonable.
    Economy,
    /// What most people want.
    #[default]
    Standard,
    /// Survives more losses, costs more.
    Safe,
}

/// A wish to store files or folders.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct PutRequest {
    /// Files and folders, absolute.
    pub paths: Vec<PathBuf>,
    /// Name of the one file, or prefix of a folder's files; none takes it from the path.
    pub name: Option<String>,
    /// For how long, in seconds.
    pub keep_seconds: u64,
    /// Renew by itself before the end.
    pub renew: bool,
    /// Replace a file of that name with other content.
    pub replace: bool,
    /// How much redundancy.
    pub preset: PresetName,
    /// Stroops for a TB-month: farmers who ask more get nothing of this. What [`Quote::price`] was when a person agreed to it;
    /// none is no bound but the owner's own.
    #[serde(default)]
    pub price: Option<u64>,
}

/// What a [`PutRequest`] would do, worked out before a byte is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct Quote {
    /// Files found.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes on farmers' disks.
    pub stored_bytes: u64,
    /// Shards needed of each segment.
    pub k: u8,
    /// Shards made of each segment.
    pub n: u8,
    /// Stroops for a TB-month, of the dearest farmer drawn for it.
    pub price: u64,
    /// Stroops per month.
    pub monthly_price: u64,
    /// Stroops for all of the time that is asked for.
    pub total_price: u64,
    /// Stroops that would be locked before anything is sent: what farmers can earn until `paid_until`, and reserves.
    pub locked: u64,
    /// Of these, reserves: they come back in any case.
    pub reserves: u64,
    /// Until when farmers are paid for without this computer doing anything more; none if nothing is paid.
    pub paid_until: Option<u64>,
    /// When the last of what is locked and not earned is back; none if nothing is locked.
    pub returns: Option<u64>,
    /// Chance that a segment is lost within a month without repair, computed for the farmers at hand.
    pub loss_odds: f64,
    /// What the person should know first, e.g. that the network is so small that only copies are kept.
    pub warnings: Vec<String>,
}

/// A wish to bring a file back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct GetRequest {
    /// The name of a file, or of a folder: then all files whose names begin with it and a slash.
    pub name: String,
    /// The file or folder to write, absolute.
    pub output: PathBuf,
    /// Replace what is there; a folder that is there is kept, and files of the same names in it are replaced.
    pub overwrite: bool,
    /// First byte wanted; 0 is the beginning.
    pub offset: u64,
    /// Bytes wanted; none is all to the end.
    pub bytes: Option<u64>,
}

/// A stored file as listed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct FileEntry {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
    /// Bytes on farmers' disks for it: its share of each segment times n / k.
    pub stored_bytes: u64,
    /// Of its segments' bytes on farmers' disks, those of removed neighbours not yet rewritten.
    pub dead_bytes: u64,
    /// When it was stored.
    pub stored: u64,
    /// Until when it is kept.
    pub keep_until: u64,
    /// Whether it is renewed by itself.
    pub renew: bool,
    /// Shards needed and made, of the weakest segment.
    pub k: u8,
    /// Shards made, of the weakest segment.
    pub n: u8,
    /// Living shards of the weakest segment, as last seen.
    pub alive: u8,
    /// Its health in one word.
    pub health: HealthWord,
    /// What to know about it, e.g. that it ends soon.
    pub warning: Option<String>,
}

/// Health in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum HealthWord {
    /// All shards are there.
    Good,
    /// Some are gone, the file is safe.
    Fair,
    /// So many are gone that the next losses may take the file.
    Danger,
    /// Too few are there now to bring it back.
    Lost,
}

/// Health of one file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct FileHealth {
    /// Its name.
    pub name: String,
    /// Shards needed, of the weakest segment.
    pub k: u8,
    /// Shards made, of the weakest segment.
    pub n: u8,
    /// In one word.
    pub health: HealthWord,
    /// In one sentence: whether it is safe, and what is done about it.
    pub sentence: String,
    /// Whether it is being repaired.
    pub repairing: bool,
    /// Each segment, in the file's order.
    pub segments: Vec<SegmentHealth>,
}

/// Health of one segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct SegmentHealth {
    /// Shards whose farmer answered now that it has them.
    pub alive: u8,
    /// Shards needed.
    pub k: u8,
    /// Shards made.
    pub n: u8,
    /// Farmers that did not answer or do not have it.
    pub missing: Vec<String>,
}

/// A transfer: a job of the node that outlives the front end that began it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct Job {
    /// Number of the job in this home.
    pub id: u32,
    /// What it does.
    pub kind: JobKind,
    /// What it is about: a file's or folder's name.
    pub name: String,
    /// Where it stands.
    pub state: JobState,
    /// Plain bytes done.
    pub done_bytes: u64,
    /// Plain bytes in all.
    pub total_bytes: u64,
    /// Files done.
    pub done_files: u64,
    /// Files in all.
    pub total_files: u64,
    /// Lately, plain bytes per second.
    pub bytes_per_second: u64,
    /// What it waits for or what went wrong, as a sentence.
    pub message: Option<String>,
    /// If it failed, the kind of reason, for programs.
    pub error: Option<ErrorCode>,
    /// When it was begun.
    pub begun: u64,
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Stores.
    Put,
    /// Brings back.
    Get,
    /// Rebuilds what farmers have lost.
    Repair,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Under way.
    Running,
    /// Waiting to be resumed.
    Paused,
    /// Finished.
    Done,
    /// Given up; the message says why and what to do.
    Failed,
    /// Ended by the person.
    Cancelled,
}

/// What a finished job did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum JobReport {
    /// One per file.
    Put(Vec<PutReport>),
    /// The file brought back.
    Get(GetReport),
    /// What was repaired.
    Repair(RepairReport),
}

/// What storing one file did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct PutReport {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
    /// Segments that hold it.
    pub segments: u32,
    /// Shards needed, of the weakest segment.
    pub k: u8,
    /// Shards made, of the weakest segment.
    pub n: u8,
    /// Farmers that hold it.
    pub farmers: u32,
    /// The same content was there under that name: nothing was sent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reused: bool,
}

/// What bringing one file back did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct GetReport {
    /// Its name.
    pub name: String,
    /// Bytes written.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
    /// Until the first byte was ready.
    pub first_byte_seconds: f64,
    /// Farmers that sent something wrong.
    pub farmers_blamed: Vec<String>,
}

/// News from the node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case", tag = "event", content = "body")]
pub enum Event {
    /// A job moved on or changed its state.
    Job(Job),
    /// Files were stored, removed or renewed: list them again.
    FilesChanged,
    /// Connections or the farmer's figures changed: ask for the status again.
    StatusChanged,
    /// Something the person should know, once.
    Notice(String),
}

/// A refusal or failure as front ends see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// For programs.
    pub code: ErrorCode,
    /// A sentence that says what to do.
    pub message: String,
}

/// The closed set of codes that front ends act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The request itself is wrong.
    BadRequest,
    /// No such file or job.
    NotFound,
    /// The name or output is taken.
    Exists,
    /// This home has no identity yet.
    NoIdentity,
    /// The seed is sealed: a passphrase is needed.
    Locked,
    /// Not enough farmers, or not enough of them answer.
    NotEnoughFarmers,
    /// The local disk is full or cannot be read or written.
    Disk,
    /// There is no ledger, or it cannot be used just now.
    Ledger,
    /// Too little is free, or more would be spent than the limits allow.
    Money,
    /// Ended by the person.
    Cancelled,
    /// Something of Hayloft's own went wrong.
    Internal,
}
