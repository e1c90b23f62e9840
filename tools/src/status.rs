//! The live status of `veloz run` on a terminal.
