//! Decimal text: every text has one meaning, and printing is the inverse of reading.

#![no_main]

use libfuzzer_sys::fuzz_target;
use veloz_core::units::{DecimalError, E8, Grid};

fuzz_target!(|text: &[u8]| {
    let parsed = E8::parse(text);
    if let Ok(value) = parsed {
        assert!(value.0 >= 0);
        assert_eq!(E8::parse(value.to_string().as_bytes()), Ok(value));
    }
    for unit in [1, 3, 1_000, 1_000_000, 500_000_000] {
        let grid = Grid::new(E8(unit)).expect("positive");
        let expected = parsed.and_then(|value| {
            if value.0 % unit == 0 {
                Ok(value.0 / unit)
            } else {
                Err(DecimalError::OffGrid)
            }
        });
        assert_eq!(grid.parse(text), expected);
    }
});
