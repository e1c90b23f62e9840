//! Configuration: file, environment, flags, in that order.
