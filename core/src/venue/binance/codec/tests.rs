//! What each message of the venue becomes, as a table.

use super::*;
use crate::event::PayloadBuf;
use crate::instrument::tests::instrument;
use crate::venue::binance::fault::{Detail, VenueFault};

const BTC: InstrumentIndex = InstrumentIndex(0);
const ETH: InstrumentIndex = InstrumentIndex(1);

/// Tick 0.01 and lot 0.00001 for BTC, 0.01 and 0.0001 for ETH, as on the recorded days.
fn decoder() -> Decoder {
    let list = vec![
        instrument("BTCUSDT", 1_000_000, 1_000),
        instrument("ETHUSDT", 1_000_000, 10_000),
    ];
    Decoder::new(&Instruments::new(list).expect("two"))
}

fn level(price: i64, qty: i64) -> Level {
    Level {
        price: Ticks(price),
        qty: Lots(qty),
    }
}

#[track_caller]
fn check(decoder: &mut Decoder, text: &str, expected: Result<Update<'_>, Fault>) {
    let buf = PayloadBuf::new(text.as_bytes());
    assert_eq!(decoder.decode(buf.payload()), expected, "{text}");
}

#[track_caller]
fn check_fault(text: &str, kind: VenueFault, instrument: Option<InstrumentIndex>) {
    let buf = PayloadBuf::new(text.as_bytes());
    let mut decoder = decoder();
    let fault = decoder.decode(buf.payload()).expect_err(text);
    assert_eq!((fault.kind, fault.instrument), (kind, instrument), "{text}");
}

#[test]
fn market_data_is_read_raw_and_combined() {
    let mut decoder = decoder();
    let depth = r#"{"e":"depthUpdate","E":1723161255208,"s":"BTCUSDT","U":50093239189,"u":50093239202,"b":[["61737.63000000","0.00000000"],["56854.58000000","1.54698000"]],"a":[["61837.64000000","12345.00001000"]]}"#;
    let expected = Update::Depth(DepthDiff {
        instrument: BTC,
        first_id: 50093239189,
        last_id: 50093239202,
        event_ms: VenueMillis(1723161255208),
        bids: &[level(6_173_763, 0), level(5_685_458, 154_698)],
        asks: &[level(6_183_764, 1_234_500_001)],
    });
    check(&mut decoder, depth, Ok(expected));
    check(
        &mut decoder,
        &format!(r#"{{"stream":"btcusdt@depth@100ms","data":{depth}}}"#),
        Ok(expected),
    );

    let ticker = r#"{"u":35346513501,"s":"ETHUSDT","b":"2683.80000000","B":"3.02920000","a":"0.00000000","A":"0.00000000"}"#;
    let expected = Update::BookTicker(BookTicker {
        instrument: ETH,
        update_id: 35346513501,
        bid: level(268_380, 30_292),
        ask: level(0, 0),
    });
    check(&mut decoder, ticker, Ok(expected));
    check(
        &mut decoder,
        &format!(r#"{{"stream":"ethusdt@bookTicker","data":{ticker}}}"#),
        Ok(expected),
    );

    let trade = r#"{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":3735683259,"p":"61837.63000000","q":"0.02000000","T":1723161255342,"m":true,"M":true}"#;
    let expected = Update::Trade(Trade {
        instrument: BTC,
        trade_id: 3735683259,
        price: Ticks(6_183_763),
        qty: Lots(2_000),
        event_ms: VenueMillis(1723161255343),
        trade_ms: VenueMillis(1723161255342),
        buyer_is_maker: true,
    });
    check(&mut decoder, trade, Ok(expected));
    check(
        &mut decoder,
        &format!(r#"{{"stream":"btcusdt@trade","data":{trade}}}"#),
        Ok(expected),
    );

    let agg = r#"{"e":"aggTrade","E":1672515782136,"s":"BTCUSDT","a":12345,"p":"0.01","q":"100","f":100,"l":105,"T":1672515782135,"m":false,"M":true}"#;
    let expected = Update::AggTrade(AggTrade {
        instrument: BTC,
        agg_id: 12345,
        first_trade_id: 100,
        last_trade_id: 105,
        price: Ticks(1),
        qty: Lots(10_000_000),
        event_ms: VenueMillis(1672515782136),
        trade_ms: VenueMillis(1672515782135),
        buyer_is_maker: false,
    });
    check(&mut decoder, agg, Ok(expected));

    check(
        &mut decoder,
        r#"{"stream":"btcusdt@depth5@100ms","data":{"lastUpdateId":160,"bids":[["0.01000000","10.00000000"]],"asks":[]}}"#,
        Ok(Update::PartialDepth(PartialDepth {
            instrument: BTC,
            last_id: 160,
            bids: &[level(1, 1_000_000)],
            asks: &[],
        })),
    );
}

#[test]
fn key_order_white_space_unknown_keys_and_escapes_do_not_matter() {
    check(
        &mut decoder(),
        " { \"data\" : {\"new\":{\"u\":[1]},\"a\":[ [ \"2.00\" , \"\\u0031\" , [] ] ],\"b\":[],\"u\":9,\"pu\":7,\"U\":8,\"s\":\"BTCUSDT\",\"E\":5,\"e\":\"depth\\u0055pdate\"}, \"stream\":\"btcusdt@depth\" }\n",
        Ok(Update::Depth(DepthDiff {
            instrument: BTC,
            first_id: 8,
            last_id: 9,
            event_ms: VenueMillis(5),
            bids: &[],
            asks: &[level(200, 100_000)],
        })),
    );
}

#[test]
fn control_replies_and_shutdown_come_in_all_their_forms() {
    let mut decoder = decoder();
    let reply = |id, error| Ok(Update::SubscribeReply { id, error });
    for (text, expected) in [
        (r#"{"result":null,"id":1}"#, reply(Some(1), None)),
        (
            r#"{"result":["btcusdt@trade"],"id":2}"#,
            reply(Some(2), None),
        ),
        (r#"{"result":true,"id":"x"}"#, reply(None, None)),
        (
            r#"{"code":2,"msg":"Invalid request"}"#,
            reply(None, Some(2)),
        ),
        (
            r#"{"code":0,"msg":"Unknown property","id":3}"#,
            reply(Some(3), Some(0)),
        ),
        (
            r#"{"error":{"code":4,"msg":"Too many"},"id":9}"#,
            reply(Some(9), Some(4)),
        ),
        (
            r#"{"error":{"code":2,"msg":"Invalid request"},"id":null}"#,
            reply(None, Some(2)),
        ),
        (
            r#"{"error":{"code":-1121,"msg":"x"}}"#,
            reply(None, Some(-1121)),
        ),
    ] {
        check(&mut decoder, text, expected);
    }
    let shutdown = Ok(Update::ServerShutdown {
        event_ms: VenueMillis(1770123456789),
    });
    for text in [
        r#"{"e":"serverShutdown","E":1770123456789}"#,
        r#"{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}"#,
        r#"{"event":{"e":"serverShutdown","E":1770123456789}}"#,
    ] {
        check(&mut decoder, text, shutdown);
    }
}

#[test]
fn a_snapshot_is_matched_to_its_instrument_by_request_id() {
    let mut decoder = decoder();
    decoder.expect_snapshot(7, ETH).expect("room");
    let text = r#"{"id":7,"status":200,"result":{"lastUpdateId":35346513512,"bids":[["2683.80000000","3.02920000"]],"asks":[["2683.81000000","31.43950000"],["2683.90000000","0.00010000"]]},"rateLimits":[{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":6000,"count":321}]}"#;
    let reply = |outcome| {
        Ok(Update::ApiReply(ApiReply {
            id: Some(7),
            status: 200,
            weight: Some(RequestWeight {
                used: 321,
                limit: 6000,
            }),
            outcome,
        }))
    };
    let snapshot = ApiOutcome::Snapshot(PartialDepth {
        instrument: ETH,
        last_id: 35346513512,
        bids: &[level(268_380, 30_292)],
        asks: &[level(268_381, 314_395), level(268_390, 1)],
    });
    check(&mut decoder, text, reply(snapshot));
    check(&mut decoder, text, reply(ApiOutcome::Other));

    decoder.expect_snapshot(7, ETH).expect("room");
    decoder.forget_snapshot(7);
    check(&mut decoder, text, reply(ApiOutcome::Other));

    decoder.expect_snapshot(7, BTC).expect("room");
    let broken = r#"{"id":7,"status":200,"result":{"lastUpdateId":1,"bids":[["1.00","1"]]}}"#;
    let expected = Fault::field(VenueFault::MissingField, "asks").of(BTC);
    check(&mut decoder, broken, Err(expected));
}

#[test]
fn api_answers_carry_status_code_and_weight() {
    let mut decoder = decoder();
    check(
        &mut decoder,
        r#"{"id":5,"status":418,"error":{"code":-1003,"msg":"Way too much request weight used","data":{"serverTime":1659142907531,"retryAfter":1659146400000}},"rateLimits":[{"rateLimitType":"ORDERS","interval":"DAY","intervalNum":1,"limit":160000,"count":1},{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":6000,"count":8000}]}"#,
        Ok(Update::ApiReply(ApiReply {
            id: Some(5),
            status: 418,
            weight: Some(RequestWeight {
                used: 8000,
                limit: 6000,
            }),
            outcome: ApiOutcome::Error {
                code: -1003,
                retry_after: Some(VenueMillis(1659146400000)),
            },
        })),
    );
    check(
        &mut decoder,
        r#"{"id":null,"status":401,"error":{"code":-2015,"msg":"Invalid API-key"}}"#,
        Ok(Update::ApiReply(ApiReply {
            id: None,
            status: 401,
            weight: None,
            outcome: ApiOutcome::Error {
                code: -2015,
                retry_after: None,
            },
        })),
    );
    check(
        &mut decoder,
        r#"{"id":1,"status":200,"result":{"serverTime":1656400526260},"rateLimits":[]}"#,
        Ok(Update::ApiReply(ApiReply {
            id: Some(1),
            status: 200,
            weight: None,
            outcome: ApiOutcome::ServerTime(VenueMillis(1656400526260)),
        })),
    );
}

#[test]
fn what_is_not_ours_is_ignored_and_counted() {
    let texts = [
        "{}",
        "[]",
        "17",
        r#"{"e":"kline","s":7}"#,
        r#"{"stream":"!ticker@arr","data":[{"e":"24hrTicker"}]}"#,
        r#"{"subscriptionId":0,"event":{"e":"balanceUpdate"}}"#,
        r#"{"event":[]}"#,
    ];
    let mut decoder = decoder();
    for text in texts {
        check(&mut decoder, text, Ok(Update::Ignored));
    }
    assert_eq!(decoder.counts().ignored, texts.len() as u64);
}

#[test]
fn bad_input_is_a_typed_fault_with_its_instrument() {
    let depth = |tail: &str| format!(r#"{{"e":"depthUpdate","E":1,"s":"BTCUSDT",{tail}}}"#);
    let bids = |bids: &str| depth(&format!(r#""U":1,"u":2,"b":{bids},"a":[]"#));
    let bid = |price: &str, qty: &str| bids(&format!(r#"[["{price}","{qty}"]]"#));
    let digits = "123456789012345678901234567890";
    let many = format!(
        "[{}]",
        vec![r#"["1.00","1"]"#; LEVELS_PER_SIDE_MAX + 1].join(",")
    );
    let cases = [
        (bid("1.00", "-1"), VenueFault::NumberSyntax),
        (bid("1e5", "1"), VenueFault::NumberSyntax),
        (bid("NaN", "1"), VenueFault::NumberSyntax),
        (bid("1.00", ""), VenueFault::NumberSyntax),
        (bid(digits, "1"), VenueFault::NumberRange),
        (bid("1.005", "1"), VenueFault::NumberOffGrid),
        (bid("1.00", "0.000001"), VenueFault::NumberOffGrid),
        (bid("0.00", "1"), VenueFault::ZeroPrice),
        (bids(r#"[[1.00,"1"]]"#), VenueFault::WrongType),
        (bids(r#"[["1.00"]]"#), VenueFault::WrongType),
        (bids("[7]"), VenueFault::WrongType),
        (bids("{}"), VenueFault::WrongType),
        (bids(&many), VenueFault::TooManyLevels),
        (depth(r#""U":1,"u":2,"a":[]"#), VenueFault::MissingField),
        (
            depth(r#""U":3,"u":2,"a":[],"b":[]"#),
            VenueFault::IdsReversed,
        ),
        (
            depth(r#""U":1.0,"u":2,"a":[],"b":[]"#),
            VenueFault::WrongType,
        ),
        (
            depth(&format!(r#""U":{digits},"u":2,"a":[],"b":[]"#)),
            VenueFault::NumberRange,
        ),
        (
            r#"{"e":"trade","E":1,"T":1,"s":"BTCUSDT","t":6,"p":"0","q":"0","X":"NA","m":true}"#
                .into(),
            VenueFault::EmptyTrade,
        ),
        (
            r#"{"e":"trade","E":1,"T":1,"s":"BTCUSDT","t":6,"p":"1","q":"1","m":1}"#.into(),
            VenueFault::WrongType,
        ),
        (
            r#"{"stream":"ethusdt@trade","data":{"e":"trade","s":"BTCUSDT"}}"#.into(),
            VenueFault::StreamMismatch,
        ),
    ];
    for (text, kind) in &cases {
        check_fault(text, *kind, Some(BTC));
    }

    for (text, kind) in [
        ("", VenueFault::Malformed),
        ("<html>", VenueFault::Malformed),
        (r#"{"e":"trade""#, VenueFault::Malformed),
        (r#"{"e":"trade","s":"BTCUSDT"}x"#, VenueFault::Malformed),
        (r#"{"e":"trade","e":"trade"}"#, VenueFault::DuplicateKey),
        (r#"{"e":1}"#, VenueFault::WrongType),
        (r#"{"e":"trade"}"#, VenueFault::MissingField),
        (
            r#"{"e":"trade","s":"DOGEUSDT"}"#,
            VenueFault::UnknownInstrument,
        ),
        (
            r#"{"e":"trade","s":"btcusdt"}"#,
            VenueFault::UnknownInstrument,
        ),
        (
            r#"{"lastUpdateId":1,"bids":[],"asks":[]}"#,
            VenueFault::UnknownInstrument,
        ),
        (r#"{"stream":7,"data":{}}"#, VenueFault::WrongType),
        (r#"{"error":7}"#, VenueFault::WrongType),
        (
            r#"{"id":1,"status":70000,"result":{}}"#,
            VenueFault::NumberRange,
        ),
    ] {
        check_fault(text, kind, None);
    }

    let mut invalid = PayloadBuf::default();
    invalid.set(b"{\"e\":\"kline\",\"x\":\"\xff\"}");
    let fault = decoder()
        .decode(invalid.payload())
        .expect_err("invalid UTF-8");
    assert_eq!(fault.kind, VenueFault::Malformed);
    assert_eq!(fault.detail, Detail::None);
}

#[test]
fn pending_snapshots_are_bounded() {
    let mut decoder = decoder();
    for id in 0..SNAPSHOTS_PENDING_MAX as i64 {
        decoder.expect_snapshot(id, BTC).expect("room");
        decoder
            .expect_snapshot(id, ETH)
            .expect("a repeated id replaces");
    }
    assert_eq!(decoder.expect_snapshot(-1, BTC), Err(PendingFull));
    decoder.forget_all_snapshots();
    decoder.expect_snapshot(-1, BTC).expect("room again");
}
