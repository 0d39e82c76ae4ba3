//! The committed list of claims, from which the tests with the official SDKs work, is that of the code.

use crate::rules::claims::{NEVER, claims};

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/ledger-claims.json");

#[test]
fn the_committed_claims_are_those_of_the_code() {
    let committed: Vec<(String, String)> =
        serde_json::from_str(&std::fs::read_to_string(COMMITTED).unwrap()).unwrap();
    let claimed: Vec<(String, String)> =
        claims().into_iter().map(|(at, code)| (at.to_owned(), code.to_owned())).collect();
    let text: Vec<String> = claimed.iter().map(|(at, code)| format!("[\"{at}\", \"{code}\"]")).collect();
    assert!(committed == claimed, "should be:\n[\n  {}\n]", text.join(",\n  "));
}

#[test]
fn nothing_is_both_claimed_and_said_to_be_never_given() {
    let claimed = claims();
    assert!(NEVER.iter().all(|(at, code, _)| !claimed.contains(&(at, code))));
}
