//! The scanner of the orders link against its tolerant parser: whatever bytes arrive, both must say the same.

#[path = "support/messages.rs"]
mod messages;

use messages::{Dice, Generator, Member};
use proptest::prelude::*;
use veloz_core::event::Payload;
use veloz_core::instrument::{Assets, Bounds, Instrument, Instruments, OrderRules, Symbol};
use veloz_core::limits::{PAYLOAD_SLACK_AFTER, PAYLOAD_SLACK_BEFORE};
use veloz_core::order::{ExecutionKind, OrderId, VenueStatus};
use veloz_core::units::{E8, Grid};
use veloz_core::venue::binance::codec::orders::{OrderDecoder, OrderMessage};
use veloz_core::venue::binance::fault::Fault;
use veloz_core::venue::binance::order_entry::{ClientOrderIds, RequestId, RequestKind};
use veloz_core::wire::json::Scanner;

/// Symbols with tick and lot in 1e-8.
const INSTRUMENTS: [(&str, i64, i64); 3] = [
    ("BTCUSDT", 1_000_000, 1),
    ("PEPEUSDT", 1, 100_000_000),
    ("币安人生USDT", 1_000, 10_000),
];

fn instrument(symbol: &str, tick: i64, lot: i64) -> Instrument {
    Instrument {
        symbol: Symbol::new(symbol).expect("short"),
        base: Symbol::new(symbol.trim_end_matches("USDT")).expect("short"),
        quote: Symbol::new("USDT").expect("short"),
        tick: Grid::new(E8(tick)).expect("positive"),
        lot: Grid::new(E8(lot)).expect("positive"),
        price_bounds: Bounds {
            min: None,
            max: None,
        },
        qty_bounds: Bounds {
            min: None,
            max: None,
        },
        notional_min: None,
        notional_max: None,
        order_rules: OrderRules::UNRESTRICTED,
        trading: true,
    }
}

struct Decoders {
    tolerant: OrderDecoder,
    scanning: OrderDecoder,
    buffer: Vec<u8>,
}

fn ids() -> ClientOrderIds {
    ClientOrderIds::new("mm1").expect("legal")
}

impl Decoders {
    fn new() -> Self {
        let list = INSTRUMENTS
            .iter()
            .map(|(symbol, tick, lot)| instrument(symbol, *tick, *lot))
            .collect();
        let table = Instruments::new(list).expect("distinct");
        let assets = Assets::new(&table, &[Symbol::new("BNB").expect("short")]);
        let with = |scanner| OrderDecoder::with_scanner(&table, &assets, ids(), scanner);
        Self {
            tolerant: with(Scanner::Tolerant),
            scanning: with(Scanner::Portable),
            buffer: Vec::new(),
        }
    }

    /// Checks that both counted the same so far, but for the way that messages took.
    fn compare_counts(&self) {
        let (mut one, mut other) = (self.tolerant.counts(), self.scanning.counts());
        assert_eq!(one.fast + one.tolerant, other.fast + other.tolerant);
        (one.fast, one.tolerant, other.fast, other.tolerant) = (0, 0, 0, 0);
        assert_eq!(one, other);
    }

    /// Decodes `message`, which `after` follows in the receive buffer, both ways, and checks that they agree.
    fn decode(&mut self, message: &[u8], after: &[u8]) -> Result<OrderMessage<'_>, Fault> {
        self.compare_counts();
        self.buffer.clear();
        self.buffer.extend([b'8'; PAYLOAD_SLACK_BEFORE]);
        self.buffer.extend(message);
        self.buffer.extend(after);
        self.buffer.extend([b'9'; PAYLOAD_SLACK_AFTER]);
        let payload = Payload::new(
            &self.buffer,
            PAYLOAD_SLACK_BEFORE,
            PAYLOAD_SLACK_BEFORE + message.len(),
        );
        let expected = self.tolerant.decode(payload);
        let text = String::from_utf8_lossy(message);
        assert_eq!(self.scanning.decode(payload), expected, "{text}");
        expected
    }
}

fn text(name: &str) -> String {
    format!("\"{name}\"")
}

/// Orders: reports, short answers to new orders, and balances.
trait Orders {
    fn client_id(&mut self) -> String;
    fn time(&mut self) -> String;
    fn orders_message(&mut self) -> Vec<u8>;
    fn report(&mut self) -> String;
    fn balances(&mut self) -> String;
    fn answer(&mut self) -> Vec<u8>;
    fn placed(&mut self) -> String;
    fn cancelled(&mut self) -> String;
}

impl Orders for Generator {
    fn client_id(&mut self) -> String {
        if self.dice.chance(self.wild) {
            let forms = [
                "\"\"",
                "\"vz-mm1_07_1\"",
                "\"vz\\u002dmm1_7_1\"",
                "\"a\\\"b\"",
                "\"\u{1}\"",
                "\"ä\"",
                "\"\\ud800\"",
                "7",
                "null",
                "\"0123456789012345678901234567890123456789012345678901234\"",
                "\"01234567890123456789012345678901234567890123456789012345\"",
            ];
            return (*self.dice.pick(&forms)).to_owned();
        }
        let order = OrderId {
            run: self.dice.roll() as u32 >> self.dice.below(32),
            sequence: self.dice.roll() as u32 >> self.dice.below(32),
        };
        let mut room = [0; 40];
        let id = match self.dice.below(4) {
            0 => ids().cancel(order, &mut room),
            1 => b"web_0123456789abcdef0123456789abcdef",
            _ => ids().order(order, &mut room),
        };
        text(std::str::from_utf8(id).expect("ASCII"))
    }

    fn time(&mut self) -> String {
        if self.dice.chance(self.wild) {
            return self.id();
        }
        (1_700_000_000_000 + self.dice.roll() % 100_000_000_000).to_string()
    }

    fn orders_message(&mut self) -> Vec<u8> {
        let event = match self.dice.below(6) {
            0 | 1 => return self.answer(),
            2 => self.balances(),
            _ => self.report(),
        };
        let subscription = if self.dice.chance(self.wild) {
            self.id()
        } else {
            self.dice.below(3).to_string()
        };
        self.object(vec![("subscriptionId", subscription), ("event", event)])
            .into_bytes()
    }

    fn report(&mut self) -> String {
        let (symbol, tick, lot) = *self.dice.pick(&INSTRUMENTS);
        let symbol = if self.dice.chance(self.wild) {
            "ETHUSDT"
        } else {
            symbol
        };
        let kind = ExecutionKind::ALL[self.dice.below(ExecutionKind::ALL.len())];
        let status = VenueStatus::ALL[self.dice.below(VenueStatus::ALL.len())];
        let trade = kind == ExecutionKind::Trade;
        let wild_word = self.dice.chance(self.wild);
        let earlier = if self.dice.chance(60) {
            text("")
        } else {
            self.client_id()
        };
        let last = |text: String| if trade { text } else { "0.00000000".to_owned() };
        let positive = |text: String| {
            if text.bytes().all(|byte| matches!(byte, b'0' | b'.')) {
                "100.00000000".to_owned()
            } else {
                text
            }
        };
        let fee_asset = match (trade, self.dice.chance(self.wild)) {
            (_, true) => (*self.dice.pick(&["\"DOGE\"", "\"\"", "7", "null"])).to_owned(),
            (true, false) => (*self.dice.pick(&["\"BNB\"", "\"USDT\"", "\"BTC\""])).to_owned(),
            (false, false) => "null".to_owned(),
        };
        let mut members: Vec<Member> = vec![
            ("e", text("executionReport")),
            ("E", self.time()),
            ("s", text(symbol)),
            ("c", self.client_id()),
            (
                "S",
                text(if wild_word {
                    "SHARE"
                } else {
                    self.dice.pick::<&str>(&["BUY", "SELL"])
                }),
            ),
            ("o", text("LIMIT")),
            ("f", text("GTC")),
            ("q", text(&self.decimal(lot, 10))),
            ("p", text(&self.decimal(tick, 7))),
            ("P", text("0.00000000")),
            ("F", text("0.00000000")),
            ("g", "-1".to_owned()),
            ("C", earlier),
            ("x", text(if wild_word { "DREAMT" } else { kind.label() })),
            ("X", text(status.label())),
            ("r", text("NONE")),
            ("i", self.id()),
            ("l", text(&last(positive(self.decimal(lot, 7))))),
            ("z", text(&self.decimal(lot, 10))),
            ("L", text(&last(positive(self.decimal(tick, 7))))),
            ("n", text(&last(self.decimal(1, 4)))),
            ("N", fee_asset),
            ("T", self.time()),
            ("t", if trade { self.id() } else { "-1".to_owned() }),
            ("I", self.id()),
            ("w", self.boolean()),
            ("m", self.boolean()),
            ("M", self.boolean()),
            ("O", self.time()),
            ("Z", text("0.00000000")),
            ("Y", text("0.00000000")),
            ("Q", text("0.00000000")),
        ];
        if self.dice.chance(70) {
            members.push(("W", self.time()));
        }
        members.push(("V", text("EXPIRE_MAKER")));
        if self.dice.chance(self.wild) {
            members.push(("A", text(&self.decimal(lot, 5))));
        }
        self.object(members)
    }

    fn balances(&mut self) -> String {
        let mut rows = Vec::new();
        for _ in 0..*self.dice.pick(&[0, 1, 2, 3]) {
            let asset = if self.dice.chance(self.wild) {
                *self.dice.pick(&["\"DOGE\"", "\"\"", "7", "\"B\\u004eB\""])
            } else {
                *self
                    .dice
                    .pick(&["\"BNB\"", "\"USDT\"", "\"BTC\"", "\"PEPE\""])
            };
            let members = vec![
                ("a", asset.to_owned()),
                ("f", text(&self.decimal(1, 10))),
                ("l", text(&self.decimal(1, 10))),
            ];
            rows.push(self.object(members));
        }
        let rows = if self.dice.chance(self.wild) {
            (*self.dice.pick(&["null", "{}", "[null]", "[[]]", "[,]"])).to_owned()
        } else {
            format!("[{}]", rows.join(","))
        };
        let members = vec![
            ("e", text("outboundAccountPosition")),
            ("E", self.time()),
            ("u", self.time()),
            ("B", rows),
        ];
        self.object(members)
    }

    fn placed(&mut self) -> String {
        let symbol = self.dice.pick(&INSTRUMENTS).0;
        let members = vec![
            ("symbol", text(symbol)),
            ("orderId", self.id()),
            ("orderListId", "-1".to_owned()),
            ("clientOrderId", self.client_id()),
            ("transactTime", self.time()),
        ];
        self.object(members)
    }

    fn cancelled(&mut self) -> String {
        let (symbol, tick, lot) = *self.dice.pick(&INSTRUMENTS);
        let status = VenueStatus::ALL[self.dice.below(VenueStatus::ALL.len())];
        let side = if self.dice.chance(self.wild) {
            "SHARE"
        } else {
            self.dice.pick::<&str>(&["BUY", "SELL"])
        };
        let members = vec![
            ("symbol", text(symbol)),
            ("origClientOrderId", self.client_id()),
            ("orderId", self.id()),
            ("orderListId", "-1".to_owned()),
            ("clientOrderId", self.client_id()),
            ("transactTime", self.time()),
            ("price", text(&self.decimal(tick, 7))),
            ("origQty", text(&self.decimal(lot, 10))),
            ("executedQty", text(&self.decimal(lot, 10))),
            ("origQuoteOrderQty", text("0.000000")),
            ("cummulativeQuoteQty", text("0.00000000")),
            ("status", text(status.label())),
            ("timeInForce", text("GTC")),
            ("type", text("LIMIT")),
            ("side", text(side)),
            ("selfTradePreventionMode", text("EXPIRE_MAKER")),
        ];
        self.object(members)
    }

    fn answer(&mut self) -> Vec<u8> {
        let wild = self.dice.chance(self.wild);
        let kinds = [
            RequestKind::Place,
            RequestKind::Cancel,
            RequestKind::CancelReplace,
        ];
        let kind = if wild {
            *self.dice.pick(&RequestKind::ALL)
        } else {
            *self.dice.pick(&kinds)
        };
        let sequence = 1 + self.dice.roll() % (1 << 40);
        let id = if self.dice.chance(self.wild) {
            self.id()
        } else {
            RequestId { sequence, kind }.to_wire().to_string()
        };
        let refused = self.dice.chance(25);
        let (status, body) = if refused {
            let code = if self.dice.chance(self.wild) {
                self.id()
            } else {
                let codes = [
                    "-2010", "-2011", "-1013", "-1015", "-1021", "-1003", "-2015",
                ];
                (*self.dice.pick(&codes)).to_owned()
            };
            let messages = [
                "Account has insufficient balance for requested action.",
                "Order would immediately match and take.",
                "Unknown order sent.",
                "Too many new orders; current limit is 50 orders per 10 SECOND.",
                "Way too much request weight used; IP banned until 1659146400000. Please use WebSocket Streams for live updates to avoid bans.",
                "Filter failure: LOT_SIZE",
                "",
            ];
            let message = if self.dice.chance(self.wild) {
                "\"a \\\"quote\\\"\"".to_owned()
            } else {
                text(self.dice.pick::<&str>(&messages))
            };
            let error = self.object(vec![("code", code), ("msg", message)]);
            let statuses = ["400", "401", "409", "418", "429", "503"];
            ((*self.dice.pick(&statuses)).to_owned(), ("error", error))
        } else {
            let result = match kind {
                RequestKind::Cancel => self.cancelled(),
                RequestKind::CancelReplace => {
                    let members = vec![
                        ("cancelResult", text("SUCCESS")),
                        ("newOrderResult", text("SUCCESS")),
                        ("cancelResponse", self.cancelled()),
                        ("newOrderResponse", self.placed()),
                    ];
                    self.object(members)
                }
                _ => self.placed(),
            };
            ("200".to_owned(), ("result", result))
        };
        let status = if self.dice.chance(self.wild) {
            self.id()
        } else {
            status
        };
        let mut members = vec![("id", id), ("status", status), body];
        if self.dice.chance(70) {
            let mut rows = Vec::new();
            for _ in 0..self.dice.below(4) {
                let wild = self.dice.chance(self.wild);
                let row = vec![
                    (
                        "rateLimitType",
                        text(if wild {
                            "RAW_REQUESTS"
                        } else {
                            self.dice.pick::<&str>(&["ORDERS", "REQUEST_WEIGHT"])
                        }),
                    ),
                    (
                        "interval",
                        text(self.dice.pick::<&str>(if wild {
                            &["FORTNIGHT", "second", ""]
                        } else {
                            &["SECOND", "MINUTE", "DAY"]
                        })),
                    ),
                    (
                        "intervalNum",
                        (*self.dice.pick(&["1", "10", "5"])).to_owned(),
                    ),
                    ("limit", self.dice.below(200_000).to_string()),
                    (
                        "count",
                        if wild {
                            self.id()
                        } else {
                            self.dice.below(200_000).to_string()
                        },
                    ),
                ];
                rows.push(self.object(row));
            }
            members.push(("rateLimits", format!("[{}]", rows.join(","))));
        }
        self.object(members).into_bytes()
    }
}

/// One message of this seed, both ways.
fn run(decoders: &mut Decoders, seed: u64) {
    let mut dice = Dice(seed);
    let wild = *dice.pick(&[0, 1, 3, 20]);
    let mut generator = Generator { dice, wild };
    let mut message = generator.orders_message();
    let after = if generator.dice.chance(50) {
        generator.damage(&mut message)
    } else {
        Vec::new()
    };
    let _ = decoders.decode(&message, &after);
}

#[test]
fn the_usual_forms_are_read_by_the_scanner() {
    const MESSAGES: u64 = 3_000;
    let mut decoders = Decoders::new();
    for seed in 0..MESSAGES {
        let mut generator = Generator {
            dice: Dice(seed),
            wild: 0,
        };
        let message = generator.orders_message();
        let decoded = decoders.decode(&message, b"");
        assert!(
            decoded.is_ok_and(|message| message != OrderMessage::Ignored),
            "{decoded:?} {}",
            String::from_utf8_lossy(&message)
        );
    }
    let counts = decoders.scanning.counts();
    assert_eq!((counts.fast, counts.tolerant), (MESSAGES, 0));
}

#[test]
fn twenty_thousand_odd_and_damaged_messages_are_read_alike() {
    let mut decoders = Decoders::new();
    for seed in 0..20_000 {
        run(&mut decoders, seed);
    }
}

#[test]
fn a_message_cut_or_changed_at_any_byte_is_read_alike() {
    let mut decoders = Decoders::new();
    for seed in 0..30 {
        let mut generator = Generator {
            dice: Dice(seed),
            wild: 0,
        };
        let message = generator.orders_message();
        for at in 0..message.len() {
            let (head, tail) = message.split_at(at);
            let cut = decoders.decode(head, tail);
            assert!(cut.is_err(), "{}", String::from_utf8_lossy(head));
            for byte in *b"\"09.,:[]{}\\ -e\x00\xff" {
                let mut changed = message.clone();
                changed[at] = byte;
                let _ = decoders.decode(&changed, b"");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]

    #[test]
    fn any_seed_is_read_alike(seed: u64) {
        run(&mut Decoders::new(), seed);
    }

    #[test]
    fn any_bytes_are_read_alike(
        start in prop::sample::select(vec![
            "", "{", "{\"id\":18,\"status\":200,\"result\":{", "{\"subscriptionId\":0,\"event\":{\"e\":\"executionReport\",",
            "{\"subscriptionId\":0,\"event\":{\"e\":\"outboundAccountPosition\",\"E\":1,\"u\":1,\"B\":[", "{\"event\":", "[",
        ]),
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"\"0123456789.,:[]{}".to_vec())], 0..80),
    ) {
        let _ = Decoders::new().decode(&[start.as_bytes(), &bytes].concat(), b"");
    }
}
