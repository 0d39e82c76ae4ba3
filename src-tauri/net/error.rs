//! Why a request came to nothing, and whether the peer is to blame for it.

use hayloft_core::DeviceId;

use crate::messages::Refusal;

/// Why the network could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The device key is not an Ed25519 key.
    #[error("the device key is damaged")]
    BadDeviceKey,
    /// Text that is not a libp2p address.
    #[error("\"{0}\" is not an address such as /ip4/192.0.2.1/udp/4001/quic-v1/p2p/ID")]
    BadAddress(String),
    /// A transport could not be set up.
    #[error("the {transport} transport cannot be set up: {reason}")]
    Transport {
        /// Which one.
        transport: &'static str,
        /// The system's words.
        reason: String,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The address asked for.
        address: String,
        /// The system's words.
        reason: String,
    },
}

/// Why a request to a device came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetError {
    /// No connection, or one that broke and could not be had again: nobody is blamed.
    #[error("{0} cannot be reached")]
    Unreachable(DeviceId),
    /// The peer is there, yet nothing moved for as long as `Bounds::progress` allows.
    #[error("the peer is connected but silent")]
    Silent,
    /// The peer broke the protocol.
    #[error("the peer broke the protocol: {0}")]
    Protocol(Fault),
    /// The peer refused.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// This node's network was shut down meanwhile.
    #[error("the network was shut down")]
    Cancelled,
}

impl NetError {
    /// Whether the peer is to blame: for silence and for every fault, but not for having ended its farming.
    pub fn blames_peer(&self) -> bool {
        match self {
            Self::Silent => true,
            Self::Protocol(fault) => *fault != Fault::NotAFarmer,
            Self::Unreachable(_) | Self::Refused(_) | Self::Cancelled => false,
        }
    }
}

/// How a peer broke the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A frame announced more bytes than its kind may have.
    #[error("a frame of {bytes} bytes where {limit} are allowed")]
    FrameTooLong {
        /// Bytes announced.
        bytes: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// A data frame without data.
    #[error("an empty data frame")]
    EmptyFrame,
    /// A control frame that is not a message.
    #[error("a message that cannot be read")]
    Malformed,
    /// A message, but not one that answers what was asked.
    #[error("an answer to another question")]
    WrongAnswer,
    /// More data than was announced or asked for.
    #[error("more bytes than agreed")]
    TooManyBytes,
    /// The stream ended before everything agreed had come.
    #[error("fewer bytes than agreed")]
    EndedEarly,
    /// The peer does not speak this network's farmer protocol.
    #[error("not a farmer of this network")]
    NotAFarmer,
    /// A farmer's record that is not signed by it, not for this network, or not fresh.
    #[error("a record that does not verify")]
    BadRecord,
}
