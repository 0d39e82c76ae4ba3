//! What is signed for whom, and what comes back.

mod cosigning;
mod deaths;
mod recovering;
