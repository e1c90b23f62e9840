//! The VeloZ command.
fn main() {}
