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

use super::{
    OwnerError,
    room::{Arrival, Place},
};

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

    /// All have arrived after so long: if another segment could use the memory, it may. Gives what is cancelled once no
    /// other segment is to come that could be signed for together with this one.
    pub(super) async fn arrived(&self, after: Duration) -> CancellationToken {
        match self {
            Self::Some(_) => Arrival::alone().nothing_more,
            Self::All(coded) => coded.arrived(after).await,
        }
    }
}

/// Where a coded segment is.
enum Held {
    Memory(Arc<CodedSegment>),
    Aside(Arc<Aside>),
}

/// A coded segment, and its place in memory.
pub(super) struct Coded<'a> {
    store: &'a hayloft_store::Owner,
    coder: Arc<Coder>,
    layout: Layout,
    roots: Vec<[u8; 32]>,
    signature: Signature,
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
        let coded = encode(coder.clone(), &place, sealed).await?;
        Ok(Self {
            store,
            coder,
            layout: *coded.layout(),
            roots: coded.roots().to_vec(),
            signature: sign(&coded),
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

    async fn arrived(&self, after: Duration) -> CancellationToken {
        let mut held = self.held.lock().await;
        let (held, place) = &mut *held;
        let Arrival { may_leave, nothing_more } = place.arrived(after);
        if may_leave && let Held::Memory(coded) = held {
            let (store, coded) = (self.store.clone(), coded.clone());
            match tokio::task::spawn_blocking(move || store.put_aside(coded.sealed())).await {
                Ok(Ok(aside)) => {
                    *held = Held::Aside(Arc::new(aside));
                    place.leave();
                }
                Ok(Err(error)) => tracing::debug!(%error, "a segment stays in memory"),
                Err(_) => {}
            }
        }
        nothing_more
    }

    /// May be dropped at any time: what is aside stays there until it is coded again.
    async fn columns(&self) -> Result<Arc<CodedSegment>, OwnerError> {
        let mut held = self.held.lock().await;
        let (held, place) = &mut *held;
        let aside = match held {
            Held::Memory(coded) => return Ok(coded.clone()),
            Held::Aside(aside) => aside.clone(),
        };
        place.come_back().await;
        let coded = Arc::new(encode(self.coder.clone(), place, read(aside).await?).await?);
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
        let sealed = match held {
            Held::Memory(coded) => {
                let shared = |shared: Arc<CodedSegment>| shared.sealed().to_vec();
                Arc::try_unwrap(coded).map_or_else(shared, CodedSegment::into_sealed)
            }
            Held::Aside(aside) => read(aside).await?,
        };
        Ok((sealed, place))
    }
}

async fn encode(coder: Arc<Coder>, place: &Place, sealed: Vec<u8>) -> Result<CodedSegment, OwnerError> {
    let parities = place.parities();
    let coding = move || coder.encode_with(&parities, sealed).map_err(OwnerError::Coding);
    tokio::task::spawn_blocking(coding).await.map_err(|_| OwnerError::Stopped)?
}

async fn read(aside: Arc<Aside>) -> Result<Vec<u8>, OwnerError> {
    let reading = tokio::task::spawn_blocking(move || aside.read());
    reading.await.map_err(|_| OwnerError::Stopped)?.map_err(OwnerError::Aside)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use hayloft_store::{Guard, Home, Store, StoreOptions};

    use super::*;
    use crate::owner::room::Room;

    #[tokio::test]
    async fn what_was_put_aside_is_coded_again_also_after_somebody_gave_up_waiting_for_it() {
        let folder = tempfile::tempdir().expect("a temp folder");
        let options = StoreOptions::new(None, Guard { bytes: 0, percent: 0 });
        let home = Home::open(folder.path()).expect("a new home");
        let (store, _) = Store::open(home, options).await.expect("a new store");
        let (room, sealed) = (Room::new(1), vec![7; 100_000]);
        let place = room.place().await.expect("there is room");
        let coder = Arc::new(Coder::new(Coding::new(2, 3).expect("a coding")));
        let owner = store.owner();
        let sign = |_: &CodedSegment| Signature([0; 64]);
        let coded = Coded::new(&owner, coder, sealed.clone(), place, sign).await.expect("coded");
        assert!(room.is_full());
        coded.arrived(Duration::ZERO).await;
        assert!(!room.is_full(), "the next segment may come");
        drop(coded.columns().now_or_never());
        let again = coded.columns().await.expect("coded again");
        assert_eq!(again.roots(), coded.roots());
        assert!(room.is_full(), "it is in memory again");
        drop(again);
        coded.arrived(Duration::ZERO).await;
        assert!(!room.is_full());
        let (back, _place) = coded.into_sealed().await.expect("read");
        assert!(back == sealed && room.is_full());
    }
}
