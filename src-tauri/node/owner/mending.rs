//! Records that do not open any more, because a value of the database was damaged: looked for once at a start, and brought
//! back from the catalog log where that has them. Those that are lost in both places stand in no other's way.

use super::{Inner, OwnerError};
use crate::{jobs::Jobs, notices};

/// Opens every record once and brings back what does not open; answers what a person should know of it. No job may be
/// running yet.
pub(super) async fn mend(owner: &Inner, jobs: &Jobs) -> Result<Option<String>, OwnerError> {
    let before = unopened(owner, jobs).await?;
    if before == 0 {
        return Ok(None);
    }
    owner.catalog.store.restore().await?;
    let notice = notices::of_records(unopened(owner, jobs).await?);
    tracing::warn!("{notice}");
    Ok(Some(notice))
}

async fn unopened(owner: &Inner, jobs: &Jobs) -> Result<usize, OwnerError> {
    let store = &owner.catalog.store;
    let files = store.files().await?.iter().filter(|file| owner.catalog.open(file).is_err()).count();
    let segments = store.segments().await?;
    let segments = segments.iter().filter(|segment| owner.catalog.open_placement(segment).is_err()).count();
    Ok(files + segments + jobs.unopened().await?)
}
