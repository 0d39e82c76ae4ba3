//! Verdicts, reasons and scores in words that people read, written once for every front end.

use hayloft_core::{
    DeviceId,
    audit::{Failure, ProofError},
    auditor::{
        Judgement, Reason,
        record::{Account, ScoreTold},
    },
    score::{HOPELESS, Kind, NOTICE_SECONDS, Observation, Standing},
    settlement::Verdict,
};

use crate::{
    errors::sentence,
    model::{EpochVerdict, FarmerStanding, ScoreLine, ScoreWord, StandingWord, VerdictWord},
};

pub(crate) fn verdict(verdict: Verdict) -> VerdictWord {
    match verdict {
        Verdict::Passed => VerdictWord::Passed,
        Verdict::Failed => VerdictWord::Failed,
        Verdict::Missed => VerdictWord::Missed,
        Verdict::Undecided => VerdictWord::Undecided,
    }
}

pub(crate) fn epoch((judgement, receipt): &(Judgement, bool)) -> EpochVerdict {
    EpochVerdict {
        epoch: judgement.epoch.0,
        at: judgement.at.0,
        verdict: verdict(judgement.verdict),
        reason: judgement.reason.as_ref().map(reason),
        receipt: *receipt,
    }
}

fn reason(reason: &Reason) -> String {
    match reason {
        Reason::WrongProof(failure) => wrong(failure),
        reason => sentence(reason),
    }
}

/// What a wrong proof says to people.
pub(crate) fn wrong(failure: &Failure) -> String {
    match failure {
        Failure::Proof(ProofError::DoesNotFit) => {
            "The farmer's proof does not fit what was asked for: pieces are lost or changed.".into()
        }
        failure => sentence(failure),
    }
}

pub(crate) fn standing(auditor: DeviceId, account: &Account) -> FarmerStanding {
    let (standing, since, notice_until) = match account.standing {
        Standing::Good => (StandingWord::Good, None, None),
        Standing::Suspended { over, since } => {
            let until = (over == Kind::Audits).then(|| since.plus_seconds(NOTICE_SECONDS).0);
            (StandingWord::Suspended, Some(since.0), until)
        }
        Standing::Disqualified { since } => (StandingWord::Disqualified, Some(since.0), None),
    };
    FarmerStanding {
        auditor: auditor.to_string(),
        standing,
        since,
        notice_until,
        online_since: account.online_since.map(|since| since.0),
        passed: account.passed,
        contracts: account.contracts,
        scores: account.scores.iter().map(line).collect(),
    }
}

pub(crate) fn score(kind: Kind) -> ScoreWord {
    match kind {
        Kind::Audits => ScoreWord::Audits,
        Kind::Availability => ScoreWord::Availability,
        Kind::Service => ScoreWord::Service,
    }
}

fn line(told: &ScoreTold) -> ScoreLine {
    let percent = |share: f64| (share * 100.0).round();
    let limit = told.limit_ppm.map(|ppm| f64::from(ppm) / 1e6);
    let nothing_new = limit.map_or_else(String::new, |limit| {
        format!("Under {} % a farmer is given nothing new until it has recovered.", percent(limit))
    });
    let (rule, good) = match told.kind {
        Kind::Audits => (
            format!(
                "{nothing_new} Under {} %, a day or more after it was told, its pieces count as lost.",
                percent(HOPELESS)
            ),
            "audits passed in a row",
        ),
        Kind::Availability => (nothing_new, "audits answered in a row"),
        Kind::Service => ("It only decides who is asked first.".to_owned(), "reads served in a row"),
    };
    ScoreLine {
        score: score(told.kind),
        value: told.value_ppm.map(|ppm| f64::from(ppm) / 1e6),
        limit,
        rule,
        fell: told.fall.map(|fall| fall.at.0),
        because: told.fall.map(|fall| lowered(fall.over).to_owned()),
        restored_by: told.restored_by.map(|count| format!("{count} {good} restore it.")),
    }
}

/// Why a score fell, to its farmer.
fn lowered(over: Observation) -> &'static str {
    match over {
        Observation::Failed => "An audit failed: the proof was wrong, or did not come for too long.",
        Observation::ReportedLoss => {
            "The farmer reported that it lost pieces, which costs less than a failed audit."
        }
        Observation::Missed => "The farmer did not answer an audit in time.",
        Observation::NotServed => "The farmer did not give back what it was asked for.",
        Observation::Passed | Observation::Answered | Observation::Served => "It was weighed anew.",
    }
}

#[cfg(test)]
mod tests {
    use hayloft_core::{
        ContractId, Timestamp,
        audit::Epoch,
        auditor::record::{Event, Origin, Record, apply},
    };

    use super::*;

    const START: Timestamp = Timestamp(1_800_000_000);

    #[test]
    fn a_fallen_score_says_when_and_why_and_what_restores_it_and_what_comes_next() {
        let (contract, epoch, observation) = (ContractId([1; 32]), Epoch(0), Observation::Failed);
        let event = Event::Observed { contract, epoch, observation, origin: Origin::Owner, braked: false };
        let (record, _) = apply(Record::new(START), event, START);
        let shown = standing(DeviceId([2; 32]), &record.account(1, 1));
        assert_eq!((shown.standing, shown.since), (StandingWord::Suspended, Some(START.0)));
        assert_eq!(shown.notice_until, Some(START.0 + NOTICE_SECONDS));
        let audits = &shown.scores[0];
        assert_eq!((audits.value, audits.limit, audits.fell), (Some(0.0), Some(0.96), Some(START.0)));
        assert!(audits.rule.contains("96 %") && audits.rule.contains("60 %"), "{}", audits.rule);
        assert!(audits.because.as_deref().is_some_and(|why| why.starts_with("An audit failed")));
        assert!(audits.restored_by.as_deref().is_some_and(|what| what.ends_with("in a row restore it.")));
        assert!(shown.scores[1..].iter().all(|line| line.value.is_none() && line.because.is_none()));
    }
}
