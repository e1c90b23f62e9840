//! `veloz record`: from a venue URL to a capture.
