//! What is sent of a segment: some rebuilt columns, or all of a coded one. A coded one is in memory while it is sent. Once
//! all its columns have arrived, and only their farmers' signatures are awaited, its sealed bytes are put aside on the disk,
//! so that the next segment can be sent meanwhile; should a farmer fail now, they are coded again.
//!
//! Invariant: what is coded again has the roots that were signed: nothing else is ever sent as this segment.

use std::{io, sync::Arc, time::Duration};

use hayloft_core::{
    Signature,
    content::{CodedSegment, Coder, Coding, Columns, Layout},
};
use hayloft_store::Aside;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::{OwnerError, room::Place};

/// What is sent of a segment.
pub(super) enum Load<'a> {
    /// Some columns, of which nothing else is sent.
    Some(Arc<dyn Columns>),
    /// All of them.
    All(&'a Coded<'a>),
}

impl Load<'_> {
    pub(super) fn layout(&self) -> &Layout {
        match self {
            Self::Some(columns) => columns.layout(),
            Self::All(coded) => &coded.layout,
        }
    }

    /// The columns, coded again if they were put aside.
    ///
    /// # Errors
    /// [`OwnerError::Aside`] if what was put aside cannot be read or is not what it was, or [`OwnerError::Stopped`].
    pub(super) async fn columns(&self) -> Result<Arc<dyn Columns>, OwnerError> {
        match self {
            Self::Some(columns) => Ok(columns.clone()),
            Self::All(coded) => Ok(coded.columns().await?),
        }
    }

    /// All have arrived after so long: if another segment could use the memory, it may.
    pub(super) async fn arrived(&self, after: Duration) {
        if let Self::All(coded) = self {
            coded.arrived(after).await;
        }
    }

    /// Cancelled once no other segment is to come that could be signed for together with this one.
    pub(super) fn nothing_more(&self) -> CancellationToken {
        match self {
            Self::Some(_) => Place::alone().nothing_more().clone(),
            Self::All(coded) => coded.nothing_more.clone(),
        }
    }
}

/// Where a coded segment is.
enum Held {
    Memory(Arc<CodedSegment>),
    Aside(Aside),
    /// It was lost on the way from one to the other.
    Gone,
}

/// A coded segment, and its place in memory.
pub(super) struct Coded<'a> {
    store: &'a hayloft_store::Owner,
    coder: Arc<Coder>,
    layout: Layout,
    roots: Vec<[u8; 32]>,
    signature: Signature,
    nothing_more: CancellationToken,
    held: Mutex<(Held, Place)>,
}

impl<'a> Coded<'a> {
    /// Codes a sealed segment; `sign` signs what it became.
    ///
    /// # Errors
    /// [`OwnerError::Coding`] or [`OwnerError::Stopped`].
    pub(super) async fn new(
        store: &'a hayloft_store::Owner,
        coder: Arc<Coder>,
        sealed: Vec<u8>,
        place: Place,
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
            held: Mutex::new((Held::Memory(Arc::new(coded)), place)),
        })
    }

    pub(super) fn coding(&self) -> Coding {
        self.coder.coding()
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// BLAKE3 of each of the n columns.
    pub(super) fn roots(&self) -> &[[u8; 32]] {
        &self.roots
    }

    /// The owner's signature under them.
    pub(super) fn signature(&self) -> Signature {
        self.signature
    }

    async fn arrived(&self, after: Duration) {
        let mut held = self.held.lock().await;
        let (held, place) = &mut *held;
        if !place.arrived(after) {
            return;
        }
        let Held::Memory(coded) = std::mem::replace(held, Held::Gone) else { return };
        let store = self.store.clone();
        let put = tokio::task::spawn_blocking(move || match store.put_aside(coded.sealed()) {
            Ok(aside) => Held::Aside(aside),
            Err(error) => {
                tracing::debug!(%error, "a segment stays in memory");
                Held::Memory(coded)
            }
        });
        *held = put.await.unwrap_or(Held::Gone);
        if matches!(held, Held::Aside(_)) {
            place.leave();
        }
    }

    async fn columns(&self) -> Result<Arc<CodedSegment>, OwnerError> {
        let mut held = self.held.lock().await;
        let (held, place) = &mut *held;
        if let Held::Memory(coded) = held {
            return Ok(coded.clone());
        }
        place.come_back().await;
        let sealed = taken(std::mem::replace(held, Held::Gone)).await?;
        let coded = Arc::new(encode(self.coder.clone(), sealed).await?);
        if coded.roots() != self.roots {
            return Err(OwnerError::Aside(io::ErrorKind::InvalidData.into()));
        }
        *held = Held::Memory(coded.clone());
        Ok(coded)
    }

    /// The segment's sealed bytes, and their place in memory.
    ///
    /// # Errors
    /// As [`Load::columns`].
    pub(super) async fn into_sealed(self) -> Result<(Vec<u8>, Place), OwnerError> {
        let (held, mut place) = self.held.into_inner();
        place.come_back().await;
        Ok((taken(held).await?, place))
    }
}

async fn encode(coder: Arc<Coder>, sealed: Vec<u8>) -> Result<CodedSegment, OwnerError> {
    let coding = move || coder.encode(sealed).map_err(OwnerError::Coding);
    tokio::task::spawn_blocking(coding).await.map_err(|_| OwnerError::Stopped)?
}

async fn taken(held: Held) -> Result<Vec<u8>, OwnerError> {
    match held {
        Held::Memory(coded) => {
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
