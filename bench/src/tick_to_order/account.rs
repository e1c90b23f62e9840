//! What the measured engine trades with: the instrument, every limit there is, the key.
//!
//! Owns: these configurations. Does not: use them. Invariant: no limit binds.

use super::Proof;
use super::flow::SYMBOL;
use veloz_core::config::TradingConfig;
use veloz_core::instrument::{
    Bounds, Instrument, InstrumentIndex, Instruments, OrderRules, Symbol,
};
use veloz_core::oms::OmsConfig;
use veloz_core::order::SelfTradePrevention;
use veloz_core::risk::{GlobalLimits, InstrumentLimits};
use veloz_core::units::{E8, E8_ONE, Grid, Lots, Nanos, Ticks};
use veloz_core::venue::binance::order_entry::{ApiKey, Credentials};
use veloz_core::venue::binance::rate::OrderLimit;
use veloz_core::wire::sign::Signer;

/// The secret of the contestants that sign each request.
pub(super) const SECRET: &[u8] =
    b"NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j";
/// Their key, and everybody's.
pub(super) const API_KEY: &str = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y6Ju91duEh8A";

/// The instrument on the venue's grids, with its rules.
pub(super) fn instruments() -> Instruments {
    let symbol = |text| Symbol::new(text).expect("short");
    Instruments::new(vec![Instrument {
        symbol: symbol(SYMBOL),
        base: symbol("BTC"),
        quote: symbol("USDT"),
        tick: Grid::new(E8(1_000_000)).expect("positive"),
        lot: Grid::new(E8(1_000)).expect("positive"),
        price_bounds: Bounds {
            min: Some(Ticks(1)),
            max: Some(Ticks(100_000_000)),
        },
        qty_bounds: Bounds {
            min: Some(Lots(1)),
            max: Some(Lots(900_000_000)),
        },
        notional_min: Some(E8(5 * E8_ONE)),
        notional_max: Some(E8(9_000_000 * E8_ONE)),
        order_rules: OrderRules {
            qty_step: Lots(1),
            market_qty_bounds: Bounds {
                min: None,
                max: None,
            },
            market_qty_step: Lots(1),
            notional_min_market: true,
            notional_max_market: false,
            open_orders_max: Some(200),
            self_trade_prevention: SelfTradePrevention::ExpireMaker,
            self_trade_prevention_allowed: u8::MAX,
        },
        trading: true,
    }])
    .expect("one")
}

/// Every limit there is, none of which binds.
pub(super) fn global_limits() -> GlobalLimits {
    GlobalLimits {
        open_orders_max: Some(100),
        orders_per_second_max: Some(1_024),
        leverage_max_percent: Some(300),
        concentration_max_percent: Some(100),
        concentration_from: E8(E8_ONE),
        daily_loss_max: Some(E8(1_000_000 * E8_ONE)),
        drawdown_max_bps: Some(5_000),
        market_data_age_max: Some(Nanos::from_secs(2)),
        clock_offset_max: Some(Nanos::from_secs(1)),
    }
}

/// The same for the instrument.
pub(super) fn instrument_limits() -> InstrumentLimits {
    InstrumentLimits {
        order_qty_max: Some(Lots(1_000_000)),
        order_notional_max: Some(E8(1_000_000 * E8_ONE)),
        position_max: Some(E8(1_000 * E8_ONE)),
        open_orders_max: Some(50),
        price_collar_bps: Some(500),
    }
}

pub(super) fn trading_config() -> TradingConfig {
    TradingConfig {
        prefix: "bench".to_owned(),
        run: 1,
        recv_window_ms: 5_000,
        account_currency: Symbol::new("USDT").expect("short"),
        baselines: Vec::new(),
        trades_known: Vec::new(),
        global_limits: global_limits(),
        instrument_limits: vec![instrument_limits()],
        orders: OmsConfig {
            answer_max: Nanos::from_secs(2),
            cancel_max: Nanos::from_secs(2),
            replace_max: Nanos::from_secs(2),
            grace: Nanos::from_ms(250),
            ask_again: Nanos::from_secs(1),
            answer_horizon: Nanos::from_secs(6),
        },
        order_limits: vec![
            OrderLimit {
                window: Nanos::from_secs(10),
                limit: 1_000_000,
            },
            OrderLimit {
                window: Nanos::from_secs(86_400),
                limit: 1_000_000_000,
            },
        ],
        reconcile_every: Nanos::from_secs(60),
        kill_switch: false,
        restored: None,
        strategy_runs: true,
    }
}

pub(super) fn credentials(proof: Proof) -> Credentials {
    let signer = match proof {
        Proof::Hmac => Signer::hmac(SECRET),
        Proof::LogOn => {
            let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
            Signer::from_pem(key.serialize_pem().as_bytes())
        }
    };
    Credentials {
        api_key: ApiKey::new(API_KEY).expect("a key's text"),
        signer: signer.expect("a key"),
    }
}

/// The instrument's index.
pub(super) const HERE: InstrumentIndex = InstrumentIndex(0);
