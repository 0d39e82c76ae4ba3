//! The one door of a node for every front end. Each method either does one thing or hands over in one line.

use std::sync::Arc;

use hayloft_core::{NetworkName, auditor::exported::Exported};
use tokio::sync::broadcast;

use crate::{
    NodeOptions,
    identity::NewIdentity,
    lifecycle::Running,
    model::{
        ApiError, AuditHistory, AuditReport, Earning, Event, FarmSettings, FarmStatus, FileEntry, FileHealth,
        GetRequest, Job, JobReport, PutRequest, Quote, ReceiptWish, Recipient, SendReport, SendRequest,
        SpendingLimits, Status, Wallet, WalletEntry,
    },
};

/// A running node. Clones are the same node. Dropping the last one without [`Node::shutdown`] loses nothing that is
/// stored, but leaves other nodes to find out by themselves.
#[derive(Clone)]
pub struct Node {
    running: Arc<Running>,
}

impl Node {
    /// Opens a home and joins its network. At most one node runs on a home.
    ///
    /// # Errors
    /// [`ApiError`] if the home is in use, broken or from a newer version, if an option is wrong, or if no address can
    /// be listened on.
    pub async fn open(options: NodeOptions) -> Result<Self, ApiError> {
        Ok(Self { running: Running::open(options).await? })
    }

    /// Ends all tasks, saves what must be saved and frees the home; takes a few seconds at most. Later calls do
    /// nothing.
    ///
    /// # Errors
    /// [`ApiError`] if something could not be saved.
    pub async fn shutdown(&self) -> Result<(), ApiError> {
        self.running.shutdown().await
    }

    /// News from now on. A slow reader loses the oldest.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.running.parts.events.subscribe()
    }

    /// The network this node is on.
    pub fn network(&self) -> &NetworkName {
        &self.running.parts.network
    }

    /// What the node is and how it is connected.
    ///
    /// # Errors
    /// [`ApiError`] if the store fails.
    pub async fn status(&self) -> Result<Status, ApiError> {
        self.running.status().await
    }

    /// Makes this home's identity, unlocks it, and gives its recovery phrase this once: 24 words separated by spaces.
    ///
    /// # Errors
    /// [`ApiError`] if there is an identity already, or the keychain or disk fails.
    pub async fn create_identity(&self, passphrase: &str, keychain: bool) -> Result<NewIdentity, ApiError> {
        self.running.create_identity(passphrase, keychain).await
    }

    /// Unseals the seed, so that files can be listed and moved. On an unlocked node it does nothing.
    ///
    /// # Errors
    /// [`ApiError`] if there is no identity, the passphrase is wrong, or the keychain or disk fails.
    pub async fn unlock(&self, passphrase: &str) -> Result<(), ApiError> {
        self.running.unlock(passphrase).await
    }

    /// The farmer side, also while it is not enabled (then with the settings it would start from).
    ///
    /// # Errors
    /// [`ApiError`] if the store fails.
    pub async fn farm_status(&self) -> Result<FarmStatus, ApiError> {
        self.running.farm_status().await
    }

    /// Takes over what the farmer offers, at once and for good.
    ///
    /// # Errors
    /// [`ApiError`] if a setting is wrong, which it says, or cannot be saved.
    pub async fn farm_set(&self, settings: FarmSettings) -> Result<FarmStatus, ApiError> {
        self.running.farm_set(settings).await
    }

    /// Begins to read every kept shard again, now and briskly; a check that was asked for before goes on instead.
    ///
    /// # Errors
    /// [`ApiError`] if the store fails.
    pub async fn farm_scrub(&self) -> Result<FarmStatus, ApiError> {
        self.running.farm_scrub().await
    }

    /// Begins to leave as a farmer: nothing new is taken, owners are told, and what is kept is served until they have moved it
    /// or the grace is over. Or, if `leave` is false, stays after all.
    ///
    /// # Errors
    /// [`ApiError`] if there is nothing to leave, it cannot be written down, or the store fails.
    pub async fn farm_leave(&self, leave: bool) -> Result<FarmStatus, ApiError> {
        self.running.farm_leave(leave).await
    }

    /// The wallet: what it holds told apart, and the escrows that it has a part in.
    ///
    /// # Errors
    /// [`ApiError`] if this network has no ledger, it does not answer, or the wallet is locked.
    pub async fn wallet(&self) -> Result<Wallet, ApiError> {
        self.running.parts.money.show().await
    }

    /// Has the wallet's account created, where lumens are given away. Nothing is done if it exists.
    ///
    /// # Errors
    /// As [`Node::wallet`]; or if this ledger gives nothing away.
    pub async fn wallet_fund(&self) -> Result<Wallet, ApiError> {
        self.running.parts.money.fund().await
    }

    /// Sends lumens to an account that exists. Asking the person first is the front end's part.
    ///
    /// # Errors
    /// As [`Node::wallet`]; or if the address, amount or memo is wrong, too little is free, or a limit would be passed.
    pub async fn wallet_send(&self, request: &SendRequest) -> Result<SendReport, ApiError> {
        self.running.parts.money.send(request).await
    }

    /// What is known of an address before anything is sent there.
    ///
    /// # Errors
    /// As [`Node::wallet`]; or if it is no address.
    pub async fn wallet_look_up(&self, address: &str) -> Result<Recipient, ApiError> {
        self.running.parts.money.look_up(address).await
    }

    /// What farming earned, payment by payment, the oldest first.
    ///
    /// # Errors
    /// As [`Node::wallet`].
    pub async fn wallet_earnings(&self) -> Result<Vec<Earning>, ApiError> {
        self.running.parts.money.earnings().await
    }

    /// What happened to the wallet, the newest first, each with what it was for.
    ///
    /// # Errors
    /// As [`Node::wallet`].
    pub async fn wallet_history(&self) -> Result<Vec<WalletEntry>, ApiError> {
        self.running.parts.money.history().await
    }

    /// All that happened to the wallet, the oldest first, as comma-separated values.
    ///
    /// # Errors
    /// As [`Node::wallet`].
    pub async fn wallet_export(&self) -> Result<String, ApiError> {
        self.running.parts.money.table().await
    }

    /// Makes an account that exists already the wallet from now on, by its secret; gives its address.
    ///
    /// # Errors
    /// [`ApiError`] if that is no secret, or contracts are paid from the present wallet.
    pub async fn wallet_import(&self, secret: &str) -> Result<String, ApiError> {
        self.running.parts.money.bring(secret).await
    }

    /// Sets what may be spent, whatever front ends ask for.
    ///
    /// # Errors
    /// [`ApiError`] if it cannot be saved.
    pub async fn wallet_limits(&self, limits: SpendingLimits) -> Result<SpendingLimits, ApiError> {
        self.running.set_limits(limits).await
    }

    /// What a put would do and cost.
    ///
    /// # Errors
    /// [`ApiError`] if a path cannot be read or there are no farmers.
    pub async fn quote(&self, request: PutRequest) -> Result<Quote, ApiError> {
        self.running.owner().await?.quote(request).await
    }

    /// Begins to store files; gives the job's number at once.
    ///
    /// # Errors
    /// [`ApiError`] if the request is wrong or the node is locked.
    pub async fn put(&self, request: PutRequest) -> Result<u32, ApiError> {
        self.running.owner().await?.put(request).await
    }

    /// Begins to bring a file back; gives the job's number at once.
    ///
    /// # Errors
    /// [`ApiError`] if there is no such file, the output exists, or the node is locked.
    pub async fn get(&self, request: GetRequest) -> Result<u32, ApiError> {
        self.running.owner().await?.get(request).await
    }

    /// All jobs, the newest first.
    ///
    /// # Errors
    /// [`ApiError`] if the node is locked.
    pub async fn jobs(&self) -> Result<Vec<Job>, ApiError> {
        self.running.owner().await?.jobs().await
    }

    /// One job.
    ///
    /// # Errors
    /// [`ApiError`] if there is none of that number.
    pub async fn job(&self, id: u32) -> Result<Job, ApiError> {
        self.running.owner().await?.job(id).await
    }

    /// What a job did; none while it is not done.
    ///
    /// # Errors
    /// [`ApiError`] if there is none of that number.
    pub async fn job_report(&self, id: u32) -> Result<Option<JobReport>, ApiError> {
        self.running.owner().await?.job_report(id).await
    }

    /// Holds a job until it is resumed.
    ///
    /// # Errors
    /// [`ApiError`] if there is none of that number, or it is over.
    pub async fn pause(&self, id: u32) -> Result<(), ApiError> {
        self.running.owner().await?.pause(id).await
    }

    /// Lets a paused or failed job go on.
    ///
    /// # Errors
    /// [`ApiError`] if there is none of that number, or it is over.
    pub async fn resume(&self, id: u32) -> Result<(), ApiError> {
        self.running.owner().await?.resume(id).await
    }

    /// Ends a job for good; what it had half done is undone.
    ///
    /// # Errors
    /// [`ApiError`] if there is none of that number, or it is over.
    pub async fn cancel(&self, id: u32) -> Result<(), ApiError> {
        self.running.owner().await?.cancel(id).await
    }

    /// All stored files, by name.
    ///
    /// # Errors
    /// [`ApiError`] if there is no identity or the node is locked.
    pub async fn files(&self) -> Result<Vec<FileEntry>, ApiError> {
        self.running.owner().await?.files().await
    }

    /// Removes files; farmers are told at once or as soon as they can be reached. Asking the person first is the front
    /// end's part. All or none: an unknown name removes nothing.
    ///
    /// # Errors
    /// [`ApiError`] if a name is unknown or the node is locked.
    pub async fn remove(&self, names: Vec<String>) -> Result<(), ApiError> {
        self.running.owner().await?.remove(names).await
    }

    /// Asks the farmers of a file now whether its shards are there.
    ///
    /// # Errors
    /// [`ApiError`] if the name is unknown or the node is locked.
    pub async fn health(&self, name: &str) -> Result<FileHealth, ApiError> {
        self.running.owner().await?.health(name.to_owned()).await
    }

    /// Begins to repair a file now, whatever it has lost; gives the job's number at once.
    ///
    /// # Errors
    /// [`ApiError`] if the name is unknown or the node is locked.
    pub async fn repair(&self, name: &str) -> Result<u32, ApiError> {
        self.running.owner().await?.repair(name.to_owned()).await
    }

    /// Audits the shards of a file, or all, now: their farmers prove that they have them. It counts in nobody's public
    /// scores.
    ///
    /// # Errors
    /// [`ApiError`] if the name is unknown or the node is locked.
    pub async fn audit(&self, name: Option<String>) -> Result<AuditReport, ApiError> {
        self.running.owner().await?.audit(name).await
    }

    /// What this owner's audits and its auditors found, the newest first: of one file's farmers, of those of all files
    /// in a folder, or of all.
    ///
    /// # Errors
    /// [`ApiError`] if the name is unknown or the node is locked.
    pub async fn audit_history(&self, name: Option<String>) -> Result<AuditHistory, ApiError> {
        self.running.owner().await?.audit_history(name).await
    }

    /// A receipt as a file that anyone can check offline; see [`crate::receipts`].
    ///
    /// # Errors
    /// [`ApiError`] if there is none, or the auditor does not answer.
    pub async fn audit_export(&self, wish: ReceiptWish) -> Result<Exported, ApiError> {
        self.running.owner().await?.audit_export(wish).await
    }

    /// Keeps a file for `keep_seconds` from now, or for as long as before if that is longer; `auto` sets whether it is
    /// renewed by itself from then on.
    ///
    /// # Errors
    /// [`ApiError`] if the name is unknown, the node is locked, or farmers refuse.
    pub async fn renew(
        &self,
        name: &str,
        keep_seconds: u64,
        auto: Option<bool>,
    ) -> Result<FileEntry, ApiError> {
        self.running.owner().await?.renew(name.to_owned(), keep_seconds, auto).await
    }
}

#[cfg(test)]
impl Node {
    /// Frees now what the farmer would free within a minute.
    pub(crate) async fn sweep(&self) {
        self.running.sweep().await;
    }

    /// Asks auditors now what the farmer would ask them within ten minutes.
    pub(crate) async fn hear_auditors(&self) {
        self.running.hear_auditors().await;
    }

    /// How many peers would be remembered over a restart now.
    pub(crate) fn remembered(&self) -> usize {
        self.running.parts.net.remembered().len()
    }

    /// The auditor itself, for tests of its own.
    pub(crate) fn auditor_for_tests(&self) -> crate::auditor::Auditor {
        self.running.auditor()
    }

    /// The farmer itself, for tests of its own.
    pub(crate) fn farmer_for_tests(&self) -> crate::farmer::Farmer {
        self.running.farmer()
    }

    /// All that the node does is to end, as at the beginning of a shutdown.
    pub(crate) fn stop_for_tests(&self) {
        self.running.parts.stop.cancel();
    }

    /// The money itself, for tests of its own.
    pub(crate) fn money_for_tests(&self) -> crate::money::Money {
        self.running.parts.money.clone()
    }

    /// The owner itself, for tests of its own.
    pub(crate) async fn owner_for_tests(&self) -> crate::owner::Owner {
        self.running.owner().await.expect("an owner")
    }
}
