//! What fuzzing does with the bytes it makes up. Each target takes any bytes and panics where a promise of this crate is
//! broken. Compiled for tests and under cargo-fuzz (`cfg(fuzzing)`) alone; corpora are replayed by this crate's tests.

use std::time::Duration;

use futures::io::Cursor;
use hayloft_core::{DeviceId, codec};
use libp2p::Multiaddr;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    address,
    frames::{FrameError, FrameReader, FrameWriter},
    limits,
    messages::{Answer, Envelope},
};

/// A target and the name of its program and corpus.
pub type Target = (&'static str, fn(&[u8]));

/// The targets of this crate.
pub const TARGETS: &[Target] = &[("addresses", addresses), ("frames", frames), ("messages", messages)];

const PATIENCE: Duration = Duration::from_secs(5);

/// Whatever a stranger sends as a message is refused, or is the one encoding of a value.
pub fn messages(bytes: &[u8]) {
    canonical::<Envelope>(bytes);
    canonical::<Answer>(bytes);
}

fn canonical<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    if let Ok(value) = codec::decode::<T>(1, bytes, limits::CONTROL_FRAME) {
        assert!(codec::encode(1, &value) == bytes, "accepted bytes are not the value's encoding");
    }
}

/// Frames out of any stream, under any limit: what was read is written as it came, and no frame passes its limit.
pub fn frames(bytes: &[u8]) {
    let Some((limit, stream)) = bytes.split_first_chunk::<2>() else { return };
    let limit = usize::from(u16::from_le_bytes(*limit));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(async {
        let mut reader = FrameReader::new(Cursor::new(stream));
        let mut writer = FrameWriter::new(Cursor::new(Vec::new()));
        let end = loop {
            match reader.next(limit, PATIENCE).await {
                Ok(Some(frame)) => {
                    assert!(frame.len() <= limit);
                    writer.send(&frame, PATIENCE).await.expect("memory takes all");
                }
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        let written = writer.into_inner().into_inner();
        assert!(stream.starts_with(&written));
        match end {
            None => assert_eq!(written.len(), stream.len()),
            Some(FrameError::TooLong { bytes, .. }) => assert!(bytes > limit as u64),
            Some(FrameError::Cut) => assert!(written.len() < stream.len()),
            Some(other) => panic!("memory does not fail: {other}"),
        }
    });
}

/// Addresses and device ids as text and as strangers announce them.
pub fn addresses(bytes: &[u8]) {
    if let Some(device) = bytes.first_chunk::<32>() {
        let device = DeviceId(*device);
        if let Some(peer) = address::peer_of(&device) {
            assert_eq!(address::device_of(&peer), Some(device));
        }
    }
    let mut announced = Vec::new();
    announced.extend(Multiaddr::try_from(bytes.to_vec()));
    if let Ok(text) = std::str::from_utf8(bytes) {
        announced.extend(text.split(['\n', ' ']).filter_map(|text| address::parse(text).ok()));
    }
    let observed = ["/ip4/198.51.100.7/udp/5/quic-v1", "/ip6/2001:db8::1/tcp/5", "/memory/5"];
    for observed in observed.map(|text| address::parse(text).expect("an address")) {
        let believed = address::believable(&announced, &observed);
        assert!(believed.len() <= limits::ADDRESSES_PER_PEER);
        let here = address::ip_of(&observed);
        assert!(believed.iter().all(|address| address::ip_of(address) == here));
    }
    for announced in announced {
        let (bare, peer) = address::split_peer(&announced);
        assert_eq!(peer.is_some(), bare != announced);
        let _ = peer.and_then(|peer| address::device_of(&peer));
        let _ = address::ip_of(&announced).and_then(address::subnet_of);
        // Not every address has a text that is read as the same; none makes the reader fail.
        let _ = address::parse(&announced.to_string());
    }
}

#[cfg(test)]
#[path = "../../tests/fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod seeds {
    use std::{fs, path::Path};

    use hayloft_core::{
        Amount, ContractId, OwnerId, Signature, Timestamp,
        contract::{MIN_GRACE_SECONDS, Terms},
        keys::{DeviceKey, RecoveryPhrase},
        record::DeviceCertificate,
        voucher::{SignedVoucher, Voucher},
    };
    use serde::Serialize;

    use super::*;
    use crate::messages::{Refusal, RefusalCode, Request, ShownVoucher};

    fn voucher() -> SignedVoucher {
        let (contract, device) = (ContractId([1; 32]), DeviceId([2; 32]));
        let voucher = Voucher { contract, period: 3, device, bytes: 1 << 20 };
        SignedVoucher { voucher, signature: Signature([4; 64]) }
    }

    fn certificate() -> DeviceCertificate {
        let network = "fuzz".parse().expect("a name");
        let keys = RecoveryPhrase::random(&mut rand::rng()).seed().keys(&network);
        let device = DeviceKey::from_bytes(&[2; 32]).id();
        DeviceCertificate::issue(&keys.owner, &network, device, Timestamp(1_800_000_000), 1000)
    }

    fn terms() -> Terms {
        Terms {
            network: "fuzz".parse().expect("a name"),
            owner: OwnerId([1; 32]),
            farmer: DeviceId([2; 32]),
            start: Timestamp(1_800_000_000),
            epoch_seconds: 86_400,
            storage_price: Amount(3_000),
            egress_price: Amount(70),
            audit_share_ppm: 900_000,
            auditor: Some(DeviceId([3; 32])),
            escrow: Some([4; 32]),
            grace_seconds: MIN_GRACE_SECONDS,
            nonce: [5; 32],
        }
    }

    fn encoded(value: impl Serialize) -> Vec<u8> {
        codec::encode(1, &value)
    }

    fn messages_about_money() -> Vec<Vec<u8>> {
        let contract = ContractId([1; 32]);
        let shown = || ShownVoucher { voucher: voucher(), certificate: certificate() };
        let after = Some((3, DeviceId([2; 32])));
        let requests = [
            Request::Payee,
            Request::Fund { terms: Box::new(terms()), plan: vec![1; 90], assigned: Signature([4; 64]) },
            Request::Cosign { contract, newest: 7, settlement: vec![2; 200], vouchers: vec![shown()] },
            Request::History { contract, from: 7 },
            Request::Tab { contract, period: 3 },
            Request::Vouch(Box::new(voucher())),
            Request::Vouchers { contract, after },
        ];
        let answers = [
            Answer::Payee { account: [6; 32] },
            Answer::Funded,
            Answer::Cosigned { settlement: vec![2; 200] },
            Answer::History { revisions: vec![], more: true },
            Answer::Tab { vouched: 1 << 20, ahead: 5 },
            Answer::Vouchers { vouchers: vec![shown(), shown()], more: false },
            Answer::Refused(Refusal { code: RefusalCode::NotVouched, sentence: "No.".into() }),
        ];
        let requests =
            requests.map(|request| encoded(Envelope { certificate: Some(certificate()), request }));
        requests.into_iter().chain(answers.map(encoded)).collect()
    }

    /// `UPDATE_CORPUS=1` writes them where cargo-fuzz takes them up.
    #[test]
    fn messages_about_money_survive_their_target_whole_and_torn() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus/messages");
        for (number, seed) in messages_about_money().into_iter().enumerate() {
            messages(&seed);
            (0..seed.len()).for_each(|end| messages(&seed[..end]));
            if std::env::var_os("UPDATE_CORPUS").is_some() {
                fs::write(corpus.join(format!("seed-money-{number}")), seed).expect("written");
            }
        }
    }
}
