//! An owner whose clock and those of farmers differ is told so.

use super::bed::{Bed, noise};
use crate::Clock;

const HOUR: u64 = 60 * 60;

#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_differ_by_hours_are_named_and_not_the_farmers_that_are_missing() {
    let mut bed = Bed::new(2).await;
    let bytes = noise(1, 300_000);
    bed.put_bytes("one", &bytes).await;
    let path = bed.file("two", &noise(2, 300_000));
    let now = Clock::system().now();
    for wrong in [hayloft_core::Timestamp(now.0 - 5 * HOUR), now.plus_seconds(5 * HOUR)] {
        bed.restart_at(Clock::by_hand(wrong)).await;
        let refused = bed.put(bed.request(path.clone())).await.expect_err("no farmer's word counts");
        assert!(refused.contains("clock") && refused.contains("2 farmers"), "{refused}");
        let refused = bed.node.quote(bed.request(path.clone())).await.expect_err("no offer counts");
        assert!(refused.message.contains("clock"), "{}", refused.message);
        assert!(bed.get_bytes("one").await == bytes, "what is kept comes back, whatever the time");
    }
    bed.restart_at(Clock::system()).await;
    bed.see_farmers(2).await;
    bed.put(bed.request(path)).await.expect("the clocks agree");
}
