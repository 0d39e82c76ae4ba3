//! What the ledger holds: accounts, their data, and claimable balances, and their form as Stellar's ledger entries.
//!
//! Absent: trust lines, offers, pools and contracts. No operation of this ledger makes them.

use stellar_base::xdr::{
    AccountEntry, AccountEntryExt, AccountEntryExtensionV1, AccountEntryExtensionV1Ext,
    AccountEntryExtensionV2, AccountEntryExtensionV2Ext, AccountEntryExtensionV3, AccountId, Asset,
    ClaimableBalanceEntry, ClaimableBalanceEntryExt, ClaimableBalanceEntryExtensionV1,
    ClaimableBalanceEntryExtensionV1Ext, ClaimableBalanceId, Claimant, DataEntry, DataEntryExt, DataValue,
    ExtensionPoint, Hash, LedgerEntry, LedgerEntryData, LedgerEntryExt, LedgerEntryExtensionV1,
    LedgerEntryExtensionV1Ext, Liabilities, PublicKey, SequenceNumber, Signer, SignerKey,
    SponsorshipDescriptor, String32, String64, Thresholds, TimePoint, Uint256, VecM,
};

use super::BASE_RESERVE;

/// An account's Ed25519 public key, which is also its name.
pub type AccountKey = [u8; 32];
/// Name of a claimable balance.
pub type BalanceKey = [u8; 32];

/// Flag of an account that nobody may change its flags or merge it.
pub const IMMUTABLE_FLAG: u32 = 4;
/// Flag of an account that may revoke trust.
pub const REVOCABLE_FLAG: u32 = 2;
/// Flag of an account that may claw its credit back.
pub const CLAWBACK_FLAG: u32 = 8;
/// All flags that exist.
pub const ALL_FLAGS: u32 = 15;

/// What names an entry.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EntryKey {
    /// An account.
    Account(AccountKey),
    /// A named value of an account.
    Data(AccountKey, String64),
    /// A claimable balance.
    Balance(BalanceKey),
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// An account.
    Account(Account),
    /// A value, and the ledger that changed it last.
    Data(DataValue, u32),
    /// A claimable balance.
    Balance(Balance),
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name and master key.
    pub key: AccountKey,
    /// Stroops.
    pub balance: i64,
    /// Sequence number of its newest transaction.
    pub sequence: i64,
    /// Signers and data entries.
    pub subentries: u32,
    /// Inflation destination, which means nothing any more.
    pub inflation: Option<AccountKey>,
    /// Authorisation flags.
    pub flags: u32,
    /// Home domain.
    pub home_domain: String32,
    /// Weight of the master key; low, medium and high threshold.
    pub thresholds: [u8; 4],
    /// Further signers, in the order of their keys.
    pub signers: Vec<Signer>,
    /// Reserves that others hold for it.
    pub sponsored: u32,
    /// Reserves that it holds for others.
    pub sponsoring: u32,
    /// Ledger in which its sequence number moved last.
    pub sequence_ledger: u32,
    /// Close time of that ledger.
    pub sequence_time: u64,
    /// Ledger that changed it last.
    pub modified: u32,
}

impl Account {
    /// A new account.
    pub fn new(key: AccountKey, balance: i64, sequence: i64) -> Self {
        Self {
            key,
            balance,
            sequence,
            subentries: 0,
            inflation: None,
            flags: 0,
            home_domain: String32::default(),
            thresholds: [1, 0, 0, 0],
            signers: Vec::new(),
            sponsored: 0,
            sponsoring: 0,
            sequence_ledger: 0,
            sequence_time: 0,
            modified: 0,
        }
    }

    /// Stroops below which the balance must not go.
    pub fn minimum(&self) -> i64 {
        (2 + i64::from(self.subentries) + i64::from(self.sponsoring) - i64::from(self.sponsored))
            * BASE_RESERVE
    }

    /// Stroops above the minimum; negative below it.
    pub fn available(&self) -> i64 {
        self.balance - self.minimum()
    }

    /// All keys that count for it, the master key first if it has weight.
    pub fn all_signers(&self) -> Vec<Signer> {
        let master =
            Signer { key: SignerKey::Ed25519(Uint256(self.key)), weight: u32::from(self.thresholds[0]) };
        std::iter::once(master)
            .filter(|master| master.weight > 0)
            .chain(self.signers.iter().cloned())
            .collect()
    }
}

/// A claimable balance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    /// Its name.
    pub key: BalanceKey,
    /// Who may claim it and when; relative times were made absolute when it was created.
    pub claimants: Vec<Claimant>,
    /// Lumens, or credit that its issuer made.
    pub asset: Asset,
    /// How much, in units of 10⁻⁷.
    pub amount: i64,
    /// Whether the issuer may claw it back.
    pub clawback: bool,
    /// Who holds a reserve for each claimant.
    pub sponsor: AccountKey,
    /// Ledger that made it.
    pub modified: u32,
}

/// The XDR name of an account.
pub fn account_id(key: AccountKey) -> AccountId {
    AccountId(PublicKey::PublicKeyTypeEd25519(Uint256(key)))
}

/// The key of an account's XDR name.
pub fn account_key(id: &AccountId) -> AccountKey {
    let AccountId(PublicKey::PublicKeyTypeEd25519(Uint256(key))) = id;
    *key
}

impl Entry {
    /// Stamps the ledger that changed it.
    pub(crate) fn stamp(&mut self, ledger: u32) {
        match self {
            Self::Account(Account { modified, .. })
            | Self::Data(_, modified)
            | Self::Balance(Balance { modified, .. }) => *modified = ledger,
        }
    }

    /// Its form on a Stellar network.
    pub fn to_ledger_entry(&self, key: &EntryKey) -> LedgerEntry {
        match self {
            Self::Account(account) => account_entry(account),
            Self::Data(value, modified) => LedgerEntry {
                last_modified_ledger_seq: *modified,
                data: LedgerEntryData::Data(data_entry(key, value)),
                ext: LedgerEntryExt::V0,
            },
            Self::Balance(balance) => balance_entry(balance),
        }
    }

    /// The entry and its name out of the form on a Stellar network; none for kinds that this ledger does not have.
    pub fn from_ledger_entry(entry: LedgerEntry) -> Option<(EntryKey, Self)> {
        let modified = entry.last_modified_ledger_seq;
        match entry.data {
            LedgerEntryData::Account(account) => {
                let account = read_account(account, modified);
                Some((EntryKey::Account(account.key), Self::Account(account)))
            }
            LedgerEntryData::Data(data) => {
                let key = EntryKey::Data(account_key(&data.account_id), data.data_name);
                Some((key, Self::Data(data.data_value, modified)))
            }
            LedgerEntryData::ClaimableBalance(balance) => {
                let balance = read_balance(balance, &entry.ext, modified)?;
                Some((EntryKey::Balance(balance.key), Self::Balance(balance)))
            }
            _ => None,
        }
    }
}

fn data_entry(key: &EntryKey, value: &DataValue) -> DataEntry {
    let (account, name) = match key {
        EntryKey::Data(account, name) => (*account, name.clone()),
        EntryKey::Account(account) | EntryKey::Balance(account) => (*account, String64::default()),
    };
    DataEntry {
        account_id: account_id(account),
        data_name: name,
        data_value: value.clone(),
        ext: DataEntryExt::V0,
    }
}

fn bounded<T, const MAX: u32>(items: Vec<T>) -> VecM<T, MAX> {
    VecM::try_from(items).expect("the rules keep lists within the bounds of XDR")
}

fn account_entry(account: &Account) -> LedgerEntry {
    let sponsors = account.signers.iter().map(|_| SponsorshipDescriptor(None)).collect();
    let v3 = AccountEntryExtensionV3 {
        ext: ExtensionPoint::V0,
        seq_ledger: account.sequence_ledger,
        seq_time: TimePoint(account.sequence_time),
    };
    let v2 = AccountEntryExtensionV2 {
        num_sponsored: account.sponsored,
        num_sponsoring: account.sponsoring,
        signer_sponsoring_i_ds: bounded(sponsors),
        ext: AccountEntryExtensionV2Ext::V3(v3),
    };
    let v1 = AccountEntryExtensionV1 {
        liabilities: Liabilities { buying: 0, selling: 0 },
        ext: AccountEntryExtensionV1Ext::V2(v2),
    };
    let data = AccountEntry {
        account_id: account_id(account.key),
        balance: account.balance,
        seq_num: SequenceNumber(account.sequence),
        num_sub_entries: account.subentries,
        inflation_dest: account.inflation.map(account_id),
        flags: account.flags,
        home_domain: account.home_domain.clone(),
        thresholds: Thresholds(account.thresholds),
        signers: bounded(account.signers.clone()),
        ext: AccountEntryExt::V1(v1),
    };
    LedgerEntry {
        last_modified_ledger_seq: account.modified,
        data: LedgerEntryData::Account(data),
        ext: LedgerEntryExt::V0,
    }
}

fn read_account(entry: AccountEntry, modified: u32) -> Account {
    let v2 = match entry.ext {
        AccountEntryExt::V1(AccountEntryExtensionV1 { ext: AccountEntryExtensionV1Ext::V2(v2), .. }) => {
            Some(v2)
        }
        _ => None,
    };
    let v3 = match v2.as_ref().map(|v2| &v2.ext) {
        Some(AccountEntryExtensionV2Ext::V3(v3)) => Some(v3),
        _ => None,
    };
    Account {
        key: account_key(&entry.account_id),
        balance: entry.balance,
        sequence: entry.seq_num.0,
        subentries: entry.num_sub_entries,
        inflation: entry.inflation_dest.as_ref().map(account_key),
        flags: entry.flags,
        home_domain: entry.home_domain,
        thresholds: entry.thresholds.0,
        signers: entry.signers.into_vec(),
        sponsored: v2.as_ref().map_or(0, |v2| v2.num_sponsored),
        sponsoring: v2.as_ref().map_or(0, |v2| v2.num_sponsoring),
        sequence_ledger: v3.map_or(0, |v3| v3.seq_ledger),
        sequence_time: v3.map_or(0, |v3| v3.seq_time.0),
        modified,
    }
}

fn balance_entry(balance: &Balance) -> LedgerEntry {
    let clawback =
        ClaimableBalanceEntryExtensionV1 { ext: ClaimableBalanceEntryExtensionV1Ext::V0, flags: 1 };
    let data = ClaimableBalanceEntry {
        balance_id: ClaimableBalanceId::ClaimableBalanceIdTypeV0(Hash(balance.key)),
        claimants: bounded(balance.claimants.clone()),
        asset: balance.asset.clone(),
        amount: balance.amount,
        ext: if balance.clawback {
            ClaimableBalanceEntryExt::V1(clawback)
        } else {
            ClaimableBalanceEntryExt::V0
        },
    };
    let sponsor = LedgerEntryExtensionV1 {
        sponsoring_id: SponsorshipDescriptor(Some(account_id(balance.sponsor))),
        ext: LedgerEntryExtensionV1Ext::V0,
    };
    LedgerEntry {
        last_modified_ledger_seq: balance.modified,
        data: LedgerEntryData::ClaimableBalance(data),
        ext: LedgerEntryExt::V1(sponsor),
    }
}

fn read_balance(entry: ClaimableBalanceEntry, ext: &LedgerEntryExt, modified: u32) -> Option<Balance> {
    let ClaimableBalanceId::ClaimableBalanceIdTypeV0(Hash(key)) = entry.balance_id;
    let LedgerEntryExt::V1(LedgerEntryExtensionV1 {
        sponsoring_id: SponsorshipDescriptor(Some(sponsor)),
        ..
    }) = ext
    else {
        return None;
    };
    Some(Balance {
        key,
        claimants: entry.claimants.into_vec(),
        asset: entry.asset,
        amount: entry.amount,
        clawback: matches!(entry.ext, ClaimableBalanceEntryExt::V1(v1) if v1.flags & 1 != 0),
        sponsor: account_key(sponsor),
        modified,
    })
}
