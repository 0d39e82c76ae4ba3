//! What the farmer offers right now: whether it takes new data, why not, and the signed record that says so.

use hayloft_core::{
    Amount, DeviceId, NetworkName, Timestamp, keys::DeviceKey, record::FarmerRecord,
    record::SignedFarmerRecord,
};
use hayloft_store::farmer::{Figures, Limits};
use jiff::tz::TimeZone;

use crate::{
    errors::size,
    model::{FarmSettings, Hours},
};

/// The farmer protocol that this release speaks.
const PROTOCOL: u16 = 1;
/// How long a record counts: owners ask again long before.
const RECORD_SECONDS: u64 = 600;
/// With less than this left, a shard of an ordinary segment finds no room.
const LEAST_FREE_BYTES: u64 = 1 << 20;
/// What one owner may have reserved at once, whatever the quota: some segments in flight.
const OWNER_FLOOR_BYTES: u64 = 1 << 30;
/// What one subnet may have reserved at once, whatever the quota.
const SUBNET_FLOOR_BYTES: u64 = 2 << 30;

/// Why no new data is taken. Reads go on in every case.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAccepting {
    /// Farming was never switched on, or is off.
    #[error("This computer does not offer space.")]
    Off,
    /// It leaves.
    #[error("This farmer leaves: it takes nothing new. What is stored here can be read until it is moved.")]
    Leaving,
    /// The person paused it.
    #[error("New data is paused. What is stored here stays and can be read.")]
    Paused,
    /// Not the time of day.
    #[error("New data is taken from {} to {} only.", clock_time(.0.from_minute), clock_time(.0.until_minute))]
    OutsideHours(Hours),
    /// Used and reserved reach the quota.
    #[error("The offered space is used up. Offer more to take new data.")]
    QuotaFull,
    /// The disk must keep some space.
    #[error(
        "The disk is nearly full: {} of it stay free. Make room on it, or choose another folder.",
        size(*guard_bytes)
    )]
    DiskFull {
        /// What must stay free.
        guard_bytes: u64,
    },
}

fn clock_time(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

/// Whether the person's settings let new data in at `now`, wherever the disk stands.
pub(crate) fn permitted(
    settings: &FarmSettings,
    leaves: Option<Timestamp>,
    now: Timestamp,
    zone: &TimeZone,
) -> Result<(), NotAccepting> {
    if !settings.enabled {
        return Err(NotAccepting::Off);
    }
    if leaves.is_some() {
        return Err(NotAccepting::Leaving);
    }
    if settings.paused {
        return Err(NotAccepting::Paused);
    }
    match settings.hours {
        Some(hours) if !hours.contain(minute_of_day(now, zone)) => Err(NotAccepting::OutsideHours(hours)),
        _ => Ok(()),
    }
}

/// Whether new data is taken at `now`, and if not, the first reason.
pub(crate) fn accepting(
    settings: &FarmSettings,
    leaves: Option<Timestamp>,
    figures: &Figures,
    now: Timestamp,
    zone: &TimeZone,
) -> Result<(), NotAccepting> {
    permitted(settings, leaves, now, zone)?;
    if figures.used_bytes.saturating_add(figures.reserved_bytes).saturating_add(LEAST_FREE_BYTES)
        > settings.quota_bytes
    {
        return Err(NotAccepting::QuotaFull);
    }
    if figures.free_bytes < LEAST_FREE_BYTES {
        return Err(NotAccepting::DiskFull { guard_bytes: figures.guard_bytes });
    }
    Ok(())
}

fn minute_of_day(now: Timestamp, zone: &TimeZone) -> u16 {
    let now = i64::try_from(now.0).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    let time = now.unwrap_or(jiff::Timestamp::MAX).to_zoned(zone.clone()).time();
    u16::from(time.hour().unsigned_abs()) * 60 + u16::from(time.minute().unsigned_abs())
}

/// The limits that a reservation is checked against.
pub(crate) fn limits(settings: &FarmSettings) -> Limits {
    let quota_bytes = settings.quota_bytes;
    Limits {
        quota_bytes,
        owner_bytes: OWNER_FLOOR_BYTES.max(quota_bytes / 4),
        subnet_bytes: SUBNET_FLOOR_BYTES.max(quota_bytes / 2),
    }
}

/// The offer as of `now`, freshly signed.
pub(crate) fn record(
    settings: &FarmSettings,
    leaves: Option<Timestamp>,
    figures: &Figures,
    network: &NetworkName,
    device: &DeviceKey,
    now: Timestamp,
    zone: &TimeZone,
) -> SignedFarmerRecord {
    let device_id: DeviceId = device.id();
    let record = FarmerRecord {
        network: network.clone(),
        device: device_id,
        protocol: PROTOCOL,
        accepting: accepting(settings, leaves, figures, now, zone).is_ok(),
        free_bytes: figures.free_bytes,
        storage_price: Amount(settings.storage_price),
        egress_price: Amount(settings.egress_price),
        operator: settings.operator.clone(),
        country: None,
        leaves,
        at: now,
        expires: now.plus_seconds(RECORD_SECONDS),
    };
    record.sign(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp(1_750_000_000 - 1_750_000_000 % 86_400 + 12 * 3600);
    const MIB: u64 = 1 << 20;

    fn on() -> FarmSettings {
        FarmSettings { enabled: true, quota_bytes: 100 * MIB, ..FarmSettings::default() }
    }

    fn roomy() -> Figures {
        Figures { free_bytes: 50 * MIB, disk_free_bytes: 500 * MIB, ..Figures::default() }
    }

    #[test]
    fn farmer_takes_data_when_nothing_speaks_against_it() {
        assert_eq!(accepting(&on(), None, &roomy(), NOON, &TimeZone::UTC), Ok(()));
    }

    #[test]
    fn each_reason_not_to_take_data_is_named() {
        let check = |settings: FarmSettings, figures: Figures, expect: NotAccepting| {
            assert_eq!(accepting(&settings, None, &figures, NOON, &TimeZone::UTC), Err(expect));
        };
        check(FarmSettings { enabled: false, ..on() }, roomy(), NotAccepting::Off);
        check(FarmSettings { paused: true, ..on() }, roomy(), NotAccepting::Paused);
        let night = Hours { from_minute: 22 * 60, until_minute: 6 * 60 };
        check(FarmSettings { hours: Some(night), ..on() }, roomy(), NotAccepting::OutsideHours(night));
        let full = Figures { used_bytes: 60 * MIB, reserved_bytes: 40 * MIB, ..roomy() };
        check(on(), full, NotAccepting::QuotaFull);
        let tight = Figures { free_bytes: 0, guard_bytes: 7, ..roomy() };
        check(on(), tight, NotAccepting::DiskFull { guard_bytes: 7 });
    }

    #[test]
    fn a_farmer_that_leaves_says_until_when_it_stays_and_takes_nothing() {
        let (device, until) = (DeviceKey::from_bytes(&[7; 32]), Some(NOON.plus_seconds(9)));
        let network: NetworkName = "test".parse().expect("a name");
        let signed = record(&on(), until, &roomy(), &network, &device, NOON, &TimeZone::UTC);
        let record = signed.verify(&network, &device.id(), NOON).expect("verifies");
        assert_eq!((record.accepting, record.leaves), (false, until));
        assert_eq!(permitted(&on(), until, NOON, &TimeZone::UTC), Err(NotAccepting::Leaving));
    }

    #[test]
    fn hours_are_read_as_local_time_and_may_pass_midnight() {
        let night = Hours { from_minute: 22 * 60, until_minute: 6 * 60 };
        let settings = FarmSettings { hours: Some(night), ..on() };
        let east = TimeZone::fixed(jiff::tz::offset(10));
        assert_eq!(permitted(&settings, None, NOON, &east), Ok(()), "noon UTC is 22:00 there");
        assert!(permitted(&settings, None, NOON, &TimeZone::UTC).is_err());
        assert_eq!(
            NotAccepting::OutsideHours(night).to_string(),
            "New data is taken from 22:00 to 06:00 only."
        );
    }

    #[test]
    fn record_is_signed_and_says_what_is_offered() {
        let device = DeviceKey::from_bytes(&[7; 32]);
        let network: NetworkName = "test".parse().expect("a name");
        let settings = FarmSettings { storage_price: 5, operator: Some("me".into()), ..on() };
        let signed = record(&settings, None, &roomy(), &network, &device, NOON, &TimeZone::UTC);
        let record = signed.verify(&network, &device.id(), NOON).expect("verifies");
        assert!(record.accepting);
        assert_eq!((record.free_bytes, record.storage_price), (50 * MIB, Amount(5)));
        assert_eq!(record.operator.as_deref(), Some("me"));
    }
}
