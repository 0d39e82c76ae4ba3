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
    /// What is wrong with the ledger just now, as a sentence.
    pub problem: Option<String>,
    /// Contracts with a price that this node has a part in.
    pub escrows: Vec<Escrow>,
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
}

/// An escrow that this node has a part in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Escrow {
    /// Its account.
    pub account: String,
    /// The contract that it pays for; none if that was never agreed on.
    pub contract: Option<String>,
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
    /// Paid to the farmer.
    pub paid: u64,
    /// When its last period ends.
    pub ends: u64,
    /// When its next period ends, and a settlement is due; none after the last.
    pub next_settlement: Option<u64>,
    /// Why a settlement did not come about, as a sentence.
    pub problem: Option<String>,
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
    /// What for, in one word.
    pub kind: String,
    /// Whether the wallet got it.
    pub incoming: bool,
    /// How much; none where the ledger does not say.
    pub amount: Option<u64>,
    /// Who is on the other side.
    pub with: String,
    /// What was sent with it.
    pub memo: Option<String>,
    /// The transaction.
    pub transaction: String,
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
