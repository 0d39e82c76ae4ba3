//! A farmer that is paid for serving: how far it goes ahead, and which vouchers it takes.

use hayloft_core::{
    Amount, ContractId, ShardId,
    contract::{Change, State, propose, quota_bytes},
    keys::DeviceKey,
    voucher::{AHEAD_BYTES, SignedVoucher, Voucher},
};
use hayloft_net::{
    NetError,
    messages::{Answer, RefusalCode, Request, ShownVoucher},
};

use super::{
    bench::{DAY, MIB, START, Script, network, noise, refused},
    money::{Scene, key},
};

/// A stroop for each byte: caps are exact.
const PRICE: Amount = Amount(1_000_000_000_000);
/// What a period pays for.
const CAP: u64 = 10 * MIB;

/// A shard of three mebibytes under a contract whose reads are paid for, and a device of its owner.
struct Stage {
    scene: Scene,
    state: State,
    shard: ShardId,
}

/// A device of the owner's, and its key.
struct Device {
    script: Script,
    key: DeviceKey,
}

impl Stage {
    async fn new() -> Self {
        let scene = Scene::serving_for(PRICE).await;
        let escrow = key();
        let (terms, plan) = (scene.terms(&escrow), scene.plan(&escrow).await);
        scene.set_up(&plan, &escrow).await;
        scene.fund(&terms, &plan).await.expect("taken note of");
        let owner = &scene.owner;
        let state = owner.agree_to(terms).await.expect("agreed");
        let (shard, bytes) = (ShardId(rand::random()), noise(3 * MIB as usize));
        owner.reserve(state.contract(), quota_bytes(bytes.len() as u64)).await.expect("reserved");
        let entry = owner.upload(state.contract(), shard, &bytes).await.expect("stored");
        let change = Change {
            capacity_bytes: Some(CAP),
            end: Some(START.plus_seconds(6 * DAY)),
            added: vec![entry],
            removed: vec![],
        };
        let revision = propose(&state, change, START).expect("sound");
        let state = owner.revise(&state, &revision).await.expect("paid for");
        Self { scene, state, shard }
    }

    fn contract(&self) -> ContractId {
        self.state.contract()
    }

    /// A further device of the same owner.
    async fn device(&self) -> Device {
        let secret: [u8; 32] = rand::random();
        let mut script = self.scene.asker(DeviceKey::from_bytes(&secret)).await;
        script.keys = self.scene.owner.keys.clone();
        script.certificate = Some(script.certify(script.net.local_id(), START, 300 * DAY));
        Device { script, key: DeviceKey::from_bytes(&secret) }
    }

    fn voucher(&self, device: &Device, bytes: u64) -> Voucher {
        Voucher { contract: self.contract(), period: 0, device: device.key.id(), bytes }
    }
}

impl Device {
    async fn give(&self, voucher: SignedVoucher) -> Result<Answer, NetError> {
        self.script.ask(Request::Vouch(Box::new(voucher))).await
    }

    async fn vouch(&self, stage: &Stage, bytes: u64) -> Result<Answer, NetError> {
        self.give(stage.voucher(self, bytes).sign(&self.key, &network())).await
    }

    /// Reads until nothing more comes, and says how much did.
    async fn read(&self, stage: &Stage, offset: u64, bytes: u64) -> (u64, Result<(), NetError>) {
        let request = Request::Download { contract: stage.contract(), shard: stage.shard, offset, bytes };
        let begun = self.script.net.download(self.script.farmer, &self.script.envelope(request)).await;
        let mut download = match begun {
            Ok(download) => download,
            Err(error) => return (0, Err(error)),
        };
        let mut came = 0;
        loop {
            match download.next().await {
                Ok(Some(piece)) => came += piece.len() as u64,
                Ok(None) => return (came, Ok(())),
                Err(error) => return (came, Err(error)),
            }
        }
    }
}

fn tab(vouched: u64, ahead: u64) -> Result<Answer, NetError> {
    Ok(Answer::Tab { vouched, ahead })
}

#[tokio::test]
async fn a_mebibyte_goes_out_ahead_of_all_devices_together_and_more_once_it_is_vouched_for() {
    let stage = Stage::new().await;
    let (one, two) = (stage.device().await, stage.device().await);
    assert_eq!(one.read(&stage, 0, AHEAD_BYTES / 2).await, (AHEAD_BYTES / 2, Ok(())));
    let (came, ended) = two.read(&stage, 0, AHEAD_BYTES).await;
    assert_eq!(came, AHEAD_BYTES / 2);
    ended.expect_err("nobody vouched");
    refused(two.read(&stage, 0, 1).await.1, RefusalCode::NotVouched);

    // Each counts for itself, and what one vouches for lets the other read.
    assert_eq!(one.vouch(&stage, AHEAD_BYTES / 2).await, tab(AHEAD_BYTES / 2, 0));
    assert_eq!(two.read(&stage, 0, AHEAD_BYTES / 2).await, (AHEAD_BYTES / 2, Ok(())));
    assert_eq!(two.vouch(&stage, AHEAD_BYTES).await, tab(AHEAD_BYTES, 0));
    let asked = Request::Tab { contract: stage.contract(), period: 0 };
    assert_eq!(one.script.ask(asked).await, tab(AHEAD_BYTES / 2, 0));

    // A read that waits goes on as soon as it is vouched for.
    let reading = one.read(&stage, 0, 2 * MIB);
    let paying = async {
        let asked = Request::Tab { contract: stage.contract(), period: 0 };
        while one.script.ask(asked.clone()).await != tab(AHEAD_BYTES / 2, AHEAD_BYTES) {
            tokio::task::yield_now().await;
        }
        one.vouch(&stage, AHEAD_BYTES / 2 + AHEAD_BYTES).await
    };
    let (read, paid) = tokio::join!(reading, paying);
    assert_eq!(read, (2 * MIB, Ok(())));
    paid.expect("taken");
}

#[tokio::test]
async fn what_a_device_that_is_gone_did_not_vouch_for_holds_nobody_up_in_the_next_period() {
    let stage = Stage::new().await;
    let (gone, other) = (stage.device().await, stage.device().await);
    assert_eq!(gone.read(&stage, 0, AHEAD_BYTES).await, (AHEAD_BYTES, Ok(())));
    refused(other.read(&stage, 0, 1).await.1, RefusalCode::NotVouched);
    let owed = async |period| {
        let asked = Request::Tab { contract: stage.contract(), period };
        gone.script.ask(asked).await
    };
    stage.scene.at(START.plus_seconds(3 * DAY)).await;
    assert_eq!(other.read(&stage, 0, 5).await, (5, Ok(())));
    assert_eq!((owed(0).await, owed(1).await), (tab(0, AHEAD_BYTES), tab(0, 0)));
    // It may still come, and counts where it belongs.
    assert_eq!(gone.vouch(&stage, AHEAD_BYTES).await, tab(AHEAD_BYTES, 0));
}

#[tokio::test]
async fn vouchers_that_are_old_forged_borrowed_or_beyond_the_cap_are_refused() {
    let stage = Stage::new().await;
    let (one, two) = (stage.device().await, stage.device().await);
    one.vouch(&stage, 500).await.expect("taken");
    let signed = |voucher: Voucher| voucher.sign(&one.key, &network());
    let forged = SignedVoucher { voucher: stage.voucher(&one, 900), ..signed(stage.voucher(&one, 800)) };
    for wrong in [
        signed(stage.voucher(&one, 500)),
        signed(stage.voucher(&one, 499)),
        signed(stage.voucher(&one, CAP * 2)),
        signed(stage.voucher(&one, u64::MAX)),
        signed(Voucher { period: 1, ..stage.voucher(&one, 600) }),
        signed(Voucher { period: u32::MAX, ..stage.voucher(&one, 600) }),
        signed(stage.voucher(&two, 600)),
        stage.voucher(&one, 600).sign(&one.key, &"elsewhere".parse().expect("a name")),
        forged,
    ] {
        refused(one.give(wrong).await, RefusalCode::NotVouched);
    }
    // Another's voucher is its own affair.
    refused(two.give(signed(stage.voucher(&one, 700))).await, RefusalCode::NotVouched);
    let elsewhere = signed(Voucher { contract: ContractId([9; 32]), ..stage.voucher(&one, 600) });
    refused(one.give(elsewhere).await, RefusalCode::UnknownContract);
    let stranger = stage.scene.asker(DeviceKey::random(&mut rand::rng())).await;
    let request = Request::Vouch(Box::new(signed(stage.voucher(&one, 700))));
    refused(stranger.ask(request).await, RefusalCode::UnknownContract);
    refused(
        stranger.ask(Request::Vouchers { contract: stage.contract(), after: None }).await,
        RefusalCode::UnknownContract,
    );

    // Together they do not pass the cap either.
    two.vouch(&stage, CAP - 500).await.expect("taken");
    refused(one.vouch(&stage, 600).await, RefusalCode::NotVouched);
    let shown = two.script.ask(Request::Vouchers { contract: stage.contract(), after: None }).await;
    let Ok(Answer::Vouchers { vouchers, more: false }) = shown else { panic!("{shown:?}") };
    let bytes: u64 = vouchers.iter().map(|shown| shown.voucher.voucher.bytes).sum();
    assert_eq!((vouchers.len(), bytes), (2, CAP));
}

#[tokio::test]
async fn a_voucher_comes_with_a_certificate_of_a_time_within_its_period() {
    let stage = Stage::new().await;
    let mut one = stage.device().await;
    one.vouch(&stage, 500).await.expect("taken");
    stage.scene.at(START.plus_seconds(3 * DAY + 60)).await;
    let first = one.script.certificate.clone();
    let later = one.script.certify(one.script.net.local_id(), START.plus_seconds(3 * DAY), 300 * DAY);
    one.script.certificate = Some(later);
    refused(one.vouch(&stage, 501).await, RefusalCode::NotVouched);
    let asked = Request::Vouchers { contract: stage.contract(), after: None };
    let Ok(Answer::Vouchers { vouchers, .. }) = one.script.ask(asked).await else { panic!("no vouchers") };
    assert_eq!(vouchers.first().map(|shown| &shown.certificate), first.as_ref(), "the good one stays");
    one.script.certificate = first;
    one.vouch(&stage, 501).await.expect("taken");
}

#[tokio::test]
async fn whoever_is_shown_other_vouchers_counts_the_same_in_the_end() {
    let stage = Stage::new().await;
    let (one, two) = (stage.device().await, stage.device().await);
    one.vouch(&stage, CAP - 5).await.expect("taken");
    // The owner shows the auditor alone what leaves no room for that.
    let voucher = stage.voucher(&two, CAP - 7).sign(&two.key, &network());
    let certificate = two.script.certificate.clone().expect("certified");
    let refusal = stage.scene.show_auditor(&stage.state, vec![ShownVoucher { voucher, certificate }]).await;
    refused(refusal, RefusalCode::Disagreed);

    let (terms, scene) = (stage.state.terms(), &stage.scene);
    let (farmer, auditor) = (&scene.farmer, &scene.auditor);
    assert_eq!(farmer.egress(terms).await, [(0, CAP - 5)]);
    assert_eq!(auditor.egress(terms).await, [(0, CAP)], "it asked the farmer before it judged");
    farmer.learn_vouchers(terms).await;
    assert_eq!(farmer.egress(terms).await, [(0, CAP)]);
    assert_eq!(auditor.egress(terms).await, [(0, CAP)]);
}
