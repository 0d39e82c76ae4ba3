//! Assets: lumens, and credit that only its issuer can touch, because this ledger has no trust lines.

use stellar_base::xdr::Asset;

use crate::rules::entry::{AccountKey, account_key};

/// Whether the asset's code is letters and digits, padded with zeros at its end alone.
pub(super) fn is_valid(asset: &Asset) -> bool {
    match asset {
        Asset::Native => true,
        Asset::CreditAlphanum4(asset) => is_code(&asset.asset_code.0, 1),
        Asset::CreditAlphanum12(asset) => is_code(&asset.asset_code.0, 5),
    }
}

fn is_code(code: &[u8], shortest: usize) -> bool {
    let length = code.iter().position(|byte| *byte == 0).unwrap_or(code.len());
    let (code, padding) = code.split_at(length);
    length >= shortest && code.iter().all(u8::is_ascii_alphanumeric) && padding.iter().all(|byte| *byte == 0)
}

/// Who issues it; none for lumens.
pub(super) fn issuer(asset: &Asset) -> Option<AccountKey> {
    match asset {
        Asset::Native => None,
        Asset::CreditAlphanum4(asset) => Some(account_key(&asset.issuer)),
        Asset::CreditAlphanum12(asset) => Some(account_key(&asset.issuer)),
    }
}
