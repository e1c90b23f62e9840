//! `veloz check`: what this machine and this configuration lack, and what to do about it.
