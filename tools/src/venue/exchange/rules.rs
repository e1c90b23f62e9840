//! A symbol's trading rules: status, filters, self-trade prevention.
//!
//! Owns: the values that `exchangeInfo` shows and orders are measured by. Does not: know books or
//! accounts. Source: Binance Spot `filters.md`; the figures are production's for BTCUSDT, scaled
//! with the symbol's grids.

use veloz_core::units::{E8, E8_ONE};

use super::order::{NewOrder, OrderSide, OrderType, Quantity, StpMode};
use super::refusal::Refusal;
use crate::venue::source::SymbolSpec;

/// Whether a symbol trades.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SymbolStatus {
    Trading,
    /// No new orders, no cancels, no trades.
    Halt,
    /// No new orders and no trades, but cancels.
    CancelOnly,
}

/// PRICE_FILTER: `min <= price <= max`, a multiple of `tick`; zero disables a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PriceFilter {
    pub(crate) min: E8,
    pub(crate) max: E8,
    pub(crate) tick: E8,
}

/// LOT_SIZE and MARKET_LOT_SIZE: as above for the quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LotFilter {
    pub(crate) min: E8,
    pub(crate) max: E8,
    pub(crate) step: E8,
}

/// Which filter bounds prices by the reference price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PercentForm {
    /// PERCENT_PRICE_BY_SIDE.
    BySide,
    /// PERCENT_PRICE, of older symbols: both sides alike.
    Both,
}

/// PERCENT_PRICE_BY_SIDE or PERCENT_PRICE: limits as multiples of the reference price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PercentPrice {
    pub(crate) form: PercentForm,
    pub(crate) bid_up: E8,
    pub(crate) bid_down: E8,
    pub(crate) ask_up: E8,
    pub(crate) ask_down: E8,
}

impl PercentPrice {
    /// The filter's name.
    pub(crate) const fn name(&self) -> &'static str {
        match self.form {
            PercentForm::BySide => "PERCENT_PRICE_BY_SIDE",
            PercentForm::Both => "PERCENT_PRICE",
        }
    }
}

/// Which filter bounds price times quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotionalForm {
    /// NOTIONAL.
    Range,
    /// MIN_NOTIONAL, of older symbols: without a largest.
    Minimum,
}

/// NOTIONAL or MIN_NOTIONAL: `min <= price * quantity <= max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Notional {
    pub(crate) form: NotionalForm,
    pub(crate) min: E8,
    pub(crate) max: E8,
    pub(crate) apply_min_to_market: bool,
    pub(crate) apply_max_to_market: bool,
}

impl Notional {
    /// The filter's name.
    pub(crate) const fn name(&self) -> &'static str {
        match self.form {
            NotionalForm::Range => "NOTIONAL",
            NotionalForm::Minimum => "MIN_NOTIONAL",
        }
    }
}

/// Everything that is fixed about trading a symbol, and its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SymbolRules {
    pub(crate) spec: SymbolSpec,
    pub(crate) status: SymbolStatus,
    /// What may be asked for, of what this exchange knows.
    pub(crate) order_types: Vec<OrderType>,
    /// Whether a MARKET order may name a quantity of quote.
    pub(crate) quote_market: bool,
    pub(crate) price: PriceFilter,
    pub(crate) lot: LotFilter,
    pub(crate) market_lot: LotFilter,
    pub(crate) percent_price: Option<PercentPrice>,
    pub(crate) notional: Option<Notional>,
    /// MAX_NUM_ORDERS: open orders of one account.
    pub(crate) orders_max: usize,
    /// MAX_NUM_ORDER_AMENDS: of one order.
    pub(crate) amends_max: u32,
    pub(crate) stp_default: StpMode,
    pub(crate) stp_allowed: Vec<StpMode>,
}

impl SymbolRules {
    /// The rules of a symbol that trades.
    pub(crate) fn new(spec: &SymbolSpec, allow_stp_none: bool) -> Self {
        let times = |unit: E8, count: i64| E8(unit.0.saturating_mul(count));
        let mut stp_allowed = vec![
            StpMode::ExpireTaker,
            StpMode::ExpireMaker,
            StpMode::ExpireBoth,
            StpMode::Decrement,
            StpMode::Transfer,
        ];
        if allow_stp_none {
            stp_allowed.insert(0, StpMode::None);
        }
        Self {
            status: SymbolStatus::Trading,
            order_types: vec![OrderType::Limit, OrderType::LimitMaker, OrderType::Market],
            quote_market: true,
            price: PriceFilter {
                min: spec.tick,
                max: times(spec.tick, 100_000_000),
                tick: spec.tick,
            },
            lot: LotFilter {
                min: spec.lot,
                max: times(spec.lot, 900_000_000),
                step: spec.lot,
            },
            market_lot: LotFilter {
                min: E8(0),
                max: times(spec.lot, 12_000_000),
                step: E8(0),
            },
            percent_price: Some(PercentPrice {
                form: PercentForm::BySide,
                bid_up: E8(5 * E8_ONE),
                bid_down: E8(E8_ONE / 5),
                ask_up: E8(5 * E8_ONE),
                ask_down: E8(E8_ONE / 5),
            }),
            notional: Some(Notional {
                form: NotionalForm::Range,
                min: E8(5 * E8_ONE),
                max: E8(9_000_000 * E8_ONE),
                apply_min_to_market: true,
                apply_max_to_market: false,
            }),
            orders_max: 200,
            amends_max: 10,
            stp_default: StpMode::ExpireMaker,
            stp_allowed,
            spec: spec.clone(),
        }
    }

    /// Measures a new order by the filters that need no account. Without a reference price those
    /// that are relative to it do not apply.
    ///
    /// # Errors
    /// The first filter that it fails, in the order of `exchangeInfo`; a worth of nothing.
    pub(crate) fn check(&self, order: &NewOrder, reference: Option<E8>) -> Result<(), Refusal> {
        if !self.order_types.contains(&order.kind) {
            return Err(Refusal::TypeNotSupported(order.kind));
        }
        if matches!(order.qty, Quantity::Quote(_)) && !self.quote_market {
            return Err(Refusal::QuoteQuantityNotSupported);
        }
        if let Some(price) = order.price
            && !fits(price, self.price.min, self.price.max, self.price.tick)
        {
            return Err(Refusal::FilterFailure("PRICE_FILTER"));
        }
        if let Quantity::Base(qty) = order.qty {
            self.check_lot(qty)?;
            let LotFilter { min, max, step } = self.market_lot;
            if order.kind == OrderType::Market && !fits(qty, min, max, step) {
                return Err(Refusal::FilterFailure("MARKET_LOT_SIZE"));
            }
        }
        if let (Some(price), Some(reference), Some(filter)) =
            (order.price, reference, self.percent_price)
        {
            let PercentPrice {
                bid_up,
                bid_down,
                ask_up,
                ask_down,
                ..
            } = filter;
            let (down, up) = match order.side {
                OrderSide::Buy => (bid_down, bid_up),
                OrderSide::Sell => (ask_down, ask_up),
            };
            let price = i128::from(price.0) * i128::from(E8_ONE);
            let times = |multiplier: E8| i128::from(reference.0) * i128::from(multiplier.0);
            if !(times(down)..=times(up)).contains(&price) {
                return Err(Refusal::FilterFailure(filter.name()));
            }
        }
        let is_market = order.kind == OrderType::Market;
        match (order.qty, order.price.or(reference)) {
            (Quantity::Base(qty), Some(price)) => self.check_notional(price, qty, is_market),
            (Quantity::Base(_), None) => Ok(()),
            (Quantity::Quote(quote), _) => self.check_notional(E8(E8_ONE), quote, is_market),
        }
    }

    /// Measures what is left of an amended order.
    ///
    /// # Errors
    /// The filter that it fails.
    pub(crate) fn check_amended(&self, price: E8, qty: E8) -> Result<(), Refusal> {
        self.check_lot(qty)?;
        self.check_notional(price, qty, false)
    }

    fn check_lot(&self, qty: E8) -> Result<(), Refusal> {
        let LotFilter { min, max, step } = self.lot;
        if fits(qty, min, max, step) {
            Ok(())
        } else {
            Err(Refusal::FilterFailure("LOT_SIZE"))
        }
    }

    fn check_notional(&self, price: E8, qty: E8, is_market: bool) -> Result<(), Refusal> {
        // Compared exactly, so at the square of the resolution.
        let notional = i128::from(price.0) * i128::from(qty.0);
        let bound = |bound: E8| i128::from(bound.0) * i128::from(E8_ONE);
        if notional <= 0 {
            return Err(Refusal::PriceTimesQtyZero);
        }
        let Some(filter) = &self.notional else {
            return Ok(());
        };
        let (max, market) = (filter.max, is_market);
        let too_small = (!market || filter.apply_min_to_market) && notional < bound(filter.min);
        let too_large =
            (!market || filter.apply_max_to_market) && max.0 != 0 && notional > bound(max);
        if too_small || too_large {
            return Err(Refusal::FilterFailure(filter.name()));
        }
        Ok(())
    }
}

/// Within a filter; a zero disables the part.
fn fits(value: E8, min: E8, max: E8, step: E8) -> bool {
    (min.0 == 0 || value >= min)
        && (max.0 == 0 || value <= max)
        && (step.0 == 0 || value.0 % step.0 == 0)
}
