//! Any bytes as a market-data message: no panic, and every scanner says what the tolerant parser says.
//!
//! The first byte chooses where the message ends; what follows it lies in the receive buffer behind the
//! message, so that a scanner that reads on is caught by finding what it hoped for.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use veloz_core::event::Payload;
use veloz_core::instrument::{
    Bounds, Instrument, InstrumentIndex, Instruments, OrderRules, Symbol,
};
use veloz_core::limits::{PAYLOAD_SLACK_AFTER, PAYLOAD_SLACK_BEFORE};
use veloz_core::units::{E8, Grid};
use veloz_core::venue::binance::codec::Decoder;
use veloz_core::wire::json::Scanner;

fn instrument(symbol: &str, tick: i64, lot: i64) -> Instrument {
    Instrument {
        symbol: Symbol::new(symbol).expect("short"),
        base: Symbol::new("BASE").expect("short"),
        quote: Symbol::new("QUOTE").expect("short"),
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

thread_local! {
    static DECODERS: RefCell<Vec<Decoder>> = RefCell::new({
        let list = vec![
            instrument("BTCUSDT", 1_000_000, 1),
            instrument("PEPEUSDT", 1, 100_000_000),
        ];
        let table = Instruments::new(list).expect("two");
        Scanner::ALL
            .into_iter()
            .filter(|scanner| scanner.is_available())
            .map(|scanner| Decoder::with_scanner(&table, scanner))
            .collect()
    });
}

fuzz_target!(|input: &[u8]| {
    let Some((cut, text)) = input.split_first() else {
        return;
    };
    let end = text.len().saturating_sub(usize::from(*cut));
    let mut buffer = vec![b'8'; PAYLOAD_SLACK_BEFORE];
    buffer.extend(text);
    buffer.extend([b'9'; PAYLOAD_SLACK_AFTER]);
    let payload = Payload::new(&buffer, PAYLOAD_SLACK_BEFORE, PAYLOAD_SLACK_BEFORE + end);
    DECODERS.with_borrow_mut(|decoders| {
        for decoder in decoders.iter_mut() {
            decoder.forget_all_snapshots();
            decoder
                .expect_snapshot(7, InstrumentIndex(0))
                .expect("room");
        }
        let (tolerant, scanners) = decoders.split_first_mut().expect("always there");
        let expected = tolerant.decode(payload);
        for scanner in scanners {
            assert_eq!(scanner.decode(payload), expected);
        }
    });
});
