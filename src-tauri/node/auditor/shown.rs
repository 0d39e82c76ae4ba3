//! Verdicts, reasons and scores in words that people read, written once for every front end.

use hayloft_core::{
    DeviceId,
    auditor::{
        Judgement,
        record::{Account, ScoreTold},
    },
    score::{Kind, Standing},
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
        reason: judgement.reason.as_ref().map(sentence),
        receipt: *receipt,
    }
}

pub(crate) fn standing(auditor: DeviceId, account: &Account) -> FarmerStanding {
    let (standing, since) = match account.standing {
        Standing::Good => (StandingWord::Good, None),
        Standing::Suspended { since, .. } => (StandingWord::Suspended, Some(since.0)),
        Standing::Disqualified { since } => (StandingWord::Disqualified, Some(since.0)),
    };
    FarmerStanding {
        auditor: auditor.to_string(),
        standing,
        since,
        online_since: account.online_since.map(|since| since.0),
        passed: account.passed,
        contracts: account.contracts,
        scores: account.scores.iter().map(line).collect(),
    }
}

fn line(told: &ScoreTold) -> ScoreLine {
    let percent = told.limit_ppm.map_or(0, |ppm| ppm / 10_000);
    let (score, rule, good) = match told.kind {
        Kind::Audits => (
            ScoreWord::Audits,
            format!(
                "Under {percent} % a farmer is given nothing new; under 60 %, a day or more after it was told, its \
                 shards count as lost."
            ),
            "audits passed in a row",
        ),
        Kind::Availability => (
            ScoreWord::Availability,
            format!("Under {percent} % a farmer is given nothing new."),
            "audits answered in a row",
        ),
        Kind::Service => {
            (ScoreWord::Service, "It only decides who is asked first.".to_owned(), "reads served in a row")
        }
    };
    ScoreLine {
        score,
        value: told.value_ppm.map(|ppm| f64::from(ppm) / 1e6),
        rule,
        restored_by: told.restored_by.map(|count| format!("{count} {good} restore it.")),
    }
}
