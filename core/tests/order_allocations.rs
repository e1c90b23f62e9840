//! Order entry allocates nothing after it is built: neither the decoder of the orders link, for any message that
//! is not at fault and in either reader, nor the requests of a session or of an HMAC key. Messages are the
//! fuzzer's seeds: one of every kind.

#[path = "support/heap.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod heap;

use std::fs;
use std::path::Path;
use veloz_core::event::PayloadBuf;
use veloz_core::instrument::{
    Assets, Bounds, Instrument, InstrumentIndex, Instruments, OrderRules, Symbol,
};
use veloz_core::order::OrderId;
use veloz_core::units::{E8, Grid, Lots, VenueMillis};
use veloz_core::venue::binance::codec::orders::OrderDecoder;
use veloz_core::venue::binance::order_entry::{
    ApiKey, ClientOrderIds, Credentials, OrderEntry, OrderTarget, TradesQuery,
};
use veloz_core::wire::json::Scanner;
use veloz_core::wire::sign::Signer;

fn instruments() -> Instruments {
    let none = || Bounds {
        min: None,
        max: None,
    };
    let instrument = Instrument {
        symbol: Symbol::new("BTCUSDT").expect("short"),
        base: Symbol::new("BTC").expect("short"),
        quote: Symbol::new("USDT").expect("short"),
        tick: Grid::new(E8(1_000_000)).expect("positive"),
        lot: Grid::new(E8(1)).expect("positive"),
        price_bounds: Bounds {
            min: None,
            max: None,
        },
        qty_bounds: none(),
        notional_min: None,
        notional_max: None,
        order_rules: OrderRules::UNRESTRICTED,
        trading: true,
    };
    Instruments::new(vec![instrument]).expect("one")
}

fn ids() -> ClientOrderIds {
    ClientOrderIds::new("mm1").expect("legal")
}

#[test]
fn no_good_message_costs_an_allocation() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/order_messages");
    let messages: Vec<PayloadBuf> = fs::read_dir(folder)
        .expect("the seeds")
        .map(|entry| fs::read(entry.expect("an entry").path()).expect("a seed"))
        .map(|seed| PayloadBuf::new(&seed[1..]))
        .collect();
    assert!(messages.len() > 20, "{} messages", messages.len());
    let table = instruments();
    let assets = Assets::new(&table, &[Symbol::new("BNB").expect("short")]);
    for scanner in [Scanner::Tolerant, Scanner::Portable] {
        let mut decoder = OrderDecoder::with_scanner(&table, &assets, ids(), scanner);
        for message in &messages {
            let mut good = false;
            let count = heap::calls(|| good = decoder.decode(message.payload()).is_ok());
            assert!(good, "{:?}", message.payload());
            assert_eq!(count, 0, "{:?}", message.payload());
        }
    }
}

#[test]
fn no_request_costs_an_allocation() {
    const KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIIJEYWtGBrhACmb9Dvy+qa8WEf0lQOl1s4CLIAB9m89u
-----END PRIVATE KEY-----
";
    let signers = [
        Signer::from_pem(KEY.as_bytes()).expect("a key"),
        Signer::hmac(b"secret").expect("not empty"),
    ];
    for signer in signers {
        let credentials = Credentials {
            api_key: ApiKey::new(&"k".repeat(64)).expect("plain"),
            signer,
        };
        let mut entry = OrderEntry::new(&instruments(), ids(), credentials, 5_000).expect("legal");
        let at = VenueMillis(1_700_000_000_000);
        let instrument = InstrumentIndex(0);
        let order = OrderId {
            run: 7,
            sequence: 1,
        };
        let count = heap::calls(|| {
            entry.subscribe(at);
            for venue_order_id in [None, Some(12_569_099_453)] {
                let target = OrderTarget {
                    instrument,
                    order,
                    venue_order_id,
                };
                entry.cancel(at, target);
                entry.amend(at, target, Lots(1_000));
                entry.status(at, target);
            }
            entry.cancel_all(at, instrument);
            entry.open_orders(at, None);
            entry.account(at);
            entry.my_trades(at, instrument, TradesQuery::OfOrder { venue_order_id: 1 });
            entry.order_counts(at);
            entry.time();
            entry.ping();
        });
        assert_eq!(count, 0);
    }
}
