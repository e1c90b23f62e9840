//! What came of a replay, for people and for comparison.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use veloz_core::telemetry::counters::MessageKind;
use veloz_core::telemetry::records::ResyncCause;
use veloz_core::units::{E8, Nanos};
use veloz_core::venue::binance::fault::VenueFault;

/// One book at the end of a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookSummary {
    /// The venue's name.
    pub symbol: String,
    /// Where its synchronisation stands.
    pub state: String,
    /// The venue's id of the last update in it.
    pub last_update_id: u64,
    /// Best bid's price and quantity, while it is live.
    pub bid: Option<(E8, E8)>,
    /// Best ask's price and quantity, while it is live.
    pub ask: Option<(E8, E8)>,
    /// Levels held on both sides.
    pub levels: (usize, usize),
}

/// What came of a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Events handled.
    pub events: u64,
    /// Messages by kind.
    pub messages: Vec<(MessageKind, u64)>,
    /// From the first event to the last, on the engine's clock.
    pub span: Nanos,
    /// Venue faults by the number of their kind.
    pub faults: BTreeMap<u8, u64>,
    /// Rebuilds of books by cause.
    pub resyncs: BTreeMap<ResyncCause, u64>,
    /// Connections that came up.
    pub links_up: u64,
    /// Fills of our orders.
    pub fills: u64,
    /// The books at the end.
    pub books: Vec<BookSummary>,
    /// Records written.
    pub records: u64,
    /// SHA-256 of all records, stamps masked.
    pub records_sha256: [u8; 32],
}

impl Summary {
    /// All messages.
    pub fn message_count(&self) -> u64 {
        self.messages.iter().map(|(_, count)| count).sum()
    }

    /// The hash as hexadecimal text.
    pub fn records_hash(&self) -> String {
        let mut text = String::with_capacity(64);
        for byte in self.records_sha256 {
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, title: &str, items: &[(&str, u64)]| {
            write!(f, "{title:<10}")?;
            let mut none = true;
            for (label, count) in items.iter().filter(|(_, count)| *count > 0) {
                write!(f, " {label} {count}")?;
                none = false;
            }
            writeln!(f, "{}", if none { " none" } else { "" })
        };
        let messages: Vec<_> = self
            .messages
            .iter()
            .map(|(kind, count)| (kind.label(), *count))
            .collect();
        list(f, "messages", &messages)?;
        let faults: Vec<_> = self
            .faults
            .iter()
            .map(|(kind, count)| {
                let fault = VenueFault::ALL.get(usize::from(*kind));
                (fault.map_or("unknown", |fault| fault.label()), *count)
            })
            .collect();
        list(f, "faults", &faults)?;
        let resyncs: Vec<_> = self
            .resyncs
            .iter()
            .map(|(cause, count)| (cause.label(), *count))
            .collect();
        list(f, "resyncs", &resyncs)?;
        writeln!(f, "links      {} came up", self.links_up)?;
        for book in &self.books {
            let side = |level: Option<(E8, E8)>| {
                level.map_or_else(|| "-".to_owned(), |(price, qty)| format!("{price} x {qty}"))
            };
            writeln!(
                f,
                "book       {} {}, bid {}, ask {}, {} + {} levels, update {}",
                book.symbol,
                book.state,
                side(book.bid),
                side(book.ask),
                book.levels.0,
                book.levels.1,
                book.last_update_id
            )?;
        }
        write!(
            f,
            "records    {}, sha256 {}",
            self.records,
            self.records_hash()
        )
    }
}
