//! `[risk]`: limits as they are configured, and as the engine takes them.
//!
//! Owns: the section, and turning it into the engine's integers once the instruments are known. Does not:
//! decide anything. Invariant: no rounding; a limit that is not on the instrument's grid is a fault.

use serde::{Deserialize, Deserializer, de::Error as _};
use std::collections::BTreeMap;
use toml::Value;
use veloz_core::instrument::{Instrument, Instruments};
use veloz_core::risk::{GlobalLimits, InstrumentLimits};
use veloz_core::units::{E8, Lots, Nanos};

/// A decimal of the configuration, exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct E8Text(pub E8);

/// What a configured limit may be made of.
pub trait LimitValue: Sized {
    /// The value, in the form that the table of keys lets through.
    fn of(value: &Value) -> Option<Self>;
}

impl LimitValue for u32 {
    fn of(value: &Value) -> Option<Self> {
        value.as_integer().and_then(|number| number.try_into().ok())
    }
}

impl LimitValue for u64 {
    fn of(value: &Value) -> Option<Self> {
        value.as_integer().and_then(|number| number.try_into().ok())
    }
}

impl LimitValue for E8 {
    fn of(value: &Value) -> Option<Self> {
        Self::parse(value.as_str()?.as_bytes()).ok()
    }
}

impl<'de> Deserialize<'de> for E8Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        E8::of(&Value::deserialize(deserializer)?)
            .map(Self)
            .ok_or_else(|| D::Error::custom("not a decimal"))
    }
}

/// A limit, or the word `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit<T> {
    /// It does not bind.
    None,
    /// At most this.
    At(T),
}

impl<T> Limit<T> {
    /// As the engine writes it.
    pub fn get(self) -> Option<T> {
        match self {
            Self::None => None,
            Self::At(value) => Some(value),
        }
    }
}

impl<'de, T: LimitValue> Deserialize<'de> for Limit<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if value.as_str() == Some("none") {
            return Ok(Self::None);
        }
        T::of(&value)
            .map(Self::At)
            .ok_or_else(|| D::Error::custom("not a limit"))
    }
}

/// `[risk]`. Amounts are in the account currency.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RiskSection {
    /// Most open orders.
    pub open_orders_max: Limit<u32>,
    /// Most new orders in any window of one second.
    pub orders_per_second_max: Limit<u32>,
    /// Largest gross exposure over equity, in percent.
    pub leverage_max_percent: Limit<u32>,
    /// Largest part of gross exposure that one instrument may have, in percent.
    pub concentration_max_percent: Limit<u32>,
    /// Gross exposure below which concentration does not bind.
    pub concentration_from: E8Text,
    /// Largest loss since midnight, UTC.
    pub daily_loss_max: Limit<E8>,
    /// Largest fall of equity from its peak, in basis points.
    pub drawdown_max_bps: Limit<u32>,
    /// Oldest update of a book that may be traded on, in milliseconds.
    pub market_data_age_max_ms: Limit<u64>,
    /// Largest distance of the venue's clock to ours, in milliseconds.
    pub clock_offset_max_ms: Limit<u64>,
    /// What binds every instrument that does not say otherwise.
    pub every_instrument: InstrumentLimitsSection,
    /// What binds single instruments, by symbol.
    #[serde(default)]
    pub instruments: BTreeMap<String, InstrumentOverrides>,
}

/// `[risk.every_instrument]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstrumentLimitsSection {
    /// Largest quantity of one order, in the base asset.
    pub order_qty_max: Limit<E8>,
    /// Largest price x quantity of one order, in the quote asset.
    pub order_notional_max: Limit<E8>,
    /// Largest position either way, in the base asset.
    pub position_max: Limit<E8>,
    /// Most open orders.
    pub open_orders_max: Limit<u32>,
    /// Farthest distance of a limit price from the mark, in basis points of it.
    pub price_collar_bps: Limit<u32>,
}

/// `[risk.instruments.<SYMBOL>]`: what differs from `[risk.every_instrument]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InstrumentOverrides {
    /// See [`InstrumentLimitsSection::order_qty_max`].
    pub order_qty_max: Option<Limit<E8>>,
    /// See [`InstrumentLimitsSection::order_notional_max`].
    pub order_notional_max: Option<Limit<E8>>,
    /// See [`InstrumentLimitsSection::position_max`].
    pub position_max: Option<Limit<E8>>,
    /// See [`InstrumentLimitsSection::open_orders_max`].
    pub open_orders_max: Option<Limit<u32>>,
    /// See [`InstrumentLimitsSection::price_collar_bps`].
    pub price_collar_bps: Option<Limit<u32>>,
}

/// All limits, as the engine takes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Over all instruments.
    pub global: GlobalLimits,
    /// Of each instrument, by its index.
    pub instruments: Vec<InstrumentLimits>,
}

/// A quantity that an instrument cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` is {qty}, expected a multiple of {lot}, the finest quantity of {symbol}{advice}")]
pub struct OffGrid {
    /// The key that the limit comes from.
    pub key: String,
    /// Its value.
    pub qty: E8,
    /// The instrument's grid.
    pub lot: E8,
    /// The instrument.
    pub symbol: String,
    advice: String,
}

impl RiskSection {
    /// The limits for these instruments.
    ///
    /// # Errors
    /// [`OffGrid`] for the first quantity that is not on its instrument's grid.
    pub fn resolve(&self, instruments: &Instruments) -> Result<Limits, OffGrid> {
        Ok(Limits {
            global: self.global(),
            instruments: instruments
                .iter()
                .map(|(_, instrument)| self.instrument(instrument))
                .collect::<Result<_, _>>()?,
        })
    }

    fn global(&self) -> GlobalLimits {
        GlobalLimits {
            open_orders_max: self.open_orders_max.get(),
            orders_per_second_max: self.orders_per_second_max.get(),
            leverage_max_percent: self.leverage_max_percent.get(),
            concentration_max_percent: self.concentration_max_percent.get(),
            concentration_from: self.concentration_from.0,
            daily_loss_max: self.daily_loss_max.get(),
            drawdown_max_bps: self.drawdown_max_bps.get(),
            market_data_age_max: self.market_data_age_max_ms.get().map(Nanos::from_ms),
            clock_offset_max: self.clock_offset_max_ms.get().map(Nanos::from_ms),
        }
    }

    fn instrument(&self, instrument: &Instrument) -> Result<InstrumentLimits, OffGrid> {
        let every = &self.every_instrument;
        let symbol = instrument.symbol.as_str();
        let own = self.instruments.get(symbol).copied().unwrap_or_default();
        let order_qty_max = own.order_qty_max.unwrap_or(every.order_qty_max).get();
        let lots = |qty: E8| {
            let own_key = format!("risk.instruments.{symbol}.order_qty_max");
            let (key, advice) = if own.order_qty_max.is_some() {
                (own_key, String::new())
            } else {
                (
                    "risk.every_instrument.order_qty_max".to_owned(),
                    format!("; `{own_key}` gives it one of its own"),
                )
            };
            instrument
                .lot
                .divide_exact(qty)
                .map(Lots)
                .ok_or_else(|| OffGrid {
                    key,
                    qty,
                    lot: instrument.lot.unit(),
                    symbol: symbol.to_owned(),
                    advice,
                })
        };
        Ok(InstrumentLimits {
            order_qty_max: order_qty_max.map(lots).transpose()?,
            order_notional_max: own
                .order_notional_max
                .unwrap_or(every.order_notional_max)
                .get(),
            position_max: own.position_max.unwrap_or(every.position_max).get(),
            open_orders_max: own.open_orders_max.unwrap_or(every.open_orders_max).get(),
            price_collar_bps: own.price_collar_bps.unwrap_or(every.price_collar_bps).get(),
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::config::load_text;
    use veloz_core::venue::binance::exchange_info;

    /// BTCUSDT on a grid of 0.001 and ETHUSDT on one of 0.01.
    pub(crate) fn instruments() -> Instruments {
        let row = |symbol: &str, base: &str, places: u32, lot: &str| {
            serde_json::json!({
                "symbol": symbol, "status": "TRADING",
                "baseAsset": base, "baseAssetPrecision": places, "quoteAsset": "USDT",
                "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
                "allowedSelfTradePreventionModes": ["EXPIRE_MAKER"],
                "filters": [
                    {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01"},
                    {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": "9000", "stepSize": lot},
                    {"filterType": "MARKET_LOT_SIZE", "minQty": "0", "maxQty": "0", "stepSize": "0"},
                    {"filterType": "NOTIONAL", "minNotional": "5", "applyMinToMarket": true, "maxNotional": "9000000", "applyMaxToMarket": false, "avgPriceMins": 5},
                    {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
                ],
            })
        };
        let answer = serde_json::json!({"id": "start", "status": 200, "result": {
            "rateLimits": [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000}],
            "symbols": [row("BTCUSDT", "BTC", 3, "0.001"), row("ETHUSDT", "ETH", 2, "0.01")],
        }});
        let info = exchange_info::parse(answer.to_string().as_bytes(), &["BTCUSDT", "ETHUSDT"])
            .expect("two instruments");
        Instruments::new(info.instruments).expect("two instruments")
    }

    fn resolve(text: &str) -> Result<Limits, OffGrid> {
        load_text("test.toml", text)
            .expect("valid")
            .config
            .risk
            .resolve(&instruments())
    }

    #[test]
    fn every_key_reaches_its_limit() {
        let text = "[risk]\nopen_orders_max = 1\norders_per_second_max = 2\nleverage_max_percent = 3\n\
                    concentration_max_percent = 4\nconcentration_from = \"5\"\ndaily_loss_max = \"6.5\"\n\
                    drawdown_max_bps = 7\nmarket_data_age_max_ms = 8\nclock_offset_max_ms = 9\n\
                    [risk.every_instrument]\norder_qty_max = \"1.23\"\norder_notional_max = 11\nposition_max = \"12.000000001\"\n";
        let refused = load_text("test.toml", text).expect_err("nine places");
        assert!(
            refused
                .to_string()
                .contains("test.toml:14: `risk.every_instrument.position_max`"),
            "{refused}"
        );
        let text = text.replace("12.000000001", "12.00000001");
        let text = format!("{text}open_orders_max = 13\nprice_collar_bps = 14\n");
        let limits = resolve(&text).expect("on the grid");
        assert_eq!(
            limits.global,
            GlobalLimits {
                open_orders_max: Some(1),
                orders_per_second_max: Some(2),
                leverage_max_percent: Some(3),
                concentration_max_percent: Some(4),
                concentration_from: E8(500_000_000),
                daily_loss_max: Some(E8(650_000_000)),
                drawdown_max_bps: Some(7),
                market_data_age_max: Some(Nanos::from_ms(8)),
                clock_offset_max: Some(Nanos::from_ms(9)),
            }
        );
        let expected = InstrumentLimits {
            order_qty_max: Some(Lots(1_230)),
            order_notional_max: Some(E8(1_100_000_000)),
            position_max: Some(E8(1_200_000_001)),
            open_orders_max: Some(13),
            price_collar_bps: Some(14),
        };
        let on_hundredths = InstrumentLimits {
            order_qty_max: Some(Lots(123)),
            ..expected
        };
        assert_eq!(limits.instruments, [expected, on_hundredths]);
    }

    #[test]
    fn an_instrument_differs_where_it_says_so() {
        let text =
            "[risk.instruments.ETHUSDT]\nposition_max = \"20\"\nopen_orders_max = \"none\"\n";
        let limits = resolve(text).expect("on the grid");
        let [btc, eth] = limits.instruments[..] else {
            panic!("two instruments");
        };
        assert_eq!(eth.position_max, Some(E8(2_000_000_000)));
        assert_eq!(eth.open_orders_max, None);
        assert_eq!(eth.price_collar_bps, btc.price_collar_bps);
        assert_ne!(eth.position_max, btc.position_max);
    }

    #[test]
    fn a_quantity_off_the_grid_names_the_key_that_it_comes_from() {
        let own = resolve("[risk.instruments.ETHUSDT]\norder_qty_max = \"0.005\"\n")
            .expect_err("off the grid");
        assert_eq!(
            own.to_string(),
            "`risk.instruments.ETHUSDT.order_qty_max` is 0.00500000, expected a multiple of 0.01000000, the finest quantity of ETHUSDT"
        );
        let every = resolve("[risk.every_instrument]\norder_qty_max = \"0.005\"\n")
            .expect_err("off the grid");
        assert_eq!(
            every.to_string(),
            "`risk.every_instrument.order_qty_max` is 0.00500000, expected a multiple of 0.01000000, the finest quantity of ETHUSDT; `risk.instruments.ETHUSDT.order_qty_max` gives it one of its own"
        );
    }

    #[test]
    fn the_built_in_limits_all_bind_and_are_within_their_ranges() {
        let limits = resolve("").expect("on the grid");
        assert!(limits.global.daily_loss_max.is_some());
        for limits in limits.instruments {
            assert!(limits.position_max.is_some());
            assert!(limits.order_notional_max.is_some());
        }
    }
}
