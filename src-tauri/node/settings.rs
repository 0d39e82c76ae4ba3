//! What a home remembers about how its node runs: `config.json`, whose version the store minds. Every rule that a value must keep is
//! checked here, with a sentence for the person who set it.

use std::path::Path;

use hayloft_core::{Amount, NetworkName, Timestamp, spending::Limits};
use hayloft_store::{Home, config};
use serde::{Deserialize, Serialize};

use crate::{
    errors,
    model::{ApiError, FarmSettings, Hours},
};

const MIB: u64 = 1 << 20;
/// Less than this cannot hold one shard of an ordinary segment.
const SMALLEST_QUOTA_BYTES: u64 = 16 * MIB;
/// Bytes no disk has: keeps sums far from overflow.
const GREATEST_QUOTA_BYTES: u64 = 1 << 60;
/// A slower node could not finish a cell before the other side gives up.
const SLOWEST_BYTES_PER_SECOND: u64 = 16 * 1024;
/// 10⁸ XLM per TB-month: beyond it prices times bytes might overflow.
const GREATEST_PRICE_STROOPS: u64 = 1_000_000_000_000_000;
const LONGEST_OPERATOR_BYTES: usize = 64;
const MINUTES_PER_DAY: u16 = 24 * 60;
const DEFAULT_QUOTA_BYTES: u64 = 10_000_000_000;

/// The settings of a home.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The network; never changes, since keys and signatures contain it.
    pub network: NetworkName,
    /// Multiaddresses to listen on; empty: every interface, any free port.
    #[serde(default)]
    pub listen: Vec<String>,
    /// Addresses through which the network is joined.
    #[serde(default)]
    pub bootstrap: Vec<String>,
    /// What the farmer offers.
    pub farm: FarmSettings,
    /// Whether this node audits.
    #[serde(default)]
    pub audit: bool,
    /// Whether this node, if it audits, gives farmers data of its own: only what they prove of it counts in public.
    #[serde(default = "yes")]
    pub vet: bool,
    /// The auditor that this owner's new contracts name, by an address ending in `/p2p/…`.
    #[serde(default)]
    pub auditor: Option<String>,
    /// Where the ledger is; none: where Stellar's test network is, or nowhere on any other network.
    #[serde(default)]
    pub ledger: Option<String>,
    /// What may be spent.
    #[serde(default)]
    pub spending: Limits,
    /// The most that a farmer may ask for a TB-month; dearer ones are left out.
    #[serde(default)]
    pub price_ceiling: Option<Amount>,
    /// Whether this owner's files are repaired without anybody's asking.
    #[serde(default = "yes")]
    pub repair: bool,
    /// Until when this farmer stays, if it leaves.
    #[serde(default)]
    pub leaves: Option<Timestamp>,
}

fn yes() -> bool {
    true
}

impl Settings {
    /// A new home's: nothing is offered yet.
    fn new(network: NetworkName) -> Self {
        Self {
            network,
            listen: Vec::new(),
            bootstrap: Vec::new(),
            farm: FarmSettings::default(),
            audit: false,
            vet: true,
            auditor: None,
            ledger: None,
            spending: Limits::default(),
            price_ceiling: None,
            repair: true,
            leaves: None,
        }
    }

    /// The home's settings. A home without any gets and keeps new ones for `network`, or for `testnet`.
    ///
    /// # Errors
    /// [`ApiError`] if they cannot be read, are from a newer version, or are for another network.
    pub fn load(home: &Home, network: Option<NetworkName>) -> Result<Self, ApiError> {
        let settings = match config::read::<Option<Self>>(home).map_err(errors::config)? {
            Some(settings) => settings,
            None => {
                let settings = Self::new(network.clone().unwrap_or_else(testnet));
                settings.save(home)?;
                settings
            }
        };
        let asked = network.unwrap_or_else(|| settings.network.clone());
        require(asked == settings.network, || {
            format!("This home belongs to the network {}. Use another home for {asked}.", settings.network)
        })?;
        Ok(settings)
    }

    /// Writes them, whole or not at all.
    ///
    /// # Errors
    /// [`ApiError`] if the disk refuses.
    pub fn save(&self, home: &Home) -> Result<(), ApiError> {
        config::write(home, self).map_err(errors::config)
    }
}

fn testnet() -> NetworkName {
    "testnet".parse().expect("seven small letters")
}

impl Default for FarmSettings {
    fn default() -> Self {
        Self {
            enabled: false,
            folder: None,
            quota_bytes: DEFAULT_QUOTA_BYTES,
            storage_price: 0,
            egress_price: 0,
            upload_limit: None,
            download_limit: None,
            hours: None,
            paused: false,
            operator: None,
        }
    }
}

impl Hours {
    /// Whether new data is taken at that minute after midnight. The end belongs to the pause.
    pub fn contain(&self, minute: u16) -> bool {
        if self.from_minute < self.until_minute {
            (self.from_minute..self.until_minute).contains(&minute)
        } else {
            minute >= self.from_minute || minute < self.until_minute
        }
    }
}

/// Checks every rule that does not need the disk.
///
/// # Errors
/// [`ApiError`] with the rule as a sentence.
pub fn check_farm(farm: &FarmSettings) -> Result<(), ApiError> {
    check_quota(farm.quota_bytes)?;
    check_folder(farm.folder.as_deref())?;
    check_price(farm.storage_price)?;
    check_price(farm.egress_price)?;
    check_limit(farm.upload_limit)?;
    check_limit(farm.download_limit)?;
    farm.hours.as_ref().map_or(Ok(()), check_hours)?;
    farm.operator.as_deref().map_or(Ok(()), check_operator)
}

/// Checks the address of an auditor.
///
/// # Errors
/// [`ApiError`] if it names no device.
pub fn check_auditor(address: &str) -> Result<(), ApiError> {
    require(hayloft_net::device_in(address).is_some(), || {
        format!("“{address}” is no auditor's address: it ends in /p2p/ and the auditor's name.")
    })
}

fn require(holds: bool, sentence: impl FnOnce() -> String) -> Result<(), ApiError> {
    if holds { Ok(()) } else { Err(ApiError::bad_request(sentence())) }
}

fn check_quota(quota_bytes: u64) -> Result<(), ApiError> {
    require(quota_bytes >= SMALLEST_QUOTA_BYTES, || {
        format!("Offer at least {} MiB: less cannot hold a single piece.", SMALLEST_QUOTA_BYTES / MIB)
    })?;
    require(quota_bytes <= GREATEST_QUOTA_BYTES, || "No disk is that large: offer less space.".into())
}

fn check_folder(folder: Option<&Path>) -> Result<(), ApiError> {
    require(folder.is_none_or(Path::is_absolute), || "Name the folder for pieces by its full path.".into())
}

fn check_price(stroops: u64) -> Result<(), ApiError> {
    require(stroops <= GREATEST_PRICE_STROOPS, || {
        format!("A price is at most {} per TB.", Amount(GREATEST_PRICE_STROOPS))
    })
}

fn check_limit(bytes_per_second: Option<u64>) -> Result<(), ApiError> {
    require(bytes_per_second.is_none_or(|limit| limit >= SLOWEST_BYTES_PER_SECOND), || {
        format!(
            "A speed limit is at least {SLOWEST_BYTES_PER_SECOND} bytes per second: below it no transfer ends. \
             Leave it out for no limit."
        )
    })
}

fn check_hours(hours: &Hours) -> Result<(), ApiError> {
    require(hours.from_minute < MINUTES_PER_DAY && hours.until_minute < MINUTES_PER_DAY, || {
        "Hours go from 00:00 to 23:59.".into()
    })?;
    require(hours.from_minute != hours.until_minute, || {
        "Hours that begin and end at the same time hold no time: leave them out to take data always.".into()
    })
}

fn check_operator(operator: &str) -> Result<(), ApiError> {
    let length = (1..=LONGEST_OPERATOR_BYTES).contains(&operator.len());
    require(length && !operator.chars().any(char::is_control), || {
        format!("An operator's name has 1 to {LONGEST_OPERATOR_BYTES} bytes of ordinary text.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> (tempfile::TempDir, Home) {
        let dir = tempfile::tempdir().expect("temp dir");
        let home = Home::open(dir.path()).expect("home");
        (dir, home)
    }

    fn network(name: &str) -> Option<NetworkName> {
        Some(name.parse().expect("a name"))
    }

    #[test]
    fn new_home_keeps_its_network_and_refuses_another() {
        let (_dir, home) = home();
        assert_eq!(Settings::load(&home, network("barn")).expect("new").network.as_str(), "barn");
        assert_eq!(Settings::load(&home, None).expect("kept").network.as_str(), "barn");
        let error = Settings::load(&home, network("shed")).expect_err("another network");
        assert_eq!(error.message, "This home belongs to the network barn. Use another home for shed.");
    }

    #[test]
    fn new_home_without_a_wish_is_on_the_test_network_and_offers_nothing() {
        let (_dir, home) = home();
        let settings = Settings::load(&home, None).expect("new");
        assert_eq!(settings.network.as_str(), "testnet");
        assert!(!settings.farm.enabled);
    }

    #[test]
    fn settings_from_a_newer_version_are_refused_and_left_alone() {
        let (dir, home) = home();
        let path = dir.path().join("config.json");
        let newer = r#"{"version": 99, "config": {"shape": "unknown"}}"#;
        std::fs::write(&path, newer).expect("written");
        let error = Settings::load(&home, None).expect_err("from the future");
        assert!(error.message.contains("newer"), "{}", error.message);
        assert_eq!(std::fs::read_to_string(&path).expect("still there"), newer);
    }

    #[test]
    fn every_bad_setting_is_refused_with_a_sentence() {
        let check = |farm: FarmSettings, words: &str| {
            let error = check_farm(&farm).expect_err(words);
            assert!(error.message.contains(words), "{}", error.message);
        };
        let good = FarmSettings::default;
        assert_eq!(check_farm(&good()), Ok(()));
        check(FarmSettings { quota_bytes: 0, ..good() }, "at least 16 MiB");
        check(FarmSettings { quota_bytes: u64::MAX, ..good() }, "offer less space");
        check(FarmSettings { folder: Some("shards".into()), ..good() }, "full path");
        check(FarmSettings { storage_price: u64::MAX, ..good() }, "price");
        check(FarmSettings { egress_price: u64::MAX, ..good() }, "price");
        check(FarmSettings { upload_limit: Some(0), ..good() }, "speed limit");
        check(FarmSettings { download_limit: Some(1), ..good() }, "speed limit");
        check(FarmSettings { hours: Some(Hours { from_minute: 0, until_minute: 1440 }), ..good() }, "23:59");
        check(
            FarmSettings { hours: Some(Hours { from_minute: 60, until_minute: 60 }), ..good() },
            "same time",
        );
        check(FarmSettings { operator: Some(String::new()), ..good() }, "operator");
        check(FarmSettings { operator: Some("a\nb".into()), ..good() }, "operator");
        check(FarmSettings { operator: Some("x".repeat(65)), ..good() }, "operator");
    }

    #[test]
    fn hours_hold_their_beginning_and_not_their_end() {
        let day = Hours { from_minute: 480, until_minute: 1080 };
        assert!(day.contain(480) && day.contain(1079) && !day.contain(1080) && !day.contain(479));
        let night = Hours { from_minute: 1320, until_minute: 360 };
        assert!(night.contain(1320) && night.contain(0) && night.contain(359) && !night.contain(360));
    }
}
