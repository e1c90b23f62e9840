//! JSON read straight into integers: no tree, no strings of its own.
//!
//! Owns: [`tolerant`], which takes keys in any order and tells in types what is wrong.
//! Does not: know any venue's keys.

pub mod tolerant;
