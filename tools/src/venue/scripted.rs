//! A market that publishes exactly what it was told, when it was told: for tests.
//!
//! Owns: [`Script`]. Does not: keep a book; snapshots are part of the script.

use std::collections::VecDeque;

use veloz_core::units::E8;

use super::source::{
    Level, MarketEvent, MarketSource, Published, Snapshot, SymbolIndex, SymbolSpec, VenueMicros,
};

/// A list of events with their times, and the snapshots in force from a time on.
#[derive(Clone, Debug)]
pub(super) struct Script {
    symbols: Vec<SymbolSpec>,
    events: VecDeque<Published>,
    snapshots: Vec<(VenueMicros, SymbolIndex, Snapshot)>,
    now: VenueMicros,
}

impl Script {
    /// An empty script for these symbols.
    pub(super) fn new(symbols: Vec<SymbolSpec>) -> Self {
        Self {
            symbols,
            events: VecDeque::new(),
            snapshots: Vec::new(),
            now: VenueMicros(0),
        }
    }

    /// Adds an event; events come in the order of their times.
    #[must_use]
    pub(super) fn then(mut self, at: VenueMicros, symbol: usize, event: MarketEvent) -> Self {
        let symbol = SymbolIndex(symbol);
        self.events.push_back(Published { at, symbol, event });
        self
    }

    /// From this time on, depth requests are answered with this book; the first one says when
    /// the script begins.
    #[must_use]
    pub(super) fn book(mut self, at: VenueMicros, symbol: usize, snapshot: Snapshot) -> Self {
        if self.snapshots.is_empty() {
            self.now = at;
        }
        self.snapshots.push((at, SymbolIndex(symbol), snapshot));
        self
    }
}

/// A level from decimal text; for scripts only.
///
/// # Panics
/// When a text is not a decimal of at most eight places.
pub(super) fn level(price: &str, qty: &str) -> Level {
    Level {
        price: E8::parse(price.as_bytes()).expect("a price"),
        qty: E8::parse(qty.as_bytes()).expect("a quantity"),
    }
}

/// The specification of a symbol that ends in USDT, on the grids of most.
pub(super) fn usdt_symbol(symbol: &str) -> SymbolSpec {
    SymbolSpec {
        symbol: symbol.to_owned(),
        base: symbol.trim_end_matches("USDT").to_owned(),
        quote: "USDT".to_owned(),
        tick: E8(1_000_000),
        lot: E8(1_000),
    }
}

impl MarketSource for Script {
    fn symbols(&self) -> &[SymbolSpec] {
        &self.symbols
    }

    fn next_at(&self) -> Option<VenueMicros> {
        self.events.front().map(|event| event.at)
    }

    fn advance(&mut self, now: VenueMicros, out: &mut Vec<Published>) {
        self.now = self.now.max(now);
        while let Some(event) = self.events.pop_front_if(|event| event.at <= now) {
            out.push(event);
        }
    }

    fn snapshot(&self, symbol: SymbolIndex, limit: usize) -> Snapshot {
        let latest = self
            .snapshots
            .iter()
            .rev()
            .find(|(at, of, _)| *of == symbol && *at <= self.now);
        let mut snapshot = latest.map_or(
            Snapshot {
                last_update_id: 0,
                bids: Vec::new(),
                asks: Vec::new(),
            },
            |(_, _, snapshot)| snapshot.clone(),
        );
        snapshot.bids.truncate(limit);
        snapshot.asks.truncate(limit);
        snapshot
    }
}
