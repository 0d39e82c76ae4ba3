//! What is signed for whom, and what comes back.

pub(crate) mod bed;
mod cosigning;
mod deaths;
mod elsewhere;
pub(crate) mod process;
mod recovering;
mod without_auditor;
