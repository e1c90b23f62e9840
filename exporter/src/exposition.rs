//! The Prometheus text format.
