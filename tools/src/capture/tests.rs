//! Captures round-trip, and damage costs nothing that stands before it.

use super::block::Entry;
use super::header::CaptureHeader;
use super::reader::CaptureReader;
use super::writer::CaptureWriter;
use super::*;
use proptest::prelude::*;
use veloz_core::config::{EngineConfig, PartialDepth, SnapshotDepth};
use veloz_core::event::{Command, Event, LinkDown, LinkId, LinkRole, OrderRef, PayloadBuf, Token};
use veloz_core::instrument::{
    Bounds, Instrument, InstrumentIndex, Instruments, OrderRules, Symbol,
};
use veloz_core::limits::{PAYLOAD_SLACK_AFTER, PAYLOAD_SLACK_BEFORE};
use veloz_core::order::{
    ClientId, Intent, OrderId, OrderKind, Origin, SelfTradePrevention, Side, TimeInForce,
};
use veloz_core::risk::{GlobalLimits, InstrumentLimits, LimitsChange, TradingState};
use veloz_core::units::{E8, Grid, Lots, Nanos, Ticks};

fn instrument(symbol: &str, tick: i64) -> Instrument {
    Instrument {
        symbol: Symbol::new(symbol).expect("short"),
        base: Symbol::new("BASE").expect("short"),
        quote: Symbol::new("USDT").expect("short"),
        tick: Grid::new(E8(tick)).expect("positive"),
        lot: Grid::new(E8(1_000)).expect("positive"),
        price_bounds: Bounds {
            min: Some(Ticks(1)),
            max: None,
        },
        qty_bounds: Bounds {
            min: Some(Lots(1)),
            max: Some(Lots(9_000_000)),
        },
        notional_min: Some(E8(500_000_000)),
        notional_max: None,
        order_rules: OrderRules::UNRESTRICTED,
        trading: true,
    }
}

pub(super) fn header() -> CaptureHeader {
    let mut engine = EngineConfig {
        seed: 77,
        ..EngineConfig::default()
    };
    engine.streams.partial_depth = Some(PartialDepth::Twenty);
    engine.books.snapshot_depth = SnapshotDepth::Levels(1_000);
    engine.requests.weight_per_minute = 1_200;
    CaptureHeader {
        source: "wss://127.0.0.1:1/stream".to_owned(),
        created_unix_ms: 1_723_161_253_937,
        engine,
        instruments: Instruments::new(vec![
            instrument("BTCUSDT", 1_000_000),
            instrument("币安人生USDT", 1),
        ])
        .expect("two instruments"),
    }
}

/// An event that owns its message.
#[derive(Clone, Debug, PartialEq)]
enum Owned {
    LinkUp(LinkId),
    LinkDown(LinkId, LinkDown),
    LinkRefused(LinkId, u16, Option<Nanos>),
    Message(LinkId, Vec<u8>),
    LinkBlocked(LinkId, bool),
    Command(Command),
    Tick,
    Backlog(bool),
    WallClock(i64),
}

impl Owned {
    fn with<T>(&self, use_event: impl FnOnce(&Event<'_>) -> T) -> T {
        let buffer;
        let event = match self {
            Self::LinkUp(link) => Event::LinkUp { link: *link },
            Self::LinkDown(link, cause) => Event::LinkDown {
                link: *link,
                cause: *cause,
            },
            Self::LinkRefused(link, status, pause) => Event::LinkRefused {
                link: *link,
                status: *status,
                pause: *pause,
            },
            Self::Message(link, message) => {
                buffer = PayloadBuf::new(message);
                Event::Message {
                    link: *link,
                    payload: buffer.payload(),
                }
            }
            Self::LinkBlocked(link, blocked) => Event::LinkBlocked {
                link: *link,
                blocked: *blocked,
            },
            Self::Command(command) => Event::Command(*command),
            Self::Tick => Event::Tick,
            Self::Backlog(on) => Event::Backlog(*on),
            Self::WallClock(unix_ns_at_zero) => Event::WallClock {
                unix_ns_at_zero: *unix_ns_at_zero,
            },
        };
        use_event(&event)
    }

    fn of(event: &Event<'_>) -> Self {
        match *event {
            Event::LinkUp { link } => Self::LinkUp(link),
            Event::LinkDown { link, cause } => Self::LinkDown(link, cause),
            Event::LinkRefused {
                link,
                status,
                pause,
            } => Self::LinkRefused(link, status, pause),
            Event::Message { link, payload } => Self::Message(link, payload.bytes().to_vec()),
            Event::LinkBlocked { link, blocked } => Self::LinkBlocked(link, blocked),
            Event::Command(command) => Self::Command(command),
            Event::Tick => Self::Tick,
            Event::Backlog(on) => Self::Backlog(on),
            Event::WallClock { unix_ns_at_zero } => Self::WallClock(unix_ns_at_zero),
        }
    }
}

fn any_link() -> impl Strategy<Value = LinkId> {
    (0..LinkRole::ALL.len(), any::<u32>()).prop_map(|(role, generation)| LinkId {
        role: LinkRole::ALL[role],
        generation,
    })
}

fn any_order() -> impl Strategy<Value = OrderRef> {
    prop_oneof![
        any::<u64>().prop_map(|bits| OrderRef::Id(OrderId::from_bits(bits))),
        any_client_id().prop_map(OrderRef::Client),
    ]
}

fn any_client_id() -> impl Strategy<Value = ClientId> {
    "[A-Za-z0-9_-]{1,36}".prop_map(|text| ClientId::new(&text).expect("legal"))
}

fn any_intent() -> impl Strategy<Value = Intent> {
    use proptest::sample::select;
    (
        any::<u16>(),
        select(&Side::ALL[..]),
        select(&OrderKind::ALL[..]),
        select(&TimeInForce::ALL[..]),
        (any::<i64>(), any::<i64>()),
        select(&SelfTradePrevention::ALL[..]),
        select(&Origin::ALL[..]),
    )
        .prop_map(
            |(instrument, side, kind, time_in_force, (price, qty), prevention, origin)| Intent {
                instrument: InstrumentIndex(instrument),
                side,
                kind,
                time_in_force,
                price: Ticks(price),
                qty: Lots(qty),
                self_trade_prevention: prevention,
                origin,
            },
        )
}

fn any_limits() -> impl Strategy<Value = LimitsChange> {
    use proptest::option::of;
    let number = || of(any::<u32>());
    let amount = || of(any::<i64>().prop_map(E8));
    prop_oneof![
        (
            (number(), number(), number(), number()),
            (any::<i64>(), amount(), number()),
            (of(any::<u64>()), of(any::<u64>())),
        )
            .prop_map(
                |((open, rate, leverage, concentration), (from, loss, drawdown), (age, offset))| {
                    LimitsChange::Global(GlobalLimits {
                        open_orders_max: open,
                        orders_per_second_max: rate,
                        leverage_max_percent: leverage,
                        concentration_max_percent: concentration,
                        concentration_from: E8(from),
                        daily_loss_max: loss,
                        drawdown_max_bps: drawdown,
                        market_data_age_max: age.map(Nanos),
                        clock_offset_max: offset.map(Nanos),
                    })
                }
            ),
        (
            any::<u16>(),
            of(any::<i64>()),
            amount(),
            amount(),
            number(),
            number()
        )
            .prop_map(|(instrument, qty, notional, position, open, collar)| {
                LimitsChange::Instrument(
                    InstrumentIndex(instrument),
                    InstrumentLimits {
                        order_qty_max: qty.map(Lots),
                        order_notional_max: notional,
                        position_max: position,
                        open_orders_max: open,
                        price_collar_bps: collar,
                    },
                )
            }),
    ]
}

fn any_command() -> impl Strategy<Value = Command> {
    use proptest::option::of;
    let token = || any::<u64>().prop_map(Token);
    prop_oneof![
        Just(Command::Stop),
        any::<u32>().prop_map(|weight| Command::WeightSpent { weight }),
        Just(Command::Shutdown),
        (token(), of(any_client_id()), any_intent()).prop_map(|(token, client_id, intent)| {
            Command::Place {
                token,
                client_id,
                intent,
            }
        }),
        (token(), any_order()).prop_map(|(token, order)| Command::Cancel { token, order }),
        (
            token(),
            any_order(),
            of(any_client_id()),
            any::<i64>(),
            any::<i64>()
        )
            .prop_map(|(token, order, client_id, price, qty)| Command::Replace {
                token,
                order,
                client_id,
                price: Ticks(price),
                qty: Lots(qty),
            }),
        (token(), any_order(), any::<i64>()).prop_map(|(token, order, qty)| Command::Amend {
            token,
            order,
            qty: Lots(qty),
        }),
        (token(), of(any::<u16>().prop_map(InstrumentIndex)))
            .prop_map(|(token, instrument)| Command::CancelAll { token, instrument }),
        (token(), proptest::sample::select(&TradingState::ALL[..]))
            .prop_map(|(token, state)| Command::SetTradingState { token, state }),
        token().prop_map(|token| Command::TripKillSwitch { token }),
        token().prop_map(|token| Command::ResetKillSwitch { token }),
        token().prop_map(|token| Command::DeadManFired { token }),
        (token(), any_limits()).prop_map(|(token, change)| Command::SetLimits { token, change }),
        (token(), any::<bool>())
            .prop_map(|(token, running)| Command::RunStrategy { token, running }),
        (token(), any::<u16>().prop_map(InstrumentIndex))
            .prop_map(|(token, instrument)| Command::ShowBook { token, instrument }),
    ]
}

fn any_event() -> impl Strategy<Value = Owned> {
    prop_oneof![
        any_link().prop_map(Owned::LinkUp),
        (any_link(), 0..LinkDown::ALL.len())
            .prop_map(|(link, cause)| Owned::LinkDown(link, LinkDown::ALL[cause])),
        (any_link(), any::<u16>(), any::<Option<u64>>()).prop_map(|(link, status, pause)| {
            Owned::LinkRefused(link, status, pause.map(Nanos))
        }),
        (any_link(), proptest::collection::vec(any::<u8>(), 0..300))
            .prop_map(|(link, message)| Owned::Message(link, message)),
        (any_link(), any::<bool>()).prop_map(|(link, blocked)| Owned::LinkBlocked(link, blocked)),
        any_command().prop_map(Owned::Command),
        Just(Owned::Tick),
        any::<bool>().prop_map(Owned::Backlog),
        any::<i64>().prop_map(Owned::WallClock),
    ]
}

fn written(events: &[(u64, Owned)]) -> Vec<u8> {
    let mut writer = CaptureWriter::new(Vec::new(), &header()).expect("memory");
    for (now, event) in events {
        event
            .with(|event| writer.push(Nanos(*now), event))
            .expect("memory");
    }
    let (totals, bytes) = writer.finish().expect("memory");
    assert_eq!(totals.events, events.len() as u64);
    assert_eq!(totals.bytes, bytes.len() as u64);
    bytes
}

/// Everything that can be read, and what stopped it.
fn read(bytes: &[u8]) -> (Vec<(u64, Owned)>, Option<CaptureError>) {
    let mut events = Vec::new();
    let mut reader = match CaptureReader::new(bytes) {
        Ok(reader) => reader,
        Err(error) => return (events, Some(error)),
    };
    loop {
        match reader.next_entry() {
            Ok(Some(Entry::Event { now, event })) => events.push((now.0, Owned::of(&event))),
            Ok(Some(Entry::Lost { .. })) => {}
            Ok(None) => return (events, None),
            Err(error) => {
                assert!(matches!(reader.next_entry(), Ok(None)), "an error is final");
                return (events, Some(error));
            }
        }
    }
}

/// Three blocks: messages as large as a block, so that each closes one.
fn three_blocks() -> (Vec<(u64, Owned)>, Vec<u8>) {
    let link = LinkId {
        role: LinkRole::Market,
        generation: 1,
    };
    let noise = |seed: u32| {
        let mut state = seed;
        (0..BLOCK_BYTES_TARGET)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect()
    };
    let events: Vec<_> = (1..=3u32)
        .map(|number| (u64::from(number), Owned::Message(link, noise(number))))
        .collect();
    let bytes = written(&events);
    (events, bytes)
}

/// Where the blocks of [`three_blocks`] and the end block start.
fn block_offsets(bytes: &[u8]) -> Vec<usize> {
    let offsets: Vec<usize> = bytes
        .windows(BLOCK_MAGIC.len())
        .enumerate()
        .filter(|(_, window)| *window == BLOCK_MAGIC)
        .map(|(at, _)| at)
        .collect();
    assert_eq!(offsets.len(), 4, "three blocks and the end");
    offsets
}

#[test]
fn the_header_gives_the_engine_the_same_start() {
    let bytes = written(&[]);
    let reader = CaptureReader::new(bytes.as_slice()).expect("a capture");
    let (expected, found) = (header(), reader.header());
    assert_eq!(found.source, expected.source);
    assert_eq!(found.created_unix_ms, expected.created_unix_ms);
    assert_eq!(found.engine, expected.engine);
    let list = |header: &CaptureHeader| -> Vec<Instrument> {
        header
            .instruments
            .iter()
            .map(|(_, instrument)| instrument.clone())
            .collect()
    };
    assert_eq!(list(found), list(&expected));
}

#[test]
fn a_cut_file_gives_every_whole_block_before_the_cut() {
    let (events, bytes) = three_blocks();
    let (all, error) = read(&bytes);
    assert_eq!(all.len(), events.len());
    assert!(error.is_none());

    let heads = block_offsets(&bytes);
    for (cut, whole, between_blocks) in [
        (bytes.len() - 1, 3, false),
        (heads[3], 3, true),
        (heads[3] - 1, 2, false),
        (heads[2], 2, true),
        (heads[1] + 5, 1, false),
        (heads[0], 0, true),
    ] {
        let (found, error) = read(&bytes[..cut]);
        assert_eq!(found, events[..whole], "cut at {cut}");
        let cause = error.expect("a cut file is not whole").cause;
        assert_eq!(
            matches!(cause, Damage::Unfinished),
            between_blocks,
            "cut at {cut}: {cause}"
        );
        assert_eq!(
            matches!(cause, Damage::Truncated),
            !between_blocks,
            "cut at {cut}: {cause}"
        );
    }
}

#[test]
fn a_damaged_block_is_named_by_its_offset_and_those_before_it_are_read() {
    let (events, mut bytes) = three_blocks();
    let heads = block_offsets(&bytes);
    bytes[heads[1] + BLOCK_HEAD_BYTES + 1_000] ^= 1;
    let (found, error) = read(&bytes);
    assert_eq!(found, events[..1]);
    let error = error.expect("damaged");
    assert_eq!(error.offset, heads[1] as u64);
    assert!(matches!(error.cause, Damage::Checksum));
    assert_eq!(
        error.to_string(),
        format!("capture damaged at byte {}: the checksum differs", heads[1])
    );
}

#[test]
fn a_field_that_is_said_to_lack_has_no_value() {
    let link = LinkId {
        role: LinkRole::ALL[0],
        generation: 3,
    };
    let refused = Event::LinkRefused {
        link,
        status: 503,
        pause: None,
    };
    let cancel_all = Event::Command(Command::CancelAll {
        token: Token(7),
        instrument: None,
    });
    for event in [refused, cancel_all] {
        let mut block = block::EventBlock::default();
        block.push(Nanos(1), &event);
        let mut buffer = vec![0; PAYLOAD_SLACK_BEFORE];
        buffer.extend(block.raw());
        let end = buffer.len();
        buffer.resize(end + PAYLOAD_SLACK_AFTER, 0);
        assert!(block::decode(&buffer, PAYLOAD_SLACK_BEFORE, end).is_ok());
        // Eight bytes for the value are the last ones of both.
        for byte in end - 8..end {
            buffer[byte] = 78;
            assert!(
                block::decode(&buffer, PAYLOAD_SLACK_BEFORE, end).is_err(),
                "{event:?}"
            );
            buffer[byte] = 0;
        }
    }
}

#[test]
fn what_is_no_capture_says_so() {
    let cause = |bytes: &[u8]| read(bytes).1.expect("refused").cause;
    assert!(matches!(cause(b""), Damage::NotACapture));
    assert!(matches!(
        cause(b"1723161253937085768 {}"),
        Damage::NotACapture
    ));
    let mut bytes = written(&[]);
    bytes[8] = 9;
    assert!(matches!(cause(&bytes), Damage::Version { found: 9 }));
    let mut bytes = written(&[]);
    bytes[30] ^= 1;
    assert!(matches!(cause(&bytes), Damage::Checksum));
    let mut bytes = written(&[]);
    bytes.push(0);
    assert!(matches!(cause(&bytes), Damage::Trailing));
}

#[test]
fn lost_events_are_noted_where_they_are_missing() {
    let mut writer = CaptureWriter::new(Vec::new(), &header()).expect("memory");
    writer.push(Nanos(1), &Event::Tick).expect("memory");
    let mut block = block::EventBlock::default();
    block.push_lost(Nanos(2), 5);
    block.push(Nanos(9), &Event::Tick);
    writer.push_block(&block).expect("memory");
    let (totals, bytes) = writer.finish().expect("memory");
    assert_eq!((totals.events, totals.lost), (2, 5));

    let mut reader = CaptureReader::new(bytes.as_slice()).expect("a capture");
    let mut seen = Vec::new();
    while let Some(entry) = reader.next_entry().expect("intact") {
        seen.push(match entry {
            Entry::Event { now, .. } => (now.0, 0),
            Entry::Lost { since, count } => (since.0, count),
        });
    }
    assert_eq!(seen, [(1, 0), (2, 5), (9, 0)]);
    assert_eq!(reader.lost(), 5);
}

proptest! {
    #[test]
    fn every_event_comes_back(events in proptest::collection::vec((any::<u64>(), any_event()), 0..40)) {
        let (found, error) = read(&written(&events));
        prop_assert!(error.is_none());
        prop_assert_eq!(found, events);
    }

    #[test]
    fn a_flipped_bit_never_goes_unnoticed(
        events in proptest::collection::vec((any::<u64>(), any_event()), 1..10),
        position in any::<proptest::sample::Index>(),
        bit in 0..8u32,
    ) {
        let mut bytes = written(&events);
        let at = position.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let (found, error) = read(&bytes);
        prop_assert!(error.is_some());
        prop_assert_eq!(&found, &events[..found.len()]);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), seal in any::<bool>()) {
        let mut file = if seal { written(&[]) } else { Vec::new() };
        file.truncate(file.len().saturating_sub(BLOCK_HEAD_BYTES + 16));
        file.extend(bytes);
        let _ = read(&file);
    }
}
