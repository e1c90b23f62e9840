//! Any bytes as a message of the orders link: no panic, and the scanner says what the tolerant parser says.
//!
//! The first byte chooses where the message ends; what follows it lies in the receive buffer behind the
//! message, so that a scanner that reads on is caught by finding what it hoped for.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use veloz_core::event::Payload;
use veloz_core::instrument::{Assets, Bounds, Instrument, Instruments, OrderRules, Symbol};
use veloz_core::limits::{PAYLOAD_SLACK_AFTER, PAYLOAD_SLACK_BEFORE};
use veloz_core::units::{E8, Grid};
use veloz_core::venue::binance::codec::orders::OrderDecoder;
use veloz_core::venue::binance::order_entry::ClientOrderIds;
use veloz_core::wire::json::Scanner;

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

thread_local! {
    static DECODERS: RefCell<[OrderDecoder; 2]> = RefCell::new({
        let list = vec![
            instrument("BTCUSDT", 1_000_000, 1),
            instrument("PEPEUSDT", 1, 100_000_000),
        ];
        let table = Instruments::new(list).expect("two");
        let assets = Assets::new(&table, &[Symbol::new("BNB").expect("short")]);
        let ids = ClientOrderIds::new("mm1").expect("legal");
        [Scanner::Tolerant, Scanner::Portable]
            .map(|scanner| OrderDecoder::with_scanner(&table, &assets, ids, scanner))
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
    DECODERS.with_borrow_mut(|[tolerant, scanning]| {
        assert_eq!(scanning.decode(payload), tolerant.decode(payload));
    });
});
