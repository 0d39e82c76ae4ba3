//! What a Stellar network decides: pure functions from a state and transactions to results and changes.
//!
//! Invariant: nothing in here reads a clock, a file or a socket; the same state, transactions and close time always
//! give the same ledger. The rules follow stellar-core at protocol [`PROTOCOL`].

pub mod balances;
pub mod claims;
pub mod close;
pub mod codes;
pub mod entry;
pub mod envelope;
pub mod history;
mod operations;
pub mod signatures;
pub mod state;
pub mod transaction;

#[cfg(test)]
mod tests;

/// Protocol version whose rules these are.
pub const PROTOCOL: u32 = 24;
/// Stroops per operation, at least.
pub const BASE_FEE: i64 = 100;
/// Stroops that an account must hold for itself twice and once for each thing it keeps on the ledger.
pub const BASE_RESERVE: i64 = 5_000_000;
/// All stroops there are: a hundred billion lumens.
pub const TOTAL_STROOPS: i64 = 1_000_000_000_000_000_000;
/// Most signers and data entries of one account.
pub const MAX_SUBENTRIES: u32 = 1000;
/// Most operations in one ledger.
pub const MAX_LEDGER_OPERATIONS: u32 = 20_000;

/// When a transaction is judged: the ledger it would be in, and that ledger's close time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Number of the ledger.
    pub ledger: u32,
    /// Its close time, in Unix seconds.
    pub close_time: u64,
}

impl Moment {
    /// Sequence number of an account that is created in this ledger.
    pub fn first_sequence(self) -> i64 {
        i64::from(self.ledger) << 32
    }
}

/// SHA-256 of the parts one after another.
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    use sha2::Digest;
    let mut hash = sha2::Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// The XDR of a value of our own or one that was decoded within limits.
pub fn to_xdr(value: &impl stellar_base::xdr::WriteXdr) -> Vec<u8> {
    value.to_xdr(stellar_base::xdr::Limits::none()).expect("writing into memory without limits cannot fail")
}
