//! The drain thread: one consumer per ring.
