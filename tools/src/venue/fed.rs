//! A market that is fed from outside: another venue's public flow, forwarded as it arrives.
//!
//! Owns: the books that the forwarded updates add up to, and their ids. Does not: fetch anything.
//! Invariant: a book is what its snapshot and every diff since make of it, or empty; a gap empties
//! it until the next snapshot, so that no order meets levels that may be gone.

use std::collections::{BTreeMap, VecDeque};

use veloz_core::units::E8;

use super::source::{
    DepthSpeed, Level, MarketEvent, MarketSource, Published, Snapshot, SymbolIndex, SymbolSpec,
    Trade, VenueMicros,
};

/// Updates that wait to be shown. The venue shows each before the next is pushed; more than this
/// means that it stands still, and the push is refused.
const WAITING_MAX: usize = 65_536;

/// One piece of another venue's public flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedUpdate {
    /// The whole book.
    Snapshot(Snapshot),
    /// The other venue cannot be heard: the book is empty until the next snapshot.
    Lost,
    /// A diff of the `@depth@100ms` stream.
    Depth {
        /// First update id covered.
        first_id: u64,
        /// Last update id covered.
        last_id: u64,
        /// Changed bids, absolute quantities.
        bids: Vec<Level>,
        /// Changed asks.
        asks: Vec<Level>,
    },
    /// A change of a best price or quantity.
    BookTicker {
        /// Update id of the change.
        update_id: u64,
        /// Best bid.
        bid: Level,
        /// Best ask.
        ask: Level,
    },
    /// A trade.
    Trade(Trade),
}

/// Why an update is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// The venue's market is not a fed one.
    #[error("the simulated venue has a market of its own")]
    NotFed,
    /// No symbol has this position.
    #[error("the simulated venue has no symbol {0}")]
    UnknownSymbol(usize),
    /// A diff before any snapshot, or after a gap.
    #[error("a diff needs a snapshot first")]
    NoBook,
    /// Diffs are missing; the book is empty until the next snapshot.
    #[error("a diff from {got} on does not continue a book at {at}")]
    Gap {
        /// The book's update id.
        at: u64,
        /// First id of the diff.
        got: u64,
    },
    /// Nobody has taken what was pushed before.
    #[error("{WAITING_MAX} updates wait already")]
    Full,
}

/// The market.
#[derive(Debug)]
pub(crate) struct Fed {
    symbols: Vec<SymbolSpec>,
    books: Vec<Option<Book>>,
    waiting: VecDeque<Published>,
}

#[derive(Debug)]
struct Book {
    id: u64,
    bids: BTreeMap<E8, E8>,
    asks: BTreeMap<E8, E8>,
}

impl Fed {
    pub(crate) fn new(symbols: &[SymbolSpec]) -> Self {
        Self {
            symbols: symbols.to_vec(),
            books: symbols.iter().map(|_| None).collect(),
            waiting: VecDeque::new(),
        }
    }

    /// Whether the symbol has a book; an unknown symbol has none.
    pub(crate) fn has_book(&self, symbol: SymbolIndex) -> bool {
        matches!(self.books.get(symbol.0), Some(Some(_)))
    }

    /// Takes an update; what it publishes is due at `now`.
    pub(crate) fn push(
        &mut self,
        now: VenueMicros,
        symbol: SymbolIndex,
        update: FeedUpdate,
    ) -> Result<(), FeedError> {
        if self.waiting.len() == WAITING_MAX {
            return Err(FeedError::Full);
        }
        let book = self
            .books
            .get_mut(symbol.0)
            .ok_or(FeedError::UnknownSymbol(symbol.0))?;
        let event = match update {
            FeedUpdate::Snapshot(snapshot) => {
                *book = Some(Book::new(&snapshot));
                return Ok(());
            }
            FeedUpdate::Lost => {
                *book = None;
                return Ok(());
            }
            FeedUpdate::Depth {
                first_id,
                last_id,
                bids,
                asks,
            } => {
                let at = book.as_ref().ok_or(FeedError::NoBook)?.id;
                if last_id <= at {
                    return Ok(());
                }
                if first_id > at + 1 {
                    *book = None;
                    return Err(FeedError::Gap { at, got: first_id });
                }
                if let Some(book) = book {
                    book.apply(last_id, &bids, &asks);
                }
                MarketEvent::Depth {
                    speed: DepthSpeed::Ms100,
                    first_id,
                    last_id,
                    bids,
                    asks,
                }
            }
            FeedUpdate::BookTicker {
                update_id,
                bid,
                ask,
            } => MarketEvent::BookTicker {
                update_id,
                bid,
                ask,
            },
            FeedUpdate::Trade(trade) => MarketEvent::Trade(trade),
        };
        self.waiting.push_back(Published {
            at: now,
            symbol,
            event,
        });
        Ok(())
    }
}

impl MarketSource for Fed {
    fn symbols(&self) -> &[SymbolSpec] {
        &self.symbols
    }

    fn next_at(&self) -> Option<VenueMicros> {
        self.waiting.front().map(|published| published.at)
    }

    fn advance(&mut self, now: VenueMicros, out: &mut Vec<Published>) {
        while let Some(published) = self.waiting.pop_front_if(|published| published.at <= now) {
            out.push(published);
        }
    }

    fn snapshot(&self, symbol: SymbolIndex, limit: usize) -> Snapshot {
        match &self.books[symbol.0] {
            Some(book) => book.snapshot(limit),
            None => Snapshot {
                last_update_id: 0,
                bids: Vec::new(),
                asks: Vec::new(),
            },
        }
    }
}

impl Book {
    fn new(snapshot: &Snapshot) -> Self {
        let mut book = Self {
            id: snapshot.last_update_id,
            bids: BTreeMap::new(),
            asks: BTreeMap::new(),
        };
        book.apply(snapshot.last_update_id, &snapshot.bids, &snapshot.asks);
        book
    }

    fn apply(&mut self, id: u64, bids: &[Level], asks: &[Level]) {
        self.id = id;
        for (side, levels) in [(&mut self.bids, bids), (&mut self.asks, asks)] {
            for level in levels {
                if level.qty.0 == 0 {
                    side.remove(&level.price);
                } else {
                    side.insert(level.price, level.qty);
                }
            }
        }
    }

    fn snapshot(&self, limit: usize) -> Snapshot {
        let level = |(&price, &qty): (&E8, &E8)| Level { price, qty };
        Snapshot {
            last_update_id: self.id,
            bids: self.bids.iter().rev().take(limit).map(level).collect(),
            asks: self.asks.iter().take(limit).map(level).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scripted::{level, usdt_symbol};
    use super::*;

    const NOW: VenueMicros = VenueMicros(7);
    const BTC: SymbolIndex = SymbolIndex(0);

    fn diff(first_id: u64, last_id: u64, bids: Vec<Level>) -> FeedUpdate {
        FeedUpdate::Depth {
            first_id,
            last_id,
            bids,
            asks: vec![],
        }
    }

    fn fed() -> Fed {
        let mut fed = Fed::new(&[usdt_symbol("BTCUSDT")]);
        let snapshot = Snapshot {
            last_update_id: 10,
            bids: vec![level("100", "1"), level("99", "2")],
            asks: vec![level("101", "1")],
        };
        assert_eq!(
            fed.push(NOW, BTC, diff(1, 2, vec![])),
            Err(FeedError::NoBook)
        );
        assert_eq!(fed.push(NOW, BTC, FeedUpdate::Snapshot(snapshot)), Ok(()));
        fed
    }

    #[test]
    fn a_book_is_its_snapshot_and_the_diffs_since() {
        let mut fed = fed();
        assert_eq!(fed.next_at(), None, "a snapshot publishes nothing");
        assert_eq!(
            fed.push(NOW, BTC, diff(5, 10, vec![level("1", "1")])),
            Ok(())
        );
        assert_eq!(fed.next_at(), None, "the snapshot contains it");
        let bids = vec![level("100", "0"), level("98", "3")];
        assert_eq!(fed.push(NOW, BTC, diff(9, 12, bids)), Ok(()));
        let book = fed.snapshot(BTC, 5);
        assert_eq!(book.last_update_id, 12);
        assert_eq!(book.bids, [level("99", "2"), level("98", "3")]);
        assert_eq!(book.asks, [level("101", "1")]);
        let mut out = Vec::new();
        fed.advance(VenueMicros(6), &mut out);
        assert!(out.is_empty());
        fed.advance(NOW, &mut out);
        assert_eq!(out.len(), 1);
    }

    #[test]
    fn a_gap_empties_the_book_until_the_next_snapshot() {
        let mut fed = fed();
        let gap = fed.push(NOW, BTC, diff(12, 13, vec![]));
        assert_eq!(gap, Err(FeedError::Gap { at: 10, got: 12 }));
        assert!(fed.snapshot(BTC, 5).bids.is_empty());
        assert_eq!(
            fed.push(NOW, BTC, diff(14, 15, vec![])),
            Err(FeedError::NoBook)
        );
        let unknown = fed.push(NOW, SymbolIndex(1), diff(1, 1, vec![]));
        assert_eq!(unknown, Err(FeedError::UnknownSymbol(1)));
    }

    #[test]
    fn updates_that_nobody_takes_are_bounded() {
        let mut fed = fed();
        let trade = |id| {
            FeedUpdate::Trade(Trade {
                id,
                price: E8(1),
                qty: E8(1),
                buyer_is_maker: false,
            })
        };
        for id in 0..WAITING_MAX as u64 {
            assert_eq!(fed.push(NOW, BTC, trade(id)), Ok(()));
        }
        assert_eq!(fed.push(NOW, BTC, trade(0)), Err(FeedError::Full));
    }
}
