//! Vouchers for egress: an owner's device signs how many bytes in all a farmer has served it in a settlement period.
//!
//! A voucher counts up: the newest one of a device holds all before it, so replaying one gains nothing, a lost one costs
//! nothing, and two devices of one owner never disturb each other — each counts for itself. The farmer serves at most
//! [`AHEAD_BYTES`] more than it holds vouchers for; that much is what an owner can take without paying, however many devices
//! it certifies. A device that lost count takes the farmer's word for as much and no more.
//!
//! ```text
//! egress(period) = min(cap, Σ over devices: bytes of the newest voucher)      the escrow covers the cap
//! ahead(period)  = Σ over devices: bytes served − bytes vouched for ≤ AHEAD_BYTES
//! ```
//! A farmer takes no voucher that makes all of a period's pass the cap: it would serve for nothing. Who settles takes in
//! whatever another shows, in any order, and counts up to the cap: so books that have seen the same vouchers say the same,
//! and nobody can divide them by showing each something else.
//!
//! Invariants: what a book counts never shrinks, never passes its cap, and every byte of it was signed for by a device whose
//! certificate was checked. Deliberately absent: those certificates, and storage of the book.

use std::{cmp::Reverse, collections::BTreeMap};

use serde::{Deserialize, Serialize};

use crate::{
    ContractId, DeviceId, NetworkName, Signature,
    keys::{BadSignature, DeviceKey},
};

const VERSION: u8 = 1;
const LABEL: &str = "egress voucher";

/// Bytes that a farmer serves beyond what it holds a voucher for.
pub const AHEAD_BYTES: u64 = 1 << 20;
/// Devices that can take part in one contract and period.
pub const MAX_DEVICES: usize = 64;

/// What a device has been served in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voucher {
    /// Under which contract.
    pub contract: ContractId,
    /// In which settlement period, counted from the contract's start.
    pub period: u32,
    /// Which device.
    pub device: DeviceId,
    /// Bytes in all since the period began.
    pub bytes: u64,
}

/// A [`Voucher`] with its device's signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedVoucher {
    /// What is signed.
    pub voucher: Voucher,
    /// By the device named in it.
    pub signature: Signature,
}

/// Why a voucher is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VoucherError {
    /// For another contract.
    #[error("the voucher is for another contract")]
    WrongContract,
    /// For another period.
    #[error("the voucher is for another settlement period")]
    WrongPeriod,
    /// Not signed by the device that it names.
    #[error("the voucher's signature does not fit")]
    BadSignature,
    /// It says no more than one that is here: an old one again.
    #[error("the voucher says no more than an earlier one")]
    NotMore,
    /// More than the contract pays for in a period.
    #[error("the voucher goes beyond the {cap_bytes} bytes that this contract pays for in a period")]
    BeyondCap {
        /// The cap.
        cap_bytes: u64,
    },
    /// Too many devices.
    #[error("more than {MAX_DEVICES} devices have fetched under this contract in this period")]
    TooManyDevices,
}

impl From<BadSignature> for VoucherError {
    fn from(BadSignature: BadSignature) -> Self {
        Self::BadSignature
    }
}

impl Voucher {
    /// Signs it with the device's own key.
    pub fn sign(self, key: &DeviceKey, network: &NetworkName) -> SignedVoucher {
        SignedVoucher { voucher: self, signature: key.sign(LABEL, network, VERSION, &self) }
    }
}

/// The newest vouchers of one contract and period: what a farmer keeps and shows when it is settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    contract: ContractId,
    period: u32,
    cap_bytes: u64,
    newest: BTreeMap<DeviceId, SignedVoucher>,
}

impl Book {
    /// An empty book. The cap is what the contract pays for in a period.
    pub fn new(contract: ContractId, period: u32, cap_bytes: u64) -> Self {
        Self { contract, period, cap_bytes, newest: BTreeMap::new() }
    }

    /// Takes a voucher in, in place of that device's last.
    ///
    /// # Errors
    /// The first [`VoucherError`] found; the book is then as it was.
    pub fn accept(&mut self, offered: &SignedVoucher, network: &NetworkName) -> Result<(), VoucherError> {
        let voucher = &offered.voucher;
        self.check(voucher)?;
        let others = self.newest.iter().filter(|(device, _)| **device != voucher.device);
        let others = others.map(|(_, signed)| signed.voucher.bytes).fold(0, u64::saturating_add);
        if others.checked_add(voucher.bytes).is_none_or(|all| all > self.cap_bytes) {
            return Err(VoucherError::BeyondCap { cap_bytes: self.cap_bytes });
        }
        if self.newest.len() >= MAX_DEVICES && !self.newest.contains_key(&voucher.device) {
            return Err(VoucherError::TooManyDevices);
        }
        self.enter(offered, network)
    }

    /// Takes in a voucher that another shows or that was kept, also where all together pass the cap. Of too many devices
    /// those with the most bytes stay.
    ///
    /// # Errors
    /// The first [`VoucherError`] found; the book is then as it was.
    pub fn learn(&mut self, shown: &SignedVoucher, network: &NetworkName) -> Result<(), VoucherError> {
        self.check(&shown.voucher)?;
        let size = |signed: &SignedVoucher| (signed.voucher.bytes, Reverse(signed.voucher.device));
        let crowded = self.newest.len() >= MAX_DEVICES && !self.newest.contains_key(&shown.voucher.device);
        let smallest = self.newest.values().min_by_key(|signed| size(signed)).filter(|_| crowded).copied();
        if smallest.is_some_and(|smallest| size(shown) < size(&smallest)) {
            return Err(VoucherError::TooManyDevices);
        }
        self.enter(shown, network)?;
        if let Some(smallest) = smallest {
            self.newest.remove(&smallest.voucher.device);
        }
        Ok(())
    }

    fn check(&self, voucher: &Voucher) -> Result<(), VoucherError> {
        if voucher.contract != self.contract {
            return Err(VoucherError::WrongContract);
        }
        if voucher.period != self.period {
            return Err(VoucherError::WrongPeriod);
        }
        if voucher.bytes <= self.vouched(voucher.device) {
            return Err(VoucherError::NotMore);
        }
        if voucher.bytes > self.cap_bytes {
            return Err(VoucherError::BeyondCap { cap_bytes: self.cap_bytes });
        }
        Ok(())
    }

    fn enter(&mut self, signed: &SignedVoucher, network: &NetworkName) -> Result<(), VoucherError> {
        let voucher = &signed.voucher;
        voucher.device.verify(LABEL, network, VERSION, voucher, &signed.signature)?;
        self.newest.insert(voucher.device, *signed);
        Ok(())
    }

    /// Checks a book that another shows: every voucher in it, as if it came now.
    ///
    /// # Errors
    /// The first [`VoucherError`] found.
    pub fn verify(&self, network: &NetworkName) -> Result<(), VoucherError> {
        let mut own = Self::new(self.contract, self.period, self.cap_bytes);
        self.newest.iter().try_for_each(|(device, signed)| {
            if *device != signed.voucher.device {
                return Err(VoucherError::BadSignature);
            }
            own.learn(signed, network)
        })
    }

    /// Bytes that a device has vouched for.
    pub fn vouched(&self, device: DeviceId) -> u64 {
        self.newest.get(&device).map_or(0, |signed| signed.voucher.bytes)
    }

    /// Bytes that all devices together have vouched for, up to the cap.
    pub fn bytes(&self) -> u64 {
        let all = self.newest.values().map(|signed| signed.voucher.bytes).fold(0, u64::saturating_add);
        all.min(self.cap_bytes)
    }
}

/// What a farmer has served under a contract in a settlement period and holds no voucher for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tab {
    ahead: BTreeMap<DeviceId, u64>,
}

impl Tab {
    /// Counts bytes that are about to be served; false, and they must wait, if that would be too far ahead.
    pub fn serve(&mut self, device: DeviceId, bytes: u64) -> bool {
        let sum = self.ahead.values().try_fold(bytes, |sum, ahead| sum.checked_add(*ahead));
        let has_room = self.ahead.len() < MAX_DEVICES || self.ahead.contains_key(&device);
        let fits = has_room && sum.is_some_and(|sum| sum <= AHEAD_BYTES);
        if fits && bytes > 0 {
            *self.ahead.entry(device).or_default() += bytes;
        }
        fits
    }

    /// A device has vouched for so many bytes more.
    pub fn vouched(&mut self, device: DeviceId, bytes: u64) {
        let left = self.ahead(device).saturating_sub(bytes);
        if left == 0 {
            self.ahead.remove(&device);
        } else {
            self.ahead.insert(device, left);
        }
    }

    /// Bytes that a device was served and has not vouched for.
    pub fn ahead(&self, device: DeviceId) -> u64 {
        self.ahead.get(&device).copied().unwrap_or(0)
    }

    /// Whether nothing is owed.
    pub fn is_even(&self) -> bool {
        self.ahead.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CAP: u64 = 10 << 20;

    fn network() -> NetworkName {
        "here".parse().unwrap()
    }

    fn device(seed: u8) -> DeviceKey {
        DeviceKey::from_bytes(&[seed; 32])
    }

    fn book() -> Book {
        Book::new(ContractId([1; 32]), 3, CAP)
    }

    fn signed(by: u8, bytes: u64) -> SignedVoucher {
        let key = device(by);
        Voucher { contract: ContractId([1; 32]), period: 3, device: key.id(), bytes }.sign(&key, &network())
    }

    #[test]
    fn vouchers_of_two_devices_count_side_by_side_and_replayed_ones_not_again() {
        let mut book = book();
        book.accept(&signed(1, 100), &network()).unwrap();
        book.accept(&signed(2, 70), &network()).unwrap();
        book.accept(&signed(1, 250), &network()).unwrap();
        assert_eq!(book.bytes(), 320);
        for old in [signed(1, 100), signed(1, 250), signed(2, 70), signed(2, 0)] {
            assert_eq!(book.accept(&old, &network()), Err(VoucherError::NotMore));
        }
        assert_eq!((book.bytes(), book.vouched(device(1).id())), (320, 250));
        assert_eq!(book.verify(&network()), Ok(()));
    }

    #[test]
    fn nobody_vouches_beyond_the_cap_however_many_devices_there_are() {
        let mut book = book();
        book.accept(&signed(1, CAP - 5), &network()).unwrap();
        let beyond = Err(VoucherError::BeyondCap { cap_bytes: CAP });
        assert_eq!(book.accept(&signed(2, 6), &network()), beyond);
        assert_eq!(book.accept(&signed(1, u64::MAX), &network()), beyond);
        assert_eq!(book.accept(&signed(2, u64::MAX), &network()), beyond);
        book.accept(&signed(2, 5), &network()).unwrap();
        assert_eq!(book.bytes(), CAP);
        let mut crowded = Book::new(ContractId([1; 32]), 3, CAP);
        for seed in 0..MAX_DEVICES as u8 {
            crowded.accept(&signed(seed, 1), &network()).unwrap();
        }
        assert_eq!(crowded.accept(&signed(200, 1), &network()), Err(VoucherError::TooManyDevices));
        crowded.accept(&signed(0, 2), &network()).unwrap();
    }

    #[test]
    fn books_that_saw_the_same_vouchers_say_the_same_whatever_came_first() {
        let (one, two) = (signed(1, CAP - 5), signed(2, CAP - 7));
        let mut farmers = book();
        farmers.accept(&one, &network()).unwrap();
        let mut auditors = book();
        auditors.learn(&two, &network()).unwrap();
        farmers.learn(&two, &network()).unwrap();
        auditors.learn(&one, &network()).unwrap();
        assert_eq!(farmers, auditors);
        assert_eq!((farmers.bytes(), farmers.verify(&network())), (CAP, Ok(())));
        assert_eq!(farmers.learn(&one, &network()), Err(VoucherError::NotMore), "replayed");
        let beyond = Err(VoucherError::BeyondCap { cap_bytes: CAP });
        assert_eq!(farmers.learn(&signed(3, CAP + 1), &network()), beyond);
        assert_eq!(farmers.accept(&signed(3, 1), &network()), beyond, "nothing more is served for it");

        // A crowd of devices that one of them was shown first pushes nobody out who has more.
        let crowd: Vec<SignedVoucher> = (10..10 + MAX_DEVICES as u8).map(|seed| signed(seed, 1)).collect();
        let mut crowded = book();
        crowd.iter().try_for_each(|one| crowded.learn(one, &network())).unwrap();
        crowded.learn(&one, &network()).unwrap();
        let mut late = book();
        late.accept(&one, &network()).unwrap();
        for one in &crowd {
            let _ = late.learn(one, &network());
        }
        assert_eq!(late, crowded);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn the_order_of_vouchers_never_counts(
            told in prop::collection::vec((0u8..80, 1u64..50), 60..120),
        ) {
            let told: Vec<SignedVoucher> = told.into_iter().map(|(by, bytes)| signed(by, bytes)).collect();
            let (mut one, mut other) = (book(), book());
            for (first, second) in told.iter().zip(told.iter().rev()) {
                let _ = (one.learn(first, &network()), other.learn(second, &network()));
            }
            prop_assert_eq!(one, other);
        }
    }

    #[test]
    fn vouchers_from_elsewhere_and_forged_ones_are_refused() {
        let change = |change: &dyn Fn(&mut Voucher)| {
            let mut voucher = signed(1, 9).voucher;
            change(&mut voucher);
            voucher.sign(&device(1), &network())
        };
        let mut forged = signed(1, 9);
        forged.voucher.bytes = 10;
        let mut borrowed = signed(1, 9);
        borrowed.voucher.device = device(2).id();
        let other: NetworkName = "there".parse().unwrap();
        for (voucher, network, error) in [
            (
                change(&|voucher| voucher.contract = ContractId([2; 32])),
                network(),
                VoucherError::WrongContract,
            ),
            (change(&|voucher| voucher.period = 4), network(), VoucherError::WrongPeriod),
            (forged, network(), VoucherError::BadSignature),
            (borrowed, network(), VoucherError::BadSignature),
            (signed(1, 9), other, VoucherError::BadSignature),
        ] {
            let mut book = book();
            assert_eq!(book.accept(&voucher, &network), Err(error));
            assert_eq!(book.bytes(), 0);
        }
        let mut shown = book();
        shown.accept(&signed(1, 9), &network()).unwrap();
        shown.newest.get_mut(&device(1).id()).unwrap().voucher.bytes = 10;
        assert_eq!(shown.verify(&network()), Err(VoucherError::BadSignature));
        let mut doubled = book();
        doubled.newest.insert(device(1).id(), signed(1, 9));
        doubled.newest.insert(device(2).id(), signed(1, 9));
        assert_eq!(doubled.verify(&network()), Err(VoucherError::BadSignature));
    }

    #[test]
    fn a_farmer_serves_a_mebibyte_ahead_and_not_a_byte_more_however_many_devices_ask() {
        let (one, two) = (device(1).id(), device(2).id());
        let mut tab = Tab::default();
        assert!(!tab.serve(one, AHEAD_BYTES + 1) && !tab.serve(one, u64::MAX) && tab.is_even());
        assert!(tab.serve(one, AHEAD_BYTES - 10) && tab.serve(two, 10) && !tab.serve(two, 1));
        tab.vouched(two, 7);
        assert!((tab.ahead(two), tab.serve(one, 8)) == (3, false) && tab.serve(one, 7) && !tab.serve(one, 1));
        tab.vouched(two, 99);
        tab.vouched(one, u64::MAX);
        assert!(tab.is_even() && tab.serve(two, AHEAD_BYTES));
        let mut crowded = Tab::default();
        assert!((0..MAX_DEVICES as u8).all(|seed| crowded.serve(device(seed).id(), 1)));
        assert!(!crowded.serve(device(MAX_DEVICES as u8).id(), 1) && crowded.serve(device(0).id(), 1));
    }

    proptest! {
        #[test]
        fn in_whatever_order_vouchers_come_each_device_counts_its_highest(
            vouchers in prop::collection::vec((0u8..3, 1u64..1000), 0..30),
        ) {
            let mut book = book();
            let mut highest = BTreeMap::new();
            for (by, bytes) in vouchers {
                let _ = book.accept(&signed(by, bytes), &network());
                let known: &mut u64 = highest.entry(by).or_default();
                *known = bytes.max(*known);
            }
            prop_assert_eq!(book.bytes(), highest.values().sum::<u64>());
        }
    }
}
