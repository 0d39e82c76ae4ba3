//! The columns of a segment on its way. They are in memory while they are sent. Once all have arrived, and only their
//! farmers' signatures are awaited, the segment's sealed bytes are put aside on the disk, so that the next segment can be
//! sent meanwhile; should a farmer fail now, they are coded again.
//!
//! Invariant: what is coded again has the roots that were signed: nothing else is ever sent as this segment.

use std::{io, sync::Arc, time::Duration};

use hayloft_core::{
    Signature,
    content::{CodedSegment, Coder, Layout},
};
use hayloft_store::Aside;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::{OwnerError, room::Place};

/// Where a segment's bytes are.
enum Held {
    Coded(Arc<CodedSegment>),
    Aside(Aside),
    /// They were lost on the way from one to the other.
    Gone,
}

/// All n columns of a segment.
pub(super) struct Columns<'a> {
    store: &'a hayloft_store::Owner,
    coder: Arc<Coder>,
    layout: Layout,
    roots: Vec<[u8; 32]>,
    signature: Signature,
    nothing_more: CancellationToken,
    held: Mutex<(Held, &'a mut Place)>,
}

impl<'a> Columns<'a> {
    /// Codes a sealed segment; `sign` signs what it became.
    ///
    /// # Errors
    /// [`OwnerError::Coding`] or [`OwnerError::Stopped`].
    pub(super) async fn code(
        store: &'a hayloft_store::Owner,
        coder: Arc<Coder>,
        sealed: Vec<u8>,
        place: &'a mut Place,
        sign: impl FnOnce(&CodedSegment) -> Signature,
    ) -> Result<Self, OwnerError> {
        let coded = encode(coder.clone(), sealed).await?;
        Ok(Self {
            store,
            coder,
            layout: *coded.layout(),
            roots: coded.roots().to_vec(),
            signature: sign(&coded),
            nothing_more: place.nothing_more().clone(),
            held: Mutex::new((Held::Coded(Arc::new(coded)), place)),
        })
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(super) fn coding(&self) -> hayloft_core::content::Coding {
        self.coder.coding()
    }

    pub(super) fn roots(&self) -> &[[u8; 32]] {
        &self.roots
    }

    /// The owner's signature under the roots.
    pub(super) fn signature(&self) -> Signature {
        self.signature
    }

    /// Cancelled once no other segment is to come that could be signed for together with this one.
    pub(super) fn nothing_more(&self) -> &CancellationToken {
        &self.nothing_more
    }

    /// All columns have arrived after so long: if another segment could use the memory, it may.
    pub(super) async fn arrived(&self, after: Duration) {
        let mut held = self.held.lock().await;
        let (held, place) = &mut *held;
        if !place.arrived(after) {
            return;
        }
        let Held::Coded(coded) = std::mem::replace(held, Held::Gone) else { return };
        let store = self.store.clone();
        let put = tokio::task::spawn_blocking(move || match store.put_aside(coded.sealed()) {
            Ok(aside) => Held::Aside(aside),
            Err(error) => {
                tracing::debug!(%error, "a segment stays in memory");
                Held::Coded(coded)
            }
        });
        *held = put.await.unwrap_or(Held::Gone);
        if matches!(held, Held::Aside(_)) {
            place.leave();
        }
    }

    /// All columns, coded again if they were put aside.
    ///
    /// # Errors
    /// [`OwnerError::Aside`] if what was put aside cannot be read or is not what it was, or [`OwnerError::Stopped`].
    pub(super) async fn coded(&self) -> Result<Arc<CodedSegment>, OwnerError> {
        let mut held = self.held.lock().await;
        let (held, place) = &mut *held;
        if let Held::Coded(coded) = held {
            return Ok(coded.clone());
        }
        place.come_back().await;
        let sealed = taken(std::mem::replace(held, Held::Gone)).await?;
        let coded = Arc::new(encode(self.coder.clone(), sealed).await?);
        if coded.roots() != self.roots {
            return Err(OwnerError::Aside(io::ErrorKind::InvalidData.into()));
        }
        *held = Held::Coded(coded.clone());
        Ok(coded)
    }

    /// The segment's sealed bytes.
    ///
    /// # Errors
    /// As [`Columns::coded`].
    pub(super) async fn into_sealed(self) -> Result<Vec<u8>, OwnerError> {
        let (held, place) = self.held.into_inner();
        place.come_back().await;
        taken(held).await
    }
}

async fn encode(coder: Arc<Coder>, sealed: Vec<u8>) -> Result<CodedSegment, OwnerError> {
    let coding = move || coder.encode(sealed).map_err(OwnerError::Coding);
    tokio::task::spawn_blocking(coding).await.map_err(|_| OwnerError::Stopped)?
}

async fn taken(held: Held) -> Result<Vec<u8>, OwnerError> {
    match held {
        Held::Coded(coded) => {
            Ok(Arc::try_unwrap(coded)
                .map_or_else(|shared| shared.sealed().to_vec(), CodedSegment::into_sealed))
        }
        Held::Aside(aside) => {
            let taking = tokio::task::spawn_blocking(move || aside.take());
            taking.await.map_err(|_| OwnerError::Stopped)?.map_err(OwnerError::Aside)
        }
        Held::Gone => Err(OwnerError::Stopped),
    }
}
