//! What front ends see of audits: verdicts with their reasons, receipts, and where a farmer stands. Every verdict but a pass
//! has a sentence that says why. Deliberately absent: how any of it is found out.

use serde::{Deserialize, Serialize};
use specta::Type;

/// The word for what an audit came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum VerdictWord {
    /// The farmer proved that it has what it keeps.
    Passed,
    /// It does not have all of it.
    Failed,
    /// It did not answer.
    Missed,
    /// Nothing can be said, and not by the farmer's fault.
    Undecided,
}

/// What an audit of a file came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct AuditReport {
    /// One for each farmer, or more where it keeps more than one question may name.
    pub verdicts: Vec<AuditVerdict>,
}

/// What the audit of one farmer came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct AuditVerdict {
    /// The file it is about; none if it is about all that the farmer keeps.
    pub name: Option<String>,
    /// The farmer.
    pub farmer: String,
    /// The verdict.
    pub verdict: VerdictWord,
    /// Why, as a sentence; none for a pass.
    pub reason: Option<String>,
    /// Bytes of its answer: proofs and signature.
    pub proof_bytes: u64,
}

/// What was found so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct AuditHistory {
    /// Audits that this owner made by itself, the newest first.
    pub own: Vec<OwnAudit>,
    /// All farmers that keep something of it now, whether anybody has asked them or not.
    pub farmers: Vec<String>,
    /// Contracts that an auditor follows.
    pub followed: Vec<FollowedContract>,
}

/// One audit that this owner made by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct OwnAudit {
    /// The file it was about; none if it was about all that the farmer keeps.
    pub name: Option<String>,
    /// When.
    pub at: u64,
    /// The farmer.
    pub farmer: String,
    /// The contract with it.
    pub contract: String,
    /// The verdict.
    pub verdict: VerdictWord,
    /// Why; none for a pass.
    pub reason: Option<String>,
    /// Whether its receipt is kept.
    pub receipt: bool,
}

/// A contract with an auditor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct FollowedContract {
    /// The contract.
    pub contract: String,
    /// Its farmer.
    pub farmer: String,
    /// Its auditor.
    pub auditor: String,
    /// The auditor's verdicts, the newest first; none if it does not answer.
    pub verdicts: Option<Vec<EpochVerdict>>,
    /// What the auditor knows of the farmer; none if it does not answer, or never asked it.
    pub standing: Option<FarmerStanding>,
}

/// What became of one epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct EpochVerdict {
    /// The epoch, counted from the contract's start.
    pub epoch: u64,
    /// When it was judged.
    pub at: u64,
    /// The verdict.
    pub verdict: VerdictWord,
    /// Why; none for a pass.
    pub reason: Option<String>,
    /// Whether its receipt is kept.
    pub receipt: bool,
}

/// Which receipt is wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct ReceiptWish {
    /// Of which farmer: its name, or the beginning of it.
    pub farmer: String,
    /// Under which contract; none: the first that has such a receipt.
    pub contract: Option<String>,
    /// The auditor's of this epoch; none: the one of this owner's own newest audit.
    pub epoch: Option<u64>,
}

/// What a receipt shows, all of it verified.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct ReceiptShown {
    /// Passed or failed.
    pub verdict: VerdictWord,
    /// Why it failed.
    pub reason: Option<String>,
    /// The farmer that signed the answer.
    pub farmer: String,
    /// The contract's owner.
    pub owner: String,
    /// The contract.
    pub contract: String,
    /// The revision.
    pub revision: u64,
    /// The epoch.
    pub epoch: u64,
    /// When the epoch began and ended: the question was asked between.
    pub asked: (u64, u64),
    /// Whether the challenge is known to come from public randomness, and not only said to.
    pub publicly_random: bool,
    /// Whether it is a whole audit of its epoch.
    pub stands_for_epoch: bool,
}

/// A farmer as an auditor knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct FarmerStanding {
    /// The auditor.
    pub auditor: String,
    /// Good, suspended or disqualified.
    pub standing: StandingWord,
    /// Since when it is not good.
    pub since: Option<u64>,
    /// While it is suspended over audits: until then nothing worse happens.
    pub notice_until: Option<u64>,
    /// Since when it has answered; none while it does not.
    pub online_since: Option<u64>,
    /// Audits passed.
    pub passed: u64,
    /// Contracts that the auditor follows.
    pub contracts: u64,
    /// Each score with its rule.
    pub scores: Vec<ScoreLine>,
}

/// Where a farmer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum StandingWord {
    /// It is given data.
    Good,
    /// It keeps what it has, and is given nothing new.
    Suspended,
    /// Its shards count as lost.
    Disqualified,
}

/// One score of a farmer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct ScoreLine {
    /// Which.
    pub score: ScoreWord,
    /// Its value from 0 to 1; none without evidence.
    pub value: Option<f64>,
    /// Under this it costs the good standing; none if it never does.
    pub limit: Option<f64>,
    /// The live rule, as a sentence.
    pub rule: String,
    /// When it last fell; none if it never did.
    pub fell: Option<u64>,
    /// Why it last fell, as a sentence.
    pub because: Option<String>,
    /// What restores it, as a sentence; none if nothing has to.
    pub restored_by: Option<String>,
}

/// Which score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum ScoreWord {
    /// Whether it has what it keeps.
    Audits,
    /// Whether it is there.
    Availability,
    /// Whether it gives back what it keeps.
    Service,
}
