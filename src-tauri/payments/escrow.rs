//! Escrow: an owner's money for one contract, which no one reaches before it is earned or comes back.
//!
//! W is the owner's account; owner, farmer and auditor each have a key. E is the escrow, and P the number of settlement
//! periods. All numbers are in the [`Plan`], which all three know and check for themselves.
//!
//! **Setup**: one transaction. Source W; signed by W's key and by E's own, which is random and forgotten afterwards.
//!
//! | step | by | does |
//! |---|---|---|
//! | 0 | W | create E with its reserve (6 entries) and the merge's fee |
//! | 1–3 | E | let owner, farmer and auditor sign for it, weight 1 each |
//! | 4 | E | let the merge below sign for it, weight 2 |
//! | 5 | E | its own key counts 0, everything needs 2 |
//! | 6… | W | lock each period's amount: for E from the period's end, for W from its end plus the grace |
//!
//! It is valid for minutes and before ledger L. If it fails or is too late nothing has happened but its fee.
//! W's reserve: one entry per claimant, so two per period, each back when the period's balance is claimed.
//!
//! **Assignment**: W signs for which contract the escrow pays ([`assign`]). Farmer and auditor take note of none without it,
//! and of none for two contracts; the farmer keeps nothing under one that the auditor has not taken note of.
//!
//! **Settlement**: one transaction. Source: whoever hands it in, and pays its fee; signed by that one's key and so that two
//! of the three signed. By E: claim all open balances of periods up to one that is over; pay the farmer what is owed;
//! return the rest to W. It happens once, because a balance is claimed once; a wrong one fails whole. E's sequence number
//! never moves. A co-signer makes the transaction again from its own records and signs only if it is the same to the last
//! byte ([`check`]); a farmer that signs for an owner, the auditor being gone, may be paid more than its own say ([`Takes`]).
//!
//! **Merge**: prepared with the setup, without signatures: its hash is a signer of E. From the last period's end plus the
//! grace, and after ledger L, anyone may hand it in; it gives E's lumens back to W. Its sequence number is L's first: that
//! is above whatever E began with, because the setup is valid only before L, and below any later ledger's, as a merge
//! needs. It is the one transaction without a latest time. It is used up even if it fails: so it must find W there, and
//! nobody else's entries in E.
//!
//! **Recovery**: W claims by itself whatever period nobody settled until its end plus the grace.
//!
//! What anyone can take — "over" is a period whose end has passed, unsettled and not yet recovered:
//!
//! | who | can take | cannot |
//! |---|---|---|
//! | owner alone | from a period's end plus the grace: that period's amount, its own money | anything before |
//! | farmer or auditor alone | nothing | |
//! | owner and farmer | periods that are over; E's reserve: both the owner's own | periods that are not over |
//! | owner and auditor | periods that are over, with what the farmer earned in them; E's reserve | periods that are not over |
//! | farmer and auditor | periods that are over, with what was to return; E's reserve | periods that are not over |
//! | anyone | hand in the merge, in its time, to W's good | |
//!
//! A pair can also end E or change who signs for it. Whoever sees that stops: the farmer keeps nothing more, the owner pays
//! nothing more into it; periods that are not over come back to W after their grace, unless that pair takes each as it
//! ends. So a pair's take is bounded by what is over at any time, and a contract's periods are short.
//!
//! Deliberately absent: what is owed (`core::settlement`), and how a transaction gets into a ledger once.

mod assignment;
mod check;
mod plan;
mod settlement;
mod standing;

pub use assignment::{assign, check_assigned};
pub use check::{Disagreement, MAX_AHEAD_SECONDS, Opinion, Takes, check, last_claim};
pub use plan::{MAX_PERIODS, MERGE_FEE, Plan, PlanError, own_reserve, reserves};
pub use settlement::{HandedIn, Settlement, SettlementError, recovery, settle};
pub use standing::{Fault, Payouts, Standing, look};
