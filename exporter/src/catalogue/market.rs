//! Market data: what arrives, books, and the connections to the venue.

use super::{Metric, counter, gauge, histogram, of_instruments, role_label};
use veloz_core::event::{LinkDown, LinkRole};
use veloz_core::telemetry::counters::{Counter, InstrumentCounter, MessageKind};
use veloz_core::telemetry::histograms::{BUCKET_BOUNDS_NS, Stage};
use veloz_core::telemetry::records::{BookState, ResyncCause};
use veloz_core::venue::binance::fault::VenueFault;
use veloz_core::venue::binance::order_entry::RequestKind;
use veloz_core::venue::binance::order_error::ErrorKind;

/// Kinds that move prices or levels: all but answers to requests.
const MARKET_KINDS: [MessageKind; 6] = [
    MessageKind::DepthDiff,
    MessageKind::DepthPartial,
    MessageKind::DepthSnapshot,
    MessageKind::BookTicker,
    MessageKind::Trade,
    MessageKind::AggTrade,
];

/// Kinds that hold price levels.
const LEVEL_KINDS: [MessageKind; 3] = [
    MessageKind::DepthDiff,
    MessageKind::DepthPartial,
    MessageKind::DepthSnapshot,
];

/// Faults that are the venue's answer, or missing answer, to a request of ours.
const API_FAULTS: [VenueFault; 9] = [
    VenueFault::ReplyTimeout,
    VenueFault::SubscribeRefused,
    VenueFault::RequestRefused,
    VenueFault::RateLimited,
    VenueFault::Banned,
    VenueFault::OutcomeUnknown,
    VenueFault::ClockRefused,
    VenueFault::SessionRevoked,
    VenueFault::CredentialsRefused,
];

/// Refusals of requests about orders that are no fault: trading meets them every day.
const API_REFUSALS: [ErrorKind; 2] = [ErrorKind::Rejected, ErrorKind::UnknownOrder];

/// Methods of the venue and the stages that are their round trips. A subscription with a signature counts as one.
const API_STAGES: [(&str, Stage); 12] = [
    ("depth", Stage::SnapshotRoundTrip),
    (RequestKind::LogOn.label(), Stage::LogOnRoundTrip),
    (RequestKind::Subscribe.label(), Stage::SubscribeRoundTrip),
    (RequestKind::Place.label(), Stage::OrderAck),
    (RequestKind::Cancel.label(), Stage::CancelRoundTrip),
    (RequestKind::CancelReplace.label(), Stage::ReplaceRoundTrip),
    (RequestKind::Amend.label(), Stage::AmendRoundTrip),
    (RequestKind::Status.label(), Stage::OrderStatusRoundTrip),
    (RequestKind::OpenOrders.label(), Stage::OpenOrdersRoundTrip),
    (RequestKind::Trades.label(), Stage::TradesRoundTrip),
    (RequestKind::Account.label(), Stage::AccountRoundTrip),
    (
        RequestKind::OrderCounts.label(),
        Stage::OrderCountsRoundTrip,
    ),
];

/// What arrives, and what requests come to.
pub(super) static MARKET: &[Metric] = &[
    // Market data.
    counter(
        "veloz_market_updates_total",
        &["type"],
        "Market-data messages received.",
        |from, samples| {
            for kind in MARKET_KINDS {
                samples.value(&[kind.label()], from.counters.messages(kind));
            }
        },
    ),
    counter(
        "veloz_orderbook_updates_total",
        &[],
        "Messages with price levels received.",
        |from, samples| samples.value(&[], from.messages(&LEVEL_KINDS)),
    ),
    counter(
        "veloz_trade_updates_total",
        &[],
        "Trade messages received, single and aggregated.",
        |from, samples| {
            let trades = [MessageKind::Trade, MessageKind::AggTrade];
            samples.value(&[], from.messages(&trades));
        },
    ),
    gauge(
        "veloz_market_data_lag_ms",
        &[],
        "Receive time minus the venue's event time, clock offset taken out: the worst live book's; NaN while none is live.",
        |from, samples| {
            let worst = from
                .instruments
                .iter()
                .filter_map(|(index, _)| from.gauges.book(index)?.lag_ns())
                .max();
            let milliseconds = worst.map_or(f64::NAN, |ns| ns as f64 / 1e6);
            samples.value(&[], milliseconds);
        },
    )
    .milliseconds(),
    histogram(
        "veloz_market_processing_latency_seconds",
        &BUCKET_BOUNDS_NS,
        &[],
        "Bytes of a market-data message in user space to the updated book.",
        |from, samples| from.latency(samples, &[], Stage::RecvToBook),
    ),
    // Exchange connectivity.
    histogram(
        "veloz_exchange_api_latency_seconds",
        &BUCKET_BOUNDS_NS,
        &["exchange", "endpoint"],
        "Request to answer, by API method.",
        |from, samples| {
            for (method, stage) in API_STAGES {
                from.latency(samples, &[from.exchange, method], stage);
            }
        },
    ),
    counter(
        "veloz_exchange_api_errors_total",
        &["exchange", "error_type"],
        "Requests that the exchange refused or did not answer.",
        |from, samples| {
            for fault in API_FAULTS {
                let count = from.counters.faults(fault as u8);
                samples.value(&[from.exchange, fault.label()], count);
            }
            for refusal in API_REFUSALS {
                let count = from.counters.order_error(refusal as u8);
                samples.value(&[from.exchange, refusal.label()], count);
            }
            let lost = from.counters.plain(Counter::OrderRepliesLost);
            samples.value(&[from.exchange, "order_reply_timeout"], lost);
        },
    ),
    counter(
        "veloz_websocket_reconnects_total",
        &["exchange"],
        "Connections replaced, planned rotation included.",
        |from, samples| {
            samples.value(&[from.exchange], from.counters.plain(Counter::Reconnects));
        },
    ),
];

/// Books, and connections.
pub(super) static BOOKS: &[Metric] = &[
    // Books.
    gauge(
        "veloz_orderbook_state",
        &["symbol", "state"],
        "1 for the state that the book is in, 0 for the others.",
        |from, samples| {
            for (index, instrument) in from.instruments.iter() {
                let Some(book) = from.gauges.book(index) else {
                    continue;
                };
                for state in BookState::ALL {
                    let labels = [instrument.symbol.as_str(), state.label()];
                    samples.value(&labels, book.state() == state);
                }
            }
        },
    ),
    gauge(
        "veloz_orderbook_levels",
        &["symbol", "side"],
        "Price levels held.",
        |from, samples| {
            for (index, instrument) in from.instruments.iter() {
                let Some(book) = from.gauges.book(index) else {
                    continue;
                };
                let (bids, asks) = book.level_counts();
                samples.value(&[instrument.symbol.as_str(), "bid"], u64::from(bids));
                samples.value(&[instrument.symbol.as_str(), "ask"], u64::from(asks));
            }
        },
    ),
    gauge(
        "veloz_orderbook_lag_seconds",
        &["symbol"],
        "Receive time minus the venue's event time, clock offset taken out, of a live book's last update.",
        |from, samples| {
            for (index, instrument) in from.instruments.iter() {
                if let Some(ns) = from.gauges.book(index).and_then(|book| book.lag_ns()) {
                    samples.value(&[instrument.symbol.as_str()], ns as f64 / 1e9);
                }
            }
        },
    )
    .seconds(),
    counter(
        "veloz_orderbook_messages_total",
        &["symbol"],
        "Market-data messages received.",
        |from, samples| of_instruments(from, samples, InstrumentCounter::Messages),
    ),
    counter(
        "veloz_orderbook_resyncs_total",
        &["symbol"],
        "Times that the book was rebuilt.",
        |from, samples| of_instruments(from, samples, InstrumentCounter::Resyncs),
    ),
    counter(
        "veloz_orderbook_gaps_total",
        &["symbol"],
        "Holes found in the update ids.",
        |from, samples| of_instruments(from, samples, InstrumentCounter::Gaps),
    ),
    counter(
        "veloz_orderbook_resync_causes_total",
        &["cause"],
        "Why books were rebuilt.",
        |from, samples| {
            for cause in ResyncCause::ALL {
                samples.value(&[cause.label()], from.counters.resyncs(cause));
            }
        },
    ),
    // Venue and connections.
    counter(
        "veloz_venue_faults_total",
        &["exchange", "kind", "answer"],
        "Faults in what the venue sent, and what the engine does about each kind.",
        |from, samples| {
            for fault in VenueFault::ALL {
                let labels = [from.exchange, fault.label(), fault.response().label()];
                samples.value(&labels, from.counters.faults(fault as u8));
            }
        },
    ),
    gauge(
        "veloz_links_up",
        &["role"],
        "Websocket connections that are up, by purpose.",
        |from, samples| {
            for role in LinkRole::ALL {
                samples.value(&[role_label(role)], from.gauges.links_up(role));
            }
        },
    ),
    counter(
        "veloz_link_downs_total",
        &["cause"],
        "Connections that ended or did not come up.",
        |from, samples| {
            for cause in LinkDown::ALL {
                samples.value(&[cause.label()], from.counters.link_downs(cause));
            }
        },
    ),
    counter(
        "veloz_websocket_received_bytes_total",
        &[],
        "Bytes received, after TLS.",
        |from, samples| samples.value(&[], from.counters.plain(Counter::BytesReceived)),
    )
    .bytes(),
    counter(
        "veloz_websocket_sent_bytes_total",
        &[],
        "Bytes sent, before TLS.",
        |from, samples| samples.value(&[], from.counters.plain(Counter::BytesSent)),
    )
    .bytes(),
    counter(
        "veloz_tolerant_parses_total",
        &[],
        "Messages that the fast scanner handed to the tolerant parser.",
        |from, samples| samples.value(&[], from.counters.plain(Counter::TolerantParses)),
    ),
    counter(
        "veloz_ignored_messages_total",
        &[],
        "Messages of types that the engine does not know or want.",
        |from, samples| samples.value(&[], from.counters.plain(Counter::Ignored)),
    ),
    counter(
        "veloz_control_messages_total",
        &[],
        "Answers to requests, without market data.",
        |from, samples| samples.value(&[], from.messages(&[MessageKind::Control])),
    ),
    gauge(
        "veloz_venue_clock_offset_seconds",
        &[],
        "The venue's clock minus ours; NaN until it was measured.",
        |from, samples| {
            let ns = from.gauges.venue_clock_offset_ns();
            samples.value(&[], ns.map_or(f64::NAN, |ns| ns as f64 / 1e9));
        },
    )
    .seconds(),
];
