//! The exchange as a whole.
