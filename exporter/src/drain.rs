//! The consumer of everything that the core sends: rings, and histograms by swap.
//!
//! Owns: [`Drain`], which is stepped every millisecond or faster. Does not: serve HTTP, sleep, read a
//! clock. Invariants: one step empties the rings and is bounded by their sizes; record numbers rise by
//! one, and where they do not the hole is logged; the core is never waited for.

pub mod record_log;

use crate::analytics::{Analysis, EquityFeed};
use crate::audit::engine::EngineRecords;
use crate::audit::fills::FillRecords;
use crate::exposition::Exemplar;
use crate::health::{AccountHealth, Health, Heartbeat, Reported};
use crate::latency::LatencyTotals;
use crate::published::{LastTrade, Published, Rings, Shared};
use crate::status::{self, Rates, Slowest};
use crate::stream::Hub;
use crate::stream::market::MarketEvents;
use crate::stream::trading::{Looks, TradingEvents};
use crate::traces::orders::OrderSpans;
use crate::traces::{MarketSpan, Spans, Times};
use crate::trading::{OrderLine, TradingView};
use crate::wall::UnixMs;
use record_log::RecordLog;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use veloz_core::event::LinkRole;
use veloz_core::instrument::Instruments;
use veloz_core::order::{ClientId, OrderState, Side};
use veloz_core::telemetry::TelemetryReader;
use veloz_core::telemetry::counters::{Counter, CounterReader, InstrumentCounter, MessageKind};
use veloz_core::telemetry::gauges::GaugeReader;
use veloz_core::telemetry::histograms::{HistogramReader, Stage};
use veloz_core::telemetry::records::{Record, RecordBody, RecordReader};
use veloz_core::telemetry::samples::{Sample, SampleReader};
use veloz_core::units::{E8_ONE, Nanos};
use veloz_core::venue::binance;

/// How often the drain looks at the rings: a record is at most this old when it is seen.
pub const DRAIN_EVERY: std::time::Duration = std::time::Duration::from_millis(1);

/// How often histograms are swapped and results published. The swap costs the core a microsecond and
/// the page is scraped every few seconds.
const PUBLISH_EVERY: Nanos = Nanos::from_ms(200);

/// The length of the window behind rates and `last_second`.
const WINDOW: Nanos = Nanos::from_secs(1);

/// The sidecar's end of all rings.
pub struct Drain {
    records: RecordReader,
    samples: SampleReader,
    histograms: HistogramReader,
    counters: CounterReader,
    gauges: GaugeReader,
    instruments: Arc<Instruments>,
    heartbeat_age_max: Nanos,
    log: RecordLog,
    events: MarketEvents,
    trading: TradingView,
    spans: Spans,
    totals: LatencyTotals,
    next_sequence: u64,
    published: Published,
    shared: Shared,
    publish_at: Nanos,
    window_from: Nanos,
    at_window_start: Counts,
    /// Of the current window: changes of a touch, and the slowest message.
    touches: u64,
    slowest: Option<Slowest>,
    /// Where what must outlive the process is kept.
    keeper: Option<SyncSender<Record>>,
    /// How it is with what is kept there.
    state: Option<Reported>,
    equity: EquityFeed,
    /// Makes audit records of fills, where any are kept.
    fills: Option<FillRecords>,
    /// The same of what the engine met and did by itself.
    acts: Option<EngineRecords>,
    orders: OrderSpans,
    order_events: TradingEvents,
    unix_ns_at_zero: i64,
}

/// What a drain is told.
pub struct DrainConfig {
    /// The venue's label.
    pub exchange: &'static str,
    /// From which age on the core's heartbeat means that it stands still.
    pub heartbeat_age_max: Nanos,
    /// Gets every record that must outlive the process.
    pub keeper: Option<SyncSender<Record>>,
    /// How it is with the state that it keeps.
    pub state: Option<Reported>,
    /// Where events go.
    pub hub: Hub,
    /// Where spans go.
    pub spans: Spans,
    /// Follows the account's equity.
    pub equity: EquityFeed,
    /// Makes audit records of fills; `None` where none are kept.
    pub fills: Option<FillRecords>,
    /// The same of what the engine met and did by itself.
    pub acts: Option<EngineRecords>,
    /// The strategy's label; `none` without one.
    pub strategy: &'static str,
}

/// Counts whose growth over a window is a rate.
#[derive(Clone, Debug, Default)]
struct Counts {
    rates: Rates,
    instruments: Vec<u64>,
}

impl Counts {
    fn read(counters: &CounterReader, instruments: &Instruments) -> Self {
        let messages = |kinds: &[MessageKind]| -> u64 {
            kinds.iter().map(|&kind| counters.messages(kind)).sum()
        };
        Self {
            rates: Rates {
                messages: messages(&MessageKind::ALL),
                bytes: counters.plain(Counter::BytesReceived),
                trades: messages(&[MessageKind::Trade, MessageKind::AggTrade]),
                touches: 0,
                turns: counters.plain(Counter::LoopTurns),
            },
            instruments: instruments
                .iter()
                .map(|(index, _)| counters.instrument(index, InstrumentCounter::Messages))
                .collect(),
        }
    }
}

impl Drain {
    /// A drain of `reader`'s rings; what it finds lies in the place returned beside it.
    pub fn new(
        reader: TelemetryReader,
        instruments: Arc<Instruments>,
        config: DrainConfig,
    ) -> (Self, Shared) {
        let DrainConfig {
            exchange,
            heartbeat_age_max,
            keeper,
            state,
            hub,
            spans,
            equity,
            fills,
            acts,
            strategy,
        } = config;
        let published = Published::new(instruments.count());
        let rings = Rings {
            records: reader.records.occupancy(),
            samples: reader.samples.occupancy(),
        };
        let shared = Shared::beside(published.clone(), rings);
        let assets = Arc::new(binance::assets(&instruments));
        let drain = Self {
            records: reader.records,
            samples: reader.samples,
            histograms: reader.histograms,
            at_window_start: Counts::read(&reader.counters, &instruments),
            counters: reader.counters,
            gauges: reader.gauges,
            log: RecordLog::new(exchange, Arc::clone(&instruments), Arc::clone(&assets)),
            events: MarketEvents::new(hub.clone(), exchange, Arc::clone(&instruments)),
            order_events: TradingEvents::new(hub, Arc::clone(&instruments), strategy),
            orders: OrderSpans::new(spans.clone(), exchange, strategy, Arc::clone(&instruments)),
            equity,
            fills,
            acts,
            state,
            unix_ns_at_zero: 0,
            trading: TradingView::new(Arc::clone(&instruments), assets),
            spans,
            instruments,
            heartbeat_age_max,
            totals: LatencyTotals::default(),
            next_sequence: 0,
            published,
            shared: shared.clone(),
            publish_at: Nanos::ZERO,
            window_from: Nanos::ZERO,
            touches: 0,
            slowest: None,
            keeper,
        };
        (drain, shared)
    }

    /// Says what Unix time it was, in nanoseconds, when the engine's clock read zero.
    pub fn set_wall_clock(&mut self, unix_ns_at_zero: i64) {
        self.events.set_wall_clock(unix_ns_at_zero);
        self.unix_ns_at_zero = unix_ns_at_zero;
        self.trading.set_wall_clock(unix_ns_at_zero);
        self.order_events.set_wall_clock(unix_ns_at_zero);
        self.spans.set_wall_clock(unix_ns_at_zero);
    }

    /// The read model of trading that this drain feeds.
    pub fn trading(&self) -> TradingView {
        self.trading.clone()
    }

    /// Empties the rings as they stand, and publishes when it is time. Returns how many elements it took.
    pub fn step(&mut self, now: Nanos) -> usize {
        let records = self.records.waiting();
        let samples = self.samples.waiting();
        for _ in 0..records {
            match self.records.pop() {
                Some(record) => self.record(now, &record),
                None => break,
            }
        }
        for _ in 0..samples {
            match self.samples.pop() {
                Some(sample) => self.sample(&sample),
                None => break,
            }
        }
        self.events.step(now);
        let unix_ns_at_zero = self.unix_ns_at_zero;
        self.orders.flush(|exemplar| {
            self.published.order_exemplars.note(Exemplar {
                trace: exemplar.trace,
                value: exemplar.took.0,
                unix_ms: unix_ms(unix_ns_at_zero, exemplar.at),
            });
        });
        self.order_events.step(
            now,
            &Looks {
                view: &self.trading,
                gauges: &self.gauges,
                counters: &self.counters,
                decisions: &self.published.latencies[Stage::BookToDecided.index()],
            },
        );
        for (line, found) in [
            (&mut self.published.records, records),
            (&mut self.published.samples, samples),
        ] {
            line.used_max = line.used_max.max(found as u64);
        }
        if now >= self.publish_at {
            self.publish_at = now.plus(PUBLISH_EVERY);
            self.publish(now);
        }
        records + samples
    }

    /// Takes what is left after the core has stopped: everything in the rings, and the last histograms
    /// if the core handed them over.
    pub fn finish(&mut self, now: Nanos) {
        self.publish_at = Nanos::ZERO;
        self.step(now);
        self.log.end_window();
        self.published.log_lines_suppressed = self.log.suppressed();
        self.shared.write(&self.published);
    }

    fn record(&mut self, now: Nanos, record: &Record) {
        if record.sequence != self.next_sequence {
            self.log.hole(self.next_sequence, record.sequence);
            if let Some(acts) = &mut self.acts {
                let at = UnixMs(unix_ms(self.unix_ns_at_zero, now));
                acts.hole(self.next_sequence, record.sequence, at);
            }
        }
        self.next_sequence = record.sequence + 1;
        if let RecordBody::EngineState { to, .. } = record.body {
            self.published.engine = Some(to);
        }
        if must_be_kept(&record.body)
            && let Some(keeper) = &self.keeper
        {
            // A thread that saves slower than trading states change has a disk that does not answer; it tells so.
            let _ = keeper.try_send(*record);
        }
        self.events.record(record);
        let told = self.trading.record(record);
        if let (Some(fills), Some(fill)) = (&self.fills, &told.fill) {
            fills.record(fill);
        }
        if let Some(acts) = &mut self.acts {
            let at = unix_ms(self.unix_ns_at_zero, record.at);
            acts.record(&record.body, UnixMs(at));
        }
        self.order_events.record(record, &told);
        self.orders.record(record, &told);
        // Lines about an order carry its trace, as those of a request do, and what the record alone does not know.
        let place = self.orders.trace_of(&record.body);
        let _around = (place.is_some() || told.order.is_some()).then(|| {
            let order = told.order.as_ref();
            // The alias follows the admission, but who asked named it already.
            let client_id = order
                .and_then(|order| order.client_id)
                .or_else(|| told.asked.as_ref().and_then(|asked| asked.client_id));
            tracing::error_span!(
                "order",
                trace_id = place.map(|(trace, _)| tracing::field::display(trace)),
                span_id = place.map(|(_, span)| tracing::field::display(span)),
                client_order_id = client_id.as_ref().map(ClientId::as_str),
                side = order.and_then(|order| order.side).map(Side::label),
                latency_ms = order.and_then(|order| answer_ms(&record.body, order)),
            )
            .entered()
        });
        self.log.record(now, record);
    }

    fn sample(&mut self, sample: &Sample) {
        self.events.sample(sample);
        match *sample {
            Sample::Trade {
                instrument,
                at,
                price,
                qty,
                ..
            } => {
                let last = LastTrade { at, price, qty };
                self.published.last_trades[instrument.as_usize()] = Some(last);
            }
            // What the touch is now is read from the gauges; here its changes are counted.
            Sample::TopOfBook { .. } => self.touches += 1,
            Sample::Order {
                order,
                decided,
                admitted,
                encoded,
            } => self.orders.stamped(order, decided, admitted, encoded),
            Sample::OrdersSent { sent } => self.orders.sent(sent),
            Sample::Stages {
                instrument,
                recv,
                decoded,
                book,
            } => {
                let message = Slowest {
                    instrument,
                    decode_ns: decoded.since(recv).0,
                    book_ns: book.since(decoded).0,
                };
                if self.spans.wanted() {
                    let span = MarketSpan {
                        times: Times {
                            start: recv,
                            end: book,
                        },
                        // Only messages that change a book have these stamps.
                        event_type: "depth",
                        symbol: self.instruments.get(instrument).symbol.as_str(),
                    };
                    self.spans.market(&self.spans.open(None), &span);
                }
                let slowest = self.slowest.get_or_insert(message);
                if message.total_ns() > slowest.total_ns() {
                    *slowest = message;
                }
            }
        }
    }

    fn publish(&mut self, now: Nanos) {
        let totals = &mut self.totals;
        self.histograms.take(|set| totals.add(set));
        self.histograms.request();
        let window_ends = now.since(self.window_from) >= WINDOW;
        for stage in Stage::ALL {
            let position = stage.index();
            self.published.latencies[position] = self.totals.buckets(stage);
            if window_ends {
                self.published.last_second[position] = self.totals.end_window(stage);
                self.published.since_start[position] = self.totals.since_start(stage);
            }
        }
        if window_ends {
            self.end_rates(now);
            self.log.end_window();
        }
        if !self.published.was_ready {
            let heartbeat = self.gauges.heartbeat();
            let heartbeat = Heartbeat::judge(now, heartbeat, self.heartbeat_age_max);
            let books = status::books(&self.instruments, &self.counters, &self.gauges, now);
            let links = self.gauges.links_up(LinkRole::Market);
            let account = AccountHealth::read(&self.gauges);
            let health = Health::judge(
                heartbeat,
                links,
                &books,
                account.as_ref(),
                self.state.as_ref(),
            );
            self.published.was_ready = health.is_ready();
        }
        if let (Some(acts), Some(state)) = (&mut self.acts, &self.state) {
            let at = unix_ms(self.unix_ns_at_zero, now);
            acts.saved(state.reason(), UnixMs(at));
        }
        self.analyse(now);
        self.published.log_lines_suppressed = self.log.suppressed();
        self.shared.write(&self.published);
    }

    /// Follows the account's equity, and judges it and its positions.
    fn analyse(&mut self, now: Nanos) {
        // One that the core stands still in the middle of publishing comes with the next publication.
        let Some(account) = self.gauges.account() else {
            return;
        };
        self.equity
            .step(&account, unix_ms(self.unix_ns_at_zero, now));
        let notionals: Vec<f64> = self
            .instruments
            .iter()
            .filter_map(|(index, _)| self.gauges.position(index)?.marked)
            .map(|marked| marked.notional.0 as f64 / E8_ONE as f64)
            .collect();
        self.published.analysis = Analysis::of(self.equity.recorder(), &notionals);
    }

    fn end_rates(&mut self, now: Nanos) {
        let counts = Counts::read(&self.counters, &self.instruments);
        let before = &self.at_window_start;
        let elapsed = now.since(self.window_from).0.max(1);
        let rate = |now: u64, before: u64| {
            let grown = u128::from(now.wrapping_sub(before));
            (grown * u128::from(WINDOW.0) / u128::from(elapsed)) as u64
        };
        let per_second = |of: fn(&Rates) -> u64| rate(of(&counts.rates), of(&before.rates));
        self.published.rates = Rates {
            messages: per_second(|rates| rates.messages),
            bytes: per_second(|rates| rates.bytes),
            trades: per_second(|rates| rates.trades),
            touches: rate(self.touches, 0),
            turns: per_second(|rates| rates.turns),
        };
        for (position, published) in self.published.messages_per_second.iter_mut().enumerate() {
            *published = rate(counts.instruments[position], before.instruments[position]);
        }
        self.published.slowest = self.slowest.take();
        self.touches = 0;
        self.at_window_start = counts;
        self.window_from = now;
    }
}

/// A moment of the engine's clock in Unix time.
/// From its admission to the venue's first word on an order, when a record tells of that.
fn answer_ms(body: &RecordBody, order: &OrderLine) -> Option<f64> {
    let RecordBody::OrderState {
        from: OrderState::Sent,
        ..
    } = body
    else {
        return None;
    };
    let ns = order.last_ts_ns.checked_sub(order.created_ns)?;
    (ns >= 0).then_some(ns as f64 / 1e6)
}

fn unix_ms(unix_ns_at_zero: i64, at: Nanos) -> u64 {
    let unix_ns = i128::from(unix_ns_at_zero) + i128::from(at.0);
    u64::try_from(unix_ns / 1_000_000).unwrap_or(0)
}

/// Whether a record says something that must outlive the process.
const fn must_be_kept(body: &RecordBody) -> bool {
    matches!(
        body,
        RecordBody::KillSwitch { .. }
            | RecordBody::Baseline { .. }
            | RecordBody::Fill { .. }
            | RecordBody::TradesKnown { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analytics::{EquityRecorder, FlowMeter};
    use crate::testing::{INSTRUMENTS, instruments};
    use crate::traces::Traces;
    use crate::traces::tests::collecting;
    use veloz_core::event::Token;
    use veloz_core::instrument::InstrumentIndex;
    use veloz_core::limits::RECORDS_HEADROOM;
    use veloz_core::order::{OrderId, OrderKind, OrderState, Origin, TimeInForce};
    use veloz_core::telemetry::gauges::{BookGauges, Touch};
    use veloz_core::telemetry::records::EngineState;
    use veloz_core::telemetry::{Sizes, Telemetry, telemetry};
    use veloz_core::units::{Lots, Ticks, VenueMillis};

    fn pair() -> (Telemetry, Drain, Shared) {
        pair_with(Traces::none().spans())
    }

    fn pair_with(spans: Spans) -> (Telemetry, Drain, Shared) {
        let sizes = Sizes {
            records: RECORDS_HEADROOM.next_power_of_two() * 2,
            samples: 8,
        };
        let (core, reader) = telemetry(INSTRUMENTS, sizes);
        let (drain, shared) = Drain::new(
            reader,
            Arc::new(instruments()),
            DrainConfig {
                exchange: "binance",
                heartbeat_age_max: Nanos::from_secs(1),
                keeper: None,
                state: None,
                hub: Hub::new(UnixMs(0)),
                spans,
                equity: EquityFeed::new(EquityRecorder::new(1), FlowMeter::default()),
                fills: None,
                acts: None,
                strategy: "none",
            },
        );
        (core, drain, shared)
    }

    fn trade(price: i64) -> Sample {
        Sample::Trade {
            instrument: InstrumentIndex(1),
            at: Nanos(1),
            venue_time: VenueMillis(1),
            trade_id: 1,
            price: Ticks(price),
            qty: Lots(2),
            buyer_is_maker: false,
        }
    }

    /// Collects lines of this thread.
    #[derive(Clone, Default)]
    struct Lines(Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("one thread").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// Lines about orders while `run` runs, with what stands around them.
    fn order_lines(run: impl FnOnce()) -> Vec<serde_json::Value> {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, run);
        let bytes = lines.0.lock().expect("one thread").clone();
        let text = String::from_utf8(bytes).expect("UTF-8");
        text.lines()
            .map(|line| serde_json::from_str(line).expect("a JSON line"))
            .filter(|line: &serde_json::Value| line["order_id"].is_string())
            .collect()
    }

    /// An order that the venue takes: three records.
    fn tell_an_order(core: &mut Telemetry) {
        let order = OrderId {
            run: 7,
            sequence: 1,
        };
        let state = |from, to, venue_order_id| RecordBody::OrderState {
            order,
            instrument: InstrumentIndex(0),
            from,
            to,
            venue_order_id,
            executed: Lots(0),
            qty: Lots(10),
        };
        let admitted = RecordBody::OrderAdmitted {
            order,
            instrument: InstrumentIndex(0),
            side: Side::Sell,
            kind: OrderKind::Limit,
            time_in_force: TimeInForce::Gtc,
            origin: Origin::Operator,
            price: Ticks(6_000_000),
            qty: Lots(10),
            token: Token(0),
        };
        core.records.push(Nanos(1_000_000), admitted);
        core.records.push(
            Nanos(2_000_000),
            state(OrderState::Admitted, OrderState::Sent, 0),
        );
        core.records.push(
            Nanos(5_000_000),
            state(OrderState::Sent, OrderState::Live, 99),
        );
    }

    #[test]
    fn lines_about_a_traced_order_carry_its_trace_its_span_and_its_side() {
        let (spans, _collected) = collecting();
        let (mut core, mut drain, _shared) = pair_with(spans);
        tell_an_order(&mut core);
        let lines = order_lines(|| {
            drain.step(Nanos(6_000_000));
        });
        assert_eq!(lines.len(), 3, "{lines:?}");
        let around = &lines[0]["span"];
        let ids = (&around["trace_id"], &around["span_id"]);
        for (id, digits) in [(ids.0, 32), (ids.1, 16)] {
            let text = id.as_str().expect("a text");
            let hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
            assert!(hex && text.len() == digits, "{id}");
        }
        for line in &lines {
            let around = &line["span"];
            assert_eq!((&around["trace_id"], &around["span_id"]), ids, "{line}");
            assert_eq!(around["side"], Side::Sell.label(), "{line}");
        }
    }

    #[test]
    fn lines_about_an_order_that_nobody_traces_have_no_trace() {
        let (mut core, mut drain, _shared) = pair();
        tell_an_order(&mut core);
        let lines = order_lines(|| {
            drain.step(Nanos(6_000_000));
        });
        assert_eq!(lines.len(), 3, "{lines:?}");
        for line in &lines {
            let around = &line["span"];
            assert!(around["trace_id"].is_null() && around["span_id"].is_null());
            assert_eq!(around["side"], Side::Sell.label(), "{line}");
        }
    }

    #[test]
    fn rings_are_emptied_and_their_use_is_told() {
        let (mut core, mut drain, shared) = pair();
        core.records.push(
            Nanos(1),
            RecordBody::EngineState {
                from: EngineState::Starting,
                to: EngineState::Ready,
            },
        );
        for price in 0..10 {
            core.samples.push(trade(price));
        }
        assert_eq!(drain.step(Nanos(1)), 9);
        assert_eq!(drain.step(Nanos::from_secs(1)), 0);
        let published = shared.read();
        assert_eq!(published.engine, Some(EngineState::Ready));
        let last = LastTrade {
            at: Nanos(1),
            price: Ticks(7),
            qty: Lots(2),
        };
        assert_eq!(published.last_trades, [None, Some(last)]);
        let samples = published.samples;
        assert_eq!((samples.used, samples.used_max), (0, 8));
        assert_eq!((samples.taken, samples.lost), (8, 2));
        assert_eq!((published.records.taken, published.records.lost), (1, 0));
    }

    #[test]
    fn what_waits_is_told_while_the_drain_stands_still() {
        let (mut core, mut drain, shared) = pair();
        drain.step(Nanos(1));
        let body = RecordBody::Shutdown { links_closed: 0 };
        for _ in 0..3 {
            core.records.push(Nanos(1), body);
        }
        for price in 0..10 {
            core.samples.push(trade(price));
        }
        let seen = shared.read();
        assert_eq!((seen.records.used, seen.records.taken), (3, 0));
        let samples = seen.samples;
        assert_eq!((samples.used, samples.used_max, samples.lost), (8, 8, 2));
        assert_eq!((samples.capacity, samples.taken), (8, 0));

        drain.step(Nanos::from_secs(1));
        let seen = shared.read();
        assert_eq!((seen.records.used, seen.records.used_max), (0, 3));
        assert_eq!((seen.samples.used, seen.samples.taken), (0, 8));
    }

    #[test]
    fn histograms_arrive_one_publication_after_they_were_asked_for() {
        let (mut core, mut drain, shared) = pair();
        core.histograms
            .record(Stage::LoopTurn, Nanos::ZERO, Nanos(700));
        drain.step(Nanos(1));
        core.histograms.swap();
        drain.step(PUBLISH_EVERY.plus(Nanos(1)));
        let published = shared.read();
        assert_eq!(published.latencies[Stage::LoopTurn.index()].count(), 1);
        assert_eq!(published.latencies[Stage::LoopTurn.index()].sum_ns, 700);

        drain.step(WINDOW.plus(Nanos(1)));
        let published = shared.read();
        assert_eq!(published.last_second[Stage::LoopTurn.index()].max_ns, 700);
        drain.step(WINDOW.plus(WINDOW).plus(Nanos(1)));
        let published = shared.read();
        assert_eq!(published.last_second[Stage::LoopTurn.index()].count, 0);
        assert_eq!(published.since_start[Stage::LoopTurn.index()].count, 1);
    }

    #[test]
    fn rates_are_per_second_even_when_the_drain_comes_late() {
        let (mut core, mut drain, shared) = pair();
        drain.step(Nanos::from_secs(1));
        for _ in 0..300 {
            core.counters.message(MessageKind::Trade);
            core.counters
                .instrument(InstrumentIndex(0), InstrumentCounter::Messages);
        }
        core.counters.add(Counter::BytesReceived, 30_000);
        drain.step(Nanos::from_secs(4));
        let published = shared.read();
        assert_eq!(published.rates.messages, 100);
        assert_eq!(published.rates.trades, 100);
        assert_eq!(published.rates.bytes, 10_000);
        assert_eq!(published.messages_per_second, [100, 0]);
    }

    #[test]
    fn touches_are_counted_and_the_slowest_message_is_kept_for_its_second() {
        let (mut core, mut drain, shared) = pair();
        for (decode, book) in [(500, 100), (300, 900), (1_000, 50)] {
            core.samples.push(Sample::Stages {
                instrument: InstrumentIndex(1),
                recv: Nanos(7),
                decoded: Nanos(7 + decode),
                book: Nanos(7 + decode + book),
            });
            core.samples.push(Sample::TopOfBook {
                instrument: InstrumentIndex(0),
                at: Nanos(7),
                bid: None,
                ask: None,
            });
        }
        drain.step(WINDOW);
        let slowest = shared.read().slowest.expect("messages came");
        assert_eq!((slowest.decode_ns, slowest.book_ns), (300, 900));
        assert_eq!(shared.read().rates.touches, 3);
        drain.step(WINDOW.plus(WINDOW));
        assert_eq!(shared.read().slowest, None);
        assert_eq!(shared.read().rates.touches, 0);
    }

    #[test]
    fn readiness_latches_once_every_book_was_live() {
        let (mut core, mut drain, shared) = pair();
        let second = Nanos::from_secs(1);
        core.gauges.heartbeat(second);
        core.gauges.links_up(LinkRole::Market, 1);
        drain.step(second);
        assert!(!shared.read().was_ready);

        let touch = Touch {
            bid: None,
            ask: None,
        };
        for index in 0..INSTRUMENTS as u16 {
            let book = BookGauges::live(touch, 1, second);
            core.gauges.book(InstrumentIndex(index), book);
        }
        drain.step(second.plus(PUBLISH_EVERY));
        assert!(shared.read().was_ready);
        core.gauges.links_up(LinkRole::Market, 0);
        drain.step(second.plus(second));
        assert!(shared.read().was_ready);
    }

    #[test]
    fn a_loss_is_told_at_the_end() {
        let (mut core, mut drain, shared) = pair();
        let body = RecordBody::Shutdown { links_closed: 0 };
        let size = RECORDS_HEADROOM.next_power_of_two() * 2;
        for _ in 0..size + 5 {
            core.records.push(Nanos::ZERO, body);
        }
        drain.step(Nanos(1));
        core.records.push(Nanos::ZERO, body);
        drain.finish(Nanos(2));
        let records = shared.read().records;
        assert_eq!((records.taken, records.lost), (size as u64 + 1, 5));
        assert_eq!(drain.next_sequence, size as u64 + 6);
    }
}
