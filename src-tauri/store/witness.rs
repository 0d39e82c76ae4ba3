//! The home's witness of time, kept so that what was lived counts after a restart too.

use hayloft_core::{Witness, codec};

use crate::{DatabaseError, Store};

const WITNESS: &str = "witness";
const VERSION: u8 = 1;
const LIMIT_BYTES: usize = 4096;

impl Store {
    /// The witness as it was last kept; a new one if there is none that can be read, by which nothing is over yet.
    ///
    /// # Errors
    /// [`DatabaseError`] if the database cannot be read.
    pub async fn witness(&self) -> Result<Witness, DatabaseError> {
        let kept = self.inner.db.home_value(WITNESS).await?;
        let read = |bytes: Vec<u8>| codec::decode(VERSION, &bytes, LIMIT_BYTES).ok();
        Ok(kept.and_then(read).unwrap_or_default())
    }

    /// Keeps the witness. A failing power may lose the newest hours, by which things are only deleted later.
    ///
    /// # Errors
    /// [`DatabaseError`] if the database cannot be written.
    pub async fn keep_witness(&self, witness: &Witness) -> Result<(), DatabaseError> {
        let mut write = self.inner.db.write_soft().await?;
        let query = sqlx::query("INSERT OR REPLACE INTO home (key, value) VALUES (?, ?)").bind(WITNESS);
        query.bind(codec::encode(VERSION, witness)).execute(&mut *write).await?;
        Ok(write.commit().await?)
    }
}
