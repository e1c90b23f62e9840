//! The audit log: who did what, when, from where, in a form that shows whether anything was changed.
//!
//! Owns: nothing itself; `record.rs` is the format and the chain, `store.rs` writes, `writer.rs` has the
//! thread and its queue, `retention.rs` packs and deletes, `query.rs` reads, `verify.rs` proves,
//! `fills.rs` makes records of fills, `engine.rs` of what the engine met and did by itself. Does not:
//! decide what else is worth a record.

pub mod engine;
pub mod files;
pub mod fills;
pub mod handed_in;
pub mod metrics;
pub mod query;
pub mod record;
pub mod retention;
pub mod store;
pub mod verify;
pub mod writer;
