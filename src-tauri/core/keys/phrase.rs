//! The recovery phrase: 24 English words (BIP-39) that bring everything back.
//!
//! Shown only through [`RecoveryPhrase::words`]; there is no `Display`, so that it cannot slip into a log.

use bip39::{Language, Mnemonic};
use rand::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{Seed, hidden};

const WORDS: usize = 24;

/// What is wrong with words that someone typed. Names a word's place, never the word.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PhraseError {
    /// Too few or too many.
    #[error("a recovery phrase has {WORDS} words, these are {0}")]
    WrongCount(usize),
    /// Not in the list of 2,048 words.
    #[error("word number {0} is not one of the words that recovery phrases are made of: check its spelling")]
    UnknownWord(usize),
    /// All words are known, but they do not belong together.
    #[error("the words do not fit together: one of them is wrong or two have changed places")]
    WrongChecksum,
}

/// 24 words.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct RecoveryPhrase(Mnemonic);

hidden!(RecoveryPhrase);

impl RecoveryPhrase {
    /// A new phrase from 256 random bits.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut entropy = Zeroizing::new([0; 32]);
        rng.fill_bytes(entropy.as_mut());
        Self(Mnemonic::from_entropy(entropy.as_ref()).expect("32 bytes make 24 words"))
    }

    /// The phrase that someone typed: any white space between words, any case.
    ///
    /// # Errors
    /// [`PhraseError`] says which word or what is wrong.
    pub fn parse(text: &str) -> Result<Self, PhraseError> {
        let text = Zeroizing::new(text.to_lowercase());
        let count = text.split_whitespace().count();
        if count != WORDS {
            return Err(PhraseError::WrongCount(count));
        }
        Mnemonic::parse_in_normalized(Language::English, &text).map(Self).map_err(|error| match error {
            bip39::Error::UnknownWord(index) => PhraseError::UnknownWord(index + 1),
            _ => PhraseError::WrongChecksum,
        })
    }

    /// The words in order, to be shown once.
    pub fn words(&self) -> impl Iterator<Item = &'static str> {
        self.0.words()
    }

    /// The seed, by BIP-39 with an empty passphrase.
    pub fn seed(&self) -> Seed {
        Seed::from_bytes(&Zeroizing::new(self.0.to_seed_normalized("")))
    }
}
