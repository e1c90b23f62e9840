//! RFC 6455 framing, in place.
