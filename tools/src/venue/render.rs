//! Market data as Binance Spot prints it: compact JSON, the venue's key order, eight decimals.
//!
//! Owns: the text of stream payloads, depth and ticker bodies, and the combined wrapper. Does not:
//! decide who gets what. Source: Binance Spot `web-socket-streams.md`, `rest-api.md`.

use std::fmt::Write as _;

use bytes::Bytes;
use veloz_core::units::E8;

use super::source::{Level, Snapshot, Trade, VenueMicros};

/// Unit of `E` and `T`: the connection's `timeUnit`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TimeUnit {
    /// 13 digits, the default.
    #[default]
    Millisecond,
    /// 16 digits.
    Microsecond,
}

impl TimeUnit {
    /// `at` as a number of this unit.
    pub(crate) fn of(self, at: VenueMicros) -> u64 {
        match self {
            Self::Millisecond => at.0 / 1_000,
            Self::Microsecond => at.0,
        }
    }

    /// Reads a `timeUnit` parameter; `None` is the venue's error -1194.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "MILLISECOND" | "millisecond" => Some(Self::Millisecond),
            "MICROSECOND" | "microsecond" => Some(Self::Microsecond),
            _ => None,
        }
    }
}

/// `depthUpdate`.
pub(crate) fn depth_update(
    symbol: &str,
    time: u64,
    (first_id, last_id): (u64, u64),
    bids: &[Level],
    asks: &[Level],
) -> String {
    let mut out = String::with_capacity(96 + 40 * (bids.len() + asks.len()));
    let _ = write!(
        out,
        r#"{{"e":"depthUpdate","E":{time},"s":"{symbol}","U":{first_id},"u":{last_id},"b":"#
    );
    levels(&mut out, bids);
    out.push_str(r#","a":"#);
    levels(&mut out, asks);
    out.push('}');
    out
}

/// A depth snapshot, partial depth payload and REST body alike.
pub(crate) fn depth_snapshot(snapshot: &Snapshot) -> String {
    let count = snapshot.bids.len() + snapshot.asks.len();
    let mut out = String::with_capacity(64 + 40 * count);
    let _ = write!(
        out,
        r#"{{"lastUpdateId":{},"bids":"#,
        snapshot.last_update_id
    );
    levels(&mut out, &snapshot.bids);
    out.push_str(r#","asks":"#);
    levels(&mut out, &snapshot.asks);
    out.push('}');
    out
}

/// `bookTicker` of the streams.
pub(crate) fn book_ticker(symbol: &str, update_id: u64, bid: Level, ask: Level) -> String {
    format!(
        r#"{{"u":{update_id},"s":"{symbol}","b":"{}","B":"{}","a":"{}","A":"{}"}}"#,
        bid.price, bid.qty, ask.price, ask.qty
    )
}

/// `ticker.book` and `/api/v3/ticker/bookTicker`; a side without orders reads zero.
pub(crate) fn ticker_row(symbol: &str, snapshot: &Snapshot) -> String {
    const NOTHING: Level = Level {
        price: E8(0),
        qty: E8(0),
    };
    let bid = snapshot.bids.first().copied().unwrap_or(NOTHING);
    let ask = snapshot.asks.first().copied().unwrap_or(NOTHING);
    format!(
        r#"{{"symbol":"{symbol}","bidPrice":"{}","bidQty":"{}","askPrice":"{}","askQty":"{}"}}"#,
        bid.price, bid.qty, ask.price, ask.qty
    )
}

/// `trade`; the trade's own time is the event's.
pub(crate) fn trade(symbol: &str, time: u64, trade: &Trade) -> String {
    format!(
        concat!(
            r#"{{"e":"trade","E":{},"s":"{}","t":{},"p":"{}","q":"{}","T":{},"#,
            r#""m":{},"M":true}}"#
        ),
        time, symbol, trade.id, trade.price, trade.qty, time, trade.buyer_is_maker
    )
}

/// `aggTrade`: `ids` are the aggregate's own, the first and the last trade's.
pub(crate) fn agg_trade(
    symbol: &str,
    time: u64,
    ids: (u64, u64, u64),
    price: E8,
    qty: E8,
    buyer_is_maker: bool,
) -> String {
    format!(
        concat!(
            r#"{{"e":"aggTrade","E":{},"s":"{}","a":{},"p":"{}","q":"{}","f":{},"l":{},"#,
            r#""T":{},"m":{},"M":true}}"#
        ),
        time, symbol, ids.0, price, qty, ids.1, ids.2, time, buyer_is_maker
    )
}

/// `serverShutdown`, without any wrapper.
pub(crate) fn server_shutdown(time: u64) -> String {
    format!(r#"{{"e":"serverShutdown","E":{time}}}"#)
}

/// Puts a payload into the wrapper of combined streams.
pub(crate) fn combined(stream: &str, payload: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(payload.len() + stream.len() + 24);
    out.extend_from_slice(br#"{"stream":""#);
    out.extend_from_slice(stream.as_bytes());
    out.extend_from_slice(br#"","data":"#);
    out.extend_from_slice(payload);
    out.push(b'}');
    Bytes::from(out)
}

/// The stream's name and the payload inside a combined frame; `None` when it has another shape.
pub(crate) fn unwrap_combined(frame: &[u8]) -> Option<(&str, &[u8])> {
    let rest = frame.strip_prefix(br#"{"stream":""#)?;
    let quote = rest.iter().position(|&byte| byte == b'"')?;
    let stream = std::str::from_utf8(&rest[..quote]).ok()?;
    let payload = rest[quote..].strip_prefix(br#"","data":"#)?;
    Some((stream, payload.strip_suffix(b"}")?))
}

/// A text as a JSON string, quotes included.
pub(crate) fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn levels(out: &mut String, levels: &[Level]) {
    out.push('[');
    for (position, level) in levels.iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        let _ = write!(out, r#"["{}","{}"]"#, level.price, level.qty);
    }
    out.push(']');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(price: &str, qty: &str) -> Level {
        Level {
            price: E8::parse(price.as_bytes()).expect("a price"),
            qty: E8::parse(qty.as_bytes()).expect("a quantity"),
        }
    }

    #[test]
    fn payloads_are_the_venues_own_text() {
        let bid = level("97053.55", "4.06247");
        let gone = level("97053.29", "0");
        let ask = level("97053.56", "1.5");
        assert_eq!(
            depth_update(
                "BTCUSDT",
                1_739_202_515_014,
                (60_859_031_517, 60_859_034_785),
                &[bid, gone],
                &[ask]
            ),
            concat!(
                r#"{"e":"depthUpdate","E":1739202515014,"s":"BTCUSDT","U":60859031517,"#,
                r#""u":60859034785,"b":[["97053.55000000","4.06247000"],"#,
                r#"["97053.29000000","0.00000000"]],"a":[["97053.56000000","1.50000000"]]}"#
            )
        );
        assert_eq!(
            book_ticker("BTCUSDT", 60_859_034_785, bid, ask),
            concat!(
                r#"{"u":60859034785,"s":"BTCUSDT","b":"97053.55000000","B":"4.06247000","#,
                r#""a":"97053.56000000","A":"1.50000000"}"#
            )
        );
        assert_eq!(
            depth_snapshot(&Snapshot {
                last_update_id: 60_859_034_785,
                bids: vec![bid],
                asks: vec![]
            }),
            r#"{"lastUpdateId":60859034785,"bids":[["97053.55000000","4.06247000"]],"asks":[]}"#
        );
        assert_eq!(
            trade(
                "BNBBTC",
                1_672_515_782_136,
                &Trade {
                    id: 12_345,
                    price: E8(100_000),
                    qty: E8(10_000_000_000),
                    buyer_is_maker: true
                }
            ),
            concat!(
                r#"{"e":"trade","E":1672515782136,"s":"BNBBTC","t":12345,"p":"0.00100000","#,
                r#""q":"100.00000000","T":1672515782136,"m":true,"M":true}"#
            )
        );
        assert_eq!(
            agg_trade("BNBBTC", 1, (12_345, 100, 105), E8(1), E8(2), false),
            concat!(
                r#"{"e":"aggTrade","E":1,"s":"BNBBTC","a":12345,"#,
                r#""p":"0.00000001","q":"0.00000002","#,
                r#""f":100,"l":105,"T":1,"m":false,"M":true}"#
            )
        );
    }

    #[test]
    fn wrapping_and_unwrapping_are_inverse() {
        let frame = combined("btcusdt@trade", br#"{"e":"trade"}"#);
        assert_eq!(
            &frame[..],
            br#"{"stream":"btcusdt@trade","data":{"e":"trade"}}"#
        );
        assert_eq!(
            unwrap_combined(&frame),
            Some(("btcusdt@trade", &br#"{"e":"trade"}"#[..]))
        );
        assert_eq!(unwrap_combined(br#"{"lastUpdateId":1}"#), None);
    }

    #[test]
    fn times_follow_the_connections_unit() {
        let at = VenueMicros(1_739_202_515_014_321);
        assert_eq!(TimeUnit::Millisecond.of(at), 1_739_202_515_014);
        assert_eq!(TimeUnit::Microsecond.of(at), 1_739_202_515_014_321);
        assert_eq!(TimeUnit::parse("MicroSecond"), None);
    }
}
