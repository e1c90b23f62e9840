//! Latency runs.
fn main() {}
