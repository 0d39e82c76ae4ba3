//! What an owner knows against shards at farmers: those that are lost, farmers that do not answer, farmers that leave.
//!
//! Nothing of it is in the catalog log: it can be found again by asking. A row about a shard goes when the shard is written
//! down for removal. Deliberately absent: what follows from it (`core::repair`).

use std::collections::BTreeMap;

use hayloft_core::{
    ContractId, DeviceId, ShardId, Timestamp,
    contract::{SignedRevision, SignedTerms},
};
use sqlx::{Row, sqlite::SqliteRow};

use crate::{
    DatabaseError, Owner,
    db::{Write, bytes, from_blob, id, int, maybe_number, number},
    owner::OwnerError,
};

/// A shard that its farmer does not have any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostShard {
    /// The shard.
    pub shard: ShardId,
    /// Who should have it.
    pub farmer: DeviceId,
    /// Under which contract.
    pub contract: ContractId,
    /// Whether an audit or its bytes showed it; else its farmer says so.
    pub shown: bool,
    /// Why, as a sentence.
    pub reason: String,
    /// When it was found.
    pub at: Timestamp,
}

/// A farmer that is not simply there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Presence {
    /// Since when it does not answer.
    pub absent: Option<Timestamp>,
    /// Until when it stays, if it leaves.
    pub leaves: Option<Timestamp>,
}

/// A contract without its shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractHead {
    /// Its id.
    pub id: ContractId,
    /// Its terms, signed by both.
    pub terms: SignedTerms,
    /// The newest revision; none before the first.
    pub revision: Option<SignedRevision>,
    /// When its farmer last denied it, although it signed.
    pub denied: Option<Timestamp>,
}

impl Owner {
    /// Writes down lost shards; what was shown is not replaced by a farmer's word. Gives how many were not known.
    ///
    /// # Errors
    /// [`OwnerError::Database`].
    pub async fn note_lost(&self, lost: &[LostShard]) -> Result<usize, OwnerError> {
        let mut write = self.inner.db.write_soft().await?;
        let mut new = 0;
        for lost in lost {
            let known = sqlx::query("SELECT 1 FROM lost_shards WHERE shard = ?").bind(lost.shard.0.to_vec());
            let known = known.fetch_optional(&mut *write).await.map_err(DatabaseError::from)?;
            new += usize::from(known.is_none());
            let query = "INSERT INTO lost_shards (shard, farmer, contract, shown, reason, at) VALUES (?, ?, ?, ?, ?, ?) \
                         ON CONFLICT (shard) DO UPDATE SET shown = excluded.shown, reason = excluded.reason \
                         WHERE excluded.shown > shown";
            let query = sqlx::query(query).bind(lost.shard.0.to_vec()).bind(lost.farmer.0.to_vec());
            let query = query.bind(lost.contract.0.to_vec()).bind(lost.shown).bind(lost.reason.clone());
            query.bind(int(lost.at.0)).execute(&mut *write).await.map_err(DatabaseError::from)?;
        }
        write.commit().await.map_err(DatabaseError::from)?;
        Ok(new)
    }

    /// All lost shards, in order of id.
    ///
    /// # Errors
    /// [`OwnerError::Database`].
    pub async fn lost_shards(&self) -> Result<Vec<LostShard>, OwnerError> {
        let query = "SELECT shard, farmer, contract, shown, reason, at FROM lost_shards ORDER BY shard";
        let rows = sqlx::query(query).fetch_all(self.inner.db.read()).await.map_err(DatabaseError::from)?;
        Ok(rows.iter().map(lost_of).collect::<Result<_, DatabaseError>>()?)
    }

    /// These are there after all.
    ///
    /// # Errors
    /// [`OwnerError::Database`].
    pub async fn found_again(&self, shards: &[ShardId]) -> Result<(), OwnerError> {
        let mut write = self.inner.db.write_soft().await?;
        for shard in shards {
            forget_lost(&mut write, *shard).await?;
        }
        Ok(write.commit().await.map_err(DatabaseError::from)?)
    }

    /// Farmers that are not simply there.
    ///
    /// # Errors
    /// [`OwnerError::Database`].
    pub async fn presences(&self) -> Result<BTreeMap<DeviceId, Presence>, OwnerError> {
        let query = sqlx::query("SELECT farmer, absent, leaves FROM farmer_presence ORDER BY farmer");
        let rows = query.fetch_all(self.inner.db.read()).await.map_err(DatabaseError::from)?;
        let presences = rows.iter().map(|row| {
            let absent = maybe_number(row, 1)?.map(Timestamp);
            Ok((DeviceId(id(row, 0)?), Presence { absent, leaves: maybe_number(row, 2)?.map(Timestamp) }))
        });
        Ok(presences.collect::<Result<_, DatabaseError>>()?)
    }

    /// Writes down how these farmers are there; those that simply are have no row.
    ///
    /// # Errors
    /// [`OwnerError::Database`].
    pub async fn set_presences(&self, presences: &[(DeviceId, Presence)]) -> Result<(), OwnerError> {
        let mut write = self.inner.db.write_soft().await?;
        for (farmer, presence) in presences {
            let query = match *presence {
                Presence { absent: None, leaves: None } => {
                    sqlx::query("DELETE FROM farmer_presence WHERE farmer = ?").bind(farmer.0.to_vec())
                }
                Presence { absent, leaves } => {
                    let query =
                        "INSERT OR REPLACE INTO farmer_presence (farmer, absent, leaves) VALUES (?, ?, ?)";
                    let query = sqlx::query(query).bind(farmer.0.to_vec());
                    query.bind(absent.map(|at| int(at.0))).bind(leaves.map(|at| int(at.0)))
                }
            };
            query.execute(&mut *write).await.map_err(DatabaseError::from)?;
        }
        Ok(write.commit().await.map_err(DatabaseError::from)?)
    }

    /// All contracts without their shards, the oldest first.
    ///
    /// # Errors
    /// [`OwnerError::Database`].
    pub async fn contract_heads(&self) -> Result<Vec<ContractHead>, OwnerError> {
        let query =
            sqlx::query("SELECT contract, terms, revision, denied FROM owner_contracts ORDER BY number");
        let rows = query.fetch_all(self.inner.db.read()).await.map_err(DatabaseError::from)?;
        Ok(rows.iter().map(head_of).collect::<Result<_, DatabaseError>>()?)
    }
}

/// Forgets what spoke against a shard.
pub(crate) async fn forget_lost(write: &mut Write, shard: ShardId) -> Result<(), DatabaseError> {
    let query = sqlx::query("DELETE FROM lost_shards WHERE shard = ?").bind(shard.0.to_vec());
    query.execute(&mut **write).await?;
    Ok(())
}

fn lost_of(row: &SqliteRow) -> Result<LostShard, DatabaseError> {
    Ok(LostShard {
        shard: ShardId(id(row, 0)?),
        farmer: DeviceId(id(row, 1)?),
        contract: ContractId(id(row, 2)?),
        shown: number(row, 3)? != 0,
        reason: row.try_get(4)?,
        at: Timestamp(number(row, 5)?),
    })
}

fn head_of(row: &SqliteRow) -> Result<ContractHead, DatabaseError> {
    let revision: Option<Vec<u8>> = row.try_get(2)?;
    Ok(ContractHead {
        id: ContractId(id(row, 0)?),
        terms: from_blob(&bytes(row, 1)?)?,
        revision: revision.map(|revision| from_blob(&revision)).transpose()?,
        denied: maybe_number(row, 3)?.map(Timestamp),
    })
}

#[cfg(test)]
mod tests {
    use hayloft_core::SegmentId;

    use super::*;
    use crate::{
        farmer_tests::{NOW, open},
        files::Removal,
        owner::Placing,
        samples::{contract_id, shard_id},
    };

    fn lost(seed: u32, shown: bool) -> LostShard {
        let (farmer, contract) = (DeviceId([9; 32]), contract_id(1));
        LostShard { shard: shard_id(seed), farmer, contract, shown, reason: format!("{shown}"), at: NOW }
    }

    #[tokio::test]
    async fn what_was_shown_outweighs_a_farmers_word_and_goes_with_the_shard() {
        let folder = tempfile::tempdir().unwrap();
        let owner = open(folder.path()).await.owner();
        assert_eq!(owner.note_lost(&[lost(1, false), lost(2, false)]).await.unwrap(), 2);
        assert_eq!(owner.note_lost(&[lost(1, true), lost(2, false)]).await.unwrap(), 0);
        assert_eq!(owner.note_lost(&[lost(1, false)]).await.unwrap(), 0);
        let mut all = owner.lost_shards().await.unwrap();
        all.sort_by_key(|lost| lost.reason.clone());
        assert_eq!(all, [lost(2, false), lost(1, true)]);
        owner.found_again(&[shard_id(2)]).await.unwrap();
        assert_eq!(owner.lost_shards().await.unwrap(), [lost(1, true)]);
        let (shard, farmer, contract) = (shard_id(1), DeviceId([9; 32]), contract_id(1));
        let placing = Placing { shard, farmer, contract, segment: SegmentId([1; 32]), job: None };
        let removal = Removal { farmer, contract, shard };
        owner.add_placing(&[placing]).await.unwrap();
        owner.give_up_placing(&[removal]).await.unwrap();
        assert_eq!(owner.lost_shards().await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_farmer_that_is_simply_there_has_no_row() {
        let folder = tempfile::tempdir().unwrap();
        let owner = open(folder.path()).await.owner();
        let farmer = DeviceId([9; 32]);
        let away = Presence { absent: Some(NOW), leaves: Some(NOW.plus_seconds(9)) };
        owner.set_presences(&[(farmer, away)]).await.unwrap();
        assert_eq!(owner.presences().await.unwrap(), BTreeMap::from([(farmer, away)]));
        owner.set_presences(&[(farmer, Presence::default())]).await.unwrap();
        assert!(owner.presences().await.unwrap().is_empty());
    }
}
