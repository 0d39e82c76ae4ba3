//! What is signed for whom, and what holds whoever dies.

mod cosigning;
mod deaths;
mod recovering;
