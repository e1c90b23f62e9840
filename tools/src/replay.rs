//! `veloz replay`: a capture through the very same engine, in virtual time.
