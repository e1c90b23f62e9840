//! JSON scanning straight to integers.
