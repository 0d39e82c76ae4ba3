//! Opening and closing a node: lock, settings, store, net, roles, in this order; and back in the other.
//!
//! Everything ends within bounded time, whatever hangs: what is stored is safe at any instant anyway.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hayloft_core::{
    audit::Sectors,
    contract::MIN_GRACE_SECONDS,
    keys::{DeviceKey, OwnerKeys},
};
use hayloft_net::{Bounds, Net, NetConfig, RateLimits, Remembered, Wall};
use hayloft_store::{Guard, Home, Store, StoreOptions};
use tokio::{
    sync::{Mutex, RwLock, broadcast},
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    NodeOptions,
    auditor::Auditor,
    errors,
    farmer::Farmer,
    file_limit,
    identity::{self, NewIdentity, off_the_runtime},
    model::{
        ApiError, ErrorCode, Event, FarmSettings, FarmStatus, OwnerStatus, Protection, SpendingLimits, Status,
    },
    money::{self, Money, MoneyOptions, Most, kept_limits, shown_limits},
    notices,
    owner::Owner,
    parts::{OwnerParts, Parts},
    settings::{self, Settings},
    witness::Witness,
};

/// News that a slow front end may fall behind before it loses the oldest.
const EVENTS: usize = 1024;
/// How often peers, and the time that was lived, are remembered.
const REMEMBER_PAUSE: Duration = Duration::from_secs(60);
/// How long each part may take to close.
const CLOSE: Duration = Duration::from_secs(4);

/// A node with everything it runs.
pub(crate) struct Running {
    pub(crate) parts: Parts,
    farmer: Farmer,
    auditor: Auditor,
    owner: RwLock<Option<Owner>>,
    settings: Mutex<Settings>,
    tasks: TaskTracker,
    closed: AtomicBool,
    notices: Vec<String>,
    /// Why the owner's part could not be unlocked at the start, until it is.
    locked: Mutex<Option<String>>,
}

impl Running {
    pub(crate) async fn open(options: NodeOptions) -> Result<Arc<Self>, ApiError> {
        file_limit::is_an_error_only();
        let (home, settings, changed) = open_home(&options).await?;
        let device = home.device_secret().map_err(errors::home)?;
        let device = Arc::new(DeviceKey::from_bytes(&device));
        let store_options = StoreOptions::new(settings.farm.folder.clone(), guard(&options));
        let (store, report) = Store::open(home, store_options).await.map_err(errors::open)?;
        let notices = notices::of_start(&report);
        for notice in &notices {
            tracing::warn!("{notice}");
        }
        let config = net_config(&options, &settings, &store).await?;
        let (net, incoming) = Net::start(config, &device).await.map_err(errors::start)?;
        let witness = Witness::load(store.clone(), options.clock.clone()).await.map_err(errors::database)?;
        let (network, events) = (settings.network.clone(), broadcast::Sender::new(EVENTS));
        let most = Most { spending: settings.spending, price: settings.price_ceiling };
        let periods = options.escrow_periods.unwrap_or(money::PERIODS);
        let wish = MoneyOptions { ledger: settings.ledger.as_deref(), most, periods };
        let money = Money::open(
            (store.clone(), net.clone()),
            network.clone(),
            options.clock.clone(),
            events.clone(),
            &wish,
        )?;
        // Only now: what the node cannot start with must not be in the way of its next start.
        if changed {
            settings.save(store.home())?;
        }
        let parts = Parts {
            network,
            device,
            net,
            store,
            clock: options.clock.clone(),
            witness: Arc::new(witness),
            money,
            events,
            stop: CancellationToken::new(),
            epoch_seconds: options.epoch_seconds,
            sectors: options.sectors.unwrap_or(Sectors::DEFAULT),
        };
        let auditor = Auditor::start(parts.clone(), settings.audit, settings.vet).await;
        let auditor = auditor.map_err(|error| ApiError::disk(errors::sentence(&error)))?;
        let running = Arc::new(Self {
            farmer: Farmer::start(parts.clone(), incoming, &settings, auditor.clone()).await,
            auditor,
            owner: RwLock::new(None),
            settings: Mutex::new(settings),
            tasks: TaskTracker::new(),
            closed: AtomicBool::new(false),
            notices,
            locked: Mutex::new(None),
            parts,
        });
        running.tasks.spawn(remember(running.parts.clone()));
        running.start_money().await;
        if let Err(error) = running.unlock_at_start(options.passphrase.as_deref()).await {
            let _ = running.shutdown().await;
            return Err(error);
        }
        Ok(running)
    }

    /// Ends everything, the store last. The roles end together with the network: a farmer that was still connected but
    /// answered no more would be blamed for it.
    pub(crate) async fn shutdown(&self) -> Result<(), ApiError> {
        if self.closed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        self.parts.stop.cancel();
        let owner = self.owner.write().await.take();
        let end_owner = async {
            if let Some(owner) = owner {
                owner.shutdown().await;
            }
        };
        tokio::join!(
            in_time("network", self.parts.net.shutdown()),
            in_time("owner", end_owner),
            in_time("farmer", self.farmer.shutdown()),
            in_time("auditor", self.auditor.shutdown()),
        );
        self.tasks.close();
        in_time("background work", self.tasks.wait()).await;
        let saved = timeout(CLOSE, async {
            keep_catalog(&self.parts).await;
            self.parts.witness.keep().await.map_err(errors::database)?;
            save_peers(&self.parts).await
        });
        let saved = saved.await;
        in_time("store", self.parts.store.close()).await;
        self.parts.store.home().release().map_err(errors::home)?;
        saved.unwrap_or_else(|_| Err(ApiError::disk("What was learned could not be saved in time.")))
    }

    pub(crate) async fn owner(&self) -> Result<Owner, ApiError> {
        if let Some(owner) = self.owner.read().await.as_ref() {
            return Ok(owner.clone());
        }
        Err(match identity::look(self.parts.store.home())? {
            None => ApiError::new(
                ErrorCode::NoIdentity,
                "This computer has no identity yet: make one first (`hayloft init`, or in the window).",
            ),
            Some(_) => ApiError::new(
                ErrorCode::Locked,
                "Your files are locked: give the passphrase to unlock them (`hayloft unlock`, or in the window).",
            ),
        })
    }

    pub(crate) async fn create_identity(
        &self,
        passphrase: &str,
        keychain: bool,
    ) -> Result<NewIdentity, ApiError> {
        let mut owner = self.owner.write().await;
        let (store, network) = (self.parts.store.clone(), self.parts.network.clone());
        let passphrase = zeroize::Zeroizing::new(passphrase.to_owned());
        let make = move || identity::make(store.home(), &network, &passphrase, keychain);
        let (made, keys) = off_the_runtime(make).await?;
        *owner = Some(self.start_owner(keys).await?);
        self.changed();
        Ok(made)
    }

    pub(crate) async fn unlock(&self, passphrase: &str) -> Result<(), ApiError> {
        let mut owner = self.owner.write().await;
        if owner.is_some() {
            return Ok(());
        }
        let (store, network) = (self.parts.store.clone(), self.parts.network.clone());
        let passphrase = zeroize::Zeroizing::new(passphrase.to_owned());
        let keys = off_the_runtime(move || identity::unseal(store.home(), &network, &passphrase)).await?;
        *owner = Some(self.start_owner(keys).await?);
        *self.locked.lock().await = None;
        self.changed();
        Ok(())
    }

    /// Unseals what needs nobody, or what the given passphrase opens. Whatever else fails (a damaged identity, a keychain
    /// that is not there before the person has logged in) leaves the node locked, and farming.
    ///
    /// # Errors
    /// If the given passphrase is wrong: whoever gave it can give another one.
    async fn unlock_at_start(&self, passphrase: Option<&str>) -> Result<(), ApiError> {
        match self.try_to_unlock(passphrase).await {
            Err(error) if error.code != ErrorCode::Locked => {
                let notice = notices::of_lock(&error);
                tracing::warn!("{notice}");
                *self.locked.lock().await = Some(notice);
                Ok(())
            }
            tried => tried,
        }
    }

    async fn try_to_unlock(&self, passphrase: Option<&str>) -> Result<(), ApiError> {
        let Some(identity) = identity::look(self.parts.store.home())? else { return Ok(()) };
        match (Protection::from(identity.protection), passphrase) {
            (Protection::Passphrase, None) => Ok(()),
            (Protection::Passphrase, Some(passphrase)) => self.unlock(passphrase).await,
            (Protection::None | Protection::Keychain, _) => self.unlock("").await,
        }
    }

    async fn start_owner(&self, keys: Arc<OwnerKeys>) -> Result<Owner, ApiError> {
        let (auditor, repair) = {
            let settings = self.settings.lock().await;
            (settings.auditor.clone(), settings.repair)
        };
        let Parts {
            network,
            device,
            net,
            store,
            clock,
            witness,
            money,
            events,
            stop,
            epoch_seconds,
            sectors,
        } = self.parts.clone();
        let certificate = identity::certificate(store.home(), &keys, &network, device.id(), clock.now())?;
        money.unlocked(&keys.stellar, certificate.clone());
        let parts = OwnerParts {
            keys,
            certificate,
            network,
            device,
            net,
            store,
            clock,
            witness,
            money,
            events,
            stop,
            epoch_seconds,
            sectors,
            auditor,
            repair,
        };
        Owner::start(parts).await
    }

    /// A home that owns or farms gets its lumens by itself, where they are given away.
    async fn start_money(&self) {
        if self.settings.lock().await.farm.enabled {
            self.parts.money.wants_lumens();
        }
        self.tasks.spawn(self.parts.money.clone().run(self.parts.stop.clone()));
    }

    pub(crate) async fn set_limits(&self, limits: SpendingLimits) -> Result<SpendingLimits, ApiError> {
        let mut settings = self.settings.lock().await;
        let most = kept_limits(limits);
        let next = Settings { spending: most.spending, price_ceiling: most.price, ..settings.clone() };
        next.save(self.parts.store.home())?;
        self.parts.money.limit(most);
        *settings = next;
        Ok(shown_limits(most))
    }

    pub(crate) async fn status(&self) -> Result<Status, ApiError> {
        let unlocked = self.owner.read().await.clone();
        // One that cannot be read is told of by a notice.
        let identity = identity::look(self.parts.store.home()).ok().flatten();
        let owner = identity.map(|identity| OwnerStatus {
            owner: identity.owner.to_string(),
            unlocked: unlocked.is_some(),
            protection: identity.protection.into(),
        });
        let of_owner = unlocked.as_ref().map(Owner::notices).unwrap_or_default();
        let locked = self.locked.lock().await.clone();
        let gone = self.parts.store.database_is_gone().then(|| notices::DATABASE_GONE.to_owned());
        let notices = self.notices.iter().cloned().chain(of_owner).chain(locked).chain(gone).collect();
        Ok(Status {
            network: self.parts.network.to_string(),
            device: self.parts.device.id().to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            home: self.parts.store.home().path().to_owned(),
            owner,
            farming: self.farmer.settings().enabled,
            auditing: self.auditor.is_enabled(),
            ledger: self.parts.money.has_ledger(),
            peers: u32::try_from(self.parts.net.peer_count()).unwrap_or(u32::MAX),
            farmers: unlocked.as_ref().map_or(0, Owner::farmer_count),
            addresses: self.parts.net.addresses(),
            notices,
        })
    }

    pub(crate) async fn farm_status(&self) -> Result<FarmStatus, ApiError> {
        self.farmer.status().await
    }

    pub(crate) async fn farm_scrub(&self) -> Result<FarmStatus, ApiError> {
        self.farmer.scrub_now().await?;
        self.farmer.status().await
    }

    pub(crate) async fn farm_set(&self, farm: FarmSettings) -> Result<FarmStatus, ApiError> {
        settings::check_farm(&farm)?;
        let mut settings = self.settings.lock().await;
        if farm == settings.farm {
            drop(settings);
            return self.farmer.status().await;
        }
        self.farmer.check_room(&farm).await?;
        let before = self.farmer.settings();
        self.farmer.set(farm.clone()).await?;
        let next = Settings { farm, ..settings.clone() };
        if let Err(error) = next.save(self.parts.store.home()) {
            self.farmer.set(before).await?;
            return Err(error);
        }
        *settings = next;
        if settings.farm.enabled {
            self.parts.money.wants_lumens();
        }
        drop(settings);
        self.farmer.status().await
    }

    /// Begins to leave, or stays after all. Written down before anybody hears of it.
    pub(crate) async fn farm_leave(&self, leave: bool) -> Result<FarmStatus, ApiError> {
        let mut settings = self.settings.lock().await;
        if leave != settings.leaves.is_some() {
            if leave {
                self.farmer.check_leave().await?;
            }
            let leaves = leave.then(|| self.parts.clock.now().plus_seconds(MIN_GRACE_SECONDS));
            let next = Settings { leaves, ..settings.clone() };
            next.save(self.parts.store.home())?;
            self.farmer.leave(leaves).await;
            *settings = next;
        }
        drop(settings);
        self.farmer.status().await
    }

    #[cfg(test)]
    pub(crate) fn auditor(&self) -> Auditor {
        self.auditor.clone()
    }

    #[cfg(test)]
    pub(crate) fn farmer(&self) -> Farmer {
        self.farmer.clone()
    }

    #[cfg(test)]
    pub(crate) async fn sweep(&self) {
        self.farmer.sweep().await;
    }

    #[cfg(test)]
    pub(crate) async fn hear_auditors(&self) {
        self.farmer.hear_auditors().await;
    }

    fn changed(&self) {
        let _ = self.parts.events.send(Event::StatusChanged);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.parts.stop.cancel();
    }
}

async fn in_time(what: &str, ending: impl Future<Output = ()>) {
    if timeout(CLOSE, ending).await.is_err() {
        tracing::warn!("the {what} did not close in time");
    }
}

/// The home, its settings with what is wished, and whether they are to be saved.
async fn open_home(options: &NodeOptions) -> Result<(Home, Settings, bool), ApiError> {
    let NodeOptions { home: path, network, farm, audit, vet, auditor, repair, ledger, .. } = options.clone();
    off_the_runtime(move || {
        let home = Home::open(&path).map_err(errors::home)?;
        let mut settings = Settings::load(&home, network)?;
        let kept = settings.clone();
        if let Some(farm) = farm {
            settings::check_farm(&farm)?;
            settings.farm = farm;
        }
        if let Some(auditor) = auditor {
            settings::check_auditor(&auditor)?;
            settings.auditor = Some(auditor);
        }
        settings.audit = audit.unwrap_or(settings.audit);
        settings.ledger = ledger.or(settings.ledger);
        settings.repair = repair.unwrap_or(settings.repair);
        settings.vet = vet.unwrap_or(settings.vet);
        let changed = settings != kept;
        Ok((home, settings, changed))
    })
    .await
}

fn guard(options: &NodeOptions) -> Guard {
    options.disk_guard_bytes.map_or_else(Guard::default, |bytes| Guard { bytes, percent: 0 })
}

const EVERYWHERE: [&str; 4] =
    ["/ip4/0.0.0.0/udp/0/quic-v1", "/ip4/0.0.0.0/tcp/0", "/ip6/::/udp/0/quic-v1", "/ip6/::/tcp/0"];

async fn net_config(
    options: &NodeOptions,
    settings: &Settings,
    store: &Store,
) -> Result<NetConfig, ApiError> {
    if let Some(nobodys) = options.bootstrap.iter().find(|address| hayloft_net::device_in(address).is_none())
    {
        return Err(ApiError::bad_request(format!(
            "“{nobodys}” is no address to join by: it ends in /p2p/ and the node's name, as `hayloft status` shows it there."
        )));
    }
    let listen = [&options.listen, &settings.listen].into_iter().find(|addresses| !addresses.is_empty());
    let known = store.peers().list().await.map_err(errors::database)?;
    let remembered =
        known.into_iter().map(|peer| Remembered { device: peer.device, addresses: peer.addresses });
    Ok(NetConfig {
        network: settings.network.clone(),
        listen: listen.cloned().unwrap_or_else(|| EVERYWHERE.map(str::to_owned).to_vec()),
        bootstrap: options.bootstrap.iter().chain(&settings.bootstrap).cloned().collect(),
        mdns: options.mdns,
        memory: options.memory,
        serves_dht: !options.dht_client,
        remembered: remembered.collect(),
        rates: RateLimits { up: settings.farm.upload_limit, down: settings.farm.download_limit },
        bounds: Bounds::default(),
        wall: {
            let clock = options.clock.clone();
            Wall::new(move || clock.now())
        },
    })
}

async fn remember(parts: Parts) {
    let mut ticks = interval(REMEMBER_PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut gone = false;
    while parts.stop.run_until_cancelled(ticks.tick()).await.is_some() {
        keep_catalog(&parts).await;
        if !std::mem::replace(&mut gone, parts.store.database_is_gone()) && gone {
            tracing::error!("{}", notices::DATABASE_GONE);
            let _ = parts.events.send(Event::StatusChanged);
        }
        if let Err(error) = save_peers(&parts).await {
            tracing::warn!(%error, "peers could not be saved");
        }
        if let Err(error) = parts.witness.keep().await {
            tracing::warn!(%error, "the time that was lived could not be saved");
        }
    }
}

async fn keep_catalog(parts: &Parts) {
    if let Err(error) = parts.store.keep_catalog().await {
        tracing::error!(%error, "the catalog log is gone and could not be written anew");
    }
}

async fn save_peers(parts: &Parts) -> Result<(), ApiError> {
    let (now, peers) = (parts.clock.now(), parts.net.remembered());
    let peer = |Remembered { device, addresses }| hayloft_store::peers::Peer {
        device,
        addresses,
        farmer: false,
        seen: now,
    };
    let peers: Vec<_> = peers.into_iter().map(peer).collect();
    parts.store.peers().remember(&peers).await.map_err(errors::database)
}
