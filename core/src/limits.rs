//! Every capacity of the core, with its reason. A number that bounds anything stands here.

/// Instruments of one core thread. 256 instruments x 4 streams = 1,024, the venue's most per connection.
pub const INSTRUMENTS_MAX: usize = 256;

/// Streams that one market-data connection may carry (venue rule).
pub const STREAMS_PER_LINK_MAX: usize = 1_024;

/// Bytes of a symbol. The longest spot symbols seen are under 20; non-ASCII ones take three bytes a character.
pub const SYMBOL_BYTES_MAX: usize = 31;

/// Bytes of one websocket message. A 5,000-level diff or snapshot, both sides, is about 400 kB of JSON.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Readable bytes that stand before a payload: the scanner loads eight bytes back from a number's end.
pub const PAYLOAD_SLACK_BEFORE: usize = 16;

/// Readable bytes that follow a payload: the scanner loads two 32-byte vectors at once.
pub const PAYLOAD_SLACK_AFTER: usize = 64;

/// Price levels of one side in one message; the venue clamps snapshots to 5,000.
pub const LEVELS_PER_SIDE_MAX: usize = 5_000;

/// Links alive at once: market data and API, each with its successor while it rotates, and room for two more pairs.
pub const LINKS_MAX: usize = 8;

/// Actions that one event may cause. A link coming up sends `ceil(1,024 / 200)` subscriptions; the rest is housekeeping.
pub const ACTIONS_PER_EVENT_MAX: usize = 32;

/// Bytes of all messages that one event may send: six subscriptions of 200 stream names each, at most 60 bytes a name.
pub const OUTBOX_BYTES_MAX: usize = 128 << 10;

/// Stream names in one SUBSCRIBE; the venue has dropped longer lists silently.
pub const STREAMS_PER_SUBSCRIBE_MAX: usize = 200;

const _: () =
    assert!(STREAMS_PER_LINK_MAX.div_ceil(STREAMS_PER_SUBSCRIBE_MAX) < ACTIONS_PER_EVENT_MAX);
const _: () = assert!(INSTRUMENTS_MAX * 4 <= STREAMS_PER_LINK_MAX);
const _: () = assert!(LEVELS_PER_SIDE_MAX * 2 * 40 < MESSAGE_BYTES_MAX);
