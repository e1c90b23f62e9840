use super::*;
use crate::event::PayloadBuf;
use crate::instrument::Symbol;
use crate::instrument::tests::instrument;
use crate::order::{ExecutionKind, Fill, OrderId, Side, VenueStatus};
use crate::units::{Lots, Ticks};
use crate::venue::binance::fault::{Detail, VenueFault};
use crate::venue::binance::order_entry::RequestKind;
use crate::venue::binance::order_error::{Cause, ErrorKind};

const BTC: InstrumentIndex = InstrumentIndex(0);

/// The same decoder twice: with the scanner and without.
struct Both {
    tolerant: OrderDecoder,
    scanning: OrderDecoder,
    buffer: PayloadBuf,
}

impl Both {
    fn new() -> Self {
        let instruments = Instruments::new(vec![
            instrument("BTCUSDT", 1_000_000, 1),
            instrument("PEPEUSDT", 1, 100_000_000),
        ])
        .expect("two");
        let assets = Assets::new(&instruments, &[Symbol::new("BNB").expect("short")]);
        let ids = ClientOrderIds::new("mm1").expect("legal");
        let with = |scanner| OrderDecoder::with_scanner(&instruments, &assets, ids, scanner);
        Self {
            tolerant: with(Scanner::Tolerant),
            scanning: with(Scanner::Portable),
            buffer: PayloadBuf::default(),
        }
    }

    /// What both say of a message.
    fn decode(&mut self, text: &str) -> Result<OrderMessage<'_>, Fault> {
        self.buffer.set(text.as_bytes());
        let expected = self.tolerant.decode(self.buffer.payload());
        assert_eq!(
            self.scanning.decode(self.buffer.payload()),
            expected,
            "{text}"
        );
        expected
    }

    fn outcome(&mut self, text: &str) -> OrderOutcome<'_> {
        match self.decode(text) {
            Ok(OrderMessage::Reply { outcome, .. }) => outcome,
            other => panic!("{other:?} for {text}"),
        }
    }

    fn fault(&mut self, text: &str) -> Fault {
        match self.decode(text) {
            Err(fault) => fault,
            Ok(message) => panic!("{message:?} for {text}"),
        }
    }

    fn report(&mut self, text: &str) -> ExecutionReport {
        match self.decode(text) {
            Ok(OrderMessage::Report(report)) => report,
            other => panic!("{other:?} for {text}"),
        }
    }
}

fn wire(kind: RequestKind) -> u64 {
    RequestId { sequence: 9, kind }.to_wire()
}

/// A successful answer to a request of this kind.
fn answer(kind: RequestKind, result: &str) -> String {
    format!(r#"{{"id":{},"status":200,"result":{result}}}"#, wire(kind))
}

/// A refusal of a request of this kind.
fn refusal(kind: RequestKind, status: u16, error: &str) -> String {
    format!(
        r#"{{"id":{},"status":{status},"error":{error}}}"#,
        wire(kind)
    )
}

fn ours(sequence: u32) -> OrderKey {
    OrderKey::Ours(OrderId { run: 7, sequence })
}

const LIMITS: &str = r#"[{"rateLimitType":"ORDERS","interval":"SECOND","intervalNum":10,"limit":50,"count":12},{"rateLimitType":"ORDERS","interval":"DAY","intervalNum":1,"limit":160000,"count":4043},{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":6000,"count":321}]"#;

const REPORT: &str = r#"{"subscriptionId":0,"event":{"e":"executionReport","E":1499405658658,"s":"BTCUSDT","c":"vz-mm1_7_1","S":"BUY","o":"LIMIT","f":"GTC","q":"1.00000000","p":"61837.63000000","P":"0.00000000","F":"0.00000000","g":-1,"C":"","x":"NEW","X":"NEW","r":"NONE","i":4293153,"l":"0.00000000","z":"0.00000000","L":"0.00000000","n":"0","N":null,"T":1499405658657,"t":-1,"I":8641984,"w":true,"m":false,"M":false,"O":1499405658657,"Z":"0.00000000","Y":"0.00000000","Q":"0.00000000","W":1499405658657,"V":"EXPIRE_MAKER"}}"#;

/// [`REPORT`] with some of its texts replaced.
fn report(changes: &[(&str, &str)]) -> String {
    let mut text = REPORT.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    text
}

const TRADE: [(&str, &str); 6] = [
    (
        r#""x":"NEW","X":"NEW""#,
        r#""x":"TRADE","X":"PARTIALLY_FILLED""#,
    ),
    (r#""l":"0.00000000""#, r#""l":"0.25000000""#),
    (r#""z":"0.00000000""#, r#""z":"0.75000000""#),
    (r#""L":"0.00000000""#, r#""L":"61837.62000000""#),
    (r#""n":"0","N":null"#, r#""n":"0.00001250","N":"BNB""#),
    (r#""t":-1"#, r#""t":77"#),
];

fn expected_new() -> ExecutionReport {
    ExecutionReport {
        instrument: BTC,
        key: ours(1),
        venue_order_id: 4_293_153,
        kind: ExecutionKind::New,
        status: VenueStatus::New,
        side: Side::Buy,
        price: Ticks(6_183_763),
        qty: Lots(100_000_000),
        executed: Lots(0),
        prevented: Lots(0),
        fill: None,
        execution_id: 8_641_984,
        transacted: VenueMillis(1_499_405_658_657),
        event: VenueMillis(1_499_405_658_658),
    }
}

#[test]
fn reports_become_our_vocabulary() {
    let mut it = Both::new();
    assert_eq!(it.report(REPORT), expected_new());

    let fill = Fill {
        trade_id: 77,
        price: Ticks(6_183_762),
        qty: Lots(25_000_000),
        fee: E8(1_250),
        fee_asset: it.scanning.context.assets.find(b"BNB"),
        is_maker: false,
        at: VenueMillis(1_499_405_658_657),
    };
    let expected = ExecutionReport {
        kind: ExecutionKind::Trade,
        status: VenueStatus::PartiallyFilled,
        executed: Lots(75_000_000),
        fill: Some(fill),
        ..expected_new()
    };
    assert_eq!(it.report(&report(&TRADE)), expected);
    assert_eq!(it.scanning.counts().fast, 2);

    // The venue names no asset where it took nothing.
    let mut free = TRADE;
    free[4].1 = r#""n":"0","N":null"#;
    let fill = it.report(&report(&free)).fill.expect("a trade");
    assert_eq!((fill.fee, fill.fee_asset), (E8(0), None));

    // A market order's price is zero, and a report without working time is usual too.
    let market = [
        (r#""p":"61837.63000000""#, r#""p":"0.00000000""#),
        (r#""W":1499405658657,"#, ""),
    ];
    assert_eq!(it.report(&report(&market)).price, Ticks(0));
    assert_eq!(it.scanning.counts().tolerant, 0);
}

#[test]
fn self_trade_prevention_and_expiry_have_keys_of_their_own() {
    let mut it = Both::new();
    let prevented = [
        (
            r#""x":"NEW","X":"NEW""#,
            r#""x":"TRADE_PREVENTION","X":"EXPIRED_IN_MATCH""#,
        ),
        (r#""t":-1,"#, r#""t":-1,"v":3,"#),
        (
            r#""V":"EXPIRE_MAKER""#,
            r#""V":"EXPIRE_TAKER","A":"0.25000000","B":"0.25000000","u":1,"U":37,"Cs":"BTCUSDT","pl":"2.1","pL":"0.1","pY":"0.2""#,
        ),
    ];
    let read = it.report(&report(&prevented));
    assert_eq!(read.kind, ExecutionKind::TradePrevention);
    assert_eq!(
        read.status.done(),
        Some(crate::order::DoneReason::ExpiredInMatch)
    );
    assert_eq!(read.prevented, Lots(25_000_000));

    let expired = [
        (r#""x":"NEW","X":"NEW""#, r#""x":"EXPIRED","X":"EXPIRED""#),
        (
            r#""V":"EXPIRE_MAKER""#,
            r#""V":"EXPIRE_MAKER","eR":"UNFILLED_IOC_QUANTITY_EXPIRED""#,
        ),
    ];
    assert_eq!(it.report(&report(&expired)).kind, ExecutionKind::Expired);
}

#[test]
fn a_cancel_is_about_the_order_whose_id_stands_in_the_other_key() {
    let mut it = Both::new();
    let cases = [
        // The cancel's own id and the order's.
        ("CANCELED", "vc-mm1_7_1", "vz-mm1_7_1", ours(1)),
        // Cancelled by hand: a random id.
        (
            "CANCELED",
            "web_0123456789abcdef0123456789abcdef",
            "vz-mm1_7_1",
            ours(1),
        ),
        ("CANCELED", "vz-mm1_7_2", "vz-mm1_7_1", ours(1)),
        // Somebody else's order.
        ("CANCELED", "vc-mm1_7_1", "web_1", OrderKey::Foreign),
        // Without the other key there is only one id to go by.
        ("CANCELED", "vz-mm1_7_1", "", ours(1)),
        // An amend that kept the id, and one that did not.
        ("REPLACED", "vz-mm1_7_1", "vz-mm1_7_1", ours(1)),
        ("REPLACED", "random", "vz-mm1_7_1", ours(1)),
        ("REPLACED", "vz-mm1_7_1", "", ours(1)),
        // Of other events `c` alone counts.
        ("EXPIRED", "vz-mm1_7_1", "vz-mm1_7_2", ours(1)),
        ("NEW", "random", "vz-mm1_7_2", OrderKey::Foreign),
    ];
    for (kind, current, earlier, expected) in cases {
        let text = report(&[
            (r#""x":"NEW""#, &format!(r#""x":"{kind}""#)),
            (r#""c":"vz-mm1_7_1""#, &format!(r#""c":"{current}""#)),
            (r#""C":"""#, &format!(r#""C":"{earlier}""#)),
        ]);
        assert_eq!(it.report(&text).key, expected, "{text}");
    }
    assert_eq!(it.scanning.counts().tolerant, 0);
}

#[test]
fn what_is_wrong_with_a_report_of_ours_is_typed() {
    let mut it = Both::new();
    let field = |kind, name| Fault::field(kind, name).of(BTC);
    let cases: &[(&[(&str, &str)], Fault)] = &[
        (
            &[(r#""i":4293153,"#, "")],
            field(VenueFault::MissingField, "i"),
        ),
        (
            &[(r#""I":8641984,"#, "")],
            field(VenueFault::MissingField, "I"),
        ),
        (
            &[(r#""z":"0.00000000","#, "")],
            field(VenueFault::MissingField, "z"),
        ),
        (
            &[(r#""T":1499405658657,"#, "")],
            field(VenueFault::MissingField, "T"),
        ),
        (
            &[(r#""c":"vz-mm1_7_1","#, "")],
            field(VenueFault::MissingField, "c"),
        ),
        (&[(r#""C":"","#, "")], field(VenueFault::MissingField, "C")),
        (
            &[(r#""x":"NEW","#, "")],
            field(VenueFault::MissingField, "x"),
        ),
        (
            &[(r#""i":4293153"#, r#""i":"4293153""#)],
            field(VenueFault::WrongType, "i"),
        ),
        (
            &[(r#""i":4293153"#, r#""i":-1"#)],
            field(VenueFault::WrongType, "i"),
        ),
        (
            &[(r#""q":"1.00000000""#, r#""q":1.0"#)],
            field(VenueFault::WrongType, "q"),
        ),
        (
            &[(r#""q":"1.00000000""#, r#""q":"1e0""#)],
            field(VenueFault::NumberSyntax, "q"),
        ),
        (
            &[(r#""p":"61837.63000000""#, r#""p":"61837.63500000""#)],
            field(VenueFault::NumberOffGrid, "p"),
        ),
        (
            &[(r#""q":"1.00000000""#, r#""q":"99999999999999.0""#)],
            field(VenueFault::NumberRange, "q"),
        ),
        (
            &[(r#""X":"NEW""#, r#""X":"DREAMING""#)],
            field(VenueFault::UnknownWord, "X"),
        ),
        (
            &[(r#""x":"NEW""#, r#""x":"DREAMT""#)],
            field(VenueFault::UnknownWord, "x"),
        ),
        (
            &[(r#""S":"BUY""#, r#""S":"BORROW""#)],
            field(VenueFault::UnknownWord, "S"),
        ),
        (
            &[(r#""I":8641984"#, r#""I":8641984,"I":8641984"#)],
            Fault::field(VenueFault::DuplicateKey, "I"),
        ),
        (
            &[(r#""s":"BTCUSDT","#, "")],
            Fault::field(VenueFault::MissingField, "s"),
        ),
        (
            &[(r#""e":"executionReport","#, "")],
            Fault::field(VenueFault::MissingField, "e"),
        ),
    ];
    for (changes, expected) in cases {
        let fault = it.fault(&report(changes));
        assert_eq!(fault, *expected, "{changes:?}");
    }
    // Each part of a fill.
    let fills = [
        (5, r#""t":-1"#, VenueFault::OrderInconsistent, "t"),
        (1, r#""l":"0.00000000""#, VenueFault::EmptyTrade, "l"),
        (3, r#""L":"0.00000000""#, VenueFault::EmptyTrade, "L"),
        (3, r#""L":"0.00100000""#, VenueFault::NumberOffGrid, "L"),
        (4, r#""n":"-1.0","N":"BNB""#, VenueFault::NumberSyntax, "n"),
        (4, r#""n":"1.0""#, VenueFault::MissingField, "N"),
        (4, r#""n":"1.0","N":7"#, VenueFault::WrongType, "N"),
    ];
    for (place, text, kind, name) in fills {
        let mut changes = TRADE;
        changes[place].1 = text;
        assert_eq!(it.fault(&report(&changes)), field(kind, name), "{text}");
    }
    for (text, expected) in [
        (
            "{\"event\":7}",
            Fault::field(VenueFault::WrongType, "event"),
        ),
        ("{\"event\":", Fault::new(VenueFault::Malformed)),
        ("", Fault::new(VenueFault::Malformed)),
    ] {
        assert_eq!(it.fault(text), expected, "{text}");
    }
}

#[test]
fn what_is_not_ours_never_hides_what_is() {
    let mut it = Both::new();
    let foreign = |changes: &[(&'static str, &'static str)]| {
        let mut all = vec![(r#""c":"vz-mm1_7_1""#, r#""c":"web_1""#)];
        all.extend(changes);
        report(&all)
    };
    // An order of others is told like ours where it can be.
    assert_eq!(it.report(&foreign(&[])).key, OrderKey::Foreign);
    let unreadable = [
        foreign(&[(r#""p":"61837.63000000""#, r#""p":"61837.63500000""#)]),
        foreign(&[(r#""q":"1.00000000""#, r#""q":"99999999999999.0""#)]),
        foreign(&[(r#""x":"NEW""#, r#""x":"TRIGGERED""#)]),
        foreign(&[(r#""X":"NEW""#, r#""X":"SLEEPING""#)]),
    ];
    for text in &unreadable {
        assert_eq!(it.decode(text), Ok(OrderMessage::Ignored), "{text}");
    }
    assert_eq!(it.scanning.counts().unreadable_foreign, 4);
    // But damage is damage.
    let damaged = foreign(&[(r#""i":4293153,"#, "")]);
    assert_eq!(it.fault(&damaged).kind, VenueFault::MissingField);

    let other = report(&[(r#""s":"BTCUSDT""#, r#""s":"ETHUSDT""#)]);
    assert_eq!(it.decode(&other), Ok(OrderMessage::Ignored));
    assert_eq!(it.scanning.counts().other_symbols, 1);

    // A fill of ours whose fee is in an asset that we do not hold is told all the same.
    let mut changes = TRADE;
    changes[4].1 = r#""n":"0.5","N":"DOGE""#;
    let fill = it.report(&report(&changes)).fill.expect("a trade");
    assert_eq!((fill.fee, fill.fee_asset), (E8(50_000_000), None));
    assert_eq!(it.scanning.counts().other_fee_assets, 1);
}

#[test]
fn the_other_events_of_the_account_are_told() {
    let mut it = Both::new();
    let assets = it.scanning.context.assets.clone();
    let asset = |name: &[u8]| assets.find(name).expect("one of ours");
    let text = r#"{"subscriptionId":0,"event":{"e":"outboundAccountPosition","E":1564034571105,"u":1564034571073,"B":[{"a":"BTC","f":"10000.000000","l":"0.500000"},{"a":"USDT","f":"0","l":"0"}]}}"#;
    let expected = [
        Balance {
            asset: asset(b"BTC"),
            free: E8(1_000_000_000_000),
            locked: E8(50_000_000),
        },
        Balance {
            asset: asset(b"USDT"),
            free: E8(0),
            locked: E8(0),
        },
    ];
    let message = OrderMessage::Account {
        event: VenueMillis(1_564_034_571_105),
        updated: VenueMillis(1_564_034_571_073),
        balances: &expected,
    };
    assert_eq!(it.decode(text), Ok(message));
    assert_eq!(it.scanning.counts().fast, 1);
    // What is not ours is left out and counted.
    let more = text.replace(
        r#"{"a":"USDT","#,
        r#"{"a":"DOGE","f":"1","l":"0"},{"a":"USDT","#,
    );
    assert_eq!(it.decode(&more), Ok(message));
    assert_eq!(it.scanning.counts().other_assets, 1);
    let empty = text.replace(r#""B":["#, r#""B":[],"ignored":["#);
    assert!(matches!(
        it.decode(&empty),
        Ok(OrderMessage::Account { balances: [], .. })
    ));

    for (text, expected) in [
        (
            r#"{"subscriptionId":0,"event":{"e":"balanceUpdate","E":3,"a":"BTC","d":"100.00000000","T":2}}"#,
            OrderMessage::BalanceDelta {
                asset: asset(b"BTC"),
                delta: E8(10_000_000_000),
                event: VenueMillis(3),
                cleared: VenueMillis(2),
            },
        ),
        (
            r#"{"subscriptionId":0,"event":{"e":"balanceUpdate","E":3,"a":"BTC","d":"-0.00000001","T":2}}"#,
            OrderMessage::BalanceDelta {
                asset: asset(b"BTC"),
                delta: E8(-1),
                event: VenueMillis(3),
                cleared: VenueMillis(2),
            },
        ),
        (
            r#"{"subscriptionId":0,"event":{"e":"balanceUpdate","E":3,"a":"NEO","d":"1","T":2}}"#,
            OrderMessage::Ignored,
        ),
        (
            r#"{"subscriptionId":0,"event":{"e":"externalLockUpdate","E":3,"a":"USDT","d":"10.00000000","T":2}}"#,
            OrderMessage::ExternalLock {
                asset: asset(b"USDT"),
                delta: E8(1_000_000_000),
                event: VenueMillis(3),
                at: VenueMillis(2),
            },
        ),
        (
            r#"{"subscriptionId":0,"event":{"e":"externalLockUpdate","E":3,"a":"NEO","d":"10.00000000","T":2}}"#,
            OrderMessage::Ignored,
        ),
        (
            r#"{"subscriptionId":0,"event":{"e":"listStatus","E":1564035303637,"s":"ETHBTC","g":2,"c":"OCO","l":"EXEC_STARTED","L":"EXECUTING","r":"NONE","C":"F4QN4G8DlFATFlIUQ0cjdD","T":1564035303625,"O":[{"s":"ETHBTC","i":17,"c":"AJYsMjErWJesZvqlJCTUgL"}]}}"#,
            OrderMessage::ListStatus,
        ),
        (
            r#"{"subscriptionId":0,"event":{"e":"eventStreamTerminated","E":1728973001334}}"#,
            OrderMessage::StreamTerminated {
                event: VenueMillis(1_728_973_001_334),
            },
        ),
        (
            r#"{"event":{"e":"serverShutdown","E":1770123456789}}"#,
            OrderMessage::ServerShutdown {
                event: VenueMillis(1_770_123_456_789),
            },
        ),
        (
            r#"{"subscriptionId":0,"event":{"e":"news","E":1}}"#,
            OrderMessage::Ignored,
        ),
        (r#"{"e":"trade"}"#, OrderMessage::Ignored),
        ("[]", OrderMessage::Ignored),
        (
            r#"{"id":null,"status":401,"error":{"code":-2015,"msg":"Invalid API-key, IP, or permissions for action."}}"#,
            OrderMessage::SessionRevoked { code: -2015 },
        ),
    ] {
        assert_eq!(it.decode(text), Ok(expected), "{text}");
    }
}

#[test]
fn a_balance_of_ours_that_cannot_be_read_is_a_fault() {
    let mut it = Both::new();
    let text = |row: &str| {
        format!(
            r#"{{"subscriptionId":0,"event":{{"e":"outboundAccountPosition","E":1,"u":1,"B":[{row}]}}}}"#
        )
    };
    let twice = r#"{"a":"BTC","f":"1","l":"0"}"#;
    let five = [twice; 5].join(",");
    for (row, kind, name) in [
        (r#"{"a":"BTC","f":"1"}"#, VenueFault::MissingField, "l"),
        (
            r#"{"a":"BTC","f":"-1","l":"0"}"#,
            VenueFault::NumberSyntax,
            "f",
        ),
        (
            r#"{"a":"BTC","f":"93000000000","l":"0"}"#,
            VenueFault::NumberRange,
            "f",
        ),
        (r#"{"f":"1","l":"0"}"#, VenueFault::MissingField, "a"),
        ("7", VenueFault::WrongType, "B"),
        // More rows than there are assets of ours.
        (five.as_str(), VenueFault::TooManyItems, "B"),
    ] {
        assert_eq!(it.fault(&text(row)), Fault::field(kind, name), "{row}");
    }
}

#[test]
fn the_short_answer_to_a_new_order_is_read() {
    let mut it = Both::new();
    let result = r#"{"symbol":"BTCUSDT","orderId":12569099453,"orderListId":-1,"clientOrderId":"vz-mm1_7_1","transactTime":1660801715639}"#;
    let placed = Placed {
        instrument: BTC,
        key: ours(1),
        venue_order_id: 12_569_099_453,
        at: VenueMillis(1_660_801_715_639),
    };
    let plain = answer(RequestKind::Place, result);
    assert_eq!(it.outcome(&plain), OrderOutcome::Placed(placed));

    let mut limits = Limits {
        weight: Some(RequestWeight {
            used: 321,
            limit: 6_000,
        }),
        orders: [None; ORDER_WINDOWS_MAX],
    };
    limits.orders[0] = Some(OrderCount {
        window: Nanos::from_secs(10),
        used: 12,
        limit: 50,
    });
    limits.orders[1] = Some(OrderCount {
        window: Nanos::from_secs(86_400),
        used: 4_043,
        limit: 160_000,
    });
    let limited = format!(
        "{},\"rateLimits\":{LIMITS}}}",
        plain.strip_suffix('}').expect("an object")
    );
    let reply = OrderMessage::Reply {
        id: Some(RequestId {
            sequence: 9,
            kind: RequestKind::Place,
        }),
        status: 200,
        limits,
        outcome: OrderOutcome::Placed(placed),
    };
    assert_eq!(it.decode(&limited), Ok(reply));
    assert_eq!(it.scanning.counts().fast, 2);
    // A longer answer says the same.
    let full = plain.replace(
        "1660801715639}",
        "1660801715639,\"price\":\"1\",\"fills\":[]}",
    );
    assert_eq!(it.outcome(&full), OrderOutcome::Placed(placed));
    assert_eq!(it.scanning.counts().tolerant, 1);

    // Five windows of orders are more than there is room for; a second word on one window is the last.
    let row = |window: &str, count: u32| {
        format!(
            r#"{{"rateLimitType":"ORDERS","interval":"SECOND","intervalNum":{window},"limit":1,"count":{count}}}"#
        )
    };
    let rows = |windows: &[&str]| {
        let rows: Vec<_> = windows
            .iter()
            .zip(1..)
            .map(|(window, count)| row(window, count))
            .collect();
        format!(
            "{},\"rateLimits\":[{}]}}",
            plain.strip_suffix('}').expect("an object"),
            rows.join(",")
        )
    };
    let fault = it.fault(&rows(&["1", "2", "3", "4", "5"]));
    assert_eq!(fault, Fault::field(VenueFault::TooManyItems, "rateLimits"));
    let Ok(OrderMessage::Reply { limits, .. }) = it.decode(&rows(&["1", "2", "1"])) else {
        panic!("an answer");
    };
    assert_eq!(
        limits.orders.map(|it| it.map(|it| it.used)),
        [Some(3), Some(2), None, None]
    );

    for (from, to, kind, name) in [
        (
            r#""orderId":12569099453,"#,
            "",
            VenueFault::MissingField,
            "orderId",
        ),
        (
            r#","transactTime":1660801715639"#,
            "",
            VenueFault::MissingField,
            "transactTime",
        ),
        (
            r#""clientOrderId":"vz-mm1_7_1","#,
            "",
            VenueFault::MissingField,
            "clientOrderId",
        ),
    ] {
        let fault = it.fault(&plain.replace(from, to));
        assert_eq!(fault, Fault::field(kind, name).of(BTC));
    }
    let fault = it.fault(&plain.replace("BTCUSDT", "ETHUSDT"));
    assert_eq!(fault, Fault::field(VenueFault::UnknownInstrument, "symbol"));
}

const CANCELLED: &str = r#"{"symbol":"BTCUSDT","origClientOrderId":"vz-mm1_7_1","orderId":5,"orderListId":-1,"clientOrderId":"vc-mm1_7_1","transactTime":1684804350068,"price":"23416.10000000","origQty":"0.00847000","executedQty":"0.00001000","origQuoteOrderQty":"0.000000","cummulativeQuoteQty":"0.23416100","status":"CANCELED","timeInForce":"GTC","type":"LIMIT","side":"SELL","selfTradePreventionMode":"EXPIRE_MAKER"}"#;

const QUERIED: &str = r#"{"symbol":"BTCUSDT","orderId":5,"orderListId":-1,"clientOrderId":"vz-mm1_7_1","price":"23416.10000000","origQty":"0.00847000","executedQty":"0.00001000","cummulativeQuoteQty":"0.23416100","status":"PARTIALLY_FILLED","timeInForce":"GTC","type":"LIMIT","side":"SELL","stopPrice":"0.00000000","icebergQty":"0.00000000","time":1660801715639,"updateTime":1684804350068,"isWorking":true,"workingTime":1660801715639,"origQuoteOrderQty":"0.00000000","origQuoteOrderQty":"0.00000000","selfTradePreventionMode":"NONE"}"#;

fn cancelled() -> OrderStatus {
    OrderStatus {
        instrument: BTC,
        key: ours(1),
        venue_order_id: 5,
        status: VenueStatus::Canceled,
        side: Side::Sell,
        price: Ticks(2_341_610),
        qty: Lots(847_000),
        executed: Lots(1_000),
        updated: VenueMillis(1_684_804_350_068),
    }
}

fn queried() -> OrderStatus {
    OrderStatus {
        status: VenueStatus::PartiallyFilled,
        ..cancelled()
    }
}

#[test]
fn answers_about_orders_are_read() {
    let mut it = Both::new();
    let cancel = answer(RequestKind::Cancel, CANCELLED);
    assert_eq!(it.outcome(&cancel), OrderOutcome::Cancelled(cancelled()));
    assert_eq!(it.scanning.counts().fast, 1);
    let status = answer(RequestKind::Status, QUERIED);
    assert_eq!(it.outcome(&status), OrderOutcome::Status(queried()));

    let amended = r#"{"transactTime":1684804350068,"executionId":16,"amendedOrder":{"symbol":"BTCUSDT","orderId":5,"orderListId":-1,"origClientOrderId":"vz-mm1_7_1","clientOrderId":"vz-mm1_7_1","price":"23416.10000000","qty":"0.00847000","executedQty":"0.00001000","preventedQty":"0.00000000","quoteOrderQty":"0.00000000","cumulativeQuoteQty":"0.23416100","status":"PARTIALLY_FILLED","timeInForce":"GTC","type":"LIMIT","side":"SELL","workingTime":1741923284364,"selfTradePreventionMode":"NONE"}}"#;
    let amend = answer(RequestKind::Amend, amended);
    assert_eq!(it.outcome(&amend), OrderOutcome::Amended(queried()));

    let list = format!("[{QUERIED},{}]", QUERIED.replace("vz-mm1_7_1", "web_1"));
    let open = answer(RequestKind::OpenOrders, &list);
    let foreign = OrderStatus {
        key: OrderKey::Foreign,
        ..queried()
    };
    assert_eq!(
        it.outcome(&open),
        OrderOutcome::OpenOrders(&[queried(), foreign])
    );
    assert_eq!(
        it.outcome(&answer(RequestKind::OpenOrders, "[]")),
        OrderOutcome::OpenOrders(&[])
    );

    // Order lists stand beside orders in the answer to a cancel of all.
    let of_list = CANCELLED.replace("vz-mm1_7_1", "bX5wROblo6YeDwa9iTLeyY");
    let all = format!(
        r#"[{CANCELLED},{{"orderListId":19431,"contingencyType":"OCO","listStatusType":"ALL_DONE","symbol":"BTCUSDT","orders":[{{"symbol":"BTCUSDT","orderId":1,"clientOrderId":"b"}}],"orderReports":[{of_list},{of_list}]}}]"#
    );
    let foreign = OrderStatus {
        key: OrderKey::Foreign,
        ..cancelled()
    };
    assert_eq!(
        it.outcome(&answer(RequestKind::CancelAll, &all)),
        OrderOutcome::AllCancelled(&[cancelled(), foreign, foreign])
    );
}

#[test]
fn lists_leave_out_what_is_not_ours_and_nothing_else() {
    let mut it = Both::new();
    let off_grid = QUERIED
        .replace("vz-mm1_7_1", "web_1")
        .replace("23416.10", "23416.105");
    let other = QUERIED.replace("BTCUSDT", "ETHUSDT");
    let list = format!("[{off_grid},{other},{QUERIED}]");
    assert_eq!(
        it.outcome(&answer(RequestKind::OpenOrders, &list)),
        OrderOutcome::OpenOrders(&[queried()])
    );
    let counts = it.scanning.counts();
    assert_eq!((counts.unreadable_foreign, counts.other_symbols), (1, 1));

    let ours = QUERIED.replace("23416.10", "23416.105");
    let fault = it.fault(&answer(RequestKind::OpenOrders, &format!("[{ours}]")));
    assert_eq!(
        fault,
        Fault::field(VenueFault::NumberOffGrid, "price").of(BTC)
    );
    let fault = it.fault(&answer(RequestKind::Status, &ours));
    assert_eq!(
        fault,
        Fault::field(VenueFault::NumberOffGrid, "price").of(BTC)
    );
    let fault = it.fault(&answer(RequestKind::Status, &other));
    assert_eq!(fault, Fault::field(VenueFault::UnknownInstrument, "symbol"));
    for wrong in ["[7]", "7"] {
        let fault = it.fault(&answer(RequestKind::OpenOrders, wrong));
        assert_eq!(fault.kind, VenueFault::WrongType);
    }
    let fault = it.fault(&answer(
        RequestKind::Status,
        &QUERIED.replace("SELL", "SHARE"),
    ));
    assert_eq!(fault, Fault::field(VenueFault::UnknownWord, "side").of(BTC));

    let list = |count: usize| {
        let short = r#"{"symbol":"BTCUSDT","orderId":5,"clientOrderId":"a","price":"1","origQty":"1","executedQty":"0","status":"NEW","side":"SELL","updateTime":1}"#;
        answer(
            RequestKind::OpenOrders,
            &format!("[{}]", vec![short; count].join(",")),
        )
    };
    let OrderOutcome::OpenOrders(orders) = it.outcome(&list(ORDERS_PER_ANSWER_MAX)) else {
        panic!("open orders");
    };
    assert_eq!(orders.len(), ORDERS_PER_ANSWER_MAX);
    let fault = it.fault(&list(ORDERS_PER_ANSWER_MAX + 1));
    assert_eq!(fault, Fault::field(VenueFault::TooManyItems, "result"));
}

const OWN_TRADE: &str = r#"{"symbol":"BTCUSDT","id":1650422481,"orderId":12569099453,"orderListId":-1,"price":"23416.10000000","qty":"0.00635000","quoteQty":"148.69223500","commission":"0.00000001","commissionAsset":"BNB","time":1660801715793,"isBuyer":false,"isMaker":true,"isBestMatch":true}"#;

#[test]
fn the_account_and_its_trades_are_read() {
    let mut it = Both::new();
    let assets = it.scanning.context.assets.clone();
    let account = r#"{"makerCommission":15,"commissionRates":{"maker":"0.00150000"},"canTrade":true,"updateTime":1660801833000,"accountType":"SPOT","balances":[{"asset":"DOGE","free":"999999999999.0","locked":"0"},{"asset":"BTC","free":"1.3447112","locked":"0.08600000"}],"permissions":["SPOT"],"uid":354937868}"#;
    let balance = Balance {
        asset: assets.find(b"BTC").expect("ours"),
        free: E8(134_471_120),
        locked: E8(8_600_000),
    };
    assert_eq!(
        it.outcome(&answer(RequestKind::Account, account)),
        OrderOutcome::Account {
            balances: &[balance],
            can_trade: true
        }
    );
    let trade = OwnTrade {
        instrument: BTC,
        venue_order_id: 12_569_099_453,
        side: Side::Sell,
        fill: Fill {
            trade_id: 1_650_422_481,
            price: Ticks(2_341_610),
            qty: Lots(635_000),
            fee: E8(1),
            fee_asset: assets.find(b"BNB"),
            is_maker: true,
            at: VenueMillis(1_660_801_715_793),
        },
    };
    let trades = format!("[{OWN_TRADE},{}]", OWN_TRADE.replace("BTCUSDT", "ETHUSDT"));
    assert_eq!(
        it.outcome(&answer(RequestKind::Trades, &trades)),
        OrderOutcome::Trades(&[trade])
    );
    for (from, to, kind, name) in [
        ("23416.10", "23416.105", VenueFault::NumberOffGrid, "price"),
        (
            "23416.10000000",
            "0.00000000",
            VenueFault::EmptyTrade,
            "price",
        ),
        ("0.00635000", "0.00000000", VenueFault::EmptyTrade, "qty"),
        (
            r#""isBuyer":false,"#,
            "",
            VenueFault::MissingField,
            "isBuyer",
        ),
        (r#""id":1650422481,"#, "", VenueFault::MissingField, "id"),
    ] {
        let text = answer(
            RequestKind::Trades,
            &format!("[{}]", OWN_TRADE.replace(from, to)),
        );
        assert_eq!(it.fault(&text), Fault::field(kind, name).of(BTC));
    }
    let list = |count: usize| {
        answer(
            RequestKind::Trades,
            &format!("[{}]", vec![OWN_TRADE; count].join(",")),
        )
    };
    let OrderOutcome::Trades(trades) = it.outcome(&list(OWN_TRADES_MAX)) else {
        panic!("own trades");
    };
    assert_eq!(trades.len(), OWN_TRADES_MAX);
    let fault = it.fault(&list(OWN_TRADES_MAX + 1));
    assert_eq!(fault, Fault::field(VenueFault::TooManyItems, "result"));
    let fault = it.fault(&answer(
        RequestKind::Account,
        &account.replace("\"canTrade\":true,", ""),
    ));
    assert_eq!(fault, Fault::field(VenueFault::MissingField, "canTrade"));
}

#[test]
fn the_session_and_the_small_answers_are_read() {
    let mut it = Both::new();
    let cases = [
        (
            RequestKind::LogOn,
            r#"{"apiKey":"k","authorizedSince":1,"connectedSince":1,"returnRateLimits":false,"serverTime":1649729878630,"userDataStream":false}"#,
            OrderOutcome::LoggedOn {
                at: VenueMillis(1_649_729_878_630),
            },
        ),
        (
            RequestKind::Subscribe,
            r#"{"subscriptionId":3}"#,
            OrderOutcome::Subscribed { id: 3 },
        ),
        (
            RequestKind::Time,
            r#"{"serverTime":1656400526260}"#,
            OrderOutcome::ServerTime(VenueMillis(1_656_400_526_260)),
        ),
        (RequestKind::Ping, "{}", OrderOutcome::Empty),
        (RequestKind::OrderCounts, LIMITS, OrderOutcome::OrderCounts),
    ];
    for (kind, result, expected) in cases {
        assert_eq!(it.outcome(&answer(kind, result)), expected);
    }
    let counts = answer(RequestKind::OrderCounts, LIMITS);
    let Ok(OrderMessage::Reply { limits, .. }) = it.decode(&counts) else {
        panic!("an answer");
    };
    assert_eq!(limits.orders[1].map(|count| count.used), Some(4_043));

    // Limits of kinds and windows that we do not know are no reason to stop.
    let odd = r#"[{"rateLimitType":"RAW_REQUESTS","interval":"MINUTE","intervalNum":5,"limit":1,"count":1},{"rateLimitType":"ORDERS","interval":"FORTNIGHT","intervalNum":1,"limit":1,"count":1},{"rateLimitType":"REQUEST_WEIGHT","interval":"DAY","intervalNum":1,"limit":1,"count":1}]"#;
    let text = format!(
        r#"{{"id":{},"status":200,"result":{{}},"rateLimits":{odd}}}"#,
        wire(RequestKind::Ping)
    );
    let Ok(OrderMessage::Reply { limits, .. }) = it.decode(&text) else {
        panic!("an answer");
    };
    assert_eq!(limits, Limits::default());

    for kind in RequestKind::ALL {
        for result in ["7", "null", "\"\""] {
            assert_eq!(it.fault(&answer(kind, result)).kind, VenueFault::WrongType);
        }
        let missing = format!(r#"{{"id":{},"status":200}}"#, wire(kind));
        assert_eq!(
            it.fault(&missing),
            Fault::field(VenueFault::MissingField, "result")
        );
    }
    // An answer to nothing of ours is no fault.
    for id in ["null", "7", "\"a\"", "-1"] {
        let text = format!(r#"{{"id":{id},"status":200,"result":{{"anything":1}}}}"#);
        assert_eq!(it.outcome(&text), OrderOutcome::Empty);
    }
}

#[test]
fn refusals_say_what_they_mean_and_when_to_come_back() {
    let mut it = Both::new();
    let insufficient =
        r#"{"code":-2010,"msg":"Account has insufficient balance for requested action."}"#;
    let OrderOutcome::Error {
        refusal: read,
        retry_after,
    } = it.outcome(&refusal(RequestKind::Place, 400, insufficient))
    else {
        panic!("a refusal");
    };
    assert_eq!((read.code, read.kind), (-2010, ErrorKind::Rejected));
    assert_eq!(
        (read.cause, retry_after),
        (Cause::InsufficientBalance, None)
    );
    assert_eq!(it.scanning.counts().fast, 1);

    let limited = r#"{"code":-1015,"msg":"Too many new orders; current limit is 50 orders per 10 SECOND.","data":{"serverTime":1700000000000,"retryAfter":1700000010000}}"#;
    let OrderOutcome::Error {
        refusal: read,
        retry_after,
    } = it.outcome(&refusal(RequestKind::Place, 429, limited))
    else {
        panic!("a refusal");
    };
    assert_eq!(read.kind, ErrorKind::OrderCount);
    assert_eq!(read.window, Some(Nanos::from_secs(10)));
    assert_eq!(retry_after, Some(VenueMillis(1_700_000_010_000)));

    // A refusal with an id of ours is its answer, also when it is the key that is refused.
    let key = r#"{"code":-2015,"msg":"Invalid API-key, IP, or permissions for action."}"#;
    let OrderOutcome::Error { refusal: read, .. } =
        it.outcome(&refusal(RequestKind::LogOn, 401, key))
    else {
        panic!("a refusal");
    };
    assert_eq!(read.kind, ErrorKind::SessionRevoked);
    // Without one it may be any request's.
    let invalid = r#"{"id":null,"status":400,"error":{"code":-1135,"msg":"Invalid JSON Request"}}"#;
    let Ok(OrderMessage::Reply {
        id: None,
        outcome: OrderOutcome::Error { refusal: read, .. },
        ..
    }) = it.decode(invalid)
    else {
        panic!("a refusal");
    };
    assert_eq!(read.kind, ErrorKind::BadRequest);

    for (error, kind, name) in [
        (r#"{"msg":"x"}"#, VenueFault::MissingField, "code"),
        (r#"{"code":-1}"#, VenueFault::MissingField, "msg"),
        (
            r#"{"code":99999999999,"msg":"x"}"#,
            VenueFault::NumberRange,
            "code",
        ),
        ("7", VenueFault::WrongType, "error"),
    ] {
        let fault = it.fault(&refusal(RequestKind::Place, 400, error));
        assert_eq!(fault, Fault::field(kind, name));
    }
}

#[test]
fn every_outcome_of_a_replacement_is_told_apart() {
    let mut it = Both::new();
    let placed = r#"{"symbol":"BTCUSDT","orderId":6,"orderListId":-1,"clientOrderId":"vz-mm1_7_2","transactTime":1684804350069}"#;
    let new = NewLeg::Placed(Placed {
        instrument: BTC,
        key: ours(2),
        venue_order_id: 6,
        at: VenueMillis(1_684_804_350_069),
    });
    let unknown = r#"{"code":-2011,"msg":"Unknown order sent."}"#;
    let would_match = r#"{"code":-2010,"msg":"Order would immediately match and take."}"#;
    let too_many =
        r#"{"code":-1015,"msg":"Too many new orders; current limit is 50 orders per 10 SECOND."}"#;
    let data = |cancel: (&str, &str), new: (&str, &str)| {
        format!(
            r#"{{"cancelResult":"{}","newOrderResult":"{}","cancelResponse":{},"newOrderResponse":{}}}"#,
            cancel.0, new.0, cancel.1, new.1
        )
    };
    let failed = |status: u16, code: i32, data: &str| {
        let error =
            format!(r#"{{"code":{code},"msg":"Order cancel-replace failed.","data":{data}}}"#);
        refusal(RequestKind::CancelReplace, status, &error)
    };
    let kinds = |it: &mut Both, text: &str| {
        let OrderOutcome::CancelReplaced { cancel, new } = it.outcome(text) else {
            panic!("a replacement: {text}");
        };
        let cancel = match cancel {
            CancelLeg::Cancelled(status) => {
                assert_eq!(status, cancelled());
                None
            }
            CancelLeg::Failed(refusal) => Some(Some(refusal.kind)),
            CancelLeg::NotAttempted => Some(None),
        };
        (cancel, new)
    };
    let refused = |new: NewLeg| match new {
        NewLeg::Failed(refusal) => Some(refusal.kind),
        NewLeg::Placed(_) | NewLeg::NotAttempted => None,
    };

    let text = answer(
        RequestKind::CancelReplace,
        &data(("SUCCESS", CANCELLED), ("SUCCESS", placed)),
    );
    assert_eq!(kinds(&mut it, &text), (None, new));
    assert_eq!(it.scanning.counts().fast, 1);

    let stopped = data(("FAILURE", unknown), ("NOT_ATTEMPTED", "null"));
    let (cancel, leg) = kinds(&mut it, &failed(400, -2022, &stopped));
    assert_eq!(
        (cancel, leg),
        (Some(Some(ErrorKind::UnknownOrder)), NewLeg::NotAttempted)
    );

    let half = data(("SUCCESS", CANCELLED), ("FAILURE", would_match));
    let (cancel, leg) = kinds(&mut it, &failed(409, -2021, &half));
    assert_eq!((cancel, refused(leg)), (None, Some(ErrorKind::Rejected)));

    let other_half = data(("FAILURE", unknown), ("SUCCESS", placed));
    let (cancel, leg) = kinds(&mut it, &failed(409, -2021, &other_half));
    assert_eq!((cancel, leg), (Some(Some(ErrorKind::UnknownOrder)), new));

    let both = data(("FAILURE", unknown), ("FAILURE", would_match));
    let (cancel, leg) = kinds(&mut it, &failed(400, -2022, &both));
    assert_eq!(cancel, Some(Some(ErrorKind::UnknownOrder)));
    assert_eq!(refused(leg), Some(ErrorKind::Rejected));

    // The pages disagree on the status when orders are too many: the data counts.
    for status in [409, 429] {
        let counted = data(("SUCCESS", CANCELLED), ("FAILURE", too_many));
        let (cancel, leg) = kinds(&mut it, &failed(status, -2021, &counted));
        assert_eq!((cancel, refused(leg)), (None, Some(ErrorKind::OrderCount)));
    }
    let not_tried = data(("NOT_ATTEMPTED", "null"), ("NOT_ATTEMPTED", "null"));
    let (cancel, leg) = kinds(&mut it, &failed(400, -2022, &not_tried));
    assert_eq!((cancel, leg), (Some(None), NewLeg::NotAttempted));
    // An internal error leaves a failed half open.
    let (_, leg) = kinds(&mut it, &failed(503, -2021, &half));
    assert_eq!(refused(leg), Some(ErrorKind::Unknown));

    // Without data nothing is known of either half; refused as a whole, neither was tried.
    for (status, code, expected) in [
        (409, -2021, ErrorKind::Unknown),
        (400, -2022, ErrorKind::Unknown),
        (429, -1015, ErrorKind::OrderCount),
        (400, -1013, ErrorKind::Rejected),
    ] {
        let error = format!(r#"{{"code":{code},"msg":"x"}}"#);
        let text = refusal(RequestKind::CancelReplace, status, &error);
        let OrderOutcome::Error { refusal, .. } = it.outcome(&text) else {
            panic!("a refusal");
        };
        assert_eq!(refusal.kind, expected);
    }
    for (wrong, kind, name) in [
        (
            data(("PERHAPS", "null"), ("SUCCESS", placed)),
            VenueFault::UnknownWord,
            "cancelResult",
        ),
        (
            data(("SUCCESS", "null"), ("SUCCESS", placed)),
            VenueFault::WrongType,
            "cancelResponse",
        ),
        (
            data(("FAILURE", "{}"), ("NOT_ATTEMPTED", "null")),
            VenueFault::MissingField,
            "code",
        ),
        (
            data(("SUCCESS", CANCELLED), ("SUCCESS", "7")),
            VenueFault::WrongType,
            "newOrderResponse",
        ),
    ] {
        let fault = it.fault(&failed(409, -2021, &wrong));
        assert_eq!(fault, Fault::field(kind, name), "{wrong}");
    }
}

#[test]
fn a_fault_names_its_instrument_once_it_is_known() {
    let mut it = Both::new();
    let fault = it.fault(&report(&[(r#""i":4293153,"#, "")]));
    assert_eq!(fault.instrument, Some(BTC));
    assert_eq!(fault.detail, Detail::Field("i"));
    let fault = it.fault(r#"{"id":1,"status":70000,"result":{}}"#);
    assert_eq!(fault, Fault::field(VenueFault::NumberRange, "status"));
}
