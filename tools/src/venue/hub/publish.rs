//! From market events to frames in the subscribers' queues, with faults on the way.
//!
//! Owns: which stream an event belongs to, who gets it, and what faults make of it. Does not:
//! decide when faults fire. Invariant: a text is made once for each kind of connection, and only
//! if somebody subscribed; a recorded frame without a fault leaves as the bytes that it was.

use std::collections::BTreeSet;

use bytes::Bytes;
use veloz_core::units::E8;

use super::super::connection::{Out, Surface};
use super::super::faults::{self, Applies, Fault, HUGE_EVENT_LEVELS};
use super::super::render::{self, TimeUnit};
use super::super::source::{DepthSpeed, Level, MarketEvent, Published, SymbolIndex, VenueMicros};
use super::super::streams::PARTIAL_LEVELS;
use super::{ConnectionId, Hub};

/// How far above the best ask a crossing bid stands, in ticks.
const CROSSING_TICKS: i64 = 10;

/// Text of an event before it is fitted to a connection.
enum Body<'a> {
    /// Made for a time unit.
    Rendered(&'a dyn Fn(TimeUnit) -> String),
    /// A combined frame as it was recorded, and the payload inside.
    Recorded { frame: &'a Bytes, payload: &'a [u8] },
}

impl Hub {
    /// Sends one market event to everyone who subscribed to it.
    pub(super) fn publish(&mut self, now: VenueMicros, published: &Published) {
        let Published { at, symbol, event } = published;
        // Shared, not copied: they outlive the borrow of the hub below.
        let (specs, all_names) = (self.specs.clone(), self.names.clone());
        let name = specs[symbol.0].symbol.as_str();
        let names = &all_names[symbol.0];
        match event {
            MarketEvent::Depth {
                speed,
                first_id,
                last_id,
                bids,
                asks,
            } => {
                if *speed == DepthSpeed::Ms100 {
                    self.remember(*symbol, Some(*last_id));
                }
                let ids = (*first_id, *last_id);
                let body =
                    |unit: TimeUnit| render::depth_update(name, unit.of(*at), ids, bids, asks);
                let stream = names.diff(*speed);
                self.emit(now, stream, Some(*symbol), &Body::Rendered(&body));
            }
            MarketEvent::PartialDepth { speed } => {
                for (stream, count) in names.partial(*speed).iter().zip(PARTIAL_LEVELS) {
                    if !self.subscribers.contains_key(stream) {
                        continue;
                    }
                    let text = render::depth_snapshot(&self.market.snapshot(*symbol, count));
                    let body = |_| text.clone();
                    self.emit(now, stream, None, &Body::Rendered(&body));
                }
            }
            MarketEvent::BookTicker {
                update_id,
                bid,
                ask,
            } => {
                let body = |_| render::book_ticker(name, *update_id, *bid, *ask);
                self.emit(now, &names.book_ticker, None, &Body::Rendered(&body));
            }
            MarketEvent::Trade(trade) => {
                let body = |unit: TimeUnit| render::trade(name, unit.of(*at), trade);
                self.emit(now, &names.trade, None, &Body::Rendered(&body));
            }
            MarketEvent::AggTrade {
                id,
                first_trade_id,
                last_trade_id,
                price,
                qty,
                buyer_is_maker,
            } => {
                let ids = (*id, *first_trade_id, *last_trade_id);
                let body = |unit: TimeUnit| {
                    render::agg_trade(name, unit.of(*at), ids, *price, *qty, *buyer_is_maker)
                };
                self.emit(now, &names.agg_trade, None, &Body::Rendered(&body));
            }
            MarketEvent::Recorded { stream, frame } => {
                let Some((_, payload)) = render::unwrap_combined(frame) else {
                    return;
                };
                let diff = (stream == names.diff(DepthSpeed::Ms100)
                    || stream == names.diff(DepthSpeed::Ms1000))
                .then_some(*symbol);
                if diff.is_some() {
                    self.remember(*symbol, None);
                }
                self.emit(now, stream, diff, &Body::Recorded { frame, payload });
            }
        }
    }

    /// Keeps the book of this moment for comparison.
    fn remember(&mut self, symbol: SymbolIndex, last_id: Option<u64>) {
        let max = self.config.book_history;
        if max == 0 {
            return;
        }
        let book = self.market.snapshot(symbol, usize::MAX);
        // A source whose book ran ahead of the diff has nothing to compare with at this id.
        if last_id.is_some_and(|last_id| book.last_update_id != last_id) {
            return;
        }
        let history = &mut self.history[symbol.0];
        if history.len() >= max {
            history.pop_front();
        }
        history.push_back(book);
    }

    fn emit(&mut self, now: VenueMicros, stream: &str, diff: Option<SymbolIndex>, body: &Body<'_>) {
        let Some(ids) = self.subscribers.get(stream).filter(|ids| !ids.is_empty()) else {
            return;
        };
        let ids = ids.clone();
        self.stats.published += 1;

        let mut fired = Vec::new();
        if diff.is_some() {
            self.faults.next(Applies::Diff, &mut fired);
        }
        self.faults.next(Applies::Frame, &mut fired);
        let held_before: Vec<_> = self
            .held
            .extract_if(.., |(name, _, _)| name == stream)
            .collect();
        if !fired.contains(&Fault::Gap) {
            self.deliver(stream, diff, body, &fired, &ids);
        }
        for (_, id, out) in held_before {
            self.send(id, out);
        }
        if fired.contains(&Fault::UnknownEvent) {
            self.deliver_unknown(now, stream, &ids);
        }

        let mut disturbances = Vec::new();
        self.faults.next(Applies::Connections, &mut disturbances);
        for fault in disturbances {
            self.disturb(now, fault, Surface::Streams);
        }
    }

    fn deliver(
        &mut self,
        stream: &str,
        diff: Option<SymbolIndex>,
        body: &Body<'_>,
        fired: &[Fault],
        ids: &[ConnectionId],
    ) {
        // At most four texts: raw or combined, milliseconds or microseconds.
        let mut texts: [Option<Bytes>; 4] = [const { None }; 4];
        let mut empty: [Option<Bytes>; 4] = [const { None }; 4];
        for &id in ids {
            let Some(connection) = self.connections.get(&id) else {
                continue;
            };
            let (combined, unit) = (connection.combined, connection.unit);
            let slot = usize::from(combined) * 2 + usize::from(unit == TimeUnit::Microsecond);
            let text = texts[slot]
                .get_or_insert_with(|| self.text(stream, combined, unit, diff, body, fired))
                .clone();
            for fault in fired {
                if let Fault::MergeSegments { frames } = fault {
                    self.send(id, Out::Merge(usize::from(*frames)));
                }
            }
            let out = shape(text.clone(), fired);
            if fired.contains(&Fault::Reorder) {
                self.held.push((stream.to_owned(), id, out));
                continue;
            }
            self.send(id, out);
            if fired.contains(&Fault::Duplicate) {
                self.send(id, Out::Text(text));
            }
            if fired.contains(&Fault::EmptyEvent) {
                let text = empty[slot].get_or_insert_with(|| {
                    let payload = payload(body, unit);
                    let bare = faults::empty_event(&payload).unwrap_or(payload);
                    wrap(stream, combined, bare)
                });
                let out = Out::Text(text.clone());
                self.send(id, out);
            }
        }
    }

    /// The text of an event for one kind of connection, spoilt as the faults say.
    fn text(
        &self,
        stream: &str,
        combined: bool,
        unit: TimeUnit,
        diff: Option<SymbolIndex>,
        body: &Body<'_>,
        fired: &[Fault],
    ) -> Bytes {
        let spoils = |fault: &Fault| {
            matches!(
                fault,
                Fault::HugeEvent
                    | Fault::CrossedBook
                    | Fault::UnknownKeys
                    | Fault::MalformedJson
                    | Fault::InvalidUtf8
            )
        };
        if !fired.iter().any(spoils)
            && let (Body::Recorded { frame, .. }, true) = (body, combined)
        {
            return (*frame).clone();
        }
        let mut payload = payload(body, unit);
        for fault in fired {
            let spoilt = match fault {
                Fault::HugeEvent => diff.and_then(|symbol| {
                    let (bids, asks) = self.absent_levels(symbol);
                    faults::huge_event(&payload, &bids, &asks)
                }),
                Fault::CrossedBook => diff
                    .and_then(|symbol| faults::crossed_book(&payload, self.crossing_bid(symbol)?)),
                Fault::UnknownKeys => Some(faults::unknown_keys(&payload)),
                Fault::MalformedJson => Some(faults::malformed(&payload)),
                Fault::InvalidUtf8 => Some(faults::invalid_utf8(&payload)),
                _ => None,
            };
            if let Some(spoilt) = spoilt {
                payload = spoilt;
            }
        }
        wrap(stream, combined, payload)
    }

    /// Prices that no book holds: from one tick upwards, and from ten times the best ask.
    fn absent_levels(&self, symbol: SymbolIndex) -> (Vec<Level>, Vec<Level>) {
        let tick = self.specs[symbol.0].tick;
        let book = self.market.snapshot(symbol, usize::MAX);
        let best_ask = book.asks.first().map_or(tick.0, |level| level.price.0);
        let far = best_ask.saturating_mul(10) / tick.0 * tick.0;
        let prices = |levels: &[Level]| levels.iter().map(|level| level.price).collect();
        let half = HUGE_EVENT_LEVELS / 2;
        let held: BTreeSet<E8> = prices(&book.bids);
        let mut bids = faults::removals(tick, tick, half, &held);
        bids.reverse();
        let held: BTreeSet<E8> = prices(&book.asks);
        (bids, faults::removals(E8(far), tick, half, &held))
    }

    fn crossing_bid(&self, symbol: SymbolIndex) -> Option<Level> {
        let spec = &self.specs[symbol.0];
        let best_ask = *self.market.snapshot(symbol, 1).asks.first()?;
        Some(Level {
            price: E8(best_ask.price.0 + CROSSING_TICKS * spec.tick.0),
            qty: spec.lot,
        })
    }

    fn deliver_unknown(&mut self, now: VenueMicros, near: &str, ids: &[ConnectionId]) {
        let symbol = near.split('@').next().unwrap_or(near);
        let stream = format!("{symbol}@hologram");
        for &id in ids {
            let Some(connection) = self.connections.get(&id) else {
                continue;
            };
            let payload = format!(
                r#"{{"e":"hologram","E":{},"s":"{}","h":[[1,{{"x":null}}]]}}"#,
                connection.unit.of(now),
                symbol.to_uppercase()
            );
            let text = wrap(&stream, connection.combined, payload.into_bytes());
            self.send(id, Out::Text(text));
        }
    }
}

fn payload(body: &Body<'_>, unit: TimeUnit) -> Vec<u8> {
    match body {
        Body::Rendered(render) => render(unit).into_bytes(),
        Body::Recorded { payload, .. } => payload.to_vec(),
    }
}

fn wrap(stream: &str, combined: bool, payload: Vec<u8>) -> Bytes {
    if combined {
        render::combined(stream, &payload)
    } else {
        Bytes::from(payload)
    }
}

/// How a text leaves; when several faults fire on it, the harshest decides.
fn shape(text: Bytes, fired: &[Fault]) -> Out {
    if fired.contains(&Fault::TruncatedFrame) {
        return Out::Truncated(text);
    }
    if fired.contains(&Fault::Fragment) {
        return Out::Fragmented(text);
    }
    for fault in fired {
        if let Fault::SplitSegments { bytes } = fault {
            return Out::Split {
                bytes: usize::from(*bytes),
                payload: text,
            };
        }
    }
    Out::Text(text)
}
