//! Tests of the rules: what no single operation's tests can show.

mod bed;
mod claims;
mod histories;
mod judging;
