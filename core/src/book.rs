//! The local copy of one instrument's order book.
