//! Our fills as records of type `order`, each once.
//!
//! Owns: [`FillRecords`]. Does not: decide what is a fill; the core books each once a run. Invariants: a trade that a run
//! booked a second time, because the one before was killed before its state was on the disk, is not recorded again: the
//! newest records on the disk are read at start, and they are at least as new as the state; giving a record never waits.

use super::files::{LiveFile, Segment};
use super::record::{Entry, LogType};
use super::writer::AuditLog;
use crate::trading::{FillLine, parse_id};
use crate::wall::UnixMs;
use serde::Deserialize;
use serde_json::json;
use std::borrow::Cow;
use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use veloz_core::instrument::Assets;
use veloz_core::order::OrderId;

/// What a record of a fill is called.
const ACTION: &str = "order_filled";

/// Fills that are known from before. A run that was killed leaves those of some fifty milliseconds to book again.
const EARLIER_MAX: usize = 65_536;

/// Makes records of fills.
pub struct FillRecords {
    log: AuditLog,
    assets: Arc<Assets>,
    /// Recorded by earlier runs.
    earlier: HashSet<(OrderId, u64)>,
}

#[derive(Deserialize)]
struct Seen<'a> {
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(default)]
    details: Details<'a>,
}

#[derive(Default, Deserialize)]
struct Details<'a> {
    #[serde(borrow, default)]
    order_id: Cow<'a, str>,
    #[serde(default)]
    trade_id: u64,
}

impl FillRecords {
    /// For the log that `log` gives records to, whose writer has not begun.
    ///
    /// # Errors
    /// When the newest records cannot be read.
    pub fn open(log: AuditLog, assets: Arc<Assets>) -> io::Result<Self> {
        Ok(Self {
            earlier: newest(log.directory())?,
            log,
            assets,
        })
    }

    /// Records a fill, unless an earlier run did.
    pub fn record(&self, fill: &FillLine) {
        if self.earlier.contains(&(fill.order, fill.trade_id)) {
            return;
        }
        let details = json!({
            "client_order_id": fill.name(),
            "order_id": fill.order.to_string(),
            "symbol": fill.symbol.as_str(),
            "side": fill.side.label(),
            "price": fill.price.to_string(),
            "qty": fill.qty.to_string(),
            "fee": fill.fee.to_string(),
            "fee_asset": self.assets.get(fill.fee_asset).as_str(),
            "trade_id": fill.trade_id,
            "is_maker": fill.is_maker,
        });
        let at = UnixMs(u64::try_from(fill.ts_ns / 1_000_000).unwrap_or(0));
        self.log
            .record(Entry::of_system(LogType::Order, ACTION, at, details));
    }
}

/// Fills of the newest files that have any: two of them, because the day may have changed in between.
fn newest(directory: &Path) -> io::Result<HashSet<(OrderId, u64)>> {
    let mut files: Vec<LiveFile> = LiveFile::list(directory)?
        .into_iter()
        .filter(|file| file.log_type == LogType::Order)
        .collect();
    let mut found = HashSet::new();
    let mut with_fills = 0;
    while let Some(file) = files.pop()
        && with_fills < 2
    {
        let text = Segment::Live(file).read(directory)?;
        let before = found.len();
        for line in text.rsplit(|byte| *byte == b'\n') {
            // A record that is none, or cut, is a matter of the chain's.
            let Ok(seen) = serde_json::from_slice::<Seen<'_>>(line) else {
                continue;
            };
            if seen.action == ACTION
                && let Some(order) = parse_id(&seen.details.order_id)
            {
                found.insert((order, seen.details.trade_id));
            }
            if found.len() == EARLIER_MAX {
                return Ok(found);
            }
        }
        with_fills += u32::from(found.len() > before);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::metrics::AuditMetrics;
    use crate::audit::query::AuditQuery;
    use crate::audit::store::tests::{DAY, NOON, open};
    use crate::audit::writer::queue;
    use crate::testing::instruments;
    use serde_json::Value;
    use veloz_core::instrument::{AssetIndex, InstrumentIndex};
    use veloz_core::order::{ClientId, Side};
    use veloz_core::units::E8;
    use veloz_core::venue::binance;

    fn fill(sequence: u32, trade_id: u64, at: u64) -> FillLine {
        let instruments = instruments();
        FillLine {
            ts_ns: at as i64 * 1_000_000,
            order: OrderId { run: 7, sequence },
            client_id: ClientId::new("mine"),
            instrument: InstrumentIndex(0),
            symbol: instruments.get(InstrumentIndex(0)).symbol,
            side: Side::Buy,
            price: E8(6_183_763_000_000),
            qty: E8(2_000),
            fee: E8(5),
            fee_asset: AssetIndex(1),
            trade_id,
            is_maker: true,
        }
    }

    /// One run of the engine that books these.
    fn run(directory: &Path, fills: &[FillLine]) {
        let (store, findings) = open(directory);
        let (log, writer) = queue(store, findings, Arc::new(AuditMetrics::default()));
        let assets = Arc::new(binance::assets(&instruments()));
        let records = FillRecords::open(log, assets).expect("readable");
        for fill in fills {
            records.record(fill);
        }
        drop(records);
        writer.run(|| UnixMs(NOON));
    }

    fn recorded(directory: &Path) -> Vec<Value> {
        let query = AuditQuery {
            log_type: Some(LogType::Order),
            limit: 100,
            ..AuditQuery::default()
        };
        let page = query.run(directory).expect("readable");
        let records = page.records.iter().rev();
        records
            .map(|record| serde_json::from_str(record.get()).expect("JSON"))
            .collect()
    }

    #[test]
    fn each_fill_is_one_record_also_when_a_run_books_it_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        run(path, &[fill(1, 9, NOON), fill(2, 10, NOON + 1)]);
        // A run that trades nothing, a day later, and one that was told of the last trades again.
        run(path, &[]);
        run(path, &[fill(2, 10, NOON + DAY), fill(2, 11, NOON + DAY)]);
        run(path, &[fill(2, 10, NOON + DAY), fill(1, 9, NOON + DAY)]);
        let records = recorded(path);
        let trades: Vec<&Value> = records
            .iter()
            .map(|record| &record["details"]["trade_id"])
            .collect();
        assert_eq!(trades, [9, 10, 11]);
        let first = &records[0];
        for (field, value) in [
            ("log_type", json!("order")),
            ("action", json!("order_filled")),
            ("user_id", json!("system")),
            ("ip_address", Value::Null),
            ("request_id", json!("")),
        ] {
            assert_eq!(first[field], value, "{field}");
        }
        let details = json!({
            "client_order_id": "mine", "order_id": "7-1", "symbol": "BTCUSDT", "side": "BUY",
            "price": "61837.63000000", "qty": "0.00002000", "fee": "0.00000005",
            "fee_asset": first["details"]["fee_asset"], "trade_id": 9, "is_maker": true,
        });
        assert_eq!(first["details"], details);
        // Another order's side of the same trade is another fill.
        run(path, &[fill(3, 10, NOON + DAY)]);
        assert_eq!(recorded(path).len(), 4);
    }
}
