//! Contract journals.
