//! The seqlock alone, as the core has it.

#[path = "../src/telemetry/seqlock.rs"]
pub mod seqlock;
