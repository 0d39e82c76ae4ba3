//! Refusals as Horizon writes them: `application/problem+json`.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::db::DatabaseError;

/// A refusal.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: String,
    extras: Option<Value>,
}

impl Problem {
    /// There is no such thing.
    pub(super) fn not_found() -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            kind: "not_found",
            title: "Resource Missing",
            detail: "The resource at the url requested was not found.  This usually occurs for one of two \
                     reasons:  The url requested is not valid, or no data in our database could be found with \
                     the parameters provided."
                .to_owned(),
            extras: None,
        }
    }

    /// A parameter is wrong.
    pub(super) fn bad_field(field: &str, reason: &str) -> Self {
        Self {
            extras: Some(json!({ "invalid_field": field, "reason": reason })),
            ..Self::bad_request("The request you sent was invalid in some way.")
        }
    }

    /// The request is wrong.
    pub(super) fn bad_request(detail: &str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            kind: "bad_request",
            title: "Bad Request",
            detail: detail.to_owned(),
            extras: None,
        }
    }

    /// The bytes are no transaction.
    pub(super) fn transaction_malformed(envelope: &str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            kind: "transaction_malformed",
            title: "Transaction Malformed",
            detail: "Horizon could not decode the transaction envelope in this request. A transaction should be \
                     an XDR TransactionEnvelope struct encoded using base64.  The envelope read from this request \
                     is echoed in the `extras.envelope_xdr` field of this response for your convenience."
                .to_owned(),
            extras: Some(json!({ "envelope_xdr": envelope })),
        }
    }

    /// The transaction was refused or failed.
    pub(super) fn transaction_failed(extras: Value) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            kind: "transaction_failed",
            title: "Transaction Failed",
            detail:
                "The transaction failed when submitted to the stellar network. The `extras.result_codes` \
                     field on this response contains further details."
                    .to_owned(),
            extras: Some(extras),
        }
    }

    /// Too much at once, or the disk refuses.
    pub(super) fn unavailable(detail: &str) -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            kind: "server_over_capacity",
            title: "Server Over Capacity",
            detail: detail.to_owned(),
            extras: None,
        }
    }
}

impl From<DatabaseError> for Problem {
    fn from(error: DatabaseError) -> Self {
        tracing::error!(%error, "a request failed");
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            kind: "server_error",
            title: "Internal Server Error",
            detail: error.to_string(),
            extras: None,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            "type": format!("https://stellar.org/horizon-errors/{}", self.kind),
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Some(extras) = self.extras {
            body["extras"] = extras;
        }
        let kind = [(header::CONTENT_TYPE, "application/problem+json; charset=utf-8")];
        (self.status, kind, body.to_string()).into_response()
    }
}
