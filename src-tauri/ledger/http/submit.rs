//! Taking transactions in, and friendbot.

use axum::{
    Form, Json,
    extract::{Query, State, rejection::FormRejection},
};
use data_encoding::BASE64;
use serde::Deserialize;
use serde_json::Value;

use super::{
    App, Problem, Shared,
    page::Query as Asking,
    parse_address,
    transactions::{self, Decoded},
};
use crate::{
    engine::{Answer, Applied, FriendbotError, SubmitError},
    rules::{envelope::Envelope, transaction::Outcome},
};

/// The form of a submission.
#[derive(Deserialize)]
pub(super) struct Submission {
    tx: String,
}

pub(super) async fn submit(
    State(shared): App,
    form: Result<Form<Submission>, FormRejection>,
) -> Result<Json<Value>, Problem> {
    let Ok(Form(Submission { tx: text })) = form else {
        return Err(Problem::bad_field("tx", "the form must have a field tx"));
    };
    let malformed = || Problem::transaction_malformed(&text);
    let bytes = BASE64.decode(text.as_bytes()).map_err(|_| malformed())?;
    let envelope = Envelope::decode(&bytes, &shared.engine.network).map_err(|_| malformed())?;
    // Who goes away does not take the transaction back, so its answer needs no copy of the envelope until it fails.
    let copy = envelope.bytes.clone();
    let answer = shared.engine.submit(envelope).await;
    answered(&shared, answer, &copy)
}

fn answered(
    shared: &Shared,
    answer: Result<Answer, SubmitError>,
    envelope: &[u8],
) -> Result<Json<Value>, Problem> {
    match answer {
        Ok(Answer::Applied(row)) => applied(shared, &row),
        Ok(Answer::Refused(outcome)) => match Envelope::decode(envelope, &shared.engine.network) {
            Ok(envelope) => Err(refused(&envelope, &outcome)),
            Err(_) => Err(Problem::unavailable("The ledger cannot say what came of the transaction.")),
        },
        Ok(Answer::Unavailable) => Err(Problem::unavailable(&SubmitError::Unavailable.to_string())),
        Err(SubmitError::Refused(refusal)) => Err(refused(&refusal.0, &refusal.1)),
        Err(SubmitError::Database(error)) => Err(error.into()),
        Err(error @ (SubmitError::Full | SubmitError::Unavailable)) => {
            Err(Problem::unavailable(&error.to_string()))
        }
    }
}

fn refused(envelope: &Envelope, outcome: &Outcome) -> Problem {
    Problem::transaction_failed(transactions::failure(envelope, &outcome.to_result(envelope)))
}

fn applied(shared: &Shared, row: &Applied) -> Result<Json<Value>, Problem> {
    let decoded = Decoded::new(row.as_ref().clone(), &shared.engine.network)?;
    if row.successful {
        return Ok(Json(transactions::record(shared, &decoded)));
    }
    Err(Problem::transaction_failed(transactions::failure(&decoded.envelope, &decoded.result)))
}

pub(super) async fn friendbot(
    State(shared): App,
    Query(query): Query<Asking>,
) -> Result<Json<Value>, Problem> {
    let account = parse_address(query.get("addr").map_or("", String::as_str), "addr")?;
    match shared.engine.befriend(account).await {
        Ok(answer) => answered(&shared, Ok(answer), &[]),
        Err(FriendbotError::Exists) => Err(Problem::bad_request(&FriendbotError::Exists.to_string())),
        Err(FriendbotError::Submit(error)) => answered(&shared, Err(error), &[]),
    }
}
