//! The wallet as front ends see it. Amounts are stroops, addresses begin with G.

use serde::{Deserialize, Serialize};
use specta::Type;

/// The wallet in short: the shape that scripts read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct WalletStatus {
    /// The network's name.
    pub network: String,
    /// Where the wallet is paid.
    pub address: String,
    /// Can be spent.
    pub free: u64,
    /// Locked in escrows that this wallet pays into, their accounts' reserves included.
    pub escrow: u64,
    /// What audits have shown to be owed under this node's contracts and is not paid yet: by it as owner, and to it as
    /// farmer.
    pub owed: u64,
    /// Paid to farmers out of escrows.
    pub paid: u64,
    /// Got as a farmer out of escrows.
    pub earned: u64,
}

/// The wallet with all that is told apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Wallet {
    /// In short.
    pub status: WalletStatus,
    /// Locked by the network for what the account keeps.
    pub reserved: u64,
    /// Whether the account exists on the ledger.
    pub exists: bool,
    /// The account that farming is paid to, if it is another one.
    pub payout: Option<Payout>,
    /// Whether this ledger gives lumens to new accounts.
    pub gives: bool,
    /// What may be spent.
    pub limits: SpendingLimits,
    /// What counts against the limits: within the last 24 hours, and ever.
    pub spent: Spent,
    /// Until when everything that is stored for pay is paid for, if this computer does nothing more; none if nothing is.
    pub safe_until: Option<u64>,
    /// What is wrong with the ledger just now, as a sentence.
    pub problem: Option<String>,
    /// Contracts with a price that this node has a part in.
    pub escrows: Vec<Escrow>,
}

/// What was spent, and counts against the limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Spent {
    /// Within the last 24 hours.
    pub today: u64,
    /// Ever.
    pub in_all: u64,
}

/// The account that farming is paid to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Payout {
    /// Its address.
    pub address: String,
    /// Can be spent.
    pub free: u64,
}

/// Most that may be spent; none is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct SpendingLimits {
    /// Within any 24 hours.
    pub per_day: Option<u64>,
    /// Ever.
    pub in_all: Option<u64>,
    /// For a TB-month, to any farmer: dearer ones are left out.
    pub price: Option<u64>,
}

/// An escrow that this node has a part in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Escrow {
    /// Its account.
    pub account: String,
    /// The contract that it pays for; none if that was never agreed on.
    pub contract: Option<String>,
    /// Who is on the other side: the farmer's device for the owner, the owner for the others.
    pub with: Option<String>,
    /// This node's side.
    pub role: EscrowRole,
    /// How far it is.
    pub stage: EscrowStage,
    /// What the periods that are not settled hold.
    pub locked: u64,
    /// What its account begins with, and gives back at the end.
    pub reserve: u64,
    /// Owed by what audits show, and not paid yet.
    pub owed: u64,
    /// Of that, what audits of the same period that are still to come can take away.
    pub at_risk: u64,
    /// Paid to the farmer.
    pub paid: u64,
    /// When its last period ends.
    pub ends: u64,
    /// When its next period ends, and a settlement is due; none after the last.
    pub next_settlement: Option<u64>,
    /// When everything that was not earned is back, and the account's reserve can return.
    pub returns: u64,
    /// What it waits for; none if that is not known yet, or it is over.
    pub waits_for: Option<EscrowWait>,
    /// How the next settlement is computed; none before anything was judged, or if it is over.
    pub reckoning: Option<Reckoning>,
    /// Why a settlement did not come about, as a sentence.
    pub problem: Option<String>,
}

/// What an escrow waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum EscrowWait {
    /// For its setup to get into a ledger.
    Setup,
    /// For the period that runs to end.
    PeriodEnd,
    /// For verdicts of a period that is over, which may still change.
    Audits,
    /// For enough to be owed to outweigh the fee a hundredfold.
    Worth,
    /// For its farmer to settle; the owner does so itself late in the grace.
    Farmer,
    /// For the settlement that is under way.
    Settlement,
    /// For its account's reserve to return.
    Reserve,
}

/// How what is owed is computed: what was kept, times the price, over epochs whose audits passed, in periods in which enough
/// of them did; all of the escrow's periods together, rounded down once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Reckoning {
    /// When the first period that is not settled began.
    pub from: u64,
    /// When the last that the next settlement will pay ends.
    pub until: u64,
    /// Stroops per TB-month.
    pub price: u64,
    /// Bytes that are kept now.
    pub bytes: u64,
    /// Seconds of an epoch.
    pub epoch_seconds: u32,
    /// Epochs of these periods.
    pub epochs: u64,
    /// Of these, epochs by verdict.
    pub passed: u64,
    /// A wrong proof, or none in the end.
    pub failed: u64,
    /// No proof yet.
    pub missed: u64,
    /// The auditor's own fault.
    pub undecided: u64,
    /// How many of a million decided audits of a period must have passed.
    pub share_ppm: u32,
    /// Owed in all under the escrow, by what was judged so far.
    pub owed: u64,
    /// Paid in all under the escrow.
    pub paid: u64,
    /// While less is due than this, it waits.
    pub least: u64,
}

/// Which side of an escrow this node is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum EscrowRole {
    /// It pays.
    Owner,
    /// It is paid.
    Farmer,
    /// It judges.
    Auditor,
}

/// How far an escrow is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum EscrowStage {
    /// Its setup is not yet on the ledger.
    Expected,
    /// The ledger shows it.
    Standing,
    /// Nothing of it is left to do.
    Over,
}

/// One payment to or from the wallet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct WalletEntry {
    /// When.
    pub at: u64,
    /// What for.
    pub kind: EntryKind,
    /// Whether the wallet got it.
    pub incoming: bool,
    /// How much; none where the ledger does not say.
    pub amount: Option<u64>,
    /// Who is on the other side.
    pub with: String,
    /// What was sent with it.
    pub memo: Option<String>,
    /// The contract that it was for; none where it was for none, or that is not known.
    pub contract: Option<String>,
    /// The transaction.
    pub transaction: String,
}

/// What a payment was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// The account was given its first lumens.
    Funded,
    /// Sent by hand.
    Sent,
    /// From somebody, for reasons of theirs.
    Received,
    /// Into an escrow's reserve.
    Escrow,
    /// Out of an escrow: earned by keeping data.
    Earned,
    /// Out of an escrow: what was not owed came back.
    Returned,
    /// An escrow ended, and its reserve came back.
    Closed,
    /// Not made by this node: another device or program has this key too.
    Elsewhere,
}

/// A payment that farming earned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Earning {
    /// When.
    pub at: u64,
    /// How much.
    pub amount: u64,
    /// This and all before.
    pub total: u64,
}

/// What is known of an address before anything is sent there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Recipient {
    /// Whether there is an account. Nothing can be sent to one that is not there.
    pub exists: bool,
    /// Whether its holder only takes payments with a memo.
    pub memo_required: bool,
    /// Whether it is the wallet itself.
    pub own: bool,
    /// What sending takes besides.
    pub fee: u64,
}

/// Lumens to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct SendRequest {
    /// To whom.
    pub to: String,
    /// How much.
    pub amount: u64,
    /// What is sent with it.
    pub memo: Option<String>,
    /// From the account that farming is paid to, instead of the wallet.
    #[serde(default)]
    pub from_payout: bool,
}

/// What came of sending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct SendReport {
    /// What came of it.
    pub state: SendState,
    /// Why it failed, as a sentence.
    pub reason: Option<String>,
}

/// What came of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum SendState {
    /// It is in a ledger.
    Done,
    /// Nobody knows yet: the history will tell.
    UnderWay,
    /// Nothing was sent.
    Failed,
}
