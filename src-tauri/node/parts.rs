//! What the roles of a node are built from.

use std::sync::Arc;

use hayloft_core::{
    NetworkName,
    audit::Sectors,
    keys::{DeviceKey, OwnerKeys},
    record::DeviceCertificate,
};
use hayloft_net::Net;
use hayloft_store::Store;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::{Clock, model::Event, money::Money, witness::Witness};

/// What every role shares. Clones share everything.
#[derive(Clone)]
pub struct Parts {
    /// The network the node is on.
    pub network: NetworkName,
    /// This install's key.
    pub device: Arc<DeviceKey>,
    /// The connections.
    pub net: Net,
    /// The disk and the database.
    pub store: Store,
    /// The time as the clock says it.
    pub clock: Clock,
    /// The time by which anything is deleted.
    pub witness: Arc<Witness>,
    /// The wallet, and what roles do on the ledger.
    pub money: Money,
    /// News for front ends; nobody listening is no error.
    pub events: broadcast::Sender<Event>,
    /// Cancelled when the node shuts down.
    pub stop: CancellationToken,
    /// The length of an epoch, if it is not the usual day: for tests.
    pub epoch_seconds: Option<u32>,
    /// Sectors of the blocks that this node tags.
    pub sectors: Sectors,
}

/// What the owner role is built from: an unsealed seed on top of what every role shares.
#[derive(Clone)]
pub struct OwnerParts {
    /// The owner's keys.
    pub keys: Arc<OwnerKeys>,
    /// The owner's word for this device; sent with each request.
    pub certificate: DeviceCertificate,
    /// The network the node is on.
    pub network: NetworkName,
    /// This install's key.
    pub device: Arc<DeviceKey>,
    /// The connections.
    pub net: Net,
    /// The disk and the database.
    pub store: Store,
    /// The time as the clock says it.
    pub clock: Clock,
    /// The time by which anything is deleted.
    pub witness: Arc<Witness>,
    /// The wallet, and what roles do on the ledger.
    pub money: Money,
    /// News for front ends; nobody listening is no error.
    pub events: broadcast::Sender<Event>,
    /// Cancelled when the node shuts down.
    pub stop: CancellationToken,
    /// The length of an epoch, if it is not the usual day: for tests.
    pub epoch_seconds: Option<u32>,
    /// Sectors of the blocks that this node tags.
    pub sectors: Sectors,
    /// The auditor that new contracts name, by an address ending in `/p2p/…`.
    pub auditor: Option<String>,
    /// Whether files are repaired without anybody's asking.
    pub repair: bool,
}
