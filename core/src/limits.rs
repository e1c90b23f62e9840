//! Every capacity of the core, with its reason. A number that bounds anything stands here.

use crate::units::Nanos;

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

/// Ticks of a book's window, each side: the default of an instrument, a power of two. At BTCUSDT's cent
/// ticks 2^16 reach at least 327 USDT behind the touch, where 94 % of recorded updates fall; 2^15 would
/// catch 80 to 92 %. One side takes 512 KiB, so 64 instruments take 64 MiB.
pub const BOOK_WINDOW_TICKS: usize = 1 << 16;

/// Levels of one side of a book outside its window. A snapshot brings 5,000, and levels that it did not
/// reach are added as they change: ten minutes of BTCUSDT futures end with 5,018 in all on the larger side.
/// When full the book is resynchronised, which starts it again from a snapshot. One side takes 256 KiB.
pub const BOOK_FAR_LEVELS_MAX: usize = 1 << 14;

/// Books that synchronise at the same time, each with a window of waiting diffs. One takes about half
/// a second (a diff interval and a round trip), so eight bring 64 books up in some four.
pub const SYNC_WINDOWS_MAX: usize = 8;

/// Diffs of one window: at ten a second, a request that times out after 5 s and several retries fit.
/// When full its book starts again.
pub const WINDOW_DIFFS_MAX: usize = 256;

/// Levels of one window, both sides. Recorded diffs have 46 levels on average and 1,076 at most; this
/// holds 256 with 256 each, or six of the largest that the venue may send. 1 MiB.
pub const WINDOW_LEVELS_MAX: usize = 1 << 16;

/// Snapshots in a row that may be too old for a window. The venue's cache is a second or so behind, and
/// eight tries with their waits take ten: then the ids themselves must have moved.
pub const SNAPSHOTS_TOO_OLD_MAX: u8 = 8;

/// Events in a row that may bring nothing new. A snapshot can be ahead of the stream, and a venue may
/// repeat itself; fifty diffs are five seconds of the fastest stream. Then it counts from anew.
pub const OLD_IN_A_ROW_MAX: u8 = 50;

/// Requests under way: a snapshot for every window, as many again that nobody waits for any more but
/// the venue may still answer, probes and the clock. What does not fit is asked for later.
pub const REQUESTS_MAX: usize = 32;

/// Depth snapshots announced to the decoder and not answered.
pub const SNAPSHOTS_PENDING_MAX: usize = REQUESTS_MAX;

/// Books that one event serves: each may cause three records. Those beyond are served in the next turn.
pub const BOOKS_PER_EVENT_MAX: usize = 64;

/// Rounds in which books and links may set each other to work after one event. What is left then keeps
/// its timer and is done in the next turn.
pub const SETTLING_ROUNDS_MAX: usize = 4;

/// Probes that one event sends, so that its actions stay few.
pub const PROBES_PER_EVENT_MAX: usize = 4;

/// Links alive at once: market data and API, each with its successor while it rotates, and room for two more pairs.
pub const LINKS_MAX: usize = 8;

/// Events that one turn of the loop may handle before timers and housekeeping get their turn: a burst of
/// 64 messages takes about 50 us.
pub const EVENTS_PER_TURN_MAX: u32 = 64;

/// Levels a side of a book that somebody asked to see; a book that is shown costs the core a microsecond. More are
/// left out. 3 KiB an instrument.
pub const SHOWN_LEVELS_MAX: usize = 100;

/// How often one book is shown at most; asked for sooner, the last view stays.
pub const SHOW_BOOK_EVERY: Nanos = Nanos::from_ms(100);

/// Commands that wait for the core; the sender of one more is told that the engine is busy.
pub const COMMANDS_MAX: usize = 64;

/// Slots of each ring between core and connector: every link may be in one of them at once.
pub const LINKS_RING_SIZE: usize = 8;

/// Messages to the connector that wait for room in its ring: all links and as many wishes. A retired link
/// beyond is freed on the core's own thread.
pub const CONNECTOR_MESSAGES_MAX: usize = 2 * LINKS_MAX;

/// Ends of links that one event can cause before the engine hears of them: every link, and every
/// connection asked for.
pub const ENDS_PER_EVENT_MAX: usize = LINKS_MAX + ACTIONS_PER_EVENT_MAX;

/// Connection attempts at once, those stuck in the resolver included. Further wishes wait.
pub const CONNECT_THREADS_MAX: usize = 2 * LINKS_MAX;

/// Failed attempts whose words wait to be logged. Those beyond are counted only.
pub const CONNECT_REPORTS_MAX: usize = 64;

/// Addresses of one name that an attempt tries; a front end's name may have dozens.
pub const ADDRESSES_PER_NAME_MAX: usize = 4;

/// Receives in one poll of a link before the loop gets its turn back: a message of a megabyte takes sixteen.
pub const REFILLS_PER_POLL_MAX: u32 = 32;

/// Received ciphertext of one link that waits to be decrypted; what does not fit stays with the kernel.
pub const TLS_INCOMING_BYTES: usize = 64 << 10;

/// Ciphertext of one link that the kernel has not taken. Plaintext beyond stays in the websocket's send
/// buffer, whose bound is [`SEND_BUFFER_BYTES_MAX`].
pub const TLS_OUTGOING_BYTES: usize = 64 << 10;

/// Longest handshake message after the handshake, header included: a ticket of a server that keeps its state
/// in it has a few kilobytes. A longer one ends the session.
pub const TLS_MESSAGE_BYTES_MAX: usize = 16 << 10;

/// Records in a row that bring no data (tickets, new keys, empty ones). A peer that sends more gives work and
/// nothing else: the session ends. Servers send a few tickets at the start, and pings are data.
pub const TLS_RECORDS_WITHOUT_DATA_MAX: u32 = 64;

/// Connection attempts in [`CONNECT_WINDOW`]. The venue allows 300 and bans the address beyond; 20 are left
/// for the requests of the start and for other programs behind the same address.
pub const CONNECTS_PER_WINDOW_MAX: usize = 280;

/// The window of the venue's connection limit.
pub const CONNECT_WINDOW: Nanos = Nanos::from_secs(300);

/// Bytes of one answer at the start: `exchangeInfo` of all instruments that we may hold is below 2 MB.
pub const BOOT_MESSAGE_BYTES_MAX: usize = 16 << 20;

/// Connections that the engine asks for in [`CONNECT_WINDOW`]. The venue allows 300 an address; half is left to
/// other programs behind it, the dead-man's connection among them. Then it waits.
pub const CONNECTS_ASKED_MAX: usize = 150;

/// Notices of the session in one event: every link goes, and both roles ask anew.
pub const NOTICES_PER_EVENT_MAX: usize = 16;

/// Actions that one event may cause. A link coming up sends `ceil(1,024 / 200)` subscriptions; the others are
/// housekeeping, a strategy's wishes, and cancels and questions about orders.
pub const ACTIONS_PER_EVENT_MAX: usize = 80;

/// Bytes of all messages that one event may send: six subscriptions of 200 stream names each, at most 60 bytes a name.
pub const OUTBOX_BYTES_MAX: usize = 128 << 10;

/// Unsent bytes of one link: everything that two events may send. More means that the venue stopped reading.
pub const SEND_BUFFER_BYTES_MAX: usize = 2 * OUTBOX_BYTES_MAX;

/// Stream names in one SUBSCRIBE; the venue has dropped longer lists silently.
pub const STREAMS_PER_SUBSCRIBE_MAX: usize = 200;

/// SUBSCRIBE messages of one connection.
pub const SUBSCRIBES_PER_LINK_MAX: usize = STREAMS_PER_LINK_MAX.div_ceil(STREAMS_PER_SUBSCRIBE_MAX);

const _: () = assert!(SUBSCRIBES_PER_LINK_MAX < ACTIONS_PER_EVENT_MAX);
// Every role closes two links, asks for one and subscribes one; every window asks, probes and the clock too; a
// strategy says all that it may; cancels and questions have their turns.
const _: () = assert!(
    3 * 4
        + SYNC_WINDOWS_MAX
        + PROBES_PER_EVENT_MAX
        + ACTIONS_PER_LOOK_MAX
        + CANCELS_PER_EVENT_MAX
        + QUESTIONS_PER_EVENT_MAX
        < ACTIONS_PER_EVENT_MAX
);
const _: () = assert!(REQUESTS_MAX > 2 * SYNC_WINDOWS_MAX + PROBES_PER_EVENT_MAX);
const _: () = assert!(WINDOW_LEVELS_MAX >= 6 * 2 * LEVELS_PER_SIDE_MAX);
const _: () = assert!(SYNC_WINDOWS_MAX <= u8::MAX as usize);
const _: () = assert!(BOOK_WINDOW_TICKS.is_power_of_two());
// A resynchronised book must fit, wherever its levels fall, and leave room to grow.
const _: () = assert!(BOOK_FAR_LEVELS_MAX >= 2 * LEVELS_PER_SIDE_MAX);
// The portfolio's start tells every waiting fill, the positions, what is known of the trades, and the baselines.
const _: () = assert!(MISSED_FILLS_MAX + 4 * INSTRUMENTS_MAX + 8 <= RECORDS_PER_EVENT_MAX);
// Each may end its order, fill, and move a position.
const _: () = assert!(3 * MISSED_TRADES_PER_EVENT_MAX <= RECORDS_PER_EVENT_MAX);
const _: () = assert!(INSTRUMENTS_MAX * 4 <= STREAMS_PER_LINK_MAX);
const _: () = assert!(LEVELS_PER_SIDE_MAX * 2 * 40 < MESSAGE_BYTES_MAX);

/// Kinds of venue faults that are counted apart; a venue's fault enum asserts that it fits.
pub const FAULT_KINDS_MAX: usize = 64;

/// Kinds of refusals of requests about orders that are counted apart.
pub const ORDER_ERROR_KINDS_MAX: usize = 32;

/// Fault records in one second. A venue that sends nothing but faults would fill the ring with them and
/// stop trading; the counters count them all.
pub const FAULT_RECORDS_PER_SECOND_MAX: u32 = 100;

/// Records that one event may cause: a link that goes down takes every book with it (its state, the
/// resynchronisation), and tells itself, its engine state and a fault. An answer about all open orders changes
/// each of them: its state, a fill, a position, a fault.
pub const RECORDS_PER_EVENT_MAX: usize = 2 * INSTRUMENTS_MAX + 8 + 4 * ORDERS_OPEN_MAX;

/// Records that still fit above the high-water mark: what two such events cause, one that crosses the
/// mark and one that the loop handles before it tells the engine, and what the orders that are open then can
/// still cause. An order has no bound on its fills; eight records are its cancel, its end and five fills with
/// their positions shared. Should it fill all the same, the loss latches and trading halts.
pub const RECORDS_HEADROOM: usize = 2 * RECORDS_PER_EVENT_MAX + 8 * ORDERS_OPEN_MAX;

/// Slots of the records ring, 64 bytes each: 1 MiB. Records are state changes, not messages; this holds
/// fourteen losses of every book while the sidecar does not run at all.
pub const RECORDS_RING_SIZE: usize = 1 << 14;

/// Slots of the samples ring, 64 bytes each: 1 MiB. At 20,000 samples a second, the sidecar may sleep
/// through 0.8 s before the newest are dropped.
pub const SAMPLES_RING_SIZE: usize = 1 << 14;

/// Histogram sets between core and sidecar: one at each end.
pub const HISTOGRAM_SETS: usize = 2;

/// Entries of the trace ring: the last fraction of a second of a busy market, in 160 KiB of the core's L2.
pub const TRACE_RING_SIZE: usize = 1 << 12;

// Serving books may cause a fault, a resynchronisation and a state for each.
const _: () = assert!(3 * BOOKS_PER_EVENT_MAX <= RECORDS_PER_EVENT_MAX);
const _: () =
    assert!(RECORDS_RING_SIZE.is_power_of_two() && RECORDS_RING_SIZE > 2 * RECORDS_HEADROOM);
const _: () = assert!(SAMPLES_RING_SIZE.is_power_of_two() && TRACE_RING_SIZE.is_power_of_two());
const _: () = assert!(LINKS_RING_SIZE >= LINKS_MAX);

// ---- trading -------------------------------------------------------------------------------

/// Requests about orders that wait for an answer: a placement, a cancel and a question for every open order.
/// When it is full new orders are refused as `link_backpressure`; cancels and questions wait.
pub const ORDER_REQUESTS_MAX: usize = 3 * ORDERS_OPEN_MAX;

/// Cancels that one event sends; those beyond follow in the next turns, before anything else.
pub const CANCELS_PER_EVENT_MAX: usize = 16;

/// Questions about orders that one event sends; those beyond follow in the next turns.
pub const QUESTIONS_PER_EVENT_MAX: usize = 8;

/// News of orders that wait for the strategy: it is told after each event, and one event changes every open
/// order twice at most. News beyond is dropped: what the strategy is shown is never out of date.
pub const ORDER_NEWS_MAX: usize = 2 * ORDERS_OPEN_MAX;

/// Rounds in which a strategy may answer news of its own orders before the next event is read.
pub const NEWS_ROUNDS_MAX: usize = 64;

/// Times that one order's cancel is sent again because the venue had refused it for its rate or for our clock. Then it is
/// refused for good, unless trading ends or the kill switch is latched: then it is sent until the order is gone.
pub const CANCEL_TRIES_MAX: u8 = 3;

/// How long after a refused cancel neither a strategy nor an end of trading sends another for the same order; doubles with
/// each refusal. A market that is closed refuses every cancel, and each costs weight that everything at this address needs.
/// The first is short, because a cancel may overtake its order.
pub const CANCEL_BACK_OFF_FIRST: Nanos = Nanos::from_ms(100);
/// Longest such wait: an order that can be taken back again is not open for longer.
pub const CANCEL_BACK_OFF_MAX: Nanos = Nanos::from_secs(10);

/// Fills of earlier runs' orders that wait until the portfolio starts, so that what they closed is known. Those beyond
/// are booked after its start, each by itself: quantities are the same, what they realized is not exact.
pub const MISSED_FILLS_MAX: usize = 256;

/// Trades of one list of trades that one event tells the order machine; the rest follows in the next turns.
pub const MISSED_TRADES_PER_EVENT_MAX: usize = 64;

/// Lists of trades that a start asks for, over all instruments, beside one each: 64,000 trades and 1,280 of weight.
/// What happened after the last is in the balances alone, and a record says so.
pub const MISSED_PAGES_MAX: u32 = 64;

/// Times that one order of a missed trade is asked for in vain; then its trades are in the balances alone.
pub const MISSED_TRIES_MAX: u8 = 8;

/// Records of refused intents in one second. A strategy that is refused at every book update would fill the
/// ring; the counters count them all.
pub const REJECTION_RECORDS_PER_SECOND_MAX: u32 = 100;

// ---- risk ----------------------------------------------------------------------------------

/// Admissions whose times are kept, so the most that `orders_per_second_max` may be. The venue takes 100
/// orders in ten seconds by default; this is a hundred times as much, in 8 KiB. A power of two. The ring is
/// never full: the oldest time is forgotten.
pub const ORDERS_PER_SECOND_MAX: usize = 1 << 10;

const _: () = assert!(ORDERS_PER_SECOND_MAX.is_power_of_two());

// ---- strategy ------------------------------------------------------------------------------

/// Actions that a strategy may ask for in one call: both sides replaced, and a handful of leftovers cancelled.
/// One more is counted and not done; the strategy sees at its next call that nothing changed.
pub const ACTIONS_PER_LOOK_MAX: usize = 16;
// Order entry and the decoder of its answers (`venue/binance/order_entry`, `codec/orders`).

/// Own trades in one answer: the venue's most. More is a fault, never a cut list.
pub const OWN_TRADES_MAX: usize = 1_000;

/// Orders in one answer: of a message of [`MESSAGE_BYTES_MAX`] no more fit, since the venue prints one in
/// over 512 bytes. A venue that printed shorter ones would be at fault with the next.
pub const ORDERS_PER_ANSWER_MAX: usize = MESSAGE_BYTES_MAX / 512;

/// Windows in which the venue counts orders; it has two, 10 s and a day. More in `exchangeInfo` fail the
/// start, more in an answer are a fault.
pub const ORDER_WINDOWS_MAX: usize = 4;

/// Messages of ours on all orders links in any [`ORDER_MESSAGES_WINDOW`]. The venue counts 300,000 requests of an
/// address in five minutes, a thousand a second; half is left to other links and programs. Queries stop at 80 %, new
/// orders at 90 %, where they are refused as `venue_rate_budget`; what waits goes as the window moves on, cancels first.
pub const ORDER_MESSAGES_PER_SECOND_MAX: usize = 500;

/// The window of [`ORDER_MESSAGES_PER_SECOND_MAX`].
pub const ORDER_MESSAGES_WINDOW: Nanos = Nanos::from_secs(1);

const _: () = assert!(OWN_TRADES_MAX <= u16::MAX as usize);

// --- oms ---

/// Open orders over all instruments. The venue allows 200 an instrument; a maker quotes a few levels a side. One
/// more is refused (`max_open_orders`, or `Full` of the table behind it).
pub const ORDERS_OPEN_MAX: usize = 256;

/// Orders that are over and still known, for late reports, duplicate client ids and cancels that lost a race. At
/// the venue's 100 orders in ten seconds they last seven minutes. When full the oldest is forgotten; what is told
/// of it later is a fault.
pub const ORDERS_REMEMBERED_MAX: usize = 4_096;

/// Booked trade ids of one instrument, against duplicates. Reports repeat themselves within seconds, lists of
/// trades within one reconnect. When full the lowest is forgotten, and the floor says that it was; 16 KiB.
pub const FILLS_REMEMBERED_MAX: usize = 1_024;

/// Questions about one order that may go unsettled before that is a fault. With waits that double to
/// 2^[`ASK_DOUBLINGS_MAX`] of the first, twelve questions at one second first take six minutes.
pub const ASKS_MAX: u8 = 12;

/// Doublings of the wait between two questions about one order.
pub const ASK_DOUBLINGS_MAX: u8 = 6;

const _: () = assert!(ORDERS_OPEN_MAX + ORDERS_REMEMBERED_MAX < u16::MAX as usize);

// --- portfolio ---

/// Instruments between an asset and the account currency. A stablecoin and a major coin lie between at most; a longer
/// way adds the errors of all their middles. An asset farther away fails the start.
pub const CONVERSION_STEPS_MAX: usize = 4;

/// Levels a side that the imbalance strategy may sum at each update of a book; each costs a search of the
/// book's bitmap. A configuration that asks for more is refused.
pub const IMBALANCE_LEVELS_MAX: u32 = 20;
