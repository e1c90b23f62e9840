//! `exchangeInfo` of any content: an answer or a named error, never a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use veloz_core::venue::binance::exchange_info::parse;

fuzz_target!(|body: &[u8]| {
    match parse(body, &["TSLABUSDT", "OLDBTC"]) {
        Ok(info) => assert_eq!(info.instruments.len(), 2),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
