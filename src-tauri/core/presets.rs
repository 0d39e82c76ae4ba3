//! How much redundancy: three presets, adapted to the farmers at hand, each with its price factor and its odds of loss,
//! computed exactly for the model in [`Risk`].
//!
//! Invariant: with two failure groups or more, no group may hold more shards than the coding can lose.

use crate::content::Coding;

/// Most shards that presets make of a segment: beyond it, odds hardly improve and connections cost.
pub const MAX_SHARDS: usize = 40;

/// How much redundancy a file gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Preset {
    /// About 1.75 times the bytes.
    Economy,
    /// About 2.5 times the bytes.
    #[default]
    Standard,
    /// About 4 times the bytes.
    Safe,
}

impl Preset {
    /// All of them, cheapest first.
    pub const ALL: [Self; 3] = [Self::Economy, Self::Standard, Self::Safe];

    /// Times the bytes, in quarters.
    fn quarters(self) -> usize {
        match self {
            Self::Economy => 7,
            Self::Standard => 10,
            Self::Safe => 16,
        }
    }

    /// k and n for at most `most` farmers. Up to three keep plain copies, and never more of them than the price allows.
    fn coding(self, most: usize) -> (usize, usize) {
        let quarters = self.quarters();
        let k = match self {
            Self::Standard => most * 4 / quarters,
            Self::Economy | Self::Safe => (most * 8 + quarters) / (2 * quarters),
        };
        if most <= 3 || k <= 1 { (1, most.min(quarters.div_ceil(4))) } else { (k, most) }
    }
}

/// What may go wrong within a month, if nothing is repaired. Groups fail together, and farmers in them each alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Risk {
    /// Chance that a farmer is gone for good.
    pub farmer: f64,
    /// Chance that a whole failure group is.
    pub group: f64,
}

impl Default for Risk {
    /// One farmer in twelve and one group in a hundred a month: what the simulator comes to under its assumptions
    /// (`./dev sim`), and no measurement of real farmers.
    fn default() -> Self {
        Self { farmer: 0.08, group: 0.01 }
    }
}

/// What a person should know about a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Caution {
    /// A single farmer: when it goes, the file goes.
    OneFarmer,
    /// So few farmers that each keeps a whole copy.
    CopiesOnly,
    /// All farmers are in one failure group, which may go as one.
    OneGroup,
}

/// A preset as it comes out for the farmers at hand.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// k of n.
    pub coding: Coding,
    /// Most shards of a segment in one failure group.
    pub group_limit: u8,
    /// How many times a file's bytes farmers keep: n / k.
    pub price_factor: f64,
    /// Chance that a segment is lost within a month without repair, under the default [`Risk`].
    pub loss_odds: f64,
    /// What to tell first.
    pub cautions: Vec<Caution>,
}

/// Adapts a preset; `groups` counts the usable farmers in each failure group. `None` if there is no farmer.
pub fn choose(preset: Preset, groups: &[usize]) -> Option<Choice> {
    let groups: Vec<usize> = groups.iter().copied().filter(|&farmers| farmers > 0).collect();
    let farmers = groups.iter().fold(0, |sum: usize, &farmers| sum.saturating_add(farmers));
    let most = farmers.min(MAX_SHARDS);
    let (k, n) =
        (1..=most).rev().map(|n| preset.coding(n)).find(|&(k, n)| fits(&groups, n, limit(&groups, k, n)))?;
    let group_limit = limit(&groups, k, n);
    let coding = Coding::new(k.try_into().ok()?, n.try_into().ok()?).ok()?;
    let spread = spread(&groups, n, group_limit);
    let mut cautions = Vec::new();
    match (farmers, k) {
        (1, _) => cautions.push(Caution::OneFarmer),
        (_, 1) => cautions.push(Caution::CopiesOnly),
        _ => {}
    }
    if groups.len() == 1 && farmers > 1 {
        cautions.push(Caution::OneGroup);
    }
    Some(Choice {
        coding,
        group_limit: group_limit.try_into().ok()?,
        price_factor: coding.price_factor(),
        loss_odds: loss_odds(k, &spread, Risk::default()),
        cautions,
    })
}

/// The chance that fewer than `k` shards are left, with `spread` shards in each failure group: exact, by the
/// distribution of survivors over one group after the other.
pub fn loss_odds(k: usize, spread: &[usize], risk: Risk) -> f64 {
    let mut left = vec![1.0];
    for &shards in spread {
        let mut alone = survivors(shards, risk.farmer);
        alone.iter_mut().for_each(|odds| *odds *= 1.0 - risk.group);
        alone[0] += risk.group;
        let mut both = vec![0.0; left.len() + shards];
        for (before, odds) in left.iter().enumerate() {
            alone.iter().enumerate().for_each(|(more, also)| both[before + more] += odds * also);
        }
        left = both;
    }
    left.iter().take(k).sum()
}

/// The odds of 0, 1, … all of `shards` surviving when each is lost with odds `loss`.
fn survivors(shards: usize, loss: f64) -> Vec<f64> {
    let mut odds = vec![0.0; shards + 1];
    odds[0] = 1.0;
    for dealt in 1..=shards {
        for left in (0..=dealt).rev() {
            let gained = if left > 0 { odds[left - 1] * (1.0 - loss) } else { 0.0 };
            odds[left] = odds[left] * loss + gained;
        }
    }
    odds
}

/// Most shards of a segment in one failure group, where there are so many groups.
pub fn group_limit(coding: Coding, groups: usize) -> u8 {
    if groups > 1 { coding.spare() } else { coding.n() }
}

/// Most shards in one group: as many as may be lost, or all if there is only one group.
fn limit(groups: &[usize], k: usize, n: usize) -> usize {
    if groups.len() > 1 { n - k } else { n }
}

fn fits(groups: &[usize], n: usize, limit: usize) -> bool {
    groups.iter().map(|&farmers| farmers.min(limit)).fold(0, usize::saturating_add) >= n
}

/// How many shards each group gets when they are dealt out one by one, group by group.
fn spread(groups: &[usize], n: usize, limit: usize) -> Vec<usize> {
    let mut spread = vec![0; groups.len()];
    let mut left = n;
    for round in 0..limit {
        for (held, &farmers) in spread.iter_mut().zip(groups) {
            if left > 0 && farmers > round {
                *held += 1;
                left -= 1;
            }
        }
    }
    spread
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn coding(preset: Preset, groups: &[usize]) -> (u8, u8) {
        let coding = choose(preset, groups).expect("there are farmers").coding;
        (coding.k(), coding.n())
    }

    #[test]
    fn presets_adapt_to_the_farmers_at_hand() {
        let table = [
            (Preset::Standard, 40, (16, 40)),
            (Preset::Standard, 100, (16, 40)),
            (Preset::Standard, 12, (4, 12)),
            (Preset::Standard, 5, (2, 5)),
            (Preset::Standard, 3, (1, 3)),
            (Preset::Standard, 2, (1, 2)),
            (Preset::Standard, 1, (1, 1)),
            (Preset::Economy, 40, (23, 40)),
            (Preset::Economy, 12, (7, 12)),
            (Preset::Economy, 5, (3, 5)),
            (Preset::Economy, 3, (1, 2)),
            (Preset::Safe, 40, (10, 40)),
            (Preset::Safe, 12, (3, 12)),
            (Preset::Safe, 5, (1, 4)),
        ];
        for (preset, farmers, expected) in table {
            assert_eq!(coding(preset, &vec![1; farmers]), expected, "{preset:?} with {farmers}");
        }
    }

    #[test]
    fn twelve_farmers_in_four_groups_lose_any_group() {
        let choice = choose(Preset::Standard, &[3, 3, 3, 3]).expect("there are farmers");
        assert_eq!((choice.coding.k(), choice.coding.n(), choice.group_limit), (4, 12, 8));
    }

    #[test]
    fn small_networks_are_told_plainly() {
        let cautions =
            |groups: &[usize]| choose(Preset::Standard, groups).expect("there are farmers").cautions;
        assert_eq!(choose(Preset::Standard, &[]), None);
        assert_eq!(choose(Preset::Standard, &[0, 0]), None);
        assert_eq!(cautions(&[1]), [Caution::OneFarmer]);
        assert_eq!(cautions(&[1, 1]), [Caution::CopiesOnly]);
        assert_eq!(cautions(&[8]), [Caution::OneGroup]);
        assert_eq!(cautions(&[1; 8]), []);
    }

    #[test]
    fn odds_agree_with_what_can_be_worked_out_by_hand() {
        let close =
            |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 1e-9, "{found} {expected}");
        let risk = Risk { farmer: 0.1, group: 0.0 };
        close(loss_odds(1, &[1, 1, 1], risk), 0.001);
        close(loss_odds(2, &[1, 1, 1], risk), 3.0 * 0.01 * 0.9 + 0.001);
        close(loss_odds(2, &[3], risk), 3.0 * 0.01 * 0.9 + 0.001);
        let risk = Risk { farmer: 0.0, group: 0.2 };
        close(loss_odds(1, &[2, 2], risk), 0.04);
        close(loss_odds(3, &[2, 2], risk), 1.0 - 0.64);
        assert_eq!(loss_odds(0, &[1], risk), 0.0);
    }

    #[test]
    fn odds_agree_with_counting_every_outcome() {
        let (risk, spread, k) = (Risk { farmer: 0.3, group: 0.15 }, [3, 1, 2], 3);
        let shards: usize = spread.iter().sum();
        let mut lost = 0.0;
        for groups in 0..1u32 << spread.len() {
            for farmers in 0..1u32 << shards {
                let (mut odds, mut alive, mut at) = (1.0, 0, 0);
                for (group, &held) in spread.iter().enumerate() {
                    let gone = groups >> group & 1 == 1;
                    odds *= if gone { risk.group } else { 1.0 - risk.group };
                    for shard in at..at + held {
                        let dead = farmers >> shard & 1 == 1;
                        odds *= if dead { risk.farmer } else { 1.0 - risk.farmer };
                        alive += usize::from(!gone && !dead);
                    }
                    at += held;
                }
                lost += if alive < k { odds } else { 0.0 };
            }
        }
        assert!((loss_odds(k, &spread, risk) - lost).abs() < 1e-12);
    }

    #[test]
    fn a_dearer_preset_is_never_worse() {
        for farmers in 1..=60 {
            let odds = Preset::ALL.map(|preset| {
                let choice = choose(preset, &vec![1; farmers]).expect("there are farmers");
                assert!((0.0..=1.0).contains(&choice.loss_odds));
                choice.loss_odds
            });
            assert!(odds.is_sorted_by(|cheap, dear| dear <= cheap), "{farmers} farmers: {odds:?}");
        }
    }

    proptest! {
        #[test]
        fn no_group_ever_holds_more_than_may_be_lost(groups in prop::collection::vec(0usize..60, 0..30)) {
            for preset in Preset::ALL {
                let Some(choice) = choose(preset, &groups) else {
                    prop_assert_eq!(groups.iter().sum::<usize>(), 0);
                    continue;
                };
                let (n, limit) = (usize::from(choice.coding.n()), usize::from(choice.group_limit));
                prop_assert!(n <= MAX_SHARDS);
                prop_assert!(fits(&groups, n, limit), "no room for all shards");
                prop_assert_eq!(spread(&groups, n, limit).iter().sum::<usize>(), n);
                if groups.iter().filter(|&&farmers| farmers > 0).count() > 1 {
                    prop_assert!(limit <= usize::from(choice.coding.spare()));
                }
            }
        }
    }
}
