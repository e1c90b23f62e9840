//! Instruments, a view of trading in them, and a full disk, for this crate's tests.

use crate::trading::TradingView;
use std::sync::Arc;
use veloz_core::instrument::{Bounds, Instrument, Instruments, OrderRules, Symbol};
use veloz_core::units::{E8, Grid};
use veloz_core::venue::binance;

/// Number of instruments in [`instruments`].
pub(crate) const INSTRUMENTS: usize = 2;

/// BTCUSDT and ETHUSDT on cents.
pub(crate) fn instruments() -> Instruments {
    let instrument = |base: &str, lot| Instrument {
        symbol: Symbol::new(&format!("{base}USDT")).expect("short"),
        base: Symbol::new(base).expect("short"),
        quote: Symbol::new("USDT").expect("short"),
        tick: Grid::new(E8(1_000_000)).expect("positive"),
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
    };
    Instruments::new(vec![instrument("BTC", 1_000), instrument("ETH", 10_000)])
        .expect("two instruments")
}

/// A view of trading that no record reached.
pub(crate) fn trading_view() -> TradingView {
    let instruments = Arc::new(instruments());
    let assets = Arc::new(binance::assets(&instruments));
    TradingView::new(instruments, assets)
}

/// Bytes that a file may have in [`with_small_files`].
pub(crate) const SMALL_FILE_BYTES: u64 = 512;

/// Runs a test in a process of its own that gets [`SMALL_FILE_BYTES`] into a file and no more, as from a disk that is
/// full: the kernel takes the part of a write that fits, and refuses the rest. `name` is the test's full name.
pub(crate) fn with_small_files(name: &str, test: impl FnOnce()) {
    const IN_CHILD: &str = "VELOZ_TEST_SMALL_FILES";
    if std::env::var_os(IN_CHILD).is_some() {
        return test();
    }
    // One block of POSIX' ulimit; the signal that comes with a refusal would end the process.
    let output = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().expect("a test binary"))
        .args(["--exact", name])
        .env(IN_CHILD, "1")
        .output()
        .expect("sh runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
