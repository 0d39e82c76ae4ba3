//! What this farmer's person was told of its scores, kept so that a restart tells nothing twice.

use hayloft_core::{codec, warning::Memory};

use crate::{DatabaseError, Store};

const WARNINGS: &str = "warnings";
const VERSION: u8 = 1;
const LIMIT_BYTES: usize = 64 << 10;

impl Store {
    /// What was told; nothing if that cannot be read.
    ///
    /// # Errors
    /// [`DatabaseError`] if the database cannot be read.
    pub async fn warnings(&self) -> Result<Memory, DatabaseError> {
        let kept = self.inner.db.home_value(WARNINGS).await?;
        let read = |bytes: Vec<u8>| codec::decode(VERSION, &bytes, LIMIT_BYTES).ok();
        Ok(kept.and_then(read).unwrap_or_default())
    }

    /// Keeps what was told.
    ///
    /// # Errors
    /// [`DatabaseError`] if the database cannot be written.
    pub async fn keep_warnings(&self, told: &Memory) -> Result<(), DatabaseError> {
        self.inner.db.set_home_value(WARNINGS, &codec::encode(VERSION, told)).await
    }
}
