//! The HTTP server of the sidecar.
