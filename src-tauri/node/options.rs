//! How a node is opened: what a front end may choose before the home's own settings are read.

use std::{fmt, path::PathBuf};

use hayloft_core::{NetworkName, audit::Sectors};

use crate::{Clock, model::FarmSettings};

/// What to open and how. Values that are `Some` or not empty override the home's settings; `network`, `farm`, `audit`,
/// `vet`, `auditor` and `ledger` are also written into them.
#[derive(Clone, Default)]
pub struct NodeOptions {
    /// The home folder; made if it is not there.
    pub home: PathBuf,
    /// The network; a new home keeps it, an old one refuses another. None: what the home says, or `testnet`.
    pub network: Option<NetworkName>,
    /// Multiaddresses to listen on; empty: what the home says, or every interface with any free port.
    pub listen: Vec<String>,
    /// Addresses ending in `/p2p/…` through which the network is joined, on top of those of the home.
    pub bootstrap: Vec<String>,
    /// Find nodes of the same network on the local network.
    pub mdns: bool,
    /// Use in-process addresses (`/memory/…`) alone; for tests.
    pub memory: bool,
    /// Only ask the DHT, and keep no part of it: two hundred nodes in one process would know each other all. For tests.
    pub dht_client: bool,
    /// Unseals the seed at once. None leaves a seed that has a passphrase sealed; one in the keychain or without
    /// protection is unsealed anyway.
    pub passphrase: Option<String>,
    /// Farm settings to take over, as [`crate::Node::farm_set`] would.
    pub farm: Option<FarmSettings>,
    /// Whether to audit, from now on.
    pub audit: Option<bool>,
    /// Whether to repair files without anybody's asking, from now on.
    pub repair: Option<bool>,
    /// Whether an auditor gives farmers data of its own, from now on.
    pub vet: Option<bool>,
    /// The auditor that new contracts name from now on, by an address ending in `/p2p/…`.
    pub auditor: Option<String>,
    /// Where the ledger is, from now on.
    pub ledger: Option<String>,
    /// The length of an epoch in contracts that this node proposes, and the shortest it takes; none is a day, and a minute.
    /// For tests.
    pub epoch_seconds: Option<u32>,
    /// Sectors of the blocks that this node tags; none is what costs least. For tests: no front end sets it.
    pub sectors: Option<Sectors>,
    /// Settlement periods that an escrow which this node sets up pays for; none is three months of usual epochs. For tests.
    pub escrow_periods: Option<u32>,
    /// Bytes of the disk that are never given to shards; none is the store's own guard.
    pub disk_guard_bytes: Option<u64>,
    /// The time.
    pub clock: Clock,
}

impl fmt::Debug for NodeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeOptions")
            .field("home", &self.home)
            .field("network", &self.network)
            .field("listen", &self.listen)
            .field("bootstrap", &self.bootstrap)
            .finish_non_exhaustive()
    }
}
