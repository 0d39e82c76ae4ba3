//! Placement under random farmers.
