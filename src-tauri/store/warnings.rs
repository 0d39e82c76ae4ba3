//! What people were told, of their files and of their farmer's scores, kept so that a restart tells nothing twice.

use hayloft_core::{alarm::Alarms, codec, warning::Memory};

use crate::{DatabaseError, Owner, Store};

const WARNINGS: &str = "warnings";
const ALARMS: &str = "alarms";
const VERSION: u8 = 1;
const LIMIT_BYTES: usize = 64 << 10;
/// A million files in danger.
const ALARMS_LIMIT_BYTES: usize = 40 << 20;

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

impl Owner {
    /// What was told of files in danger; nothing if that cannot be read.
    ///
    /// # Errors
    /// [`DatabaseError`] if the database cannot be read.
    pub async fn alarms(&self) -> Result<Alarms, DatabaseError> {
        let kept = self.inner.db.home_value(ALARMS).await?;
        let read = |bytes: Vec<u8>| codec::decode(VERSION, &bytes, ALARMS_LIMIT_BYTES).ok();
        Ok(kept.and_then(read).unwrap_or_default())
    }

    /// Keeps what was told of them.
    ///
    /// # Errors
    /// [`DatabaseError`] if the database cannot be written.
    pub async fn keep_alarms(&self, told: &Alarms) -> Result<(), DatabaseError> {
        self.inner.db.set_home_value(ALARMS, &codec::encode(VERSION, told)).await
    }
}
