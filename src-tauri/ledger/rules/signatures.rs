//! Whether signatures carry enough weight, and whether each of them was needed.
//!
//! Order and rules are those of stellar-core's SignatureChecker: pre-authorised hash, hash(x), ed25519, signed payload.
//! Ed25519 is checked strictly: no small-order keys, no malleable signatures.

use std::sync::{Mutex, PoisonError};

use ed25519_dalek::{Signature, VerifyingKey};
use stellar_base::xdr::{DecoratedSignature, Signer, SignerKey, SignerKeyEd25519SignedPayload, Uint256};

use super::sha256;

/// What was found about signatures before, so that none is checked twice: their index, the key, and the verdict.
#[derive(Debug, Default)]
pub(crate) struct Verdicts(Mutex<Vec<(usize, [u8; 32], bool)>>);

impl Verdicts {
    fn get(&self, index: usize, key: &[u8; 32], verify: impl FnOnce() -> bool) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((.., verdict)) = known.iter().find(|(at, of, _)| *at == index && of == key) {
            return *verdict;
        }
        let verdict = verify();
        known.push((index, *key, verdict));
        verdict
    }
}

/// The signatures of one transaction while it is judged.
pub(crate) struct Checker<'a> {
    hash: [u8; 32],
    signatures: &'a [DecoratedSignature],
    used: Vec<bool>,
    verdicts: &'a Verdicts,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(hash: [u8; 32], signatures: &'a [DecoratedSignature], verdicts: &'a Verdicts) -> Self {
        Self { hash, signatures, used: vec![false; signatures.len()], verdicts }
    }

    /// Whether these signers' signatures reach the weight needed. A need of nothing still takes one signature.
    pub(crate) fn check(&mut self, signers: &[Signer], needed: u32) -> bool {
        let mut total = 0;
        for signer in signers {
            if matches!(&signer.key, SignerKey::PreAuthTx(Uint256(hash)) if *hash == self.hash) {
                total += signer.weight.min(255);
                if total >= needed {
                    return true;
                }
            }
        }
        let kinds: [fn(&SignerKey) -> bool; 3] = [
            |key| matches!(key, SignerKey::HashX(_)),
            |key| matches!(key, SignerKey::Ed25519(_)),
            |key| matches!(key, SignerKey::Ed25519SignedPayload(_)),
        ];
        kinds.into_iter().any(|kind| {
            let of_kind = signers.iter().filter(|signer| kind(&signer.key)).collect();
            self.check_kind(of_kind, needed, &mut total)
        })
    }

    fn check_kind(&mut self, mut signers: Vec<&Signer>, needed: u32, total: &mut u32) -> bool {
        for index in 0..self.signatures.len() {
            let found = signers.iter().position(|signer| self.matches(index, &signer.key));
            if let Some(at) = found {
                self.used[index] = true;
                *total += signers.remove(at).weight.min(255);
                if *total >= needed {
                    return true;
                }
            }
        }
        false
    }

    fn matches(&self, index: usize, key: &SignerKey) -> bool {
        let signature = &self.signatures[index];
        match key {
            SignerKey::PreAuthTx(_) => false,
            SignerKey::HashX(Uint256(hash)) => {
                signature.hint.0 == tail(hash) && sha256(&[signature.signature.0.as_slice()]) == *hash
            }
            SignerKey::Ed25519(Uint256(key)) => {
                signature.hint.0 == tail(key)
                    && self.verdicts.get(index, key, || verify(key, &self.hash, signature))
            }
            SignerKey::Ed25519SignedPayload(SignerKeyEd25519SignedPayload {
                ed25519: Uint256(key),
                payload,
            }) => {
                signature.hint.0 == payload_hint(key, payload.as_slice())
                    && verify(key, payload.as_slice(), signature)
            }
        }
    }

    /// Whether every signature was needed by somebody.
    pub(crate) fn all_used(&self) -> bool {
        self.used.iter().all(|used| *used)
    }
}

fn tail(key: &[u8; 32]) -> [u8; 4] {
    [key[28], key[29], key[30], key[31]]
}

/// The key's hint, each byte combined with the payload's last four, or with what there is of it (CAP-40).
fn payload_hint(key: &[u8; 32], payload: &[u8]) -> [u8; 4] {
    let mut last = [0; 4];
    let from = payload.len().saturating_sub(4);
    for (to, byte) in last.iter_mut().zip(&payload[from..]) {
        *to = *byte;
    }
    let hint = tail(key);
    std::array::from_fn(|at| hint[at] ^ last[at])
}

fn verify(key: &[u8; 32], message: &[u8], signature: &DecoratedSignature) -> bool {
    let Ok(key) = VerifyingKey::from_bytes(key) else { return false };
    let Ok(signature) = Signature::from_slice(signature.signature.0.as_slice()) else { return false };
    key.verify_strict(message, &signature).is_ok()
}
