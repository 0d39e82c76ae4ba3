//! The farmer protocol, `/hayloft/NETWORK/farmer/1`: one stream per request. The owner's side is [`Upload`] and
//! [`Download`], the farmer's [`Incoming`]; what either may send is bounded by [`crate::limits`].

mod admission;
mod client;
mod download;
mod receive;
mod serve;
mod upload;
mod wire;

pub(crate) use admission::{Admission, Regard};
pub use download::Download;
pub use receive::Receiving;
pub(crate) use serve::accept;
pub use serve::{Inbound, Incoming, Sending};
pub use upload::Upload;

use hayloft_core::NetworkName;
use libp2p::StreamProtocol;

/// The newest version of the protocol, as farmers announce it in their records.
pub const VERSION: u16 = 1;

/// The protocol's name on a network.
pub(crate) fn protocol(network: &NetworkName) -> StreamProtocol {
    StreamProtocol::try_from_owned(format!("/hayloft/{network}/farmer/{VERSION}"))
        .expect("begins with a slash")
}
